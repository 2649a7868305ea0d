//! Requests to the leader of an account's shard: asked again elsewhere when the leader changes or its link is lost, until
//! an answer comes or time is over.

use std::sync::Arc;
use std::time::Duration;

use vesta_wire::StreamId;
use vesta_wire::attach::{RequestId, ToManager, ToRouter};
use vesta_xmpp::management::{Counters, Refusal};
use vesta_xmpp::sasl::{Answer, Question, SaslCondition};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Envelope, StanzaError};

use super::backoff::Backoff;
use super::link::Reply;
use super::{BoundHandle, Uplink, resumption};

/// The first pause before asking again, where no news of a leader came.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(1);

impl Uplink {
    /// Has a step of SASL answered. Where no router does in time: `temporary-auth-failure` (RFC 6120 §6.5.11).
    pub(crate) async fn ask(&self, question: Question) -> Answer {
        let account = question.account().clone();
        let reply = self
            .request(&account, |request| ToRouter::Ask { request, question: question.clone() })
            .await
            .map(|reply| reply.frame);
        match reply {
            Some(ToManager::Answered { answer, .. }) => answer,
            _ => Answer::Denied(SaslCondition::TemporaryAuthFailure),
        }
    }

    /// Binds a resource (RFC 6120 §7). The session lives from the router's answer on, until the handle is dropped.
    ///
    /// # Errors
    /// The router's, or `resource-constraint` where none answers in time.
    pub(crate) async fn bind(
        &self,
        account: BareJid,
        resource: Option<String>,
        stream: StreamId,
    ) -> Result<BoundHandle, StanzaError> {
        let reply = self
            .request(&account, |request| ToRouter::Bind {
                request,
                account: account.clone(),
                resource: resource.clone(),
                stream,
            })
            .await;
        match reply {
            Some(Reply { bound: Some(handle), .. }) => {
                handle.session().set_stream(stream);
                Ok(handle)
            }
            Some(Reply { frame: ToManager::Bound { result: Err(error), .. }, .. }) => Err(error),
            _ => Err(unavailable()),
        }
    }

    /// Resumes an earlier session (XEP-0198 §5) whose id the client names, and how many stanzas it got there.
    ///
    /// # Errors
    /// The router's, or `resource-constraint` where none answers in time.
    pub(crate) async fn resume(
        &self,
        account: BareJid,
        previous: &str,
        handled: u32,
        stream: StreamId,
    ) -> Result<(BoundHandle, u32), Refusal> {
        let failed = |condition| Refusal::Failed { condition, handled: None };
        let (session, digest) = resumption::read(previous).ok_or(failed(Condition::ItemNotFound))?;
        let ask = |request| ToRouter::Resume { request, account: account.clone(), session, digest, handled, stream };
        match self.request(&account, ask).await {
            Some(Reply { bound: Some(handle), frame: ToManager::Resumed { result: Ok(resumed), .. } }) => {
                handle.session().set_stream(stream);
                let counters = Counters::new(resumed.received_before.0, resumed.sent_before.0);
                Ok((handle, counters.handled(resumed.accepted.0)))
            }
            Some(Reply { frame: ToManager::Resumed { result: Err(refusal), .. }, .. }) => Err(refusal),
            _ => Err(failed(Condition::ResourceConstraint)),
        }
    }

    /// In-band registration before authentication (XEP-0077): the IQ's answer.
    /// `account` is the one that the request names, or the virtual host.
    pub(crate) async fn register(&self, account: BareJid, stanza: Envelope) -> Option<Envelope> {
        let ask = |request| ToRouter::Register { request, account: account.clone(), stanza: stanza.clone() };
        let reply = self.request(&account, ask).await;
        match reply.map(|reply| reply.frame) {
            Some(ToManager::Registered { stanza, .. }) => Some(stanza),
            _ => stanza.error(&unavailable()),
        }
    }

    async fn request(&self, account: &BareJid, frame: impl Fn(RequestId) -> ToRouter) -> Option<Reply> {
        let attempts = async {
            let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
            loop {
                let mut changes = self.changes.subscribe();
                let link = self.link_of_account(account);
                if let Some(link) = link
                    && let Some(reply) = link.request(&frame).await
                {
                    return reply;
                }
                // Whichever comes first: news of a leader, or the time to ask the same one again.
                let _ = tokio::time::timeout(backoff.next(), changes.changed()).await;
            }
        };
        tokio::time::timeout(self.request_timeout, Box::pin(attempts)).await.ok()
    }

    fn link_of_account(&self, account: &BareJid) -> Option<Arc<super::link::RouterLink>> {
        let routes = self.routes.read();
        routes.to_leader(routes.shard_of(account.as_str())?).cloned()
    }
}

fn unavailable() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text("no server can do that just now; try again")
}
