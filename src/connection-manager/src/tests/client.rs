//! A client's end of a stream, its XML spelled out.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{HOSTS, World};

/// TCP or TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// See the module's documentation.
pub(super) struct Client<S = Box<dyn Io>> {
    io: S,
    /// What was read and not yet asked for.
    read: String,
}

/// Trusts the certificates that the manager made for its hosts, and nothing else.
pub(super) fn tls_config(world: &World) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for host in HOSTS {
        let path = world.data.path().join(format!("tls/{host}.crt.pem"));
        for certificate in CertificateDer::pem_file_iter(path).expect("a PEM file") {
            roots.add(certificate.expect("a certificate")).expect("a trust anchor");
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    config
}

/// A TLS handshake as client.
pub(super) async fn handshake(
    tcp: TcpStream,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a server name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

pub(super) fn header(to: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         version='1.0' to='{to}'>"
    )
}

/// SASL PLAIN for juliet with the password that [`Router::log_in`](super::Router::log_in) accepts.
pub(super) const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>";

pub(super) fn bind(resource: &str) -> String {
    format!(
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
    )
}

pub(super) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

impl Client {
    pub(super) async fn tcp(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a connection"))
    }

    pub(super) fn over(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), read: String::new() }
    }

    /// Its two halves, to be used at once.
    pub(super) fn split(self) -> (ReadHalf<impl Io>, WriteHalf<impl Io>) {
        tokio::io::split(self.io)
    }

    pub(super) async fn direct_tls(world: &World, host: &str) -> Self {
        let tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
        Self::over(handshake(tcp, tls_config(world), host).await.expect("a handshake"))
    }
}

/// A client in clear that may turn to TLS.
pub(super) type Clear = Client<TcpStream>;

impl Clear {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { io: TcpStream::connect(address).await.expect("a connection"), read: String::new() }
    }

    /// The socket, with nothing left unread.
    pub(super) fn into_inner(self) -> TcpStream {
        assert_eq!(self.read, "");
        self.io
    }
}

impl<S: Io> Client<S> {
    pub(super) async fn send(&mut self, xml: &str) {
        self.send_bytes(xml.as_bytes()).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("the manager reads");
        self.io.flush().await.expect("the manager reads");
    }

    /// Sends what the manager may have stopped reading.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// Reads up to and including `until`.
    pub(super) async fn expect(&mut self, until: &str) -> String {
        loop {
            if let Some(at) = self.read.find(until) {
                let rest = self.read.split_off(at + until.len());
                return std::mem::replace(&mut self.read, rest);
            }
            assert!(self.more().await, "the stream ended before {until:?}: {:?}", self.read);
        }
    }

    /// Reads to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 65536];
        match self.io.read(&mut bytes).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.read.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }

    /// Opens a stream and reads its features.
    pub(super) async fn open(&mut self, to: &str) -> String {
        self.send(&header(to)).await;
        self.expect("</stream:features>").await
    }

    /// From an encrypted connection to an authenticated stream.
    pub(super) async fn authenticate(&mut self) {
        self.open(HOSTS[0]).await;
        self.send(PLAIN).await;
        self.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'").await;
        self.expect(">").await;
        self.open(HOSTS[0]).await;
    }

    /// From an encrypted connection to a bound resource.
    pub(super) async fn log_in(&mut self, resource: &str) {
        self.authenticate().await;
        self.send(&bind(resource)).await;
        self.expect("</iq>").await;
    }
}
