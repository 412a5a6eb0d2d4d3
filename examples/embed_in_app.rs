//! Search inside your own app: `cargo run --release --example embed_in_app -- "a red ball" photo.jpg …`
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example is a program")]

use std::ops::ControlFlow;
use std::path::Path;

use mmsearch::encoder::{Device, DualEncoder};
use mmsearch::library::{Library, LibraryOptions};
use mmsearch::{Condition, Metadata, Mode, Query, Term};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().unwrap_or_else(|| "a red ball on green grass".into());
    let mut photos: Vec<String> = arguments.collect();
    if photos.is_empty() {
        let drawn = std::fs::read_dir("fixtures/scenes")?
            .flatten()
            .map(|entry| entry.path().display().to_string());
        photos = drawn.filter(|path| !path.ends_with(".jsonl") && !path.ends_with(".md")).collect();
    }
    let dir = std::env::temp_dir().join(format!("mmsearch-example-{}", std::process::id()));
    let mut encoder = DualEncoder::mini(Device::Cpu)?;
    let mut library = Library::create_or_open(&dir, LibraryOptions::default())?;
    for (n, photo) in photos.iter().enumerate() {
        // The bytes may come from anywhere; metadata is any JSON of yours.
        let metadata = Metadata::from([("album".into(), (n % 3).into())]);
        let name = Path::new(photo).file_name().unwrap_or_default().to_string_lossy();
        library.add_image(&mut encoder, &name, &std::fs::read(photo)?, metadata)?;
    }
    library.refresh_snapshots_with(&mut encoder, &mut |_| ControlFlow::Continue(()))?;
    // Two pages of three, and how probable it is that each hit is one.
    let mut query = Query::text(&text).k(3);
    for _ in 0..2 {
        let page = library.explained(&mut encoder, &query)?;
        for hit in page.hits {
            let (score, probability) = (hit.score.unwrap_or_default(), hit.probability);
            println!("{score:.3}  {probability:?}  {}  {:?}", hit.item.source, hit.item.metadata);
        }
        query.after = page.next;
    }
    // By the words of names, captions and tags alone, which needs no encoder.
    let words = Query::text("scene 0003").mode(Mode::Keyword).k(1);
    for hit in library.explained_without_encoder(&words)?.hits {
        println!("{}  {:?}", hit.item.source, hit.keyword);
    }
    // Several terms, and only some of the items: like the best hit, less green, from one album.
    let best = library.search(&mut encoder, &Query::text(&text).k(1))?.remove(0).item.id;
    let query = Query::new(Term::Item(best))
        .and(Term::Text("green grass".into()), -1.0)
        .filter(Condition::parse("meta.album = 1 and width > 100")?);
    for hit in library.search(&mut encoder, &query)? {
        println!(
            "{:.3}  {}  {:?}",
            hit.score.unwrap_or_default(),
            hit.item.source,
            hit.term_scores
        );
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
