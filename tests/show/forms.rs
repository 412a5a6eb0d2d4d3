//! Every form of an answer.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::Place;
use crate::common::program::{json_lines, mmsearch, run, three_photos};
use crate::{HOSTILE_NAME, filled};

/// What stands on stdout; nothing may stand on stderr.
fn stdout(place: &Place, arguments: &[&str]) -> Vec<u8> {
    let output = mmsearch(place).args(arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    output.stdout
}

#[test]
fn lines_for_scripts_are_what_they_were() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let blue = place.photo("deep/blue.png");
    let (_, lines, _) = run(&place, &["query", "--text", "blue", "-k", "1"]);
    let (score, path) = lines.trim_end().split_once("  ").unwrap();
    assert_eq!((score.len(), path), (6, blue.to_str().unwrap()));
    let (_, lines, _) = run(&place, &["random", "-k", "9", "--seed", "1"]);
    assert!(lines.lines().count() == 3 && lines.lines().all(|line| line.starts_with('/')));
}

#[test]
fn paths_keep_their_bytes() {
    let place = filled();
    let blue = ["query", "--text", "blue", "-k", "1"];
    let path = place.photos().join(OsStr::from_bytes(HOSTILE_NAME));
    let path = path.as_os_str().as_bytes();
    for (flags, end) in
        [(&["-0"][..], b'\0'), (&["--null", "--paths"], b'\0'), (&["--paths"], b'\n')]
    {
        let expected = [path, &[end]].concat();
        assert_eq!(stdout(&place, &[&blue[..], flags].concat()), expected, "{flags:?}");
    }
    let members = stdout(&place, &["query", "--text", "green", "-k", "1", "--paths"]);
    let member = place.photo("t.tar!deep/green.png");
    assert_eq!(members, [member.as_os_str().as_bytes(), b"\n"].concat());
    // What was printed can be asked about.
    let (code, lines, _) = run(&place, &["similar", member.to_str().unwrap(), "-k", "1"]);
    assert!(code == 0 && lines.lines().count() == 1, "{lines}");
}

#[test]
fn values_separated_by_commas_read_back() {
    let place = filled();
    let bytes = stdout(&place, &["query", "--text", "red", "-k", "4", "--all", "--csv"]);
    assert!(bytes.starts_with(b"rank,score,probability,id,modality,source,path,line,caption,"));
    assert!(bytes.ends_with(b"\r\n"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let rows: Vec<csv::ByteRecord> = reader.byte_records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4);
    let row = |source: &[u8], name: &[u8]| {
        rows.iter().find(|row| &row[5] == source && row[6].ends_with(name)).unwrap()
    };
    let sofa = row(b"file", b"/sofa.jpg");
    assert_eq!((&sofa[8], &sofa[10]), (&b"a <b>red</b> \"sofa\",\r\nas it is"[..], &b"16"[..]));
    row(b"file", HOSTILE_NAME);
    row(b"tar", b"t.tar!deep/green.png");
    let number = |field: &[u8]| str::from_utf8(field).unwrap().parse::<f32>().unwrap();
    assert!(
        rows.iter().all(|row| number(&row[1]) <= 1.0 && (0.0..=1.0).contains(&number(&row[2])))
    );

    let bytes = stdout(&place, &["duplicates", "--csv"]);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("group,rank,score,") && text.contains("\r\n1,2,1,"), "{text}");
}

#[test]
fn a_contact_sheet_is_one_page_that_can_do_nothing() {
    let place = filled();
    let sheet = place.root().join("sheet.html");
    fs::write(&sheet, "an old one, which others may read").unwrap();
    let query = ["query", "--text", "red", "--to", "any", "--all", "--html", "sheet.html"];
    let (code, lines, stderr) = run(&place, &query);
    assert_eq!((code, lines.as_str(), stderr.as_str()), (0, "", "wrote sheet.html\n"));
    let page = fs::read_to_string(&sheet).unwrap();
    assert!(
        page.contains(r#"content="default-src 'none'; style-src 'unsafe-inline'; img-src data:""#)
    );
    assert!(!page.contains("<script") && !page.contains("<b>red"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;),&quot;a\\nb\\xff.png"));
    assert!(page.contains(r"<q>a &lt;b&gt;red&lt;/b&gt; &quot;sofa&quot;,\r\nas it is</q>"));
    assert!(!page.contains("no picture"), "{page}");
    assert_eq!(
        page.matches("<figure>").count(),
        page.matches("src=\"data:image/jpeg;base64,").count()
    );
    // Nothing in the page leads out of it.
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("href"));
    let mode = fs::metadata(&sheet).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "as private as the library");
    let names: Vec<OsString> =
        fs::read_dir(place.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("tmp")), "{names:?}");

    for (path, code) in [("photos", 2), ("nowhere/sheet.html", 5)] {
        let (found, _, stderr) = run(&place, &["random", "--html", path]);
        assert_eq!((found, stderr.lines().count()), (code, 1), "{stderr}");
    }
}

