//! Presence probes (RFC 6121 §4.3.2): a contact's server asks.

use vesta_xmpp::{Envelope, Jid, PresenceType, StanzaType};

use super::broadcast::{send, show_to};
use crate::hooks::Context;
use crate::ports::Sessions;

/// Answers a probe: with the last presence of each available resource to those who may see it. All others learn nothing, not
/// even whether the account exists (T14, T31).
pub(crate) async fn answer(context: &mut Context<'_>, probe: &Envelope, sessions: &Sessions) {
    let (Some(from), ports) = (&probe.from, context.ports) else { return };
    let account = context.account.jid.clone();
    let visible = match context.presence_is_visible_to(from).await {
        Ok(visible) => visible,
        Err(error) => {
            tracing::warn!(%account, %error, "a probe is not answered");
            return;
        }
    };
    if !visible {
        let denial = Envelope::new(StanzaType::Presence(PresenceType::Unsubscribed));
        return send(ports, denial.with_from(account).with_to(from.to_bare()));
    }
    let shown = match probe.to.as_ref().and_then(Jid::resource) {
        None => show_to(context, from),
        Some(resource) => {
            let asked = sessions.iter().find(|session| session.jid.resource() == resource);
            let available = asked.and_then(|session| session.available.as_ref());
            available.map(|available| send(ports, (*available.stanza).clone().with_to(from.clone()))).is_some()
        }
    };
    if !shown {
        let absent = Envelope::new(StanzaType::Presence(PresenceType::Unavailable));
        let whose = probe.to.clone().unwrap_or_else(|| account.into());
        send(ports, absent.with_from(whose).with_to(from.clone()));
    }
}
