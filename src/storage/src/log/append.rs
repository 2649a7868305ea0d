//! What the log's owner writes, and what it has to know before it does. Each statement may run twice without harm: an entry
//! that is there stays as it is.

use std::sync::LazyLock;

use vesta_engine::log::{LogEntry, LogId, LogState, Mark};
use vesta_xmpp::BareJid;

use super::peer;
use crate::database::{Bulk, Connection, Kind, Row, Value};
use crate::fault::Fault;

/// An account that is not there has no log, hence no number, and the database refuses the row.
static APPEND: LazyLock<Bulk> = LazyLock::new(|| {
    let columns = [
        ("account", Kind::Text),
        ("id", Kind::Integer),
        ("peer_hash", Kind::Integer),
        ("peer", Kind::Text),
        ("ingress", Kind::OptionalBytes),
        ("origin", Kind::OptionalBytes),
        ("archived", Kind::Boolean),
        ("waiting", Kind::Boolean),
        ("stanza", Kind::OptionalBytes),
    ];
    let statement = "INSERT INTO log_entries \
                     (owner, id, peer_hash, peer, ingress, origin, archived, waiting, stanza) \
                     SELECT (SELECT number FROM logs WHERE logs.account = rows.account), \
                     id, peer_hash, peer, ingress, origin, archived, waiting, stanza \
                     FROM rows WHERE TRUE ON CONFLICT DO NOTHING";
    Bulk::new(&columns, statement)
});

/// Entries that have not been written yet, of many accounts: one statement for all of them.
#[derive(Default)]
pub(crate) struct Pending<'a>(Vec<(&'a BareJid, &'a LogEntry)>);

impl<'a> Pending<'a> {
    pub(crate) fn push(&mut self, account: &'a BareJid, entry: &'a LogEntry) {
        self.0.push((account, entry));
    }

    /// Writes them all, if any are of this account: what comes next wants to see them.
    pub(crate) async fn flush_of(&mut self, account: &BareJid, connection: &mut Connection) -> Result<(), Fault> {
        match self.0.iter().any(|(owner, _)| *owner == account) {
            true => self.flush(connection).await,
            false => Ok(()),
        }
    }

    /// Writes them all.
    pub(crate) async fn flush(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let marks: Vec<_> = self.0.iter().map(|(_, entry)| [entry.ingress, entry.origin].map(mark_bytes)).collect();
        let mut values = Vec::with_capacity(self.0.len() * 9);
        for ((account, entry), [ingress, origin]) in self.0.iter().zip(&marks) {
            values.extend([
                Value::Text(account.as_str()),
                Value::number(entry.id.0),
                Value::Integer(peer::hash(&entry.peer)),
                Value::Text(entry.peer.as_str()),
                Value::OptionalBytes(ingress.as_ref().map(|mark| &mark[..])),
                Value::OptionalBytes(origin.as_ref().map(|mark| &mark[..])),
                Value::Boolean(entry.archived),
                Value::Boolean(entry.waiting),
                Value::Bytes(&entry.stanza),
            ]);
        }
        connection.execute_for(&APPEND, &values).await?;
        self.0.clear();
        Ok(())
    }
}

/// The entry waits from now on.
pub(crate) async fn wait(connection: &mut Connection, account: &BareJid, id: LogId) -> Result<(), Fault> {
    let sql = "UPDATE log_entries SET waiting = TRUE \
               WHERE owner = (SELECT number FROM logs WHERE account = $1) AND id = $2";
    connection.execute(sql, &[Value::Text(account.as_str()), Value::number(id.0)]).await.map(drop)
}

/// No entry up to this one waits any longer.
pub(crate) async fn settle(connection: &mut Connection, account: &BareJid, up_to: LogId) -> Result<(), Fault> {
    let values = [Value::Text(account.as_str()), Value::number(up_to.0)];
    // What is forgotten may be the newest entry: its id is not given again.
    let sql = "UPDATE logs SET last_id = (SELECT MAX(id) FROM log_entries WHERE owner = logs.number) \
               WHERE account = $1 AND last_id < (SELECT COALESCE(MAX(id), 0) FROM log_entries \
               WHERE owner = logs.number AND waiting AND NOT archived AND id <= $2)";
    connection.execute(sql, &values).await?;
    let sql = "DELETE FROM log_entries WHERE owner = (SELECT number FROM logs WHERE account = $1) \
               AND waiting AND NOT archived AND id <= $2";
    connection.execute(sql, &values).await?;
    let sql = "UPDATE log_entries SET waiting = FALSE WHERE owner = (SELECT number FROM logs WHERE account = $1) \
               AND waiting AND id <= $2";
    connection.execute(sql, &values).await.map(drop)
}

/// Gives an account its log. Accounts that a node of an older version has made have none yet.
pub(crate) async fn begin(connection: &mut Connection, account: &BareJid) -> Result<(), Fault> {
    let sql = "INSERT INTO logs (account) SELECT account FROM accounts WHERE account = $1 ON CONFLICT DO NOTHING";
    connection.execute(sql, &[Value::Text(account.as_str())]).await.map(drop)
}

/// What is to be known of a log; of an account that is not there: nothing.
pub(crate) async fn state(connection: &mut Connection, account: &BareJid, recent: u32) -> Result<LogState, Fault> {
    let sql = "SELECT l.last_id, e.id, e.ingress, e.origin, (SELECT COUNT(*) FROM log_entries \
               WHERE owner = (SELECT number FROM logs WHERE account = $1) AND waiting) AS waiting \
               FROM logs l LEFT JOIN (SELECT id, ingress, origin FROM log_entries \
               WHERE owner = (SELECT number FROM logs WHERE account = $1) ORDER BY id DESC LIMIT $2) e ON TRUE \
               WHERE l.account = $1";
    // The newest entry in any case: its id is the last one, if that is not in `last_id`.
    let values = [Value::Text(account.as_str()), Value::Integer(recent.max(1).into())];
    let rows = connection.rows(sql, &values).await?;
    let Some(first) = rows.first() else {
        begin(connection, account).await?;
        return Ok(LogState::default());
    };
    let mut state =
        LogState { last: LogId(first.number("last_id")?), waiting: first.number("waiting")?, recent: Vec::new() };
    for row in &rows {
        state.recent.extend(read_marks(row)?);
    }
    state.recent.sort_unstable_by_key(|(id, ..)| std::cmp::Reverse(*id));
    state.last = state.recent.first().map_or(state.last, |(newest, ..)| state.last.max(*newest));
    state.recent.truncate(recent as usize);
    Ok(state)
}

/// What [`LogState::recent`] has of an entry.
type Marks = (LogId, Option<Mark>, Option<Mark>);

/// `None`: the row of a log without entries.
fn read_marks(row: &Row) -> Result<Option<Marks>, Fault> {
    if row.get::<Option<i64>>("id")?.is_none() {
        return Ok(None);
    }
    Ok(Some((LogId(row.number("id")?), read_mark(row, "ingress")?, read_mark(row, "origin")?)))
}

fn mark_bytes(mark: Option<Mark>) -> Option<[u8; 16]> {
    mark.map(|Mark(mark)| mark.to_be_bytes())
}

fn read_mark(row: &Row, column: &'static str) -> Result<Option<Mark>, Fault> {
    let Some(bytes) = row.get::<Option<Vec<u8>>>(column)? else { return Ok(None) };
    let length = bytes.len();
    let mark = bytes.try_into().map_err(|_| Fault::Broken(format!("the column {column} holds {length} bytes")))?;
    Ok(Some(Mark(u128::from_be_bytes(mark))))
}
