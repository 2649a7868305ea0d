//! Every key, with its default. A doc comment here is the key's documentation in the generated default file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::headers::Headers;
use super::quantity::{Period, Size};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This node's name: unique among the nodes of its role, and the name in its certificate (`vesta://ROLE/NAME`).
    pub name: String,
    /// How many threads serve connections; 0: one for each core that this process may use. Where several processes share a
    /// machine, as many threads in all as it has cores: five processes with two threads each cost twice the CPU on two cores.
    pub threads: u16,
    /// The virtual hosts. The first one is the default for clients that name none by SNI.
    pub hosts: Vec<Host>,
    /// Where durable data is kept.
    pub storage: Storage,
    /// Where clients connect, and how.
    pub clients: Clients,
    /// What bounds clients. Where it says "slows", a client's socket is read later and no error is sent.
    pub limits: Limits,
    /// Passwords and logins.
    pub authentication: Authentication,
    /// The nodes of a cluster, and how they reach each other. Of no concern to `vesta serve`.
    pub cluster: Cluster,
    /// Health, metrics and administration.
    pub administration: Administration,
    /// Logs, and the export of traces, metrics and logs.
    pub telemetry: Telemetry,
    /// The XEPs. A virtual host may override each key in its own table `modules`.
    pub modules: vesta_modules::Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "vesta".into(),
            threads: 0,
            hosts: vec![Host::default()],
            storage: Storage::default(),
            clients: Clients::default(),
            limits: Limits::default(),
            authentication: Authentication::default(),
            cluster: Cluster::default(),
            administration: Administration::default(),
            telemetry: Telemetry::default(),
            modules: vesta_modules::Config::default(),
        }
    }
}

/// A virtual host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    /// Its domain.
    pub domain: String,
    /// PEM file with its certificate, the chain behind it; read again when it changes. Without one, a self-signed certificate is
    /// made at the first start.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub key: Option<PathBuf>,
    /// Overrides keys of `[modules]` for this host.
    #[schemars(with = "Option<BTreeMap<String, BTreeMap<String, String>>>")]
    pub modules: Option<toml::Table>,
}

impl Default for Host {
    fn default() -> Self {
        Self { domain: "localhost".into(), certificate: None, key: None, modules: None }
    }
}

