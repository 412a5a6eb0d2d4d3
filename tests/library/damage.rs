//! Each kind of thing in a library is damaged: `check` finds it, and `repair` heals it or says why not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{
    CheckOptions, Finding, FindingKind, Library, LibraryOptions, Repaired, Selector,
};
use mmsearch::{Error, ItemId, Metadata, Mode, Query, Result, Tag, Target};

use crate::common::{BLUE, GREEN, Place, RED, Said, YELLOW, jpeg_saying, png, replace_unnoticed};
use crate::{check, index, writer};

const BEACH: Said<'_> = Said { xmp: (&["dog"], "our dog on the beach"), iptc: &["holiday"] };

/// What the damage of a case is told as, and what becomes of it.
enum Outcome {
    /// All is as it was.
    Heals,
    /// Something is lost, of which these words are said.
    Loses(&'static str),
}

use Outcome::{Heals, Loses};

/// A library with one of everything, and its files while it was good.
pub struct Fixture {
    pub place: Place,
    files: BTreeMap<OsString, Vec<u8>>,
    state: String,
}

impl Fixture {
    pub fn new() -> Self {
        let place = Place::new();
        place.write("a.jpg", jpeg_saying(RED, &BEACH));
        place.write("b.png", png(BLUE, 1));
        place.write("b.png.txt", "a blue sea\n");
        place.write("c.png", png(GREEN, 2));
        place.write("deep/d.png", png(YELLOW, 3));
        place.tar("t.tar", &[("e.jpg", jpeg_saying(GREEN, &BEACH)), ("f.png", png(RED, 4))]);
        place.write("captions.csv", "image,caption\nc.png,a green meadow\nf.png,a red barn\n");
        let mut library = writer(&place);
        index(&mut library, &[place.photos(), place.photo("t.tar")]);
        let mut encoder = FakeEncoder::default();
        let inline = png(YELLOW, 5);
        library.add_image(&mut encoder, "from an app", &inline, Metadata::new()).unwrap();
        let tagged = library.select(&Selector::Path(place.photo("c.png"))).unwrap();
        library.tag(&tagged[..1], &[Tag::new("mine").unwrap()], &[]).unwrap();
        library.refresh_snapshots_with(&mut encoder, &mut |_| ControlFlow::Continue(())).unwrap();
        check(&library);
        drop(library);
        let state = state(&place);
        let files = place
            .library_files("")
            .into_iter()
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap()));
        let files = files.collect();
        Self { place, files, state }
    }

    pub fn restore(&self) {
        for path in self.place.library_files("") {
            fs::remove_file(path).unwrap();
        }
        for (name, bytes) in &self.files {
            let path = self.place.library().join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn sql(&self, statements: &str) {
        let catalog = self.place.library().join("catalog.db");
        let connection = rusqlite::Connection::open(catalog).unwrap();
        let free = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
        connection.execute_batch(&format!("{free} {statements}")).unwrap();
        assert!(connection.changes() > 0, "nothing was damaged by {statements}");
    }

    fn snapshot(&self) -> std::path::PathBuf {
        self.place.library_files("snapshot-1-image").remove(0)
    }

    fn flip_snapshot(&self, at: impl Fn(usize) -> usize) {
        let mut bytes = fs::read(self.snapshot()).unwrap();
        let at = at(bytes.len());
        bytes[at] ^= 0x20;
        fs::write(self.snapshot(), bytes).unwrap();
    }

    pub fn check(&self, read_data: bool) -> Vec<Finding> {
        let options = CheckOptions { read_data, ..CheckOptions::default() };
        let library = Library::open(&self.place.library()).unwrap();
        library.check_with(&options, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// Repairs, unless the progress is told the `stop_at`-th time.
    pub fn try_repair(&self, stop_at: usize) -> Result<Repaired> {
        let mut library =
            Library::open_for_repair(&self.place.library(), LibraryOptions::default())?;
        let mut load = || Ok(Box::new(FakeEncoder::default()) as Box<dyn Encoder>);
        let mut n_told = 0;
        library.repair(&mut load, &CheckOptions::default(), &mut |_| {
            n_told += 1;
            if n_told == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn repair(&self) -> Repaired {
        self.try_repair(0).unwrap()
    }
}

/// All that is known of every item, and what is found.
fn state(place: &Place) -> String {
    let mut library = Library::open(&place.library()).unwrap();
    let mut lines = Vec::new();
    for id in (1..40).map(ItemId) {
        if let Some(item) = library.item(id).unwrap() {
            lines.push(format!("{item:?} {:?}", library.tags_of(id).unwrap()));
        }
    }
    let texts = Query::text("green").k(50).to(Target::Text);
    for query in
        [Query::text("red").k(50), texts, Query::text("beach sea barn").mode(Mode::Keyword)]
    {
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        let hits = hits.iter().map(|hit| (hit.item.id, hit.score, hit.keyword));
        lines.extend(hits.map(|(id, score, keyword)| format!("{id} {score:?} {keyword:?}")));
    }
    assert_eq!(library.take_warnings(), [""; 0]);
    lines.join("\n")
}

/// The item of a source, in SQL.
fn item(name: &str) -> String {
    format!(
        "(SELECT min(id) FROM items WHERE CAST(container AS TEXT) LIKE '%{name}' OR CAST(member AS TEXT) = '{name}')"
    )
}

fn embedding(name: &str) -> String {
    format!(
        "(SELECT e.id FROM embeddings AS e JOIN items AS i ON i.modality = e.modality AND i.content_hash = e.content_hash
          WHERE i.id = {})",
        item(name)
    )
}

type Damage = Box<dyn Fn(&Fixture)>;

fn sql(statement: String) -> Damage {
    Box::new(move |fixture| fixture.sql(&statement))
}

fn rows() -> Vec<(&'static str, FindingKind, Outcome, Damage)> {
    use FindingKind::{Background, Catalog, Description, Embedding, Item, Tag, Words};
    let items =
        |set: &str, name: &str| sql(format!("UPDATE items SET {set} WHERE id = {};", item(name)));
    let vectors = |name: &str| {
        let set = "vector = CAST(x'01' || substr(vector, 2) AS BLOB)";
        sql(format!("UPDATE embeddings SET {set} WHERE id = {};", embedding(name)))
    };
    let on = |table: &str, set: &str, condition: &str| {
        sql(format!("UPDATE {table} SET {set} WHERE {condition};"))
    };
    vec![
        ("facts of a file", Item, Heals, items("width = width + 1", "/a.jpg")),
        (
            "path of a file",
            Item,
            Heals,
            items("container = CAST(CAST(container AS TEXT) || 'x' AS BLOB)", "/c.png"),
        ),
        ("content of a file", Item, Heals, items("content_hash = zeroblob(32)", "/b.png")),
        ("kind of source", Item, Heals, items("source_kind = 'xile'", "/d.png")),
        ("status", Item, Heals, items("status = 'failed'", "/a.jpg")),
        ("a text that is none", Item, Heals, items("format = CAST(x'ff' AS TEXT)", "/a.jpg")),
        ("checksum", Item, Heals, items("checksum = 0", "/c.png")),
        (
            "name of a member",
            Item,
            Loses("item 5 was removed"),
            items("member = CAST('x.jpg' AS BLOB)", "e.jpg"),
        ),
        ("facts of a member", Item, Heals, items("format = 'gif'", "f.png")),
        ("text of a caption", Item, Heals, items("text = 'a blue meadow'", "/captions.csv")),
        ("an item of an app", Item, Loses("add it again"), items("width = 9", "from an app")),
        ("embedding of a file", Embedding, Heals, vectors("/b.png")),
        ("embedding of a member", Embedding, Heals, vectors("f.png")),
        ("embedding of a caption", Embedding, Heals, vectors("/captions.csv")),
        ("embedding of an app's image", Embedding, Loses("add it again"), vectors("from an app")),
        (
            "no embedding",
            Embedding,
            Heals,
            sql(format!("DELETE FROM embeddings WHERE id = {};", embedding("/c.png"))),
        ),
        ("space of an embedding", Embedding, Heals, on("embeddings", "space_id = 7", "id = 1")),
        (
            "modality of an embedding",
            Embedding,
            Heals,
            on("embeddings", "modality = 'x'", "id = 2"),
        ),
        (
            "content of an embedding",
            Embedding,
            Heals,
            on("embeddings", "content_hash = zeroblob(32)", "id = 3"),
        ),
        ("tag of a file", Tag, Heals, on("tags", "tag = 'dig'", "tag = 'dog' AND item_id = 1")),
        ("tag of a member", Tag, Heals, on("tags", "tag = 'dig'", "tag = 'dog' AND item_id > 1")),
        (
            "tag of a person",
            Tag,
            Loses("it read like `mime`"),
            on("tags", "tag = 'mime'", "tag = 'mine'"),
        ),
        (
            "tag of no item",
            Catalog,
            Loses("of no item"),
            on("tags", "item_id = 99", "tag = 'mine'"),
        ),
        (
            "description of a file",
            Description,
            Heals,
            on("descriptions", "text = 'x'", "origin = 'file' AND item_id = 1"),
        ),
        (
            "description of a sidecar",
            Description,
            Heals,
            on("descriptions", "text = 'x'", "origin = 'sidecar'"),
        ),
        ("caption of no image", Catalog, Heals, items("image_id = 99", "/captions.csv")),
        (
            "background",
            Background,
            Heals,
            on("backgrounds", "mean = zeroblob(length(mean))", "modality = 'image'"),
        ),
        ("words of an item", Words, Heals, sql("DELETE FROM image_words WHERE rowid = 1;".into())),
        (
            "words of no item",
            Words,
            Heals,
            sql("INSERT INTO text_words (rowid, body) VALUES (99, 'x');".into()),
        ),
        (
            "index of words",
            Words,
            Heals,
            on("image_words_data", "block = zeroblob(length(block))", "id > 10"),
        ),
        ("generation", Catalog, Heals, on("state", "generation = generation + 5", "TRUE")),
        ("the library's own space", Catalog, Heals, on("state", "space_id = NULL", "TRUE")),
        ("model of a space", Catalog, Heals, on("spaces", "model = 'other'", "TRUE")),
        ("dimension of a space", Catalog, Heals, on("spaces", "dim = dim + 1", "TRUE")),
        ("row of a tar", Catalog, Heals, on("containers", "scan = 9", "kind = 'tar'")),
        (
            "path of a manifest",
            Catalog,
            Heals,
            on("containers", "path = CAST('/x.csv' AS BLOB)", "kind = 'manifest'"),
        ),
        ("device of a root", Catalog, Heals, on("roots", "device = 1", "TRUE")),
        (
            "path of a root",
            Catalog,
            Loses("it read like `/x`"),
            on("roots", "path = CAST('/x' AS BLOB)", "CAST(path AS TEXT) NOT LIKE '%.tar'"),
        ),
        (
            "a removed embedding",
            Catalog,
            Heals,
            sql("INSERT INTO tombstones VALUES (999, 1, 'image', 1, 7);".into()),
        ),
        ("words beside their index", Words, Heals, on("image_words_content", "c0 = 'x'", "id = 1")),
    ]
}

fn files() -> Vec<(&'static str, FindingKind, Outcome, Damage)> {
    use FindingKind::{Current, Leftover, Snapshot};
    let write = |name: &'static str, text: &'static str| -> Damage {
        Box::new(move |fixture| fs::write(fixture.place.library().join(name), text).unwrap())
    };
    let flip = |at: fn(usize) -> usize| -> Damage { Box::new(move |it| it.flip_snapshot(at)) };
    vec![
        (
            "no CURRENT",
            Current,
            Heals,
            Box::new(|it| fs::remove_file(it.place.library().join("CURRENT")).unwrap()),
        ),
        ("rubbish in CURRENT", Current, Heals, write("CURRENT", "{]")),
        ("header of a snapshot", Snapshot, Heals, flip(|_| 24)),
        ("keys of a snapshot", Snapshot, Heals, flip(|_| 700)),
        ("end of a snapshot", Snapshot, Heals, flip(|len| len - 1)),
        ("codes of a snapshot", Snapshot, Heals, flip(|len| len - 300)),
        ("no snapshot", Snapshot, Heals, Box::new(|it| fs::remove_file(it.snapshot()).unwrap())),
        (
            "half a snapshot",
            Snapshot,
            Heals,
            Box::new(|it| {
                let bytes = fs::read(it.snapshot()).unwrap();
                fs::write(it.snapshot(), &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
        ("a snapshot that nobody names", Leftover, Heals, write("snapshot-1-image-1.mms", "x")),
        ("half a file", Leftover, Heals, write("snapshot-1-image-1.mms.tmp", "x")),
        ("half a list", Leftover, Heals, write("CURRENT.tmp", "x")),
    ]
}

#[test]
fn what_is_damaged_is_found_and_healed() {
    let fixture = Fixture::new();
    // Control: nothing is found, and nothing is done.
    assert_eq!(fixture.check(true), []);
    assert_eq!(fixture.repair(), Repaired::default());
    assert_eq!(state(&fixture.place), fixture.state);
    for (name, kind, outcome, damage) in rows().into_iter().chain(files()) {
        fixture.restore();
        damage(&fixture);
        let found = fixture.check(false);
        assert!(found.iter().any(|it| it.kind == kind), "{name}: {found:?}");
        let with_sources = fixture.check(true);
        assert!(with_sources.iter().any(|it| it.kind == kind), "{name}: {with_sources:?}");
        let repaired = fixture.repair();
        assert_eq!(repaired.left, [], "{name}: {repaired:?}");
        assert_eq!(repaired.found, found, "{name}");
        assert_eq!(fixture.check(true), [], "{name}");
        let lost: Vec<&str> =
            repaired.done.iter().filter(|it| it.is_loss).map(|it| it.what.as_str()).collect();
        match outcome {
            Heals => assert_eq!(state(&fixture.place), fixture.state, "{name}: {repaired:?}"),
            Loses(what) => {
                assert!(lost.iter().any(|lost| lost.contains(what)), "{name}: {repaired:?}");
            }
        }
        assert_eq!(fixture.repair(), Repaired::default(), "{name}: nothing is left to do");
    }
}

/// Whoever is stopped in between finds less to do the next time, and the same in the end.
#[test]
fn a_repair_that_is_stopped_goes_on() {
    let fixture = Fixture::new();
    for (name, _, outcome, damage) in rows() {
        let Heals = outcome else { continue };
        let mut stop_at = 1;
        loop {
            fixture.restore();
            damage(&fixture);
            match fixture.try_repair(stop_at) {
                Ok(_) => break,
                Err(Error::Cancelled) => {}
                Err(error) => panic!("{name}, stopped at {stop_at}: {error}"),
            }
            let repaired = fixture.repair();
            assert_eq!(repaired.left, [], "{name}, stopped at {stop_at}");
            assert_eq!(state(&fixture.place), fixture.state, "{name}, stopped at {stop_at}");
            stop_at += 1;
        }
        assert!(stop_at > 3, "{name}: it was never stopped");
    }
}

/// A byte that is flipped in the file does not fit SQLite's own indexes either.
#[test]
fn a_path_that_is_flipped_in_the_file_is_found_and_healed() {
    let fixture = Fixture::new();
    let catalog = fixture.place.library().join("catalog.db");
    let good = fs::read(&catalog).unwrap();
    let needle = b"/photos/c.png";
    let places: Vec<usize> = (0..good.len()).filter(|&at| good[at..].starts_with(needle)).collect();
    assert!(places.len() >= 2, "in the table and in its index");
    for at in places {
        fixture.restore();
        let mut bytes = good.clone();
        bytes[at + 8] = b'q';
        fs::write(&catalog, bytes).unwrap();
        let found = fixture.check(false);
        assert!(found.iter().any(|it| it.kind.is_damage()), "at {at}");
        let repaired = fixture.repair();
        assert_eq!(repaired.left, [], "at {at}: {repaired:?}");
        assert_eq!(state(&fixture.place), fixture.state, "at {at}");
    }
}

#[test]
fn what_was_indexed_is_read_again_and_never_changed() {
    use FindingKind::{Changed, Missing, Rotten, Unreadable};
    let fixture = Fixture::new();
    let Fixture { place, .. } = &fixture;
    let kept: BTreeMap<_, _> = ["a.jpg", "t.tar", "captions.csv"]
        .map(|name| {
            let path = place.photo(name);
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (name, (fs::read(path).unwrap(), modified))
        })
        .into();
    let restore = |name: &str| {
        let (bytes, modified) = &kept[name];
        place.write(name, bytes);
        let file = fs::File::options().write(true).open(place.photo(name)).unwrap();
        file.set_modified(*modified).unwrap();
    };
    let flipped = |name: &str, at: usize| {
        let mut bytes = kept[name].0.clone();
        bytes[at] ^= 4;
        bytes
    };
    let expect = |name: &str, kind, what: &str| {
        let findings = fixture.check(true);
        let found = findings.iter().any(|it| it.kind == kind && it.place.contains(what));
        assert!(found, "{name}: {findings:?}");
        assert!(findings.iter().all(|it| it.kind == kind), "{name}: {findings:?}");
        assert_eq!(fixture.check(false), [], "{name}: nothing is wrong with the library");
    };
    let n_bytes = kept["a.jpg"].0.len();
    replace_unnoticed(&place.photo("a.jpg"), flipped("a.jpg", n_bytes - 30));
    expect("rotten file", Rotten, "a.jpg");
    restore("a.jpg");
    place.write("a.jpg", "another");
    expect("changed file", Changed, "a.jpg");
    fs::remove_file(place.photo("a.jpg")).unwrap();
    expect("no file", Missing, "a.jpg");
    fs::create_dir(place.photo("a.jpg")).unwrap();
    expect("no file any more", Missing, "a.jpg");
    fs::remove_dir(place.photo("a.jpg")).unwrap();
    restore("a.jpg");
    replace_unnoticed(&place.photo("t.tar"), flipped("t.tar", 700));
    expect("rotten member", Rotten, "t.tar!e.jpg");
    replace_unnoticed(&place.photo("t.tar"), flipped("t.tar", 3));
    expect("rotten header", Rotten, "t.tar");
    fs::remove_file(place.photo("t.tar")).unwrap();
    expect("no tar", Missing, "t.tar");
    restore("t.tar");
    let at = kept["captions.csv"].0.len() - 4;
    replace_unnoticed(&place.photo("captions.csv"), flipped("captions.csv", at));
    expect("rotten caption", Rotten, "captions.csv:3");
    place.write("captions.csv", "image,caption\n");
    expect("changed manifest", Changed, "captions.csv");
    restore("captions.csv");
    // What is new is none of its business.
    place.write("new.png", png(RED, 9));
    assert_eq!(fixture.check(true), []);
    fs::remove_file(place.photo("new.png")).unwrap();
    // All of them away, as with a disk: one finding, and no repair takes an item out.
    let (photos, elsewhere) = (place.photos(), place.root().join("elsewhere"));
    fs::rename(&photos, &elsewhere).unwrap();
    let findings = fixture.check(true);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, Missing);
    assert!(findings[0].reason.contains("held 8 items"), "{findings:?}");
    fixture.sql(&format!("UPDATE items SET width = 1 WHERE id = {};", item("/a.jpg")));
    let repaired = fixture.repair();
    assert_eq!(repaired.left.len(), 1, "{repaired:?}");
    fs::rename(&elsewhere, &photos).unwrap();
    assert_eq!(fixture.repair().left, []);
    assert_eq!(state(place), fixture.state);
    fs::set_permissions(place.photo("a.jpg"), PermissionsExt::from_mode(0o000)).unwrap();
    // The superuser may read everything, nobody else.
    if fs::File::open(place.photo("a.jpg")).is_err() {
        expect("unreadable file", Unreadable, "a.jpg");
    }
}

/// Another model cannot encode again, and nothing but what is derived needs one.
#[test]
fn the_encoder_is_loaded_when_it_is_needed_and_must_be_the_library_s() {
    let fixture = Fixture::new();
    let repair = |load: &mut dyn FnMut() -> Result<Box<dyn Encoder>>| {
        let mut library =
            Library::open_for_repair(&fixture.place.library(), LibraryOptions::default()).unwrap();
        library.repair(load, &CheckOptions::default(), &mut |_| ControlFlow::Continue(()))
    };
    let mut none = || Err(Error::Encoder { reason: "there is none".into() });
    let mut other = || Ok(Box::new(FakeEncoder::new("other")) as Box<dyn Encoder>);
    fixture.sql("DELETE FROM image_words;");
    assert_eq!(repair(&mut none).unwrap().left, []);
    fixture.restore();
    fixture.flip_snapshot(|_| 24);
    assert_eq!(repair(&mut none).unwrap().left, []);
    fixture.restore();
    fixture.sql("UPDATE embeddings SET vector = zeroblob(64) WHERE id = 1;");
    assert!(matches!(repair(&mut other), Err(Error::ModelMismatch { .. })));
    assert!(matches!(repair(&mut none), Err(Error::Encoder { .. })));
    assert_eq!(fixture.repair().left, []);
    assert_eq!(state(&fixture.place), fixture.state);
}
