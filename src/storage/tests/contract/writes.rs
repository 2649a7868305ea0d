//! How writes behave towards leaders and towards each other.

use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use vesta_engine::store::Change;
use vesta_engine::{Fence, Store, StoreError};

use crate::log::{ARCHIVED, NONE, WAITING, entry, id, numbers, passing};
use crate::place::{LEADER, Place, account, jid, leader};

fn put(key: &str, value: &str) -> Vec<Change> {
    vec![Change::DataPut { key: key.into(), value: value.to_owned().into() }]
}

fn log(number: u64) -> Change {
    Change::Log(entry(number, "juliet@capulet.example/balcony"))
}

pub async fn changes_of_one_write_happen_together_or_not_at_all(place: &Place) {
    let store = place.open().await;
    let nobody = jid("nobody@montague.example");
    let changes = vec![Change::LogSettle { up_to: id(1) }, log(2)];
    let outcome = store.write(LEADER, &nobody, changes).await;
    assert!(matches!(outcome, Err(StoreError::Broken(_))), "data needs an account: {outcome:?}");
    assert_eq!(numbers(&store, &nobody, &ARCHIVED).await, NONE);
    store.close().await;
}

pub async fn a_write_may_be_repeated(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let push = |number| Change::Log(passing(number));
    let changes = || vec![push(1), push(2), Change::LogSettle { up_to: id(1) }];
    assert_eq!(store.write(LEADER, &romeo, changes()).await, Ok(()));
    assert_eq!(store.write(LEADER, &romeo, changes()).await, Ok(()));
    assert_eq!(numbers(&store, &romeo, &WAITING).await, [2]);
    store.close().await;
}

pub async fn an_older_leader_is_fenced_off(place: &Place) {
    let (old, new) = (place.open().await, place.open().await);
    let romeo = account(&old, "romeo@montague.example").await;
    assert_eq!(new.write(leader(1, 2), &romeo, put("by", "new")).await, Ok(()));
    assert_eq!(old.write(leader(1, 1), &romeo, put("by", "old")).await, Err(StoreError::Fenced));
    assert_eq!(old.remove_account(leader(1, 1), &romeo).await, Err(StoreError::Fenced));
    assert_eq!(new.data(&romeo, "by").await, Ok(Some("new".into())));
    assert_eq!(new.write(leader(1, 2), &romeo, put("by", "new still")).await, Ok(()));
    old.close().await;
    new.close().await;
}

pub async fn terms_start_anew_in_each_generation(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    assert_eq!(store.write(leader(1, 9), &romeo, put("a", "1")).await, Ok(()));
    assert_eq!(store.write(leader(2, 1), &romeo, put("a", "2")).await, Ok(()));
    assert_eq!(store.write(leader(1, 10), &romeo, put("a", "3")).await, Err(StoreError::Fenced));
    assert_eq!(store.data(&romeo, "a").await, Ok(Some("2".into())));
    store.close().await;
}

pub async fn a_fence_holds_for_its_shard_alone(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    assert_eq!(store.write(leader(5, 5), &romeo, put("a", "1")).await, Ok(()));
    let elsewhere = Fence { shard: 2, generation: 1, term: 1 };
    assert_eq!(store.write(elsewhere, &romeo, put("a", "2")).await, Ok(()));
    store.close().await;
}

pub async fn many_writes_at_once_all_happen_in_their_order(place: &Place) {
    let store = Arc::new(place.open().await);
    let mut writers = JoinSet::new();
    for number in 0..20 {
        let romeo = account(&store, &format!("romeo{number}@montague.example")).await;
        let store = store.clone();
        writers.spawn(async move {
            let fence = Fence { shard: number, generation: 1, term: 1 };
            let writes = (1..=50).map(|number| store.write(fence, &romeo, vec![log(number)]));
            for outcome in futures(writes).await {
                assert_eq!(outcome, Ok(()));
            }
            for value in 1..=20 {
                assert_eq!(store.write(fence, &romeo, put("last", &value.to_string())).await, Ok(()));
            }
            assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, (1..=50).collect::<Vec<_>>());
            assert_eq!(store.data(&romeo, "last").await, Ok(Some("20".into())));
        });
    }
    writers.join_all().await;
    store.close().await;
}

