//! TLS towards clients: rustls on aws-lc-rs, TLS 1.2 and 1.3, the hybrid group X25519MLKEM768 preferred.
//!
//! The server name in the ClientHello chooses the virtual host's certificate ([`certificates`]); a host without one gets a
//! self-signed one ([`self_signed`]). What the channel can be bound by ([`ChannelBindings`]) is taken from the very
//! connection and the very certificate, so a reload in between does no harm.

pub(crate) mod certificates;
pub(crate) mod self_signed;

use std::io;
use std::path::PathBuf;

use rustls::ProtocolVersion;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use vesta_xmpp::sasl::ChannelBindings;

pub(crate) use certificates::Certificates;

/// The only protocol that clients may name in ALPN (XEP-0368 §4).
pub(crate) const ALPN: &[u8] = b"xmpp-client";
/// The most that rustls holds for a peer, in either direction: a full record, and what a slow reader may owe.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why a certificate can't be used. Each says which file, and what about it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no PEM of the kind that is wanted.
    #[error("{path}: {reason}")]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key don't belong together, or the key is of a kind that is not supported.
    #[error("{certificate} and {key}: {reason}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// A self-signed certificate could not be made.
    #[error("no certificate could be made for {host}: {reason}")]
    SelfSigned {
        /// For whom.
        host: String,
        /// Why.
        reason: String,
    },
}

/// Does the handshake as server, and says what the channel can be bound by.
///
/// # Errors
/// The peer's: what it sent is no handshake that we accept, or it went away.
pub(crate) async fn accept(
    certificates: &Certificates,
    stream: TcpStream,
) -> io::Result<(Box<TlsStream<TcpStream>>, ChannelBindings)> {
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let host = certificates.for_server_name(started.client_hello().server_name());
    let mut stream = Box::new(started.into_stream(host.config.clone()).await?);
    let connection = stream.get_mut().1;
    connection.set_buffer_limit(Some(BUFFER_BYTES));
    let bindings =
        ChannelBindings { tls_exporter: exported_key(connection), tls_server_end_point: host.end_point.clone() };
    Ok((stream, bindings))
}

/// RFC 9266 §2. Only for TLS 1.3: under 1.2 it is no safe binding without the extended master secret (§4.2).
fn exported_key(connection: &rustls::ServerConnection) -> Option<Vec<u8>> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    // An empty context and none are the same in 1.3; the specification says empty.
    connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
}
