//! Tells the linker where libtorch lies, so that what is built here runs without `LD_LIBRARY_PATH`.
//!
//! torch-sys knows the place and hands it to its direct dependents only; this script sets the rpath of our own
//! programs and passes the place on as `DEP_MMSEARCH_LIBTORCH_LIB` to the build script of an app.
#![allow(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]

use std::env;

#[allow(
    clippy::disallowed_methods,
    reason = "cargo talks to build scripts through the environment"
)]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:libtorch_lib={lib}");
    let origin = if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") {
        "@executable_path"
    } else {
        "$ORIGIN"
    };
    // The installed layout first (the encoder lies in PREFIX/lib/mmsearch with its libraries), then the place of the build.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}/../lib/mmsearch");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
