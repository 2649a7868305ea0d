//! What is kept, and how it comes back.

use std::collections::BTreeSet;

use vesta_engine::roster::{RosterItem, Subscription};
use vesta_engine::store::{AccountRecord, Change, StoredRoster};
use vesta_engine::{Store, StoreError};
use vesta_xmpp::sasl::Hash;

use crate::log::{WAITING, numbers, waiting};
use crate::place::{LEADER, NOW, Place, account, credentials, jid, leader, shown};

pub async fn an_account_is_made_once_and_has_its_verifiers(place: &Place) {
    let store = place.open().await;
    let romeo = jid("romeo@montague.example");
    let first = credentials(&[Hash::Sha1, Hash::Sha256, Hash::Sha512], 1);
    assert_eq!(store.create_account(LEADER, &romeo, &first, NOW).await, Ok(true));
    let second = credentials(&[Hash::Sha1], 2);
    assert_eq!(store.create_account(LEADER, &romeo, &second, NOW).await, Ok(false));
    assert_eq!(store.account_exists(&romeo).await, Ok(true));
    let kept = store.credentials(&romeo).await.expect("reads").expect("has verifiers");
    assert_eq!(shown(&kept), shown(&first));
    store.close().await;
}

pub async fn unknown_accounts_have_nothing(place: &Place) {
    let store = place.open().await;
    let nobody = jid("nobody@montague.example");
    assert_eq!(store.account_exists(&nobody).await, Ok(false));
    assert!(store.credentials(&nobody).await.expect("reads").is_none());
    assert_eq!(store.roster(&nobody).await, Ok(StoredRoster::default()));
    assert_eq!(store.data(&nobody, "vcard").await, Ok(None));
    assert_eq!(store.set_credentials(LEADER, &nobody, &credentials(&[Hash::Sha1], 1)).await, Ok(false));
    assert_eq!(store.remove_account(LEADER, &nobody).await, Ok(false));
    store.close().await;
}

pub async fn verifiers_are_replaced_as_a_whole(place: &Place) {
    let store = place.open().await;
    let romeo = jid("romeo@montague.example");
    let old = credentials(&[Hash::Sha1, Hash::Sha256], 1);
    assert_eq!(store.create_account(LEADER, &romeo, &old, NOW).await, Ok(true));
    let new = credentials(&[Hash::Sha256, Hash::Sha512], 2);
    assert_eq!(store.set_credentials(LEADER, &romeo, &new).await, Ok(true));
    let kept = store.credentials(&romeo).await.expect("reads").expect("has verifiers");
    assert_eq!(shown(&kept), shown(&new));
    store.close().await;
}

/// Reads that come together are one statement: whatever their number, nobody gets another one's.
pub async fn many_reads_of_verifiers_at_once_each_get_their_own(place: &Place) {
    let store = place.open().await;
    for number in 0..40_u8 {
        let own = credentials(&[Hash::Sha1, Hash::Sha256], number);
        let made = store.create_account(LEADER, &jid(&format!("account{number}@montague.example")), &own, NOW).await;
        assert_eq!(made, Ok(true));
    }
    for at_once in [1, 2, 9, 45_u8] {
        let reads = (0..at_once).map(|number| {
            let store = &store;
            // The last ones do not exist, and each is asked for twice.
            let account = jid(&format!("account{number}@montague.example"));
            async move { (number, futures_util::join!(store.credentials(&account), store.credentials(&account))) }
        });
        for (number, (once, again)) in futures_util::future::join_all(reads).await {
            let expected = (number < 40).then(|| shown(&credentials(&[Hash::Sha1, Hash::Sha256], number)));
            for found in [once, again] {
                assert_eq!(found.expect("reads").as_ref().map(shown), expected);
            }
        }
    }
    store.close().await;
}

