//! What every process tells about itself: memory, open files, processor time, age, and the threads of its runtime.
//!
//! Read from Linux's `/proc` at each scrape, under the names that Prometheus' client libraries agreed on, so that stock
//! dashboards show them. Where a file is missing (another system), its metrics are missing too.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::runtime::{Handle, RuntimeMetrics};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Process {
    /// The runtime that the process works in, if there is one.
    runtime: Option<RuntimeMetrics>,
}

/// The parts of `/proc/self/stat` that are shown, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    processor_time: f64,
    /// Since the machine has started.
    started: f64,
}

impl Process {
    /// Of this process, and of the runtime that the caller runs in.
    pub(super) fn new() -> Self {
        Self { runtime: Handle::try_current().ok().map(|runtime| runtime.metrics()) }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let resident = read("/proc/self/status").and_then(|text| resident_bytes(&text));
        gauge(encoder, "process_resident_memory_bytes", "Memory that is in use", resident)?;
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64);
        gauge(encoder, "process_open_fds", "Files and sockets that are open", open)?;
        let limit = read("/proc/self/limits").and_then(|text| files_limit(&text));
        gauge(encoder, "process_max_fds", "Files and sockets that may be open", limit)?;
        if let Some(stat) = read("/proc/self/stat").and_then(|text| stat(&text)) {
            counter(encoder, "process_cpu_seconds", "Processor time used", stat.processor_time)?;
            let booted = read("/proc/stat").and_then(|text| boot_time(&text)).map(|booted| booted + stat.started);
            gauge(encoder, "process_start_time_seconds", "When the process started, since 1970", booted)?;
            let age = read("/proc/uptime").and_then(|text| first_number(&text)).map(|uptime| uptime - stat.started);
            gauge(encoder, "process_uptime_seconds", "Time since the process started", age)?;
        }
        self.runtime.as_ref().map_or(Ok(()), |runtime| encode_runtime(encoder, runtime))
    }
}

fn encode_runtime(encoder: &mut DescriptorEncoder<'_>, runtime: &RuntimeMetrics) -> fmt::Result {
    let workers = runtime.num_workers();
    gauge(encoder, "tokio_workers", "Threads that run tasks", Some(workers as u64))?;
    gauge(encoder, "tokio_tasks", "Tasks that are alive", Some(runtime.num_alive_tasks() as u64))?;
    let queue = runtime.global_queue_depth() as u64;
    gauge(encoder, "tokio_global_queue_tasks", "Tasks that wait in the queue of all workers", Some(queue))?;
    let busy = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
    counter(encoder, "tokio_busy_seconds", "Time that the workers spent on tasks, together", busy)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<impl EncodeGaugeValue>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

/// These files are made of the kernel's memory: reading them waits for no disk.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `VmRSS:      1234 kB` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let kibibytes: u64 = line_after(status, "VmRSS:")?.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The soft limit in `Max open files   20000   20000   files` of `/proc/self/limits`. None if there is no limit.
fn files_limit(limits: &str) -> Option<u64> {
    line_after(limits, "Max open files")?.split_whitespace().next()?.parse().ok()
}

/// Fields 14 (user time), 15 (system time) and 22 (start) of `/proc/self/stat`; proc(5). The second is the name in
/// parentheses, which may itself contain spaces and parentheses.
fn stat(stat: &str) -> Option<Stat> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let seconds = |field: usize| Some(fields.get(field - 3)?.parse::<u64>().ok()? as f64 / TICKS);
    Some(Stat { processor_time: seconds(14)? + seconds(15)?, started: seconds(22)? })
}

/// `btime` of `/proc/stat`: when the machine started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<f64> {
    first_number(line_after(stat, "btime ")?)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn line_after<'text>(text: &'text str, key: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

/// Of the kernel's clock in a second, as it shows them to processes: on every architecture that we build for (USER_HZ).
const TICKS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(resident_bytes("Name:\tvesta\nVmRSS:\t    2048 kB\nThreads:\t3\n"), Some(2 << 20));
        let limits = "Limit            Soft Limit  Hard Limit  Units\nMax open files   20000       30000       files\n";
        assert_eq!(files_limit(limits), Some(20_000));
        assert_eq!(files_limit("Max open files   unlimited   unlimited   files\n"), None);
        let odd_name = "7 (a) R 1 (b) S 1 7 7 0 -1 0 9 0 0 0 150 50 0 0 20 0 4 0 1234 0 0";
        assert_eq!(stat(odd_name), Some(Stat { processor_time: 2.0, started: 12.34 }));
        assert_eq!(boot_time("cpu 1 2 3\nbtime 1700000000\n"), Some(1_700_000_000.0));
        assert_eq!(stat(""), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_scrape_shows_the_process_under_the_usual_names() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::new()));
        let mut scraped = String::new();
        text::encode(&mut scraped, &registry).expect("encoded");
        let shown = |name: &str| {
            let line = line_after(&scraped, &format!("{name} "));
            line.and_then(first_number).unwrap_or_else(|| panic!("{name} in {scraped}"))
        };
        assert!(shown("process_resident_memory_bytes") > 0.0);
        assert!(shown("process_open_fds") > 2.0 && shown("process_open_fds") <= shown("process_max_fds"));
        assert!(shown("process_uptime_seconds") >= 0.0 && shown("process_cpu_seconds_total") >= 0.0);
        assert!(shown("process_start_time_seconds") > 1_700_000_000.0);
        assert_eq!(shown("tokio_workers"), 1.0);
        assert!(shown("tokio_busy_seconds_total") >= 0.0);
    }
}
