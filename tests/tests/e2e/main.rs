//! The end-to-end tests, one binary: `cargo test -p vesta-tests`. They need the binary `vesta` and PostgreSQL; `tests/run`
//! sees to both.

mod faults;
mod ledger;
mod operations;
mod peers;
mod slixmpp;
mod threats;
mod tidy;
mod transcripts;
