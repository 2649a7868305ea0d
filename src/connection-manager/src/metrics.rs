//! What a connection manager counts. Handles are held where they are used: no label is looked up per stanza.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum TransportLabel {
    /// TCP, in clear or upgraded by STARTTLS.
    Starttls,
    /// TLS from the first byte.
    DirectTls,
}

/// Label of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByTransport {
    /// How the client is connected.
    pub transport: TransportLabel,
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ResultLabel {
    /// Well.
    Success,
    /// The peer is at fault.
    Failure,
    /// We could not tell in time.
    Unavailable,
}

/// Label of handshakes and authentications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByResult {
    /// How it went.
    pub result: ResultLabel,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum LimitLabel {
    /// Connections in all.
    Connections,
    /// Connections of one address.
    ConnectionsPerAddress,
    /// New connections of one address per second.
    ConnectionRate,
    /// Time to authenticate, or bytes before it.
    Authentication,
    /// Time for a TLS handshake.
    Handshake,
    /// Bytes or stanzas per second: reading was slowed.
    Rate,
    /// Stanzas not yet accepted by a router: reading was stopped.
    Window,
    /// Bytes or stanzas waiting for a client that does not read: the stream was ended.
    Outgoing,
    /// Silence: the stream was ended.
    Idle,
}

/// Label of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByLimit {
    /// Which one.
    pub limit: LimitLabel,
}

/// All metrics of a connection manager. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Open connections.
    pub connections: Family<ByTransport, Gauge>,
    /// Accepted connections.
    pub accepted: Family<ByTransport, Counter>,
    /// Bound sessions.
    pub sessions: Gauge,
    /// TLS handshakes.
    pub handshakes: Family<ByResult, Counter>,
    /// Authentications.
    pub authentications: Family<ByResult, Counter>,
    /// Stanzas from clients.
    pub stanzas_in: Counter,
    /// Stanzas to clients.
    pub stanzas_out: Counter,
    /// Bytes from clients, decrypted.
    pub bytes_in: Counter,
    /// Bytes to clients, before encryption.
    pub bytes_out: Counter,
    /// Limits hit.
    pub limits: Family<ByLimit, Counter>,
    /// Stanzas from clients that no router has accepted yet.
    pub unaccepted: Gauge,
    /// Bytes waiting to be written to clients.
    pub outgoing_bytes: Gauge,
    /// Sessions that wait here for their client to resume them.
    pub detached: Gauge,
    /// Links to routers that are up.
    pub links: Gauge,
    /// Frames that were refused: of an older term, twice, or behind a gap.
    pub frames_refused: Counter,
}

impl Metrics {
    /// Counts a limit that was hit.
    pub(crate) fn limit(&self, limit: LimitLabel) {
        self.limits.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts a handshake.
    pub(crate) fn handshake(&self, result: ResultLabel) {
        self.handshakes.get_or_create(&ByResult { result }).inc();
    }

    /// Counts an authentication.
    pub(crate) fn authentication(&self, result: ResultLabel) {
        self.authentications.get_or_create(&ByResult { result }).inc();
    }
}

/// Puts all metrics into `registry`, each with its help line.
pub fn register(metrics: &Metrics, registry: &mut Registry) {
    let m = metrics.clone();
    registry.register("xmpp_server_active_connections", "Open client connections", m.connections);
    registry.register("xmpp_server_accepted_connections", "Client connections accepted", m.accepted);
    registry.register("xmpp_session_active", "Sessions bound at this connection manager", m.sessions);
    registry.register("xmpp_server_tls_handshakes", "TLS handshakes with clients", m.handshakes);
    registry.register("xmpp_server_authentications", "SASL authentications", m.authentications);
    registry.register("xmpp_server_stanzas_in", "Stanzas read from clients", m.stanzas_in);
    registry.register("xmpp_server_stanzas_out", "Stanzas queued for clients", m.stanzas_out);
    registry.register("xmpp_server_io_in_bytes", "Bytes read from clients, decrypted", m.bytes_in);
    registry.register("xmpp_server_io_out_bytes", "Bytes written to clients, before encryption", m.bytes_out);
    registry.register("xmpp_server_limits", "Limits that were hit", m.limits);
    registry.register("xmpp_session_unaccepted", "Stanzas of clients that no router has accepted yet", m.unaccepted);
    registry.register("xmpp_session_outgoing_bytes", "Bytes waiting for clients", m.outgoing_bytes);
    registry.register("xmpp_session_detached", "Sessions whose connection is lost and may be resumed", m.detached);
    registry.register("vesta_uplink_links", "Links to routers that are up", m.links);
    registry.register("vesta_uplink_frames_refused", "Frames of routers that were refused", m.frames_refused);
}