pub async fn a_verifier_that_cannot_be_read_fails_its_own_account_alone(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let juliet = account(&store, "juliet@capulet.example").await;
    place.execute("UPDATE credentials SET iterations = -1 WHERE account = 'romeo@montague.example'").await;
    let reads = (0..12).map(|_| async { futures_util::join!(store.credentials(&romeo), store.credentials(&juliet)) });
    for (broken, whole) in futures_util::future::join_all(reads).await {
        assert!(matches!(&broken, Err(StoreError::Broken(reason)) if reason.contains("iterations")), "{broken:?}");
        assert!(whole.is_ok_and(|found| found.is_some()));
    }
    store.close().await;
}

pub async fn a_removed_account_leaves_nothing_behind(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let item = RosterItem::new(jid("juliet@capulet.example"));
    let changes =
        vec![Change::RosterPut { version: 7, item }, Change::DataPut { key: "vcard".into(), value: "<vCard/>".into() }];
    assert_eq!(store.write(LEADER, &romeo, changes).await, Ok(()));
    assert_eq!(store.remove_account(LEADER, &romeo).await, Ok(true));
    assert_eq!(store.account_exists(&romeo).await, Ok(false));

    // Whoever takes the name next finds it clean.
    account(&store, "romeo@montague.example").await;
    assert_eq!(store.roster(&romeo).await, Ok(StoredRoster::default()));
    assert_eq!(store.data(&romeo, "vcard").await, Ok(None));
    store.close().await;
}

pub async fn accounts_are_listed_by_host_in_the_order_of_their_jids(place: &Place) {
    let store = place.open().await;
    // In the order of bytes, which is not that of dictionaries.
    let names = ["a-b@m.example", "a.b@m.example", "ab@m.example", "z@m.example", "ä@m.example"];
    for name in ["z@m.example", "ab@m.example", "other@c.example", "ä@m.example", "a.b@m.example", "a-b@m.example"] {
        account(&store, name).await;
    }
    let record = |name: &&str| AccountRecord { account: jid(name), created_at: NOW };
    let all: Vec<_> = names.iter().map(record).collect();
    assert_eq!(store.accounts("m.example", None, 10).await, Ok(all.clone()));
    assert_eq!(store.accounts("m.example", None, 2).await, Ok(all[..2].to_vec()));
    assert_eq!(store.accounts("m.example", Some(&jid(names[1])), 2).await, Ok(all[2..4].to_vec()));
    assert_eq!(store.accounts("nowhere.example", None, 2).await, Ok(Vec::new()));
    store.close().await;
}

pub async fn a_roster_comes_back_as_it_was_put(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let full = RosterItem {
        contact: "juliet@capulet.example/Balcony 1".parse().expect("a JID"),
        name: Some("Juliet \"J\" \u{1F339}".into()),
        groups: vec!["Friends, old".into(), "Ärzte".into(), "[\"]".into()],
        subscription: Subscription::Both,
        pending_out: true,
        pending_in: Some("<presence type='subscribe'/>".into()),
        approved: true,
        listed: true,
    };
    let plain = RosterItem::new(jid("nurse@capulet.example"));
    let changes = vec![
        Change::RosterPut { version: 1, item: full.clone() },
        Change::RosterPut { version: 2, item: plain.clone() },
    ];
    assert_eq!(store.write(LEADER, &romeo, changes).await, Ok(()));
    let mut roster = store.roster(&romeo).await.expect("reads");
    roster.items.sort_by(|one, other| one.contact.cmp(&other.contact));
    assert_eq!(roster, StoredRoster { version: 2, items: vec![full.clone(), plain.clone()] });

    let changed = RosterItem { subscription: Subscription::To, name: None, pending_in: None, ..full };
    let changes = vec![
        Change::RosterPut { version: 3, item: changed.clone() },
        Change::RosterRemove { version: 4, contact: plain.contact },
    ];
    assert_eq!(store.write(LEADER, &romeo, changes).await, Ok(()));
    assert_eq!(store.roster(&romeo).await, Ok(StoredRoster { version: 4, items: vec![changed] }));
    store.close().await;
}

