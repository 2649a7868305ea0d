//! `cluster.proto`: what routers say to each other about the cluster.

use super::Malformed;
use crate::cluster::{Admission, AdmitRequest, ClusterId, Identity};
use crate::proto::{admission, identity};
use crate::{NodeId, proto};

impl From<Identity> for proto::Identity {
    fn from(identity: Identity) -> Self {
        let member = identity.member.map(|(cluster, node)| identity::Member { cluster: cluster.0, node: node.0 });
        Self { name: identity.name, member }
    }
}

impl From<proto::Identity> for Identity {
    fn from(identity: proto::Identity) -> Self {
        let member = identity.member.map(|member| (ClusterId(member.cluster), NodeId(member.node)));
        Self { name: identity.name, member }
    }
}

impl From<AdmitRequest> for proto::AdmitRequest {
    fn from(request: AdmitRequest) -> Self {
        Self { name: request.name, address: request.address, disk: request.disk }
    }
}

impl From<proto::AdmitRequest> for AdmitRequest {
    fn from(request: proto::AdmitRequest) -> Self {
        Self { name: request.name, address: request.address, disk: request.disk }
    }
}

impl From<Admission> for proto::Admission {
    fn from(admission: Admission) -> Self {
        use admission::Result;
        let result = match admission {
            Admission::Admitted { cluster, node } => {
                Result::Admitted(admission::Admitted { cluster: cluster.0, node: node.0 })
            }
            Admission::Elsewhere(address) => Result::Elsewhere(admission::Elsewhere { address }),
            Admission::Refused(reason) => Result::Refused(admission::Refused { reason }),
        };
        Self { result: Some(result) }
    }
}

impl TryFrom<proto::Admission> for Admission {
    type Error = Malformed;

    fn try_from(admission: proto::Admission) -> Result<Self, Malformed> {
        use admission::Result;
        Ok(match admission.result.ok_or(Malformed("admission.result"))? {
            Result::Admitted(admitted) => {
                Admission::Admitted { cluster: ClusterId(admitted.cluster), node: NodeId(admitted.node) }
            }
            Result::Elsewhere(elsewhere) => Admission::Elsewhere(elsewhere.address),
            Result::Refused(refused) => Admission::Refused(refused.reason),
        })
    }
}
