//! What a writer does for an account within its transaction. Each statement may run twice without harm, so that a
//! transaction whose outcome is unknown can be repeated.

use vesta_engine::Timestamp;
use vesta_engine::log::LogState;
use vesta_engine::roster::{RosterItem, Subscription};
use vesta_engine::store::{Change, Credentials};
use vesta_xmpp::sasl::Hash;
use vesta_xmpp::{BareJid, Jid};

use crate::database::{Connection, Value};
use crate::fault::Fault;
use crate::log::append::{self, Pending};

/// A write as the store is asked for it.
pub(crate) enum Operation {
    /// Makes the account: `false` if it is there.
    Create { credentials: Credentials, now: Timestamp },
    /// Replaces the verifiers: `false` if there is no account.
    SetCredentials(Credentials),
    /// Removes the account with all that hangs on it: `false` if there is none.
    Remove,
    /// Changes the account's data.
    Change(Vec<Change>),
    /// Reads what has to be known of the account's log before it is written, with so many marks. An operation like the others:
    /// it stands behind the fence.
    ReadLogState(u32),
}

/// What an operation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whether there was something to do: always, if data were changed.
    Done(bool),
    /// Of [`Operation::ReadLogState`].
    LogState(LogState),
}

impl Operation {
    /// Whether the operation's outcome is the same when it had already been committed.
    pub(crate) fn may_be_repeated(&self) -> bool {
        match self {
            Operation::SetCredentials(_) | Operation::Change(_) | Operation::ReadLogState(_) => true,
            Operation::Create { .. } | Operation::Remove => false,
        }
    }

    /// About how many bytes it takes while it waits.
    pub(crate) fn size(&self) -> usize {
        let own = |change: &Change| match change {
            Change::Log(entry) => entry.stanza.len(),
            Change::DataPut { value, .. } => value.len(),
            Change::RosterPut { item, .. } => item.pending_in.as_ref().map_or(0, |stanza| stanza.len()),
            Change::RosterRemove { .. } | Change::LogWait(_) | Change::LogSettle { .. } | Change::DataRemove { .. } => {
                0
            }
        };
        match self {
            Operation::Change(changes) => changes.iter().map(|change| size_of::<Change>() + own(change)).sum(),
            _ => size_of::<Self>(),
        }
    }

    /// Carries the operation out in the connection's transaction. Entries of a log may stay in `pending` for the end of the
    /// transaction: what has to see them flushes them first.
    pub(crate) async fn apply<'a>(
        &'a self,
        account: &'a BareJid,
        connection: &mut Connection,
        pending: &mut Pending<'a>,
    ) -> Result<Answer, Fault> {
        match self {
            Operation::Create { credentials, now } => {
                create(connection, account, credentials, *now).await.map(Answer::Done)
            }
            Operation::SetCredentials(credentials) => {
                set_credentials(connection, account, credentials).await.map(Answer::Done)
            }
            Operation::Remove => {
                pending.flush_of(account, connection).await?;
                let key = [Value::Text(account.as_str())];
                Ok(Answer::Done(connection.execute("DELETE FROM accounts WHERE account = $1", &key).await? > 0))
            }
            Operation::Change(changes) => {
                for one in changes {
                    change(connection, account, one, pending).await?;
                }
                Ok(Answer::Done(true))
            }
            Operation::ReadLogState(recent) => {
                pending.flush_of(account, connection).await?;
                append::state(connection, account, *recent).await.map(Answer::LogState)
            }
        }
    }
}

async fn create(
    connection: &mut Connection,
    account: &BareJid,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "INSERT INTO accounts (account, domain, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let values = [Value::Text(account.as_str()), Value::Text(account.domain()), Value::number(now.0)];
    if connection.execute(sql, &values).await? == 0 {
        return Ok(false);
    }
    put_credentials(connection, account, credentials).await?;
    append::begin(connection, account).await?;
    Ok(true)
}

async fn set_credentials(
    connection: &mut Connection,
    account: &BareJid,
    credentials: &Credentials,
) -> Result<bool, Fault> {
    let key = [Value::Text(account.as_str())];
    // Changes nothing, tells whether the account is there, and keeps it there until the transaction ends.
    if connection.execute("UPDATE accounts SET domain = domain WHERE account = $1", &key).await? == 0 {
        return Ok(false);
    }
    connection.execute("DELETE FROM credentials WHERE account = $1", &key).await?;
    put_credentials(connection, account, credentials).await?;
    Ok(true)
}

