//! How a router with an empty disk gets into a cluster, and how one with a full disk gets back.
//!
//! The first router of the configuration founds the cluster, once every other one has answered that it belongs to none; so a
//! founder that has lost its disk does not found a second one. All others ask to be admitted, and get a Raft id that nobody
//! had before: it is kept with the log, and a disk that is lost takes its id with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vesta_wire::NodeId;
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::{Admission, AdmitRequest, ClusterId};
use vesta_wire::raft::GroupId;

use super::state::FOUNDER;
use super::{MetaMachine, members, shards};
use crate::clock;
use crate::config::Founder;
use crate::raft::{OpenError, RaftHost};
use crate::router::Router;

/// How long to wait before others are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why a router could not get into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Its own name is not among the founders.
    #[error("the router's name {0:?} is not in the list of routers: add it, or correct `name`")]
    NotListed(String),
    /// The log can't be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log can't be written.
    #[error("the router's identity can't be written: {0}")]
    Identity(#[from] std::io::Error),
    /// The log is not this router's.
    #[error(
        "the log on disk belongs to the router {found:?}, the configuration says {configured:?}: use the right directory"
    )]
    WrongDisk {
        /// The name on the disk.
        found: String,
        /// The name in the configuration.
        configured: String,
    },
    /// What the disk says of the node can't be read.
    #[error("the identity on disk can't be read: {0}")]
    Unreadable(String),
    /// The cluster does not take this router.
    #[error("the cluster does not admit this router: {0}")]
    Refused(String),
}

/// Brings the router into its cluster, and keeps it there until it ends.
///
/// # Errors
/// See [`JoinError`]; all of them need an operator.
pub async fn join(router: Arc<Router>, host: RaftHost) -> Result<(), JoinError> {
    let own = own_entry(&router)?;
    let recalled = recall(&router, &host)?;
    router.set_membership(recalled);
    let (cluster, node) = match recalled {
        Some(member) => member,
        None => enter(&router, &host, &own).await?,
    };
    router.set_membership(Some((cluster, node)));
    let meta = host.open_group(GroupId::META, node, MetaMachine::default(), router.dialers.raft.clone()).await?;
    if node == FOUNDER {
        let info = RouterInfo { node, name: own.name.as_str().into(), address: own.address.as_str().into() };
        // Refused where it has been done before.
        if let Err(error) = meta.initialize(&[info]).await {
            tracing::error!(%error, "meta can't be founded");
        }
    }
    tracing::info!(%node, cluster = format!("{:016x}", cluster.0), "router is in the cluster");
    router.enter(meta);
    router.spawn(members::keep(router.clone(), cluster));
    router.spawn(shards::keep(router.clone(), host));
    Ok(())
}

fn own_entry(router: &Router) -> Result<Founder, JoinError> {
    let name = &router.config.name;
    let own = router.config.founders.iter().find(|founder| founder.name == *name);
    own.cloned().ok_or_else(|| JoinError::NotListed(name.clone()))
}

/// What the disk says: `cluster id, Raft id, name`.
fn recall(router: &Router, host: &RaftHost) -> Result<Option<(ClusterId, NodeId)>, JoinError> {
    let Some(bytes) = host.recall("member")? else { return Ok(None) };
    let number = |at: usize| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    let (Some(cluster), Some(node)) = (number(0), number(8)) else {
        return Err(JoinError::Unreadable(format!("{} bytes", bytes.len())));
    };
    let found = String::from_utf8_lossy(&bytes[16..]).into_owned();
    if found != router.config.name {
        return Err(JoinError::WrongDisk { found, configured: router.config.name.clone() });
    }
    Ok(Some((ClusterId(cluster), NodeId(node))))
}

async fn remember(router: &Router, host: &RaftHost, cluster: ClusterId, node: NodeId) -> Result<(), JoinError> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&cluster.0.to_be_bytes());
    bytes.extend_from_slice(&node.0.to_be_bytes());
    bytes.extend_from_slice(router.config.name.as_bytes());
    Ok(host.remember("member", bytes.into()).await?)
}

/// Founds a cluster, or is admitted to one.
async fn enter(router: &Router, host: &RaftHost, own: &Founder) -> Result<(ClusterId, NodeId), JoinError> {
    let disk = disk_number(host).await?;
    let founds = router.config.founders.first() == Some(own);
    let others: Vec<_> = router.config.founders.iter().filter(|founder| *founder != own).collect();
    let mut waited = false;
    loop {
        let mut empty = 0;
        for other in &others {
            match router.dialers.cluster.identify(&other.address).await {
                Ok(identity) if identity.member.is_some() => {
                    if let Some(member) = ask(router, own, disk, &other.address).await? {
                        remember(router, host, member.0, member.1).await?;
                        return Ok(member);
                    }
                }
                Ok(_) => empty += 1,
                Err(error) => tracing::debug!(%error, "a router is not up yet"),
            }
        }
        if founds && empty == others.len() {
            let cluster = ClusterId(u64::from_be_bytes(clock::random()));
            remember(router, host, cluster, FOUNDER).await?;
            return Ok((cluster, FOUNDER));
        }
        if !std::mem::replace(&mut waited, true) {
            tracing::info!(reachable_and_new = empty, of = others.len(), "waiting for the other routers");
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// The number of this disk, drawn when it is empty: an admission that is repeated is recognised by it.
async fn disk_number(host: &RaftHost) -> Result<u64, JoinError> {
    if let Some(bytes) = host.recall("disk")?
        && let Ok(bytes) = bytes[..].try_into()
    {
        return Ok(u64::from_be_bytes(bytes));
    }
    let number: [u8; 8] = clock::random();
    host.remember("disk", Bytes::copy_from_slice(&number)).await?;
    Ok(u64::from_be_bytes(number))
}

/// Asks a member to be admitted, and whom it names instead. `None`: not now.
async fn ask(router: &Router, own: &Founder, disk: u64, first: &str) -> Result<Option<(ClusterId, NodeId)>, JoinError> {
    /// How often one attempt is sent on.
    const HOPS: usize = 4;
    let mut address = first.to_owned();
    for _ in 0..HOPS {
        let request = AdmitRequest { name: own.name.clone(), address: own.address.clone(), disk };
        match router.dialers.cluster.admit(&address, request).await {
            Ok(Admission::Admitted { cluster, node }) => return Ok(Some((cluster, node))),
            Ok(Admission::Elsewhere(Some(next))) => address = next,
            Ok(Admission::Elsewhere(None)) => return Ok(None),
            Ok(Admission::Refused(reason)) => return Err(JoinError::Refused(reason)),
            Err(error) => {
                tracing::debug!(%error, "a router could not be asked for admission");
                return Ok(None);
            }
        }
    }
    Ok(None)
}
