//! What is converted there and back is what it was, and no bytes from a peer make a conversion panic.

use std::fmt::Debug;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use vesta_xmpp::client_state::ClientState;
use vesta_xmpp::envelope::Name;
use vesta_xmpp::management::{Refusal, TooMany};
use vesta_xmpp::sasl::{Answer, Hash, Question, SaslCondition};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{
    BareJid, Envelope, Flags, FullJid, IqType, Jid, MessageType, PresenceType, Secret, StanzaError, StanzaType,
    StreamError,
};

use super::{Malformed, WireEnvelope};
use crate::attach::{
    Announced, BoundSession, Digest, EndReason, Inbound, Leader, RequestId, Resumable, ResumedSession, RouterInfo,
    Target, ToManager, ToRouter,
};
use crate::forward::{FromOwner, IngressId, ToOwner};
use crate::raft::{AppendRequest, Entry, GroupId, LogId, Membership, Payload, Receiver, Vote};
use crate::{Epoch, ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term, proto};

/// Over the wire and back: `Debug` shows all but secrets, and the second message holds those too.
fn crosses<T, P>(value: T)
where
    T: Clone + Debug + Into<P> + TryFrom<P, Error = Malformed>,
    P: Message + Default + PartialEq,
{
    let sent: P = value.clone().into();
    let received = P::decode(sent.encode_to_vec().as_slice()).expect("what was encoded");
    let back = T::try_from(received).expect("what was sent is well-formed");
    assert_eq!(format!("{back:?}"), format!("{value:?}"));
    assert!(back.into() == sent, "a secret was lost");
}

fn jid() -> impl Strategy<Value = Jid> {
    "([a-z]{1,8}@)?[a-zé]{1,8}\\.example(/[a-zA-Z0-9 /@ü]{1,8})?"
        .prop_map(|text| Jid::from_prepared(&text).expect("a prepared JID"))
}

fn bare() -> impl Strategy<Value = BareJid> {
    jid().prop_map(|jid| jid.to_bare())
}

fn full() -> impl Strategy<Value = FullJid> {
    (bare(), "[a-z/]{1,8}").prop_map(|(bare, resource)| {
        FullJid::from_prepared(&format!("{bare}/{resource}")).expect("a prepared full JID")
    })
}

fn stanza_type() -> impl Strategy<Value = StanzaType> {
    let messages = MessageType::ALL.iter().copied().map(StanzaType::Message);
    let presences = PresenceType::ALL.iter().copied().map(StanzaType::Presence);
    let iqs = IqType::ALL.iter().copied().map(StanzaType::Iq);
    select(messages.chain(presences).chain(iqs).collect::<Vec<_>>())
}

fn text() -> impl Strategy<Value = Box<str>> {
    "\\PC{0,12}".prop_map(String::into_boxed_str)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let payload = option::of((text(), text()).prop_map(|(namespace, name)| Name { namespace, name }));
    let addresses = (option::of(jid()), option::of(jid()));
    let words = (option::of(text()), option::of(text()));
    (stanza_type(), addresses, words, payload, any::<(u32, u64)>(), bytes(), bytes()).prop_map(
        |(kind, (from, to), (id, lang), payload, (flags, logged), attributes, content)| Envelope {
            kind,
            from,
            to,
            id,
            lang,
            payload,
            flags: Flags(flags),
            logged,
            attributes: attributes.into(),
            content: content.into(),
        },
    )
}

fn session() -> impl Strategy<Value = (SessionId, Epoch, Sequence)> {
    any::<(u32, u64, u32, u64)>().prop_map(|(shard, number, epoch, sequence)| {
        (SessionId { shard: ShardId(shard), number }, Epoch(epoch), Sequence(sequence))
    })
}

fn leader() -> impl Strategy<Value = Leader> {
    any::<(u32, u64, Option<u64>)>().prop_map(|(shard, term, node)| Leader {
        shard: ShardId(shard),
        term: Term(term),
        node: node.map(NodeId),
    })
}

