//! kill -9 and power cuts while `check --repair` mends damaged rows, or salvages what can be read of a catalog with damaged pages.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::common::{BLUE, Place, Said, jpeg_saying};
use crate::scene::{self, N_MEMBERS, Site, ask, copy_dir, count, hits_of};
use crate::victim::Victim;

const PAGE: usize = 4096;

/// Items, embeddings, tags and descriptions, of files and of members.
const DAMAGES: [&str; 9] = [
    "UPDATE items SET width = width + 1 WHERE CAST(container AS TEXT) LIKE '%/f1.png'",
    "UPDATE items SET container = CAST(CAST(container AS TEXT) || 'x' AS BLOB)
     WHERE CAST(container AS TEXT) LIKE '%/f2.png'",
    "UPDATE items SET content_hash = zeroblob(32) WHERE CAST(container AS TEXT) LIKE '%/f3.png'",
    "UPDATE items SET format = 'gif' WHERE CAST(member AS TEXT) = 'm0042.png'",
    "UPDATE items SET text = 'a red wall' WHERE text = 'a green wall 4'",
    "UPDATE embeddings SET vector = CAST(x'01' || substr(vector, 2) AS BLOB) WHERE id % 9 = 4",
    "DELETE FROM embeddings WHERE id % 20 = 1",
    "UPDATE tags SET tag = 'dig' WHERE tag = 'dog'",
    "UPDATE descriptions SET text = 'x' WHERE origin = 'sidecar'",
];

/// What an item is, without ids and without the numbers of runs.
const FACTS: [&str; 22] = [
    "modality",
    "source_kind",
    "container",
    "member",
    "content_hash",
    "size_bytes",
    "modified_ns",
    "status",
    "reason",
    "width",
    "height",
    "format",
    "orientation",
    "taken_at",
    "text",
    "metadata",
    "(SELECT container FROM items AS image WHERE image.id = item.image_id)",
    "(SELECT member FROM items AS image WHERE image.id = item.image_id)",
    "(SELECT vector FROM embeddings AS it WHERE it.modality = item.modality
      AND it.content_hash = item.content_hash)",
    "(SELECT group_concat(origin || tag, ',' ORDER BY origin, tag) FROM tags WHERE item_id = item.id)",
    "(SELECT text FROM descriptions WHERE item_id = item.id AND origin = 'file')",
    "(SELECT text FROM descriptions WHERE item_id = item.id AND origin = 'sidecar')",
];

/// What a library comes to.
#[derive(Debug, PartialEq)]
struct State {
    hits: BTreeMap<String, String>,
    facts: Vec<String>,
}

/// A library that was whole, and is damaged.
struct Scene<'a> {
    site: Site<'a>,
    whole: State,
    damaged: PathBuf,
    /// After how many kills it was damaged still, and whole again.
    n_damaged: Cell<u64>,
    n_whole: Cell<u64>,
}

impl<'a> Scene<'a> {
    /// A person tagged `tagged` and the last member.
    fn new(place: &'a Place, tagged: &[&str], damage: &dyn Fn(&Path)) -> Self {
        let said = Said { xmp: (&["dog"], "our dog on the beach"), iptc: &["holiday"] };
        place.write("said.jpg", jpeg_saying(BLUE, &said));
        let site = Site::new(place);
        assert_eq!(site.run(&["index", "photos", "photos/long.tar"]).code, Some(0));
        assert_eq!(site.run(&["tag", &last_of_tar(&site), "+mine"]).code, Some(0));
        for name in tagged {
            assert_eq!(site.run(&["tag", name, "+ours"]).code, Some(0));
        }
        site.is_well();
        let whole = state(&site);
        damage(&site.library);
        assert_eq!(site.run(&["check"]).code, Some(6), "the control: it is damaged");
        let damaged = place.root().join("damaged");
        copy_dir(&site.library, &damaged);
        let [n_damaged, n_whole] = [Cell::new(0), Cell::new(0)];
        Self { site, whole, damaged, n_damaged, n_whole }
    }

    /// Nothing wrong is answered meanwhile, and the next repair ends where an undisturbed one does.
    fn is_mended(&self) -> Result<(), String> {
        let answer = ask(self.site.program(&[]));
        match answer.code {
            Some(0) => {
                let hits = hits_of(&answer);
                let wrong = |it: &(&String, &String)| self.whole.hits.get(it.0) != Some(it.1);
                if let Some(wrong) = hits.iter().find(wrong) {
                    return Err(format!("a wrong hit: {wrong:?}"));
                }
            }
            Some(6) => {}
            _ => return Err(format!("{answer:?}")),
        }
        let n =
            if self.site.run(&["check"]).code == Some(0) { &self.n_whole } else { &self.n_damaged };
        n.set(n.get() + 1);
        let again = self.site.run(&["check", "--repair"]);
        if again.code != Some(0) {
            return Err(format!("again: {again:?}"));
        }
        self.is_whole().map_err(|reason| format!("{reason}, after {}", again.stderr))
    }

    fn is_whole(&self) -> Result<(), String> {
        let there = state(&self.site);
        let n_photos = u64::from(N_MEMBERS) + 9;
        let n = count(&there.hits, "images");
        if n != n_photos {
            return Err(format!("{n} of {n_photos} photos are found"));
        }
        let differs = |(there, whole): &(&String, &String)| there != whole;
        if let Some(pair) = there.facts.iter().zip(&self.whole.facts).find(differs) {
            return Err(format!("an item became another: {pair:?}"));
        }
        if there.facts.len() != self.whole.facts.len() {
            return Err("items are lost that are not found".into());
        }
        if there.hits != self.whole.hits {
            return Err(format!("all is there, and {} items are found", there.hits.len()));
        }
        self.site.is_well();
        Ok(())
    }

