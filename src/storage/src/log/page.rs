//! Questions about a log. Whatever is asked, an index is walked from where the page begins, so that a page costs the same
//! wherever it lies.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use vesta_engine::StoreError;
use vesta_engine::log::{LogId, LogQuery, LoggedMessage, View};
use vesta_xmpp::BareJid;

use super::peer;
use crate::database::{Row, Value};
use crate::fault::Fault;
use crate::reader::Reader;

/// For how many ids there is a statement. What is left over repeats the last id, so that few statements are prepared.
const ID_SIZES: [usize; 3] = [1, 16, 128];

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
    /// The parameters: account, after, before; then limit, if it is no count; hash and JID of the peer; the ids.
    fn statement(self) -> String {
        let mut sql = match self.answer {
            Answer::Count => "SELECT COUNT(*) AS count FROM log_entries".to_owned(),
            Answer::First | Answer::Last => "SELECT id, archived, stanza FROM log_entries".to_owned(),
        };
        sql += " WHERE owner = (SELECT number FROM logs WHERE account = $1) AND id > $2 AND id < $3";
        sql += match self.view {
            View::Archived => " AND archived",
            View::Waiting => " AND waiting",
        };
        let mut place = if self.answer == Answer::Count { 4 } else { 5 };
        if let Some(kind) = self.peer {
            let (hash, jid) = (place, place + 1);
            place += 2;
            // What waits is little: its own index is the better one, and the sign keeps the other one away.
            let sign = if self.view == View::Waiting { "+" } else { "" };
            sql += &format!(" AND {sign}peer_hash = ${hash}");
            sql += &match kind {
                PeerKind::Full => format!(" AND peer = ${jid}"),
                PeerKind::Bare => {
                    format!(" AND (peer = ${jid} OR substr(peer, 1, length(${jid}) + 1) = ${jid} || '/')")
                }
            };
        }
        if let Some(size) = self.ids {
            let places: Vec<_> = (place..).take(ID_SIZES[size]).map(|place| format!("${place}")).collect();
            sql += &format!(" AND id IN ({})", places.join(", "));
        }
        sql += match self.answer {
            Answer::First => " ORDER BY id LIMIT $4",
            Answer::Last => " ORDER BY id DESC LIMIT $4",
            Answer::Count => "",
        };
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
        let answer = if self.query.backwards { Answer::Last } else { Answer::First };
        let limit = self.query.limit as usize;
        let mut found = Vec::new();
        for ids in self.id_chunks() {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            for row in self.ask(answer, left as u64, ids.as_deref()).await? {
                found.push(read_message(&row)?);
            }
        }
        if self.query.backwards {
            found.reverse();
        }
        Ok(found)
    }

    /// How many there are.
    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for ids in self.id_chunks() {
            for row in self.ask(Answer::Count, 0, ids.as_deref()).await? {
                count += row.number("count")?;
            }
        }
        Ok(count)
    }

    /// The ids in portions that a statement takes, in the order of the answer; one without ids where none are asked for.
    fn id_chunks(&self) -> Vec<Option<Vec<LogId>>> {
        let Some(ids) = &self.query.ids else { return vec![None] };
        let mut ids: Vec<_> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if self.query.backwards {
            ids.reverse();
        }
        ids.chunks(ID_SIZES[ID_SIZES.len() - 1]).map(|chunk| Some(chunk.to_vec())).collect()
    }

    async fn ask(&self, answer: Answer, limit: u64, ids: Option<&[LogId]>) -> Result<Vec<Row>, StoreError> {
        let LogQuery { view, peer, after, before, .. } = self.query;
        let size = ids.map(|ids| ID_SIZES.iter().position(|size| *size >= ids.len()).unwrap_or(ID_SIZES.len() - 1));
        let peer_kind = peer.as_ref().map(|peer| if peer.is_full() { PeerKind::Full } else { PeerKind::Bare });
        let form = Form { view: *view, peer: peer_kind, ids: size, answer };
        let mut values = vec![
            Value::Text(self.account.as_str()),
            after.map_or(Value::Integer(-1), |LogId(id)| Value::number(id)),
            before.map_or(Value::Integer(i64::MAX), |LogId(id)| Value::number(id)),
        ];
        if answer != Answer::Count {
            values.push(Value::number(limit));
        }
        if let Some(peer) = peer {
            values.extend([Value::Integer(peer::hash(peer)), Value::Text(peer.as_str())]);
        }
        if let (Some(ids), Some(size)) = (ids, size) {
            let ids = ids.iter().chain(ids.last().into_iter().cycle()).take(ID_SIZES[size]);
            values.extend(ids.map(|LogId(id)| Value::number(*id)));
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
    Peer,
    Waiting,
}

/// All statements for questions without ids, whose walk must not depend on how long a log is.
#[cfg(test)]
pub(super) fn planned_statements() -> impl Iterator<Item = (PlannedIndex, &'static str)> {
    STATEMENTS.iter().filter(|(form, _)| form.ids.is_none()).map(|(form, sql)| {
        let index = match (form.peer, form.view) {
            (_, View::Waiting) => PlannedIndex::Waiting,
            (Some(_), View::Archived) => PlannedIndex::Peer,
            (None, View::Archived) => PlannedIndex::Key,
        };
        (index, sql.as_str())
    })
}
