//! Administration: what an operator may ask of any router, and what `vesta ctl` and the console are built on.

use std::path::PathBuf;

use async_trait::async_trait;
use vesta_xmpp::{BareJid, FullJid, Secret};

pub use crate::grpc::AdministrationClient;
use crate::{NodeId, ShardId, Term};

/// A command to one account, carried out by the leader of its shard.
#[derive(Clone, Debug)]
pub struct AccountCommand {
    /// The account.
    pub account: BareJid,
    /// What is to be done.
    pub action: AccountAction,
}

/// What may be done to an account.
#[derive(Clone, Debug)]
pub enum AccountAction {
    /// Make it.
    Create {
        /// Its password, as typed.
        password: Secret,
    },
    /// Replace its password; its sessions end.
    SetPassword {
        /// The new one, as typed.
        password: Secret,
    },
    /// Remove it, its data and its sessions.
    Remove,
    /// End one session, or all.
    CloseSessions {
        /// The resourcepart, `None` for all.
        resource: Option<String>,
    },
}

impl AccountAction {
    /// What is to be done, in a few words.
    pub fn name(&self) -> &'static str {
        match self {
            AccountAction::Create { .. } => "create an account",
            AccountAction::SetPassword { .. } => "set a password",
            AccountAction::Remove => "remove an account",
            AccountAction::CloseSessions { .. } => "close sessions",
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdministrationError {
    /// There is such an account.
    #[error("the account exists already")]
    Exists,
    /// No such account or session.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense: an unknown domain, an unusable password.
    #[error("{0}")]
    Invalid(String),
    /// No router leads the account's shard. Nothing was done.
    #[error(
        "the account's shard has no leader just now, nothing was done: see `vesta ctl cluster status`, and try again"
    )]
    NoLeader,
    /// The cluster or the database can't do it just now.
    #[error("{0}")]
    Unavailable(String),
}

/// A row of `vesta ctl user list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The account.
    pub account: BareJid,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A row of `vesta ctl session list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its address.
    pub jid: FullJid,
    /// The connection manager that holds it.
    pub manager: String,
    /// The shard of its account.
    pub shard: ShardId,
    /// When it was bound, in milliseconds since 1970.
    pub bound_at_ms: u64,
    /// Its priority, if it is available.
    pub priority: Option<i8>,
}

/// `vesta ctl cluster status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster's number, in hexadecimal.
    pub cluster: String,
    /// The version of Vesta of the node that answers.
    pub version: String,
    /// All routers.
    pub routers: Vec<RouterStatus>,
    /// All connection managers that the answering node has a link to.
    pub managers: Vec<ManagerStatus>,
    /// `meta` (as shard `None`) and all shards.
    pub groups: Vec<GroupStatus>,
    /// What the answering node thinks of the database.
    pub database: DatabaseStatus,
}

/// A router in [`ClusterStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterStatus {
    /// Its Raft id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether the answering node reaches it.
    pub reachable: bool,
}

/// A connection manager in [`ClusterStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerStatus {
    /// Its name.
    pub name: String,
    /// How many sessions it holds in the shards that the answering node has a replica of.
    pub sessions: u64,
}

/// A Raft group in [`ClusterStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The shard, `None` for `meta`.
    pub shard: Option<ShardId>,
    /// Its leader.
    pub leader: Option<NodeId>,
    /// The leader's term.
    pub term: Term,
    /// Its voters.
    pub voters: Vec<NodeId>,
    /// How many sessions it holds; `None` where the answering node has no replica.
    pub sessions: Option<u64>,
}

/// The database in [`ClusterStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Whether it answers.
    pub reachable: bool,
    /// What it is and what it promises, in words.
    pub note: String,
}

/// What an operator may ask of any router.
#[async_trait]
pub trait Administration: Send + Sync + 'static {
    /// Carries a command out, on whichever node leads the account's shard; waits a while for one to lead it.
    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError>;
    /// At most `limit` accounts of a host behind `after`, in order.
    async fn users(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, AdministrationError>;
    /// At most `limit` sessions, of all hosts or one, from the whole cluster.
    async fn sessions(&self, host: Option<&str>, limit: u32) -> Result<Vec<SessionRecord>, AdministrationError>;
    /// How the cluster does.
    async fn cluster_status(&self) -> Result<ClusterStatus, AdministrationError>;
}

/// Where a router's administration listens.
#[derive(Clone, Debug)]
pub enum AdministrationAddress {
    /// A Unix socket on this machine; whoever may open it may administer.
    Socket(PathBuf),
    /// `host:port`, with mutual TLS.
    Network(String),
}
