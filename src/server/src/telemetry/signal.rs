//! How the export of one signal (traces, metrics or logs) goes.
//!
//! A receiver that is away or slow costs the server nothing: at most [`QUEUE`] items wait, more are dropped and
//! counted. An operator is told once when a receiver stops taking a signal, and once when it takes it again.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Spans, and log records, that wait for the receiver or are on their way to it.
pub(super) const QUEUE: usize = 2_048;

/// The counts of this process: like its logs, its telemetry is one for the whole process.
pub(super) static METRICS: LazyLock<ExportMetrics> = LazyLock::new(ExportMetrics::default);

/// A label: traces, metrics or logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySignal {
    signal: &'static str,
}

/// What is counted of all signals. Cloning shares the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct ExportMetrics {
    exported: Family<BySignal, Counter>,
    dropped: Family<BySignal, Counter>,
}

impl ExportMetrics {
    /// Puts the counts into a registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("vesta_telemetry");
        let exported = "Spans, metric points and log records that the OTLP receiver has taken";
        registry.register("exported", exported, self.exported.clone());
        let dropped = "Spans, metric points and log records that it has not, and that were dropped";
        registry.register("dropped", dropped, self.dropped.clone());
    }
}

/// The state of one signal's export.
#[derive(Debug)]
pub(super) struct Signal {
    name: &'static str,
    /// Where it goes, for the operator.
    receiver: String,
    waiting: AtomicUsize,
    away: AtomicBool,
    exported: Counter,
    dropped: Counter,
}

impl Signal {
    /// The signal `name`, on its way to `receiver`, counted in `metrics`.
    pub(super) fn new(name: &'static str, receiver: &str, metrics: &ExportMetrics) -> Arc<Self> {
        let label = BySignal { signal: name };
        Arc::new(Self {
            name,
            receiver: receiver.into(),
            waiting: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            exported: metrics.exported.get_or_create_owned(&label),
            dropped: metrics.dropped.get_or_create_owned(&label),
        })
    }

    /// Whether one more item may wait. If not, it counts as dropped.
    fn admit(&self) -> bool {
        let admitted = self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE;
        if !admitted {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.inc();
        }
        admitted
    }

    /// Items that waited have been sent, or given up.
    fn settle_waiting(&self, items: usize, result: &OTelSdkResult) {
        self.waiting.fetch_sub(items, Ordering::Relaxed);
        self.settle(items, result.as_ref().err());
    }

    /// Items have been sent, or given up because of an error.
    pub(super) fn settle(&self, items: usize, error: Option<impl Display>) {
        let Self { name, receiver, .. } = self;
        match error {
            None => {
                self.exported.inc_by(items as u64);
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!(signal = name, receiver, "the telemetry receiver is back");
                }
            }
            Some(error) => {
                self.dropped.inc_by(items as u64);
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(signal = name, receiver, %error, "telemetry is dropped until its receiver takes it");
                }
            }
        }
    }
}

/// A processor that lets in what may wait.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    pub(super) signal: Arc<Signal>,
    pub(super) processor: P,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.signal.admit() {
            self.processor.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

impl<P: LogProcessor> LogProcessor for Bounded<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.signal.admit() {
            self.processor.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// An exporter whose outcome is counted.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) signal: Arc<Signal>,
    pub(super) exporter: E,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len();
        let result = self.exporter.export(batch).await;
        self.signal.settle_waiting(items, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        let result = self.exporter.export(batch).await;
        self.signal.settle_waiting(items, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::config::settings::LogFormat;
    use crate::telemetry::logs;
    use crate::telemetry::tests::Lines;

    #[test]
    fn a_receiver_that_is_away_is_told_once_and_so_is_its_return() {
        let signal = Signal::new("logs", "http://sink", &ExportMetrics::default());
        let lines = Lines::default();
        let layer = logs::layer(LogFormat::Human, lines.clone(), false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            signal.settle(1, None::<&str>);
            signal.settle(2, Some("refused"));
            signal.settle(3, Some("refused"));
            signal.settle(4, None::<&str>);
        });
        let output = lines.text();
        let [away, back] = *output.lines().collect::<Vec<_>>() else { panic!("{output}") };
        assert!(away.contains("WARN") && away.contains("http://sink") && away.contains("error=refused"), "{away}");
        assert!(back.contains("INFO") && back.contains("is back"), "{back}");
        assert_eq!((signal.exported.get(), signal.dropped.get()), (5, 5));
    }

    #[test]
    fn what_waits_is_bounded_and_what_does_not_fit_is_counted() {
        let signal = Signal::new("traces", "http://sink", &ExportMetrics::default());
        let admitted = (0..QUEUE + 3).filter(|_| signal.admit()).count();
        assert_eq!((admitted, signal.dropped.get()), (QUEUE, 3));
        signal.settle_waiting(512, &Ok(()));
        assert!(signal.admit(), "there is room again");
    }
}
