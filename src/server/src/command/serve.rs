//! `vesta serve`, `vesta connection-manager`, `vesta session-router`: from the configuration to the end of the process.

use std::io::Write;

use super::{DEFAULT_DATA, Failure, RunArguments, runtime};
use crate::compose::{Node, Roles};
use crate::config::{Settings, load};
use crate::{signals, telemetry};

/// Runs a role until a signal ends it.
pub fn run(arguments: &RunArguments, roles: Roles) -> Result<(), Failure> {
    let settings = load(arguments.config.as_deref(), std::env::vars())?;
    runtime(settings.threads)?.block_on(serve(settings, arguments, roles))
}

async fn serve(settings: Settings, arguments: &RunArguments, roles: Roles) -> Result<(), Failure> {
    let mut telemetry = telemetry::start(&settings, roles)?;
    let fresh = !arguments.data.exists();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?roles, data = %arguments.data.display(), "Vesta starts");
    // Routers may have to wait for each other: whoever stops the process meanwhile is not kept waiting.
    let started = tokio::select! {
        started = Node::start(settings.clone(), &arguments.data, roles) => started.map(Some),
        () = signals::stop() => Ok(None),
    };
    let outcome = match started {
        Ok(Some(node)) => {
            telemetry = telemetry.with_metrics(node.registry());
            greet(&settings, arguments, roles, &node, fresh);
            until_stopped(node).await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    telemetry.end().await;
    outcome
}

async fn until_stopped(node: Node) -> Result<(), Failure> {
    let failed = node.failed();
    let outcome = tokio::select! {
        () = signals::stop() => Ok(()),
        () = failed.cancelled() => Err(Failure::Ended),
    };
    node.stop().await;
    tracing::info!("Vesta has ended");
    outcome
}

/// Tells a person where clients connect, and on the first start what was made and what to do next.
fn greet(settings: &Settings, arguments: &RunArguments, roles: Roles, node: &Node, fresh: bool) {
    if let Some(manager) = node.manager() {
        let addresses = manager.addresses();
        tracing::info!(starttls = ?addresses.starttls, direct_tls = ?addresses.direct_tls, "clients can connect");
    }
    if !fresh || roles != Roles::All {
        return;
    }
    let data = &arguments.data;
    let domain = &settings.hosts[0].domain;
    let option =
        if data == std::path::Path::new(DEFAULT_DATA) { String::new() } else { format!(" --data {}", data.display()) };
    let text = format!(
        "Made the data directory {} with a database and a self-signed certificate for {domain}.\n\
         Add a user in a second shell:\n    vesta ctl{option} user add romeo@{domain}\n\
         (from a checkout: cargo run --release -- ctl{option} user add romeo@{domain})\n",
        data.display()
    );
    // A server goes on when nobody reads its greeting.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
