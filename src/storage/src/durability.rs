//! How durable a commit is: what promise P1 then means. A database can be set to forget what it has acknowledged.

use vesta_engine::StoreError;

use crate::database::Database;

/// What acknowledged data survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The crash or power cut of the database's machine.
    pub crash: bool,
    /// The loss of that machine, by a failover to a synchronous standby.
    pub failover: bool,
    /// All of that in a sentence for log, console and documentation.
    pub note: String,
}

/// Asks the database. Ask again now and then: the settings can be changed while it runs.
pub(crate) async fn check(database: &Database) -> Result<Durability, StoreError> {
    match database {
        Database::Sqlite { .. } => Ok(Durability {
            crash: true,
            failover: false,
            note: "SQLite writes each commit to the disk before it is acknowledged; there is no second copy".into(),
        }),
        Database::Postgres { .. } => Ok(judge(&read_settings(database).await?)),
    }
}

/// The settings of PostgreSQL that matter here, as they are for our sessions.
#[derive(Debug, Default)]
struct Settings {
    synchronous_commit: String,
    fsync: String,
    full_page_writes: String,
    data_sync_retry: String,
    synchronous_standby_names: String,
}

async fn read_settings(database: &Database) -> Result<Settings, StoreError> {
    let sql = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN \
               ('synchronous_commit', 'fsync', 'full_page_writes', 'data_sync_retry', 'synchronous_standby_names')";
    let mut settings = Settings::default();
    for row in database.rows(sql, &[]).await? {
        let value = row.get("setting")?;
        match row.get::<String>("name")?.as_str() {
            "synchronous_commit" => settings.synchronous_commit = value,
            "fsync" => settings.fsync = value,
            "full_page_writes" => settings.full_page_writes = value,
            "data_sync_retry" => settings.data_sync_retry = value,
            _ => settings.synchronous_standby_names = value,
        }
    }
    Ok(settings)
}

fn judge(settings: &Settings) -> Durability {
    let mut faults = Vec::new();
    if settings.synchronous_commit == "off" {
        faults.push("synchronous_commit is off: a crash loses the last moments of acknowledged data");
    }
    if settings.fsync != "on" {
        faults.push("fsync is off: a crash of the machine may lose or damage everything");
    }
    if settings.full_page_writes != "on" {
        faults.push("full_page_writes is off: a power cut may damage tables");
    }
    if settings.data_sync_retry == "on" {
        faults.push("data_sync_retry is on: what a failing disk did not take may be lost unnoticed");
    }
    let crash = faults.is_empty();
    let waits_for_standby = matches!(settings.synchronous_commit.as_str(), "on" | "remote_apply" | "remote_write");
    let failover = crash && waits_for_standby && !settings.synchronous_standby_names.is_empty();
    let note = match (crash, failover) {
        (false, _) => faults.join("; "),
        (true, true) => {
            "PostgreSQL has each commit on disk and at a synchronous standby before it is acknowledged".into()
        }
        (true, false) => {
            "PostgreSQL writes each commit to the disk before it is acknowledged; no synchronous standby is \
                          set, so a failover may lose the last moments"
                .into()
        }
    };
    Durability { crash, failover, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(synchronous_commit: &str, fsync: &str, full_page_writes: &str, standby: &str) -> Settings {
        Settings {
            synchronous_commit: synchronous_commit.into(),
            fsync: fsync.into(),
            full_page_writes: full_page_writes.into(),
            data_sync_retry: "off".into(),
            synchronous_standby_names: standby.into(),
        }
    }

    fn judged(synchronous_commit: &str, fsync: &str, full_page_writes: &str, standby: &str) -> (bool, bool) {
        let durability = judge(&settings(synchronous_commit, fsync, full_page_writes, standby));
        (durability.crash, durability.failover)
    }

    #[test]
    fn the_settings_decide_what_a_commit_survives() {
        assert_eq!(judged("on", "on", "on", ""), (true, false));
        assert_eq!(judged("on", "on", "on", "FIRST 1 (b)"), (true, true));
        assert_eq!(judged("local", "on", "on", "FIRST 1 (b)"), (true, false));
        assert_eq!(judged("off", "on", "on", "FIRST 1 (b)"), (false, false));
        assert_eq!(judged("on", "off", "on", ""), (false, false));
        assert_eq!(judged("on", "on", "off", ""), (false, false));
        let trusting = Settings { data_sync_retry: "on".into(), ..settings("on", "on", "on", "") };
        assert!(!judge(&trusting).crash);
    }
}
