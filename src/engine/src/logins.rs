//! Logins between SASL's two questions: the verifier that was read for the salt is kept until the proof comes, so that a login
//! reads the database once.
//!
//! What is kept is for one fence: another leader may have changed the password meanwhile. The engine's own changes make it
//! forget, and a read that was under way during one is not kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vesta_xmpp::BareJid;
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::sasl::Hash;

use crate::store::{Fence, Verifier};

/// How many logins are kept at least; at twice as many the older half is forgotten, and those read again (P7: some 250 bytes
/// each).
const KEPT: usize = 2_048;

/// A verifier, and whether anything may be accepted with it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) verifier: Verifier,
    pub(crate) genuine: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    young: HashMap<Key, (Fence, Found)>,
    old: HashMap<Key, (Fence, Found)>,
    changes: u64,
}

type Key = (BareJid, Hash);

/// A moment; what is read after it and before a change is not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Logins {
    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.state().changes)
    }

    /// Keeps what was read after `moment`.
    pub(crate) fn keep(&self, moment: Moment, fence: Fence, account: &BareJid, hash: Hash, found: Found) {
        let mut state = self.state();
        if state.changes != moment.0 {
            return;
        }
        if state.young.len() >= KEPT {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert((account.clone(), hash), (fence, found));
    }

    /// What was kept, if it was for this fence. It is there once.
    pub(crate) fn take(&self, fence: Fence, account: &BareJid, hash: Hash) -> Option<Found> {
        let key = (account.clone(), hash);
        let mut state = self.state();
        let old = state.old.remove(&key);
        let (kept_for, found) = state.young.remove(&key).or(old)?;
        (kept_for == fence).then_some(found)
    }

    /// The verifiers of an account have changed, or may have.
    pub(crate) fn forget(&self, account: &BareJid) {
        let mut state = self.state();
        state.changes += 1;
        let State { young, old, .. } = &mut *state;
        for kept in [young, old] {
            kept.retain(|(of, _), _| of != account);
        }
    }

    /// A panic can't leave a map of independent entries wrong.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::Secret;

    use super::*;

    const FENCE: Fence = Fence { shard: 1, generation: 1, term: 1 };

    fn found() -> Found {
        let key = Secret::from("key");
        Found {
            verifier: Verifier { salt: vec![1], iterations: 1, stored_key: key.clone(), server_key: key },
            genuine: true,
        }
    }

    fn account(number: usize) -> BareJid {
        BareJid::parse(&format!("account{number}@example.com")).expect("a JID")
    }

    fn keep(logins: &Logins, account: &BareJid) {
        logins.keep(logins.moment(), FENCE, account, Hash::Sha1, found());
    }

    fn takes(logins: &Logins, fence: Fence, account: &BareJid, hash: Hash) -> bool {
        logins.take(fence, account, hash).is_some()
    }

    #[test]
    fn what_was_kept_is_taken_once_by_the_same_leadership_for_the_same_mechanism() {
        let (logins, juliet) = (Logins::default(), account(0));
        keep(&logins, &juliet);
        assert!(!takes(&logins, FENCE, &juliet, Hash::Sha256));
        assert!(takes(&logins, FENCE, &juliet, Hash::Sha1));
        assert!(!takes(&logins, FENCE, &juliet, Hash::Sha1));
        keep(&logins, &juliet);
        assert!(!takes(&logins, Fence { term: 2, ..FENCE }, &juliet, Hash::Sha1));
    }

    #[test]
    fn a_change_forgets_the_account_and_what_is_being_read() {
        let (logins, juliet, romeo) = (Logins::default(), account(0), account(1));
        keep(&logins, &juliet);
        keep(&logins, &romeo);
        let moment = logins.moment();
        logins.forget(&juliet);
        logins.keep(moment, FENCE, &juliet, Hash::Sha1, found());
        assert!(!takes(&logins, FENCE, &juliet, Hash::Sha1));
        assert!(takes(&logins, FENCE, &romeo, Hash::Sha1));
    }

    #[test]
    fn the_newest_are_kept_and_no_more_than_twice_the_bound() {
        let logins = Logins::default();
        (0..3 * KEPT).for_each(|number| keep(&logins, &account(number)));
        let kept = (0..3 * KEPT).filter(|number| takes(&logins, FENCE, &account(*number), Hash::Sha1)).count();
        assert_eq!(kept, 2 * KEPT);
        assert!(!takes(&logins, FENCE, &account(0), Hash::Sha1));
    }
}
