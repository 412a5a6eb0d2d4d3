//! Nothing but `model pull` opens a connection.

use crate::faults::{Fault, Watch};
use crate::scene::{self, Site, ended};

#[test]
fn only_pull_connects() {
    let place = scene::place();
    let (site, watch) = (Site::new(&place), Watch::new());
    for arguments in [
        &["index", "photos", "photos/long.tar"][..],
        &["query", "--text", "red"],
        &["query", "--image", "photos/f0.png"],
        &["similar", "1"],
        &["duplicates"],
        &["random"],
        &["status"],
        &["check"],
        &["tag", "1", "+mine"],
        &["forget", "photos/f1.png"],
        &["reindex"],
        &["model", "list", "--available"],
    ] {
        let mut command = site.program(arguments);
        watch.arm(&mut command, &site.library, Fault::NONE);
        let ended = ended(&mut command);
        assert!(matches!(ended.code, Some(0 | 1)), "{arguments:?}: {ended:?}");
        assert_eq!(watch.report().n_connects, 0, "{arguments:?}");
    }
    let mut pull = site.program(&["model", "pull", "owner/name"]);
    pull.env("HF_ENDPOINT", "http://127.0.0.1:1").env("HF_HOME", place.root().join("hub"));
    watch.arm(&mut pull, &site.library, Fault::NONE);
    let ended = ended(&mut pull);
    assert!(watch.report().n_connects > 0, "the control: {ended:?}");
}
