//! The OTLP receiver, and the pipelines of spans, log records and metrics that lead to it.
//!
//! Spans are made for what nodes do (logins, leaderships, drains, transactions), never for a stanza: even a span that is
//! not sampled would cost more than routing one. Spans and log records go through the SDK's batch processors, each with a
//! thread of its own; metrics are a task. All three share one connection, which is opened when it is first needed and
//! again whenever it was lost.
//!
//! The exporter's own work must not become telemetry, or each export would cause the next: events of the libraries
//! below it stay on stderr.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracerProvider};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError, filter_fn};

use super::metrics::MetricsExport;
use super::signal::{Bounded, Counted, ExportMetrics, QUEUE, Signal};
use super::{BoxedLayer, TelemetryError, logs as log_lines};
use crate::compose::Roles;
use crate::config::Settings;
use crate::config::settings;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Otlp {
    channel: Channel,
    headers: MetadataMap,
    resource: Resource,
    spans: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: Arc<Signal>,
    metrics_every: Duration,
    /// Ends the export of metrics.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Otlp {
    /// The export to `telemetry.otlp`, or none if that is not set. Opens no connection yet; needs a runtime.
    ///
    /// # Errors
    /// The receiver's address makes no sense.
    pub(super) fn new(
        settings: &Settings,
        roles: Roles,
        metrics: &ExportMetrics,
    ) -> Result<Option<Self>, TelemetryError> {
        let settings::Telemetry { otlp, headers, metrics_every, trace_ratio, .. } = &settings.telemetry;
        let Some(receiver) = otlp else { return Ok(None) };
        let (channel, headers) = (connect(receiver)?, headers.to_metadata());
        let resource = resource(&settings.name, roles);
        let exporter = SpanExporter::builder().with_tonic().with_channel(channel.clone());
        let exporter = exporter.with_metadata(headers.clone()).build()?;
        let spans = spans(exporter, &resource, *trace_ratio, Signal::new("traces", receiver, metrics));
        let exporter = LogExporter::builder().with_tonic().with_channel(channel.clone());
        let exporter = exporter.with_metadata(headers.clone()).build()?;
        let logs = log_records(exporter, &resource, Signal::new("logs", receiver, metrics));
        Ok(Some(Self {
            channel,
            headers,
            resource,
            spans,
            logs,
            metrics: Signal::new("metrics", receiver, metrics),
            metrics_every: metrics_every.0.max(Duration::from_secs(1)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The layer that takes events: those that are logged.
    ///
    /// # Errors
    /// The directives make no sense.
    pub(super) fn log_layer(&self, directives: &str) -> Result<BoxedLayer, ParseError> {
        let wanted = log_lines::events(directives, |event| !is_exporters_own(event))?;
        Ok(OpenTelemetryTracingBridge::new(&self.logs).with_filter(wanted).boxed())
    }

    /// The layer that takes spans, of whatever is logged. Their events are log records, which carry the ids of trace and span.
    pub(super) fn span_layer(&self) -> BoxedLayer {
        let is_ours = |metadata: &Metadata<'_>| {
            metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with("vesta")
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.spans.tracer("vesta"))
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO))
            .boxed()
    }

    /// Sends a registry's metrics from now on.
    pub(super) fn export_metrics(&self, registry: Arc<Registry>) {
        let Self { channel, headers, resource, metrics, .. } = self;
        let export = MetricsExport::new(channel.clone(), headers.clone(), resource, registry, metrics.clone());
        self.tasks.spawn(export.run(self.metrics_every, self.stop.clone()));
    }

    /// Sends what waits, for `limit` at most.
    pub(super) async fn end(self, limit: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let Self { spans, logs, tasks, .. } = self;
        let (metrics, spans, logs) = tokio::join!(
            tokio::time::timeout(limit, tasks.wait()),
            // They wait for their threads, which a thread of the runtime must not do.
            tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(limit)),
            tokio::task::spawn_blocking(move || logs.shutdown_with_timeout(limit)),
        );
        if metrics.is_err() || !matches!((spans, logs), (Ok(Ok(())), Ok(Ok(())))) {
            tracing::warn!("the process ends before all of its telemetry was sent");
        }
    }
}

/// A connection to the receiver, opened when it is first used.
fn connect(receiver: &str) -> Result<Channel, TelemetryError> {
    let wrong = |reason: String| TelemetryError::Receiver { receiver: receiver.into(), reason };
    let endpoint = Endpoint::from_shared(receiver.to_owned())
        .map_err(|error| wrong(error.to_string()))?
        .connect_timeout(CONNECT)
        .timeout(EXPORT)
        // A connection that died in silence ends while a request waits on it; an idle one is never pinged.
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let endpoint = match endpoint.uri().scheme_str() {
        Some("http") => endpoint,
        Some("https") => {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(tls).map_err(|error| wrong(error.to_string()))?
        }
        _ => return Err(wrong("it must begin with http:// or https://".into())),
    };
    Ok(endpoint.connect_lazy())
}

/// Who speaks: the role and the node, and what `OTEL_RESOURCE_ATTRIBUTES` adds (a cluster's and pod's names, say).
fn resource(node: &str, roles: Roles) -> Resource {
    let service = match roles {
        Roles::All => "vesta",
        Roles::ConnectionManager => "vesta-connection-manager",
        Roles::SessionRouter => "vesta-session-router",
    };
    Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
        .build()
}

/// The pipeline of spans. Whether a trace is sampled is decided where it begins.
fn spans(exporter: SpanExporter, resource: &Resource, ratio: f64, signal: Arc<Signal>) -> SdkTracerProvider {
    let processor = BatchSpanProcessor::builder(Counted { signal: signal.clone(), exporter })
        .with_batch_config(trace::BatchConfigBuilder::default().with_max_queue_size(QUEUE).build())
        .build();
    SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_span_processor(Bounded { signal, processor })
        .build()
}

/// The pipeline of log records.
fn log_records(exporter: LogExporter, resource: &Resource, signal: Arc<Signal>) -> SdkLoggerProvider {
    let processor = BatchLogProcessor::builder(Counted { signal: signal.clone(), exporter })
        .with_batch_config(logs::BatchConfigBuilder::default().with_max_queue_size(QUEUE).build())
        .build();
    SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_log_processor(Bounded { signal, processor })
        .build()
}

/// Whether an event may be the exporter's own doing.
fn is_exporters_own(event: &Metadata<'_>) -> bool {
    EXPORTERS_OWN.iter().any(|library| event.target().starts_with(library))
}

/// The libraries that an export goes through.
const EXPORTERS_OWN: [&str; 6] = ["h2", "hyper", "opentelemetry", "rustls", "tonic", "tower"];

/// How long the receiver may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it may take to answer.
const EXPORT: Duration = Duration::from_secs(10);

/// How long it may keep silent while it owes an answer before it is asked whether it lives, and then to say so.
const PING: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use opentelemetry::trace::Tracer;
    use opentelemetry_sdk::error::OTelSdkResult;

    use super::super::tests::{Place, Sink, counted, settings};
    use super::*;

    /// Makes a span and waits until it was sent or dropped.
    async fn send_span(otlp: &Otlp, name: &'static str) -> OTelSdkResult {
        drop(otlp.spans.tracer("test").start(name));
        let spans = otlp.spans.clone();
        tokio::task::spawn_blocking(move || spans.force_flush()).await.expect("flushed")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_receiver_that_was_away_is_found_again() {
        let (place, metrics) = (Place::new(), ExportMetrics::default());
        let otlp = Otlp::new(&settings(&place.address()), Roles::All, &metrics).expect("settings").expect("a receiver");
        assert!(send_span(&otlp, "lost").await.is_err());

        let (sink, _running) = Sink::start(place);
        assert!(send_span(&otlp, "found").await.is_ok());

        let names: Vec<_> = sink.received().spans.iter().map(|span| span.name.clone()).collect();
        assert_eq!(names, ["found"]);
        let counts = counted(&metrics);
        assert!(counts.contains("vesta_telemetry_dropped_total{signal=\"traces\"} 1"), "{counts}");
        assert!(counts.contains("vesta_telemetry_exported_total{signal=\"traces\"} 1"), "{counts}");
    }
}
