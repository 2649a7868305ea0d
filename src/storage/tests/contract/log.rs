//! The message log: what is kept of it, how it is read, and how it goes.

use vesta_engine::log::{LogEntry, LogId, LogQuery, LogState, LoggedMessage, Mark, View};
use vesta_engine::store::Change;
use vesta_engine::{Store, StoreError, Timestamp};
use vesta_storage::SqlStore;
use vesta_xmpp::BareJid;

use crate::place::{LEADER, NOW, Place, account, jid, leader};

const JULIET: &str = "juliet@capulet.example/balcony";
const NURSE: &str = "nurse@capulet.example/kitchen";

/// The id of the entry that came so many milliseconds after [`NOW`].
pub fn id(number: u64) -> LogId {
    LogId::first_of(Timestamp(NOW.0 + number))
}

/// An entry that the archive shows.
pub fn entry(number: u64, peer: &str) -> LogEntry {
    LogEntry {
        id: id(number),
        peer: peer.parse().expect("a JID"),
        ingress: Some(Mark(u128::MAX - u128::from(number))),
        origin: number.is_multiple_of(2).then_some(Mark(number.into())),
        archived: true,
        waiting: false,
        stanza: format!("<message xmlns='jabber:client'><body>{number}</body></message>").into(),
    }
}

/// The same, also waiting.
pub fn waiting(number: u64) -> LogEntry {
    LogEntry { waiting: true, ..entry(number, JULIET) }
}

/// Waiting, and not shown by the archive.
pub fn passing(number: u64) -> LogEntry {
    LogEntry { archived: false, ..waiting(number) }
}

pub async fn append(store: &SqlStore, account: &BareJid, entries: impl IntoIterator<Item = LogEntry>) {
    let changes = entries.into_iter().map(Change::Log).collect();
    assert_eq!(store.write(LEADER, account, changes).await, Ok(()));
}

async fn settle(store: &SqlStore, account: &BareJid, up_to: LogId) {
    assert_eq!(store.write(LEADER, account, vec![Change::LogSettle { up_to }]).await, Ok(()));
}

/// All of a view.
pub const ARCHIVED: LogQuery = LogQuery {
    view: View::Archived,
    peer: None,
    after: None,
    before: None,
    ids: None,
    limit: 10_000,
    backwards: false,
};
pub const WAITING: LogQuery = LogQuery { view: View::Waiting, ..ARCHIVED };

/// No entry at all, as numbers.
pub const NONE: [u64; 0] = [];

/// The numbers of the entries that a question is about, after it was seen that their count is theirs.
pub async fn numbers(store: &SqlStore, account: &BareJid, query: &LogQuery) -> Vec<u64> {
    let found = store.log_page(account, query).await.expect("reads");
    let all = LogQuery { limit: u32::MAX, ..query.clone() };
    let count = store.log_page(account, &all).await.expect("reads").len() as u64;
    assert_eq!(store.log_count(account, query).await, Ok(count), "{query:?}");
    found.iter().map(|message| message.id.at().0 - NOW.0).collect()
}

async fn state(store: &SqlStore, account: &BareJid) -> LogState {
    store.log_state(LEADER, account, 0).await.expect("reads")
}

pub async fn an_entry_comes_back_as_it_was_appended(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    append(&store, &romeo, [entry(1, JULIET), passing(2)]).await;
    let shown = |entry: LogEntry| LoggedMessage { id: entry.id, archived: entry.archived, stanza: entry.stanza };
    assert_eq!(store.log_page(&romeo, &ARCHIVED).await, Ok(vec![shown(entry(1, JULIET))]));
    assert_eq!(store.log_page(&romeo, &WAITING).await, Ok(vec![shown(passing(2))]));
    store.close().await;
}

pub async fn a_new_leader_learns_the_last_id_what_waits_and_the_newest_marks(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    assert_eq!(store.log_state(LEADER, &romeo, 5).await, Ok(LogState::default()));
    append(&store, &romeo, [entry(1, JULIET), waiting(2), passing(3)]).await;
    let marks = |number| {
        let entry = entry(number, JULIET);
        (entry.id, entry.ingress, entry.origin)
    };
    let two = LogState { last: id(3), waiting: 2, recent: vec![marks(3), marks(2)] };
    assert_eq!(store.log_state(leader(1, 2), &romeo, 2).await, Ok(two));
    let none = LogState { last: id(3), waiting: 2, recent: Vec::new() };
    assert_eq!(store.log_state(leader(1, 2), &romeo, 0).await, Ok(none));
    let all = LogState { last: id(3), waiting: 2, recent: vec![marks(3), marks(2), marks(1)] };
    assert_eq!(store.log_state(leader(1, 2), &romeo, 9).await, Ok(all));
    assert_eq!(store.log_state(leader(1, 2), &jid("nobody@montague.example"), 9).await, Ok(LogState::default()));
    store.close().await;
}

