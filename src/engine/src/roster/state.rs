//! RFC 6121 appendix A: the states of a subscription, and what each subscription stanza does in each of them, as tables.
//!
//! The tables follow the appendix row by row. What happens beside (pre-approval, presence that is shown or taken back, pushes)
//! is in [`super::subscribing`].

use super::{RosterItem, Subscription};

/// The nine states (§A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Neither sees the other.
    None,
    /// The user has asked.
    NonePendingOut,
    /// The contact has asked.
    NonePendingIn,
    /// Both have asked.
    NonePendingOutIn,
    /// The user sees the contact.
    To,
    /// The user sees the contact, who has asked.
    ToPendingIn,
    /// The contact sees the user.
    From,
    /// The contact sees the user, who has asked.
    FromPendingOut,
    /// Each sees the other.
    Both,
}
use State::{Both, From, FromPendingOut, None, NonePendingIn, NonePendingOut, NonePendingOutIn, To, ToPendingIn};

/// The four stanzas that change a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Asks to see the other.
    Subscribe,
    /// Wants to see the other no longer.
    Unsubscribe,
    /// Lets the other see.
    Subscribed,
    /// Lets the other see no longer.
    Unsubscribed,
}
use Request::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};

/// Whether the stanza goes on: outbound, to the contact; inbound, to the user's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The appendix's MUST.
    Yes,
    /// The appendix's MUST NOT.
    No,
}
use Pass::{No, Yes};

type Table = [(State, Pass, State); 9];

/// §A.2.1
const SUBSCRIBE_OUT: Table = [
    (None, Yes, NonePendingOut),
    (NonePendingOut, Yes, NonePendingOut),
    (NonePendingIn, Yes, NonePendingOutIn),
    (NonePendingOutIn, Yes, NonePendingOutIn),
    (To, Yes, To),
    (ToPendingIn, Yes, ToPendingIn),
    (From, Yes, FromPendingOut),
    (FromPendingOut, Yes, FromPendingOut),
    (Both, Yes, Both),
];

/// §A.2.2
const UNSUBSCRIBE_OUT: Table = [
    (None, Yes, None),
    (NonePendingOut, Yes, None),
    (NonePendingIn, Yes, NonePendingIn),
    (NonePendingOutIn, Yes, NonePendingIn),
    (To, Yes, None),
    (ToPendingIn, Yes, NonePendingIn),
    (From, Yes, From),
    (FromPendingOut, Yes, From),
    (Both, Yes, From),
];

/// §A.2.3; where the stanza must not pass it is a pre-approval in the states without `From` (§3.4).
const SUBSCRIBED_OUT: Table = [
    (None, No, None),
    (NonePendingOut, No, NonePendingOut),
    (NonePendingIn, Yes, From),
    (NonePendingOutIn, Yes, FromPendingOut),
    (To, No, To),
    (ToPendingIn, Yes, Both),
    (From, No, From),
    (FromPendingOut, No, FromPendingOut),
    (Both, No, Both),
];

/// §A.2.4; where the stanza must not pass it takes a pre-approval back (§3.4).
const UNSUBSCRIBED_OUT: Table = [
    (None, No, None),
    (NonePendingOut, No, NonePendingOut),
    (NonePendingIn, Yes, None),
    (NonePendingOutIn, Yes, NonePendingOut),
    (To, No, To),
    (ToPendingIn, Yes, To),
    (From, Yes, None),
    (FromPendingOut, Yes, NonePendingOut),
    (Both, Yes, To),
];

/// §A.3.1; where `From` holds already, the server answers `subscribed` itself.
const SUBSCRIBE_IN: Table = [
    (None, Yes, NonePendingIn),
    (NonePendingOut, Yes, NonePendingOutIn),
    (NonePendingIn, No, NonePendingIn),
    (NonePendingOutIn, No, NonePendingOutIn),
    (To, Yes, ToPendingIn),
    (ToPendingIn, No, ToPendingIn),
    (From, No, From),
    (FromPendingOut, No, FromPendingOut),
    (Both, No, Both),
];

/// §A.3.2
const UNSUBSCRIBE_IN: Table = [
    (None, No, None),
    (NonePendingOut, No, NonePendingOut),
    (NonePendingIn, Yes, None),
    (NonePendingOutIn, Yes, NonePendingOut),
    (To, No, To),
    (ToPendingIn, Yes, To),
    (From, Yes, None),
    (FromPendingOut, Yes, NonePendingOut),
    (Both, Yes, To),
];

/// §A.3.3
const SUBSCRIBED_IN: Table = [
    (None, No, None),
    (NonePendingOut, Yes, To),
    (NonePendingIn, No, NonePendingIn),
    (NonePendingOutIn, Yes, ToPendingIn),
    (To, No, To),
    (ToPendingIn, No, ToPendingIn),
    (From, No, From),
    (FromPendingOut, Yes, Both),
    (Both, No, Both),
];

/// §A.3.4
const UNSUBSCRIBED_IN: Table = [
    (None, No, None),
    (NonePendingOut, Yes, None),
    (NonePendingIn, No, NonePendingIn),
    (NonePendingOutIn, Yes, NonePendingIn),
    (To, Yes, None),
    (ToPendingIn, Yes, NonePendingIn),
    (From, No, From),
    (FromPendingOut, Yes, From),
    (Both, Yes, From),
];