fn router() -> impl Strategy<Value = RouterInfo> {
    (any::<u64>(), text(), text()).prop_map(|(node, name, address)| RouterInfo {
        node: NodeId(node),
        name: Arc::from(name),
        address: Arc::from(address),
    })
}

fn stanza_error() -> impl Strategy<Value = StanzaError> {
    (select(Condition::ALL), option::of("\\PC{0,12}"))
        .prop_map(|(condition, text)| StanzaError { text, ..StanzaError::new(condition) })
}

fn stream_error() -> impl Strategy<Value = StreamError> {
    (select(StreamCondition::ALL), option::of("\\PC{0,12}")).prop_map(|(condition, text)| StreamError {
        condition,
        text,
        detail: None,
    })
}

fn question() -> impl Strategy<Value = Question> {
    let hash = || select(vec![Hash::Sha1, Hash::Sha256, Hash::Sha512]);
    prop_oneof![
        (bare(), hash()).prop_map(|(account, hash)| Question::Salt { account, hash }),
        (bare(), hash(), bytes(), bytes()).prop_map(|(account, hash, auth_message, proof)| Question::Proof {
            account,
            hash,
            auth_message,
            proof: Secret::new(proof),
        }),
        (bare(), bytes())
            .prop_map(|(account, password)| Question::Password { account, password: Secret::new(password) }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        (bytes(), any::<u32>()).prop_map(|(salt, iterations)| Answer::Salt { salt, iterations }),
        bytes().prop_map(|server_signature| Answer::Accepted { server_signature }),
        select(SaslCondition::ALL).prop_map(Answer::Denied),
    ]
}

fn inbound() -> impl Strategy<Value = Inbound> {
    let reasons = vec![EndReason::Closed, EndReason::Lost, EndReason::Failed, EndReason::Draining];
    prop_oneof![
        envelope().prop_map(|stanza| Inbound::Stanza(Arc::new(stanza))),
        option::of(envelope()).prop_map(|answer| Inbound::Rejected(answer.map(Arc::new))),
        select(reasons).prop_map(Inbound::Ended),
        (digest(), any::<(u32, u64)>()).prop_map(|(digest, (seconds, sent_before))| {
            Inbound::Resumable(Resumable { digest, seconds, sent_before: Sequence(sent_before) })
        }),
    ]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn to_router() -> impl Strategy<Value = ToRouter> {
    let request = || any::<u64>().prop_map(RequestId);
    prop_oneof![
        (text(), any::<u64>(), any::<u32>()).prop_map(|(name, incarnation, version)| ToRouter::Hello {
            manager: ManagerName { name: Arc::from(name), incarnation },
            version,
        }),
        (request(), question()).prop_map(|(request, question)| ToRouter::Ask { request, question }),
        (request(), bare(), option::of("[a-z]{1,8}"), any::<u64>()).prop_map(|(request, account, resource, stream)| {
            ToRouter::Bind { request, account, resource, stream: StreamId(stream) }
        }),
        (request(), bare(), envelope()).prop_map(|(request, account, stanza)| ToRouter::Register {
            request,
            account,
            stanza
        }),
        (session(), full(), any::<u64>(), any::<(u64, u64, u64)>()).prop_map(
            |((session, epoch, received), jid, stream, (accepted, delivered, logged))| {
                ToRouter::Announce {
                    session,
                    epoch,
                    jid,
                    stream: StreamId(stream),
                    received,
                    delivered: Sequence(delivered),
                    accepted: Sequence(accepted),
                    logged,
                }
            }
        ),
        (session(), inbound()).prop_map(|((session, epoch, sequence), event)| ToRouter::Inbound {
            session,
            epoch,
            sequence,
            event,
        }),
        session().prop_map(|(session, epoch, sequence)| ToRouter::Delivered { session, epoch, sequence }),
        (request(), bare(), digest(), any::<(u64, u32, u64)>()).prop_map(
            |(request, account, digest, (session, handled, stream))| ToRouter::Resume {
                request,
                account,
                session,
                digest,
                handled,
                stream: StreamId(stream),
            }
        ),
        (session(), vec(envelope(), 0..3)).prop_map(|((session, epoch, last), stanzas)| ToRouter::Restore {
            session,
            epoch,
            last,
            stanzas: stanzas.into_iter().map(Arc::new).collect(),
        }),
        session().prop_map(|(session, epoch, _)| ToRouter::Detached { session, epoch }),
        (session(), select(vec![ClientState::Active, ClientState::Inactive]), any::<bool>()).prop_map(
            |((session, epoch, _), state, since_before)| ToRouter::State { session, epoch, state, since_before }
        ),
        (any::<u64>(), vec(any::<u64>(), 0..3)).prop_map(|(receipt, refused)| ToRouter::Taken { receipt, refused }),
        Just(ToRouter::Ping),
    ]
}

fn announced() -> impl Strategy<Value = Announced> {
    prop_oneof![
        any::<(u64, bool)>().prop_map(|(accepted, lacks)| Announced::Continues { accepted: Sequence(accepted), lacks }),
        Just(Announced::Unknown),
        leader().prop_map(Announced::NotLeader),
    ]
}

fn bound() -> impl Strategy<Value = BoundSession> {
    (session(), full()).prop_map(|((session, epoch, _), jid)| BoundSession { session, epoch, jid })
}

fn resumed() -> impl Strategy<Value = ResumedSession> {
    (bound(), any::<(u32, u64, u64, u64, u64, u64)>()).prop_map(
        |(bound, (seconds, accepted, received_before, delivered, sent_before, logged))| ResumedSession {
            bound,
            seconds,
            accepted: Sequence(accepted),
            received_before: Sequence(received_before),
            delivered: Sequence(delivered),
            sent_before: Sequence(sent_before),
            logged,
        },
    )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        (select(Condition::ALL), any::<Option<u32>>())
            .prop_map(|(condition, handled)| Refusal::Failed { condition, handled }),
        any::<(u32, u32)>().prop_map(|(handled, sent)| Refusal::TooMany(TooMany { handled, sent })),
    ]
}

fn to_manager() -> impl Strategy<Value = ToManager> {
    let request = || any::<u64>().prop_map(RequestId);
    let target = any::<(u64, u32, u64)>().prop_map(|(session, epoch, sequence)| Target {
        session,
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
    });
    prop_oneof![
        (any::<(u32, u64)>(), 1..u32::MAX, vec(router(), 0..4), vec(leader(), 0..4)).prop_map(
            |((version, node), shards, routers, leaders)| ToManager::Welcome {
                version,
                node: NodeId(node),
                shards,
                routers,
                leaders,
            }
        ),
        vec(leader(), 0..4).prop_map(ToManager::Leaders),
        (request(), answer()).prop_map(|(request, answer)| ToManager::Answered { request, answer }),
        (request(), prop_oneof![bound().prop_map(Ok), stanza_error().prop_map(Err)])
            .prop_map(|(request, result)| ToManager::Bound { request, result }),
        (request(), prop_oneof![resumed().prop_map(Ok), refusal().prop_map(Err)])
            .prop_map(|(request, result)| ToManager::Resumed { request, result }),
        (request(), envelope()).prop_map(|(request, stanza)| ToManager::Registered { request, stanza }),
        (request(), leader()).prop_map(|(request, leader)| ToManager::NotLeader { request, leader }),
        (session(), announced()).prop_map(|((session, epoch, _), outcome)| ToManager::Announced {
            session,
            epoch,
            outcome,
        }),
        (any::<(u32, u64, u64)>(), vec(target, 0..8), envelope()).prop_map(
            |((shard, term, receipt), targets, stanza)| {
                ToManager::Deliver {
                    shard: ShardId(shard),
                    term: Term(term),
                    targets,
                    stanza: Arc::new(stanza),
                    receipt,
                }
            }
        ),
        session().prop_map(|(session, epoch, sequence)| ToManager::Accepted { session, epoch, sequence }),
        (session(), stream_error()).prop_map(|((session, epoch, _), error)| ToManager::Close { session, epoch, error }),
        Just(ToManager::Pong),
    ]
}

fn to_owner() -> impl Strategy<Value = ToOwner> {
    let ingress = (session(), any::<u32>()).prop_map(|((session, epoch, sequence), part)| IngressId {
        session,
        epoch,
        sequence,
        part,
    });
    prop_oneof![
        any::<(u64, u32)>().prop_map(|(node, version)| ToOwner::Hello { node: NodeId(node), version }),
        (any::<(u64, u32, bool)>(), option::of(ingress), envelope()).prop_map(
            |((number, shard, restarts), ingress, stanza)| {
                ToOwner::Stanza { number, shard: ShardId(shard), ingress, restarts, stanza: Arc::new(stanza) }
            }
        ),
    ]
}

fn from_owner() -> impl Strategy<Value = FromOwner> {
    prop_oneof![
        (0..u64::MAX / 2, 0..65_536u64).prop_map(|(first, more)| FromOwner::Done { numbers: first..=first + more }),
        (any::<u64>(), leader()).prop_map(|(number, leader)| FromOwner::NotLeader { number, leader }),
        (any::<u64>(), stanza_error()).prop_map(|(number, error)| FromOwner::Failed { number, error }),
    ]
}

fn append() -> impl Strategy<Value = AppendRequest> {
    let id = || any::<(u64, u64)>().prop_map(|(term, index)| LogId { term, index });
    let vote =
        any::<(u64, u64, bool)>().prop_map(|(term, node, committed)| Vote { term, node: NodeId(node), committed });
    let membership = (vec(vec(any::<u64>().prop_map(NodeId), 0..4), 0..3), vec(router(), 0..4))
        .prop_map(|(voters, members)| Membership { voters, members });
    let payload = prop_oneof![
        Just(Payload::Blank),
        bytes().prop_map(|command| Payload::Command(command.into())),
        membership.prop_map(Payload::Membership),
    ];
    let entry = (id(), payload).prop_map(|(id, payload)| Entry { id, payload });
    let receiver = any::<(u32, u64)>().prop_map(|(group, node)| Receiver { group: GroupId(group), node: NodeId(node) });
    (receiver, vote, option::of(id()), vec(entry, 0..4), option::of(id())).prop_map(
        |(receiver, vote, previous, entries, committed)| AppendRequest { receiver, vote, previous, entries, committed },
    )
}

proptest! {
    #[test]
    fn frames_to_a_router_cross(frame in to_router()) {
        crosses::<_, proto::ToRouter>(frame);
    }

    #[test]
    fn frames_to_a_manager_cross(frame in to_manager()) {
        crosses::<_, proto::ToManager>(frame);
    }

    #[test]
    fn frames_to_an_owner_cross(frame in to_owner()) {
        crosses::<_, proto::ToOwner>(frame);
    }

    #[test]
    fn frames_from_an_owner_cross(frame in from_owner()) {
        crosses::<_, proto::FromOwner>(frame);
    }

    #[test]
    fn log_entries_cross(request in append()) {
        crosses::<_, proto::AppendRequest>(request);
    }

    #[test]
    fn no_bytes_make_a_conversion_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = proto::ToRouter::decode(bytes.as_slice()) {
            let _ = ToRouter::try_from(frame);
        }
        if let Ok(frame) = proto::ToManager::decode(bytes.as_slice()) {
            let _ = ToManager::try_from(frame);
        }
        if let Ok(frame) = proto::ToOwner::decode(bytes.as_slice()) {
            let _ = ToOwner::try_from(frame);
        }
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_another_frame(frame in to_router(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = proto::ToRouter::from(frame).encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(frame) = proto::ToRouter::decode(bytes.as_slice()) {
            let _ = ToRouter::try_from(frame);
        }
    }
}

#[test]
fn a_stanza_shares_the_buffer_that_it_came_in() {
    let mut envelope = Envelope::new(StanzaType::Message(MessageType::Chat));
    envelope.content = vec![b'x'; 1000].into();
    let sent: WireEnvelope = envelope.into();
    let received = bytes::Bytes::from(sent.encode_to_vec());
    let within = received.as_ptr_range();
    let envelope = Envelope::try_from(WireEnvelope::decode(received.clone()).expect("encoded")).expect("well-formed");
    assert!(within.contains(&envelope.content.as_ptr()));
}

/// `Envelope` as the generator would have it.
#[derive(Clone, PartialEq, prost::Message)]
struct Generated {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, optional, tag = "2")]
    from: Option<String>,
    #[prost(string, optional, tag = "3")]
    to: Option<String>,
    #[prost(string, optional, tag = "4")]
    id: Option<String>,
    #[prost(string, optional, tag = "5")]
    lang: Option<String>,
    #[prost(message, optional, tag = "6")]
    payload: Option<GeneratedName>,
    #[prost(uint32, tag = "7")]
    flags: u32,
    #[prost(bytes = "vec", tag = "8")]
    attributes: Vec<u8>,
    #[prost(bytes = "vec", tag = "9")]
    content: Vec<u8>,
    #[prost(uint64, tag = "10")]
    logged: u64,
}

