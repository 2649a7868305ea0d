//! XEP-0198 §5: sessions that go on at whatever manager, while routers and managers come and go.

use std::time::Duration;

use vesta_wire::attach::Digest;
use vesta_xmpp::management::{Refusal, TooMany};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, PresenceType, StanzaType};

use super::manager::{Manager, chat, printed};
use super::world::{NAMES, World, shard};

const DIGEST: Digest = Digest([7; 32]);
const NOT_FOUND: Refusal = Refusal::Failed { condition: Condition::ItemNotFound, handled: None };

/// Juliet, who counts, and her contact Romeo, each at a manager of their own; two leaders.
struct Verona {
    world: World,
    /// Juliet's manager.
    first: Manager,
    /// Romeo's, and where Juliet comes back to.
    second: Manager,
    juliet: BareJid,
    session: vesta_wire::SessionId,
    contact: vesta_wire::SessionId,
}

impl Verona {
    async fn new() -> Self {
        let world = World::of_three().await;
        let mut first = Manager::attach(&world, "cm-1").await;
        let mut second = Manager::attach(&world, "cm-2").await;
        let juliet = world.account_at(NAMES[0]).await;
        let romeo = world.account_at(NAMES[1]).await;
        world.befriend(&juliet, &romeo).await;
        let contact = second.online(&romeo, "orchard").await;
        let session = first.online(&juliet, "balcony").await;
        let balcony = first.jid(session).to_string();
        second.until(contact, |stanza| stanza.from.as_ref().is_some_and(|from| from.as_str() == balcony)).await;
        first.nothing_more_but_presence(session).await;
        first.counts(session, DIGEST).await;
        Self { world, first, second, juliet, session, contact }
    }

    /// Romeo says things to Juliet, who has them at her manager.
    async fn says(&mut self, ids: &[&str]) {
        for id in ids {
            self.second.says(self.contact, &chat(&self.juliet, id));
        }
        self.second.all_accepted(self.contact).await;
        assert_eq!(self.first.next_ids(self.session, ids.len()).await, ids);
    }

    async fn comes_back(&mut self, handled: u32) -> Result<u64, Refusal> {
        let (session, count) = self.second.resumes(&self.juliet, self.session.number, DIGEST, handled).await?;
        assert_eq!(session, self.session);
        Ok(count)
    }
}

/// P4: nothing is missed, nothing comes twice, and the contacts see nothing of it.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_at_another_manager_when_its_own_is_dead() {
    let mut it = Verona::new().await;
    it.says(&["1", "2", "3"]).await;
    it.first.acknowledges(it.session, 1);
    it.first.says(it.session, &chat(&it.juliet, "to herself"));
    it.first.all_accepted(it.session).await;
    assert_eq!(it.first.next_ids(it.session, 1).await, ["to herself"]);
    drop(it.first);
    tokio::time::sleep(Duration::from_secs(60)).await;
    it.second.says(it.contact, &chat(&it.juliet, "4"));
    it.second.all_accepted(it.contact).await;

    let (session, handled) =
        it.second.resumes(&it.juliet, it.session.number, DIGEST, 2).await.expect("the session is there");
    assert_eq!(handled, 1, "what she had said");
    assert_eq!(it.second.next_ids(session, 3).await, ["3", "to herself", "4"]);
    it.second.nothing_more(session).await;
    it.second.says(session, &chat(&it.juliet, "here I am"));
    assert_eq!(it.second.next_ids(session, 1).await, ["here I am"]);
    it.second.nothing_more(it.contact).await;
}

/// P6: of two streams that resume a session, the later one has it.
#[tokio::test(start_paused = true)]
async fn whoever_resumes_last_has_the_session_and_the_others_are_closed() {
    let mut it = Verona::new().await;
    it.says(&["1"]).await;
    it.comes_back(0).await.expect("the old stream is alive, and has lost");
    assert_eq!(it.first.closed(it.session).await, StreamCondition::Conflict);
    assert_eq!(it.second.next_ids(it.session, 1).await, ["1"]);
    it.first.says(it.session, &chat(&it.juliet, "a ghost"));

    let mut third = Manager::attach(&it.world, "cm-3").await;
    let (session, _) = third.resumes(&it.juliet, it.session.number, DIGEST, 1).await.expect("once more");
    assert_eq!(it.second.closed(it.session).await, StreamCondition::Conflict);
    third.nothing_more(session).await;
    it.second.nothing_more(it.contact).await;
}

/// Both at the same moment: both ask the leader before either has an answer.
#[tokio::test(start_paused = true)]
async fn of_two_who_resume_at_once_one_has_the_session() {
    let mut it = Verona::new().await;
    let mut third = Manager::attach(&it.world, "cm-3").await;
    drop(it.first);
    let (juliet, number) = (it.juliet.clone(), it.session.number);
    let (one, other) =
        tokio::join!(it.second.resumes(&juliet, number, DIGEST, 0), third.resumes(&juliet, number, DIGEST, 0));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    let closed = tokio::select! {
        condition = it.second.closed(it.session) => condition,
        condition = third.closed(it.session) => condition,
    };
    assert_eq!(closed, StreamCondition::Conflict);
    let leader = it.world.router(it.world.leader(shard(&juliet)).expect("a leader"));
    let sessions = leading_sessions(&leader, &juliet);
    assert_eq!(sessions, 1);
}

