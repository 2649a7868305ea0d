//! The forward service: links between routers.

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
use crate::link::{ForwardAcceptor, ForwardDialer, ForwardLink, LinkError};
use crate::proto;
use crate::proto::forward_client::ForwardClient;
use crate::proto::forward_server::Forward;

/// Hands the links that come in to the router.
pub(super) struct ForwardService {
    pub(super) acceptor: Arc<dyn ForwardAcceptor>,
    pub(super) tasks: LinkTasks,
}

#[tonic::async_trait]
impl Forward for ForwardService {
    type OpenStream = BoxStream<proto::FromOwnerBatch>;

    async fn open(
        &self,
        request: Request<Streaming<proto::ToOwnerBatch>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let peer = peer_name(&request);
        let (link, batches) = self.tasks.accept(request.into_inner(), peer.clone());
        self.acceptor.accept(link, peer);
        Ok(Response::new(Box::pin(batches.map(Ok))))
    }
}

#[async_trait]
impl ForwardDialer for GrpcDialer {
    async fn forward(&self, router: &RouterInfo) -> Result<ForwardLink, LinkError> {
        self.open_link(router, |channel, batches| async {
            ForwardClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).open(batches).await
        })
        .await
    }
}
