//! The metrics of the registry that `/metrics` shows, as OTLP data points, on a timer.
//!
//! The registry is read through prometheus-client's own data model, so that names, labels and values are those of
//! `/metrics` by construction. Counters and histograms are cumulative since the start of the export; an export that
//! was missed is made good by the next.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prometheus_client::encoding::prometheus_protobuf::encode;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as prometheus;
use prometheus_client::registry::Registry;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use super::signal::Signal;
use crate::clock;

/// What sends the metrics.
pub(super) struct MetricsExport {
    client: MetricsServiceClient<Channel>,
    headers: MetadataMap,
    resource: ResourceAttributesWithSchema,
    registry: Arc<Registry>,
    signal: Arc<Signal>,
    /// Since when counts are cumulative: nanoseconds since 1970.
    start: u64,
}

/// The times of all points of one export, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Interval {
    start: u64,
    end: u64,
}

impl MetricsExport {
    /// The export of a registry over a channel, each request with these headers.
    pub(super) fn new(
        channel: Channel,
        headers: MetadataMap,
        resource: &opentelemetry_sdk::Resource,
        registry: Arc<Registry>,
        signal: Arc<Signal>,
    ) -> Self {
        let (client, resource) = (MetricsServiceClient::new(channel), resource.into());
        Self { client, headers, resource, registry, signal, start: now() }
    }

    /// Sends at once, then `every` so often, and a last time when told to stop.
    pub(super) async fn run(mut self, every: Duration, stop: CancellationToken) {
        let mut timer = tokio::time::interval(every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                _ = timer.tick() => false,
                () = stop.cancelled() => true,
            };
            self.send().await;
            if last {
                return;
            }
        }
    }

    async fn send(&mut self) {
        // Only a metric's own encoder can fail, and then `/metrics` says so too.
        let Ok(families) = encode(&self.registry) else {
            return self.signal.settle(0, Some("the metrics can't be read"));
        };
        let points = families.iter().map(|family| family.metric.len()).sum();
        let interval = Interval { start: self.start, end: now() };
        let metrics = families.into_iter().map(|family| metric(family, interval)).collect();
        let mut request = Request::new(self.request(metrics));
        *request.metadata_mut() = self.headers.clone();
        let sent = self.client.export(request).await;
        self.signal.settle(points, sent.err());
    }

    fn request(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope = InstrumentationScope {
            name: "vesta".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..InstrumentationScope::default()
        };
        let resource = Resource { attributes: self.resource.attributes.0.clone(), ..Resource::default() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
        let schema_url = self.resource.schema_url.clone().unwrap_or_default();
        let resource_metrics = vec![ResourceMetrics { resource: Some(resource), scope_metrics, schema_url }];
        ExportMetricsServiceRequest { resource_metrics }
    }
}

