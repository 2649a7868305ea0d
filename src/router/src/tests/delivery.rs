//! Stanzas between accounts of different routers.

use super::manager::{Manager, chat};
use super::world::{NAMES, World};

#[tokio::test(start_paused = true)]
async fn a_message_crosses_from_router_to_router_once_and_is_accepted_then() {
    let world = World::of_three().await;
    let mut one = Manager::attach(&world, "cm-1").await;
    let mut other = Manager::attach(&world, "cm-2").await;
    for (from, to) in [(0, 1), (1, 2), (2, 2)] {
        let sender = world.account_at(NAMES[from]).await;
        let recipient = world.accounts_at(NAMES[to]).await.pop().expect("an account");
        let sending = one.bind_as(&sender, None).await;
        let receiving = other.online(&recipient, "phone").await;
        one.says(sending, &chat(&recipient, "hello"));
        assert_eq!(other.next_ids(receiving, 1).await, ["hello"]);
        one.all_accepted(sending).await;
        other.nothing_more(receiving).await;
        other.leaves(receiving);
    }
}

/// P3: what waits for a link that breaks again and again goes again in order, and is recognised.
#[tokio::test(start_paused = true)]
async fn order_and_number_are_kept_while_links_between_routers_break() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for (number, id) in ids.iter().enumerate() {
        manager.says(sending, &chat(&recipient, id));
        if number % 30 == 10 {
            world.wires.break_links(NAMES[1]);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(manager.next_ids(receiving, ids.len()).await, ids);
    manager.all_accepted(sending).await;
    manager.nothing_more(receiving).await;
}

/// RFC 6121 §8.5.2.2.1, RFC 6120 §10.5.3: whoever does not exist or is not served answers, from wherever.
#[tokio::test(start_paused = true)]
async fn what_nobody_takes_comes_back_as_an_error() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let sending = manager.bind_as(&sender, None).await;
    for to in ["nobody1@example.com", "nobody2@example.com", "nobody3@example.com", "romeo@elsewhere.example"] {
        let to = vesta_xmpp::BareJid::parse(to).expect("a JID");
        manager.says(sending, &chat(&to, "anybody"));
        let answer = manager.next(sending).await;
        assert!(answer.kind.is_error() && answer.id.as_deref() == Some("anybody"));
    }
    manager.all_accepted(sending).await;
}
