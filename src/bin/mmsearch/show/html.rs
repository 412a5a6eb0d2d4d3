//! The contact sheet: one page that holds its own pictures, and that can do nothing but be looked at.
//!
//! Captions and names are foreign text. All of it is escaped, and should a character slip through, the page's own policy
//! allows neither scripts nor anything from elsewhere.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mmsearch::Error;
use mmsearch::media::{SourcePictures, jpeg_bytes};

use super::thumbnails::small;
use super::{Entry, Group, group_title};
use crate::output::{escaped_text, source_text};
use crate::picture::decoder_of_environment;

/// The longer side of a thumbnail, in pixels.
const LONGEST: u32 = 320;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<title>mmsearch</title>
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
section { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-end; }
figure { margin: 0; width: 320px; }
img { display: block; max-width: 100%; height: auto; }
figcaption { padding-top: .3rem; overflow-wrap: anywhere; }
figcaption span, figcaption time, .none { display: block; opacity: .7; }
q { display: block; quotes: none; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
</style>
</head>
<body>
"#;

/// Writes the page to a sibling of `path` and renames it, so that whoever reads it finds all of it or none.
pub(super) fn write(path: &Path, groups: &[Group<'_>]) -> Result<()> {
    let failed = |action| move |error| Error::Io { action, path: path.into(), error };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    if name.is_empty() || path.is_dir() {
        let reason = format!("{} cannot be a file; name one for --html", path.display());
        return Err(Error::BadOption { reason }.into());
    }
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    // The pictures are as private as the library; nothing that lies there already is followed or written to.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(&temporary).map_err(failed("create"))?;
    let mut writer = BufWriter::new(file);
    let written = write_page(&mut writer, groups)
        .and_then(|()| writer.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _it_may_be_gone = fs::remove_file(&temporary);
    }
    Ok(written.map_err(failed("write"))?)
}

fn write_page(page: &mut impl Write, groups: &[Group<'_>]) -> io::Result<()> {
    let mut pictures = SourcePictures::default().with_decoder(decoder_of_environment());
    page.write_all(HEAD.as_bytes())?;
    for group in groups {
        if let Some(is_identical) = group.is_identical {
            writeln!(page, "<h2>{}</h2>", group_title(group, is_identical))?;
        }
        writeln!(page, "<section>")?;
        for entry in &group.entries {
            writeln!(page, "{}", figure(&mut pictures, entry))?;
        }
        writeln!(page, "</section>")?;
    }
    writeln!(page, "</body>\n</html>")
}

fn figure(pictures: &mut SourcePictures, entry: &Entry<'_>) -> String {
    let mut parts = vec!["<figure>".to_owned()];
    if entry.has_picture() {
        parts.push(picture(pictures, entry));
    }
    parts.push("<figcaption>".into());
    parts.extend(entry.score.map(|score| format!("<b>{score:.4}</b>")));
    parts.extend(entry.probability.map(|probability| format!(" <b>{probability:.3}</b>")));
    parts.extend(entry.caption.as_deref().map(|caption| format!("<q>{}</q>", text(caption))));
    parts.push(format!("<span>{}</span>", safe(&source_text(entry.shown()))));
    parts.extend(
        entry.taken_at().map(|taken| format!("<time>{}</time>", text(&taken.replace('T', " ")))),
    );
    parts.push("</figcaption></figure>".into());
    parts.concat()
}

/// The picture, or why there is none.
fn picture(pictures: &mut SourcePictures, entry: &Entry<'_>) -> String {
    encoded(pictures, entry).unwrap_or_else(|error| {
        format!(r#"<span class="none">no picture: {}</span>"#, text(&format!("{error:#}")))
    })
}

fn encoded(pictures: &mut SourcePictures, entry: &Entry<'_>) -> Result<String> {
    let pixels = small(pictures, entry, LONGEST)?;
    let (width, height) = (pixels.width(), pixels.height());
    let data = STANDARD.encode(jpeg_bytes(&pixels)?);
    Ok(format!(
        r#"<img alt="" width="{width}" height="{height}" src="data:image/jpeg;base64,{data}">"#
    ))
}

/// Foreign text for the page.
fn text(text: &str) -> String {
    safe(&escaped_text(text))
}

/// A text without control characters as text of HTML, or as a value in quotation marks.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::super::testing::{entry, image};
    use super::*;

    #[test]
    fn no_foreign_text_becomes_markup() {
        let name = OsStr::from_bytes(b"/\"><script>alert(1)</script>\xff\n.jpg");
        let item = image(Path::new(name), Some("<b>'2024'"));
        let caption = "</q><img src=x onerror=\"alert('1')\">\u{202e}&amp;";
        let mut page = Vec::new();
        let entries = vec![entry(&item, 0.5, Some(caption))];
        write_page(&mut page, &[Group { entries, is_identical: None }]).unwrap();
        let page = String::from_utf8(page).unwrap();
        let body = page.split_once("<body>").unwrap().1;
        let expected = concat!(
            r#"<b>0.5000</b><q>&lt;/q&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;\u{202e}&amp;amp;</q>"#,
            r#"<span>/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\xff\n.jpg</span>"#,
            r#"<time>&lt;b&gt;&#39;2024&#39;</time>"#,
        );
        assert!(body.contains(expected), "{body}");
        assert!(body.contains(r#"<span class="none">no picture: cannot open "#), "{body}");
        assert!(!body.contains("<script") && !body.contains("<img"), "{body}");
    }
}
