//! Links within one process: the same frames, over channels.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_wire::administration::{AccountCommand, AdministrationError, Outcome, SessionRecord};
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::{Admission, AdmitRequest, ClusterDialer, Identity};
use vesta_wire::link::{self, AttachAcceptor, AttachDialer, ForwardDialer, ForwardLink, LinkError, ManagerLink};
use vesta_wire::raft::{
    AppendReply, AppendRequest, RaftCallError, RaftDialer, SnapshotRequest, TransferRequest, Vote, VoteReply,
    VoteRequest,
};

/// Attaches connection managers to the router of the same process.
pub struct LocalDialer(pub Arc<dyn AttachAcceptor>);

#[async_trait]
impl AttachDialer for LocalDialer {
    async fn attach(&self, _: &RouterInfo) -> Result<ManagerLink, LinkError> {
        let (manager, router) = link::pair();
        self.0.accept(router, None);
        Ok(manager)
    }
}

/// The dialer of a router that has no peers: nobody can be reached, and nobody needs to be.
pub struct Alone;

fn nobody(address: &str) -> LinkError {
    LinkError::Unreachable { address: address.to_owned(), reason: "this process is the whole cluster".into() }
}

#[async_trait]
impl ForwardDialer for Alone {
    async fn forward(&self, router: &RouterInfo) -> Result<ForwardLink, LinkError> {
        Err(nobody(&router.address))
    }
}

#[async_trait]
impl RaftDialer for Alone {
    async fn append(&self, to: &RouterInfo, _: AppendRequest) -> Result<AppendReply, RaftCallError> {
        Err(nobody(&to.address).into())
    }
    async fn vote(&self, to: &RouterInfo, _: VoteRequest) -> Result<VoteReply, RaftCallError> {
        Err(nobody(&to.address).into())
    }
    async fn snapshot(&self, to: &RouterInfo, _: SnapshotRequest) -> Result<Vote, RaftCallError> {
        Err(nobody(&to.address).into())
    }
    async fn transfer(&self, to: &RouterInfo, _: TransferRequest) -> Result<(), RaftCallError> {
        Err(nobody(&to.address).into())
    }
}

#[async_trait]
impl ClusterDialer for Alone {
    async fn identify(&self, address: &str) -> Result<Identity, LinkError> {
        Err(nobody(address))
    }
    async fn admit(&self, address: &str, _: AdmitRequest) -> Result<Admission, LinkError> {
        Err(nobody(address))
    }
    async fn administer(
        &self,
        address: &str,
        _: AccountCommand,
    ) -> Result<Result<Outcome, AdministrationError>, LinkError> {
        Err(nobody(address))
    }
    async fn sessions(&self, address: &str, _: Option<&str>, _: u32) -> Result<Vec<SessionRecord>, LinkError> {
        Err(nobody(address))
    }
}
