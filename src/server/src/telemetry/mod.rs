//! Logs to stderr, and, when `telemetry.otlp` is set, the export of traces, metrics and logs over OTLP (gRPC).
//!
//! | module | subject |
//! |---|---|
//! | `logs` | what is logged, and lines that no peer can forge |
//! | `otlp` | the receiver, and the pipelines that lead to it |
//! | `signal` | how the export of one signal goes: bounded, counted, told once |
//! | `metrics` | the registry that `/metrics` shows, as OTLP data points |
//! | `process` | what every process tells about itself |
//!
//! The server never waits for any of it, except at its end, and then for 5 s at most.

mod logs;
mod metrics;
mod otlp;
mod process;
mod signal;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Spans};

use crate::compose::Roles;
use crate::config::Settings;
use otlp::Otlp;
use process::Process;
use signal::ExportMetrics;

/// Why telemetry can't be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.log` makes no sense.
    #[error("telemetry.log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// `telemetry.otlp` is not an address.
    #[error("telemetry.otlp: {receiver:?} is not an address like http://127.0.0.1:4317: {reason}")]
    Receiver {
        /// What was given.
        receiver: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An exporter can't be made.
    #[error("telemetry.otlp: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What takes some of what the server tells.
type BoxedLayer = Box<dyn Layer<Spans> + Send + Sync>;

/// What runs until the process ends.
#[derive(Debug)]
pub struct Telemetry {
    otlp: Option<Otlp>,
}

/// Starts logging, and the export if there is a receiver. To be called within a runtime.
///
/// # Errors
/// See [`TelemetryError`].
pub fn start(settings: &Settings, roles: Roles) -> Result<Telemetry, TelemetryError> {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (dispatch, telemetry) = build(settings, roles, std::io::stderr, colours, &signal::METRICS)?;
    // Only a second call in one process (tests) finds a subscriber; the first one stays.
    drop(dispatch.try_init());
    Ok(telemetry)
}

/// Registers what every process tells about itself, whatever its roles: memory, files, workers, and how the export of
/// its telemetry goes.
pub fn register_process_metrics(registry: &mut Registry) {
    registry.register_collector(Box::new(Process::new()));
    signal::METRICS.register(registry);
}

/// Everything that [`start`] makes, not yet made the process's own.
fn build<W>(
    settings: &Settings,
    roles: Roles,
    writer: W,
    colours: bool,
    metrics: &ExportMetrics,
) -> Result<(Dispatch, Telemetry), TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let otlp = Otlp::new(settings, roles, metrics)?;
    let settings = &settings.telemetry;
    let stderr = logs::layer(settings.format, writer, colours);
    // Each layer has a filter of its own: what is logged says nothing of what is traced.
    let mut layers: Vec<BoxedLayer> = vec![stderr.with_filter(logs::events(&settings.log, |_| true)?).boxed()];
    if let Some(otlp) = &otlp {
        layers.push(otlp.log_layer(&settings.log)?);
        layers.push(otlp.span_layer());
    }
    Ok((Dispatch::new(tracing_subscriber::registry().with(layers)), Telemetry { otlp }))
}

impl Telemetry {
    /// Exports the registry's metrics as well, every `telemetry.metrics_every`.
    pub fn with_metrics(self, registry: Arc<Registry>) -> Self {
        if let Some(otlp) = &self.otlp {
            otlp.export_metrics(registry);
        }
        self
    }

    /// Sends what waits, and the metrics as they are at the end. Takes 5 s at most, whatever the receiver does.
    pub async fn end(self) {
        if let Some(otlp) = self.otlp {
            otlp.end(LAST_WORDS).await;
        }
    }
}

/// How long the end of the process is put off for what waits to be sent.
const LAST_WORDS: Duration = Duration::from_millis(4_500);
