//! Leaders that are killed, hand over, or are left without a majority.

use std::time::Duration;

use vesta_wire::StreamId;
use vesta_wire::attach::{ToManager, ToRouter};
use vesta_xmpp::sasl::Question;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{PresenceType, Secret, StanzaType};

use super::manager::{Manager, chat, printed};
use super::world::{NAMES, World, shard, soon};
use crate::meta::shards::{hand_over, set_acting};

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// P1, P2, P3: the manager announces the session to the next leader and sends again what was not accepted; the recipient's shard
/// recognises what it has had.
#[tokio::test(start_paused = true)]
async fn when_the_sender_s_leader_is_killed_every_stanza_arrives_once_and_in_order() {
    let world = World::of_three().await;
    let mut one = Manager::attach(&world, "cm-1").await;
    let mut other = Manager::attach(&world, "cm-2").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = one.bind_as(&sender, None).await;
    let receiving = other.online(&recipient, "phone").await;
    let ids = ids(60);
    for id in &ids[..30] {
        one.says(sending, &chat(&recipient, id));
    }
    other.next_ids(receiving, 10).await;
    world.kill(NAMES[0]);
    for id in &ids[30..] {
        one.says(sending, &chat(&recipient, id));
    }
    one.all_accepted(sending).await;
    assert_eq!(other.next_ids(receiving, 50).await, ids[10..]);
    other.nothing_more(receiving).await;
}

/// P5: the session of the recipient goes on behind another leader.
#[tokio::test(start_paused = true)]
async fn when_the_recipient_s_leader_is_killed_what_was_not_accepted_arrives_in_order() {
    let world = World::of_three().await;
    let mut one = Manager::attach(&world, "cm-1").await;
    let mut other = Manager::attach(&world, "cm-2").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = one.bind_as(&sender, None).await;
    let receiving = other.online(&recipient, "phone").await;
    one.says(sending, &chat(&recipient, "before"));
    assert_eq!(other.next_ids(receiving, 1).await, ["before"]);
    one.all_accepted(sending).await;
    world.kill(NAMES[1]);
    let ids = ids(20);
    for id in &ids {
        one.says(sending, &chat(&recipient, id));
    }
    assert_eq!(other.next_ids(receiving, ids.len()).await, ids);
    one.all_accepted(sending).await;
    other.nothing_more(receiving).await;
}

/// P3: leaderships that are handed over, there and back, while stanzas are on their way.
#[tokio::test(start_paused = true)]
async fn order_is_kept_while_leaders_hand_over() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let ids = ids(90);
    for (round, part) in ids.chunks(30).enumerate() {
        let leader = soon("a leader", manager.leader_but(shard(&recipient), "")).await;
        for id in &part[..15] {
            manager.says(sending, &chat(&recipient, id));
        }
        hand_over(&world.router(leader)).await;
        for id in &part[15..] {
            manager.says(sending, &chat(&recipient, id));
        }
        assert_eq!(manager.next_ids(receiving, 30).await, *part, "round {round}");
    }
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
}

/// A rolling upgrade: the router that stops hands everything over first.
#[tokio::test(start_paused = true)]
async fn a_router_that_stops_in_order_loses_nothing() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let accounts = world.accounts_at(NAMES[0]).await;
    let (sender, recipient) = (accounts[0].clone(), accounts.last().expect("an account").clone());
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let ids = ids(60);
    for id in &ids[..30] {
        manager.says(sending, &chat(&recipient, id));
    }
    let verona = world.router(NAMES[0]);
    hand_over(&verona).await;
    for id in &ids[30..] {
        manager.says(sending, &chat(&recipient, id));
    }
    verona.stop().await;
    world.kill(NAMES[0]);
    assert_eq!(manager.next_ids(receiving, ids.len()).await, ids);
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
}

