//! Pictures in formats that are not decoded here, by a program that the user names, in a process of its own.
//!
//! Decoders of HEIC, AVIF, JPEG XL and camera raw are large programs that were broken by small files before. None is linked; one
//! runs only where the user asks for it, has its time, memory and output bounded, and gives a file of a format that is
//! decoded here, within the same limits as any other. Whatever becomes of it costs one picture.
//!
//! Which program decodes a picture is no part of a model's fingerprint: it is the reading machine's, like the pixels of a camera
//! raw are its program's. Another program may give pixels that differ a little, and with them vectors.
//!
//! This bounds accidents, not malice: what takes such a program over may do what its user may. Who fears that wraps the command
//! into a sandbox.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::decode::{caught, decode_upright, foreign, is_known};
use super::exif::ExifFacts;
use super::{Decoded, Kind, Limits, Words, decode, kind_of_name, open_regular, read_regular};
use crate::error::{Error, Result};
use crate::pixels::Detail;

/// How long a picture may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much time of processors a process may take, in seconds: a decoder has several threads, and one that got away from its
/// group must end too.
const MAX_CPU_S: u64 = 30;

/// Address space that a process may take beside that of the picture; libraries and stacks of threads are most of it.
const PROGRAM_BYTES: u64 = 1 << 30;

/// Where the picture is, in a word of a command.
const INPUT: &str = "{input}";
/// Where it shall be put.
const OUTPUT: &str = "{output}";

/// Begins the reason of a failure that another run may not have, since it may have another decoder.
const NO_DECODER: &str = "no decoder for ";

/// Longest reason that is taken from a program.
const MAX_SAID_BYTES: u64 = 200;

/// Places that are tried for a directory; others may have taken the names.
const MAX_SCRATCH_TRIES: u32 = 1_000;

/// A limit that cannot be set is lower already, or not known to the system. What the user has set for us is no business of the
/// decoder, but for where programs are and what language they speak. `env` ends with 126 or 127 if it cannot start one.
const LIMITED: &str = r#"
limit() { ulimit "$@" 2>/dev/null || :; }
limit -c 0; limit -t "$1"; limit -f "$2"; limit -v "$3"; shift 3
exec env -i PATH="$PATH" LANG="${LANG-C}" HOME="$PWD" TMPDIR="$PWD" "$@"
"#;

/// A program that turns a file which is not decoded here into one that is.
///
/// ```
/// use std::path::Path;
/// use mmsearch::media::ExternalDecoder;
///
/// assert!(ExternalDecoder::new("heif-dec", Path::new("/tmp")).is_ok());
/// assert!(ExternalDecoder::new("dcraw -c -w {input}", Path::new("/tmp")).is_ok());
/// assert!(ExternalDecoder::new(" ", Path::new("/tmp")).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalDecoder {
    words: Vec<String>,
    /// Where its files are made, each in a directory of its own.
    scratch: PathBuf,
    timeout: Duration,
}

impl ExternalDecoder {
    /// A command of words between spaces; no shell reads it. `{input}` stands for the file with the picture, `{output}` for a
    /// file `….png` that is to be written; without `{output}` the picture is taken from standard output. Without either, both
    /// follow the last word, as `heif-dec`, `avifdec`, `djxl` and ImageMagick want it. The picture must come out upright, in
    /// any format that is decoded here.
    ///
    /// `scratch` is a directory for temporary files; each picture has one of its own there, for its owner only, which is gone
    /// afterwards. The program is looked for as a shell would, and runs with `PATH` and `LANG` as its only environment.
    ///
    /// # Errors
    /// [`Error::BadOption`] if there is no command, or one with `{output}` and without `{input}`.
    pub fn new(command: &str, scratch: &Path) -> Result<Self> {
        let mut words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let has = |name: &str| words.iter().any(|word| word.contains(name));
        let bad = |reason: &str| {
            Err(Error::BadOption { reason: format!("external decoder `{command}`: {reason}") })
        };
        match (has(INPUT), has(OUTPUT)) {
            _ if words.is_empty() => return bad("there is no command"),
            (false, true) => return bad("{output} is there and {input} is not"),
            (false, false) => words.extend([INPUT.into(), OUTPUT.into()]),
            (true, _) => {}
        }
        Ok(Self { words, scratch: scratch.into(), timeout: TIMEOUT })
    }

