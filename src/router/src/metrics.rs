//! What a router counts.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct RouterMetrics {
    bound: Counter,
    resumed: Counter,
    pruned: Counter,
    routed: Counter,
    forwarded: Counter,
    bounced: Counter,
    overflowed: Counter,
    recognised: Counter,
    refused: Family<Reason, Counter>,
    authentications: Family<Reason, Counter>,
    /// Shards that this node leads.
    pub led_shards: Gauge<i64, AtomicI64>,
    /// Sessions in the shards that this node leads.
    pub sessions: Gauge<i64, AtomicI64>,
    /// Those of them that wait for their client to resume them.
    pub detached: Gauge<i64, AtomicI64>,
    /// Connection managers attached.
    pub managers: Gauge<i64, AtomicI64>,
    /// Stanzas that wait for the leader of another shard, or are on their way to it.
    pub forward_queue: Gauge<i64, AtomicI64>,
}

impl RouterMetrics {
    /// Puts everything into a registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("vesta_router");
        registry.register("sessions_bound", "Sessions bound since start", self.bound.clone());
        registry.register("sessions_resumed", "Sessions resumed over another stream since start", self.resumed.clone());
        registry.register("archive_entries_pruned", "Entries of archives that were too old", self.pruned.clone());
        registry.register("stanzas_routed", "Stanzas given to the owner of their address", self.routed.clone());
        registry.register("stanzas_forwarded", "Stanzas sent to other routers", self.forwarded.clone());
        registry.register("stanzas_bounced", "Stanzas that came back as an error", self.bounced.clone());
        registry.register(
            "outbox_overflows",
            "Sessions ended because their client was too slow",
            self.overflowed.clone(),
        );
        registry.register("stanzas_recognised", "Stanzas that came twice and were taken once", self.recognised.clone());
        registry.register("events_refused", "Events refused by a full queue, by kind", self.refused.clone());
        registry.register("authentications", "SASL questions answered, by outcome", self.authentications.clone());
        registry.register("led_shards", "Shards that this node leads", self.led_shards.clone());
        registry.register("sessions", "Sessions in the shards that this node leads", self.sessions.clone());
        registry.register(
            "sessions_detached",
            "Sessions that wait for their client to resume them, in the shards that this node leads",
            self.detached.clone(),
        );
        registry.register("managers", "Connection managers attached", self.managers.clone());
        registry.register(
            "forward_queue",
            "Stanzas waiting for or on their way to other routers",
            self.forward_queue.clone(),
        );
    }

    /// A session was bound.
    pub fn bound(&self) {
        self.bound.inc();
    }

    /// A session went on over another stream.
    pub fn resumed(&self) {
        self.resumed.inc();
    }

    /// So many entries of archives were taken away.
    pub fn pruned(&self, entries: u64) {
        self.pruned.inc_by(entries);
    }

    /// A stanza was given to the owner of its address.
    pub fn routed(&self) {
        self.routed.inc();
    }

    /// A stanza was sent to another router.
    pub fn forwarded(&self) {
        self.forwarded.inc();
    }

    /// A stanza came back as an error.
    pub fn bounced(&self) {
        self.bounced.inc();
    }

    /// A session was ended because its outbox was full.
    pub fn overflowed(&self) {
        self.overflowed.inc();
    }

    /// A stanza came for the second time.
    pub fn recognised(&self) {
        self.recognised.inc();
    }

    /// An event found its account's queue full.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// A SASL question was answered.
    pub fn authentication(&self, reason: &'static str) {
        self.authentications.get_or_create(&Reason { reason }).inc();
    }
}
