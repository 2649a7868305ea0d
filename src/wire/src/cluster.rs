//! What routers say to each other about the cluster itself: who is there, who is to be admitted, and commands that only another
//! node can carry out.

use async_trait::async_trait;

use crate::NodeId;
use crate::administration::{AccountCommand, AdministrationError, Outcome};
use crate::link::LinkError;

/// A cluster, drawn at random when it was founded. Keeps nodes of different clusters apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u64);

/// A router, by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its configured name.
    pub name: String,
    /// The cluster it belongs to and its Raft id there; `None` while its disk is empty.
    pub member: Option<(ClusterId, NodeId)>,
}

/// A router with an empty disk asks to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmitRequest {
    /// Its configured name.
    pub name: String,
    /// Where the other routers reach it.
    pub address: String,
    /// Drawn once per empty disk, so that a request repeated is recognised.
    pub disk: u64,
}

/// The answer to an [`AdmitRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Admitted under a Raft id that nobody had before.
    Admitted {
        /// The cluster.
        cluster: ClusterId,
        /// The id.
        node: NodeId,
    },
    /// Ask this address: the receiver does not lead `meta`, or does not know who does (`None`: ask again later).
    Elsewhere(Option<String>),
    /// Refused, for this reason.
    Refused(String),
}

/// Calls another router.
#[async_trait]
pub trait ClusterDialer: Send + Sync + 'static {
    /// Asks who is there.
    async fn identify(&self, address: &str) -> Result<Identity, LinkError>;
    /// Asks for admission.
    async fn admit(&self, address: &str, request: AdmitRequest) -> Result<Admission, LinkError>;
    /// Has an account's command carried out by the leader of its shard.
    async fn administer(
        &self,
        address: &str,
        command: AccountCommand,
    ) -> Result<Result<Outcome, AdministrationError>, LinkError>;
    /// Asks for the sessions in the shards that a router leads: as [`crate::administration::SessionRecord`]s.
    async fn sessions(
        &self,
        address: &str,
        host: Option<&str>,
        limit: u32,
    ) -> Result<Vec<crate::administration::SessionRecord>, LinkError>;
}

/// Serves the calls of other routers.
#[async_trait]
pub trait ClusterAcceptor: Send + Sync + 'static {
    /// Says who is here.
    async fn identify(&self) -> Identity;
    /// Admits a router, if this node leads `meta`.
    async fn admit(&self, request: AdmitRequest) -> Admission;
    /// Carries an account's command out, if this node leads its shard.
    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError>;
    /// The sessions in the shards that this node leads.
    async fn sessions(&self, host: Option<&str>, limit: u32) -> Vec<crate::administration::SessionRecord>;
}