/// Where durable data is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// `sqlite` keeps it in the file `vesta.db` of the data directory: for `vesta serve` alone. A cluster needs PostgreSQL:
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`.
    pub url: String,
    /// PostgreSQL: connections that one router keeps for reading; a few more are kept for writing.
    pub pool_size: u32,
    /// PostgreSQL: how long one attempt to get a connection may take.
    pub connect_timeout: Period,
    /// PostgreSQL: how long the database may be away (a restart, a fail-over) before what needs it is answered with an error. Until
    /// then it waits, and what the same account does behind it.
    pub patience: Period,
}

impl Default for Storage {
    fn default() -> Self {
        Self { url: "sqlite".into(), pool_size: 12, connect_timeout: Period::seconds(3), patience: Period::seconds(30) }
    }
}

/// Where clients connect, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// Addresses for connections that begin in clear and upgrade by STARTTLS.
    pub starttls: Vec<SocketAddr>,
    /// Addresses for connections that begin with TLS (XEP-0368).
    pub direct_tls: Vec<SocketAddr>,
    /// Whether a client must use TLS before it may log in. `false` is for development on one machine: then SCRAM is offered in
    /// clear, PLAIN never.
    pub require_tls: bool,
    /// How often certificate files are looked at for changes.
    pub certificate_check: Period,
    /// A space is sent to a client that has been silent for so long, so that a dead connection is noticed.
    pub ping_after: Period,
    /// How long bytes may stay unacknowledged by the client's TCP before the connection counts as lost.
    pub unacknowledged_max: Period,
    /// A client that has been silent for so long is disconnected; told to it by XEP-0478. Without a value: never.
    pub idle_max: Option<Period>,
    /// How long after the loss of its connection a client may resume its session (XEP-0198), at whatever connection manager. Its contacts
    /// see nothing of the loss, and what comes for it is kept in memory until then, within the limits of a slow client. `"0s"`: never.
    pub resume_within: Period,
    /// Where clients are told to come back to for that, `host:port`. Without a value: wherever they find the service.
    pub resume_at: Option<String>,
    /// How long clients are given to leave when the server is stopped by SIGTERM.
    pub drain: Period,
}

impl Default for Clients {
    fn default() -> Self {
        let both = |port| vec![SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0u16; 8], port))];
        Self {
            starttls: both(5222),
            direct_tls: both(5223),
            require_tls: true,
            certificate_check: Period::seconds(5),
            ping_after: Period::seconds(150),
            unacknowledged_max: Period::seconds(60),
            idle_max: Some(Period::seconds(3600)),
            resume_within: Period::seconds(300),
            resume_at: None,
            drain: Period::seconds(20),
        }
    }
}

/// What bounds clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest stanza before login. Longer ones end the stream with `policy-violation`.
    pub stanza_before_login: Size,
    /// The longest stanza after login. Longer ones end the stream with `policy-violation`; told to clients by XEP-0478.
    pub stanza: Size,
    /// How long a client may take from connecting to a bound resource.
    pub login_time: Period,
    /// How long a TLS handshake may take, its turn included.
    pub handshake_time: Period,
    /// TLS handshakes under way at once. More wait.
    pub handshakes: usize,
    /// Connections of this process. More are closed at once.
    pub connections: usize,
    /// Connections from one IPv4 address or IPv6 /64 network. More are closed at once.
    pub connections_per_address: u32,
    /// New connections per second from one address in the long run; ten times as many at once. More are closed at once.
    pub connections_per_second: f64,
    /// Stanzas per second from one client in the long run, twice as many at once. More slows.
    pub stanzas_per_second: f64,
    /// Bytes per second from one client in the long run, twice as many at once. More slows.
    pub bytes_per_second: Size,
    /// Failed logins after which a stream is closed; at least 2, at most 5 are recommended (RFC 6120 §6.4.5). Some clients try several
    /// mechanisms in turn, and each counts.
    pub login_attempts: u32,
    /// Bytes that wait for one client that does not read. More end its stream with `resource-constraint`.
    pub outgoing: Size,
    /// Contacts in one roster. More are refused with `policy-violation`.
    pub roster_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza_before_login: Size(10_000),
            stanza: Size(256 * 1024),
            login_time: Period::seconds(30),
            handshake_time: Period::seconds(10),
            handshakes: 256,
            connections: 1_000_000,
            connections_per_address: 1_000,
            connections_per_second: 50.0,
            stanzas_per_second: 1_000.0,
            bytes_per_second: Size(1024 * 1024),
            login_attempts: 5,
            outgoing: Size(4 * 1024 * 1024),
            roster_items: 3_000,
        }
    }
}

/// Passwords and logins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Authentication {
    /// SCRAM iterations of passwords that are set from now on; at least 10000. Every login costs the client that much.
    pub scram_iterations: u32,
}

impl Default for Authentication {
    fn default() -> Self {
        Self { scram_iterations: 10_000 }
    }
}

/// The nodes of a cluster, and how they reach each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Where this router listens for connection managers, other routers and administrators.
    pub listen: SocketAddr,
    /// The session routers, the same list on every node. The first founds the cluster when all have come up for the first time.
    pub routers: Vec<RouterAddress>,
    /// How many shards the cluster is founded with; can't be changed later. `vesta serve` uses 8.
    pub shards: u32,
    /// How long a connection manager may be away before its sessions end.
    pub manager_grace: Period,
    /// PEM file with the authority that signs the nodes' certificates (`vesta certificates`).
    pub authority: Option<PathBuf>,
    /// PEM file with this node's certificate. Read again when it changes.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Lets nodes speak in clear and trust everybody who reaches them. For development on one machine.
    pub insecure_plain_text: bool,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 5280)),
            routers: Vec::new(),
            shards: 64,
            manager_grace: Period::seconds(5),
            authority: None,
            certificate: None,
            key: None,
            insecure_plain_text: false,
        }
    }
}

/// A session router of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterAddress {
    /// Its name.
    pub name: String,
    /// Where other nodes reach it: `host:port`.
    pub address: String,
}

/// Health, metrics and administration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Administration {
    /// Where `/healthz`, `/readyz` and `/metrics` are served over plain HTTP. Not for the Internet.
    pub http: Option<SocketAddr>,
}

impl Default for Administration {
    fn default() -> Self {
        Self { http: Some(SocketAddr::from(([127, 0, 0, 1], 5281))) }
    }
}

/// Logs, and the export of traces, metrics and logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or by part: `info,vesta_router=debug`.
    pub log: String,
    /// How: for people (`human`) or one JSON object a line (`json`).
    pub format: LogFormat,
    /// An OTLP receiver (gRPC) that gets traces, metrics and logs: `http://127.0.0.1:4317`, or `https://…` with a
    /// certificate that the system's roots vouch for.
    pub otlp: Option<String>,
    /// Headers of all requests to it, such as an API key: `{ x-api-key = "…" }`. Their values are secret: no log and no command shows
    /// them.
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: Headers,
    /// How often metrics are sent there; at most once a second.
    pub metrics_every: Period,
    /// The share of traces that is sent there, from 0.0 to 1.0. What the nodes do is traced, never single stanzas.
    pub trace_ratio: f64,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info,openraft=error,rustls=error".into(),
            format: LogFormat::Human,
            otlp: None,
            headers: Headers::default(),
            metrics_every: Period::seconds(15),
            trace_ratio: 1.0,
        }
    }
}
