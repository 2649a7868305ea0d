//! Makes HTTP/2 connections to nodes, and checks whom they reached.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::{
    CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, HEADER_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT, READ_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::link::LinkError;
use crate::tls::{NodeIdentity, NodeKeys, Role, Security, server_name};

/// Bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
}

/// Where a connection leads, and how.
#[derive(Clone)]
enum Target {
    /// A router over TCP.
    Router { address: String, name: Option<Arc<str>>, security: Security },
    /// A router on this machine.
    Socket(PathBuf),
}

/// Connects to a router at `address`, `host:port`. Under TLS it must show a router's certificate, and one of this `name`
/// where it is given.
///
/// # Errors
/// Nobody there, or somebody else.
pub(super) async fn connect(address: &str, name: Option<Arc<str>>, security: &Security) -> Result<Channel, LinkError> {
    let target = Target::Router { address: address.to_owned(), name, security: security.clone() };
    let connected = endpoint(address)?.connect_with_connector(Connector(target)).await;
    connected.map_err(|error| link_error(address, &error))
}

/// Like [`connect`], but the connection is made with the first call, and again with the first call after it broke.
///
/// # Errors
/// The address can't be one.
pub(super) fn connect_lazy(address: &str, name: Option<Arc<str>>, security: &Security) -> Result<Channel, LinkError> {
    let target = Target::Router { address: address.to_owned(), name, security: security.clone() };
    Ok(endpoint(address)?.connect_with_connector_lazy(Connector(target)))
}

/// Connects to a router's Unix socket.
///
/// # Errors
/// Nobody there, or it may not be opened.
pub(super) async fn connect_socket(path: PathBuf) -> Result<Channel, LinkError> {
    let address = path.display().to_string();
    let connected = endpoint("localhost")?.connect_with_connector(Connector(Target::Socket(path))).await;
    connected.map_err(|error| link_error(&address, &error))
}

fn endpoint(address: &str) -> Result<Endpoint, LinkError> {
    // The scheme only fills `:scheme`; whether there is TLS is the connector's business.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| LinkError::Unreachable {
        address: address.to_owned(),
        reason: "not of the form host:port".into(),
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// Makes the bytes' way for tonic's channel.
struct Connector(Target);

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(reach(target).await?)) })
    }
}

async fn reach(target: Target) -> Result<Box<dyn Duplex>, ConnectError> {
    match target {
        Target::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Target::Router { address, name, security } => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            match security {
                Security::PlainText => Ok(Box::new(stream)),
                Security::MutualTls(tls) => secure(stream, &tls.keys(), name.as_deref()).await,
            }
        }
    }
}

async fn secure(stream: TcpStream, keys: &NodeKeys, name: Option<&str>) -> Result<Box<dyn Duplex>, ConnectError> {
    let stream = TlsConnector::from(keys.client.clone())
        .connect(server_name(), BufReader::with_capacity(READ_BYTES, stream))
        .await
        .map_err(|error| if is_tls(&error) { ConnectError::Refused(error.to_string()) } else { error.into() })?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| ConnectError::Refused("it showed no certificate".to_owned()))?;
    let reached =
        NodeIdentity::from_certificate(certificate).map_err(|error| ConnectError::Refused(error.to_string()))?;
    if reached.role != Role::SessionRouter || name.is_some_and(|name| reached.name != name) {
        return Err(ConnectError::Refused(format!("it is {reached}, not the router {}", name.unwrap_or_default())));
    }
    Ok(Box::new(stream))
}

fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Finds out from tonic's error whether the node was not there or not the one.
fn link_error(address: &str, error: &(dyn std::error::Error + 'static)) -> LinkError {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
        if let Some(ConnectError::Refused(reason)) = cause.downcast_ref() {
            return LinkError::Refused { address: address.to_owned(), reason: reason.clone() };
        }
    }
    LinkError::Unreachable { address: address.to_owned(), reason: cause.to_string() }
}

/// What a failed call means for the link to `address`.
pub(super) fn call_error(address: &str, status: &tonic::Status) -> LinkError {
    use tonic::Code;
    match status.code() {
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::InvalidArgument
        | Code::OutOfRange => LinkError::Refused { address: address.to_owned(), reason: status.message().to_owned() },
        _ => match std::error::Error::source(status) {
            Some(_) => link_error(address, status),
            None => LinkError::Unreachable { address: address.to_owned(), reason: status.message().to_owned() },
        },
    }
}