/// RFC 6121 §4.5: presence outlives a router, and so does the duty to take it back.
#[tokio::test(start_paused = true)]
async fn contacts_see_no_flap_when_a_leader_is_killed_and_see_the_end_that_comes_later() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let juliet = world.account_at(NAMES[0]).await;
    let romeo = world.account_at(NAMES[1]).await;
    world.befriend(&juliet, &romeo).await;
    let contact = manager.online(&romeo, "orchard").await;
    let session = manager.online(&juliet, "balcony").await;
    let balcony = manager.jid(session).to_string();
    manager.until(contact, |stanza| stanza.from.as_ref().is_some_and(|from| from.as_str() == balcony)).await;
    world.kill(NAMES[0]);
    manager.leader_but(shard(&juliet), NAMES[0]).await;
    manager.nothing_more(contact).await;
    manager.leaves(session);
    manager.all_accepted(session).await;
    let farewell = manager.next(contact).await;
    assert_eq!(farewell.kind, StanzaType::Presence(PresenceType::Unavailable), "{}", printed(&farewell));
    manager.nothing_more(contact).await;
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_finds_no_leader_succeeds_with_the_next_one() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let account = world.account_at(NAMES[2]).await;
    world.kill(NAMES[2]);
    let session = manager.bind_as(&account, Some("phone")).await;
    assert_eq!(manager.jid(session).resource(), "phone");
}

/// P6: a leader without a majority does nothing that it could not take back. Requests are refused, to be asked again, and frames stay
/// with their manager, until a majority is there again, whoever leads it.
#[tokio::test(start_paused = true)]
async fn without_a_majority_everything_waits_and_goes_on_when_it_is_back() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let accounts = world.accounts_at(NAMES[0]).await;
    let (sender, recipient) = (accounts[0].clone(), accounts.last().expect("an account").clone());
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let verona = world.router(NAMES[0]);
    for name in &NAMES[1..] {
        world.wires.cut(name);
    }
    soon("verona learns that it is alone", async {
        while verona.leading(shard(&sender)).is_some() || verona.leading(shard(&recipient)).is_some() {
            manager.take_frames_for(Duration::from_millis(100)).await;
        }
    })
    .await;

    let bind = |request| ToRouter::Bind { request, account: sender.clone(), resource: None, stream: StreamId(1000) };
    assert!(matches!(manager.ask_once(&sender, bind).await, Some(ToManager::NotLeader { .. })));
    let question = Question::Password { account: sender.clone(), password: Secret::from("secret") };
    let ask = |request| ToRouter::Ask { request, question: question.clone() };
    assert!(matches!(manager.ask_once(&sender, ask).await, Some(ToManager::NotLeader { .. })));
    manager.says(sending, &chat(&recipient, "waiting"));
    manager.nothing_more(receiving).await;
    assert_eq!(manager.unaccepted(sending), 1);

    for name in &NAMES[1..] {
        world.wires.heal(name);
    }
    manager.link_all();
    assert_eq!(manager.next_ids(receiving, 1).await, ["waiting"]);
    manager.all_accepted(sending).await;
    manager.bind_as(&sender, Some("again")).await;
}

/// Nobody else can have led in this term: nothing is announced, nothing is lost, and no session is missed later.
#[tokio::test(start_paused = true)]
async fn a_leader_that_a_majority_answers_again_in_the_same_term_goes_on_where_it_was() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let accounts = world.accounts_at(NAMES[0]).await;
    let sending = manager.bind_as(&accounts[0], None).await;
    let receiving = manager.online(&accounts[1], "phone").await;
    let verona = world.router(NAMES[0]);
    let doubt = |acts| {
        for leading in verona.held_shards() {
            set_acting(&verona, &leading, acts);
        }
    };
    for round in ["a", "b"] {
        doubt(false);
        manager.says(sending, &chat(&accounts[1], round));
        manager.nothing_more(receiving).await;
        assert_eq!(manager.unaccepted(sending), 1);
        doubt(true);
        assert_eq!(manager.next_ids(receiving, 1).await, [round]);
        manager.all_accepted(sending).await;
    }
    manager.take_frames_for(Duration::from_secs(40)).await;
    manager.says(sending, &chat(&accounts[1], "later"));
    assert_eq!(manager.next_ids(receiving, 1).await, ["later"]);
    assert_eq!(manager.times_announced(), 0);
}

