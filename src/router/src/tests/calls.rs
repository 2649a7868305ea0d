//! Registration, administration and admission.

use std::sync::Arc;

use vesta_wire::administration::{AccountAction, AccountCommand, Administration, AdministrationError, Outcome};
use vesta_wire::attach::{ToManager, ToRouter};
use vesta_wire::cluster::ClusterAcceptor;
use vesta_xmpp::element::Element;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, IqType, Secret, StanzaType};

use super::manager::Manager;
use super::world::{NAMES, World, soon};
use crate::Acceptor;
use crate::administration::RouterAdministration;
use crate::meta::join::{JoinError, join};

fn administration(world: &World, router: &str) -> RouterAdministration {
    RouterAdministration { router: world.router(router), database_note: Arc::new(String::new) }
}

async fn administer(
    world: &World,
    router: &str,
    account: &BareJid,
    action: AccountAction,
) -> Result<Outcome, AdministrationError> {
    let command = AccountCommand { account: account.clone(), action };
    Administration::administer(&administration(world, router), command).await
}

#[tokio::test(start_paused = true)]
async fn an_administrator_s_command_reaches_the_leader_of_the_account_from_any_router() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let account = world.account_at(NAMES[2]).await;
    let session = manager.online(&account, "phone").await;
    for router in NAMES {
        let sessions = administration(&world, router).sessions(None, 10).await.expect("a list");
        assert_eq!(sessions.iter().map(|row| row.jid.as_str()).collect::<Vec<_>>(), [manager.jid(session).as_str()]);
    }
    let create = AccountAction::Create { password: Secret::from("secret") };
    assert_eq!(administer(&world, NAMES[0], &account, create).await, Err(AdministrationError::Exists));
    let close = || AccountAction::CloseSessions { resource: Some("phone".into()) };
    assert_eq!(administer(&world, NAMES[1], &account, close()).await, Ok(Outcome::Done));
    assert_eq!(manager.closed(session).await, StreamCondition::UndefinedCondition);
    let gone = administer(&world, NAMES[0], &account, close()).await;
    assert!(matches!(gone, Err(AdministrationError::NotFound(_))), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_for_the_next_leader_of_its_account() {
    let world = World::of_three().await;
    let _manager = Manager::attach(&world, "cm-1").await;
    let account = world.account_at(NAMES[2]).await;
    world.kill(NAMES[2]);
    assert_eq!(administer(&world, NAMES[0], &account, AccountAction::Remove).await, Ok(Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn a_command_does_not_wait_for_ever() {
    let world = World::of_three().await;
    let _manager = Manager::attach(&world, "cm-1").await;
    let account = world.account_at(NAMES[2]).await;
    world.kill(NAMES[1]);
    world.kill(NAMES[2]);
    let refused = administer(&world, NAMES[0], &account, AccountAction::Remove).await;
    assert_eq!(refused, Err(AdministrationError::NoLeader));
}

/// XEP-0077: before authentication.
#[tokio::test(start_paused = true)]
async fn a_registration_reaches_the_leader_of_the_account() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    for router in NAMES {
        let account = world.account_at(router).await;
        let stanza = Envelope::iq(IqType::Get, "reg", Some(&Element::new("jabber:iq:register", "query")));
        let register = |request| ToRouter::Register { request, account: account.clone(), stanza: stanza.clone() };
        let reply = manager.ask(&account, register).await;
        let ToManager::Registered { stanza, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(stanza.kind, StanzaType::Iq(IqType::Result));
    }
}

/// D1: a disk that is lost takes its id with it, and its founder does not found a second cluster.
#[tokio::test(start_paused = true)]
async fn a_founder_that_has_lost_its_disk_is_refused() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    world.kill(NAMES[0]);
    for number in 0..super::world::SHARDS {
        manager.leader_but(vesta_wire::ShardId(number), NAMES[0]).await;
    }
    let refused = world.start(NAMES[0]).await;
    assert!(matches!(refused, Err(JoinError::Refused(_))), "{refused:?}");
}

/// A router that is only starting must not be taken for one with an empty disk.
#[tokio::test(start_paused = true)]
async fn a_router_says_nothing_of_itself_before_it_has_read_its_disk() {
    let world = World::of_one().await;
    let node = world.make("padua");
    let acceptor = Acceptor(node.router.clone());
    let asked = tokio::time::timeout(std::time::Duration::from_secs(60), acceptor.identify()).await;
    assert!(asked.is_err());
    node.router.set_membership(None);
    assert_eq!(soon("an answer", acceptor.identify()).await.member, None);
    let refused = join(node.router, node.raft).await;
    assert!(matches!(refused, Err(JoinError::NotListed(_))));
}

/// D3: terms start anew in each cluster, and the database must tell them apart.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_founded_anew_on_the_same_database_writes_with_a_greater_generation() {
    let world = World::of_one().await;
    let router = world.router(NAMES[0]);
    soon("the cluster is founded", router.founded()).await;
    let first = router.generation();
    world.router(NAMES[0]).stop().await;
    world.start(NAMES[0]).await.expect("founded anew");
    let router = world.router(NAMES[0]);
    soon("the cluster is founded", router.founded()).await;
    assert!(first > 0 && router.generation() > first);
}