pub async fn nothing_of_an_older_leader_comes_after_the_state_was_read(place: &Place) {
    let (old, new) = (place.open().await, place.open().await);
    let romeo = account(&old, "romeo@montague.example").await;
    append(&old, &romeo, [entry(1, JULIET)]).await;
    assert_eq!(new.log_state(leader(1, 2), &romeo, 0).await.map(|state| state.last), Ok(id(1)));
    let late = old.write(LEADER, &romeo, vec![Change::Log(entry(2, JULIET))]).await;
    assert_eq!(late, Err(StoreError::Fenced));
    assert_eq!(old.log_state(LEADER, &romeo, 0).await, Err(StoreError::Fenced));
    assert_eq!(numbers(&new, &romeo, &ARCHIVED).await, [1]);
    old.close().await;
    new.close().await;
}

pub async fn what_waits_waits_until_it_is_settled(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    append(&store, &romeo, [passing(1), waiting(2), entry(3, JULIET), passing(4), waiting(5)]).await;
    assert_eq!(numbers(&store, &romeo, &WAITING).await, [1, 2, 4, 5]);
    settle(&store, &romeo, id(4)).await;
    assert_eq!(numbers(&store, &romeo, &WAITING).await, [5]);
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [2, 3, 5], "what the archive does not show is forgotten");
    assert_eq!(state(&store, &romeo).await.waiting, 1);

    assert_eq!(store.write(LEADER, &romeo, vec![Change::LogWait(id(3)), Change::LogWait(id(99))]).await, Ok(()));
    assert_eq!(numbers(&store, &romeo, &WAITING).await, [3, 5]);
    settle(&store, &romeo, LogId(u64::MAX)).await;
    assert_eq!(numbers(&store, &romeo, &WAITING).await, NONE);
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [2, 3, 5]);
    store.close().await;
}

pub async fn an_id_that_was_given_is_remembered_when_its_entry_is_forgotten(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    append(&store, &romeo, [entry(1, JULIET), passing(2)]).await;
    settle(&store, &romeo, id(2)).await;
    assert_eq!(state(&store, &romeo).await, LogState { last: id(2), ..LogState::default() });
    append(&store, &romeo, [entry(3, JULIET)]).await;
    assert_eq!(store.log_prune("montague.example", id(99), 10).await, Ok(2));
    assert_eq!(state(&store, &romeo).await, LogState { last: id(3), ..LogState::default() });
    store.close().await;
}

pub async fn changes_of_a_log_happen_in_their_order(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let settle = |number| Change::LogSettle { up_to: id(number) };
    let changes = || {
        let log = |entry| Change::Log(entry);
        vec![
            log(passing(1)),
            settle(1),
            log(passing(2)),
            log(waiting(3)),
            settle(2),
            log(entry(4, JULIET)),
            Change::LogWait(id(4)),
        ]
    };
    // Twice: a commit of unknown outcome is repeated.
    for _ in 0..2 {
        assert_eq!(store.write(LEADER, &romeo, changes()).await, Ok(()));
        assert_eq!(numbers(&store, &romeo, &WAITING).await, [3, 4]);
        assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [3, 4]);
    }
    store.close().await;
}

pub async fn an_entry_that_is_appended_again_stays_as_it_is(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    append(&store, &romeo, [waiting(1), entry(2, JULIET)]).await;
    settle(&store, &romeo, id(1)).await;
    let other = LogEntry { stanza: "<message/>".into(), ..waiting(1) };
    append(&store, &romeo, [other, entry(3, JULIET)]).await;
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [1, 2, 3]);
    assert_eq!(numbers(&store, &romeo, &WAITING).await, NONE);
    assert_eq!(store.log_page(&romeo, &ARCHIVED).await.expect("reads")[0].stanza, entry(1, JULIET).stanza);
    store.close().await;
}

pub async fn an_account_that_is_not_there_has_no_log(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let nobody = jid("nobody@montague.example");
    let (refused, written) = tokio::join!(
        store.write(LEADER, &nobody, vec![Change::Log(entry(1, JULIET))]),
        store.write(LEADER, &romeo, vec![Change::Log(entry(1, JULIET))]),
    );
    assert!(matches!(refused, Err(StoreError::Broken(_))), "{refused:?}");
    assert_eq!(written, Ok(()), "its neighbour has one");
    assert_eq!(store.log_page(&nobody, &ARCHIVED).await, Ok(Vec::new()));
    assert_eq!(store.log_count(&nobody, &ARCHIVED).await, Ok(0));
    store.close().await;
}

