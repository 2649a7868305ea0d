//! Faults on a cluster of real processes: what the others notice, and that it goes on. A fault is judged by events, not by
//! times; how long it took is printed for the record.

use std::time::{Duration, Instant};

use vesta_tests::deployment::{Cluster, DOMAIN, Node, Options, Single};
use vesta_tests::player::{Player, subscribe};
use vesta_tests::{http, postgres, run, until, within};

/// The two connection managers.
const A: usize = 0;
const B: usize = 1;

/// A cluster with accounts, in which Romeo and Juliet are contacts.
async fn verona(cluster: &Cluster) {
    for name in ["romeo", "juliet", "tybalt"] {
        cluster.access.add_user(&address(name)).await;
    }
    let (romeo, juliet) = (cluster.access.client(&address("romeo"), A), cluster.access.client(&address("juliet"), B));
    subscribe(&romeo, &juliet, true).await;
}

fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

async fn online(cluster: &Cluster, name: &str, resource: &str, manager: usize) -> Player {
    let config = cluster.access.client(&format!("{}/{resource}", address(name)), manager);
    Player::online(name, config).await
}

/// Sends messages from one to the other until one has arrived: while leaders change, one may be answered with an error. One
/// that is neither delivered nor answered is sent again after a while, as a person would, and counted in the record.
async fn message_arrives(from: &mut Player, to: &mut Player) {
    let recipient = to.address().to_owned();
    let asking = within("a message to arrive", async {
        let mut unanswered = 0;
        loop {
            let id = from.fresh_id();
            from.send(&format!("<message to='{recipient}' type='chat' id='{id}'><body>Hark</body></message>")).await;
            let arrived = to.wait_for("a message or its error", |it| it.attribute("id") == Some(&id));
            let refused = from.wait_for("an error", |it| it.attribute("id") == Some(&id));
            tokio::select! {
                _ = arrived => break,
                _ = refused => {}
                () = tokio::time::sleep(ASK_AGAIN) => unanswered += 1,
            }
        }
        if unanswered > 0 {
            println!("{unanswered} messages to {recipient} were neither delivered nor answered in {ASK_AGAIN:?}");
        }
    });
    asking.await;
}

/// How long a person waits before saying it again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What a router's log says of a connection manager whose sessions are in danger.
const LOST: &str = "connection manager lost";

/// Tries until a login works.
async fn login_works(cluster: &Cluster, name: &str, resource: &str, manager: usize) -> Player {
    let config = cluster.access.client(&format!("{}/{resource}", address(name)), manager);
    until(&format!("a login of {name}"), async || {
        let mut player = Player::new(name, config.clone());
        player.try_log_in().await.ok().map(|()| player)
    })
    .await
}

#[allow(clippy::disallowed_methods)] // a record for people; nothing is decided by it
fn record(what: &str) -> impl FnOnce() + use<'_> {
    let begun = Instant::now();
    move || println!("{what}: {} ms", begun.elapsed().as_millis())
}

#[test]
fn f1_a_killed_connection_manager_ends_its_sessions_and_no_others() {
    run(async {
        let mut cluster = Cluster::start().await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        let juliet = online(&cluster, "juliet", "balcony", B).await;
        let mut tybalt = online(&cluster, "tybalt", "street", A).await;
        let from_juliet = juliet.address().to_owned();
        romeo.wait_for("Juliet's presence", |it| it.attribute("from") == Some(&from_juliet)).await;

        let told = record("until a contact sees sessions of a killed connection manager as unavailable");
        cluster.managers[B].process.kill().await;
        romeo
            .wait_for("Juliet to be unavailable", |it| {
                it.attribute("from") == Some(&from_juliet) && it.attribute("type") == Some("unavailable")
            })
            .await;
        told();
        let is_told_of = |node: &Node| node.process.log().contains(LOST);
        assert!(cluster.routers.iter().any(is_told_of), "no router's log tells of the loss");

        // Those of the other connection manager go on.
        message_arrives(&mut romeo, &mut tybalt).await;
        // Juliet comes back through it.
        let back = record("until a login works after a connection manager was killed");
        let mut juliet = login_works(&cluster, "juliet", "balcony", A).await;
        back();
        juliet.come_online().await;
        romeo.wait_for("Juliet's presence", |it| it.attribute("from") == Some(&from_juliet)).await;
        message_arrives(&mut romeo, &mut juliet).await;

        // The lost one comes back.
        cluster.managers[B].restart();
        cluster.managers[B].ready().await;
        let mut phone = online(&cluster, "juliet", "phone", B).await;
        message_arrives(&mut romeo, &mut phone).await;
    });
}

