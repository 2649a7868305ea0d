//! Durable data, as ports. Implemented on SQL by the crate `storage`, in memory for tests.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use vesta_xmpp::sasl::Hash;
use vesta_xmpp::{BareJid, Jid, Secret};

use crate::Timestamp;
use crate::log::{LogEntry, LogId, LogQuery, LogState, LoggedMessage};
use crate::roster::RosterItem;

/// What stands before every write of a shard's leader: a write fails when a newer generation or term has written for the shard
/// (`reliability`: a leader that slept must do no harm when it wakes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The shard.
    pub shard: u32,
    /// Counts the lives of the shard's Raft group: terms start anew in each.
    pub generation: u64,
    /// The Raft term of the leader.
    pub term: u64,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database is away or too slow. Nothing is known to have been written; later it may do:
    /// `wait / resource-constraint`.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// A newer leader has written for the shard: this one must step down and writes no more.
    #[error("a newer leader owns the shard")]
    Fenced,
    /// A bug, or a database that is not as we left it: `internal-server-error`.
    #[error("the database refuses: {0}")]
    Broken(String),
}

/// The SCRAM verifiers of an account. No password is kept in any form but these.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// By hash function.
    pub verifiers: BTreeMap<Hash, Verifier>,
}

/// RFC 5802 §3.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// StoredKey.
    pub stored_key: Secret,
    /// ServerKey.
    pub server_key: Secret,
}

/// A row of [`Store::accounts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: BareJid,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A roster as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRoster {
    /// Only grows, by one with each change that a client can see (RFC 6121 §2.6).
    pub version: u64,
    /// In no order.
    pub items: Vec<RosterItem>,
}

/// One change to an account's durable data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds or replaces a roster item and takes the roster to `version`.
    RosterPut {
        /// The roster's version from now on.
        version: u64,
        /// The item.
        item: RosterItem,
    },
    /// Takes a roster item away and the roster to `version`.
    RosterRemove {
        /// The roster's version from now on.
        version: u64,
        /// The contact.
        contact: Jid,
    },
    /// Appends to the account's log. The id must be greater than any before of the account.
    Log(LogEntry),
    /// The entry waits for a client from now on.
    LogWait(LogId),
    /// Every entry up to this one waits no longer: those that the archive does not show are forgotten.
    LogSettle {
        /// The last one: an id that was given already, so that a repetition settles nothing that comes behind.
        up_to: LogId,
    },
    /// Sets a value of a module: private XML, a vCard, the last activity.
    DataPut {
        /// Which module, and what within it: `vcard`, `private:{namespace}#{name}`.
        key: String,
        /// The value, opaque to the store.
        value: Bytes,
    },
    /// Takes a value of a module away.
    DataRemove {
        /// As in [`Change::DataPut`].
        key: String,
    },
}

/// Durable data. Reads may run at any time; whoever leads the account's shard keeps what it has read as a cache, being the only
/// writer.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The verifiers of an account; `None` where there is no such account.
    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>, StoreError>;

    /// Whether the account exists.
    async fn account_exists(&self, account: &BareJid) -> Result<bool, StoreError>;

    /// Makes an account. `false`: it exists, nothing was changed.
    async fn create_account(
        &self,
        fence: Fence,
        account: &BareJid,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Replaces an account's verifiers. `false`: there is no such account.
    async fn set_credentials(
        &self,
        fence: Fence,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StoreError>;

    /// Removes an account and all its data. `false`: there is no such account.
    async fn remove_account(&self, fence: Fence, account: &BareJid) -> Result<bool, StoreError>;

    /// At most `limit` accounts of a host in the order of their JIDs, those behind `after`.
    async fn accounts(&self, host: &str, after: Option<&BareJid>, limit: u32)
    -> Result<Vec<AccountRecord>, StoreError>;

    /// The account's roster, empty where there is none.
    async fn roster(&self, account: &BareJid) -> Result<StoredRoster, StoreError>;

    /// What has to be known of an account's log before anything is appended to it, with the marks of its newest `recent` entries.
    /// Reads behind every write of an older leader: none of those comes later.
    async fn log_state(&self, fence: Fence, account: &BareJid, recent: u32) -> Result<LogState, StoreError>;

    /// The entries that a question is about, in the order of their ids. Costs the same wherever they lie in the log.
    async fn log_page(&self, account: &BareJid, query: &LogQuery) -> Result<Vec<LoggedMessage>, StoreError>;

    /// How many entries a question is about, whatever its limit. Costs as much as there are.
    async fn log_count(&self, account: &BareJid, query: &LogQuery) -> Result<u64, StoreError>;

    /// Takes away at most `limit` of a host's entries that are older than `before` and wait for nobody, and what is left of the logs
    /// of accounts that are gone. Returns how many it took: fewer than `limit` means that there are no more.
    async fn log_prune(&self, host: &str, before: LogId, limit: u32) -> Result<u64, StoreError>;

    /// A module's value.
    async fn data(&self, account: &BareJid, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Writes all changes or none. Durable when it returns.
    async fn write(&self, fence: Fence, account: &BareJid, changes: Vec<Change>) -> Result<(), StoreError>;

    /// As [`Store::write`], without waiting: `done` is told when the changes are durable, or that they can't be. Writes of one
    /// account are done in the order of the calls; `done` is called in that order too, on any thread, and must not block. A write
    /// for which there is no room has failed before this returns.
    fn submit(
        &self,
        fence: Fence,
        account: &BareJid,
        changes: Vec<Change>,
        done: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
    );

    /// Whether the database answers, for readiness.
    async fn ping(&self) -> Result<(), StoreError>;

    /// A number greater than any that this call has returned before on this database: the generation of Raft groups whose log is
    /// in memory.
    async fn next_generation(&self) -> Result<u64, StoreError>;

    /// A secret of this deployment, made on first use and the same for all nodes: 32 random bytes under `name`.
    /// `fresh` is what to keep where there is none yet.
    async fn deployment_secret(&self, name: &str, fresh: [u8; 32]) -> Result<Secret, StoreError>;
}