pub async fn a_log_is_read_by_all_conditions_at_once(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let tybalt = account(&store, "tybalt@capulet.example").await;
    let peers =
        [JULIET, NURSE, "juliet@capulet.example", "juliet@capulet.example/balcony2", "juliet@capulet.example.net/x"];
    append(&store, &romeo, (1..=20).map(|number| entry(number, peers[number as usize % 5]))).await;
    append(&store, &romeo, (21..=24).map(passing)).await;
    append(&store, &tybalt, (1..=20).map(|number| entry(number, JULIET))).await;

    let of = |peer: &str| Some(peer.parse().expect("a JID"));
    let some = |numbers: &[u64]| Some(numbers.iter().map(|number| id(*number)).collect());
    let juliet = LogQuery { peer: of("juliet@capulet.example"), ..ARCHIVED };
    let cases = [
        (ARCHIVED, (1..=20).collect::<Vec<u64>>()),
        (LogQuery { limit: 3, ..ARCHIVED }, vec![1, 2, 3]),
        (LogQuery { limit: 3, backwards: true, ..ARCHIVED }, vec![18, 19, 20]),
        (LogQuery { limit: 0, ..ARCHIVED }, vec![]),
        (LogQuery { after: Some(id(17)), ..ARCHIVED }, vec![18, 19, 20]),
        (LogQuery { after: Some(LogId(id(17).0 - 1)), before: Some(id(19)), ..ARCHIVED }, vec![17, 18]),
        (LogQuery { after: Some(id(5)), limit: 2, ..ARCHIVED }, vec![6, 7]),
        (LogQuery { before: Some(id(5)), limit: 2, backwards: true, ..ARCHIVED }, vec![3, 4]),
        (LogQuery { after: Some(LogId(u64::MAX)), ..ARCHIVED }, vec![]),
        (LogQuery { before: Some(LogId(0)), ..ARCHIVED }, vec![]),
        (juliet.clone(), vec![2, 3, 5, 7, 8, 10, 12, 13, 15, 17, 18, 20]),
        (LogQuery { limit: 2, backwards: true, ..juliet.clone() }, vec![18, 20]),
        (LogQuery { after: Some(id(5)), before: Some(id(12)), ..juliet.clone() }, vec![7, 8, 10]),
        (LogQuery { peer: of(JULIET), ..ARCHIVED }, vec![5, 10, 15, 20]),
        (
            LogQuery { peer: of("juliet@capulet.example/balcony2"), after: Some(id(3)), limit: 2, ..ARCHIVED },
            vec![8, 13],
        ),
        (LogQuery { peer: of("romeo@montague.example"), ..ARCHIVED }, vec![]),
        (LogQuery { ids: some(&[4, 2, 99, 4, 22]), ..ARCHIVED }, vec![2, 4]),
        (LogQuery { ids: some(&[2, 4, 7]), limit: 2, backwards: true, ..ARCHIVED }, vec![4, 7]),
        (LogQuery { ids: some(&[2, 4, 7]), after: Some(id(2)), ..juliet }, vec![7]),
        (LogQuery { ids: some(&[]), ..ARCHIVED }, vec![]),
        (LogQuery { ids: Some((0..400).map(id).collect()), limit: 19, ..ARCHIVED }, (1..=19).collect()),
        (LogQuery { ids: Some((0..400).map(id).collect()), limit: 2, backwards: true, ..ARCHIVED }, vec![19, 20]),
        (WAITING, vec![21, 22, 23, 24]),
        (LogQuery { peer: of(JULIET), after: Some(id(21)), limit: 2, ..WAITING }, vec![22, 23]),
        (LogQuery { ids: some(&[1, 24]), ..WAITING }, vec![24]),
    ];
    for (query, expected) in cases {
        assert_eq!(numbers(&store, &romeo, &query).await, expected, "{query:?}");
    }
    store.close().await;
}

pub async fn a_removed_account_leaves_a_log_that_nobody_reads_and_pruning_takes(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    append(&store, &romeo, (1..=5).map(passing)).await;
    assert_eq!(store.remove_account(LEADER, &romeo).await, Ok(true));
    assert_eq!(numbers(&store, &romeo, &WAITING).await, NONE);

    // Whoever takes the name next finds it clean, and loses nothing.
    account(&store, "romeo@montague.example").await;
    assert_eq!(state(&store, &romeo).await, LogState::default());
    append(&store, &romeo, [entry(1, JULIET)]).await;
    assert_eq!(store.log_prune("capulet.example", LogId(0), 3).await, Ok(3), "whatever the host and the age");
    assert_eq!(store.log_prune("capulet.example", LogId(0), 3).await, Ok(2));
    assert_eq!(store.log_prune("capulet.example", LogId(0), 3).await, Ok(0));
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [1]);
    store.close().await;
}

