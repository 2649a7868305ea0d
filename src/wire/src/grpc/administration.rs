//! The administration service, and the client of `vesta ctl`.

use std::sync::Arc;

use async_trait::async_trait;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use vesta_xmpp::BareJid;

use super::connect::{connect, connect_socket};
use super::dialer::within;
use super::{ADMINISTRATION_TIMEOUT, MESSAGE_BYTES_MAX};
use crate::administration::{
    AccountCommand, Administration, AdministrationAddress, AdministrationError, ClusterStatus, Outcome, SessionRecord,
    UserRecord,
};
use crate::convert::{Malformed, bare_jid, session_records, user_records};
use crate::link::LinkError;
use crate::proto;
use crate::proto::administration_client::AdministrationClient as Client;
use crate::proto::administration_server::Administration as Service;
use crate::tls::Security;

/// Hands the requests that come in to the router.
pub(super) struct AdministrationService {
    pub(super) administration: Arc<dyn Administration>,
}

#[tonic::async_trait]
impl Service for AdministrationService {
    async fn administer(&self, request: Request<proto::AccountCommand>) -> Result<Response<proto::Outcome>, Status> {
        let outcome = self.administration.administer(request.into_inner().try_into()?).await?;
        Ok(Response::new(outcome.into()))
    }

    async fn users(&self, request: Request<proto::UsersRequest>) -> Result<Response<proto::UsersReply>, Status> {
        let proto::UsersRequest { host, after, limit } = request.into_inner();
        let after = after.map(|after| bare_jid(&after, "users.after")).transpose()?;
        let users = self.administration.users(&host, after.as_ref(), limit).await?;
        Ok(Response::new(users.into()))
    }

    async fn sessions(
        &self,
        request: Request<proto::SessionsRequest>,
    ) -> Result<Response<proto::SessionsReply>, Status> {
        let proto::SessionsRequest { host, limit } = request.into_inner();
        let sessions = self.administration.sessions(host.as_deref(), limit).await?;
        Ok(Response::new(sessions.into()))
    }

    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::ClusterStatus>, Status> {
        Ok(Response::new(self.administration.cluster_status().await?.into()))
    }
}

/// Asks a router over its Unix socket, or over mutual TLS.
#[derive(Clone)]
pub struct AdministrationClient {
    client: Client<Channel>,
}

impl AdministrationClient {
    /// Connects to the router at `address`. `security` proves an administrator or a router; it is not used for a socket.
    ///
    /// # Errors
    /// Nobody there, or access is refused.
    pub async fn connect(address: &AdministrationAddress, security: &Security) -> Result<Self, LinkError> {
        let channel = match address {
            AdministrationAddress::Socket(path) => connect_socket(path.clone()).await?,
            AdministrationAddress::Network(address) => connect(address, None, security).await?,
        };
        Ok(Self { client: Client::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX) })
    }
}

#[async_trait]
impl Administration for AdministrationClient {
    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        let mut client = self.client.clone();
        let reply = within(ADMINISTRATION_TIMEOUT, client.administer(proto::AccountCommand::from(command))).await;
        Ok(reply.map_err(|status| failure(&status))?.into())
    }

    async fn users(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, AdministrationError> {
        let request = proto::UsersRequest { host: host.to_owned(), after: after.map(BareJid::to_string), limit };
        let mut client = self.client.clone();
        let reply = within(ADMINISTRATION_TIMEOUT, client.users(request)).await.map_err(|status| failure(&status))?;
        Ok(user_records(reply)?)
    }

    async fn sessions(&self, host: Option<&str>, limit: u32) -> Result<Vec<SessionRecord>, AdministrationError> {
        let request = proto::SessionsRequest { host: host.map(str::to_owned), limit };
        let mut client = self.client.clone();
        let reply =
            within(ADMINISTRATION_TIMEOUT, client.sessions(request)).await.map_err(|status| failure(&status))?;
        Ok(session_records(reply)?)
    }

    async fn cluster_status(&self) -> Result<ClusterStatus, AdministrationError> {
        let mut client = self.client.clone();
        let reply = within(ADMINISTRATION_TIMEOUT, client.status(proto::StatusRequest {})).await;
        Ok(reply.map_err(|status| failure(&status))?.try_into()?)
    }
}

impl From<AdministrationError> for Status {
    fn from(error: AdministrationError) -> Self {
        let code = match &error {
            AdministrationError::Exists => Code::AlreadyExists,
            AdministrationError::NotFound(_) => Code::NotFound,
            AdministrationError::Invalid(_) => Code::InvalidArgument,
            AdministrationError::NoLeader => Code::FailedPrecondition,
            AdministrationError::Unavailable(_) => Code::Aborted,
        };
        Status::new(code, error.to_string())
    }
}

impl From<Malformed> for AdministrationError {
    fn from(malformed: Malformed) -> Self {
        AdministrationError::Unavailable(malformed.to_string())
    }
}

/// The router's own answer in a status; `None` where the call did not get so far.
pub(super) fn administration_error(status: &Status) -> Option<AdministrationError> {
    let words = status.message().to_owned();
    match status.code() {
        Code::AlreadyExists => Some(AdministrationError::Exists),
        Code::NotFound => Some(AdministrationError::NotFound(words)),
        Code::InvalidArgument => Some(AdministrationError::Invalid(words)),
        Code::FailedPrecondition => Some(AdministrationError::NoLeader),
        Code::Aborted => Some(AdministrationError::Unavailable(words)),
        _ => None,
    }
}

fn failure(status: &Status) -> AdministrationError {
    administration_error(status).unwrap_or_else(|| match status.message() {
        "" => AdministrationError::Unavailable(format!("the router did not answer: {}", status.code())),
        words => AdministrationError::Unavailable(words.to_owned()),
    })
}