fn leading_sessions(router: &std::sync::Arc<crate::Router>, account: &BareJid) -> usize {
    let leading = router.leading(shard(account)).expect("it leads");
    leading.group.read(|machine| machine.0.records(account).count())
}

/// T16, T20: neither a guess nor another account's id is of use, and no attempt disturbs the session.
#[tokio::test(start_paused = true)]
async fn without_its_secret_a_session_is_not_to_be_had() {
    let mut it = Verona::new().await;
    let romeo = it.second.jid(it.contact).to_bare();
    for (account, number, digest) in [
        (it.juliet.clone(), it.session.number, Digest([8; 32])),
        (it.juliet.clone(), it.session.number + 1, DIGEST),
        (romeo, it.session.number, DIGEST),
    ] {
        assert_eq!(it.second.resumes(&account, number, digest, 0).await.err(), Some(NOT_FOUND), "{account}");
    }
    it.says(&["still here"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_got_more_than_was_sent_is_told_so() {
    let mut it = Verona::new().await;
    it.says(&["1", "2"]).await;
    assert_eq!(it.comes_back(3).await, Err(Refusal::TooMany(TooMany { handled: 3, sent: 2 })));
    assert_eq!(it.comes_back(2).await, Ok(0), "the session is still to be had");
}

/// When its time is over the session ends as any other: unavailable presence, and what was not taken goes where RFC 6121 says.
#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_resumes_ends_and_what_it_has_not_taken_goes_elsewhere() {
    let mut it = Verona::new().await;
    it.says(&["1"]).await;
    it.first.loses_connection(it.session);
    it.second.nothing_more(it.contact).await;
    it.first.take_frames_for(Duration::from_secs(200)).await;
    it.second.nothing_more(it.contact).await;
    let other = it.second.online(&it.juliet, "chamber").await;
    it.second.take_frames_for(Duration::from_secs(120)).await;
    let balcony = it.first.jid(it.session).to_string();
    let farewell = it
        .second
        .until(it.contact, |stanza| {
            stanza.kind == StanzaType::Presence(PresenceType::Unavailable)
                && stanza.from.as_ref().is_some_and(|from| from.as_str() == balcony)
        })
        .await;
    assert!(printed(&farewell).contains("balcony"));
    it.second.until(other, |stanza| stanza.kind == StanzaType::Presence(PresenceType::Unavailable)).await;
    let too_late = Refusal::Failed { condition: Condition::ItemNotFound, handled: Some(0) };
    assert_eq!(it.comes_back(0).await, Err(too_late), "and is told what was handled");
}

/// P1, P5: the leader dies while the session is detached; its manager has the twin of everything.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_after_its_leader_was_killed() {
    let mut it = Verona::new().await;
    it.says(&["1", "2", "3"]).await;
    it.first.acknowledges(it.session, 1);
    it.first.loses_connection(it.session);
    it.first.take_frames_for(Duration::from_millis(100)).await;
    it.world.kill(NAMES[0]);
    it.first.leader_but(shard(&it.juliet), NAMES[0]).await;
    it.first.take_frames_for(Duration::from_secs(2)).await;
    it.second.leader_but(shard(&it.juliet), NAMES[0]).await;
    it.second.says(it.contact, &chat(&it.juliet, "4"));
    let (juliet, number) = (it.juliet.clone(), it.session.number);
    let resuming = it.second.resumes(&juliet, number, DIGEST, 1);
    let keeping = it.first.closed(it.session);
    let (resumed, closed) = tokio::join!(resuming, keeping);
    assert_eq!(closed, StreamCondition::Conflict);
    let (session, handled) = resumed.expect("the session is there");
    assert_eq!(handled, 0);
    assert_eq!(it.second.next_ids(session, 3).await, ["2", "3", "4"]);
    it.second.nothing_more(it.contact).await;
}

/// Nobody knows any more what came from the client: it has to begin anew, and the resource is free.
#[tokio::test(start_paused = true)]
async fn where_manager_and_leader_are_both_lost_the_session_is_bound_anew() {
    let mut it = Verona::new().await;
    drop(it.first);
    it.world.kill(NAMES[0]);
    it.second.leader_but(shard(&it.juliet), NAMES[0]).await;
    let (juliet, number) = (it.juliet.clone(), it.session.number);
    assert_eq!(it.second.resumes(&juliet, number, DIGEST, 0).await.err(), Some(NOT_FOUND));
    let session = it.second.bind_as(&juliet, Some("balcony")).await;
    assert_ne!(session, it.session);
}
