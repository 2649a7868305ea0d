//! Reads: refused until the tables are there, tried again while the database is away.

use std::sync::Arc;

use tokio::sync::watch;
use vesta_engine::StoreError;

use crate::Readiness;
use crate::database::{Database, Row, Value};
use crate::fault::Fault;
use crate::patience::Patience;

/// See the module's documentation. Clones read from the same database.
#[derive(Clone)]
pub(crate) struct Reader {
    database: Arc<Database>,
    patience: Patience,
    readiness: watch::Receiver<Readiness>,
}

impl Reader {
    pub(crate) fn new(database: Arc<Database>, patience: Patience, readiness: watch::Receiver<Readiness>) -> Self {
        Self { database, patience, readiness }
    }

    /// The database, once its tables are known to be right.
    pub(crate) fn ready(&self) -> Result<&Database, StoreError> {
        match &*self.readiness.borrow() {
            Readiness::Ready => Ok(&self.database),
            Readiness::Not(fault) => Err(StoreError::Unavailable(fault.to_string())),
            Readiness::Starting => Err(StoreError::Unavailable("the database has not answered yet".into())),
        }
    }

    /// All rows that a statement yields. It may run twice.
    pub(crate) async fn rows(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut waiting = self.patience.waiting();
        loop {
            let rows = self.ready()?.rows(sql, values).await;
            waiting.note(rows.as_ref().err());
            match rows {
                Err(Fault::Away(_)) if waiting.goes_on().await => {}
                rows => return Ok(rows?),
            }
        }
    }

    /// The first row that a statement yields. It may run twice.
    pub(crate) async fn row(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Asks now: whoever wants to know how the database is does not wait for it.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let waiting = self.patience.waiting();
        let answer = self.ready()?.row("SELECT 1 AS one", &[]).await;
        waiting.note(answer.as_ref().err());
        answer?;
        Ok(())
    }
}
