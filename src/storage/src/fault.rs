//! What can go wrong between us and a database, sorted by what is to be done about it.

use std::path::PathBuf;

use vesta_engine::StoreError;

/// Why a store can't be opened: the operator has to put something right. A database that is merely away is no such reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL can't be read.
    #[error("the database URL can't be used: {0}. It should look like postgres://user:password@host:5432/database")]
    Url(String),
    /// PostgreSQL answers, but does not let us in: wrong user, password or database name, no permission, no TLS.
    #[error("the database does not let us in: {0}. Check user, password, database name and TLS settings in its URL")]
    Refused(String),
    /// The SQLite file can't be opened.
    #[error("the database file {path} can't be opened: {reason}. Check that its directory exists and may be written")]
    File {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The tables can't be brought to this version's form.
    #[error("the tables of the database can't be brought up to date: {0}")]
    Migration(String),
}

/// An error of the database, by consequence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection, or one that was lost: try again on a new one.
    #[error("{0}")]
    Away(String),
    /// The database answers but does not let us in. May pass when the operator has put it right.
    #[error("{0}")]
    Refused(String),
    /// This transaction gave way to another one or waited too long for a lock. Others may be well.
    #[error("{0}")]
    Contended(String),
    /// The statement is wrong for what is stored.
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    /// An operation took longer than it may.
    pub(crate) fn timed_out(what: &str) -> Self {
        Fault::Away(format!("{what} took too long"))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(reason) | Fault::Refused(reason) | Fault::Contended(reason) => StoreError::Unavailable(reason),
            Fault::Broken(reason) => StoreError::Broken(reason),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let reason = error.to_string();
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Fault::Away(reason),
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Fault::Refused(reason),
            sqlx::Error::Database(database) => match database.code() {
                Some(code) => from_code(&code, reason),
                None => Fault::Broken(reason),
            },
            _ => Fault::Broken(reason),
        }
    }
}

/// PostgreSQL's codes have five characters (appendix A of its manual), SQLite's are numbers whose low byte is the kind.
fn from_code(code: &str, reason: String) -> Fault {
    if code.len() != 5 {
        return from_sqlite_code(code.parse().unwrap_or(0), reason);
    }
    match (&code[..2], code) {
        // Serialization failure, deadlock; lock timeout; statement timeout.
        ("40", _) | (_, "55P03" | "57014") => Fault::Contended(reason),
        // Connection lost; out of disk, memory or connections; shut down or starting; I/O error; a transaction that we left
        // open; a standby, as after a failover.
        ("08" | "53" | "57" | "58", _) | (_, "25P03" | "25006") => Fault::Away(reason),
        // Wrong user or password; no such database; no permission.
        ("28" | "3D", _) | (_, "42501") => Fault::Refused(reason),
        _ => Fault::Broken(reason),
    }
}

fn from_sqlite_code(code: u32, reason: String) -> Fault {
    match code & 0xFF {
        // BUSY, LOCKED.
        5 | 6 => Fault::Contended(reason),
        // IOERR, FULL, CANTOPEN.
        10 | 13 | 14 => Fault::Away(reason),
        _ => Fault::Broken(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_is_to_be_done() {
        let kind = |code: &str| match from_code(code, String::new()) {
            Fault::Away(_) => "away",
            Fault::Refused(_) => "refused",
            Fault::Contended(_) => "contended",
            Fault::Broken(_) => "broken",
        };
        for (code, expected) in [
            ("40001", "contended"),
            ("40P01", "contended"),
            ("55P03", "contended"),
            ("57014", "contended"),
            ("08006", "away"),
            ("53100", "away"),
            ("53300", "away"),
            ("57P01", "away"),
            ("57P03", "away"),
            ("25006", "away"),
            ("28P01", "refused"),
            ("3D000", "refused"),
            ("42501", "refused"),
            ("23503", "broken"),
            ("42P01", "broken"),
            // SQLite: BUSY_SNAPSHOT, FULL, IOERR_FSYNC, CONSTRAINT_FOREIGNKEY.
            ("517", "contended"),
            ("13", "away"),
            ("1034", "away"),
            ("787", "broken"),
        ] {
            assert_eq!(kind(code), expected, "code {code}");
        }
    }
}
