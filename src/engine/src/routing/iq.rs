//! IQ requests that the server answers, for itself or on an account's behalf (RFC 6121 §8.4, §8.5.2.1.3, §8.5.2.2.3).

use std::sync::Arc;

use async_trait::async_trait;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StanzaType, ns};

use super::{bounce, reply};
use crate::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};

/// Registers what the engine answers itself.
pub(crate) fn register(hooks: &mut Hooks) {
    for scope in [Scope::Server, Scope::OwnAccount] {
        hooks.iq_set(ns::SESSION, "session", scope, Arc::new(SessionEstablishment));
    }
}

/// Answers a request (type `get` or `set`): with what its handler says, or `service-unavailable` where there is none.
pub(super) async fn answer(context: &mut Context<'_>, stanza: &Envelope, scope: Scope) {
    match ask(context, stanza, scope).await {
        Ok(payload) => reply(context, stanza.result(payload.as_ref())),
        Err(error) => bounce(context, stanza, &error),
    }
}

async fn ask(context: &mut Context<'_>, stanza: &Envelope, scope: Scope) -> IqAnswer {
    let (StanzaType::Iq(kind), Some(from)) = (stanza.kind, &stanza.from) else {
        return Err(Condition::BadRequest.into());
    };
    // RFC 6120 §8.2.3: exactly one child.
    let Some(payload) = &stanza.payload else { return Err(Condition::BadRequest.into()) };
    let Some(handler) = context.hooks.iq_handler(kind, &payload.namespace, &payload.name, scope) else {
        return Err(Condition::ServiceUnavailable.into());
    };
    // T14: an account that does not exist says what one says that serves nothing.
    if scope == Scope::OtherAccount && !context.account.exists(context.ports).await? {
        return Err(Condition::ServiceUnavailable.into());
    }
    handler.answer(context, &IqRequest { stanza, from, scope }).await
}

/// RFC 3921 §3, kept as a no-op for old clients (RFC 6121 appendix E).
struct SessionEstablishment;

#[async_trait]
impl IqHandler for SessionEstablishment {
    async fn answer(&self, _: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        Ok(None)
    }
}
