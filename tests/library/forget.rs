//! What `forget` leaves behind: nothing, in any file of the library.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{Library, LibraryOptions, ReindexOptions, Selector};
use mmsearch::{ItemId, Query, Tag};
use rusqlite::{Connection, OpenFlags};

use crate::common::{BLUE, GREEN, Place, RED, Said, jpeg_saying, png};
use crate::encoders::Other;
use crate::{check, ids, index, writer};

/// Bytes by which something that was indexed could be recognised, with a name for them.
type Traces = HashMap<Vec<u8>, String>;

fn reading(library: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(library.join("catalog.db"), flags).unwrap()
}

/// The ids of all items in the catalog.
fn all(library: &Path) -> Vec<i64> {
    let connection = reading(library);
    let mut statement = connection.prepare("SELECT id FROM items ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What the catalog says of items, and nothing that it says of others too.
fn traces(library: &Path, items: &[i64]) -> Traces {
    let of = |items: &[i64]| -> Traces {
        let connection = reading(library);
        items.iter().flat_map(|&id| traces_of(&connection, id)).collect()
    };
    let rest: Vec<i64> = all(library).into_iter().filter(|id| !items.contains(id)).collect();
    let rest = of(&rest);
    of(items).into_iter().filter(|(bytes, _)| !rest.contains_key(bytes)).collect()
}

fn traces_of(connection: &Connection, id: i64) -> Vec<(Vec<u8>, String)> {
    let mut traces = Vec::new();
    let queries = [
        ("the path", "SELECT container FROM items WHERE id = ?1 AND source_kind = 'file'"),
        ("the member", "SELECT member FROM items WHERE id = ?1 AND source_kind = 'tar'"),
        ("the hash", "SELECT content_hash FROM items WHERE id = ?1"),
        ("the text", "SELECT CAST(text AS BLOB) FROM items WHERE id = ?1"),
        (
            "the embedding",
            "SELECT vector FROM embeddings JOIN items USING (modality, content_hash) WHERE items.id = ?1",
        ),
        ("a tag", "SELECT CAST(tag AS BLOB) FROM tags WHERE item_id = ?1"),
        ("a description", "SELECT CAST(text AS BLOB) FROM descriptions WHERE item_id = ?1"),
    ];
    for (what, query) in queries {
        let mut statement = connection.prepare(query).unwrap();
        let found = statement.query_map([id], |row| row.get::<_, Option<Vec<u8>>>(0)).unwrap();
        for bytes in found.filter_map(Result::unwrap) {
            // Words stand in their index too, which has no whole texts.
            let words = bytes.split(|byte| !byte.is_ascii_alphanumeric()).map(<[u8]>::to_vec);
            let words: Vec<Vec<u8>> = words.filter(|_| bytes.is_ascii()).collect();
            for trace in words.into_iter().chain([bytes]).filter(|trace| trace.len() >= 8) {
                let n = traces.len();
                traces.push((trace, format!("{what} of item {id}, trace {n}")));
            }
        }
    }
    traces
}

/// Which of them are in which file of the library.
fn remains(library: &Path, traces: &Traces) -> Vec<String> {
    let found = found_in(library, traces);
    found.into_iter().map(|(trace, file)| format!("{} in {file}", traces[&trace])).collect()
}

/// That every one of them is somewhere.
fn assert_all_are_there(library: &Path, traces: &Traces) {
    let found: BTreeSet<Vec<u8>> =
        found_in(library, traces).into_iter().map(|(trace, _)| trace).collect();
    assert!(!traces.is_empty() && found.len() == traces.len(), "control: {}", found.len());
}

fn found_in(library: &Path, traces: &Traces) -> BTreeSet<(Vec<u8>, String)> {
    let mut by_head: HashMap<&[u8], Vec<&Vec<u8>>> = HashMap::new();
    for trace in traces.keys() {
        by_head.entry(&trace[..8]).or_default().push(trace);
    }
    let mut found = BTreeSet::new();
    for file in files(library) {
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len().saturating_sub(7) {
            for &trace in by_head.get(&bytes[at..at + 8]).into_iter().flatten() {
                if bytes[at..].starts_with(trace) {
                    let name = file.file_name().unwrap().display().to_string();
                    found.insert((trace.clone(), name));
                }
            }
        }
    }
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
}

/// Forgets items by their ids and looks for them; the control is that all that can be looked for was there.
fn forget_and_look(place: &Place, library: &mut Library, items: &[i64]) {
    let traces = traces(&place.library(), items);
    assert_all_are_there(&place.library(), &traces);
    let what: Vec<Selector> = items.iter().map(|&id| Selector::Id(ItemId(id))).collect();
    library.forget(&what).unwrap();
    assert_eq!(library.take_warnings(), [""; 0]);
    assert_eq!(remains(&place.library(), &traces), [""; 0]);
    check(library);
}

/// Photos with words of their own, beside them and in them; tars and a manifest with captions.
fn full_place(n_files: u32) -> Place {
    let place = Place::new();
    let colours = [RED, GREEN, BLUE];
    let mut rows = String::new();
    for n in 0..n_files {
        let name = format!("album-{}/holiday{n:05}.png", n % 7);
        place.write(&name, png(colours[n as usize % 3], n));
        place.write(&format!("{name}.txt"), format!("description{n:05} of it"));
        rows +=
            &format!("{{\"image\": \"{name}\", \"caption\": \"caption{n:05} says something\"}}\n");
    }
    let said = Said { xmp: (&["keyword-in-it"], "sunbathing together"), iptc: &[] };
    place.write("said.jpg", jpeg_saying(RED, &said));
    place.write("captions.jsonl", rows);
    let member = |n: u32| (format!("member-{n:05}.png"), png(GREEN, 1 << 20 | n));
    let members: Vec<_> = (0..n_files / 4 + 2).map(member).collect();
    let members: Vec<_> = members.iter().map(|(name, it)| (name.as_str(), it.clone())).collect();
    place.tar("pack.tar", &members);
    place
}

fn filled(place: &Place, options: LibraryOptions) -> Library {
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    index(&mut library, &[place.photos(), place.photo("pack.tar")]);
    let tagged = ids(&mut library, &Query::text("red").k(100));
    for &id in &tagged {
        let tag = Tag::new(&format!("private tag {id:05}")).unwrap();
        library.tag(&[id], &[tag], &[]).unwrap();
    }
    library
}

#[test]
fn nothing_of_what_is_forgotten_is_left() {
    let no_graph = LibraryOptions::default();
    let with_graph = LibraryOptions { graph_threshold: 8, ..LibraryOptions::default() };
    for (n_files, options) in [(12, no_graph), (40, with_graph), (900, no_graph)] {
        let place = full_place(n_files);
        let mut library = filled(&place, options);
        // First one, then every third in an order of its own, then what is left but a few.
        let one = all(&place.library())[1];
        forget_and_look(&place, &mut library, &[one]);
        let mut third: Vec<i64> = all(&place.library()).into_iter().step_by(3).collect();
        third.sort_by_key(|id| id * 7919 % 1009);
        // A text goes with its image, so an id may be gone when its turn comes.
        third.retain(|&id| is_image(&library, id));
        forget_and_look(&place, &mut library, &third);
        let mut rest: Vec<i64> = all(&place.library()).into_iter().skip(2).collect();
        rest.retain(|&id| is_image(&library, id));
        forget_and_look(&place, &mut library, &rest);
    }
}

fn is_image(library: &Library, id: i64) -> bool {
    library.item(ItemId(id)).unwrap().unwrap().modality == mmsearch::Modality::Image
}

#[test]
fn paths_that_are_forgotten_leave_nothing() {
    let place = full_place(30);
    let mut library = filled(&place, LibraryOptions::default());
    // A file that is a root itself, and items that are newer than the snapshot.
    let lone = place.write("lone-photo.png", png(BLUE, 77));
    index(&mut library, &[lone.clone()]);
    let under = |library: &Library, path: &Path| -> Vec<i64> {
        library.select(&Selector::Path(path.into())).unwrap().iter().map(|id| id.0).collect()
    };
    for path in [lone, place.photo("pack.tar"), place.photo("album-3"), place.photos()] {
        let mut traces = traces(&place.library(), &under(&library, &path));
        traces.insert(path.as_os_str().as_encoded_bytes().into(), "the path itself".into());
        assert_all_are_there(&place.library(), &traces);
        library.forget(&[Selector::Path(path)]).unwrap();
        assert_eq!(remains(&place.library(), &traces), [""; 0]);
        check(&library);
    }
    assert_eq!(all(&place.library()), [0; 0]);
}

/// By its id too, a photo that is a root itself leaves no path behind.
#[test]
fn a_root_that_is_forgotten_by_its_id_leaves_no_path() {
    let place = Place::new();
    let lone = place.write("lone-photo.png", png(BLUE, 77));
    let mut library = writer(&place);
    index(&mut library, &[lone]);
    forget_and_look(&place, &mut library, &[1]);
    assert!(library.status().unwrap().roots.is_empty());
}

/// Every embedding of a space that is being filled goes with its item, too, and so does its snapshot.
#[test]
fn what_an_interrupted_reindex_made_is_forgotten() {
    let place = full_place(80);
    let mut library = filled(&place, LibraryOptions::default());
    let mut n_told = 0;
    let mut stop = |_: &_| {
        n_told += 1;
        if n_told == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    library.reindex(&mut Other::new(), &ReindexOptions::default(), &mut stop).unwrap_err();
    let connection = reading(&place.library());
    let n_spaces: i64 = connection
        .query_row("SELECT count(DISTINCT space_id) FROM embeddings", [], |row| row.get(0))
        .unwrap();
    assert_eq!(n_spaces, 2, "control");
    drop(connection);
    let images: Vec<i64> =
        all(&place.library()).into_iter().filter(|&id| is_image(&library, id)).take(20).collect();
    forget_and_look(&place, &mut library, &images);
}

/// A reader in the middle of something keeps the log from being emptied; that is said, and made up for when it ends.
#[test]
fn a_reader_holds_back_the_end_and_that_is_said() {
    let place = full_place(20);
    let mut library = filled(&place, LibraryOptions::default());
    let traces = traces(&place.library(), &[2]);
    let reader = Connection::open(place.library().join("catalog.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM items;").unwrap();
    library.forget(&[Selector::Id(ItemId(2))]).unwrap();
    let warnings = library.take_warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("catalog.db-wal"), "{warnings:?}");
    assert!(!remains(&place.library(), &traces).is_empty(), "control: the warning is true");
    drop(library);
    drop(reader);
    assert_eq!(remains(&place.library(), &traces), [""; 0]);
    check(&writer(&place));
}

#[test]
fn a_reader_that_only_waits_holds_nothing_back() {
    let place = full_place(20);
    let mut library = filled(&place, LibraryOptions::default());
    let mut reader = Library::open(&place.library()).unwrap();
    let n_found = |reader: &mut Library| {
        let query = Query::text("red").k(100);
        reader.search(&mut FakeEncoder::default(), &query).unwrap().len()
    };
    let n_before = n_found(&mut reader);
    forget_and_look(&place, &mut library, &[2]);
    assert_eq!(n_found(&mut reader), n_before - 1);
}

/// Taken out by its id, a member of a tar comes back as a file does: with the next run.
#[test]
fn a_member_that_is_forgotten_comes_back_with_its_tar() {
    let place = Place::new();
    let tar = place.tar("pack.tar", &[("a.png", png(RED, 0)), ("b.png", png(GREEN, 0))]);
    let mut library = writer(&place);
    index(&mut library, &[tar.clone()]);
    forget_and_look(&place, &mut library, &[1]);
    let report = index(&mut library, &[tar]);
    assert_eq!((report.images.added, report.images.unchanged), (1, 1));
    check(&library);
}
