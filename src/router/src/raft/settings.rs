//! The times and sizes of the groups of a node.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// How the groups of a node run. All members of a cluster should use the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// How often a leader tells its followers that it lives. Default: 250 ms.
    pub heartbeat: Duration,
    /// A follower that has heard no leader for a time drawn between these two asks for votes. The longer one is also the leader's
    /// lease. Default: 1 s and 2 s; the shorter must be longer than the heartbeat.
    pub election_timeout: (Duration, Duration),
    /// When a proposal that has not been committed is given up as undecided. Default: 5 s.
    pub proposal_timeout: Duration,
    /// How long a snapshot may take to another member. Default: 60 s.
    pub snapshot_timeout: Duration,
    /// A snapshot is taken each time that the log has grown by so many entries. Default: 4,096.
    pub snapshot_every: u64,
    /// The entries that stay in the log behind a snapshot, so that a follower slightly behind needs no snapshot. Default: 512.
    pub keep_entries: u64,
}

impl Default for RaftSettings {
    fn default() -> Self {
        RaftSettings {
            heartbeat: Duration::from_millis(250),
            election_timeout: (Duration::from_secs(1), Duration::from_secs(2)),
            proposal_timeout: Duration::from_secs(5),
            snapshot_timeout: Duration::from_secs(60),
            snapshot_every: 4096,
            keep_entries: 512,
        }
    }
}

/// The settings contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the times of Raft contradict each other: {0}")]
pub struct BadSettings(String);

impl RaftSettings {
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
