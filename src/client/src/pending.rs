//! Requests that wait for their answers.

use std::collections::HashMap;

use tokio::sync::oneshot;
use vesta_xmpp::{Envelope, FullJid, Jid};

use crate::Error;

/// How many requests may wait for their answers at once.
pub const PENDING_MAX: usize = 1024;

/// Requests by id. An answer counts only if it comes from whom was asked (T23).
#[derive(Default)]
pub(crate) struct Pending {
    requests: HashMap<Box<str>, Request>,
}

struct Request {
    to: Option<Jid>,
    reply: Reply,
}

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Envelope, Error>>;

impl Pending {
    /// Remembers a request. `false`: too many wait, and the caller has been told.
    pub(crate) fn add(&mut self, id: &str, to: Option<Jid>, reply: Reply) -> bool {
        if self.requests.len() >= PENDING_MAX {
            self.forget_abandoned();
        }
        if self.requests.len() >= PENDING_MAX {
            let _ = reply.send(Err(Error::TooManyRequests));
            return false;
        }
        self.requests.insert(id.into(), Request { to, reply });
        true
    }

    /// Hands an answer over to whoever waits for it. An answer that nobody asked for, or of the wrong sender, is dropped.
    pub(crate) fn resolve(&mut self, answer: Envelope, own: &FullJid) {
        let Some(id) = answer.id.clone() else { return };
        let expected = self.requests.get(&id).is_some_and(|request| comes_from(request.to.as_ref(), &answer, own));
        if !expected {
            tracing::debug!(id = &*id, "an answer that nobody has asked for");
            return;
        }
        if let Some(request) = self.requests.remove(&id) {
            // Whoever asked may have given up.
            let _ = request.reply.send(Ok(answer));
        }
    }

    /// Whether somebody still waits.
    pub(crate) fn is_awaited(&mut self) -> bool {
        self.forget_abandoned();
        !self.requests.is_empty()
    }

    fn forget_abandoned(&mut self) {
        self.requests.retain(|_, request| !request.reply.is_closed());
    }
}

/// Whether an answer comes from whom the request went to. Without `to` it went to the own account (RFC 6120 §10.3.3), for
/// which the server answers with the account's address, the session's, its own or none.
fn comes_from(to: Option<&Jid>, answer: &Envelope, own: &FullJid) -> bool {
    let from = answer.from.as_ref();
    let to_account = to.is_none_or(|to| to.as_str() == own.bare_str());
    match from {
        None => to_account,
        Some(from) if to_account => {
            from == &**own || from.as_str() == own.bare_str() || (from.is_domain() && from.domain() == own.domain())
        }
        Some(from) => Some(from) == to,
    }
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::IqType;

    use super::*;

    fn own() -> FullJid {
        FullJid::parse("juliet@capulet.example/balcony").expect("a JID")
    }

    fn answer(from: Option<&str>) -> Envelope {
        let mut answer = Envelope::iq(IqType::Result, "1", None);
        answer.from = from.map(|from| Jid::parse(from).expect("a JID"));
        answer
    }

    /// T23: whether an answer from `from` resolves a request to `to`.
    fn resolves(to: Option<&str>, from: Option<&str>) -> bool {
        let (reply, mut received) = oneshot::channel();
        let mut pending = Pending::default();
        assert!(pending.add("1", to.map(|to| Jid::parse(to).expect("a JID")), reply));
        pending.resolve(answer(from), &own());
        received.try_recv().is_ok()
    }

    #[test]
    fn an_answer_counts_only_from_whom_was_asked() {
        let cases = [
            (None, None, true),
            (None, Some("juliet@capulet.example"), true),
            (None, Some("juliet@capulet.example/balcony"), true),
            (None, Some("capulet.example"), true),
            (None, Some("romeo@montague.example"), false),
            (None, Some("juliet@capulet.example/chamber"), false),
            (Some("juliet@capulet.example"), None, true),
            (Some("capulet.example"), Some("capulet.example"), true),
            (Some("capulet.example"), None, false),
            (Some("romeo@montague.example/garden"), Some("romeo@montague.example/garden"), true),
            (Some("romeo@montague.example/garden"), Some("romeo@montague.example"), false),
            (Some("romeo@montague.example"), Some("mercutio@montague.example"), false),
            (Some("romeo@montague.example"), None, false),
        ];
        for (to, from, expected) in cases {
            assert_eq!(resolves(to, from), expected, "asked {to:?}, answered by {from:?}");
        }
    }

    #[test]
    fn requests_whose_callers_gave_up_make_room() {
        let mut pending = Pending::default();
        for number in 0..PENDING_MAX {
            assert!(pending.add(&number.to_string(), None, oneshot::channel().0));
        }
        let (reply, _received) = oneshot::channel();
        assert!(pending.add("new", None, reply));
        assert!(pending.is_awaited());
    }
}
