//! Imports go down only, and each outside library has one home; the sources are read to see it.

#![expect(clippy::unwrap_used, reason = "helpers of a test; clippy knows only its test functions")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The layers from the bottom up; a name is a module of the crate's root.
///
/// A module may import from lower layers. Within a layer only the use cases may import each other.
const LAYERS: [&[&str]; 4] = [
    &["condition", "embedding", "error", "item", "pixels", "query", "tag"],
    &["catalog", "encoder", "index", "media"],
    USE_CASES,
    &["bin", "server"],
];
const USE_CASES: &[&str] = &["library", "train", "eval"];

/// An outside library, macro or keyword, and the only places below `src` where it may occur.
const HOMES: [(&str, &[&str]); 24] = [
    ("rusqlite", &["catalog/"]),
    ("nix::", &["catalog/medium.rs"]),
    ("hnsw_rs", &["index/hnsw.rs"]),
    ("memchr", &["media/jpeg_end.rs", "media/jpeg_thin/scan.rs"]),
    ("memmap2", &["index/snapshot/map.rs"]),
    ("unsafe", &["index/kernel_avx2.rs", "index/kernel_neon.rs", "index/snapshot/map.rs"]),
    ("tch", &["encoder/", "train/"]),
    ("image::", &["media/"]),
    ("exif::", &["media/"]),
    ("quick_xml", &["media/words/xmp.rs"]),
    ("clap", &["bin/"]),
    ("clap_mangen", &["bin/mmsearch/man.rs"]),
    ("base64", &["bin/mmsearch/show/"]),
    ("icy_sixel", &["bin/mmsearch/show/thumbnails.rs"]),
    ("terminal_size", &["bin/mmsearch/show/mod.rs"]),
    ("unicode_width", &["bin/mmsearch/show/table.rs"]),
    ("notify", &["bin/mmsearch/watch/places.rs"]),
    ("hf_hub", &["bin/mmsearch/hub/mod.rs"]),
    ("ureq", &["bin/mmsearch/hub/fetch.rs"]),
    ("ring::", &["bin/mmsearch/hub/checksum.rs"]),
    ("println!", &["bin/"]),
    ("print!", &["bin/"]),
    ("eprintln!", &["bin/"]),
    ("process::exit", &["bin/"]),
];

#[test]
fn imports_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(src.join("lib.rs")).unwrap();
    let exports = exports(&without_comments(&root));
    assert_eq!(exports.get("Embedding").map(String::as_str), Some("embedding"));
    let mut n_files = 0;
    let mut breaches = Vec::new();
    visit(&src, &mut |path| {
        n_files += 1;
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        breaches.extend(find_breaches(&path, &text, &exports));
    });
    assert!(n_files > 10, "only {n_files} files were read");
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_breach_is_found() {
    let exports = exports("pub use embedding::Embedding; pub use library::{Library, sync::Plan};");
    let check = |path: &str, text: &str| find_breaches(path, text, &exports).len();
    for (path, text) in [
        ("item.rs", "use crate::library::Library;"),
        ("item.rs", "use crate::Library;"),
        ("item.rs", "use crate::Plan;"),
        ("index/mod.rs", "use crate::{\n    error::Error,\n    catalog::Row,\n};"),
        ("media/walk.rs", "fn f() { crate::encoder::fake() }"),
        ("train/mod.rs", "use crate::server;"),
        ("library/sync.rs", "use mmsearch::bin;"),
        ("unheard_of.rs", ""),
        ("index/mod.rs", "use crate::unheard_of;"),
        ("library/mod.rs", "use rusqlite::Connection;"),
        ("index/graph.rs", "use hnsw_rs::hnsw::Hnsw;"),
        ("catalog/mod.rs", "let x = tch::Tensor::new();"),
        ("encoder/preprocess.rs", "use image::DynamicImage;"),
        ("library/mod.rs", "let x = exif::Reader::new();"),
        ("media/words/iptc.rs", "use quick_xml::Reader;"),
        ("library/mod.rs", "use clap::Parser;"),
        ("library/mod.rs", "use ureq::Agent;"),
        ("library/index.rs", "use notify::Watcher;"),
        ("bin/mmsearch/query.rs", "let client = ureq::get(url);"),
        ("library/mod.rs", "println!(\"hello\");"),
        ("library/mod.rs", "std::process::exit(1);"),
        ("index/walk.rs", "unsafe { x.get_unchecked(0) }"),
        ("index/walk.rs", "let quote = '\"'; unsafe {}"),
    ] {
        assert_eq!(check(path, text), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("index/mod.rs", "use crate::{error::Error, index::graph, Embedding};"),
        (
            "item.rs",
            "//! See [`crate::library::Library`].\n/* use crate::library */ let x = \"crate::library\";",
        ),
        ("library/mod.rs", "use crate::{catalog, encoder::{image, Encoder}, media};"),
        ("library/mod.rs", "use crate::media::exif::Facts; let x = crate::media::exif::read();"),
        ("train/mod.rs", "use crate::eval::recall; use tch::Tensor;"),
        ("encoder/mod.rs", "mod image;\nuse image::Tower; let match_ = batch; Modality::Image;"),
        ("bin/mmsearch/main.rs", "use mmsearch::library; use clap::Parser; println!();"),
        ("index/snapshot/map.rs", "unsafe {} use memmap2::Mmap;"),
        (
            "index/hnsw.rs",
            "use hnsw_rs::hnsw::Hnsw; fn f<'a>(x: &'a str) { r#\"unsafe \"quoted\"\"#; }",
        ),
        (
            "error.rs",
            "#![expect(unsafe_code)] catch(AssertUnwindSafe(f)); writeln!(out); sprintln!();",
        ),
    ] {
        assert_eq!(find_breaches(path, text, &exports), [""; 0], "{path}: {text}");
    }
}

/// Calls `f` with every Rust file below `dir`, in a fixed order.
fn visit(dir: &Path, f: &mut dyn FnMut(&Path)) {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            visit(&path, f);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            f(&path);
        }
    }
}

