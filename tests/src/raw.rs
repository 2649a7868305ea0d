//! Sockets for hostile bytes: no scanner, no manners.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::deployment::{Certificate, DOMAIN};
use crate::within;

/// A connection to a server, in clear or not.
pub struct Raw<T>(pub T);

impl Raw<TcpStream> {
    /// A connection in clear.
    ///
    /// # Panics
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Self {
        Self(within("a TCP connection", TcpStream::connect(address)).await.expect("somebody listens"))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    /// Sends what the server still takes; whether it has hung up is seen from what it says.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
    }

    /// All that comes until `end` has come or the connection is closed.
    pub async fn read_to(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        within(&format!("the server to say {end:?}"), async {
            let mut piece = [0; 4096];
            while !String::from_utf8_lossy(&all).contains(end) {
                match self.0.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => all.extend_from_slice(&piece[..count]),
                }
            }
        })
        .await;
        String::from_utf8_lossy(&all).into_owned()
    }

    /// All that comes until the connection is closed, by whatever means.
    pub async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        within("the server to close the connection", async {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = self.0.read(&mut piece).await {
                all.extend_from_slice(&piece[..count]);
            }
        })
        .await;
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// What to offer in the handshake.
pub struct Offer {
    /// The version of TLS.
    pub version: &'static rustls::SupportedProtocolVersion,
    /// ALPN: `xmpp-client`, say.
    pub protocol: &'static [u8],
}

/// Begins with TLS.
///
/// # Errors
/// The handshake fails.
///
/// # Panics
/// Nobody listens.
pub async fn direct_tls(
    address: SocketAddr,
    certificate: &Certificate,
    offer: &Offer,
) -> std::io::Result<Raw<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[offer.version]);
    let mut config = builder.expect("known versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![offer.protocol.to_vec()];
    let name = ServerName::try_from(DOMAIN).expect("a name");
    let connection = Raw::connect(address).await.0;
    within("a TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, connection)).await.map(Raw)
}
