//! XEP-0352 on a session: the router that holds things back is told of each change.

use std::sync::Arc;

use vesta_xmpp::client_state::ClientState;

use super::{Activity, Session, State};

impl Session {
    /// The client says that it is active or not.
    pub(crate) fn set_client_state(self: &Arc<Self>, client: ClientState) {
        let mut state = self.state.lock();
        state.activity = match (client, state.activity) {
            (ClientState::Active, Activity::Active) => Activity::Active,
            (ClientState::Active, _) => Activity::BecameActive,
            (ClientState::Inactive, Activity::Active | Activity::BecameActive) => {
                Activity::BecameInactive { since_before: false }
            }
            (ClientState::Inactive, unchanged) => unchanged,
        };
        state.pump(self);
    }
}

impl State {
    pub(super) fn has_news_of_activity(&self) -> bool {
        matches!(self.activity, Activity::BecameActive | Activity::BecameInactive { .. })
    }

    /// What the router is to be told; it knows then.
    pub(super) fn news_of_activity(&mut self) -> Option<(ClientState, bool)> {
        match self.activity {
            Activity::Active | Activity::Inactive => None,
            Activity::BecameActive => {
                self.activity = Activity::Active;
                Some((ClientState::Active, false))
            }
            Activity::BecameInactive { since_before } => {
                self.activity = Activity::Inactive;
                Some((ClientState::Inactive, since_before))
            }
        }
    }
}
