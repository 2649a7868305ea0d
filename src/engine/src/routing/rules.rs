//! RFC 6121 §8.5: who gets a stanza that is addressed to an account. One table.
//!
//! Whether the account exists is no column of it: an account that does not exist has no resources, and is answered as one
//! that has none just now (§8.5.1 allows it throughout; T14, T31).

use vesta_xmpp::IqType::{Get, Result, Set};
use vesta_xmpp::MessageType::{Chat, Groupchat, Headline, Normal};
use vesta_xmpp::PresenceType::{Available, Probe, Subscribe, Subscribed, Unavailable, Unsubscribe, Unsubscribed};
use vesta_xmpp::StanzaType::{self, Iq, Message, Presence};
use vesta_xmpp::{IqType, MessageType, PresenceType};

/// What the address and the account's resources come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Situation {
    /// A full JID, and that resource is connected.
    Match,
    /// A full JID, and no such resource is connected.
    NoMatch,
    /// The bare JID, and resources that take such a stanza: for messages, available ones of non-negative priority; for
    /// presence, available ones.
    Takers,
    /// The bare JID, and nobody takes such a stanza.
    NoTakers,
}
use Situation::{Match, NoMatch, NoTakers, Takers};

/// What becomes of the stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Delivered to the addressed resource.
    ToResource,
    /// Delivered to every taker.
    ToTakers,
    /// Handled as if it were addressed to the bare JID.
    AsBare,
    /// Kept for later (the hook `undeliverable_message`), else answered with `service-unavailable`.
    Keep,
    /// Answered with `service-unavailable`.
    Bounce,
    /// Dropped in silence.
    Ignore,
    /// The server answers on the account's behalf.
    Answer,
    /// The rules of §3: subscriptions.
    Subscription,
    /// The rules of §4.3: probes.
    Probe,
}
use Verdict::{Answer, AsBare, Bounce, Ignore, Keep, Subscription, ToResource, ToTakers};

/// A row: these types in these situations, the verdict, the section that says so.
pub(crate) type Rule = (&'static [StanzaType], &'static [Situation], Verdict, &'static str);

const MESSAGE_ERROR: StanzaType = Message(MessageType::Error);
const PRESENCE_ERROR: StanzaType = Presence(PresenceType::Error);
const IQ_ERROR: StanzaType = Iq(IqType::Error);

const ANY_MESSAGE: &[StanzaType] =
    &[Message(Normal), Message(Chat), Message(Groupchat), Message(Headline), MESSAGE_ERROR];
const ANY_IQ: &[StanzaType] = &[Iq(Get), Iq(Set), Iq(Result), IQ_ERROR];
const IQ_REQUEST: &[StanzaType] = &[Iq(Get), Iq(Set)];
const IQ_RESPONSE: &[StanzaType] = &[Iq(Result), IQ_ERROR];
const NOTIFICATION: &[StanzaType] = &[Presence(Available), Presence(Unavailable)];
const SUBSCRIPTION: &[StanzaType] =
    &[Presence(Subscribe), Presence(Subscribed), Presence(Unsubscribe), Presence(Unsubscribed)];
const BARE: &[Situation] = &[Takers, NoTakers];
const ANY: &[Situation] = &[Match, NoMatch, Takers, NoTakers];

#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = &[
    // what                              addressed to  becomes       because of RFC 6121
    (ANY_MESSAGE,                        &[Match],     ToResource,   "8.5.3.1"),
    (&[Message(Chat)],                   &[NoMatch],   AsBare,       "8.5.3.2.1"),
    (&[Message(Normal)],                 &[NoMatch],   Bounce,       "8.5.3.2.1"),
    (&[Message(Groupchat)],              &[NoMatch],   Bounce,       "8.5.3.2.1"),
    (&[Message(Headline)],               &[NoMatch],   Ignore,       "8.5.3.2.1"),
    (&[MESSAGE_ERROR],                   &[NoMatch],   Ignore,       "8.5.3.2.1"),
    (&[Message(Normal), Message(Chat)],  &[Takers],    ToTakers,     "8.5.2.1.1"),
    (&[Message(Headline)],               &[Takers],    ToTakers,     "8.5.2.1.1"),
    (&[Message(Normal), Message(Chat)],  &[NoTakers],  Keep,         "8.5.2.2.1"),
    (&[Message(Headline)],               &[NoTakers],  Ignore,       "8.5.2.2.1"),
    (&[Message(Groupchat)],              BARE,         Bounce,       "8.5.2.1.1, 8.5.2.2.1"),
    (&[MESSAGE_ERROR],                   BARE,         Ignore,       "8.5.2.1.1, 8.5.2.2.1"),

    (SUBSCRIPTION,                       ANY,          Subscription, "3, 8.5.2.1.2, 8.5.2.2.2"),
    (&[Presence(Probe)],                 ANY,          Verdict::Probe, "4.3, 8.5.2.1.2, 8.5.2.2.2"),
    (NOTIFICATION,                       &[Match],     ToResource,   "8.5.3.1"),
    (NOTIFICATION,                       &[NoMatch],   Ignore,       "8.5.3.2.2"),
    (NOTIFICATION,                       &[Takers],    ToTakers,     "8.5.2.1.2"),
    (NOTIFICATION,                       &[NoTakers],  Ignore,       "8.5.2.2.2"),
    (&[PRESENCE_ERROR],                  &[Match],     ToResource,   "8.5.3.1"),
    (&[PRESENCE_ERROR],                  &[Takers],    ToTakers,     "RFC 6120 8.3.1"),
    (&[PRESENCE_ERROR],                  &[NoMatch, NoTakers], Ignore, "8.5.3.2.2, 8.5.2.2.2"),

    (ANY_IQ,                             &[Match],     ToResource,   "8.5.3.1"),
    (IQ_REQUEST,                         &[NoMatch],   Bounce,       "8.5.3.2.3"),
    (IQ_RESPONSE,                        &[NoMatch],   Ignore,       "8.5.3.2.3"),
    (IQ_REQUEST,                         BARE,         Answer,       "8.5.2.1.3, 8.5.2.2.3"),
    (IQ_RESPONSE,                        BARE,         Ignore,       "8.5.2.1.3, 8.5.2.2.3"),
];

/// Looks the verdict up.
pub(crate) fn verdict(kind: StanzaType, situation: Situation) -> Verdict {
    RULES
        .iter()
        .find(|(kinds, situations, ..)| situations.contains(&situation) && kinds.contains(&kind))
        .map_or(Ignore, |(.., verdict, _)| *verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_in_every_situation_has_one_row() {
        let kinds = MessageType::ALL.iter().map(|&kind| Message(kind));
        let kinds = kinds.chain(PresenceType::ALL.iter().map(|&kind| Presence(kind)));
        for kind in kinds.chain(IqType::ALL.iter().map(|&kind| Iq(kind))) {
            for situation in ANY {
                let rows = RULES.iter().filter(|(kinds, at, ..)| kinds.contains(&kind) && at.contains(situation));
                assert_eq!(rows.count(), 1, "{kind:?} {situation:?}");
            }
        }
    }

    #[test]
    fn what_must_not_be_answered_never_is() {
        for (kinds, _, verdict, section) in RULES {
            if matches!(verdict, Bounce | Answer | Keep) {
                assert!(kinds.iter().all(|kind| kind.may_be_answered()), "§{section}");
            }
        }
    }
}