/// RFC 6120 §8.3.3.18: `wait`, `resource-constraint`.
#[tokio::test(start_paused = true)]
async fn a_stanza_for_a_shard_without_a_majority_comes_back_in_the_end() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.online(&sender, "phone").await;
    // Nobody can lead the recipient's shard, and nobody tells the sender's leader: as if its voters were others.
    let verona = world.router(NAMES[0]);
    let lost = shard(&recipient);
    let padua = world.router(NAMES[1]);
    padua.set_acts(lost, false);
    padua.holding(lost).expect("it leads").hold();
    manager.says(sending, &chat(&recipient, "lost"));
    let answer = manager.next(sending).await;
    let error = answer.to_element().expect("readable");
    let error = error.child(vesta_xmpp::ns::CLIENT, "error").expect("an error");
    assert_eq!(error.attribute("type"), Some("wait"));
    assert!(error.child(vesta_xmpp::ns::STANZA_ERRORS, Condition::ResourceConstraint.name()).is_some());
    manager.all_accepted(sending).await;
    assert!(verona.leading(shard(&sender)).is_some());
}

/// P4: a message that is stored is accepted when its recipient's manager has it. Here the leader alone had delivered it, and dies.
#[tokio::test(start_paused = true)]
async fn a_message_that_only_the_leader_had_is_delivered_by_the_next_one() {
    let world = World::of_three().await;
    let mut first = Manager::attach(&world, "cm-1").await;
    let mut second = Manager::attach(&world, "cm-2").await;
    let recipient = world.account_at(NAMES[0]).await;
    let sender = world.account_at(NAMES[1]).await;
    let sending = first.bind_as(&sender, None).await;
    let receiving = second.online(&recipient, "phone").await;
    second.set_deaf(true);
    first.says(sending, &chat(&recipient, "log-1"));
    second.take_frames_for(Duration::from_secs(1)).await;
    first.take_frames_for(Duration::from_secs(1)).await;
    assert_eq!(first.unaccepted(sending), 1, "nobody but the leader has it");

    world.kill(NAMES[0]);
    second.leader_but(shard(&recipient), NAMES[0]).await;
    second.set_deaf(false);
    let (ids, ()) = tokio::join!(second.next_ids(receiving, 1), first.all_accepted(sending));
    assert_eq!(ids, ["log-1"]);
    second.nothing_more(receiving).await;
}

/// P2: what its manager has of it, a session does not get again, though the leader died before it could say so.
#[tokio::test(start_paused = true)]
async fn a_message_that_a_session_has_got_does_not_come_again_from_the_next_leader() {
    let world = World::of_three().await;
    let mut first = Manager::attach(&world, "cm-1").await;
    let mut second = Manager::attach(&world, "cm-2").await;
    let recipient = world.account_at(NAMES[0]).await;
    let sender = world.account_at(NAMES[1]).await;
    let sending = first.bind_as(&sender, None).await;
    let receiving = second.online(&recipient, "phone").await;
    second.withhold_receipts();
    first.says(sending, &chat(&recipient, "log-1"));
    assert_eq!(second.next_ids(receiving, 1).await, ["log-1"]);
    first.take_frames_for(Duration::from_secs(1)).await;
    assert_eq!(first.unaccepted(sending), 1, "nobody knows that it has come");

    world.kill(NAMES[0]);
    let (_, ()) = tokio::join!(second.leader_but(shard(&recipient), NAMES[0]), first.all_accepted(sending));
    second.nothing_more(receiving).await;
}
