//! The cluster service: calls between routers about the cluster itself.

use std::sync::Arc;

use async_trait::async_trait;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::MESSAGE_BYTES_MAX;
use super::administration::administration_error;
use super::connect::call_error;
use super::dialer::{GrpcDialer, within};
use crate::administration::{AccountCommand, AdministrationError, Outcome, SessionRecord};
use crate::cluster::{Admission, AdmitRequest, ClusterAcceptor, ClusterDialer, Identity};
use crate::convert::session_records;
use crate::link::LinkError;
use crate::proto;
use crate::proto::cluster_client::ClusterClient;
use crate::proto::cluster_server::Cluster;

/// Hands the calls that come in to the router.
pub(super) struct ClusterService {
    pub(super) acceptor: Arc<dyn ClusterAcceptor>,
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn identify(&self, _: Request<proto::IdentifyRequest>) -> Result<Response<proto::Identity>, Status> {
        Ok(Response::new(self.acceptor.identify().await.into()))
    }

    async fn admit(&self, request: Request<proto::AdmitRequest>) -> Result<Response<proto::Admission>, Status> {
        Ok(Response::new(self.acceptor.admit(request.into_inner().into()).await.into()))
    }

    async fn administer(&self, request: Request<proto::AccountCommand>) -> Result<Response<proto::Outcome>, Status> {
        let outcome = self.acceptor.administer(request.into_inner().try_into()?).await?;
        Ok(Response::new(outcome.into()))
    }

    async fn sessions(
        &self,
        request: Request<proto::SessionsRequest>,
    ) -> Result<Response<proto::SessionsReply>, Status> {
        let proto::SessionsRequest { host, limit } = request.into_inner();
        let sessions = self.acceptor.sessions(host.as_deref(), limit).await;
        Ok(Response::new(sessions.into()))
    }
}

#[async_trait]
impl ClusterDialer for GrpcDialer {
    async fn identify(&self, address: &str) -> Result<Identity, LinkError> {
        let mut client = cluster_client(self, address)?;
        Ok(self.call(address, client.identify(proto::IdentifyRequest {})).await?.into())
    }

    async fn admit(&self, address: &str, request: AdmitRequest) -> Result<Admission, LinkError> {
        let mut client = cluster_client(self, address)?;
        let reply = self.call(address, client.admit(proto::AdmitRequest::from(request))).await?;
        reply.try_into().map_err(|malformed: crate::convert::Malformed| malformed.into_refusal(address))
    }

    async fn administer(
        &self,
        address: &str,
        command: AccountCommand,
    ) -> Result<Result<Outcome, AdministrationError>, LinkError> {
        let mut client = cluster_client(self, address)?;
        let reply =
            within(super::ADMINISTRATION_TIMEOUT, client.administer(proto::AccountCommand::from(command))).await;
        match reply {
            Ok(outcome) => Ok(Ok(outcome.into())),
            Err(status) => administration_error(&status).map(Err).ok_or_else(|| call_error(address, &status)),
        }
    }

    async fn sessions(&self, address: &str, host: Option<&str>, limit: u32) -> Result<Vec<SessionRecord>, LinkError> {
        let mut client = cluster_client(self, address)?;
        let request = proto::SessionsRequest { host: host.map(str::to_owned), limit };
        let reply = self.call(address, client.sessions(request)).await?;
        session_records(reply).map_err(|malformed| malformed.into_refusal(address))
    }
}

fn cluster_client(dialer: &GrpcDialer, address: &str) -> Result<ClusterClient<Channel>, LinkError> {
    Ok(ClusterClient::new(dialer.channel(address, None)?).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
