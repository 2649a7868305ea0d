//! What is logged to stderr, and how: one line an event, for people or as a JSON object.
//!
//! Addresses, names and error texts of peers end up in log lines. An event must stay one line and must not drive a
//! terminal, whatever they contain (threat T60): control characters and those that reorder text are written as
//! escapes. For people that is done to the fields of events and spans, where all such text comes in, so that the line
//! can still be coloured; JSON, which would let some of them through, is escaped as a finished line.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use tracing::{Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, LevelFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::settings::LogFormat;

/// The directives of `telemetry.log`, without the exporter's own complaints: each attempt would make one, where
/// [`super::signal`] says once what an operator must know.
pub(super) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let quiet = "opentelemetry=off".parse().expect("a directive");
    Ok(EnvFilter::builder().parse(directives)?.add_directive(quiet))
}

/// The events that [`filter`] lets through and `wanted` wants. Spans are made for traces alone: where no receiver of them is set,
/// one costs as much as a comparison.
pub(super) fn events<S>(
    directives: &str,
    wanted: fn(&Metadata<'_>) -> bool,
) -> Result<impl Filter<S> + Send + Sync + use<S>, ParseError> {
    let wanted = filter_fn(move |metadata| metadata.is_event() && wanted(metadata));
    // It asks for less in some levels, not for fewer levels.
    Ok(FilterExt::<S>::and(filter(directives)?, wanted.with_max_level_hint(LevelFilter::TRACE)))
}

/// The layer that writes events to `writer`, in colour if `colours` and the format is for people.
pub(super) fn layer<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer();
    match format {
        LogFormat::Human => {
            let fields = HarmlessFields(DefaultFields::new());
            Box::new(layer.fmt_fields(fields).with_ansi(colours).with_writer(writer))
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            Box::new(layer.with_writer(HarmlessLines(writer)))
        }
    }
}

/// The usual `name=value`, escaped.
struct HarmlessFields(DefaultFields);

impl<'writer> FormatFields<'writer> for HarmlessFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        self.0.format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&escape(&text))
    }
}

/// A writer of escaped lines.
struct HarmlessLines<W>(W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for HarmlessLines<W> {
    type Writer = HarmlessLines<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        HarmlessLines(self.0.make_writer())
    }
}

impl<W: Write> Write for HarmlessLines<W> {
    /// Takes a whole event, as the formatter hands it over, and writes it at once: lines of threads don't mix.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = escape(text.strip_suffix('\n').unwrap_or(&text));
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with nothing in it that a terminal or a reader of lines would obey. The escapes are JSON's, so that a JSON
/// object still says the same.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if is_obeyed(character) => {
                write!(escaped, "\\u{:04x}", u32::from(character)).expect("a string takes everything");
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Control characters, line and paragraph separators, and what changes the direction of text (Unicode UAX #9).
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::tests::Lines;

    /// What a peer might call itself to put a line of its own into the log.
    const FORGED: &str =
        "romeo\n2026-01-01T00:00:00Z ERROR vesta: all is lost\r\u{1b}[2J\u{85}\u{9b}2J\u{202e}\u{2028}é";

    /// Logs one event about [`FORGED`] in a span about it, and returns what was written.
    fn written(format: LogFormat, colours: bool) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(filter("info").expect("a filter")).with(layer(
            format,
            lines.clone(),
            colours,
        ));
        tracing::subscriber::with_default(subscriber, || {
            let _entered = tracing::info_span!("stream", peer = %FORGED).entered();
            tracing::info!(jid = %FORGED, count = 7, name = FORGED, "refused {FORGED}");
            tracing::error!(target: "opentelemetry-otlp", "an attempt failed");
        });
        lines.text()
    }

    fn assert_one_harmless_line(output: &str, allowed: &str) {
        let line = output.strip_suffix('\n').expect("the line is ended");
        let obeyed: Vec<_> = line.chars().filter(|&c| is_obeyed(c) && !allowed.contains(c)).collect();
        assert!(obeyed.is_empty(), "{obeyed:?} in {line:?}");
    }

    #[test]
    fn a_peer_can_not_forge_a_line_for_people() {
        let output = written(LogFormat::Human, false);
        assert_one_harmless_line(&output, "");
        assert!(output.contains("refused romeo\\n2026") && output.contains('é'), "{output}");
    }

    #[test]
    fn colours_are_the_formatters_own() {
        let output = written(LogFormat::Human, true);
        assert_one_harmless_line(&output, "\u{1b}");
        assert!(output.contains("\u{1b}[") && !output.contains("\u{1b}[2J"), "{output}");
    }

    #[test]
    fn json_carries_fields_flat_and_harmless() {
        let output = written(LogFormat::Json, true);
        assert_one_harmless_line(&output, "");
        let object: serde_json::Value = serde_json::from_str(&output).expect("one JSON object");
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["message"], format!("refused {FORGED}"));
        assert_eq!(object["jid"], FORGED);
        assert_eq!(object["count"], 7);
        assert_eq!(object["span"]["peer"], FORGED);
    }
}
