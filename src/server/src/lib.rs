//! The server: command line, configuration, telemetry, and the composition of the roles.
//!
//! | module | subject |
//! |---|---|
//! | [`command`] | `vesta …`: what each command does |
//! | [`config`] | the configuration file, its documentation, its checks |
//! | [`compose`] | the roles, put together from the configuration |
//! | [`telemetry`] | logs, and the export of traces, metrics and logs |

mod clock;
pub mod command;
pub mod compose;
pub mod config;
mod signals;
pub mod telemetry;
