//! `administration.proto`: what an operator asks, and the answers.

use bytes::Bytes;
use vesta_xmpp::Secret;

use super::{Malformed, bare_jid, full_jid, required};
use crate::administration::{
    AccountAction, AccountCommand, ClusterStatus, DatabaseStatus, GroupStatus, ManagerStatus, Outcome, RouterStatus,
    SessionRecord, UserRecord,
};
use crate::attach::RouterInfo;
use crate::proto::account_command::{self, Action};
use crate::proto::{cluster_status, sessions_reply, users_reply};
use crate::{NodeId, ShardId, Term, proto};

impl From<AccountCommand> for proto::AccountCommand {
    fn from(command: AccountCommand) -> Self {
        let bytes = |password: Secret| Bytes::copy_from_slice(password.expose());
        let action = match command.action {
            AccountAction::Create { password } => Action::Create(account_command::Create { password: bytes(password) }),
            AccountAction::SetPassword { password } => {
                Action::SetPassword(account_command::SetPassword { password: bytes(password) })
            }
            AccountAction::Remove => Action::Remove(account_command::Remove {}),
            AccountAction::CloseSessions { resource } => {
                Action::CloseSessions(account_command::CloseSessions { resource })
            }
        };
        Self { account: command.account.to_string(), action: Some(action) }
    }
}

impl TryFrom<proto::AccountCommand> for AccountCommand {
    type Error = Malformed;

    fn try_from(command: proto::AccountCommand) -> Result<Self, Malformed> {
        let action = match command.action.ok_or(Malformed("command.action"))? {
            Action::Create(create) => AccountAction::Create { password: Secret::new(create.password) },
            Action::SetPassword(set) => AccountAction::SetPassword { password: Secret::new(set.password) },
            Action::Remove(_) => AccountAction::Remove,
            Action::CloseSessions(close) => AccountAction::CloseSessions { resource: close.resource },
        };
        Ok(Self { account: bare_jid(&command.account, "command.account")?, action })
    }
}

impl From<Outcome> for proto::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self {},
        }
    }
}

impl From<proto::Outcome> for Outcome {
    fn from(_: proto::Outcome) -> Self {
        Outcome::Done
    }
}

impl From<Vec<UserRecord>> for proto::UsersReply {
    fn from(users: Vec<UserRecord>) -> Self {
        let user = |user: UserRecord| users_reply::User {
            account: user.account.to_string(),
            created_at_ms: user.created_at_ms,
        };
        Self { users: users.into_iter().map(user).collect() }
    }
}

/// The accounts in an answer.
pub(crate) fn user_records(reply: proto::UsersReply) -> Result<Vec<UserRecord>, Malformed> {
    let user = |user: users_reply::User| {
        Ok(UserRecord { account: bare_jid(&user.account, "user.account")?, created_at_ms: user.created_at_ms })
    };
    reply.users.into_iter().map(user).collect()
}

impl From<Vec<SessionRecord>> for proto::SessionsReply {
    fn from(sessions: Vec<SessionRecord>) -> Self {
        let session = |session: SessionRecord| sessions_reply::Session {
            jid: session.jid.to_string(),
            manager: session.manager,
            shard: session.shard.0,
            bound_at_ms: session.bound_at_ms,
            priority: session.priority.map(i32::from),
        };
        Self { sessions: sessions.into_iter().map(session).collect() }
    }
}

/// The sessions in an answer.
pub(crate) fn session_records(reply: proto::SessionsReply) -> Result<Vec<SessionRecord>, Malformed> {
    let session = |session: sessions_reply::Session| {
        let priority = session.priority.map(i8::try_from).transpose().map_err(|_| Malformed("session.priority"))?;
        Ok(SessionRecord {
            jid: full_jid(&session.jid, "session.jid")?,
            manager: session.manager,
            shard: ShardId(session.shard),
            bound_at_ms: session.bound_at_ms,
            priority,
        })
    };
    reply.sessions.into_iter().map(session).collect()
}

impl From<ClusterStatus> for proto::ClusterStatus {
    fn from(status: ClusterStatus) -> Self {
        Self {
            cluster: status.cluster,
            version: status.version,
            routers: status.routers.into_iter().map(Into::into).collect(),
            managers: status.managers.into_iter().map(Into::into).collect(),
            groups: status.groups.into_iter().map(Into::into).collect(),
            database: Some(cluster_status::Database {
                reachable: status.database.reachable,
                note: status.database.note,
            }),
        }
    }
}

impl TryFrom<proto::ClusterStatus> for ClusterStatus {
    type Error = Malformed;

    fn try_from(status: proto::ClusterStatus) -> Result<Self, Malformed> {
        let database = status.database.unwrap_or_default();
        Ok(Self {
            cluster: status.cluster,
            version: status.version,
            routers: status.routers.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            managers: status.managers.into_iter().map(Into::into).collect(),
            groups: status.groups.into_iter().map(Into::into).collect(),
            database: DatabaseStatus { reachable: database.reachable, note: database.note },
        })
    }
}

impl From<RouterStatus> for cluster_status::RouterStatus {
    fn from(router: RouterStatus) -> Self {
        let reachable = router.reachable;
        Self {
            router: Some(proto::Router { node: router.node.0, name: router.name, address: router.address }),
            reachable,
        }
    }
}

impl TryFrom<cluster_status::RouterStatus> for RouterStatus {
    type Error = Malformed;

    fn try_from(status: cluster_status::RouterStatus) -> Result<Self, Malformed> {
        let router: RouterInfo = required(status.router, "router_status.router")?;
        Ok(Self {
            node: router.node,
            name: router.name.to_string(),
            address: router.address.to_string(),
            reachable: status.reachable,
        })
    }
}

impl From<ManagerStatus> for cluster_status::ManagerStatus {
    fn from(manager: ManagerStatus) -> Self {
        Self { name: manager.name, sessions: manager.sessions }
    }
}

impl From<cluster_status::ManagerStatus> for ManagerStatus {
    fn from(manager: cluster_status::ManagerStatus) -> Self {
        Self { name: manager.name, sessions: manager.sessions }
    }
}

impl From<GroupStatus> for cluster_status::GroupStatus {
    fn from(group: GroupStatus) -> Self {
        Self {
            shard: group.shard.map(|shard| shard.0),
            leader: group.leader.map(|leader| leader.0),
            term: group.term.0,
            voters: group.voters.into_iter().map(|node| node.0).collect(),
            sessions: group.sessions,
        }
    }
}

impl From<cluster_status::GroupStatus> for GroupStatus {
    fn from(group: cluster_status::GroupStatus) -> Self {
        Self {
            shard: group.shard.map(ShardId),
            leader: group.leader.map(NodeId),
            term: Term(group.term),
            voters: group.voters.into_iter().map(NodeId).collect(),
            sessions: group.sessions,
        }
    }
}
