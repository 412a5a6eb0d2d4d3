//! What a row is, and how it is proved.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use crate::common::program::{json_lines, mmsearch, three_photos};
use crate::common::{Place, png_bomb};

/// A bad input and what must become of it.
pub(crate) struct Row {
    /// In the list of hazards.
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    /// What is done to the photos, the library or their surroundings before the call.
    pub(crate) set_up: fn(&Place),
    pub(crate) command: &'static [&'static str],
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Address space that the call may take, in megabytes.
    pub(crate) memory_mb: Option<u64>,
    pub(crate) code: i32,
    /// Each must be on one line of stderr, all its parts together. A row that fails says one line and no more.
    pub(crate) says: &'static [&'static [&'static str]],
    pub(crate) stdout: Stdout,
    /// Images that are found in the end, beside the three there were.
    pub(crate) n_added: usize,
}

/// What stdout must be.
pub(crate) enum Stdout {
    Nothing,
    /// So many lines of JSON.
    Json(usize),
    /// Lines of JSON.
    AnyJson,
}

/// `index` of a directory where all is well.
pub(crate) const INDEX: Row = Row {
    number: 0,
    name: "",
    set_up: |_| (),
    command: &["index", "photos"],
    environment: &[],
    memory_mb: None,
    code: 0,
    says: &[],
    stdout: Stdout::Nothing,
    n_added: 0,
};

/// A question that ends badly.
pub(crate) const QUERY: Row =
    Row { command: &["query", "--text", "red"], code: 2, says: &[&["mmsearch: "]], ..INDEX };

/// Proves rows, each in a place of its own, and says of all that fail.
pub(crate) fn prove(rows: &[Row]) {
    let failures: Vec<String> = rows.iter().filter_map(|row| failure(row).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn failure(row: &Row) -> Result<(), String> {
    let place = three_photos();
    let indexed = mmsearch(&place).args(["index", "photos"]).output().unwrap();
    assert!(indexed.status.success());
    (row.set_up)(&place);
    let output = call(&place, row);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = |what: &str| {
        let (code, signal) = (output.status.code(), output.status.signal());
        let stdout = String::from_utf8_lossy(&output.stdout);
        Err(format!(
            "row {}, {}: {what} (code {code:?}, signal {signal:?})\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
            row.number, row.name
        ))
    };
    if output.status.code() != Some(row.code) {
        return wrong(&format!("the code is not {}", row.code));
    }
    if ["panicked", "RUST_BACKTRACE", "stack backtrace", "this is a bug"]
        .iter()
        .any(|word| stderr.contains(word))
    {
        return wrong("it looks like a crash");
    }
    // Wrong usage that clap finds is told with a hint in further lines.
    let is_an_error = ![0, 1, 3].contains(&row.code);
    if is_an_error && stderr.starts_with("mmsearch: ") && stderr.lines().count() != 1 {
        return wrong("the error is not one line");
    }
    for parts in row.says {
        if !stderr.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            return wrong(&format!("no line says {parts:?}"));
        }
    }
    let n_lines = output.stdout.split(|&byte| byte == b'\n').count() - 1;
    match row.stdout {
        Stdout::Nothing if !output.stdout.is_empty() => return wrong("stdout is not empty"),
        Stdout::Json(n) if n != n_lines => return wrong(&format!("stdout has {n_lines} lines")),
        Stdout::Json(_) | Stdout::AnyJson => {
            json_lines(std::str::from_utf8(&output.stdout).unwrap());
        }
        Stdout::Nothing => {}
    }
    let found = images(&place);
    let kept = ["/red.png", "/green.png", "/deep/blue.png"];
    if !kept.iter().all(|name| found.iter().any(|path| path.ends_with(name))) {
        return wrong(&format!("what was indexed is lost; left are {found:?}"));
    }
    if found.len() != kept.len() + row.n_added {
        return wrong(&format!("found are {found:?}"));
    }
    let checked = mmsearch(&place).arg("check").output().unwrap();
    if !checked.status.success() {
        return wrong(&format!("check says {}", String::from_utf8_lossy(&checked.stdout)));
    }
    Ok(())
}

fn call(place: &Place, row: &Row) -> Output {
    let mut program = mmsearch(place);
    program.args(row.command).envs(row.environment.iter().copied());
    match row.memory_mb {
        None => program.output().unwrap(),
        Some(megabytes) => within(megabytes, &program).output().unwrap(),
    }
}

/// The same command with so much address space, of which each further arena of `malloc` would take 64 MB for nothing.
pub(crate) fn within(megabytes: u64, program: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    let limit = format!("ulimit -c 0; ulimit -v {}; exec \"$@\"", megabytes * 1024);
    shell.args(["-c", &limit, "sh"]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env_remove("HOME").env("MALLOC_ARENA_MAX", "1");
    shell.current_dir(program.get_current_dir().unwrap());
    shell
}

/// The paths of all images that can be found.
pub(crate) fn images(place: &Place) -> Vec<String> {
    let query = ["query", "--text", "red", "--all", "-k", "10000", "--json"];
    let output = mmsearch(place).args(query).output().unwrap();
    let lines = json_lines(std::str::from_utf8(&output.stdout).unwrap());
    lines.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

/// Writes a file of a name that need not be text.
pub(crate) fn write_named(place: &Place, name: &[u8], bytes: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    std::fs::write(place.photos().join(OsStr::from_bytes(name)), bytes).unwrap();
}

/// The table can fail: each of these rows is wrong in one thing.
#[test]
fn a_wrong_row_is_seen() {
    let bomb = || Row {
        name: "control",
        set_up: |place| drop(place.write("bomb.png", png_bomb())),
        code: 3,
        says: &[&["bomb.png: too large: 60000×60000"]],
        ..INDEX
    };
    assert_eq!(failure(&bomb()), Ok(()));
    for (wrong, said) in [
        (Row { code: 0, ..bomb() }, "the code is not 0"),
        (Row { says: &[&["bomb.png", "rotten"]], ..bomb() }, "no line says"),
        (Row { stdout: Stdout::Json(1), ..bomb() }, "stdout has 0 lines"),
        (Row { n_added: 1, ..bomb() }, "found are"),
        (Row { memory_mb: Some(20), ..bomb() }, "the code is not 3"),
        (Row { command: &["forget", "photos/red.png"], says: &[], code: 0, ..bomb() }, "is lost"),
    ] {
        let failed = failure(&wrong).unwrap_err();
        assert!(failed.contains(said), "{failed}");
    }
}
