//! Values of conditions: numbers, sizes, dates and words out of what was written.

use super::Period;

/// A number with a fraction or without; `None` for anything else, infinity too.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| is_plain)?;
    // There is no -0 to be told from 0.
    number.is_finite().then_some(number + 0.0)
}

/// A number of bytes, with a unit or without: `5MB`, `1.5 GiB`.
pub(super) fn size(text: &str) -> Option<f64> {
    let unit_at = text.find(|char: char| char.is_ascii_alphabetic()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number(amount.trim_end())? * factor as f64;
    bytes.is_finite().then(|| bytes.round() + 0.0)
}

/// A date of any precision.
pub(super) fn date(text: &str) -> Option<Period> {
    Period::parse(text)
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in
            [("5", 5.0), ("-1.5", -1.5), ("+2", 2.0), ("1e3", 1000.0), (".5", 0.5)]
        {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "inf", "nan", "1e999", "0x10", "1_000", "٣", "5MB", "-", "e"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert!(number("-0").is_some_and(f64::is_sign_positive));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("5", 5.0),
            ("5MB", 5e6),
            ("300kb", 3e5),
            ("1.5 KiB", 1536.0),
            ("2TiB", 2_199_023_255_552.0),
        ] {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        for text in ["MB", "5XB", "5M B", "", "1e400MB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
