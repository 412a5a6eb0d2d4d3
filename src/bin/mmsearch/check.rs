//! `mmsearch check`.

use anyhow::Result;
use serde::Serialize;

use crate::cli::{CheckArgs, Cli};
use crate::exit::{Exit, tell};
use crate::output::{Output, escaped_text};
use crate::place;

/// Something that is damaged, in JSON.
#[derive(Serialize)]
struct FindingLine<'a> {
    place: &'a str,
    reason: &'a str,
}

pub(crate) fn run(cli: &Cli, arguments: &CheckArgs) -> Result<Exit> {
    let findings = place::open(cli)?.check()?;
    let mut output = Output::new();
    for finding in &findings {
        match arguments.json {
            true => output.json(&FindingLine { place: &finding.place, reason: &finding.reason })?,
            false => output.line(&escaped_text(&finding.to_string()))?,
        }
    }
    output.flush()?;
    if findings.is_empty() {
        tell("all is well");
        return Ok(Exit::Done);
    }
    Ok(Exit::Corrupt)
}
