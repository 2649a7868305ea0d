//! The order of frames from router to router.

use std::collections::VecDeque;
use std::sync::Arc;

use vesta_wire::NodeId;
use vesta_wire::attach::VERSION;
use vesta_wire::forward::{FromOwner, IngressId, ToOwner};
use vesta_wire::link::ForwardLink;
use vesta_wire::{Epoch, Sequence, SessionId, ShardId};
use vesta_xmpp::{BareJid, Envelope, MessageType, PresenceType, StanzaType};

use super::manager::Manager;
use super::world::{NAMES, World, shard, soon};

/// A router of the test's own making, that forwards to Verona.
struct Sender {
    link: ForwardLink,
    recipient: BareJid,
    /// Those that came with an earlier one.
    answers: VecDeque<(u64, bool)>,
}

impl Sender {
    async fn link(world: &World, recipient: &BareJid) -> Self {
        let link = world.wires.forward("elsewhere", NAMES[0]).expect("Verona is there");
        link.sender.send(ToOwner::Hello { node: NodeId(99), version: VERSION }).await.expect("the link is up");
        Self { link, recipient: recipient.clone(), answers: VecDeque::new() }
    }

    async fn send(&self, number: u64, id: &str, restarts: bool) {
        let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat)).with_to(self.recipient.clone());
        stanza.id = Some(id.into());
        let session = SessionId { shard: ShardId(0), number: 1 };
        let sequence = Sequence(id.bytes().map(u64::from).sum());
        let ingress = Some(IngressId { session, epoch: Epoch(1), sequence, part: 0 });
        let shard = shard(&self.recipient);
        let frame = ToOwner::Stanza { number, shard, ingress, restarts, stanza: Arc::new(stanza) };
        self.link.sender.send(frame).await.expect("the link is up");
    }

    /// The number of the next answer, and whether it is a refusal.
    async fn answer(&mut self) -> (u64, bool) {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            match soon("an answer", self.link.receiver.recv()).await {
                Some(FromOwner::Done { numbers }) => self.answers.extend(numbers.map(|number| (number, false))),
                Some(FromOwner::NotLeader { number, .. }) => self.answers.push_back((number, true)),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// P3: the receiver leads again before it sees the second frame; that must not overtake the first.
#[tokio::test(start_paused = true)]
async fn after_a_refusal_the_frames_behind_it_are_refused_until_the_sender_starts_again() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let recipient = world.account_at(NAMES[0]).await;
    let receiving = manager.online(&recipient, "phone").await;
    let mut sender = Sender::link(&world, &recipient).await;
    let verona = world.router(NAMES[0]);
    verona.set_acts(shard(&recipient), false);
    sender.send(1, "a", false).await;
    assert_eq!(sender.answer().await, (1, true));
    verona.set_acts(shard(&recipient), true);
    sender.send(2, "b", false).await;
    assert_eq!(sender.answer().await, (2, true));
    sender.send(3, "a", true).await;
    sender.send(4, "b", false).await;
    assert_eq!((sender.answer().await, sender.answer().await), ((3, false), (4, false)));
    assert_eq!(manager.next_ids(receiving, 2).await, ["a", "b"]);
    manager.nothing_more(receiving).await;
}

/// P2: the link broke before the answer came.
#[tokio::test(start_paused = true)]
async fn a_stanza_that_comes_again_over_another_link_is_recognised() {
    let world = World::of_one().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let recipient = world.account_at(NAMES[0]).await;
    let receiving = manager.online(&recipient, "phone").await;
    for _ in 0..2 {
        let mut sender = Sender::link(&world, &recipient).await;
        sender.send(1, "once", false).await;
        assert_eq!(sender.answer().await, (1, false));
    }
    assert_eq!(manager.next_ids(receiving, 1).await, ["once"]);
    manager.nothing_more(receiving).await;
}

/// A leader that has yet to apply what came before it says that it knows none; its term is known to lead all the same.
#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_leader_does_not_make_the_sender_forget_the_leader_that_it_knows() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let sender = world.account_at(NAMES[0]).await;
    let recipient = world.account_at(NAMES[1]).await;
    let sending = manager.bind_as(&sender, None).await;
    let receiving = manager.online(&recipient, "phone").await;
    let (verona, padua) = (world.router(NAMES[0]), world.router(NAMES[1]));
    let known = verona.leader(shard(&recipient));
    verona.learn_leader(vesta_wire::attach::Leader { node: None, ..known });
    assert_eq!(verona.leader(shard(&recipient)), known);
    padua.set_acts(shard(&recipient), false);
    manager.says(sending, &super::manager::chat(&recipient, "patience"));
    manager.nothing_more(receiving).await;
    padua.set_acts(shard(&recipient), true);
    assert_eq!(manager.next_ids(receiving, 1).await, ["patience"]);
    manager.all_accepted(sending).await;
}

/// Whoever is told that a contact is removed may rely on it that the contact knows: a request is answered when all that it brought
/// forth is done.
#[tokio::test(start_paused = true)]
async fn a_request_is_answered_when_the_other_shards_have_what_follows_from_it() {
    let world = World::of_three().await;
    let mut manager = Manager::attach(&world, "cm-1").await;
    let (owner, contact) = (world.account_at(NAMES[0]).await, world.account_at(NAMES[1]).await);
    world.befriend(&owner, &contact).await;
    let asking = manager.bind_as(&owner, None).await;
    let hearing = manager.online(&contact, "phone").await;
    manager.says(hearing, "<iq type='get' id='interested'><query xmlns='jabber:iq:roster'/></iq>");
    manager.until(hearing, |stanza| stanza.id.as_deref() == Some("interested")).await;
    let padua = world.router(NAMES[1]);
    padua.set_acts(shard(&contact), false);
    let item = format!("<item jid='{contact}' subscription='remove'/>");
    manager.says(asking, &format!("<iq type='set' id='remove'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    manager.nothing_more(asking).await;
    padua.set_acts(shard(&contact), true);
    let told = |stanza: &Envelope| stanza.kind == StanzaType::Presence(PresenceType::Unsubscribe);
    manager.until(hearing, told).await;
    assert_eq!(manager.next(asking).await.id.as_deref(), Some("remove"));
}
