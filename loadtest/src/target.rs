//! Where the server is, and connections to it from many local addresses: so neither the ports of one address run out nor do
//! a server's limits per address count.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpSocket;
use vesta_client::{Config, Keepalive, Stream, Trust};

use crate::error::Error;

/// Which server is meant.
#[derive(Clone, Debug, Args)]
pub struct TargetArguments {
    /// Where it listens, `address:port`. Several are used in turn.
    #[arg(long = "server", value_name = "ADDRESS", default_value = "127.0.0.1:5222")]
    servers: Vec<SocketAddr>,
    /// The virtual host.
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// What the connections run over. The certificate is not checked.
    #[arg(long, value_enum, default_value_t = Security::Starttls)]
    security: Security,
    /// From how many addresses 127.1.y.z to connect, in turn. 0: the system chooses, as for servers that are not on loopback.
    #[arg(long, default_value_t = 64, value_name = "N")]
    local_addresses: u32,
}

impl TargetArguments {
    /// As it was given, for reports.
    pub fn security_name(&self) -> String {
        self.security.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Each of the servers alone.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.servers.iter().map(|server| Self { servers: vec![*server], ..self.clone() })
    }

    /// The same with another server, which knows nothing of TLS.
    pub fn at_relay(&self, relay: SocketAddr) -> Self {
        Self { servers: vec![relay], security: Security::Clear, ..self.clone() }
    }
}

/// What connections run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Security {
    /// TCP in clear, even where the server offers TLS.
    Clear,
    /// In clear first, then STARTTLS.
    Starttls,
    /// TLS from the first byte.
    Direct,
}

/// A server that can be connected to.
#[derive(Debug)]
pub struct Target {
    arguments: TargetArguments,
    /// For the handshake: domain and trust.
    config: Config,
    connections: AtomicUsize,
}

impl Target {
    /// Prepares for connections.
    ///
    /// # Errors
    /// The domain is none.
    pub fn new(arguments: TargetArguments) -> Result<Self, Error> {
        let domain = &arguments.domain;
        let mut config = Config::new(domain, "").map_err(|error| Error::Usage(format!("{domain:?}: {error}")))?;
        config.trust = Trust::Custom(tls()?);
        config.keepalive = Keepalive::Off;
        Ok(Self { arguments, config, connections: AtomicUsize::new(0) })
    }

    /// The virtual host.
    pub fn domain(&self) -> &str {
        self.config.account.domain()
    }

    /// What connections run over.
    pub fn security(&self) -> Security {
        self.arguments.security
    }

    /// A new connection, with TLS if it is direct. No stream is opened yet.
    ///
    /// # Errors
    /// The server can't be reached.
    pub async fn dial(&self) -> Result<Stream, Error> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let server = self.arguments.servers[number % self.arguments.servers.len()];
        let socket = match server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(Error::system("a socket"))?;
        if let Some(local) = self.local_address(number, server) {
            socket.bind(local).map_err(Error::system("a local address"))?;
        }
        let connection = socket.connect(server).await.map_err(Error::system("a connection to the server"))?;
        connection.set_nodelay(true).map_err(Error::system("an option of the socket"))?;
        let mut stream = Stream::over(connection, &self.config);
        if self.security() == Security::Direct {
            stream.secure(&self.config, true).await?;
        }
        Ok(stream)
    }

    /// Does the handshake of STARTTLS.
    ///
    /// # Errors
    /// It fails.
    pub async fn start_tls(&self, stream: &mut Stream) -> Result<(), Error> {
        Ok(stream.secure(&self.config, false).await?)
    }

    fn local_address(&self, number: usize, server: SocketAddr) -> Option<SocketAddr> {
        /// 127.1.0.1: out of the way of what listens on 127.0.0.x.
        const FIRST: u32 = 0x7f01_0001;
        let count = self.arguments.local_addresses.min(0xffff);
        if count == 0 || !server.is_ipv4() || !server.ip().is_loopback() {
            return None;
        }
        let address = Ipv4Addr::from_bits(FIRST + number as u32 % count);
        Some(SocketAddr::new(IpAddr::V4(address), 0))
    }
}

/// TLS that believes every certificate and resumes nothing: each handshake is a whole one.
fn tls() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Usage(error.to_string()))?;
    let verifier = Arc::new(Unverified { schemes });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Looks at no certificate and no signature: what the client's cryptography costs is not the server's.
#[derive(Debug)]
struct Unverified {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: TargetArguments,
    }

    #[test]
    fn several_servers_are_one_target_or_one_each() {
        let line = ["", "--server", "127.0.0.1:1", "--server", "127.0.0.1:2", "--security", "clear"];
        let target = Line::try_parse_from(line).expect("well-formed").target;
        let each: Vec<_> = target.each().map(|one| (one.servers, one.security)).collect();
        let servers: Vec<SocketAddr> = target.servers;
        assert_eq!(each, [(vec![servers[0]], Security::Clear), (vec![servers[1]], Security::Clear)]);
    }
}
