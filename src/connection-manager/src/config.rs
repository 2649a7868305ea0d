//! What a connection manager is told at its start: plain values, built by whoever composes the server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Everything a connection manager needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the cluster, the same at each start.
    pub name: Arc<str>,
    /// The virtual hosts served, as prepared domainparts. The first is the default one.
    pub hosts: Vec<String>,
    /// Where clients connect in clear and upgrade by STARTTLS (RFC 6120 §5).
    pub starttls: Vec<SocketAddr>,
    /// Where clients connect by TLS at once (XEP-0368).
    pub direct_tls: Vec<SocketAddr>,
    /// Connections that the kernel holds for us until they are accepted, per listener.
    pub backlog: u32,
    /// `host:port` of the routers to begin with; one empty address where the router is in the same process. Others come
    /// with the first router's welcome.
    pub routers: Vec<Arc<str>>,
    /// Certificates.
    pub tls: TlsConfig,
    /// Whether SASL is offered inside TLS only. Off for development alone.
    pub require_tls: bool,
    /// Whether in-band registration is offered before authentication (XEP-0077).
    pub registration: bool,
    /// Stream features advertised after authentication, as written XML.
    pub features: Bytes,
    /// What bounds a peer.
    pub limits: LimitsConfig,
    /// When a silent peer is looked after.
    pub liveness: LivenessConfig,
    /// Whether clients may resume their sessions.
    pub resumption: Resumption,
    /// How long a request to a router may take before the client is told to try again later. Longer than a fail-over of the database,
    /// shorter than [`LimitsConfig::authentication_timeout`], which closes the stream.
    pub request_timeout: Duration,
}

impl Config {
    /// A configuration with the default ports and limits, TLS data under `data`, and a router in the same process.
    pub fn new(hosts: Vec<String>, data: PathBuf) -> Self {
        let any = |port| {
            vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]
        };
        Self {
            name: "connection-manager".into(),
            hosts,
            starttls: any(5222),
            direct_tls: any(5223),
            backlog: 1024,
            routers: vec!["".into()],
            tls: TlsConfig { certificates: Vec::new(), data, reload_every: Duration::from_secs(5) },
            require_tls: true,
            registration: false,
            features: Bytes::new(),
            limits: LimitsConfig::default(),
            liveness: LivenessConfig::default(),
            resumption: Resumption::default(),
            request_timeout: Duration::from_secs(25),
        }
    }
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Certificates from files. A host without one gets a self-signed one.
    pub certificates: Vec<HostCertificate>,
    /// Where self-signed certificates are kept.
    pub data: PathBuf,
    /// How often the files are looked at for changes.
    pub reload_every: Duration,
}

/// The certificate of one virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// The virtual host, as in [`Config::hosts`].
    pub host: String,
    /// PEM file with the host's certificate first and the chain behind it.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Whether clients may resume their sessions (XEP-0198 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// For how long after the loss of a connection; a client may wish for less. Zero: not at all. Until then the session's outbox is kept
    /// in memory, at the router and here.
    pub within: Duration,
    /// Where clients are told to come back to: `host:port`. They may come back anywhere.
    pub location: Option<String>,
}

impl Default for Resumption {
    fn default() -> Self {
        Self { within: Duration::from_secs(300), location: None }
    }
}

/// What bounds peers. Where it says "slows", the peer's socket is read later and no error is sent.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Longest first-level element before authentication, in bytes. Four times as much may be sent in all before it.
    pub stanza_bytes_before: usize,
    /// Longest stanza after authentication, in bytes.
    pub stanza_bytes_after: usize,
    /// Time from the connection to a bound resource, whatever arrives (T10).
    pub authentication_timeout: Duration,
    /// Time for a TLS handshake, waiting for its turn included (T8).
    pub handshake_timeout: Duration,
    /// TLS handshakes under way at once (T8).
    pub handshakes_max: usize,
    /// Connections in all. More are closed at once.
    pub connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64 network. More are closed at once.
    pub connections_per_address: u32,
    /// New connections of one address: more are closed at once.
    pub connection_rate: Rate,
    /// Stanzas of one session: more slows.
    pub stanza_rate: Rate,
    /// Bytes of one session: more slows.
    pub byte_rate: Rate,
    /// Failed authentications after which a stream ends (RFC 6120 §6.4.5).
    pub attempts_max: u32,
    /// Bytes waiting for one client that does not read: more ends its stream with `resource-constraint` (T61).
    pub outgoing_bytes: usize,
    /// Stanzas waiting for one client that does not read: more ends its stream.
    pub outgoing_stanzas: usize,
    /// How long a stream that ends waits for its peer to take the last bytes and to close too.
    pub close_timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            stanza_bytes_before: 10_000,
            stanza_bytes_after: 256 * 1024,
            authentication_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            connections_max: 1_000_000,
            connections_per_address: 1_000,
            connection_rate: Rate { per_second: 50.0, burst: 500.0 },
            stanza_rate: Rate { per_second: 1_000.0, burst: 2_000.0 },
            byte_rate: Rate { per_second: 1_048_576.0, burst: 2_097_152.0 },
            attempts_max: 5,
            outgoing_bytes: 4 * 1024 * 1024,
            outgoing_stanzas: 2_000,
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// A token bucket: so many per second in the long run, so many at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come back in a second.
    pub per_second: f64,
    /// The most that the bucket holds.
    pub burst: f64,
}

/// When a silent peer is looked after. All times are counted from the last byte that came from it.
#[derive(Clone, Copy, Debug)]
pub struct LivenessConfig {
    /// A space is sent after this much silence (RFC 6120 §4.6.1), so that a dead peer is found out by TCP.
    pub ping_after: Duration,
    /// How long sent bytes may stay unacknowledged by the peer's TCP before the connection counts as lost.
    pub unacknowledged_max: Duration,
    /// A stream ends with `connection-timeout` after this much silence; advertised as XEP-0478 `idle-seconds`. `None`: never.
    pub close_after: Option<Duration>,
    /// How often all connections are looked at.
    pub sweep_every: Duration,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(150),
            unacknowledged_max: Duration::from_secs(60),
            close_after: Some(Duration::from_secs(3600)),
            sweep_every: Duration::from_secs(10),
        }
    }
}
