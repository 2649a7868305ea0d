//! What operators and other routers may ask of a router.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tracing::instrument;
use vesta_engine::StoreError;
use vesta_engine::engine::{AdminCommand, AdminError};
use vesta_wire::administration::{
    AccountAction, AccountCommand, Administration, AdministrationError, ClusterStatus, DatabaseStatus, GroupStatus,
    ManagerStatus, Outcome, RouterStatus, SessionRecord, UserRecord,
};
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::{Admission, AdmitRequest, ClusterAcceptor, Identity};
use vesta_wire::ids::shard_of;
use vesta_wire::{NodeId, ShardId};
use vesta_xmpp::BareJid;

use crate::clock;
use crate::meta;
use crate::meta::state::{MetaCommand, MetaOutcome, RouterEntry};
use crate::raft::{Group, Machine, ProposeError};
use crate::router::{Acceptor, Router};
use crate::shard::leading::Refused;
use crate::shard::work::Work;

/// The most rows that one question may bring.
const ROWS_MAX: u32 = 10_000;
/// How long a command waits for its account's shard to be led: longer than elections take.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked who leads.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A router's administration, for the gRPC service.
pub struct RouterAdministration {
    /// The router.
    pub router: Arc<Router>,
    /// What the store is and what it promises, in words.
    pub database_note: Arc<dyn Fn() -> String + Send + Sync>,
}

fn unavailable(text: impl Into<String>) -> AdministrationError {
    AdministrationError::Unavailable(text.into())
}

impl Router {
    /// Carries an account's command out, if this node leads its shard.
    async fn administer_here(self: &Arc<Self>, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        let AccountCommand { account, action } = command;
        if !self.hosts.serves(account.domain()) {
            let text = format!("the domain {} is not served here: add it to the configuration", account.domain());
            return Err(AdministrationError::Invalid(text));
        }
        if account.local().is_none() {
            return Err(AdministrationError::Invalid(format!("{account} has no localpart: user@domain is wanted")));
        }
        let shard = shard_of(account.as_str(), self.shards());
        let leading = self.leading(shard).ok_or(AdministrationError::NoLeader)?;
        let (reply, outcome) = oneshot::channel();
        let work = Work::Administer { command: command_of(action), reply };
        match leading.submit(&account, work) {
            Ok(()) => {}
            Err(Refused::Over(_)) => return Err(AdministrationError::NoLeader),
            Err(Refused::Full(_)) => return Err(unavailable("the account has too much to do just now")),
        }
        match outcome.await {
            Ok(Ok(())) => Ok(Outcome::Done),
            Ok(Err(error)) => Err(translate(error)),
            Err(_) => Err(unavailable("the account's shard has lost its leader: it may have been done or not")),
        }
    }

    fn sessions_here(&self, host: Option<&str>, limit: u32) -> Vec<SessionRecord> {
        let limit = limit.min(ROWS_MAX) as usize;
        let mut rows = Vec::new();
        for leading in self.led_shards() {
            leading.group.read(|machine| {
                let wanted = machine.0.all().filter(|it| host.is_none_or(|host| it.session.jid.domain() == host));
                rows.extend(wanted.take(limit - rows.len()).map(|record| SessionRecord {
                    jid: record.session.jid.clone(),
                    manager: record.manager.name.to_string(),
                    shard: leading.shard,
                    bound_at_ms: record.session.bound_at.0,
                    priority: record.session.priority(),
                }));
            });
        }
        rows
    }

    /// The other routers of the cluster.
    fn others(&self) -> Vec<RouterInfo> {
        let own = self.node();
        self.routers().into_iter().filter(|router| router.node != own).collect()
    }

    fn group_status<M: Machine>(group: &Group<M>, shard: Option<ShardId>, sessions: Option<u64>) -> GroupStatus {
        let status = group.status();
        GroupStatus { shard, leader: status.leader, term: status.term, voters: status.voters, sessions }
    }

    fn shard_status(&self, shard: ShardId) -> GroupStatus {
        if let Some(group) = self.group(shard) {
            let sessions = group.read(|machine| machine.0.len() as u64);
            return Self::group_status(&group, Some(shard), Some(sessions));
        }
        let voters = self.meta().map(|meta| meta.read(|machine| machine.0.voters(shard).to_vec()));
        let leader = self.leader(shard);
        GroupStatus {
            shard: Some(shard),
            leader: leader.node,
            term: leader.term,
            voters: voters.unwrap_or_default(),
            sessions: None,
        }
    }

    fn manager_status(&self) -> Vec<ManagerStatus> {
        let mut managers: Vec<ManagerStatus> = self
            .managers
            .links()
            .iter()
            .map(|link| ManagerStatus { name: link.name.name.to_string(), sessions: 0 })
            .collect();
        managers.sort_by(|a, b| a.name.cmp(&b.name));
        for group in (0..self.shards()).filter_map(|shard| self.group(ShardId(shard))) {
            group.read(|machine| {
                for (name, count) in machine.0.managers() {
                    if let Some(manager) = managers.iter_mut().find(|manager| *manager.name == *name.name) {
                        manager.sessions += count;
                    }
                }
            });
        }
        managers
    }
}

fn command_of(action: AccountAction) -> AdminCommand {
    match action {
        AccountAction::Create { password } => AdminCommand::Create { password },
        AccountAction::SetPassword { password } => AdminCommand::SetPassword { password },
        AccountAction::Remove => AdminCommand::Remove,
        AccountAction::CloseSessions { resource } => AdminCommand::CloseSessions { resource },
    }
}

