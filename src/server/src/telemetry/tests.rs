//! The whole export, against a receiver in this process, and against one that is away.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;

/// The log lines of a test.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All that was logged.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer has panicked").clone()).expect("text")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer has panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// An OTLP receiver that keeps what it gets.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Received>>);

/// What a [`Sink`] got.
#[derive(Default)]
pub(super) struct Received {
    pub(super) resources: Vec<Resource>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) spans: Vec<Span>,
    pub(super) metrics: Vec<Metric>,
    /// The header `x-api-key` of each request.
    keys: Vec<Option<String>>,
}

impl Received {
    fn note_key<T>(&mut self, request: &Request<T>) {
        let key = request.metadata().get("x-api-key").and_then(|key| key.to_str().ok());
        self.keys.push(key.map(str::to_owned));
    }
}

impl Sink {
    /// A receiver that ends with the guard.
    pub(super) fn start(place: Place) -> (Self, DropGuard) {
        let listener = place.0.listen(16).expect("listening");
        let (sink, stop) = (Self::default(), CancellationToken::new());
        let serving = Server::builder()
            .add_service(LogsServiceServer::new(sink.clone()))
            .add_service(TraceServiceServer::new(sink.clone()))
            .add_service(MetricsServiceServer::new(sink.clone()))
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
        TaskTracker::new().spawn(serving);
        (sink, stop.drop_guard())
    }

    pub(super) fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().expect("no receiver has panicked")
    }
}

/// A free port, held, where connections are refused until somebody listens.
pub(super) struct Place(TcpSocket);

impl Place {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        Self(socket)
    }

    /// As `telemetry.otlp` has it.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut received = self.received();
        received.note_key(&request);
        for of_resource in request.into_inner().resource_logs {
            received.resources.extend(of_resource.resource);
            received.logs.extend(of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.received();
        received.note_key(&request);
        for of_resource in request.into_inner().resource_spans {
            received.resources.extend(of_resource.resource);
            received.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut received = self.received();
        received.note_key(&request);
        for of_resource in request.into_inner().resource_metrics {
            received.resources.extend(of_resource.resource);
            received.metrics.extend(of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
        Ok(Response::new(Default::default()))
    }
}

/// The defaults, with a receiver and a key to it.
pub(super) fn settings(receiver: &str) -> Settings {
    let mut settings = Settings { name: "router-7".into(), ..Settings::default() };
    settings.telemetry.otlp = Some(receiver.into());
    settings.telemetry.headers = toml::from_str("x-api-key = 's3cret'").expect("headers");
    settings.telemetry.log = "info".into();
    settings
}

/// Telemetry that says nothing on stderr, with a span and some events of the server and of its libraries.
fn telemetry_of_some_work(receiver: &str, metrics: &ExportMetrics) -> Telemetry {
    let settings = settings(receiver);
    let (dispatch, telemetry) =
        build(&settings, Roles::SessionRouter, std::io::sink, false, metrics).expect("telemetry");
    tracing::dispatcher::with_default(&dispatch, || {
        let _working = tracing::info_span!("take over a shard", shard = 3).entered();
        tracing::info!(shard = 3, "leads");
        tracing::info!(target: "h2::client", "of the exporter's own connection");
        let _library = tracing::info_span!(target: "openraft::core", "not the server's own").entered();
    });
    telemetry
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a any_value::Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

/// The counts as they are scraped.
pub(super) fn counted(metrics: &ExportMetrics) -> String {
    let (mut registry, mut scraped) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    text::encode(&mut scraped, &registry).expect("encoded");
    scraped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_gets_logs_spans_and_metrics() {
    let place = Place::new();
    let address = place.address();
    let (sink, _running) = Sink::start(place);
    let metrics = ExportMetrics::default();
    let mut registry = Registry::default();
    let bound: Counter = Counter::default();
    bound.inc_by(5);
    registry.register("sessions_bound", "Sessions bound", bound);

    telemetry_of_some_work(&address, &metrics).with_metrics(Arc::new(registry)).end().await;

    let received = sink.received();
    assert!(received.keys.len() >= 3 && received.keys.iter().all(|key| key.as_deref() == Some("s3cret")));
    let string = |text: &str| any_value::Value::StringValue(text.into());
    for resource in &received.resources {
        assert_eq!(attribute(&resource.attributes, "service.name"), Some(&string("vesta-session-router")));
        assert_eq!(attribute(&resource.attributes, "service.version"), Some(&string(env!("CARGO_PKG_VERSION"))));
        assert_eq!(attribute(&resource.attributes, "service.instance.id"), Some(&string("router-7")));
    }
    let [span] = &received.spans[..] else { panic!("{:?}", received.spans) };
    assert_eq!(span.name, "take over a shard");
    assert_eq!(attribute(&span.attributes, "shard"), Some(&any_value::Value::IntValue(3)));
    let [log] = &received.logs[..] else { panic!("{:?}", received.logs) };
    assert_eq!(log.body.as_ref().and_then(|body| body.value.as_ref()), Some(&string("leads")));
    assert_eq!(log.severity_text, "INFO");
    assert_eq!(attribute(&log.attributes, "shard"), Some(&any_value::Value::IntValue(3)));
    assert_eq!((&log.trace_id, &log.span_id), (&span.trace_id, &span.span_id));
    let last = received.metrics.last().expect("metrics were sent");
    assert_eq!(last.name, "sessions_bound_total");
    let counts = counted(&metrics);
    assert!(counts.contains("vesta_telemetry_exported_total{signal=\"traces\"} 1"), "{counts}");
    assert!(counts.contains("vesta_telemetry_exported_total{signal=\"logs\"} 1"), "{counts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_keeps_nobody_from_ending() {
    let (place, metrics) = (Place::new(), ExportMetrics::default());
    telemetry_of_some_work(&place.address(), &metrics).with_metrics(Arc::new(Registry::default())).end().await;
    let counts = counted(&metrics);
    assert!(counts.contains("vesta_telemetry_dropped_total{signal=\"logs\"} 1"), "{counts}");
    assert!(counts.contains("vesta_telemetry_dropped_total{signal=\"traces\"} 1"), "{counts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_answers_keeps_nobody_from_ending() {
    let place = Place::new();
    let address = place.address();
    // The kernel accepts for it.
    let _silent = place.0.listen(16).expect("listening");
    let telemetry = telemetry_of_some_work(&address, &ExportMetrics::default());
    let otlp = telemetry.with_metrics(Arc::new(Registry::default())).otlp.expect("a receiver is set");
    otlp.end(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_with_the_key() {
    for wrong in ["127.0.0.1:4317", "collector", "ftp://collector:4317", "http://"] {
        let error = Otlp::new(&settings(wrong), Roles::All, &ExportMetrics::default()).expect_err(wrong);
        let said = error.to_string();
        assert!(said.starts_with("telemetry.otlp: ") && said.contains(wrong), "{said}");
    }
}
