//! The attach service: links between connection managers and routers.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::MESSAGE_BYTES_MAX;
use super::access::peer_name;
use super::dialer::GrpcDialer;
use super::server::LinkTasks;
use crate::attach::RouterInfo;
use crate::link::{AttachAcceptor, AttachDialer, LinkError, ManagerLink};
use crate::proto;
use crate::proto::attach_client::AttachClient;
use crate::proto::attach_server::Attach;

/// Hands the links that come in to the router.
pub(super) struct AttachService {
    pub(super) acceptor: Arc<dyn AttachAcceptor>,
    pub(super) tasks: LinkTasks,
}

#[tonic::async_trait]
impl Attach for AttachService {
    type OpenStream = BoxStream<proto::ToManagerBatch>;

    async fn open(
        &self,
        request: Request<Streaming<proto::ToRouterBatch>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let peer = peer_name(&request);
        let (link, batches) = self.tasks.accept(request.into_inner(), peer.clone());
        self.acceptor.accept(link, peer);
        Ok(Response::new(Box::pin(batches.map(Ok))))
    }
}

#[async_trait]
impl AttachDialer for GrpcDialer {
    async fn attach(&self, router: &RouterInfo) -> Result<ManagerLink, LinkError> {
        self.open_link(router, |channel, batches| async {
            AttachClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).open(batches).await
        })
        .await
    }
}
