//! Questions about a log. Whatever is asked, an index is walked from where the page begins, so that a page costs the same
//! wherever it lies.

use std::sync::LazyLock;

use vesta_engine::StoreError;
use vesta_engine::log::{LogId, LogQuery, LoggedMessage, View};
use vesta_xmpp::BareJid;

use super::peer;
use crate::database::{Row, Value};
use crate::fault::Fault;
use crate::reader::Reader;

/// For how many ids there is a statement. What is left over is [`NO_ID`], so that few statements are prepared.
const ID_SIZES: [usize; 3] = [1, 8, 32];
/// What no entry has.
const NO_ID: Value<'static> = Value::Integer(-1);

/// How a question is put: each form is a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    view: View,
    peer: Option<PeerKind>,
    /// Which of [`ID_SIZES`].
    ids: Option<usize>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerKind {
    Bare,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    First,
    Last,
    Count,
}

static STATEMENTS: LazyLock<Vec<(Form, String)>> = LazyLock::new(|| {
    let mut statements = Vec::new();
    for view in [View::Archived, View::Waiting] {
        for peer in [None, Some(PeerKind::Bare), Some(PeerKind::Full)] {
            for ids in [None, Some(0), Some(1), Some(2)] {
                for answer in [Answer::First, Answer::Last, Answer::Count] {
                    let form = Form { view, peer, ids, answer };
                    statements.push((form, form.statement()));
                }
            }
        }
    }
    statements
});

impl Form {
    /// The parameters: account; after, before and, if it is no count, limit, unless there are ids; hash and JID of the peer; the
    /// ids, each looked up by itself: asked for many at once, the planners look for them all through the log.
    fn statement(self) -> String {
        let mut sql = match self.answer {
            Answer::Count => "SELECT COUNT(*) AS count FROM log_entries".to_owned(),
            Answer::First | Answer::Last => "SELECT id, archived, stanza FROM log_entries".to_owned(),
        };
        sql += " WHERE owner = (SELECT number FROM logs WHERE account = $1)";
        sql += match self.view {
            View::Archived => " AND archived",
            View::Waiting => " AND waiting",
        };
        let mut place = 2;
        if self.ids.is_none() {
            sql += " AND id > $2 AND id < $3";
            place = if self.answer == Answer::Count { 4 } else { 5 };
        }
        if let Some(kind) = self.peer {
            let (hash, jid) = (place, place + 1);
            place += 2;
            // What waits is little, and ids say it all: the index by peer is the wrong one, and the sign keeps it away.
            let sign = if self.view == View::Waiting || self.ids.is_some() { "+" } else { "" };
            sql += &format!(" AND {sign}peer_hash = ${hash}");
            sql += &match kind {
                PeerKind::Full => format!(" AND peer = ${jid}"),
                PeerKind::Bare => {
                    format!(" AND (peer = ${jid} OR substr(peer, 1, length(${jid}) + 1) = ${jid} || '/')")
                }
            };
        }
        match (self.ids, self.answer) {
            (Some(size), _) => {
                let each = (place..).take(ID_SIZES[size]).map(|place| format!("{sql} AND id = ${place}"));
                sql = each.collect::<Vec<_>>().join(" UNION ALL ");
            }
            (None, Answer::First) => sql += " ORDER BY id LIMIT $4",
            (None, Answer::Last) => sql += " ORDER BY id DESC LIMIT $4",
            (None, Answer::Count) => {}
        }
        sql
    }

    fn prepared(self) -> Result<&'static str, Fault> {
        let found = STATEMENTS.iter().find(|(form, _)| *form == self);
        found.map(|(_, sql)| sql.as_str()).ok_or_else(|| Fault::Broken(format!("no statement for {self:?}")))
    }
}

/// A question, put to one account's log.
pub(crate) struct Question<'a> {
    reader: &'a Reader,
    account: &'a BareJid,
    query: &'a LogQuery,
}

impl<'a> Question<'a> {
    pub(crate) fn new(reader: &'a Reader, account: &'a BareJid, query: &'a LogQuery) -> Self {
        Self { reader, account, query }
    }

