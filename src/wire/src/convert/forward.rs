//! `forward.proto`: frames between routers.

use super::{Malformed, required};
use crate::forward::{FromOwner, IngressId, ToOwner};
use crate::proto::{from_owner, to_owner};
use crate::{Epoch, NodeId, Sequence, ShardId, proto};

/// The most requests in one answer.
const DONE_MAX: u32 = 65_536;

impl From<IngressId> for proto::IngressId {
    fn from(ingress: IngressId) -> Self {
        Self {
            session: Some(ingress.session.into()),
            epoch: ingress.epoch.0,
            sequence: ingress.sequence.0,
            part: ingress.part,
        }
    }
}

impl TryFrom<proto::IngressId> for IngressId {
    type Error = Malformed;

    fn try_from(ingress: proto::IngressId) -> Result<Self, Malformed> {
        Ok(Self {
            session: required(ingress.session, "ingress.session")?,
            epoch: Epoch(ingress.epoch),
            sequence: Sequence(ingress.sequence),
            part: ingress.part,
        })
    }
}

impl From<ToOwner> for proto::ToOwner {
    fn from(frame: ToOwner) -> Self {
        use to_owner::Frame;
        let frame = match frame {
            ToOwner::Hello { node, version } => Frame::Hello(to_owner::Hello { node: node.0, version }),
            ToOwner::Stanza { number, shard, ingress, restarts, stanza } => Frame::Stanza(to_owner::Stanza {
                number,
                shard: shard.0,
                ingress: ingress.map(Into::into),
                stanza: Some(stanza.into()),
                restarts,
            }),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::ToOwner> for ToOwner {
    type Error = Malformed;

    fn try_from(frame: proto::ToOwner) -> Result<Self, Malformed> {
        use to_owner::Frame;
        Ok(match frame.frame.ok_or(Malformed("to_owner.frame"))? {
            Frame::Hello(hello) => ToOwner::Hello { node: NodeId(hello.node), version: hello.version },
            Frame::Stanza(stanza) => ToOwner::Stanza {
                number: stanza.number,
                shard: ShardId(stanza.shard),
                ingress: stanza.ingress.map(TryInto::try_into).transpose()?,
                restarts: stanza.restarts,
                stanza: required(stanza.stanza, "stanza.stanza")?,
            },
        })
    }
}

impl From<FromOwner> for proto::FromOwner {
    fn from(frame: FromOwner) -> Self {
        use from_owner::Frame;
        let frame = match frame {
            FromOwner::Done { numbers } => {
                let (first, last) = numbers.into_inner();
                let more = u32::try_from(last.saturating_sub(first)).unwrap_or(u32::MAX);
                Frame::Done(from_owner::Done { number: first, more })
            }
            FromOwner::NotLeader { number, leader } => {
                Frame::NotLeader(from_owner::NotLeader { number, leader: Some(leader.into()) })
            }
            FromOwner::Failed { number, error } => {
                Frame::Failed(from_owner::Failed { number, error: Some(error.into()) })
            }
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::FromOwner> for FromOwner {
    type Error = Malformed;

    fn try_from(frame: proto::FromOwner) -> Result<Self, Malformed> {
        use from_owner::Frame;
        Ok(match frame.frame.ok_or(Malformed("from_owner.frame"))? {
            Frame::Done(from_owner::Done { number, more }) => {
                let last = number.checked_add(more.into()).filter(|_| more < DONE_MAX).ok_or(Malformed("done.more"))?;
                FromOwner::Done { numbers: number..=last }
            }
            Frame::NotLeader(refused) => {
                FromOwner::NotLeader { number: refused.number, leader: required(refused.leader, "not_leader.leader")? }
            }
            Frame::Failed(failed) => {
                FromOwner::Failed { number: failed.number, error: required(failed.error, "failed.error")? }
            }
        })
    }
}
