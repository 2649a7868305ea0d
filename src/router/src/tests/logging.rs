//! Messages that are accepted, and delivered, when they are durable.

use vesta_xmpp::BareJid;
use vesta_xmpp::stanza_error::Condition;

use super::manager::{Manager, chat, printed};
use super::module::LOG_BUG;
use super::world::{NAMES, World, shard, soon};

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("log-{number}")).collect()
}

fn entries(world: &World, account: &BareJid) -> usize {
    world.store.log(account).len()
}

/// P1: the frame waits for the entries of both sides; what is not stored goes on meanwhile, but not before it.
#[tokio::test(start_paused = true)]
async fn a_message_is_accepted_when_it_is_durable() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let other = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    world.store.hold();
    manager.says(sending, &chat(&recipient, "log-1"));
    manager.says(sending, &chat(&recipient, "behind"));
    manager.says(other, &chat(&recipient, "beside"));
    assert_eq!(manager.next_ids(receiving, 1).await, ["beside"]);
    manager.all_accepted(other).await;
    manager.nothing_more(receiving).await;
    assert_eq!(manager.unaccepted(sending), 2);
    world.store.release();
    assert_eq!(manager.next_ids(receiving, 2).await, ["log-1", "behind"]);
    manager.all_accepted(sending).await;
    assert_eq!((entries(&world, &sender), entries(&world, &recipient)), (1, 1));
}

/// P1: what can't be stored is nobody's, and its sender knows; then the frame is done.
#[tokio::test(start_paused = true)]
async fn a_message_that_can_not_be_stored_is_sent_back() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    manager.says(sending, &chat(&recipient, "log-0"));
    assert_eq!(manager.next_ids(receiving, 1).await, ["log-0"]);
    world.store.set_away(true);
    manager.says(sending, &chat(&recipient, "log-1"));
    for _entry_of_each_side in 0..2 {
        let answer = manager.next(sending).await;
        assert!(printed(&answer).contains(Condition::ResourceConstraint.name()), "{}", printed(&answer));
    }
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
}

/// P2, P3: the sender's frames come again to the next leader of its shard; the recipient's knows them, though they are not durable yet.
#[tokio::test(start_paused = true)]
async fn when_the_sender_s_leader_is_killed_meanwhile_everything_is_stored_and_delivered_once() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let ids = ids(20);
    world.store.hold();
    for id in &ids {
        manager.says(sending, &chat(&recipient, id));
    }
    manager.nothing_more(receiving).await;
    world.kill(NAMES[0]);
    manager.leader_but(shard(&sender), NAMES[0]).await;
    manager.nothing_more(receiving).await;
    assert_eq!(manager.unaccepted(sending), ids.len());
    world.store.release();
    assert_eq!(manager.next_ids(receiving, ids.len()).await, ids);
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
    assert_eq!((entries(&world, &sender), entries(&world, &recipient)), (ids.len(), ids.len()));
}

/// P2, P3: what the recipient's leader had under way is fenced; the next one stores and delivers it.
#[tokio::test(start_paused = true)]
async fn when_the_recipient_s_leader_is_killed_meanwhile_everything_is_stored_and_delivered_once() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let ids = ids(20);
    world.store.hold();
    for id in &ids {
        manager.says(sending, &chat(&recipient, id));
    }
    manager.nothing_more(receiving).await;
    world.kill(NAMES[1]);
    manager.leader_but(shard(&recipient), NAMES[1]).await;
    manager.nothing_more(receiving).await;
    world.store.release();
    assert_eq!(manager.next_ids(receiving, ids.len()).await, ids);
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
    assert_eq!((entries(&world, &sender), entries(&world, &recipient)), (ids.len(), ids.len()));
}

/// P2: what is durable is known to the next leader.
#[tokio::test(start_paused = true)]
async fn what_the_last_leader_has_stored_is_stored_and_delivered_no_second_time() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let with_id =
        |id: &str| chat(&recipient, id).replace("</message>", "<origin-id xmlns='urn:xmpp:sid:0' id='o'/></message>");
    manager.says(sending, &with_id("log-1"));
    assert_eq!(manager.next_ids(receiving, 1).await, ["log-1"]);
    manager.all_accepted(sending).await;
    world.kill(NAMES[1]);
    manager.leader_but(shard(&recipient), NAMES[1]).await;
    manager.says(sending, &with_id("log-2"));
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
    assert_eq!((entries(&world, &sender), entries(&world, &recipient)), (1, 1));
}

/// A bug in what follows from an entry is told to the sender, and takes nothing else along.
#[tokio::test(start_paused = true)]
async fn a_bug_behind_an_entry_stays_within_its_event() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    world.store.hold();
    for id in [LOG_BUG, "log-1", "log-2"] {
        manager.says(sending, &chat(&recipient, id));
    }
    manager.nothing_more(receiving).await;
    world.store.release();
    assert_eq!(manager.next_ids(receiving, 3).await, [LOG_BUG, "log-1", "log-2"]);
    let answer = manager.next(sending).await;
    assert!(printed(&answer).contains(Condition::InternalServerError.name()), "{}", printed(&answer));
    manager.says(sending, &chat(&recipient, "log-3"));
    assert_eq!(manager.next_ids(receiving, 1).await, ["log-3"]);
    manager.all_accepted(sending).await;
    assert_eq!(entries(&world, &recipient), 4);
}

/// Each host's archives are looked after by one router, whoever leads.
#[tokio::test(start_paused = true)]
async fn what_archives_need_not_keep_any_longer_is_taken_away() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let (sender, recipient) = (world.account_at(NAMES[0]).await, world.account_at(NAMES[1]).await);
    for number in 1..=1_234 {
        world.log_entry(&recipient, number).await;
    }
    let sending = manager.bind_as(&sender, None).await;
    manager.says(sending, &chat(&recipient, "log-new"));
    manager.all_accepted(sending).await;
    soon("the old ones are gone", async {
        while entries(&world, &recipient) > 1 {
            manager.take_frames_for(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}