async fn put_credentials(
    connection: &mut Connection,
    account: &BareJid,
    credentials: &Credentials,
) -> Result<(), Fault> {
    let sql = "INSERT INTO credentials (account, hash, salt, iterations, stored_key, server_key) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    for (hash, verifier) in &credentials.verifiers {
        let values = [
            Value::Text(account.as_str()),
            Value::Text(hash_name(*hash)),
            Value::Bytes(&verifier.salt),
            Value::Integer(verifier.iterations.into()),
            Value::Bytes(verifier.stored_key.expose()),
            Value::Bytes(verifier.server_key.expose()),
        ];
        connection.execute(sql, &values).await?;
    }
    Ok(())
}

async fn change<'a>(
    connection: &mut Connection,
    account: &'a BareJid,
    change: &'a Change,
    pending: &mut Pending<'a>,
) -> Result<(), Fault> {
    match change {
        Change::RosterPut { version, item } => {
            raise_roster_version(connection, account, *version).await?;
            put_roster_item(connection, account, item).await
        }
        Change::RosterRemove { version, contact } => {
            raise_roster_version(connection, account, *version).await?;
            remove_roster_item(connection, account, contact).await
        }
        Change::Log(entry) => {
            pending.push(account, entry);
            Ok(())
        }
        Change::LogWait(id) => {
            pending.flush_of(account, connection).await?;
            append::wait(connection, account, *id).await
        }
        Change::LogSettle { up_to } => {
            pending.flush_of(account, connection).await?;
            append::settle(connection, account, *up_to).await
        }
        Change::DataPut { key, value } => {
            let sql = "INSERT INTO account_data (account, key, value) VALUES ($1, $2, $3) \
                       ON CONFLICT (account, key) DO UPDATE SET value = excluded.value";
            let values = [Value::Text(account.as_str()), Value::Text(key), Value::Bytes(value)];
            connection.execute(sql, &values).await.map(drop)
        }
        Change::DataRemove { key } => {
            let sql = "DELETE FROM account_data WHERE account = $1 AND key = $2";
            connection.execute(sql, &[Value::Text(account.as_str()), Value::Text(key)]).await.map(drop)
        }
    }
}

async fn raise_roster_version(connection: &mut Connection, account: &BareJid, version: u64) -> Result<(), Fault> {
    let sql = "UPDATE accounts SET roster_version = $2 WHERE account = $1 AND roster_version < $2";
    connection.execute(sql, &[Value::Text(account.as_str()), Value::number(version)]).await.map(drop)
}

async fn put_roster_item(connection: &mut Connection, account: &BareJid, item: &RosterItem) -> Result<(), Fault> {
    let sql = "INSERT INTO roster_items \
               (account, contact, name, item_groups, subscription, pending_out, pending_in, approved, listed) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT (account, contact) DO UPDATE SET \
               name = excluded.name, item_groups = excluded.item_groups, subscription = excluded.subscription, \
               pending_out = excluded.pending_out, pending_in = excluded.pending_in, \
               approved = excluded.approved, listed = excluded.listed";
    let groups = serde_json::to_string(&item.groups).map_err(|error| Fault::Broken(error.to_string()))?;
    let values = [
        Value::Text(account.as_str()),
        Value::Text(item.contact.as_str()),
        Value::OptionalText(item.name.as_deref()),
        Value::Text(&groups),
        Value::Text(subscription_name(item.subscription)),
        Value::Boolean(item.pending_out),
        Value::OptionalBytes(item.pending_in.as_deref()),
        Value::Boolean(item.approved),
        Value::Boolean(item.listed),
    ];
    connection.execute(sql, &values).await.map(drop)
}

async fn remove_roster_item(connection: &mut Connection, account: &BareJid, contact: &Jid) -> Result<(), Fault> {
    let sql = "DELETE FROM roster_items WHERE account = $1 AND contact = $2";
    connection.execute(sql, &[Value::Text(account.as_str()), Value::Text(contact.as_str())]).await.map(drop)
}

/// How a hash function is called in the table.
pub(crate) fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA-1",
        Hash::Sha256 => "SHA-256",
        Hash::Sha512 => "SHA-512",
    }
}

/// How a subscription state is called in the table: as in the attribute `subscription` (RFC 6121 §2.1.2.5).
pub(crate) fn subscription_name(subscription: Subscription) -> &'static str {
    match subscription {
        Subscription::None => "none",
        Subscription::To => "to",
        Subscription::From => "from",
        Subscription::Both => "both",
    }
}
