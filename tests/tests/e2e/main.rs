//! The end-to-end tests, one binary: `cargo test -p vesta-tests`. What needs a server finds `target/debug/vesta`.

mod transcripts;