#[test]
fn f3_each_router_in_turn_is_killed_and_comes_back_and_sessions_stay_bound() {
    run(async {
        let mut cluster = Cluster::start().await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        let mut juliet = online(&cluster, "juliet", "balcony", B).await;
        for number in 0..cluster.routers.len() {
            cluster.routers[number].process.kill().await;
            let what = format!("until a message passes after {} was killed", cluster.routers[number].name);
            let flows = record(&what);
            message_arrives(&mut romeo, &mut juliet).await;
            flows();
            message_arrives(&mut juliet, &mut romeo).await;
            let mut tybalt = login_works(&cluster, "tybalt", "street", number % 2).await;
            message_arrives(&mut tybalt, &mut romeo).await;
            tybalt.leave().await;
            cluster.routers[number].restart();
            cluster.ready().await;
        }
        // The same sessions as in the beginning: nobody was logged out.
        romeo.ping().await;
        juliet.ping().await;
        message_arrives(&mut romeo, &mut juliet).await;
    });
}

#[test]
fn f9_a_paused_router_is_done_without_and_does_no_harm_when_it_wakes() {
    run(async {
        let mut cluster = Cluster::start().await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        let mut juliet = online(&cluster, "juliet", "balcony", B).await;
        cluster.routers[1].process.signal("STOP").await;
        message_arrives(&mut romeo, &mut juliet).await;
        message_arrives(&mut juliet, &mut romeo).await;
        cluster.routers[1].process.signal("CONT").await;
        cluster.ready().await;
        message_arrives(&mut romeo, &mut juliet).await;
        romeo.ping().await;
        juliet.ping().await;
    });
}

#[test]
fn f11_without_its_database_a_cluster_answers_with_errors_and_comes_back() {
    run(async {
        let (database, url) = postgres::Server::start().await;
        let mut cluster = Cluster::start_on(&Options::with_overrides("storage.patience = '1 s'"), &url).await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        let mut juliet = online(&cluster, "juliet", "balcony", B).await;
        database.crash().await;

        // What needs the database is refused for now.
        let answer = romeo.ask("type='get'", "<query xmlns='jabber:iq:private'><a xmlns='urn:vesta:a'/></query>").await;
        assert_eq!(answer.attribute("type"), Some("error"), "{answer:?}");
        let error = answer.children().find(|child| child.name() == "error").expect("an error");
        assert_eq!(error.attribute("type"), Some("wait"), "{answer:?}");
        // And so is a message that has to be stored.
        let id = romeo.fresh_id();
        let to = juliet.address().to_owned();
        romeo.send(&format!("<message to='{to}' type='chat' id='{id}'><body>Hark</body></message>")).await;
        let refused = romeo.wait_for("an error", |it| it.attribute("id") == Some(&id)).await;
        let error = refused.children().find(|child| child.name() == "error").expect("an error");
        assert_eq!(error.attribute("type"), Some("wait"), "{refused:?}");
        // What needs it not, goes on.
        let hint = "<no-store xmlns='urn:xmpp:hints'/>";
        romeo.send(&format!("<message to='{to}' type='chat' id='fleeting'><body>Hark</body>{hint}</message>")).await;
        juliet.wait_for("a message that nobody stores", |it| it.attribute("id") == Some("fleeting")).await;
        romeo.ping().await;
        for node in cluster.routers.iter_mut().chain(&mut cluster.managers) {
            assert!(node.process.runs(), "{} has ended", node.name);
        }

        database.restart().await;
        until("an answer from the database", async || {
            let answer =
                romeo.ask("type='get'", "<query xmlns='jabber:iq:private'><a xmlns='urn:vesta:a'/></query>").await;
            (answer.attribute("type") == Some("result")).then_some(())
        })
        .await;
        let mut tybalt = login_works(&cluster, "tybalt", "street", B).await;
        message_arrives(&mut tybalt, &mut juliet).await;
        cluster.ready().await;
    });
}

