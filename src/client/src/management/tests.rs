//! Transcripts of the machine: what happened on the left, what is to be done on the right.

use vesta_xmpp::{Jid, MessageType, PresenceType};

use super::*;

/// A message with this id.
fn message(id: &str) -> Envelope {
    let mut message = Envelope::new(StanzaType::Message(MessageType::Chat)).with_to(jid("romeo@montague.example"));
    message.id = Some(id.into());
    message
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("a JID")
}

fn presence() -> Envelope {
    Envelope::new(StanzaType::Presence(PresenceType::Available))
}

fn policy() -> config::Management {
    config::Management::default()
}

/// What is to be done, in words.
fn words(outputs: Vec<Output>) -> String {
    let name = |stanza: &Envelope| stanza.id.as_deref().unwrap_or(stanza.kind.element()).to_owned();
    let names = |stanzas: &[Envelope]| stanzas.iter().map(name).collect::<Vec<_>>().join(",");
    let word = |output| match output {
        Output::Write(element) => match element.attribute("h") {
            Some(handled) => format!("<{} {handled}>", element.name()),
            None => format!("<{}>", element.name()),
        },
        Output::Send(stanza) => format!("send {}", name(&stanza)),
        Output::Acknowledged(stanza) => format!("acknowledged {}", name(&stanza)),
        Output::NewSession { unacknowledged, resent } => {
            format!("new session, open [{}] resent [{}]", names(&unacknowledged), names(&resent))
        }
        Output::Fail(error) => format!("fail: {error}"),
    };
    outputs.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

/// A machine and what it says.
struct Transcript(Management);

impl Transcript {
    fn new(policy: config::Management) -> Self {
        Self(Management::new(Some(policy)))
    }

    /// A machine whose stream is managed and can be resumed by the id `one`.
    fn managed(policy: config::Management) -> Self {
        let mut transcript = Self::new(policy);
        transcript.on(Input::Bound { offered: true }, "new session, open [] resent [], <enable>");
        transcript.enabled("one");
        transcript
    }

    fn enabled(&mut self, id: &str) {
        let enabled = Notice::Enabled { id: Some(id.into()), max: Some(300), location: None };
        self.on(Input::Heard(enabled), "");
    }

    #[track_caller]
    fn on(&mut self, input: Input, expected: &str) {
        let told = format!("{input:?}");
        assert_eq!(words(self.0.handle(input)), expected, "on {told}");
    }

    #[track_caller]
    fn sends(&mut self, ids: &[&str]) {
        for id in ids {
            self.on(Input::Send(message(id)), &format!("send {id}"));
        }
    }

    #[track_caller]
    fn answered(&mut self, handled: u32, expected: &str) {
        self.on(Input::Heard(Notice::Answer { handled }), expected);
    }

    fn resumption(&self) -> Option<(String, u32)> {
        self.0.resumption().map(|it| (it.previous, it.handled))
    }
}

fn failed(handled: Option<u32>) -> Failed {
    Failed { condition: None, handled }
}

/// XEP-0198 §4: the client asks before it waits, once for all that it has sent, and is told what is handled.
#[test]
fn what_is_sent_is_acknowledged_in_order() {
    let mut it = Transcript::managed(policy());
    it.on(Input::Paused, "");
    it.sends(&["a", "b"]);
    it.on(Input::Paused, "<r>");
    it.on(Input::Paused, "");
    it.sends(&["c"]);
    it.answered(2, "acknowledged a, acknowledged b");
    it.on(Input::Paused, "<r>");
    it.answered(2, "");
    it.on(Input::Paused, "");
    it.answered(3, "acknowledged c");
    assert!(it.0.is_settled());
}

/// §4: a busy client asks on the way.
#[test]
fn a_client_that_never_pauses_asks_after_a_while() {
    let mut it = Transcript::managed(policy());
    for _ in 1..ASK_AFTER {
        it.on(Input::Send(message("x")), "send x");
    }
    it.on(Input::Send(message("x")), "send x, <r>");
    for _ in 0..2 * ASK_AFTER {
        it.on(Input::Send(message("x")), "send x");
    }
    let handled = ASK_AFTER as u32;
    it.answered(handled, &vec!["acknowledged x"; ASK_AFTER as usize].join(", "));
    it.on(Input::Send(message("x")), "send x, <r>");
}

/// §3, §4: stanzas count from `<enabled/>` on, and a question is answered at once.
#[test]
fn a_question_is_answered_with_what_came() {
    let mut it = Transcript::new(policy());
    it.on(Input::Bound { offered: true }, "new session, open [] resent [], <enable>");
    it.on(Input::Received, "");
    it.enabled("one");
    it.on(Input::Heard(Notice::Request), "<a 0>");
    it.on(Input::Received, "");
    it.on(Input::Heard(Notice::Request), "<a 1>");
    it.on(Input::Closing, "<a 1>");
    assert_eq!(it.resumption(), Some(("one".into(), 1)));
}

/// §5: what was not handled is sent again, in order, and keeps its number.
#[test]
fn a_stream_that_is_resumed_loses_and_doubles_nothing() {
    let mut it = Transcript::managed(policy());
    it.on(Input::Received, "");
    it.sends(&["a", "b", "c"]);
    it.on(Input::Paused, "<r>");
    it.on(Input::Lost, "");
    assert_eq!(it.resumption(), Some(("one".into(), 1)));
    it.on(Input::Resumed(1), "acknowledged a, send b, send c");
    it.on(Input::Paused, "<r>");
    it.on(Input::Received, "");
    // The connection breaks again.
    it.on(Input::Lost, "");
    assert_eq!(it.resumption(), Some(("one".into(), 2)));
    it.on(Input::Resumed(1), "send b, send c");
    it.sends(&["d"]);
    it.on(Input::Paused, "<r>");
    it.answered(4, "acknowledged b, acknowledged c, acknowledged d");
}

/// §5: what the server remembers of the earlier session counts; the rest is given back.
#[test]
fn a_session_that_is_not_resumed_gives_back_what_may_be_lost() {
    let mut it = Transcript::managed(policy());
    it.sends(&["a", "b"]);
    it.on(Input::Send(presence()), "send presence");
    it.on(Input::Send(Envelope::iq(vesta_xmpp::IqType::Get, "q", None)), "send q");
    it.on(Input::Lost, "");
    it.on(Input::NotResumed(failed(Some(1))), "acknowledged a");
    it.on(Input::Bound { offered: true }, "new session, open [b,presence] resent [], <enable>");
    assert!(it.0.is_settled());
    it.enabled("two");
    assert_eq!(it.resumption(), Some(("two".into(), 0)));
}

#[test]
fn by_policy_messages_are_sent_again_before_anything_else() {
    let mut it = Transcript::managed(config::Management { resend: true, ..policy() });
    it.sends(&["a", "b"]);
    it.on(Input::Send(presence()), "send presence");
    it.on(Input::Lost, "");
    it.on(Input::NotResumed(failed(None)), "");
    it.on(Input::Bound { offered: true }, "new session, open [presence] resent [a,b], <enable>, send a, send b");
    it.enabled("two");
    it.on(Input::Paused, "<r>");
    it.answered(2, "acknowledged a, acknowledged b");
}

/// What a server says of an earlier session can't be checked: a count that can't be right is left aside.
#[test]
fn a_refusal_with_an_impossible_count_acknowledges_nothing() {
    let mut it = Transcript::managed(policy());
    it.sends(&["a"]);
    it.on(Input::Lost, "");
    it.on(Input::NotResumed(failed(Some(9))), "");
    it.on(Input::Bound { offered: true }, "new session, open [a] resent [], <enable>");
}

/// §3: a stream whose `<enable/>` was not answered can't be resumed.
#[test]
fn a_stream_lost_before_it_was_managed_gives_back_what_was_sent() {
    let mut it = Transcript::new(policy());
    it.on(Input::Bound { offered: true }, "new session, open [] resent [], <enable>");
    it.sends(&["a"]);
    it.on(Input::Paused, "");
    it.on(Input::Lost, "");
    assert_eq!(it.resumption(), None);
    it.on(Input::Bound { offered: true }, "new session, open [a] resent [], <enable>");
}

#[test]
fn where_streams_are_not_managed_nothing_is_counted_or_kept() {
    for mut it in [Transcript::new(policy()), Transcript(Management::new(None))] {
        let offered = it.0.policy.is_none();
        it.on(Input::Bound { offered }, "new session, open [] resent []");
        it.sends(&["a"]);
        it.on(Input::Received, "");
        for input in [Input::Paused, Input::Silence, Input::Closing, Input::Heard(Notice::Request), Input::Lost] {
            it.on(input, "");
        }
        it.answered(7, "");
        assert!(it.0.is_settled() && it.resumption().is_none());
    }
}

/// §3: a refused `<enable/>` leaves the stream as it would be without.
#[test]
fn a_server_that_refuses_to_count_is_not_waited_for() {
    let mut it = Transcript::new(policy());
    it.on(Input::Bound { offered: true }, "new session, open [] resent [], <enable>");
    it.sends(&["a"]);
    it.on(Input::Heard(Notice::Failed(failed(None))), "");
    assert!(it.0.is_settled());
    it.sends(&["b"]);
    it.on(Input::Paused, "");
}

/// §4: whoever acknowledges more than was sent has lost count. The session is not gone on with, what was sent is given back.
#[test]
fn a_count_too_high_ends_the_stream_and_the_session() {
    let mut it = Transcript::managed(policy());
    it.sends(&["a"]);
    it.answered(2, "fail: the peer acknowledged 2 stanzas, of 1 sent");
    it.on(Input::Lost, "");
    assert_eq!(it.resumption(), None);
    it.on(Input::Bound { offered: true }, "new session, open [a] resent [], <enable>");

    let mut it = Transcript::managed(policy());
    it.on(Input::Lost, "");
    it.on(Input::Resumed(1), "fail: the peer acknowledged 1 stanzas, of 0 sent");
    assert_eq!(it.resumption(), None);
}

#[test]
fn an_acknowledgement_that_comes_twice_or_late_or_unasked_does_no_harm() {
    let mut it = Transcript::managed(policy());
    it.answered(0, "");
    it.sends(&["a", "b"]);
    it.answered(1, "acknowledged a");
    it.answered(1, "");
    it.answered(0, "");
    it.answered(2, "acknowledged b");
    it.answered(1, "");
    it.on(Input::Heard(Notice::Resumed { handled: 7 }), "");
    it.on(Input::Heard(Notice::Failed(failed(None))), "");
    it.sends(&["c"]);
    assert!(!it.0.is_settled());
}

/// §4: counts go round at 2³².
#[test]
fn counts_go_round() {
    let mut it = Transcript::managed(policy());
    let far = u64::from(u32::MAX);
    (it.0.sent, it.0.asked) = (far - 1, far - 1);
    it.0.received = far;
    for handled in [u32::MAX / 2, u32::MAX - 1] {
        it.answered(handled, "");
    }
    it.sends(&["a", "b", "c", "d"]);
    it.answered(u32::MAX, "acknowledged a");
    it.answered(1, "acknowledged b, acknowledged c");
    it.on(Input::Received, "");
    it.on(Input::Heard(Notice::Request), "<a 0>");
    it.on(Input::Lost, "");
    assert_eq!(it.resumption(), Some(("one".into(), 0)));
    it.on(Input::Resumed(1), "send d");
    it.answered(2, "acknowledged d");
}

#[test]
fn what_is_not_acknowledged_is_bounded_in_number_and_in_bytes() {
    let mut it = Transcript::managed(config::Management { unacknowledged_max: 2, ..policy() });
    it.sends(&["a"]);
    assert!(it.0.has_room());
    it.sends(&["b"]);
    assert!(!it.0.has_room());
    it.answered(1, "acknowledged a");
    assert!(it.0.has_room());

    let mut it =
        Transcript::managed(config::Management { unacknowledged_bytes_max: message("a").weight(), ..policy() });
    assert!(it.0.has_room());
    it.sends(&["a"]);
    assert!(!it.0.has_room());
    it.answered(1, "acknowledged a");
    assert!(it.0.has_room());
}

/// A silent server is asked even if nothing is open.
#[test]
fn silence_asks() {
    let mut it = Transcript::managed(policy());
    it.on(Input::Silence, "<r>");
    it.answered(0, "");
    it.on(Input::Silence, "<r>");
}

#[test]
fn whoever_gives_up_is_told_what_is_open() {
    let mut it = Transcript::managed(policy());
    it.sends(&["a", "b"]);
    it.answered(1, "acknowledged a");
    let open: Vec<_> = it.0.give_up().into_iter().filter_map(|stanza| stanza.id).collect();
    assert_eq!(open, ["b".into()]);
}
