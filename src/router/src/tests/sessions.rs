//! Logging in, binding, conflicts, and sessions that end in whatever way.

use std::time::Duration;

use vesta_wire::administration::{AccountAction, AccountCommand, Administration, Outcome};
use vesta_wire::attach::{EndReason, ToManager, ToRouter};
use vesta_wire::{Epoch, StreamId};
use vesta_xmpp::sasl::{Answer, Question, SaslCondition};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, PresenceType, Secret, StanzaType};

use super::manager::{Manager, chat};
use super::module::BUG;
use super::world::{NAMES, World, shard};
use crate::administration::RouterAdministration;
use crate::shard::outbox::STANZAS_MAX;
use crate::shard::state::Command;
use crate::shard::work::Work;

const VERONA: &str = NAMES[0];

fn juliet() -> BareJid {
    BareJid::parse("juliet@example.com").expect("a JID")
}

fn romeo() -> BareJid {
    BareJid::parse("romeo@example.com").expect("a JID")
}

/// Waits for unavailable presence of somebody.
async fn sees_leave(manager: &mut Manager, session: vesta_wire::SessionId, who: &str) {
    manager
        .until(session, |stanza| {
            stanza.kind == StanzaType::Presence(PresenceType::Unavailable)
                && stanza.from.as_ref().is_some_and(|from| from.as_str() == who)
        })
        .await;
}

/// RFC 4616; T14.
#[tokio::test(start_paused = true)]
async fn a_login_is_answered_by_the_leader_of_the_account() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let administration =
        RouterAdministration { router: world.router(VERONA), database_note: std::sync::Arc::new(String::new) };
    let action = AccountAction::Create { password: Secret::from("secret") };
    let made = Administration::administer(&administration, AccountCommand { account: juliet(), action }).await;
    assert_eq!(made, Ok(Outcome::Done));
    for (account, password, right) in
        [(juliet(), "secret", true), (juliet(), "secrets", false), (romeo(), "secret", false)]
    {
        let question = Question::Password { account: account.clone(), password: Secret::from(password) };
        let reply = manager.ask(&account, |request| ToRouter::Ask { request, question: question.clone() }).await;
        let ToManager::Answered { answer, .. } = reply else { panic!("{reply:?}") };
        match answer {
            Answer::Accepted { .. } => assert!(right),
            Answer::Denied(SaslCondition::NotAuthorized) => assert!(!right),
            other => panic!("{other:?}"),
        }
    }
}

/// RFC 6120 §7.6, §7.7.
#[tokio::test(start_paused = true)]
async fn a_resource_is_bound_as_asked_for_or_made_up() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let balcony = manager.bind("juliet@example.com/balcony").await;
    assert_eq!(manager.jid(balcony).as_str(), "juliet@example.com/balcony");
    let other = manager.bind_as(&juliet(), None).await;
    assert_eq!(manager.jid(other).bare_str(), "juliet@example.com");
    assert!(manager.jid(other).resource().len() > 20 && other != balcony);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_asks_again_to_be_bound_gets_the_session_that_it_has() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let first = manager.bind_stream(&juliet(), None, StreamId(77)).await;
    let jid = manager.jid(first).clone();
    let again = manager.bind_stream(&juliet(), None, StreamId(77)).await;
    assert_eq!((again, manager.jid(again)), (first, &jid));
}

/// RFC 6120 §7.7.2.2: the newest stream wins. RFC 6121 §4.5: the contacts see the older one leave.
#[tokio::test(start_paused = true)]
async fn a_conflict_ends_the_older_stream_over_whatever_link_it_is_behind() {
    let world = World::of_one().await;
    world.befriend(&juliet(), &romeo()).await;
    let mut one = Manager::attach(&world, "cm-1").await;
    let mut other = Manager::attach(&world, "cm-2").await;
    let contact = other.online(&romeo(), "orchard").await;
    let older = one.online(&juliet(), "balcony").await;
    let newer = other.bind("juliet@example.com/balcony").await;
    assert_eq!(one.closed(older).await, StreamCondition::Conflict);
    sees_leave(&mut other, contact, "juliet@example.com/balcony").await;
    one.says(older, &chat(&romeo(), "too-late"));
    other.says(newer, &chat(&romeo(), "in-time"));
    other.until(contact, |stanza| stanza.id.as_deref() == Some("in-time")).await;
    other.nothing_more(contact).await;
}

/// RFC 6121 §4.5.2.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_seen_to_leave_and_its_end_is_accepted() {
    let world = World::of_one().await;
    world.befriend(&juliet(), &romeo()).await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let contact = manager.online(&romeo(), "orchard").await;
    let session = manager.online(&juliet(), "balcony").await;
    manager.leaves(session);
    manager.all_accepted(session).await;
    sees_leave(&mut manager, contact, "juliet@example.com/balcony").await;
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_lost_manager_end_after_the_grace_and_their_contacts_see_it() {
    let world = World::of_one().await;
    world.befriend(&juliet(), &romeo()).await;
    let mut there = Manager::attach(&world, "cm-1").await;
    let contact = there.online(&romeo(), "orchard").await;
    let mut lost = Manager::attach(&world, "cm-2").await;
    lost.online(&juliet(), "balcony").await;
    world.wires.cut("cm-2");
    sees_leave(&mut there, contact, "juliet@example.com/balcony").await;
    world.wires.heal("cm-2");
    // It was only its links: it is told, and closes the streams.
    lost.link_all();
    let session = lost.sessions().remove(0);
    assert_eq!(lost.closed(session).await, StreamCondition::Reset);
}