pub async fn a_refused_write_does_not_fail_its_neighbours(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let nobody = jid("nobody@montague.example");
    let other_shard = Fence { shard: 2, generation: 1, term: 1 };
    let (first, refused, second, third) = tokio::join!(
        store.write(LEADER, &romeo, put("a", "1")),
        store.write(LEADER, &nobody, put("b", "1")),
        store.write(LEADER, &romeo, put("c", "1")),
        store.write(other_shard, &romeo, put("d", "1")),
    );
    assert_eq!((first, second, third), (Ok(()), Ok(()), Ok(())));
    assert!(matches!(refused, Err(StoreError::Broken(_))), "{refused:?}");
    assert_eq!(store.data(&romeo, "c").await, Ok(Some("1".into())));
    store.close().await;
}

pub async fn a_fenced_write_does_not_fail_its_neighbours(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    assert_eq!(store.write(leader(1, 5), &romeo, Vec::new()).await, Ok(()));
    let (first, fenced, second) = tokio::join!(
        store.write(leader(1, 5), &romeo, put("a", "1")),
        store.write(leader(1, 4), &romeo, put("a", "2")),
        store.write(leader(1, 6), &romeo, put("b", "1")),
    );
    assert_eq!((first, fenced, second), (Ok(()), Err(StoreError::Fenced), Ok(())));
    assert_eq!(store.data(&romeo, "a").await, Ok(Some("1".into())));
    store.close().await;
}

pub async fn a_closed_store_writes_no_more(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    store.close().await;
    let outcome = store.write(LEADER, &romeo, put("a", "1")).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}

pub async fn submitted_writes_are_done_in_their_order_and_tell_so_in_it(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let nobody = jid("nobody@montague.example");
    let (told, mut outcomes) = unbounded_channel();
    let submit = |fence, account, number, changes| {
        let told = told.clone();
        let done = move |outcome| told.send((number, outcome)).expect("listened to");
        store.submit(fence, account, changes, Box::new(done));
    };
    for number in 1..=100 {
        submit(LEADER, &romeo, number, [vec![log(number)], put("last", &number.to_string())].concat());
        // What fails among them, and writes of another shard, change nothing for this account.
        submit(LEADER, &nobody, 1000 + number, vec![log(number)]);
        submit(Fence { shard: 2, ..LEADER }, &romeo, 2000 + number, Vec::new());
    }
    let (mut well, mut failed) = (Vec::new(), 0);
    for _ in 0..300 {
        match outcomes.recv().await.expect("one for each") {
            (number @ 1..=100, Ok(())) => well.push(number),
            (1001..=1100, Err(StoreError::Broken(_))) => failed += 1,
            (2001..=2100, Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((well, failed), ((1..=100).collect(), 100));
    assert_eq!(store.data(&romeo, "last").await, Ok(Some("100".into())));
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, (1..=100).collect::<Vec<_>>());
    store.close().await;
}

pub async fn a_store_that_closes_tells_everyone_who_waits(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let (told, mut outcomes) = unbounded_channel();
    for number in 1..=100 {
        let told = told.clone();
        let done = move |outcome: Result<(), StoreError>| told.send(outcome).expect("listened to");
        store.submit(LEADER, &romeo, vec![log(number)], Box::new(done));
    }
    store.close().await;
    drop(told);
    let mut kept = 0;
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!(outcome, Ok(()), "what was handed in before is written");
        kept += 1;
    }
    assert_eq!(kept, 100);
}

/// All of some futures at once, polled in their order the first time: that is the order in which the writes are queued.
async fn futures<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, outcome) in &mut waiting {
            if outcome.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *outcome = Some(value);
            }
        }
        match waiting.iter().all(|(_, outcome)| outcome.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
