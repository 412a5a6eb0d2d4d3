//! Ctrl-C in the middle of a download.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;

use super::hub::{Faults, Server, sha256};
use super::{User, names, ranges, tiny, told, weights};

/// A pull that gets Ctrl-C when 70,001 bytes have arrived; where they are kept.
fn interrupted(user: &User, hub: &Server) -> PathBuf {
    let both = Arc::new(Barrier::new(2));
    hub.break_it(Faults { pause: Some((70_001, Arc::clone(&both))), ..Faults::default() });
    let mut command = user.mmsearch(&format!("http://{}", hub.address));
    command.env("MMSEARCH_FAKE_ENCODER", "1").args(["model", "pull", "someone/tiny"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    both.wait();
    let part = user.repository().join("blobs").join(sha256(&weights())).with_extension("part");
    // What is sent is not yet what has arrived.
    while fs::metadata(&part).map_or(0, |part| part.len()) < 70_001 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    both.wait();
    let (code, _, stderr) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{stderr}");
    assert_eq!(names(&user.models()), [""; 0]);
    part
}

#[test]
fn ctrl_c_keeps_what_has_arrived() {
    for is_kept in [true, false] {
        let (hub, store) = tiny().serve();
        let user = User::new();
        let part = interrupted(&user, &hub);
        let n_kept = fs::metadata(&part).unwrap().len();
        assert!((70_001..weights().len() as u64).contains(&n_kept), "{n_kept}");
        if !is_kept {
            // The control: a program that kept nothing would ask for the whole file.
            fs::remove_file(&part).unwrap();
        }
        store.forget();
        assert_eq!(user.pull_from(&hub).0, 0);
        assert_eq!(ranges(&store), [is_kept.then(|| format!("bytes={n_kept}-"))]);
        assert_eq!(fs::read(user.models().join("tiny/model.safetensors")).unwrap(), weights());
    }
}
