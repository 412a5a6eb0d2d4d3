//! Where a page of hits ends, so that the next one can begin there.
//!
//! Hits are in the order of their value, which falls, and then of their ids. A cursor names a hit by both, and not by its
//! number. Values of meaning alone are scores: what is added or forgotten meanwhile neither repeats a hit nor skips one. Where
//! words take part, values are made of ranks: one more or one less above the cursor moves those behind it by a place.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::item::ItemId;

/// The place of a hit among all that answer a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cursor {
    /// What hits are ordered by.
    pub(crate) value: f32,
    pub(crate) id: ItemId,
    /// How many hits were shown, this one included: so many more are looked for.
    pub(crate) n_shown: u32,
    /// Which query it belongs to; the lowest bit is set if values are made of ranks.
    pub(crate) query: u32,
}

impl Cursor {
    /// Whether a hit comes behind it.
    pub(crate) fn is_before(&self, value: f32, id: ItemId) -> bool {
        value.total_cmp(&self.value).is_lt() || value.total_cmp(&self.value).is_eq() && id > self.id
    }
}

impl fmt::Display for Cursor {
    /// Letters and digits, without meaning to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, id, n_shown, query } = self;
        write!(f, "{:08x}{n_shown:x}x{:x}x{query:08x}", value.to_bits(), id.0)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (value, rest) = text.split_at_checked(8)?;
            let [n_shown, id, query] = *rest.split('x').collect::<Vec<_>>().as_slice() else {
                return None;
            };
            let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
            Some(Self {
                value: f32::from_bits(number(value)?),
                id: ItemId(i64::from_str_radix(id, 16).ok()?),
                n_shown: number(n_shown)?,
                query: number(query)?,
            })
        };
        let reason = || format!("{text:?} is no cursor; take the one that an earlier page gave");
        // Only the text that is written reads as a cursor.
        parse()
            .filter(|cursor| cursor.to_string() == text)
            .ok_or_else(|| Error::BadQuery { reason: reason() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_behind() {
        let cursor = Cursor { value: 0.5, id: ItemId(7), n_shown: 1, query: 0 };
        assert!(cursor.is_before(0.4, ItemId(1)) && cursor.is_before(0.5, ItemId(8)));
        assert!(!cursor.is_before(0.5, ItemId(7)) && !cursor.is_before(0.6, ItemId(9)));
    }

    #[test]
    fn what_is_no_cursor() {
        let text = Cursor { value: 0.5, id: ItemId(7), n_shown: 10, query: 99 }.to_string();
        assert!(text.parse::<Cursor>().is_ok());
        for bad in ["", "x", "3f000000", "ä", &text[1..], &format!("{text}0"), &text.to_uppercase()]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(value in any::<f32>(), id in 0..=i64::MAX, n_shown: u32, query: u32) {
            let cursor = Cursor { value, id: ItemId(id), n_shown, query };
            let read: Cursor = cursor.to_string().parse().unwrap();
            prop_assert_eq!(read.value.to_bits(), value.to_bits());
            prop_assert_eq!((read.id, read.n_shown, read.query), (cursor.id, n_shown, query));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }
}