    /// Disturbs repairs; what is wrong after each, and after `meanwhile` was done to the library.
    fn losses(&self, name: &'static str, n_wanted: u64, meanwhile: &dyn Fn(&Path)) -> Vec<String> {
        let victim = Victim {
            name,
            watched: self.site.library.clone(),
            prepare: &|| self.site.reset(Some(&self.damaged)),
            command: &|| self.site.program(&["check", "--repair"]),
        };
        let judge = || {
            meanwhile(&self.site.library);
            self.is_mended()
        };
        let mut losses = victim.losses(n_wanted, &judge);
        // Those of the control are many already.
        if losses.is_empty() {
            losses = victim.power_losses(n_wanted / 3, &judge);
        }
        let (n_damaged, n_whole) = (self.n_damaged.get(), self.n_whole.get());
        println!("{name}: {n_damaged} times it was damaged still, {n_whole} times it was whole");
        losses
    }
}

fn state(site: &Site<'_>) -> State {
    let hits = site.hits(site.program(&[])).unwrap();
    let connection = open(&site.library);
    let facts = FACTS.map(|fact| format!("quote({fact})")).join(" || ' ' || ");
    let mut statement =
        connection.prepare(&format!("SELECT {facts} FROM items AS item ORDER BY 1")).unwrap();
    let facts = statement.query_map([], |row| row.get(0)).unwrap();
    State { hits, facts: facts.collect::<Result<_, _>>().unwrap() }
}

/// The id of the last member.
fn last_of_tar(site: &Site<'_>) -> String {
    let id = "SELECT max(id) FROM items WHERE source_kind = 'tar'";
    open(&site.library).query_row(id, [], |row| row.get::<_, i64>(0)).unwrap().to_string()
}

fn open(library: &Path) -> Connection {
    Connection::open(library.join("catalog.db")).unwrap()
}

fn damage_rows(library: &Path) {
    let connection = open(library);
    let free = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    connection.execute_batch(free).unwrap();
    for damage in DAMAGES {
        assert!(connection.execute(damage, []).unwrap() > 0, "nothing was damaged by {damage}");
    }
}

/// Fills the pages of the table of items on which there are a file's and a member's.
fn smash_pages(library: &Path) {
    smash(library, "name = 'items'");
}

/// The same, and the pages of its index, from which it is known too which items there were.
fn smash_pages_and_index(library: &Path) {
    smash(library, "name IN ('items', 'sqlite_autoindex_items_1')");
}

fn smash(library: &Path, which: &str) {
    let connection = open(library);
    let leaves = format!("SELECT pageno FROM dbstat WHERE {which} AND pagetype = 'leaf'");
    let mut statement = connection.prepare(&leaves).unwrap();
    let leaves = statement.query_map([], |row| row.get(0)).unwrap();
    let leaves: Vec<u32> = leaves.collect::<Result<_, _>>().unwrap();
    drop(statement);
    drop(connection);
    let path = library.join("catalog.db");
    let mut bytes = fs::read(&path).unwrap();
    let mut n_filled = 0;
    for leaf in leaves {
        let page = &mut bytes[(leaf as usize - 1) * PAGE..leaf as usize * PAGE];
        let holds = |name: &str| page.windows(name.len()).any(|it| it == name.as_bytes());
        if holds("/f3.png") || holds("m0042.png") {
            page.fill(0xa5);
            n_filled += 1;
        }
    }
    assert!(n_filled > 1);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn repair_of_rows_is_disturbed_at_its_calls() {
    let place = scene::place();
    // The path of the one is damaged, of the other what its file says.
    let scene = Scene::new(&place, &["photos/f2.png", "photos/said.jpg"], &damage_rows);
    assert_eq!(scene.losses("repair of rows", 20, &|_| {}), [""; 0]);
    assert!(scene.n_damaged.get() > 0 && scene.n_whole.get() > 0);
}

#[test]
fn salvage_is_disturbed_at_its_calls() {
    let place = scene::place();
    // What a person said of an item whose page is lost is lost with it.
    let scene = Scene::new(&place, &[], &smash_pages);
    assert_eq!(scene.losses("salvage", 15, &|_| {}), [""; 0]);
    assert!(scene.n_damaged.get() > 0);
}

#[test]
fn salvage_without_an_index_is_disturbed_at_its_calls() {
    let place = scene::place();
    let scene = Scene::new(&place, &[], &smash_pages_and_index);
    assert_eq!(scene.losses("salvage without an index", 15, &|_| {}), [""; 0]);
    assert!(scene.n_damaged.get() > 0);
}

/// The control: where nothing says any more that sources are to be read again, photos are lost.
#[test]
fn a_salvage_that_is_forgotten_loses_photos() {
    let place = scene::place();
    let scene = Scene::new(&place, &[], &smash_pages_and_index);
    let forget = |library: &Path| {
        let _ = fs::remove_file(library.join("catalog.db.salvaged"));
    };
    let losses = scene.losses("salvage that is forgotten", 12, &forget);
    println!("control: such as: {:?}", losses.first().and_then(|loss| loss.lines().next()));
    assert!(losses.iter().any(|loss| loss.contains("photos are found")), "{losses:?}");
}

/// The control: a row that is not what it was, though all are good.
#[test]
fn what_became_another_item_is_seen() {
    let place = scene::place();
    let scene = Scene::new(&place, &[], &damage_rows);
    assert_eq!(scene.is_mended(), Ok(()));
    assert_eq!(scene.site.run(&["tag", &last_of_tar(&scene.site), "+another"]).code, Some(0));
    assert!(scene.is_mended().is_err_and(|reason| reason.contains("became another")));
}
