//! The serving side: takes connections, finds out who calls, and hands links and calls to the router.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::access::{Peer, only};
use super::administration::AdministrationService;
use super::attach::AttachService;
use super::batch::Batch;
use super::cluster::ClusterService;
use super::forward::ForwardService;
use super::pump::pump;
use super::raft::RaftService;
use super::{
    CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, CONNECTIONS_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, PENDING_RESETS_MAX,
    PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::administration::Administration;
use crate::cluster::ClusterAcceptor;
use crate::convert::Malformed;
use crate::link::{self, AttachAcceptor, ForwardAcceptor, Link};
use crate::proto::administration_server::AdministrationServer;
use crate::proto::attach_server::AttachServer;
use crate::proto::cluster_server::ClusterServer;
use crate::proto::forward_server::ForwardServer;
use crate::proto::raft_server::RaftServer;
use crate::raft::RaftAcceptor;
use crate::tls::{NodeIdentity, Role, Security};

/// After a failed accept (no file handles left, mostly), the next is tried so much later.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a router serves. What is `None` is not there.
#[derive(Clone, Default)]
pub struct Services {
    /// Links of connection managers.
    pub attach: Option<Arc<dyn AttachAcceptor>>,
    /// Links of other routers.
    pub forward: Option<Arc<dyn ForwardAcceptor>>,
    /// Raft calls of other routers.
    pub raft: Option<Arc<dyn RaftAcceptor>>,
    /// Other calls of other routers.
    pub cluster: Option<Arc<dyn ClusterAcceptor>>,
    /// Requests of administrators.
    pub administration: Option<Arc<dyn Administration>>,
}

/// Serving has ended otherwise than by shutdown.
#[derive(Debug, thiserror::Error)]
#[error("the node can no longer be called: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves nodes and administrators until `shutdown`, then ends all links and waits for the calls under way.
///
/// # Errors
/// Only where the HTTP/2 server fails as a whole; what single connections do wrong ends only them.
pub async fn serve(
    listener: TcpListener,
    security: Security,
    services: Services,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let door = Door::new(shutdown.child_token());
    let (accepted, connections) = mpsc::channel(1);
    door.tasks.spawn(accept(listener, security, accepted, door.clone()));
    door.serve(services, ReceiverStream::new(connections)).await
}

/// What the connections of one listener share.
#[derive(Clone)]
pub(super) struct Door {
    tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    room: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), stop, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    /// Waits for room for one connection more.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        self.room.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    pub(super) async fn serve(
        self,
        services: Services,
        connections: impl Stream<Item = Connection>,
    ) -> Result<(), ServeError> {
        let links = LinkTasks { tasks: self.tasks.clone(), stop: self.stop.clone() };
        let served = http2()
            .add_routes(routes(services, &links))
            .serve_with_incoming_shutdown(connections.map(Ok::<_, Infallible>), self.stop.clone().cancelled_owned())
            .await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        Ok(served?)
    }
}

/// The limits of each connection.
fn http2() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
}

/// Each service behind the check of who may call it.
fn routes(services: Services, links: &LinkTasks) -> Routes {
    const MANAGERS: &[Role] = &[Role::ConnectionManager];
    const ROUTERS: &[Role] = &[Role::SessionRouter];
    const ADMINISTRATORS: &[Role] = &[Role::Administrator, Role::SessionRouter];
    let mut routes = RoutesBuilder::default();
    if let Some(acceptor) = services.attach {
        let server = AttachServer::new(AttachService { acceptor, tasks: links.clone() });
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(MANAGERS)));
    }
    if let Some(acceptor) = services.forward {
        let server = ForwardServer::new(ForwardService { acceptor, tasks: links.clone() });
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(acceptor) = services.raft {
        let server = RaftServer::new(RaftService { acceptor }).max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(acceptor) = services.cluster {
        let server = ClusterServer::new(ClusterService { acceptor }).max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(administration) = services.administration {
        let server = AdministrationServer::new(AdministrationService { administration });
        routes.add_service(InterceptedService::new(server, only(ADMINISTRATORS)));
    }
    routes.routes()
}

/// Where the tasks of links run.
#[derive(Clone)]
pub(super) struct LinkTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LinkTasks {
    /// Makes a link of a stream that came in: the router's end, and the batches to send.
    pub(super) fn accept<S, R, Out, In>(
        &self,
        incoming: Streaming<In>,
        peer: Option<String>,
    ) -> (Link<S, R>, ReceiverStream<Out>)
    where
        S: Send + 'static,
        R: TryFrom<In::Frame, Error = Malformed> + Send + 'static,
        Out: Batch,
        Out::Frame: From<S>,
        In: Batch,
    {
        let (near, far) = link::pair();
        let (wire, batches) = mpsc::channel(1);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            match pump(far, wire, incoming, stop).await {
                Ok(()) => tracing::debug!(peer, "the link has ended"),
                Err(error) => tracing::warn!(peer, %error, "the link is broken"),
            }
        });
        (near, ReceiverStream::new(batches))
    }
}

/// Takes TCP connections and hands them on once it is known who calls.
async fn accept(listener: TcpListener, security: Security, accepted: mpsc::Sender<Connection>, door: Door) {
    let stop = door.stop.clone();
    let listen = async {
        loop {
            let room = door.room().await;
            match listener.accept().await {
                Ok((stream, address)) => {
                    let greeting = greet(stream, security.clone(), room, accepted.clone());
                    door.tasks.spawn(door.stop.clone().run_until_cancelled_owned(async move {
                        if let Err(error) = greeting.await {
                            tracing::warn!(%address, %error, "a connection to the node's port was refused");
                        }
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listen => {}
    }
}

/// Finds out who calls.
async fn greet(
    stream: TcpStream,
    security: Security,
    room: OwnedSemaphorePermit,
    accepted: mpsc::Sender<Connection>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = match security {
        Security::PlainText => Connection::new(stream, Peer::Anybody, room),
        Security::MutualTls(tls) => {
            let handshake = TlsAcceptor::from(tls.keys().server.clone()).accept(stream);
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake).await.map_err(io::Error::other)??;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = certificate.ok_or_else(|| io::Error::other("no certificate was shown"))?;
            let node = NodeIdentity::from_certificate(certificate).map_err(io::Error::other)?;
            Connection::new(stream, Peer::Node(node), room)
        }
    };
    accepted.send(connection).await.map_err(|_| io::Error::other("the node is stopping"))
}

/// Bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection whose other end is known.
pub(super) struct Connection {
    stream: Pin<Box<dyn Duplex>>,
    peer: Peer,
    /// Given back with the connection's end.
    _room: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Peer,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { stream: Box::pin(stream), peer, _room: room }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