    /// The picture in another format, or the reason why there is none.
    fn convert(&self, bytes: &[u8], format: &Format, limits: &Limits) -> Answer<Vec<u8>> {
        let dir = Scratch::make(&self.scratch)?;
        let input = dir.path(&format!("input.{}", format.extension));
        fs::write(&input, bytes).map_err(|error| cannot("write a temporary file", &error))?;
        let output = dir.path("output.png");
        let (stdout, stderr) = (dir.path("stdout"), dir.path("stderr"));
        let create =
            |path| File::create(path).map_err(|error| cannot("write a temporary file", &error));
        let mut command = self.command(&dir.0, [&input, &output], limits);
        command.stdout(create(&stdout)?).stderr(create(&stderr)?);
        self.run(command, &stderr, format)?;
        let has_output = self.words.iter().any(|word| word.contains(OUTPUT));
        let result = if has_output { output } else { stdout };
        match read_regular(&result, limits) {
            Ok((bytes, _)) if !bytes.is_empty() => Ok(bytes),
            Ok(_) | Err(Error::Io { .. }) => Err(self.says("wrote no picture")),
            Err(Error::BadImage { reason, .. } | Error::BadInput { reason, .. }) => {
                Err(self.says(&format!("wrote a file that is not read: {reason}")))
            }
            Err(error) => Err(self.says(&error.to_string())),
        }
    }

    fn command(&self, dir: &Path, [input, output]: [&Path; 2], limits: &Limits) -> Command {
        // In blocks of 512 bytes, kilobytes and seconds, as `ulimit` wants them.
        let file_blocks = limits.max_file_bytes.div_ceil(512);
        let memory_kb = (PROGRAM_BYTES + limits.max_pixels.saturating_mul(16)) / 1024;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LIMITED, "sh"]);
        command.args([MAX_CPU_S, file_blocks, memory_kb].map(|limit| limit.to_string()));
        for word in &self.words {
            let input = word.replace(INPUT, &input.to_string_lossy());
            command.arg(input.replace(OUTPUT, &output.to_string_lossy()));
        }
        // What it starts is in its group, and is ended with it.
        command.stdin(Stdio::null()).current_dir(dir).process_group(0);
        command
    }

    fn run(&self, mut command: Command, stderr: &Path, format: &Format) -> Answer<()> {
        let child = command.spawn().map_err(|error| cannot("start a shell", &error))?;
        match ended(child, self.timeout)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failure(status, stderr, format)),
            None => {
                let seconds = self.timeout.as_secs_f32();
                Err(self.says(&format!("took longer than {seconds} s")))
            }
        }
    }

    fn failure(&self, status: ExitStatus, stderr: &Path, format: &Format) -> String {
        match (status.code(), status.signal()) {
            (Some(126 | 127), _) => {
                format!("{}; `{}` cannot be started", no_decoder(format.name), self.name())
            }
            (_, Some(libc::SIGXFSZ)) => self.says("wrote more than a file may have"),
            (_, Some(libc::SIGXCPU)) => self.says("took too much time"),
            (_, Some(signal)) => self.says(&format!("ended by signal {signal}")),
            (_, None) => {
                let said = first_line(stderr);
                let colon = if said.is_empty() { "" } else { ": " };
                self.says(&format!("failed ({status}){colon}{said}"))
            }
        }
    }

    fn says(&self, what: &str) -> String {
        format!("the external decoder `{}` {what}", self.name())
    }

    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// Decodes the content of a file; by `external` if that is not done here.
///
/// What the content is decides, not the name; but camera raw is mostly TIFF with a thumbnail in front, so that there the
/// name says which it is.
///
/// # Errors
/// The reason in one line, lower case, without the name of the file.
pub fn decode_file(
    path: &Path,
    bytes: &[u8],
    limits: &Limits,
    detail: Detail,
    external: Option<&ExternalDecoder>,
) -> std::result::Result<Decoded, String> {
    let (Some(external), Some(format)) = (external, Format::of(path, bytes)) else {
        return decode(bytes, limits, detail);
    };
    let converted = external.convert(bytes, &format, limits)?;
    let mut decoded = decode_upright(&converted, limits, detail)
        .map_err(|reason| external.says(&format!("wrote a file that is not used: {reason}")))?;
    let exif = caught(|| Ok(ExifFacts::of_file(bytes))).unwrap_or_default();
    let facts = &mut decoded.facts;
    facts.format = format.name.into();
    facts.taken_at = exif.taken_at.or(facts.taken_at.take());
    facts.camera = exif.camera.or(facts.camera.take());
    (facts.latitude, facts.longitude) = (exif.latitude, exif.longitude);
    if decoded.words == Words::default() {
        decoded.words = Words::read(None, None, exif.description);
    }
    Ok(decoded)
}