/// A metric with all of its label sets. Counters become monotonic sums; what has no kind of its own is a gauge.
fn metric(family: prometheus::MetricFamily, interval: Interval) -> Metric {
    let temporality = AggregationTemporality::Cumulative.into();
    let kind = family.r#type();
    let metrics = family.metric.into_iter();
    let data = match kind {
        prometheus::MetricType::Histogram => Data::Histogram(Histogram {
            data_points: metrics.filter_map(|metric| histogram_point(metric, interval)).collect(),
            aggregation_temporality: temporality,
        }),
        prometheus::MetricType::Counter => Data::Sum(Sum {
            data_points: metrics.filter_map(|metric| point(metric, interval)).collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        _ => Data::Gauge(Gauge { data_points: metrics.filter_map(|metric| point(metric, interval)).collect() }),
    };
    Metric {
        name: family.name,
        description: family.help,
        unit: ucum(&family.unit).into(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn point(metric: prometheus::Metric, interval: Interval) -> Option<NumberDataPoint> {
    let counter = metric.counter.map(|counter| counter.value);
    let gauge = metric.gauge.map(|gauge| gauge.value);
    let value = counter.or(gauge).or(metric.untyped.map(|untyped| untyped.value))?;
    Some(NumberDataPoint {
        attributes: attributes(metric.label),
        start_time_unix_nano: interval.start,
        time_unix_nano: interval.end,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    })
}

/// Prometheus counts each bucket with all below it and may end with one without bound; OTLP counts each alone, and the
/// one without bound is implied.
fn histogram_point(metric: prometheus::Metric, interval: Interval) -> Option<HistogramDataPoint> {
    let histogram = metric.histogram?;
    let (mut explicit_bounds, mut bucket_counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.bucket.iter().filter(|bucket| bucket.upper_bound < f64::MAX) {
        explicit_bounds.push(bucket.upper_bound);
        bucket_counts.push(bucket.cumulative_count.saturating_sub(below));
        below = bucket.cumulative_count;
    }
    bucket_counts.push(histogram.sample_count.saturating_sub(below));
    Some(HistogramDataPoint {
        attributes: attributes(metric.label),
        start_time_unix_nano: interval.start,
        time_unix_nano: interval.end,
        count: histogram.sample_count,
        sum: Some(histogram.sample_sum),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: Vec<prometheus::LabelPair>) -> Vec<KeyValue> {
    let attribute = |label: prometheus::LabelPair| KeyValue {
        key: label.name,
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(label.value)) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

/// OpenMetrics' unit as OTLP writes it (UCUM).
fn ucum(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "bytes" => "By",
        "ratios" | "ratio" => "1",
        other => other,
    }
}

fn now() -> u64 {
    clock::now().0 * 1_000_000
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::{EncodeLabelSet, text};
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge;
    use prometheus_client::metrics::histogram;
    use prometheus_client::registry::Unit;

    use super::*;

    const INTERVAL: Interval = Interval { start: 1, end: 2 };

    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Reason {
        reason: &'static str,
    }

    fn registry() -> Registry {
        let mut registry = Registry::with_prefix("vesta");
        let refused = Family::<Reason, Counter>::default();
        refused.get_or_create(&Reason { reason: "a \"full\" queue\n" }).inc_by(3);
        registry.register("refused", "Events refused", refused);
        let sessions: gauge::Gauge = gauge::Gauge::default();
        sessions.set(-2);
        registry.register("sessions", "Sessions", sessions);
        let took = histogram::Histogram::new([0.5, 1.0]);
        [0.1, 0.2, 0.7, 9.0].into_iter().for_each(|seconds| took.observe(seconds));
        registry.register_with_unit("took", "Time taken", Unit::Seconds, took);
        registry
    }

    fn metrics() -> Vec<Metric> {
        encode(&registry()).expect("encoded").into_iter().map(|family| metric(family, INTERVAL)).collect()
    }

    fn number(attributes: Vec<KeyValue>, value: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        }
    }

    #[test]
    fn names_are_those_of_the_text_that_is_scraped() {
        let mut scraped = String::new();
        text::encode(&mut scraped, &registry()).expect("encoded");
        let names: Vec<_> = metrics().into_iter().map(|metric| metric.name).collect();
        assert_eq!(names, ["vesta_refused_total", "vesta_sessions", "vesta_took_seconds"]);
        for name in names {
            assert!(scraped.lines().any(|line| line.starts_with(&name)), "{name} in {scraped}");
        }
    }

    #[test]
    fn a_counter_is_a_cumulative_sum_with_its_labels() {
        let value = AnyValue { value: Some(any_value::Value::StringValue("a \"full\" queue\n".into())) };
        let label = KeyValue { key: "reason".into(), value: Some(value), ..KeyValue::default() };
        let expected = Sum {
            data_points: vec![number(vec![label], 3.0)],
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        };
        assert_eq!(metrics()[0].data, Some(Data::Sum(expected)));
    }

    #[test]
    fn a_gauge_stays_a_gauge() {
        let expected = Gauge { data_points: vec![number(Vec::new(), -2.0)] };
        assert_eq!(metrics()[1].data, Some(Data::Gauge(expected)));
    }

    #[test]
    fn each_bucket_of_a_histogram_counts_its_own() {
        let point = HistogramDataPoint {
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            count: 4,
            sum: Some(10.0),
            bucket_counts: vec![2, 1, 1],
            explicit_bounds: vec![0.5, 1.0],
            ..HistogramDataPoint::default()
        };
        let expected =
            Histogram { data_points: vec![point], aggregation_temporality: AggregationTemporality::Cumulative.into() };
        let metric = &metrics()[2];
        assert_eq!((metric.unit.as_str(), &metric.data), ("s", &Some(Data::Histogram(expected))));
    }
}
