//! A library on a network is refused before anything is made.

use crate::faults::{Fault, Watch};
use crate::scene::{self, Site, ended};

#[test]
fn a_place_on_a_network_is_refused() {
    let place = scene::place();
    let (site, watch) = (Site::new(&place), Watch::new());
    let index = |fs_type| {
        let mut command = site.program(&["index", "photos"]);
        watch.arm(&mut command, &site.library, Fault { fs_type, ..Fault::NONE });
        ended(&mut command)
    };
    let refused = index(0x6969);
    assert!(refused.code == Some(5) && refused.stderr.contains("nfs"), "{refused:?}");
    assert!(!site.library.exists());
    assert_eq!(index(0).code, Some(0), "the control");
}
