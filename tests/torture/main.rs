//! Faults on purpose: kill -9, power cuts, full disks, a disk's errors, processes that are stuck. Afterwards nothing that was
//! reported may be lost, every query must answer, and the next run must end where an undisturbed one does.
//!
//! Each loop has a control that loses something or fails, so that it is known that it could. `cargo test` takes a sample of
//! all places where something can go wrong; with `MMSEARCH_TORTURE=1` (`make torture`) it takes every one.
//! `MMSEARCH_TORTURE_SEED` chooses the sample, and messages of failures name it.
#![cfg(all(feature = "cli", not(feature = "torch"), target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "its child is a program"
)]

#[path = "../common/mod.rs"]
mod common;

mod child;
mod errors;
mod ext4;
mod faults;
mod full;
mod keeping;
mod kill;
mod mending;
mod network;
mod network_fs;
mod power;
mod sample;
mod scene;
mod shadow;
mod together;
mod verbs;
mod victim;