fn translate(error: AdminError) -> AdministrationError {
    match error {
        AdminError::Exists => AdministrationError::Exists,
        AdminError::NotFound(_) => AdministrationError::NotFound(error.to_string()),
        AdminError::UnknownHost(_) | AdminError::Password(_) => AdministrationError::Invalid(error.to_string()),
        AdminError::Store(StoreError::Fenced) => unavailable("the account's shard has just got another leader"),
        AdminError::Store(_) | AdminError::Undecided(_) => unavailable(error.to_string()),
    }
}

impl RouterAdministration {
    /// Has a command carried out by the account's leader, here or elsewhere.
    async fn pass_on(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        let router = &self.router;
        let shard = shard_of(command.account.as_str(), router.shards());
        let leader = router.leader(shard).node.filter(|node| *node != router.node());
        let Some(leader) = leader.and_then(|node| router.router(node)) else {
            return router.administer_here(command).await;
        };
        // One that has died is found out before it could have got the command: that must not be carried out twice.
        if router.dialers.cluster.identify(&leader.address).await.is_err() {
            return Err(AdministrationError::NoLeader);
        }
        let outcome = router.dialers.cluster.administer(&leader.address, command).await;
        outcome.unwrap_or_else(|error| Err(unavailable(error.to_string())))
    }
}

#[async_trait]
impl Administration for RouterAdministration {
    #[instrument(name = "administration", skip_all, fields(rpc.method = command.action.name()))]
    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        let deadline = clock::instant() + LEADER_PATIENCE;
        loop {
            match self.pass_on(command.clone()).await {
                Err(AdministrationError::NoLeader) if clock::instant() < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                outcome => return outcome,
            }
        }
    }

    #[instrument(name = "administration", skip_all, fields(rpc.method = "list users"))]
    async fn users(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, AdministrationError> {
        if !self.router.hosts.serves(host) {
            return Err(AdministrationError::Invalid(format!("the domain {host} is not served here")));
        }
        let rows = self.router.store.accounts(host, after, limit.min(ROWS_MAX)).await;
        let rows = rows.map_err(|error| unavailable(error.to_string()))?;
        let record = |row: vesta_engine::store::AccountRecord| UserRecord {
            account: row.account,
            created_at_ms: row.created_at.0,
        };
        Ok(rows.into_iter().map(record).collect())
    }

    #[instrument(name = "administration", skip_all, fields(rpc.method = "list sessions"))]
    async fn sessions(&self, host: Option<&str>, limit: u32) -> Result<Vec<SessionRecord>, AdministrationError> {
        let limit = limit.min(ROWS_MAX);
        let mut rows = self.router.sessions_here(host, limit);
        for other in self.router.others() {
            let left = limit - rows.len() as u32;
            // A router that is down leads nothing.
            if left > 0
                && let Ok(more) = self.router.dialers.cluster.sessions(&other.address, host, left).await
            {
                rows.extend(more.into_iter().take(left as usize));
            }
        }
        rows.sort_by(|a, b| a.jid.cmp(&b.jid));
        Ok(rows)
    }

    #[instrument(name = "administration", skip_all, fields(rpc.method = "cluster status"))]
    async fn cluster_status(&self) -> Result<ClusterStatus, AdministrationError> {
        let router = &self.router;
        let (Some((cluster, own)), Some(meta)) = (router.member(), router.meta()) else {
            return Err(unavailable("this router is in no cluster yet: it waits for the others"));
        };
        let mut routers = Vec::new();
        for RouterInfo { node, name, address } in router.routers() {
            let reachable = node == own || router.dialers.cluster.identify(&address).await.is_ok();
            routers.push(RouterStatus { node, name: name.to_string(), address: address.to_string(), reachable });
        }
        let mut groups = vec![Router::group_status(meta, None, None)];
        groups.extend((0..router.shards()).map(|shard| router.shard_status(ShardId(shard))));
        Ok(ClusterStatus {
            cluster: format!("{:016x}", cluster.0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            routers,
            managers: router.manager_status(),
            groups,
            database: DatabaseStatus { reachable: router.store.ping().await.is_ok(), note: (self.database_note)() },
        })
    }
}

#[async_trait]
impl ClusterAcceptor for Acceptor {
    async fn identify(&self) -> Identity {
        self.0.identity().await
    }

    async fn admit(&self, request: AdmitRequest) -> Admission {
        let router = &self.0;
        let (Some((cluster, _)), Some(meta)) = (router.member(), router.meta()) else {
            return Admission::Elsewhere(None);
        };
        if !router.config.founders.iter().any(|founder| founder.name == request.name) {
            return Admission::Refused(format!("{:?} is not in the list of routers", request.name));
        }
        let info = RouterInfo {
            node: NodeId(0),
            name: request.name.as_str().into(),
            address: request.address.as_str().into(),
        };
        match meta::propose(meta, &MetaCommand::Admit(RouterEntry { info, disk: request.disk })).await {
            Ok(MetaOutcome::Admitted(node)) => Admission::Admitted { cluster, node },
            Ok(MetaOutcome::NameTaken(node)) => Admission::Refused(format!(
                "the cluster has a router named {:?} (id {node}) with another disk. A disk that was lost can't be replaced \
                 under the same name in this version: give the router a new name in the configuration of all routers",
                request.name
            )),
            Ok(MetaOutcome::Refused | MetaOutcome::Done) | Err(ProposeError::Undecided) => Admission::Elsewhere(None),
            Err(ProposeError::NotLeader(leader)) => {
                let leader = leader.and_then(|node| router.router(node));
                Admission::Elsewhere(leader.map(|leader| leader.address.to_string()))
            }
        }
    }

    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        self.0.administer_here(command).await
    }

    async fn sessions(&self, host: Option<&str>, limit: u32) -> Vec<SessionRecord> {
        self.0.sessions_here(host, limit)
    }
}
