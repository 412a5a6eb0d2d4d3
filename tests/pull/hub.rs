//! A hub on loopback, as much of one as a download sees, with faults on demand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// The commit that every branch points to.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The next bodies of large files end after so many bytes, though more were promised.
    pub cut_after: Vec<usize>,
    /// Bodies of large files have a byte flipped.
    pub flips: bool,
    /// Bodies of large files always begin at the beginning.
    pub ignores_range: bool,
    /// The hub answers with this status, and `x-error-code`, to everything but a request with this token.
    pub refuses: Option<(u16, &'static str, &'static str)>,
    /// Files are redirected in a circle.
    pub circles: bool,
    /// The hub says nothing of a large file's size and hash.
    pub unlinked: bool,
    /// Bodies of large files stop after so many bytes until both sides have waited twice, and then come slowly.
    pub pause: Option<(usize, Arc<Barrier>)>,
}

/// One server; the store for large files is a second one.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    faults: Arc<Mutex<Faults>>,
}

/// A file of the repository.
struct Stored {
    bytes: Vec<u8>,
    /// Kept in the other server, and named by SHA-256, as the hub does it with files of 10 MB and more.
    is_large: bool,
}

/// The files of one repository, `someone/tiny`.
#[derive(Default)]
pub struct Files(Vec<(String, Stored)>);

impl Files {
    pub fn small(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.push((name.into(), Stored { bytes: bytes.into(), is_large: false }));
        self
    }

    pub fn large(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.push((name.into(), Stored { bytes: bytes.into(), is_large: true }));
        self
    }

    /// Serves them: the hub, and the store that it redirects to for large files.
    pub fn serve(self) -> (Server, Server) {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let files = Arc::new(self);
        let store = {
            let (files, faults) = (Arc::clone(&files), Arc::clone(&faults));
            Server::new(Arc::clone(&faults), move |asked, out| {
                files.answer_as_store(asked, &faults, out);
            })
        };
        let hub = {
            let (files, faults, store) = (files, Arc::clone(&faults), store.address);
            Server::new(Arc::clone(&faults), move |asked, out| {
                files.answer_as_hub(asked, &faults.lock().unwrap().clone(), store, out);
            })
        };
        (hub, store)
    }

    fn find(&self, name: &str) -> Option<&Stored> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, stored)| stored)
    }

    /// The list, small files, and redirects.
    fn answer_as_hub(
        &self,
        asked: &Asked,
        faults: &Faults,
        store: SocketAddr,
        out: &mut dyn Write,
    ) {
        if let Some((status, code, token)) = faults.refuses
            && asked.headers.get("authorization").map(String::as_str)
                != Some(&format!("Bearer {token}"))
        {
            return answer(out, asked, status, &[("x-error-code", code)], b"");
        }
        if let Some(revision) = asked.path.strip_prefix("/api/models/someone/tiny/revision/") {
            if !["main", "refs%2Fpr%2F1", COMMIT].contains(&revision) {
                return answer(out, asked, 404, &[], b"");
            }
            let names: Vec<_> =
                self.0.iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
            let list = serde_json::json!({"sha": COMMIT, "siblings": names, "gated": false});
            return answer(out, asked, 200, &[], list.to_string().as_bytes());
        }
        // The hub redirects to itself too, by a path.
        let resolve = format!("/someone/tiny/resolve/{COMMIT}/");
        let cached = format!("/api/resolve-cache/{COMMIT}/");
        let Some(name) =
            asked.path.strip_prefix(&resolve).or_else(|| asked.path.strip_prefix(&cached))
        else {
            return answer(out, asked, 404, &[], b"");
        };
        let Some(stored) = self.find(name) else { return answer(out, asked, 404, &[], b"") };
        let (etag, size) = (format!("\"{}\"", name_of(stored)), stored.bytes.len().to_string());
        if faults.circles {
            return answer(out, asked, 302, &[("location", &asked.path)], b"");
        }
        if stored.is_large {
            let location = format!("http://{store}/blobs/{name}?signature=secret");
            if faults.unlinked {
                return answer(out, asked, 302, &[("location", &location), ("etag", &etag)], b"");
            }
            let linked = [
                ("location", location.as_str()),
                ("x-linked-etag", &etag),
                ("x-linked-size", &size),
            ];
            return answer(out, asked, 302, &linked, b"");
        }
        if asked.path.starts_with(&resolve) {
            let location = format!("{cached}{name}");
            return answer(out, asked, 307, &[("location", &location)], b"");
        }
        answer(out, asked, 200, &[("etag", &etag)], &stored.bytes);
    }

    /// Large files; asking again for the same is told by the range.
    fn answer_as_store(&self, asked: &Asked, faults: &Mutex<Faults>, out: &mut dyn Write) {
        let name = asked.path.trim_start_matches("/blobs/").split('?').next().unwrap();
        let Some(stored) = self.find(name) else { return answer(out, asked, 404, &[], b"") };
        let mut faults = faults.lock().unwrap();
        let mut bytes = stored.bytes.clone();
        if faults.flips {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let range = asked.headers.get("range").filter(|_| !faults.ignores_range);
        let start = range.map(|range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        let cut = (!faults.cut_after.is_empty()).then(|| faults.cut_after.remove(0));
        let (status, start) = (if start.is_some() { 206 } else { 200 }, start.unwrap_or(0));
        let content_range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        let mut headers = vec![("etag", "\"of the store\"")];
        if status == 206 {
            headers.push(("content-range", &content_range));
        }
        let (body, pause) = (&bytes[start..], faults.pause.take());
        drop(faults);
        write!(out, "{}content-length: {}\r\n\r\n", head(status, &headers), body.len()).unwrap();
        if let Some((n_before, both)) = pause {
            out.write_all(&body[..n_before]).unwrap();
            both.wait();
            both.wait();
            // A slow line, so that whoever is asked to stop need not be quick to do so before the end.
            for byte in body[n_before..].chunks(1) {
                if out.write_all(byte).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            return;
        }
        // Whoever hangs up while we speak has what it wants.
        let _ = out.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())]);
    }
}

impl Server {
    /// Answers on a port of its own until the test ends.
    fn new(
        faults: Arc<Mutex<Faults>>,
        serve: impl Fn(&Asked, &mut dyn Write) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if let Some(asked) = read_request(&stream) {
                    log.lock().unwrap().push(asked.clone());
                    serve(&asked, &mut stream);
                }
            }
        });
        Self { address, asked, faults }
    }

    pub fn break_it(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

/// The hash that the hub names a file by.
fn name_of(stored: &Stored) -> String {
    if stored.is_large { sha256(&stored.bytes) } else { git_blob(&stored.bytes) }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn git_blob(bytes: &[u8]) -> String {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(format!("blob {}\0", bytes.len()).as_bytes());
    hash.update(bytes);
    hex(hash.finish().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Asked { method, path, headers })
}

fn answer(out: &mut dyn Write, asked: &Asked, status: u16, headers: &[(&str, &str)], body: &[u8]) {
    write!(out, "{}content-length: {}\r\n\r\n", head(status, headers), body.len()).unwrap();
    if asked.method != "HEAD" {
        let _ = out.write_all(body);
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}