/// Why a picture of a format is not indexed.
pub(super) fn no_decoder_for(format: &str) -> String {
    format!("{}; convert it to JPEG or PNG", no_decoder(format))
}

/// Whether a picture failed for want of memory or of room for temporary files, which there may be the next time.
pub(crate) fn may_pass(reason: &str) -> bool {
    ["not enough memory for ", "cannot make a temporary ", "cannot write a temporary "]
        .iter()
        .any(|passing| reason.starts_with(passing))
}

/// Whether a picture failed for want of a decoder, which another run may have.
pub(crate) fn lacks_decoder(reason: &str) -> bool {
    reason.starts_with(NO_DECODER)
}

fn no_decoder(format: &str) -> String {
    format!("{NO_DECODER}{format}")
}

/// Shorthand: what is wanted, or a reason.
type Answer<T> = std::result::Result<T, String>;

/// A format that an external decoder is asked for.
struct Format {
    name: &'static str,
    /// That its file is given: some programs know a format by that alone.
    extension: String,
}

impl Format {
    /// The format of a picture that is not decoded here; `None` for what is, and for what is no picture.
    fn of(path: &Path, bytes: &[u8]) -> Option<Self> {
        let by_name = (kind_of_name(path) == Some(Kind::Unsupported))
            .then(|| path.extension().unwrap_or_default().to_ascii_lowercase())
            .map(|extension| extension.to_string_lossy().into_owned());
        let (name, usual_extension) = match foreign(bytes) {
            Some("avif") => ("avif", "avif"),
            Some("heic") => ("heic", "heic"),
            Some("heif") => ("heif", "heif"),
            Some("jpeg xl") => ("jpeg xl", "jxl"),
            Some("jpeg 2000") => ("jpeg 2000", "jp2"),
            Some("camera raw") => ("camera raw", "raw"),
            // Documents are programs to those who read them.
            Some(_) => return None,
            None if by_name.is_some() && (is_tiff(bytes) || !is_known(bytes)) => {
                ("camera raw", "raw")
            }
            None => return None,
        };
        Some(Self { name, extension: by_name.unwrap_or_else(|| usual_extension.into()) })
    }
}

fn is_tiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*")
}

/// A directory for its owner only, which goes with this.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> Answer<Self> {
        let process = std::process::id();
        for n in 0..MAX_SCRATCH_TRIES {
            let path = parent.join(format!("mmsearch-{process}-{n}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("make a temporary directory", &error)),
            }
        }
        Err("cannot make a temporary directory: all names are taken".into())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a child ended; `None` if it did not within the time. In both cases nothing of its group goes on.
fn ended(mut child: Child, timeout: Duration) -> Answer<Option<ExitStatus>> {
    let group = child.id();
    let (tell, told) = sync_channel(1);
    // It waits in a thread because only a channel can be waited at for so long. That ends with the child.
    thread::spawn(move || tell.send(child.wait()));
    let status = told.recv_timeout(timeout);
    end_group(group);
    match status {
        Ok(Ok(status)) => Ok(Some(status)),
        Ok(Err(error)) => Err(cannot("wait for the external decoder", &error)),
        Err(_) => Ok(None),
    }
}

/// By a shell, which has the call that is unsafe here. A group that is empty already is as good.
fn end_group(group: u32) {
    let kill = format!("kill -s KILL -- -{group}");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &kill]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = shell.status();
}

/// The first line of what a program said.
fn first_line(path: &Path) -> String {
    let mut said = Vec::new();
    if let Ok((file, _)) = open_regular(path) {
        // A reason less is no reason to fail in another way.
        let _ = file.take(MAX_SAID_BYTES).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or_default().chars().filter(|char| !char.is_control()).collect()
}

fn cannot(action: &str, error: &io::Error) -> String {
    format!("cannot {action}: {error}")
}

#[cfg(test)]
mod tests;
