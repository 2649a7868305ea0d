//! The implementation of [`Store`]: reads here, writes by way of [`crate::writer`].

use async_trait::async_trait;
use bytes::Bytes;
use vesta_engine::log::{LogId, LogQuery, LogState, LoggedMessage};
use vesta_engine::roster::{RosterItem, Subscription};
use vesta_engine::store::{AccountRecord, Change, Credentials, StoredRoster};
use vesta_engine::{Fence, Store, StoreError, Timestamp};
use vesta_xmpp::{BareJid, Jid, Secret};

use crate::SqlStore;
use crate::database::{Row, Value};
use crate::fault::Fault;
use crate::log::page::Question;
use crate::operation::{Answer, Operation, subscription_name};

#[async_trait]
impl Store for SqlStore {
    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>, StoreError> {
        self.verifiers.of(account).await
    }

    async fn account_exists(&self, account: &BareJid) -> Result<bool, StoreError> {
        let sql = "SELECT account FROM accounts WHERE account = $1";
        Ok(self.reader.row(sql, &[Value::Text(account.as_str())]).await?.is_some())
    }

    async fn create_account(
        &self,
        fence: Fence,
        account: &BareJid,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_account(fence, account, Operation::Create { credentials: credentials.clone(), now }).await
    }

    async fn set_credentials(
        &self,
        fence: Fence,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StoreError> {
        self.change_account(fence, account, Operation::SetCredentials(credentials.clone())).await
    }

    async fn remove_account(&self, fence: Fence, account: &BareJid) -> Result<bool, StoreError> {
        self.change_account(fence, account, Operation::Remove).await
    }

    async fn accounts(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        let sql = "SELECT account, created_at FROM accounts \
                   WHERE domain = $1 AND account > $2 ORDER BY account LIMIT $3";
        let after = after.map_or("", |account| account.as_str());
        let values = [Value::Text(host), Value::Text(after), Value::Integer(limit.into())];
        let rows = self.reader.rows(sql, &values).await?;
        Ok(rows.iter().map(read_account).collect::<Result<_, Fault>>()?)
    }

    async fn roster(&self, account: &BareJid) -> Result<StoredRoster, StoreError> {
        // One statement, so that version and items are of one moment.
        let sql = "SELECT a.roster_version, i.contact, i.name, i.item_groups, i.subscription, \
                   i.pending_out, i.pending_in, i.approved, i.listed \
                   FROM accounts a LEFT JOIN roster_items i ON i.account = a.account WHERE a.account = $1";
        let rows = self.reader.rows(sql, &[Value::Text(account.as_str())]).await?;
        let version = rows.first().map_or(Ok(0), |row| row.number("roster_version"))?;
        let items = rows.iter().filter_map(|row| read_roster_item(row).transpose()).collect::<Result<_, Fault>>()?;
        Ok(StoredRoster { version, items })
    }

    async fn log_state(&self, fence: Fence, account: &BareJid, recent: u32) -> Result<LogState, StoreError> {
        match self.carry_out(fence, account, Operation::ReadLogState(recent)).await? {
            Answer::LogState(state) => Ok(state),
            Answer::Done(_) => Err(StoreError::Broken("the state of a log was not read".into())),
        }
    }

    async fn log_page(&self, account: &BareJid, query: &LogQuery) -> Result<Vec<LoggedMessage>, StoreError> {
        Question::new(&self.reader, account, query).page().await
    }

    async fn log_count(&self, account: &BareJid, query: &LogQuery) -> Result<u64, StoreError> {
        Question::new(&self.reader, account, query).count().await
    }

    async fn log_prune(&self, host: &str, before: LogId, limit: u32) -> Result<u64, StoreError> {
        self.pruner.step(&self.reader, host, before, limit).await
    }

    async fn data(&self, account: &BareJid, key: &str) -> Result<Option<Bytes>, StoreError> {
        let sql = "SELECT value FROM account_data WHERE account = $1 AND key = $2";
        let row = self.reader.row(sql, &[Value::Text(account.as_str()), Value::Text(key)]).await?;
        Ok(row.map(|row| row.get::<Vec<u8>>("value")).transpose()?.map(Bytes::from))
    }

    async fn write(&self, fence: Fence, account: &BareJid, changes: Vec<Change>) -> Result<(), StoreError> {
        self.carry_out(fence, account, Operation::Change(changes)).await.map(drop)
    }

    fn submit(
        &self,
        fence: Fence,
        account: &BareJid,
        changes: Vec<Change>,
        done: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
    ) {
        match self.reader.ready() {
            Ok(_) => self.writer(fence.shard).submit(fence, account, Operation::Change(changes), done),
            Err(error) => done(Err(error)),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reader.ping().await
    }

    async fn next_generation(&self) -> Result<u64, StoreError> {
        let sql = "INSERT INTO deployment_counters (name, value) VALUES ('generation', 1) \
                   ON CONFLICT (name) DO UPDATE SET value = deployment_counters.value + 1 RETURNING value";
        let row = self.reader.row(sql, &[]).await?;
        let row = row.ok_or_else(|| StoreError::Broken("the generation counter gave no number".into()))?;
        Ok(row.number("value")?)
    }

    async fn deployment_secret(&self, name: &str, fresh: [u8; 32]) -> Result<Secret, StoreError> {
        let sql = "INSERT INTO deployment_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.reader.rows(sql, &[Value::Text(name), Value::Bytes(&fresh)]).await?;
        let row = self.reader.row("SELECT value FROM deployment_secrets WHERE name = $1", &[Value::Text(name)]).await?;
        let row = row.ok_or_else(|| StoreError::Broken("the deployment's secret was not kept".into()))?;
        Ok(Secret::new(row.get::<Vec<u8>>("value")?))
    }
}

impl SqlStore {
    async fn carry_out(&self, fence: Fence, account: &BareJid, operation: Operation) -> Result<Answer, StoreError> {
        self.reader.ready()?;
        self.writer(fence.shard).write(fence, account, operation).await
    }

    async fn change_account(&self, fence: Fence, account: &BareJid, operation: Operation) -> Result<bool, StoreError> {
        match self.carry_out(fence, account, operation).await? {
            Answer::Done(done) => Ok(done),
            Answer::LogState(_) => Err(StoreError::Broken("the account was not changed".into())),
        }
    }
}

fn read_account(row: &Row) -> Result<AccountRecord, Fault> {
    let account = row.get::<String>("account")?;
    let account = BareJid::parse(&account).map_err(|error| Fault::Broken(format!("account {account}: {error}")))?;
    Ok(AccountRecord { account, created_at: Timestamp(row.number("created_at")?) })
}

/// `None`: the row of an account without contacts.
fn read_roster_item(row: &Row) -> Result<Option<RosterItem>, Fault> {
    let Some(contact) = row.get::<Option<String>>("contact")? else { return Ok(None) };
    let groups: String = row.get("item_groups")?;
    Ok(Some(RosterItem {
        contact: Jid::parse(&contact).map_err(|error| Fault::Broken(format!("contact {contact}: {error}")))?,
        name: row.get("name")?,
        groups: serde_json::from_str(&groups)
            .map_err(|error| Fault::Broken(format!("groups of a contact: {error}")))?,
        subscription: read_subscription(&row.get::<String>("subscription")?)?,
        pending_out: row.get("pending_out")?,
        pending_in: row.get::<Option<Vec<u8>>>("pending_in")?.map(Bytes::from),
        approved: row.get("approved")?,
        listed: row.get("listed")?,
    }))
}

fn read_subscription(name: &str) -> Result<Subscription, Fault> {
    let all = [Subscription::None, Subscription::To, Subscription::From, Subscription::Both];
    all.into_iter()
        .find(|subscription| subscription_name(*subscription) == name)
        .ok_or_else(|| Fault::Broken(format!("a contact has the subscription {name}")))
}