#[test]
fn a_picture_that_is_gone_leaves_the_rest_of_the_sheet() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    fs::remove_file(place.photo("red.png")).unwrap();
    assert_eq!(run(&place, &["random", "--html", "sheet.html"]).0, 0);
    let page = fs::read_to_string(place.root().join("sheet.html")).unwrap();
    assert_eq!((page.matches("<img").count(), page.matches("no picture: ").count()), (2, 1));
}

/// A viewer that writes down its arguments, each ended by NUL, into a pipe that the test reads.
#[test]
fn hits_are_opened_as_one_argument_each() {
    let place = filled();
    let (bin, pipe) = (place.root().join("bin"), place.root().join("opened"));
    fs::create_dir(&bin).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for viewer in ["xdg-open", "open"] {
        let script = format!("#!/bin/sh\nprintf '%s\\0' $# \"$@\" > {}\n", pipe.display());
        fs::write(bin.join(viewer), script).unwrap();
        fs::set_permissions(bin.join(viewer), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = [bin.as_os_str(), OsStr::new(":/usr/bin:/bin")].into_iter().collect::<OsString>();
    let query = ["query", "--text", "blue", "-k", "1", "--open", "--paths"];
    let output = mmsearch(&place).env("PATH", &path).args(query).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let blue = place.photos().join(OsStr::from_bytes(HOSTILE_NAME));
    let expected = [b"1\0", blue.as_os_str().as_bytes(), b"\0"].concat();
    assert_eq!(fs::read(&pipe).unwrap(), expected);
    // A member of a tar cannot be opened, and a viewer that is not there is told of.
    let green = ["query", "--text", "green", "-k", "1", "--open"];
    let output = mmsearch(&place).args(green).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.starts_with("not opened: "), "{stderr}");
    let output = mmsearch(&place).env("PATH", "/nowhere").args(query).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(output.stdout, [blue.as_os_str().as_bytes(), b"\n"].concat(), "it is shown anyway");
}

#[test]
fn thumbnails_for_whoever_asks() {
    let place = filled();
    let query = ["query", "--text", "green", "-k", "2", "--all", "--thumbnails"];
    let lines = |mode| String::from_utf8(stdout(&place, &[&query[..], &[mode]].concat())).unwrap();
    let always = lines("always");
    assert!(always.starts_with("score   probability  path"), "{always}");
    assert_eq!(always.matches("\x1b_Ga=T,q=2,f=24,s=16,v=16,r=8,m=0;").count(), 2);
    assert!(!lines("auto").contains('\x1b') && !lines("never").contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_has_what_it_wanted() {
    let place = filled();
    for form in
        [&[][..], &["--json"], &["--csv"], &["--paths"], &["-0"], &["--thumbnails", "always"]]
    {
        for command in [&["query", "--text", "red"][..], &["random"], &["duplicates"]] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let arguments = [command, form].concat();
            let output = mmsearch(&place).args(&arguments).stdout(writer).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
        }
    }
}

#[test]
fn one_form_at_a_time() {
    let place = filled();
    for flags in [
        &["--json", "--csv"][..],
        &["--json", "--paths"],
        &["--csv", "-0"],
        &["--html", "x.html", "--json"],
        &["--html", "x.html", "--open"],
        &["--thumbnails", "always", "--csv"],
    ] {
        assert_eq!(run(&place, &[&["random"], flags].concat()).0, 2, "{flags:?}");
    }
    assert!(!place.root().join("x.html").exists());
    // Ids say which items were drawn.
    let ids = |seed: &str| {
        let (_, lines, _) = run(&place, &["random", "--seed", seed, "--json", "--to", "any"]);
        json_lines(&lines).iter().map(|line| line["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("7"), ids("7"));
}