impl State {
    /// The state that an item is in.
    pub(crate) fn of(item: &RosterItem) -> Self {
        match (item.subscription, item.pending_out, item.pending_in.is_some()) {
            (Subscription::None, false, false) => None,
            (Subscription::None, true, false) => NonePendingOut,
            (Subscription::None, false, true) => NonePendingIn,
            (Subscription::None, true, true) => NonePendingOutIn,
            (Subscription::To, _, false) => To,
            (Subscription::To, _, true) => ToPendingIn,
            (Subscription::From, false, _) => From,
            (Subscription::From, true, _) => FromPendingOut,
            (Subscription::Both, ..) => Both,
        }
    }

    /// The item's `subscription` in this state.
    pub(crate) fn subscription(self) -> Subscription {
        match self {
            None | NonePendingOut | NonePendingIn | NonePendingOutIn => Subscription::None,
            To | ToPendingIn => Subscription::To,
            From | FromPendingOut => Subscription::From,
            Both => Subscription::Both,
        }
    }

    /// Whether the user's request waits for an answer.
    pub(crate) fn pending_out(self) -> bool {
        matches!(self, NonePendingOut | NonePendingOutIn | FromPendingOut)
    }

    /// Whether the contact's request waits for an answer.
    pub(crate) fn pending_in(self) -> bool {
        matches!(self, NonePendingIn | NonePendingOutIn | ToPendingIn)
    }

    /// Whether the contact sees the user.
    pub(crate) fn contact_sees_us(self) -> bool {
        matches!(self, From | FromPendingOut | Both)
    }

    /// What the user's stanza does (§A.2).
    pub(crate) fn outbound(self, request: Request) -> (Pass, State) {
        look_up(
            self,
            match request {
                Subscribe => &SUBSCRIBE_OUT,
                Unsubscribe => &UNSUBSCRIBE_OUT,
                Subscribed => &SUBSCRIBED_OUT,
                Unsubscribed => &UNSUBSCRIBED_OUT,
            },
        )
    }

    /// What the contact's stanza does (§A.3).
    pub(crate) fn inbound(self, request: Request) -> (Pass, State) {
        look_up(
            self,
            match request {
                Subscribe => &SUBSCRIBE_IN,
                Unsubscribe => &UNSUBSCRIBE_IN,
                Subscribed => &SUBSCRIBED_IN,
                Unsubscribed => &UNSUBSCRIBED_IN,
            },
        )
    }
}

/// The tables' rows stand in the order of the states.
fn look_up(state: State, table: &Table) -> (Pass, State) {
    let (_, pass, next) = table[state as usize];
    (pass, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 9] =
        [None, NonePendingOut, NonePendingIn, NonePendingOutIn, To, ToPendingIn, From, FromPendingOut, Both];

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Parts {
        sees: bool,
        seen: bool,
        asked: bool,
        was_asked: bool,
    }

    fn parts(state: State) -> Parts {
        Parts {
            sees: matches!(state, To | ToPendingIn | Both),
            seen: state.contact_sees_us(),
            asked: state.pending_out(),
            was_asked: state.pending_in(),
        }
    }

    /// The appendix in words: each stanza concerns one direction, and changes nothing but that direction's two parts.
    fn outbound_in_words(before: Parts, request: Request) -> (Pass, Parts) {
        match request {
            Subscribe => (Yes, Parts { asked: !before.sees, ..before }),
            Unsubscribe => (Yes, Parts { sees: false, asked: false, ..before }),
            Subscribed if before.was_asked => (Yes, Parts { seen: true, was_asked: false, ..before }),
            Unsubscribed if before.was_asked || before.seen => (Yes, Parts { seen: false, was_asked: false, ..before }),
            Subscribed | Unsubscribed => (No, before),
        }
    }

    fn inbound_in_words(before: Parts, request: Request) -> (Pass, Parts) {
        match request {
            Subscribe if before.seen || before.was_asked => (No, before),
            Subscribe => (Yes, Parts { was_asked: true, ..before }),
            Unsubscribe if before.seen || before.was_asked => (Yes, Parts { seen: false, was_asked: false, ..before }),
            Subscribed if before.asked => (Yes, Parts { sees: true, asked: false, ..before }),
            Unsubscribed if before.asked || before.sees => (Yes, Parts { sees: false, asked: false, ..before }),
            Unsubscribe | Subscribed | Unsubscribed => (No, before),
        }
    }

    #[test]
    fn the_tables_say_in_72_rows_what_the_words_say() {
        for state in STATES {
            for request in [Subscribe, Unsubscribe, Subscribed, Unsubscribed] {
                let (pass, next) = state.outbound(request);
                assert_eq!((pass, parts(next)), outbound_in_words(parts(state), request), "§A.2 {state:?} {request:?}");
                let (pass, next) = state.inbound(request);
                assert_eq!((pass, parts(next)), inbound_in_words(parts(state), request), "§A.3 {state:?} {request:?}");
            }
        }
    }

    #[test]
    fn the_rows_stand_in_the_order_of_the_states() {
        let tables = [
            SUBSCRIBE_OUT,
            UNSUBSCRIBE_OUT,
            SUBSCRIBED_OUT,
            UNSUBSCRIBED_OUT,
            SUBSCRIBE_IN,
            UNSUBSCRIBE_IN,
            SUBSCRIBED_IN,
            UNSUBSCRIBED_IN,
        ];
        for table in tables {
            assert_eq!(table.map(|(state, ..)| state), STATES);
        }
    }
}
