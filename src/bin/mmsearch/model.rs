//! From the name of a model to an encoder.

use std::env::var_os;

use anyhow::Result;
use mmsearch::Error;
use mmsearch::encoder::{Encoder, FakeEncoder};

/// The encoder of `--model`, or the default one.
pub(crate) fn load_encoder(model: Option<&str>) -> Result<Box<dyn Encoder>> {
    if let Some(name) = var_os("MMSEARCH_FAKE_ENCODER") {
        return Ok(match name.to_str() {
            Some("1") => Box::new(FakeEncoder::default()),
            Some(name) => Box::new(FakeEncoder::new(name)),
            None => Box::new(FakeEncoder::default()),
        });
    }
    let path = model.unwrap_or("default").into();
    Err(Error::BadModel { path, reason: "there is no model in this build".into() }.into())
}
