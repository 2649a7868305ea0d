//! Takes away what is too old, and the logs of accounts that are gone, in small steps.
//!
//! A host's entries are found account by account: an index by time would be one more to keep with every message, for what is done
//! now and then. Where a pass through a host's accounts stands is remembered between the calls.

use std::collections::HashMap;

use parking_lot::Mutex;
use vesta_engine::StoreError;
use vesta_engine::log::LogId;

use crate::database::{Row, Value};
use crate::reader::Reader;

/// How many accounts one statement looks at.
const ACCOUNTS: i64 = 256;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Pruner {
    /// By host: the account up to which the pass has come. An entry for each host that is in the middle of a pass.
    reached: Mutex<HashMap<String, String>>,
}

impl Pruner {
    /// Takes away at most `limit` entries and tells how many it took: fewer mean that there are no more.
    pub(crate) async fn step(&self, reader: &Reader, host: &str, before: LogId, limit: u32) -> Result<u64, StoreError> {
        let limit = u64::from(limit);
        let taken = forsaken(reader, limit).await?;
        Ok(taken + self.aged(reader, host, before, limit - taken).await?)
    }

    async fn aged(&self, reader: &Reader, host: &str, before: LogId, limit: u64) -> Result<u64, StoreError> {
        let mut reached = self.reached.lock().get(host).cloned().unwrap_or_default();
        let mut taken = 0;
        while taken < limit {
            let accounts = accounts(reader, host, &reached, before).await?;
            let last_page = accounts.len() < ACCOUNTS as usize;
            for row in accounts {
                if row.get("aged")? {
                    taken += take(reader, row.number("number")?, before, limit - taken).await?;
                    if taken == limit {
                        break;
                    }
                }
                reached = row.get("account")?;
            }
            if last_page && taken < limit {
                self.reached.lock().remove(host);
                return Ok(taken);
            }
        }
        self.reached.lock().insert(host.to_owned(), reached);
        Ok(taken)
    }
}

/// The next accounts of a host, and which of them have something to be taken.
async fn accounts(reader: &Reader, host: &str, after: &str, before: LogId) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT a.account, CAST(COALESCE(l.number, 0) AS BIGINT) AS number, \
               EXISTS (SELECT 1 FROM log_entries e WHERE e.owner = l.number AND e.id < $3 AND NOT e.waiting) AS aged \
               FROM (SELECT account FROM accounts WHERE domain = $1 AND account > $2 ORDER BY account LIMIT $4) a \
               LEFT JOIN logs l ON l.account = a.account ORDER BY a.account";
    let values = [Value::Text(host), Value::Text(after), Value::number(before.0), Value::Integer(ACCOUNTS)];
    reader.rows(sql, &values).await
}

/// Takes the oldest entries of an account, up to a number.
async fn take(reader: &Reader, number: u64, before: LogId, limit: u64) -> Result<u64, StoreError> {
    let number = Value::number(number);
    // What is taken may be the newest entry: its id is not given again. By itself this says what is true anyway.
    let sql = "UPDATE logs SET last_id = (SELECT MAX(id) FROM log_entries WHERE owner = $1) WHERE number = $1 \
               AND (SELECT MAX(id) FROM log_entries WHERE owner = $1) BETWEEN last_id + 1 AND $2";
    reader.rows(sql, &[number, Value::number(before.0)]).await?;
    // A range, so that it is found along the key however long the log is. What begins to wait meanwhile stays.
    let sql = "DELETE FROM log_entries WHERE owner = $1 AND NOT waiting AND id <= (SELECT MAX(id) FROM (SELECT id \
               FROM log_entries WHERE owner = $1 AND id < $2 AND NOT waiting ORDER BY id LIMIT $3) AS oldest) RETURNING id";
    Ok(reader.rows(sql, &[number, Value::number(before.0), Value::number(limit)]).await?.len() as u64)
}

/// Takes entries of logs that have no account any more.
async fn forsaken(reader: &Reader, limit: u64) -> Result<u64, StoreError> {
    let mut taken = 0;
    while taken < limit {
        let sql = "SELECT CAST(number AS BIGINT) AS number FROM logs WHERE account IS NULL ORDER BY number LIMIT 1";
        let Some(row) = reader.row(sql, &[]).await? else { break };
        let number = Value::number(row.number("number")?);
        let sql = "DELETE FROM log_entries WHERE owner = $1 AND id <= (SELECT MAX(id) FROM (SELECT id \
                   FROM log_entries WHERE owner = $1 ORDER BY id LIMIT $2) AS oldest) RETURNING id";
        let asked = limit - taken;
        let found = reader.rows(sql, &[number, Value::number(asked)]).await?.len() as u64;
        taken += found;
        if found < asked {
            reader.rows("DELETE FROM logs WHERE number = $1 AND account IS NULL", &[number]).await?;
        }
    }
    Ok(taken)
}