#[test]
fn f11_a_database_that_comes_back_soon_is_waited_for() {
    run(async {
        let (database, url) = postgres::Server::start().await;
        let cluster = Cluster::start_on(&Options::default(), &url).await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        database.crash().await;

        let kept = romeo.ask("type='set'", "<query xmlns='jabber:iq:private'><a xmlns='urn:vesta:a'>b</a></query>");
        let away = async {
            until("a router to miss its database", async || {
                http::get(cluster.routers[0].http, "/readyz").await.filter(|(status, _)| *status != 200)
            })
            .await;
            database.restart().await;
        };
        let (kept, tybalt, ()) = tokio::join!(kept, online(&cluster, "tybalt", "street", B), away);
        assert_eq!(kept.attribute("type"), Some("result"), "{kept:?}");
        assert!(tybalt.is_bound());
        let read = romeo.ask("type='get'", "<query xmlns='jabber:iq:private'><a xmlns='urn:vesta:a'/></query>").await;
        assert_eq!(read.attribute("type"), Some("result"), "{read:?}");
    });
}

#[test]
fn asked_to_end_every_role_ends_in_order() {
    run(async {
        let mut cluster = Cluster::start().await;
        verona(&cluster).await;
        let mut romeo = online(&cluster, "romeo", "orchard", A).await;
        let mut juliet = online(&cluster, "juliet", "balcony", B).await;

        let status = cluster.managers[B].process.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", cluster.managers[B].process.log());
        let last = juliet.receive_the_rest().await;
        let told = last.iter().any(|it| it.children().any(|child| child.name() == "system-shutdown"));
        assert!(told, "Juliet was told {last:?}");
        romeo
            .wait_for("Juliet to be unavailable", |it| {
                it.attribute("from") == Some(&format!("{}/balcony", address("juliet")))
                    && it.attribute("type") == Some("unavailable")
            })
            .await;

        for router in &cluster.routers {
            assert!(!router.process.log().contains(LOST), "{}", router.process.log());
        }

        let status = cluster.routers[0].process.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", cluster.routers[0].process.log());
        let mut tybalt = login_works(&cluster, "tybalt", "street", A).await;
        message_arrives(&mut romeo, &mut tybalt).await;

        let status = cluster.managers[A].process.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", cluster.managers[A].process.log());
        for number in [1, 2] {
            let status = cluster.routers[number].process.terminate().await;
            assert_eq!(status.code(), Some(0), "{}", cluster.routers[number].process.log());
        }
    });
}

#[test]
fn one_process_keeps_its_data_through_a_kill_and_ends_in_order() {
    run(async {
        let mut single = Single::start().await;
        for name in ["romeo", "juliet"] {
            single.access.add_user(&address(name)).await;
        }
        let (romeo, juliet) = (single.access.client(&address("romeo"), A), single.access.client(&address("juliet"), A));
        subscribe(&romeo, &juliet, true).await;
        single.process.kill().await;
        single.restart().await;
        let mut player = Player::logged_in("romeo", romeo).await;
        let roster = player.ask("type='get'", "<query xmlns='jabber:iq:roster'/>").await;
        let item = roster.children().next().and_then(|query| query.children().next()).expect("a contact");
        assert_eq!(item.attribute("subscription"), Some("both"), "{roster:?}");
        assert_eq!(single.process.terminate().await.code(), Some(0), "{}", single.process.log());
    });
}
