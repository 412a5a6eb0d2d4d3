//! A date that may be as short as a year: the time from its beginning to its end.

use std::fmt;

/// A year, month, day, hour, minute or second, as people write it: `2024-05`, `2024-05-31T18:02`.
///
/// Two texts of local time compare as their times do, because each part has a fixed width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period(String);

/// How many characters each precision has, and in which place a part ends there.
const LENGTHS: [usize; 6] = [4, 7, 10, 13, 16, 19];

/// Greater than every character of a date, so that a prefix and this follows all that begin with the prefix.
const AFTER: char = '~';

impl Period {
    /// Reads a date of any of the six precisions; `None` if it is none, or not in the calendar.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replacen([' ', 't'], "T", 1);
        if !LENGTHS.contains(&text.len()) || !text.is_ascii() {
            return None;
        }
        let is_right = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if !text.bytes().enumerate().all(is_right) {
            return None;
        }
        let period = Self(text);
        let [year, month, day, hour, minute, second] = period.parts();
        let is_real = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        is_real.then_some(period)
    }

    /// The first text of local time that is in it.
    pub(crate) fn start_text(&self) -> String {
        self.0.clone()
    }

    /// A text that is greater than all in it, and smaller than all after it.
    pub(crate) fn end_text(&self) -> String {
        format!("{}{AFTER}", self.0)
    }

    /// Its beginning in nanoseconds since 1970 in UTC; the nearest there is for years that have none.
    pub(crate) fn start_ns(&self) -> i64 {
        nanoseconds(self.parts(), 0)
    }

    /// The first nanosecond after it.
    pub(crate) fn end_ns(&self) -> i64 {
        let [mut year, mut month, ..] = self.parts();
        let mut parts = self.parts();
        match self.0.len() {
            4 => year += 1,
            7 if month == 12 => (year, month) = (year + 1, 1),
            7 => month += 1,
            10 => return nanoseconds(parts, 86_400),
            13 => return nanoseconds(parts, 3_600),
            16 => return nanoseconds(parts, 60),
            _ => return nanoseconds(parts, 1),
        }
        (parts[0], parts[1]) = (year, month);
        nanoseconds(parts, 0)
    }

    /// Year, month, day, hour, minute and second; what is not said is the first.
    fn parts(&self) -> [i64; 6] {
        let mut parts = [0, 1, 1, 0, 0, 0];
        for (part, length) in parts.iter_mut().zip(LENGTHS) {
            if length <= self.0.len() {
                let start = if length == 4 { 0 } else { length - 2 };
                *part = self.0[start..length].parse().expect("only digits pass `parse`");
            }
        }
        parts
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn nanoseconds([year, month, day, hour, minute, second]: [i64; 6], more_s: i64) -> i64 {
    let days = days_before(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second + more_s;
    seconds.saturating_mul(1_000_000_000)
}

/// Days from 1970-01-01, by Howard Hinnant's `days_from_civil` (chrono-compatible low-level date algorithms).
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_before(next_year, next, 1) - days_before(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_and_end() {
        const SECOND: i64 = 1_000_000_000;
        let check = |text: &str, start: i64, end: i64| {
            let period = Period::parse(text).unwrap();
            assert_eq!(
                (period.start_ns(), period.end_ns()),
                (start * SECOND, end * SECOND),
                "{text}"
            );
        };
        // The numbers are those of `date -u +%s`.
        check("1970", 0, 31_536_000);
        check("1969-12", -2_678_400, 0);
        check("2024-02", 1_706_745_600, 1_709_251_200);
        check("2024-12", 1_733_011_200, 1_735_689_600);
        check("2024-05-31", 1_717_113_600, 1_717_200_000);
        check("2024-05-31T18", 1_717_178_400, 1_717_182_000);
        check("2024-05-31 18:02", 1_717_178_520, 1_717_178_580);
        check("2024-05-31t18:02:11", 1_717_178_531, 1_717_178_532);
    }

    #[test]
    fn years_without_nanoseconds_saturate() {
        let ns = |text: &str| Period::parse(text).unwrap().start_ns();
        assert_eq!((ns("0000"), ns("9999")), (i64::MIN, i64::MAX));
        assert!(Period::parse("9999-12-31T23:59:59").unwrap().end_ns() == i64::MAX);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "24",
            "20245",
            "2024-5",
            "2024-13",
            "2024-00",
            "2024-02-30",
            "2023-02-29",
            "2024-05-31T24",
            "2024-05-31T23:60",
            "2024/05",
            "2024-05-3a",
            "２０２４",
            "2024-05-31T18:02:11Z",
            "+024",
        ] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
        assert!(Period::parse("2024-02-29").is_some());
    }

    #[test]
    fn texts_compare_as_times_do() {
        let may = Period::parse("2024-05").unwrap();
        let inside =
            |text: &str| text >= may.start_text().as_str() && text < may.end_text().as_str();
        assert!(inside("2024-05-01T00:00:00") && inside("2024-05-31T23:59:59"));
        assert!(!inside("2024-04-30T23:59:59") && !inside("2024-06-01T00:00:00"));
    }
}