pub async fn what_is_too_old_goes_in_small_steps_unless_it_waits(place: &Place) {
    let store = place.open().await;
    let (mut accounts, mut left) = (Vec::new(), 0);
    // More accounts than are looked at in one go.
    for number in 0..300 {
        accounts.push(account(&store, &format!("romeo{number}@montague.example")).await);
    }
    let other = account(&store, "juliet@capulet.example").await;
    for owner in accounts.iter().step_by(50).chain([&accounts[299], &other]) {
        append(&store, owner, [entry(1, JULIET), waiting(2), entry(3, JULIET), entry(4, JULIET), entry(9, JULIET)])
            .await;
        left += 3;
    }
    left -= 3;
    while left > 0 {
        let expected = left.min(4);
        assert_eq!(store.log_prune("montague.example", id(9), 4).await, Ok(expected));
        left -= expected;
    }
    assert_eq!(store.log_prune("montague.example", id(9), 4).await, Ok(0));
    assert_eq!(numbers(&store, &accounts[50], &ARCHIVED).await, [2, 9]);
    assert_eq!(numbers(&store, &other, &ARCHIVED).await, [1, 2, 3, 4, 9], "another host has its own rules");

    settle(&store, &accounts[50], id(2)).await;
    assert_eq!(store.log_prune("montague.example", id(10), 100).await, Ok(8));
    assert_eq!(numbers(&store, &accounts[50], &ARCHIVED).await, NONE);
    store.close().await;
}

/// A migration of tables that hold something already.
pub async fn offline_messages_of_before_wait_in_the_log(place: &Place) {
    place.migrate_to(1).await;
    place
        .execute(
            "INSERT INTO accounts (account, domain, created_at, offline_last_id) VALUES \
             ('juliet@capulet.example', 'capulet.example', 1, 0), \
             ('romeo@montague.example', 'montague.example', 1, 7)",
        )
        .await;
    // 'one', 'two' and 'five'.
    place
        .execute(match place {
            Place::Sqlite(_) => {
                "INSERT INTO offline_messages (account, id, at, stanza) VALUES \
                 ('romeo@montague.example', 1, 1767225600005, x'6f6e65'), \
                 ('romeo@montague.example', 2, 1767225600003, x'74776f'), \
                 ('romeo@montague.example', 5, 1767225600009, x'66697665')"
            }
            Place::Postgres { .. } => {
                "INSERT INTO offline_messages (account, id, at, stanza) VALUES \
                 ('romeo@montague.example', 1, 1767225600005, '\\x6f6e65'), \
                 ('romeo@montague.example', 2, 1767225600003, '\\x74776f'), \
                 ('romeo@montague.example', 5, 1767225600009, '\\x66697665')"
            }
        })
        .await;
    let store = place.open().await;
    let romeo = jid("romeo@montague.example");
    let found = store.log_page(&romeo, &WAITING).await.expect("reads");
    let stanzas: Vec<_> = found.iter().map(|message| message.stanza.as_ref()).collect();
    assert_eq!(stanzas, [&b"one"[..], b"two", b"five"]);
    let times: Vec<_> = found.iter().map(|message| message.id.at().0 - NOW.0).collect();
    assert_eq!(times, [5, 5, 9], "the clock went back, the ids do not");
    assert_eq!(store.log_count(&romeo, &ARCHIVED).await, Ok(0));
    let state = store.log_state(LEADER, &romeo, 0).await.expect("reads");
    assert_eq!((state.waiting, state.last), (3, found[2].id));
    append(&store, &jid("juliet@capulet.example"), [entry(1, "romeo@montague.example")]).await;
    store.close().await;
}

/// As a node of an older version makes it, which knows of no log.
pub async fn an_account_without_a_log_gets_one_when_its_state_is_read(place: &Place) {
    let store = place.open().await;
    place
        .execute("INSERT INTO accounts (account, domain, created_at) VALUES ('romeo@montague.example', 'montague.example', 1)")
        .await;
    let romeo = jid("romeo@montague.example");
    assert_eq!(state(&store, &romeo).await, LogState::default());
    append(&store, &romeo, [entry(1, JULIET)]).await;
    assert_eq!(numbers(&store, &romeo, &ARCHIVED).await, [1]);
    store.close().await;
}