pub async fn a_roster_version_never_falls(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let contact = jid("nurse@capulet.example");
    for (put, kept) in [(5, 5), (3, 5), (6, 6)] {
        let change = Change::RosterRemove { version: put, contact: contact.clone().into() };
        assert_eq!(store.write(LEADER, &romeo, vec![change]).await, Ok(()));
        assert_eq!(store.roster(&romeo).await.map(|roster| roster.version), Ok(kept));
    }
    store.close().await;
}

pub async fn values_of_modules_are_kept_by_account_and_key(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    let juliet = account(&store, "juliet@capulet.example").await;
    let put = |key: &str, value: &'static [u8]| Change::DataPut { key: key.into(), value: value.into() };
    assert_eq!(store.write(LEADER, &romeo, vec![put("vcard", b"one"), put("empty", b"")]).await, Ok(()));
    assert_eq!(store.write(LEADER, &juliet, vec![put("vcard", b"\x00\xFF")]).await, Ok(()));
    assert_eq!(store.write(LEADER, &romeo, vec![put("vcard", b"two")]).await, Ok(()));
    assert_eq!(store.data(&romeo, "vcard").await, Ok(Some("two".into())));
    assert_eq!(store.data(&romeo, "empty").await, Ok(Some("".into())));
    assert_eq!(store.data(&juliet, "vcard").await, Ok(Some(b"\x00\xFF".as_slice().into())));
    assert_eq!(store.write(LEADER, &romeo, vec![Change::DataRemove { key: "vcard".into() }]).await, Ok(()));
    assert_eq!(store.data(&romeo, "vcard").await, Ok(None));
    store.close().await;
}

pub async fn generations_only_grow(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    let mut given = BTreeSet::new();
    for _ in 0..5 {
        let (first, second) = tokio::join!(one.next_generation(), other.next_generation());
        let last = given.last().copied().unwrap_or(0);
        for number in [first.expect("a number"), second.expect("a number")] {
            assert!(number > last && given.insert(number), "{number} was given before");
        }
    }
    one.close().await;
    other.close().await;
}

pub async fn a_secret_of_the_deployment_is_made_once(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    let first = one.deployment_secret("salts", [1; 32]).await.expect("a secret");
    let second = other.deployment_secret("salts", [2; 32]).await.expect("a secret");
    let third = other.deployment_secret("tokens", [3; 32]).await.expect("a secret");
    assert_eq!((first.expose(), second.expose(), third.expose()), (&[1; 32][..], &[1; 32][..], &[3; 32][..]));
    one.close().await;
    other.close().await;
}

pub async fn everything_is_there_after_a_restart(place: &Place) {
    let store = place.open().await;
    let romeo = account(&store, "romeo@montague.example").await;
    assert_eq!(store.write(leader(2, 1), &romeo, vec![Change::Log(waiting(1))]).await, Ok(()));
    let generation = store.next_generation().await.expect("a number");
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.ping().await, Ok(()));
    assert_eq!(numbers(&store, &romeo, &WAITING).await, [1]);
    assert!(store.write(leader(1, 9), &romeo, Vec::new()).await.is_err(), "the fence is there too");
    assert!(store.next_generation().await.expect("a number") > generation);
    store.close().await;
}

pub async fn stores_may_be_opened_at_once(place: &Place) {
    if let Place::Sqlite(_) = place {
        // One process has the file; a cluster's nodes share a server.
        return;
    }
    let (a, b, c, d) = tokio::join!(place.open(), place.open(), place.open(), place.open());
    for store in [a, b, c, d] {
        assert_eq!(store.ping().await, Ok(()));
        store.close().await;
    }
}

pub async fn the_durability_is_told(place: &Place) {
    let store = place.open().await;
    let durability = store.durability_note().await.expect("the database tells");
    assert!(!durability.note.is_empty());
    if let Place::Sqlite(_) = place {
        assert!(durability.crash && !durability.failover);
    }
    store.close().await;
}
