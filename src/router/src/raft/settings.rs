//! The times and sizes of the groups of a node.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// How the groups of a node run. All members of a cluster should use the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// How often a leader tells its followers that it lives, rounded up to 100 ms. Default: 250 ms.
    pub heartbeat: Duration,
    /// A follower that has heard no leader for a time drawn between these two asks for votes. The longer one is also the leader's
    /// lease. Default: 1 s and 2 s; the shorter must be longer than the heartbeat.
    pub election_timeout: (Duration, Duration),
    /// When a proposal that has not been committed is given up as undecided. Default: 5 s.
    pub proposal_timeout: Duration,
    /// How long a snapshot may take to another member. Default: 60 s.
    pub snapshot_timeout: Duration,
    /// A snapshot is taken each time that the log has grown by so many entries. All of them are in memory too, some 400 bytes
    /// each. Default: 1,024.
    pub snapshot_every: u64,
    /// The entries that stay in the log behind a snapshot, so that a follower slightly behind needs no snapshot. Default: 256.
    pub keep_entries: u64,
    /// Whether this node is the only member of its groups, and nothing outlives the process: then nobody will ever ask for an
    /// entry that is applied, or for a snapshot, and neither is kept. Members can't be added. Default: no.
    pub alone: bool,
}

impl Default for RaftSettings {
    fn default() -> Self {
        RaftSettings {
            heartbeat: Duration::from_millis(250),
            election_timeout: (Duration::from_secs(1), Duration::from_secs(2)),
            proposal_timeout: Duration::from_secs(5),
            snapshot_timeout: Duration::from_secs(60),
            snapshot_every: 1024,
            keep_entries: 256,
            alone: false,
        }
    }
}

/// The settings contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the times of Raft contradict each other: {0}")]
pub struct BadSettings(String);

impl RaftSettings {
    /// Those of a process that is the whole cluster and keeps its log in memory.
    pub fn alone() -> Self {
        RaftSettings { snapshot_every: 64, keep_entries: 0, alone: true, ..RaftSettings::default() }
    }

    /// How long a leader leads after the last sign of a majority: nobody else is elected meanwhile.
    pub(crate) fn lease(&self) -> Duration {
        self.election_timeout.1
    }

    pub(crate) fn to_openraft(&self) -> Result<Arc<Config>, BadSettings> {
        let config = Config {
            cluster_name: "vesta".to_owned(),
            heartbeat_interval: milliseconds(self.heartbeat),
            election_timeout_min: milliseconds(self.election_timeout.0),
            election_timeout_max: milliseconds(self.election_timeout.1),
            install_snapshot_timeout: milliseconds(self.snapshot_timeout),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            replication_lag_threshold: self.snapshot_every + self.keep_entries,
            enable_pre_vote: Some(true),
            // A leader that comes back stands for election like everybody else, so that its first entry is of a new term: what
            // it has applied then tells whether it knows all that it committed before ([`super::leadership`]).
            enable_leader_restore: Some(false),
            // A node whose log went back may have voted or acknowledged what it no longer knows (D1): never accepted.
            allow_log_reversion: Some(false),
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(|error| BadSettings(error.to_string()))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