/// What is wrong in one file, whose path is relative to `src`.
fn find_breaches(path: &str, text: &str, exports: &HashMap<String, String>) -> Vec<String> {
    let text = without_comments(text);
    let mut breaches = Vec::new();
    let own = path.split('/').next().unwrap().trim_end_matches(".rs");
    // The root names every module, and has the examples of the whole crate.
    if own != "lib" {
        if layer_of(own).is_none() {
            breaches.push(format!("{path}: module `{own}` is in no layer; put it into LAYERS"));
        }
        for name in imports(&text, own) {
            let module = exports.get(&name).unwrap_or(&name);
            if !may_import(own, module) {
                breaches.push(format!("{path}: `{own}` may not import `{module}`"));
            }
        }
    }
    for (word, homes) in HOMES {
        let is_home = homes.iter().any(|home| path.starts_with(home));
        let own_module = format!("mod {};", word.trim_end_matches(':'));
        if !is_home && !text.contains(&own_module) && occurs(&text, word) {
            breaches.push(format!("{path}: `{word}` belongs into {homes:?}"));
        }
    }
    breaches
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_import(own: &str, other: &str) -> bool {
    let (Some(own_layer), Some(other_layer)) = (layer_of(own), layer_of(other)) else {
        return own == other || layer_of(own).is_none();
    };
    let both_use_cases = USE_CASES.contains(&own) && USE_CASES.contains(&other);
    let both_core = own_layer == 0 && other_layer == 0;
    own == other || own_layer > other_layer || both_use_cases || both_core
}

/// The first segment of every path into the library. The program is a crate of its own, whose `crate::` are its
/// own files.
fn imports(text: &str, own: &str) -> Vec<String> {
    let mut found = Vec::new();
    let roots: &[&str] = if own == "bin" { &["mmsearch::"] } else { &["crate::", "mmsearch::"] };
    for root in roots {
        for rest in places(text, root).map(|place| &text[place + root.len()..]) {
            match rest.trim_start().strip_prefix('{') {
                Some(group) => found.extend(group_heads(group)),
                None => found.push(head(rest)),
            }
        }
    }
    found
}

/// The first segment of each member of a `{…}` group, whose opening brace is already read.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut member) = (0, String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&std::mem::take(&mut member))),
            _ => {}
        }
        if c != ',' {
            member.push(c);
        }
    }
    heads.push(head(&member));
    heads.retain(|head| !head.is_empty());
    heads
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|&c| is_word(c)).collect()
}

/// Which module each name that the root re-exports comes from.
fn exports(root: &str) -> HashMap<String, String> {
    let mut exports = HashMap::new();
    for place in places(root, "pub use ") {
        let statement = root[place + "pub use ".len()..].split(';').next().unwrap();
        let module = head(statement.trim_start_matches("crate::").trim_start_matches("self::"));
        let names = statement.split(|c: char| !is_word(c)).filter(|name| !name.is_empty());
        exports.extend(names.skip(1).map(|name| (name.to_owned(), module.clone())));
    }
    exports
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` occurs as a whole, and at the start of a path if it ends in `::`.
fn occurs(text: &str, word: &str) -> bool {
    places(text, word).any(|place| !(word.ends_with("::") && text[..place].ends_with(':')))
}

/// Where `word` begins, with no other word before or after it.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(place, _)| place).filter(move |&place| {
        let goes_on = word.ends_with(is_word) && text[place + word.len()..].starts_with(is_word);
        !text[..place].ends_with(is_word) && !goes_on
    })
}

/// The code alone: comments are cut out and the contents of strings and characters too.
fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped =
            skip_comment(rest).or_else(|| skip_raw_string(rest)).or_else(|| skip_quoted(rest));
        match skipped {
            Some(len) => {
                code.push(' ');
                rest = rest.get(len..).unwrap_or("");
            }
            None => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    code
}

/// Length of the comment that `rest` begins with.
fn skip_comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    None
}

/// Length of the `r#"…"#` that `rest` begins with.
fn skip_raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let n_hashes = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[n_hashes..].strip_prefix('"')?;
    let start = 1 + n_hashes + 1;
    let end = format!("\"{}", "#".repeat(n_hashes));
    Some(rest[start..].find(&end).map_or(rest.len(), |len| start + len + end.len()))
}

/// Length of the string or character that `rest` begins with; a lifetime is neither.
fn skip_quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut chars = rest.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(place + 1);
        } else if quote == '\'' && !rest[place + c.len_utf8()..].starts_with('\'') {
            return None;
        }
    }
    Some(rest.len())
}