/// `ElementName` likewise.
#[derive(Clone, PartialEq, prost::Message)]
struct GeneratedName {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    name: String,
}

proptest! {
    #[test]
    fn the_envelope_that_is_written_by_hand_is_that_of_the_contract(envelope in envelope()) {
        let sent = WireEnvelope::from(envelope.clone()).encode_to_vec();
        let generated = Generated::decode(sent.as_slice()).expect("the generator's type reads it");
        prop_assert_eq!(generated.from.as_deref(), envelope.from.as_ref().map(Jid::as_str));
        prop_assert_eq!(&generated.content, &envelope.content);
        let again = generated.encode_to_vec();
        prop_assert_eq!(&again, &sent);
        let received = WireEnvelope::decode(again.as_slice()).expect("and this one reads what that one writes");
        prop_assert_eq!(received.encode_to_vec(), sent);
        prop_assert_eq!(format!("{:?}", Envelope::try_from(received)), format!("{:?}", Ok::<_, Malformed>(envelope)));
    }
}

#[test]
fn what_must_be_there_is_missed() {
    let malformed = |frame| ToRouter::try_from(proto::ToRouter { frame }).expect_err("malformed").0;
    use proto::to_router::{Announce, Ask, Bind, Frame, Inbound};
    assert_eq!(malformed(None), "to_router.frame");
    assert_eq!(malformed(Some(Frame::Ask(Ask { account: "a@b/c".into(), ..Ask::default() }))), "ask.account");
    assert_eq!(malformed(Some(Frame::Ask(Ask { account: "a@b".into(), ..Ask::default() }))), "ask.question");
    assert_eq!(malformed(Some(Frame::Bind(Bind::default()))), "bind.account");
    assert_eq!(malformed(Some(Frame::Inbound(Inbound::default()))), "inbound.session");
    let announce = Announce { session: Some(proto::SessionId::default()), jid: "a@b".into(), ..Announce::default() };
    assert_eq!(malformed(Some(Frame::Announce(announce))), "announce.jid");
}

#[test]
fn an_unknown_condition_counts_as_the_general_one() {
    let error = proto::StanzaError { kind: "later".into(), condition: "too-blue".into(), text: None };
    assert_eq!(StanzaError::from(error).condition, Condition::UndefinedCondition);
    let error = proto::StreamError { condition: "too-blue".into(), text: None };
    assert_eq!(StreamError::from(error).condition, StreamCondition::UndefinedCondition);
}

#[test]
fn a_prepared_address_is_taken_over_in_its_parts() {
    for text in ["example.com", "a@example.com", "a@example.com/r", "example.com/r", "a@example.com/r/s@t"] {
        let jid = Jid::from_prepared(text).expect("a prepared JID");
        let parts = (jid.local().unwrap_or_default(), jid.domain(), jid.resource().unwrap_or_default());
        let joined = Jid::from_parts(jid.local(), jid.domain(), jid.resource()).expect("a JID");
        assert_eq!((jid.as_str(), &joined), (text, &jid), "{parts:?}");
    }
    for text in ["", "@example.com", "a@", "a@/r", "example.com/", &"x".repeat(1024)] {
        Jid::from_prepared(text).expect_err(text);
    }
}
