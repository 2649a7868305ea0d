//! The ledger: many accounts write to each other while processes die around them, and afterwards the books are checked.
//!
//! | module | subject |
//! |---|---|
//! | [`line`](mod@line) | a message that can be recognised, and whose text can't be altered unseen |
//! | [`history`] | what everybody has seen, as data |
//! | [`check`](mod@check) | the rules, as functions over a history; no I/O |
//! | [`crew`] | the clients: they write, read, and record |
//! | [`relay`] | connections that can be cut |
//! | [`nemesis`] | the faults, each with the proof that it took hold |
//!
//! A run ends in one of three ways: the books are right; they are not ([`check::Violation`]); or the run is *invalid*, since there
//! was too little traffic or a fault did not take hold. An invalid run panics with that word: it has shown nothing.

pub mod check;
pub mod crew;
pub mod history;
pub mod line;
pub mod nemesis;
pub mod relay;

/// A number from the environment: `VESTA_LEDGER_SEED`, `VESTA_LEDGER_ROUNDS`.
///
/// # Panics
/// It is there and no number.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")),
        Err(_) => default,
    }
}

/// Waits for the sign that shows something to have happened without which the run is worth nothing.
///
/// # Panics
/// It does not come: the run is invalid.
pub async fn prove<T>(what: &str, mut sign: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(proof) = sign().await {
                return proof;
            }
            tokio::time::sleep(crate::BETWEEN_QUESTIONS).await;
        }
    };
    match tokio::time::timeout(crate::PATIENCE, asking).await {
        Ok(proof) => proof,
        Err(_) => panic!("the run is invalid: {what}"),
    }
}
