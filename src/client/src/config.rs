//! What a client is told: who it is, where its server is, whom it trusts, how patient it is.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, pem};
use vesta_xmpp::sasl::Mechanism;
use vesta_xmpp::{BareJid, JidError, Secret};

use crate::backoff::Backoff;

/// Configuration of a [`Client`](crate::Client) or a [`Stream`](crate::Stream). [`Config::new`] gives safe defaults; the
/// fields are public to be changed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account.
    pub account: BareJid,
    /// Its password, as typed.
    pub password: Secret,
    /// The resource to ask for. Default: `None`, the server chooses.
    pub resource: Option<String>,
    /// Where the server is. Default: as the DNS says.
    pub server: Server,
    /// Which certificates are believed. Default: those that the system trusts.
    pub trust: Trust,
    /// Whether to go on only inside TLS. Default: yes; no is for tests on loopback.
    pub require_tls: bool,
    /// The mechanisms that may be used; the strongest that the server offers is. PLAIN is only ever used inside TLS.
    /// Default: all but PLAIN.
    pub mechanisms: Vec<Mechanism>,
    /// The longest stanza accepted from the server, in bytes. Default: 1 MiB.
    pub stanza_bytes_max: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How a silent connection is kept and its loss noticed. Default: a ping after a minute of silence.
    pub keepalive: Keepalive,
    /// What to do when the connection is lost. Default: make a new one, for ever. `None`: the client ends.
    pub reconnect: Option<Backoff>,
    /// XEP-0198: stanzas are acknowledged, and a session outlives its connection. Default: wherever the server offers it.
    /// `None`: not at all.
    pub management: Option<Management>,
    /// XEP-0184: whether whoever asks for a receipt of a message gets it. It tells them that we are here, even if they don't see
    /// our presence (§8). Default: no.
    pub answer_receipts: bool,
}

impl Config {
    /// The defaults for an account.
    ///
    /// # Errors
    /// `account` is no bare JID.
    pub fn new(account: &str, password: &str) -> Result<Self, JidError> {
        Ok(Self {
            account: BareJid::parse(account)?,
            password: password.into(),
            resource: None,
            server: Server::Discover,
            trust: Trust::System,
            require_tls: true,
            mechanisms: Mechanism::WITHOUT_PASSWORD.to_vec(),
            stanza_bytes_max: 1024 * 1024,
            timeouts: Timeouts::default(),
            keepalive: Keepalive::Ping(Duration::from_secs(60)),
            reconnect: Some(Backoff::default()),
            management: Some(Management::default()),
            answer_receipts: false,
        })
    }

    /// Names the server instead of asking the DNS. Called again, it names one more endpoint, to be tried after those before it.
    #[must_use]
    pub fn with_server(mut self, host: impl Into<String>, port: u16, security: Security) -> Self {
        let endpoint = Endpoint { host: host.into(), port, security };
        match &mut self.server {
            Server::At(endpoints) => endpoints.push(endpoint),
            Server::Discover => self.server = Server::At(vec![endpoint]),
        }
        self
    }

    /// Asks for a resource.
    #[must_use]
    pub fn with_resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Chooses whom to trust.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// SRV records of the account's domain: `_xmpps-client` (XEP-0368) and `_xmpp-client` (RFC 6120 §3.2.1) together, by
    /// priority; without any, the domain itself at port 5222.
    Discover,
    /// Here: at the first of these that lets us in.
    At(Vec<Endpoint>),
}

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How TLS comes to be there.
    pub security: Security,
}

/// How TLS comes to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// In clear first, then STARTTLS (RFC 6120 §5).
    StartTls,
    /// From the first byte (XEP-0368).
    DirectTls,
}

/// Which server certificates are believed. But for [`Trust::Pinned`] the certificate must be valid for the account's domain.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Issued by an authority that the operating system trusts.
    System,
    /// Issued by one of these, or by one that the operating system trusts.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// Issued by one of these, or one of these itself, if it is self-signed.
    Only(Vec<CertificateDer<'static>>),
    /// The certificate with one of these SHA-256 fingerprints, whatever else it says.
    Pinned(Vec<[u8; 32]>),
    /// As this configuration of rustls says; its ALPN is replaced. Many clients can share one.
    Custom(Arc<rustls::ClientConfig>),
}

impl Trust {
    /// [`Trust::Only`] the certificates of a PEM file.
    ///
    /// # Errors
    /// The text is no PEM.
    pub fn only_pem(pem: &[u8]) -> Result<Self, pem::Error> {
        Ok(Trust::Only(CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?))
    }
}

/// XEP-0198: what is asked of the server, and how much may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// Whether a lost connection is to be followed by another one for the same session. Default: yes.
    pub resume: bool,
    /// So many stanzas may be sent that the server has not acknowledged; whoever sends more waits. Default: 256.
    pub unacknowledged_max: usize,
    /// As before, in bytes; what is sent last may go beyond. Default: 1 MiB.
    pub unacknowledged_bytes_max: usize,
    /// Whether messages that were not acknowledged when their session was lost for good are sent again in the next one, before
    /// anything else. They carry the same origin-id (XEP-0359), by which a server or a recipient can tell what it has already.
    /// Default: no, the application is told of them.
    pub resend: bool,
}

impl Default for Management {
    fn default() -> Self {
        Self { resume: true, unacknowledged_max: 256, unacknowledged_bytes_max: 1024 * 1024, resend: false }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One TCP connection. Default: 10 s.
    pub connect: Duration,
    /// TLS, authentication and resource binding together. Default: 30 s.
    pub negotiate: Duration,
    /// The answer to a request, where the caller names no time. Default: 30 s.
    pub request: Duration,
    /// The wait for the server's end of the stream after ours. Default: 5 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            negotiate: Duration::from_secs(30),
            request: Duration::from_secs(30),
            close: Duration::from_secs(5),
        }
    }
}

/// How a silent connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// Not at all: no timer runs.
    Off,
    /// A space is sent each time (RFC 6120 §4.6.1). Keeps address translators from forgetting the connection.
    Whitespace(Duration),
    /// After so long without a byte from the server it is asked, by XEP-0198 where the stream is managed, by XEP-0199 where it
    /// isn't; after the same time without answer the connection counts as lost.
    Ping(Duration),
}
