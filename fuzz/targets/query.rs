//! What people type: terms, conditions and cursors are understood or refused, and a condition that is written out is read as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmsearch::{Condition, Cursor, compact};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = compact::parse(text);
    if let Ok(condition) = Condition::parse(text) {
        let written = condition.to_string();
        let again = Condition::parse(&written);
        assert!(again.is_ok_and(|again| again == condition), "{written}");
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
});
