//! Rows of the catalog with values that their checksums do not contradict: read or refused, and written back as they were read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mmsearch::fuzzing::read_rows(bytes));