    /// The entries, in the order of their ids.
    pub(crate) async fn page(&self) -> Result<Vec<LoggedMessage>, StoreError> {
        let limit = self.query.limit as usize;
        let answer = if self.query.backwards { Answer::Last } else { Answer::First };
        let mut found = Vec::new();
        for ids in self.id_chunks() {
            if found.len() >= limit {
                break;
            }
            let rows = self.ask(answer, ids.as_deref()).await?;
            let mut messages = rows.iter().map(read_message).collect::<Result<Vec<_>, _>>()?;
            messages.sort_unstable_by_key(|message| message.id);
            if self.query.backwards {
                messages.reverse();
            }
            found.extend(messages);
        }
        found.truncate(limit);
        if self.query.backwards {
            found.reverse();
        }
        Ok(found)
    }

    /// How many there are.
    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for ids in self.id_chunks() {
            for row in self.ask(Answer::Count, ids.as_deref()).await? {
                count += row.number("count")?;
            }
        }
        Ok(count)
    }

    /// The ids that may be among the answer, in its order, in portions that a statement takes; one portion without ids where none are
    /// asked for.
    fn id_chunks(&self) -> Vec<Option<Vec<LogId>>> {
        let LogQuery { ids: Some(ids), after, before, backwards, .. } = self.query else { return vec![None] };
        let between = |id: &LogId| after.is_none_or(|after| *id > after) && before.is_none_or(|before| *id < before);
        let mut ids: Vec<_> = ids.iter().copied().filter(between).collect();
        ids.sort_unstable();
        ids.dedup();
        if *backwards {
            ids.reverse();
        }
        ids.chunks(ID_SIZES[ID_SIZES.len() - 1]).map(|chunk| Some(chunk.to_vec())).collect()
    }

    async fn ask(&self, answer: Answer, ids: Option<&[LogId]>) -> Result<Vec<Row>, StoreError> {
        let LogQuery { view, peer, after, before, limit, .. } = self.query;
        let size = ids.map(|ids| ID_SIZES.iter().position(|size| *size >= ids.len()).unwrap_or(ID_SIZES.len() - 1));
        let peer_kind = peer.as_ref().map(|peer| if peer.is_full() { PeerKind::Full } else { PeerKind::Bare });
        let form = Form { view: *view, peer: peer_kind, ids: size, answer };
        let mut values = vec![Value::Text(self.account.as_str())];
        if ids.is_none() {
            values.extend([
                after.map_or(NO_ID, |LogId(id)| Value::number(id)),
                before.map_or(Value::Integer(i64::MAX), |LogId(id)| Value::number(id)),
            ]);
            if answer != Answer::Count {
                values.push(Value::Integer((*limit).into()));
            }
        }
        if let Some(peer) = peer {
            values.extend([Value::Integer(peer::hash(peer)), Value::Text(peer.as_str())]);
        }
        if let (Some(ids), Some(size)) = (ids, size) {
            let ids = ids.iter().map(|LogId(id)| Value::number(*id));
            values.extend(ids.chain(std::iter::repeat(NO_ID)).take(ID_SIZES[size]));
        }
        self.reader.rows(form.prepared()?, &values).await
    }
}

fn read_message(row: &Row) -> Result<LoggedMessage, Fault> {
    Ok(LoggedMessage {
        id: LogId(row.number("id")?),
        archived: row.get("archived")?,
        stanza: row.get::<Vec<u8>>("stanza")?.into(),
    })
}

/// Which index a question is to walk along.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlannedIndex {
    Key,
    KeyById,
    Peer,
    Waiting,
}

/// All statements, each with its index.
#[cfg(test)]
pub(super) fn planned_statements() -> impl Iterator<Item = (PlannedIndex, &'static str)> {
    STATEMENTS.iter().map(|(form, sql)| {
        let index = match (form.view, form.ids, form.peer) {
            (_, Some(_), _) => PlannedIndex::KeyById,
            (View::Waiting, None, _) => PlannedIndex::Waiting,
            (View::Archived, None, Some(_)) => PlannedIndex::Peer,
            (View::Archived, None, None) => PlannedIndex::Key,
        };
        (index, sql.as_str())
    })
}
