//! Durations and sizes as people write them: `30 s`, `256 KiB`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration: a number and `ms`, `s`, `min`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

/// A size: a number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

const PERIODS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Splits `30 s` into number and unit, and multiplies.
fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let wrong = || {
        let names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
        format!("{text:?} is not a whole number with a unit ({})", names.join(", "))
    };
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

/// The greatest unit that divides the number.
fn format(number: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| number > 0 && number.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    format!("{} {name}", number / factor)
}

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl TryFrom<String> for Period {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse(&text, PERIODS).map(|milliseconds| Self(Duration::from_millis(milliseconds)))
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        format(period.0.as_millis() as u64, PERIODS)
    }
}

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse(&text, SIZES).map(Self)
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        format(size.0, SIZES)
    }
}

macro_rules! textual_schema {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}

textual_schema!(Period);
textual_schema!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_written_with_units() {
        for (text, milliseconds) in [("250 ms", 250), ("30s", 30_000), ("5 min", 300_000), ("2 d", 172_800_000)] {
            let period = Period::try_from(text.to_owned()).expect("a period");
            assert_eq!(period.0, Duration::from_millis(milliseconds));
            assert_eq!(Period::try_from(String::from(period)), Ok(period));
        }
        assert_eq!(String::from(Size(256 * 1024)), "256 KiB");
        assert_eq!(String::from(Size(10_000)), "10000 B");
        assert_eq!(Size::try_from("10000 B".to_owned()), Ok(Size(10_000)));
    }

    #[test]
    fn what_has_no_unit_is_refused_with_the_units() {
        let error = Period::try_from("30".to_owned()).expect_err("no unit");
        assert!(error.contains("ms, s, min, h, d"), "{error}");
        assert!(Size::try_from("99999999999999999999 GiB".to_owned()).is_err());
        assert!(Size::try_from("-1 B".to_owned()).is_err());
    }
}
