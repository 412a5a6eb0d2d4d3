//! Forty bad inputs, a table: what is done to the library or its surroundings, what is called, how that must end.
//!
//! Every row begins with a library of three photos, and ends with `check` and with those three found. The errors are one line
//! each, stdout is nothing or what the row says, and nothing looks like a crash.
//!
//! The numbers are those of the list of hazards that the library is built against. Rows that need more than a table says (8, 9, 13,
//! 19, 27, 30, 35, 40) are tests of their own beside it. Rows that are not here are in another place: 23 to 25, files of models, in `tests/model.rs`, `tests/families.rs` and `encoder/checkpoint.rs`, which need libtorch;
//! 28, 29, 31 to 34 and 36, faults of the system and damaged files, in the loops of the torture tests, but for what can be seen
//! without a loop; 37, Ctrl-C, in `tests/cli.rs`; 38 and 39 are of a server, which there is not. Of 16, a file that is written to
//! while it is read has no moment that a test could meet from outside; the test in `media/open.rs` changes it in between.
//!
//! Only without libtorch: a program that links it does not start within the memory that some rows leave.
#![cfg(all(feature = "cli", not(feature = "torch")))]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod catalogs;
mod decoders;
mod encoders;
mod files;
mod forgotten;
mod made;
mod names;
mod places;
mod table;
