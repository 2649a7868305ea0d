//! XEP-0082: XMPP Date and Time Profiles (version 1.1.1), the profile DateTime of §3.2, and time zones of §3.1.
//!
//! Instants are milliseconds, so that no clock and no calendar crate is needed; the calendar is the proleptic Gregorian one.

use std::fmt;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DateTime(pub i64);

const DAY_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const SECOND_MS: i64 = 1000;
/// 9999-12-31T23:59:59.999Z: what four digits of a year can say.
const LAST_MS: i64 = 253_402_300_799_999;
/// 0000-01-01T00:00:00Z.
const FIRST_MS: i64 = -62_167_219_200_000;

impl DateTime {
    /// From milliseconds since 1970, as clocks give them.
    pub fn from_unix_ms(milliseconds: u64) -> Self {
        Self(i64::try_from(milliseconds).unwrap_or(LAST_MS))
    }

    /// Reads `CCYY-MM-DDThh:mm:ss[.sss]TZD`; digits behind the millisecond are dropped. `None`: not of that profile, or a day
    /// or hour that does not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once('T')?;
        let zone_at = rest.find(['Z', '+', '-'])?;
        let (time, zone) = rest.split_at(zone_at);
        let utc = date_ms(date)? + time_ms(time)? - i64::from(parse_offset(zone)?) * MINUTE_MS;
        Some(Self(utc))
    }
}

impl fmt::Display for DateTime {
    /// In UTC, with milliseconds where they are not zero. Instants outside the years 0 to 9999 are written as the nearest inside.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = self.0.clamp(FIRST_MS, LAST_MS);
        let (year, month, day) = civil_from_days(instant.div_euclid(DAY_MS));
        let of_day = instant.rem_euclid(DAY_MS);
        let (hour, minute) = (of_day / HOUR_MS, of_day / MINUTE_MS % 60);
        let (second, millisecond) = (of_day / SECOND_MS % 60, of_day % SECOND_MS);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if millisecond != 0 {
            write!(formatter, ".{millisecond:03}")?;
        }
        formatter.write_str("Z")
    }
}

/// Reads a time zone definition, `Z`, `+hh:mm` or `-hh:mm`, as minutes east of UTC.
pub fn parse_offset(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes) as i16)
}

/// Writes minutes east of UTC as a time zone definition; 0 is `+00:00`.
pub fn format_offset(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `CCYY-MM-DD` as milliseconds since 1970.
fn date_ms(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let days = days_from_civil(year, month, day);
    // A day that does not exist comes back as another one.
    (civil_from_days(days) == (year, month, day)).then_some(days * DAY_MS)
}

/// `hh:mm:ss[.s…]` as milliseconds of the day.
fn time_ms(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction_ms(fraction)?),
        None => (text, 0),
    };
    let mut parts = whole.splitn(3, ':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let exists = hour < 24 && minute < 60 && second < 60;
    exists.then_some(hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + fraction)
}

fn fraction_ms(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.bytes().chain(*b"00").take(3).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')))
}

/// Exactly `count` ASCII digits as a number.
fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day ends them; an era is 400 years, 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_written_and_read() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_031_699_305_000, "2002-09-10T23:08:25Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (-1_000, "1969-12-31T23:59:59Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (FIRST_MS, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(DateTime(milliseconds).to_string(), text);
            assert_eq!(DateTime::parse(text), Some(DateTime(milliseconds)), "{text}");
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_survives_the_calendar() {
        for days in (FIRST_MS / DAY_MS)..=(LAST_MS / DAY_MS) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn zones_and_fractions_are_taken_into_account() {
        // The two writings of one instant in XEP-0082 §3.2.
        assert_eq!(DateTime::parse("1969-07-21T02:56:15Z"), DateTime::parse("1969-07-20T21:56:15-05:00"));
        assert_eq!(DateTime::parse("1970-01-01T00:00:00.1234567Z"), Some(DateTime(123)));
        assert_eq!(DateTime::parse("1970-01-01T00:00:00.5Z"), Some(DateTime(500)));
    }

    #[test]
    fn what_is_not_of_the_profile_is_refused() {
        for text in [
            "",
            "T",
            "2002-09-10",
            "2002-09-10T23:08:25",
            "2002-09-10 23:08:25Z",
            "2001-02-29T00:00:00Z",
            "2002-13-01T00:00:00Z",
            "2002-00-01T00:00:00Z",
            "2002-09-10T24:00:00Z",
            "2002-09-10T23:60:00Z",
            "2002-09-10T23:08:25.Z",
            "2002-09-10T23:08:25.xZ",
            "2002-9-10T23:08:25Z",
            "+002-09-10T23:08:25Z",
            "2002-09-10T23:08:25+1:00",
            "2002-09-10T23:08:25+15:00",
            "2002-09-10T23:08:25Zé",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_are_written_as_they_are_read() {
        for minutes in [0, 60, -360, 345, -570, 840] {
            assert_eq!(parse_offset(&format_offset(minutes)), Some(minutes));
        }
        assert_eq!(format_offset(-570), "-09:30");
    }
}
