//! What figures are called, which come first, and how their values are written.

use serde_json::Value;

/// CPU of the server: the figure that moves least with the machine.
pub const CPU: &str = "server_cpu_seconds_per_100_000";

/// What a reader looks for first, with what it is called in a narrow table.
const HEADLINES: [(&str, &str); 12] = [
    (CPU, "CPU s per 100,000"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("p99_9_ms", "p99.9 ms"),
    ("acknowledged_p50_ms", "p50 ms acknowledged"),
    ("acknowledged_p99_ms", "p99 ms acknowledged"),
    ("start_p50_ms", "p50 ms at the start"),
    ("middle_p50_ms", "p50 ms in the middle"),
    ("end_p50_ms", "p50 ms at the end"),
    ("bytes_per_session", "bytes per session"),
    ("idle_cpu_percent", "idle CPU %"),
    ("lost", "lost"),
];

/// What is told only where there is any: what should not happen, and what is written.
const IF_ANY: [&str; 9] = [
    "disk_written_bytes_per_event",
    "doubled",
    "overtaken",
    "refused",
    "unsent",
    "unacknowledged",
    "not_resumed",
    "sessions_lost",
    "contacts_unseen",
];

/// Whether a figure belongs into the first table of a scenario: the others are for those who want to know more.
pub fn is_headline(name: &str) -> bool {
    let is_other_rate = ["own_", "server_", "idle_"].iter().any(|other| name.starts_with(other));
    HEADLINES.iter().any(|(known, _)| *known == name) || (name.ends_with("_per_second") && !is_other_rate)
}

/// Whether a figure belongs there, too, where it is not 0.
pub fn is_told_if_any(name: &str) -> bool {
    IF_ANY.contains(&name)
}

/// Name and value in words; bytes of memory in a unit that people know.
pub fn with_value(name: &str, value: &Value) -> String {
    const GIB: f64 = (1 << 30) as f64;
    match (name, value) {
        (_, Value::String(text)) => format!("{} {text}", title(name)),
        ("memory_bytes", value) => format!("memory {} GiB", format(value.as_f64().unwrap_or_default() / GIB)),
        (_, other) => format!("{} {other}", title(name)),
    }
}

/// A name for people.
pub fn title(name: &str) -> String {
    let known = HEADLINES.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.replace("100_000", "100,000").replace('_', " "), |(_, title)| (*title).to_owned())
}

/// A value with three digits that mean something, thousands set apart: `19,700`, `8.5`, `0.07`.
pub fn format(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        None => group_thousands(&text),
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            rest => format!("{whole}.{rest}"),
        },
    }
}

/// The same for the narrow margin of a drawing: `20 k`, `1.5 M`.
pub fn short(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{} M", format(value / 1e6)),
        1e4.. => format!("{} k", format(value / 1e3)),
        _ => format(value),
    }
}

fn group_thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_that_mean_something() {
        let values = [0.0, 0.0704, 8.5, 14.38, 168.4, 19_700.0, 1_234_567.8, -13.84, -1234.0, 100_000.0];
        let texts = ["0", "0.07", "8.5", "14.4", "168", "19,700", "1,234,568", "-13.8", "-1,234", "100,000"];
        assert_eq!(values.map(format), texts);
        assert_eq!([0.5, 5000.0, 20_000.0, 1.5e6].map(short), ["0.5", "5,000", "20 k", "1.5 M"]);
    }

    #[test]
    fn figures_have_names_for_people() {
        assert_eq!(title(CPU), "CPU s per 100,000");
        assert_eq!(title("own_cpu_seconds_per_100_000"), "own cpu seconds per 100,000");
        assert!(is_headline("messages_per_second") && is_headline("lost") && !is_headline("seconds"));
        assert_eq!(with_value("memory_bytes", &(3_u64 << 29).into()), "memory 1.5 GiB");
    }
}
