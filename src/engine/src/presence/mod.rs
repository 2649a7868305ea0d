//! Presence (RFC 6121 §4): what an account's sessions tell, and to whom.
//!
//! | file | subject |
//! |---|---|
//! | this | a presence stanza from a client: which of the rules it falls under |
//! | `broadcast` | presence without `to`: to the contacts and the account's other resources (§4.2, §4.4, §4.5) |
//! | `directed` | presence with `to` (§4.6) |
//! | `probe` | questions for presence (§4.3) |
//! | `priority` | `<priority/>` (§4.7.2.3) |

mod broadcast;
mod directed;
mod priority;
mod probe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use vesta_xmpp::{Envelope, PresenceType, StanzaType};

use crate::Session;
use crate::hooks::Context;
use crate::roster::subscribing;
use crate::routing::{bounce, forward};

pub(crate) use broadcast::{ended, refresh, show_to, withdraw_from};
pub(crate) use directed::notice_error;
pub(crate) use probe::answer as probe;

/// A presence stanza from a session's client.
pub(crate) async fn outbound(context: &mut Context<'_>, session: &Arc<Session>, stanza: Arc<Envelope>) {
    let StanzaType::Presence(kind) = stanza.kind else { return };
    let outcome = match (kind, &stanza.to) {
        (PresenceType::Available, None) => broadcast::available(context, session, stanza.clone()).await,
        (PresenceType::Unavailable, None) => broadcast::unavailable(context, session, stanza.clone()).await,
        (PresenceType::Available, Some(to)) => directed::available(context, session, to, &stanza).await,
        (PresenceType::Unavailable, Some(to)) => directed::unavailable(context, session, to, &stanza).await,
        (PresenceType::Probe | PresenceType::Error, Some(_)) => {
            forward(context, stanza).await;
            return;
        }
        (
            PresenceType::Subscribe | PresenceType::Subscribed | PresenceType::Unsubscribe | PresenceType::Unsubscribed,
            Some(to),
        ) => subscribing::outbound(context, to, &stanza).await,
        // An account is implicitly subscribed to itself (§4.2.2): nothing to ask, nobody to answer.
        (_, None) => Ok(()),
    };
    if let Err(error) = outcome {
        bounce(context, &stanza, &error);
    }
}