/// The sweep looks at the replicated state, where a session is before its manager has heard of it.
#[tokio::test(start_paused = true)]
async fn a_session_that_the_sweep_saw_while_it_was_bound_goes_on() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let session = manager.online(&juliet(), "balcony").await;
    let leading = world.router(VERONA).leading(session.shard).expect("the only router leads");
    let record = leading.group.read(|machine| machine.0.all().next().cloned()).expect("it is bound");
    let key = record.session.key;
    let swept =
        Work::StreamEnded { session: key.number, epoch: Epoch(key.epoch), reason: EndReason::Lost, said_by: None };
    assert!(leading.submit(&juliet(), swept).is_ok());
    manager.says(session, &chat(&juliet(), "to-myself"));
    manager.until(session, |stanza| stanza.id.as_deref() == Some("to-myself")).await;
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_manager_that_is_back_in_time_go_on() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let balcony = manager.online(&juliet(), "balcony").await;
    let orchard = manager.online(&romeo(), "orchard").await;
    for id in ["a", "b", "c"] {
        world.wires.break_links("cm-1");
        manager.says(orchard, &chat(&juliet(), id));
    }
    assert_eq!(manager.next_ids(balcony, 3).await, ["a", "b", "c"]);
    manager.all_accepted(orchard).await;
    manager.nothing_more(balcony).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_run_of_a_manager_ends_the_sessions_of_the_older_one_at_once() {
    let world = World::of_one().await;
    world.befriend(&juliet(), &romeo()).await;
    let mut there = Manager::attach(&world, "cm-1").await;
    let contact = there.online(&romeo(), "orchard").await;
    let mut old = Manager::attach(&world, "cm-2").await;
    old.online(&juliet(), "balcony").await;
    let begun = tokio::time::Instant::now();
    world.wires.break_links("cm-2");
    let _new = Manager::attach(&world, "cm-2").await;
    sees_leave(&mut there, contact, "juliet@example.com/balcony").await;
    assert!(begun.elapsed() < super::world::GRACE);
}

/// P7: the client's session ends, and nothing that it did not take is lost.
#[tokio::test(start_paused = true)]
async fn a_full_outbox_ends_the_session_and_its_stanzas_go_where_others_go_that_nobody_takes() {
    let world = World::of_one().await;
    world.make_account(&juliet()).await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let balcony = manager.online(&juliet(), "balcony").await;
    let orchard = manager.bind("romeo@example.com/orchard").await;
    manager.all_accepted(balcony).await;
    manager.stop_reading(balcony);
    let ids: Vec<String> = (0..=STANZAS_MAX + 10).map(|number| number.to_string()).collect();
    for id in &ids {
        manager.says(orchard, &chat(&juliet(), id));
        // As a manager does, that keeps no more than its window.
        if manager.unaccepted(orchard) > 200 {
            manager.all_accepted(orchard).await;
        }
    }
    assert_eq!(manager.closed(balcony).await, StreamCondition::ResourceConstraint);
    manager.all_accepted(orchard).await;
    manager.take_frames_for(Duration::from_secs(2)).await;
    assert_eq!(world.module.kept(), ids);
}

/// A leader has ended a session and died before it told anybody; or its proposal was applied after it had given up.
#[tokio::test(start_paused = true)]
async fn contacts_learn_of_an_end_that_nobody_told_them_of() {
    let world = World::of_one().await;
    world.befriend(&juliet(), &romeo()).await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let contact = manager.online(&romeo(), "orchard").await;
    let session = manager.online(&juliet(), "balcony").await;
    let leading = world.router(VERONA).leading(shard(&juliet())).expect("the only router leads");
    let key = vesta_engine::SessionKey { number: session.number, epoch: 1 };
    leading.group.propose(Command::End { key }.encode()).await.expect("applied");
    sees_leave(&mut manager, contact, "juliet@example.com/balcony").await;
    manager.nothing_more(contact).await;
    assert_eq!(leading.group.read(|machine| machine.0.all_departed().count()), 0, "and then it is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_a_handler_costs_its_own_event_and_nothing_else() {
    let world = World::of_one().await;
    world.make_account(&juliet()).await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let session = manager.bind("juliet@example.com/balcony").await;
    manager.says(session, &format!("<iq type='get' id='bug'><query xmlns='{BUG}'/></iq>"));
    manager.says(session, "<presence/>");
    let answer = manager.next(session).await;
    assert_eq!((answer.id.as_deref(), answer.kind.is_error()), (Some("bug"), true));
    manager.next(session).await;
    manager.all_accepted(session).await;
}

/// T20: also when the stream's own link to the router is away.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_closed_while_its_manager_is_away_is_closed_when_it_is_back() {
    let world = World::of_one().await;
    world.make_account(&juliet()).await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let session = manager.online(&juliet(), "balcony").await;
    world.wires.cut("cm-1");
    manager.take_frames_for(Duration::from_secs(1)).await;
    let administration =
        RouterAdministration { router: world.router(VERONA), database_note: std::sync::Arc::new(String::new) };
    let action = AccountAction::CloseSessions { resource: None };
    let closed = Administration::administer(&administration, AccountCommand { account: juliet(), action }).await;
    assert_eq!(closed, Ok(Outcome::Done));
    world.wires.heal("cm-1");
    manager.link_all();
    // At once or on its announcement: with what error depends on who is first.
    manager.closed(session).await;
}
