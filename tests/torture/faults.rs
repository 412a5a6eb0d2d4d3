//! The faults of `faults.c`, compiled once, and what it counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// `REPORT_SIZE` in `faults.c`.
const REPORT_SIZE: usize = 4096;

pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EIO: i32 = 5;
pub(crate) const EMFILE: i32 = 24;

/// What is done to a program, at which of its calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Kinds of calls that are counted; all that change something if it is `None`.
    pub(crate) kinds: Option<&'static str>,
    /// The number of the call, from 1; nothing is done at 0.
    pub(crate) at: u64,
    /// `kill`, `stop`, `fail`, `fail-on`, `short`.
    pub(crate) action: &'static str,
    pub(crate) errno: i32,
    /// Files whose names end so are never synced, though the program believes it.
    pub(crate) nosync: Option<&'static str>,
    /// The file system that the library claims to be on, by its number; the real one if it is 0.
    pub(crate) fs_type: u32,
}

impl Fault {
    /// Calls are counted, and nothing is done to them.
    pub(crate) const NONE: Self =
        Self { kinds: None, at: 0, action: "", errno: 0, nosync: None, fs_type: 0 };
}

/// A directory that notes what a program does.
pub(crate) struct Watch {
    dir: TempDir,
}

/// What was noted.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) n_calls: u64,
    pub(crate) n_fired: u64,
    pub(crate) n_connects: u64,
    /// The first call to which something was done, as its kind and its path.
    pub(crate) fired: String,
    /// Every counted call, likewise.
    pub(crate) calls: Vec<String>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir_in(memory()).unwrap() }
    }

    /// Has the program that `command` will start meet a fault in the library `library`.
    pub(crate) fn arm(&self, command: &mut Command, library: &Path, fault: Fault) {
        let (report, log) = (self.dir.path().join("report"), self.dir.path().join("log"));
        fs::write(&report, [0; REPORT_SIZE]).unwrap();
        fs::write(&log, "").unwrap();
        command.env("LD_PRELOAD", shim()).env("FAULT_DIR", library);
        command.env("FAULT_REPORT", report).env("FAULT_LOG", log);
        command.env("FAULT_AT", fault.at.to_string()).env("FAULT_DO", fault.action);
        command.env("FAULT_ERRNO", fault.errno.to_string());
        command.env("FAULT_STATFS", fault.fs_type.to_string());
        command.envs(fault.kinds.map(|kinds| ("FAULT_KINDS", kinds)));
        command.envs(fault.nosync.map(|names| ("FAULT_NOSYNC", names)));
    }

    /// The same, keeping what a disk would be sure to have.
    pub(crate) fn arm_with_shadow(&self, command: &mut Command, library: &Path, fault: Fault) {
        self.arm(command, library, fault);
        let shadow = self.shadow();
        if shadow.exists() {
            fs::remove_dir_all(&shadow).unwrap();
        }
        fs::create_dir(&shadow).unwrap();
        command.env("FAULT_SHADOW", shadow);
    }

    pub(crate) fn shadow(&self) -> PathBuf {
        self.dir.path().join("shadow")
    }

    pub(crate) fn report(&self) -> Report {
        let bytes = fs::read(self.dir.path().join("report")).unwrap();
        let number = |i: usize| u64::from_ne_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap());
        let text = bytes[24..].split(|&byte| byte == 0).next().unwrap();
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        Report {
            n_calls: number(0),
            n_fired: number(1),
            n_connects: number(2),
            fired: String::from_utf8(text.to_vec()).unwrap(),
            calls: log.lines().map(str::to_owned).collect(),
        }
    }
}

/// Where files are memory, so that syncing costs nothing: a killed process does not lose what it wrote there either.
pub(crate) fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// `faults.c` as a library.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/faults.c");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (new, path) =
            (dir.join(format!("faults-{}.so", std::process::id())), dir.join("faults.so"));
        let mut command = Command::new("cc");
        command
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&new)
            .arg(source);
        assert!(command.status().expect("a C compiler").success(), "faults.c does not compile");
        // Another run of the tests may be using the old one.
        fs::rename(&new, &path).unwrap();
        path
    })
}
