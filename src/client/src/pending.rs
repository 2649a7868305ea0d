//! Requests that wait for their answers.

use std::collections::HashMap;

use tokio::sync::oneshot;
use vesta_xmpp::payload::archive::ArchiveResult;
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
    /// Results of an archive that came before the answer, and how many may.
    results: Vec<ArchiveResult>,
    results_max: usize,
    reply: Reply,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The answer.
    pub iq: Envelope,
    /// The results of an archive that belong to it.
    pub results: Vec<ArchiveResult>,
}

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Answer, Error>>;

impl Pending {
    /// Remembers a request. `false`: too many wait, and the caller has been told.
    pub(crate) fn add(&mut self, iq: &Envelope, results_max: usize, reply: Reply) -> bool {
        if self.requests.len() >= PENDING_MAX {
            self.forget_abandoned();
        }
        if self.requests.len() >= PENDING_MAX {
            let _ = reply.send(Err(Error::TooManyRequests));
            return false;
        }
        let request = Request { to: iq.to.clone(), results: Vec::new(), results_max, reply };
        self.requests.insert(iq.id.clone().unwrap_or_default(), request);
        true
    }

    /// Hands an answer over to whoever waits for it. An answer that nobody asked for, or of the wrong sender, is dropped.
    pub(crate) fn resolve(&mut self, answer: Envelope, own: &FullJid) {
        let Some(id) = answer.id.clone() else { return };
        let from = answer.from.as_ref();
        let expected = self.requests.get(&id).is_some_and(|request| comes_from(request.to.as_ref(), from, own));
        if !expected {
            tracing::debug!(id = &*id, "an answer that nobody has asked for");
            return;
        }
        if let Some(request) = self.requests.remove(&id) {
            // Whoever asked may have given up.
            let _ = request.reply.send(Ok(Answer { iq: answer, results: request.results }));
        }
    }

    /// Keeps a result of an archive for whoever asked for it. `false`: nobody did, or not this sender, or not for so many.
    pub(crate) fn collect(&mut self, from: Option<&Jid>, result: ArchiveResult, own: &FullJid) -> bool {
        let request = result.query_id.as_deref().and_then(|id| self.requests.get_mut(id));
        let Some(request) = request.filter(|request| comes_from(request.to.as_ref(), from, own)) else { return false };
        let has_room = request.results.len() < request.results_max;
        if has_room {
            request.results.push(result);
        }
        has_room
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
fn comes_from(to: Option<&Jid>, from: Option<&Jid>, own: &FullJid) -> bool {
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
        let mut request = Envelope::iq(IqType::Get, "1", None);
        request.to = to.map(|to| Jid::parse(to).expect("a JID"));
        assert!(pending.add(&request, 0, reply));
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
            let request = Envelope::iq(IqType::Get, &number.to_string(), None);
            assert!(pending.add(&request, 0, oneshot::channel().0));
        }
        let (reply, _received) = oneshot::channel();
        assert!(pending.add(&Envelope::iq(IqType::Get, "new", None), 0, reply));
        assert!(pending.is_awaited());
    }
}
