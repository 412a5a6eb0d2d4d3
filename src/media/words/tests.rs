//! Packets written by hand, whole and damaged.

use proptest::prelude::*;

use super::*;

/// A packet around properties, with the usual prefixes declared.
fn packet(properties: &str) -> Vec<u8> {
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">
          <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">
           <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:no=\"http://no/\">
            {properties}
           </rdf:Description>
          </rdf:RDF>
         </x:xmpmeta>
         <?xpacket end=\"w\"?>\0\0"
    )
    .into_bytes()
}

fn subject(items: &str) -> Vec<u8> {
    packet(&format!("<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"))
}

fn of_xmp(packet: &[u8]) -> Words {
    Words::read(Some(packet), None, None)
}

fn of_iptc(profile: &[u8]) -> Words {
    Words::read(None, Some(profile), None)
}

fn tags(words: &Words) -> Vec<&str> {
    words.tags.iter().map(Tag::as_str).collect()
}

fn data_set(record: u8, number: u8, value: &[u8]) -> Vec<u8> {
    [&[0x1C, record, number], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

fn resource(id: u16, name: &[u8], data: &[u8]) -> Vec<u8> {
    let name = [&[name.len() as u8], name, &[0][..(name.len() + 1) % 2]].concat();
    let length = (data.len() as u32).to_be_bytes();
    [b"8BIM", &id.to_be_bytes()[..], &name, &length, data, &[0][..data.len() % 2]].concat()
}

fn records() -> Vec<u8> {
    [
        data_set(2, 0, &[0, 4]),
        data_set(2, 25, b"Dog"),
        data_set(2, 25, b"North Sea\0"),
        data_set(2, 120, b"A dog\r\non the beach"),
        data_set(3, 25, b"no keyword"),
    ]
    .concat()
}

#[test]
fn keywords_are_the_items_of_a_bag_or_sequence() {
    let found = of_xmp(&subject("<rdf:li>Dog</rdf:li>\n<rdf:li> New York\n</rdf:li><rdf:li/>"));
    assert_eq!(tags(&found), ["dog", "new york"]);
    let sequence = "<dc:subject><rdf:Seq><rdf:li>sea</rdf:li></rdf:Seq></dc:subject>";
    assert_eq!(tags(&of_xmp(&packet(sequence))), ["sea"]);
    // Some programs write no list.
    assert_eq!(tags(&of_xmp(&packet("<dc:subject>sea</dc:subject>"))), ["sea"]);
    let twice = format!("{sequence}<dc:subject/>{}", sequence.replace("sea", "dog"));
    assert_eq!(tags(&of_xmp(&packet(&twice))), ["dog", "sea"]);
}

#[test]
fn namespaces_count_and_prefixes_do_not() {
    let other = "<a:RDF xmlns:a='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
        <a:Description><subject xmlns='http://purl.org/dc/elements/1.1/'>
          <a:Bag><a:li>dog</a:li></a:Bag></subject></a:Description></a:RDF>";
    assert_eq!(tags(&of_xmp(other.as_bytes())), ["dog"]);
    for properties in [
        "<no:subject><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></no:subject>",
        "<subject><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></subject>",
        "<dc:subject xmlns:dc='http://no/'><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>",
        "<dc:subject><rdf:Bag><no:li>dog</no:li></rdf:Bag></dc:subject>",
        "<dc:subjects><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></dc:subjects>",
    ] {
        assert_eq!(of_xmp(&packet(properties)), Words::default(), "{properties}");
    }
}

#[test]
fn entities_are_characters_and_nothing_is_expanded() {
    let found = of_xmp(&subject(
        "<rdf:li>rock &amp; roll</rdf:li><rdf:li>&#x72d7;&#33;</rdf:li><rdf:li><![CDATA[a<b]]></rdf:li>",
    ));
    assert_eq!(tags(&found), ["a<b", "rock & roll", "狗!"]);
    let declared = format!(
        "<!DOCTYPE x [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>{}",
        String::from_utf8(subject("<rdf:li>x&b;y</rdf:li>")).unwrap()
    );
    assert_eq!(tags(&of_xmp(declared.as_bytes())), ["xy"]);
}

#[test]
fn of_the_languages_the_default_one_is_taken() {
    let description = |items: &str| {
        let found = packet(&format!("<dc:description><rdf:Alt>{items}</rdf:Alt></dc:description>"));
        of_xmp(&found).description
    };
    let german = "<rdf:li xml:lang=\"de\">Ein Hund</rdf:li>";
    let default = "<rdf:li xml:lang=\"x-default\">A dog</rdf:li>";
    assert_eq!(description(&[german, default].concat()).unwrap(), "A dog");
    assert_eq!(description(&[default, german].concat()).unwrap(), "A dog");
    assert_eq!(description(german).unwrap(), "Ein Hund");
    let blank = "<rdf:li xml:lang=\"x-default\"> </rdf:li>";
    assert_eq!(description(&[blank, german].concat()).unwrap(), "Ein Hund");
    assert_eq!(description(blank), None);
}

#[test]
fn a_malformed_packet_is_read_up_to_there() {
    let whole = packet(
        "<dc:subject><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>
         <dc:description><rdf:Alt><rdf:li>A dog</rdf:li></rdf:Alt></dc:description>",
    );
    let both = of_xmp(&whole);
    assert_eq!((tags(&both), both.description.as_deref()), (vec!["dog"], Some("A dog")));
    let text = String::from_utf8(whole).unwrap();
    let cut = of_xmp(text.split("A dog").next().unwrap().as_bytes());
    assert_eq!((tags(&cut), cut.description.as_deref()), (vec!["dog"], None));
    let crossed = text.replace("</rdf:li></rdf:Alt>", "</rdf:Alt></rdf:li>");
    assert_eq!(of_xmp(crossed.as_bytes()), cut);
    assert_eq!(of_xmp(text.replace("<dc:subject>", "<dc:subject").as_bytes()), Words::default());
    let no_text = [b"\xff\xfe".as_slice(), text.as_bytes()].concat();
    assert_eq!(of_xmp(&no_text).description, None);
}

/// A parser that recurses would end the process; control: a packet that is a little shorter is read.
#[test]
fn depth_does_no_harm_and_what_is_too_long_is_not_read() {
    let nested = |n: usize| {
        let levels = format!("{}{{}}{}", "<no:x>".repeat(n), "</no:x>".repeat(n));
        let bag = "<dc:subject><rdf:Bag><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>";
        of_xmp(&packet(&levels.replace("{}", bag)))
    };
    assert_eq!(tags(&nested(60_000)), ["dog"]);
    assert_eq!(nested(70_000), Words::default(), "more than the reader counts");
    let wide: String = (0..200).map(|n| format!(" xmlns:n{n}='u'")).collect();
    let declared = |n| packet(&format!("<no:x{}><dc:subject>dog</dc:subject></no:x>", &wide[..n]));
    assert_eq!(tags(&of_xmp(&declared(0))), ["dog"]);
    assert_eq!(of_xmp(&declared(wide.len())), Words::default());
    let open = [packet("")[..300].to_vec(), b"<dc:subject>".repeat(80_000)].concat();
    assert_eq!(of_xmp(&open), Words::default());

    let long = |n: usize| of_xmp(&subject(&format!("<rdf:li>dog</rdf:li>{}", " ".repeat(n))));
    assert_eq!(tags(&long(MAX_PACKET_BYTES - 1_000)), ["dog"]);
    assert_eq!(long(MAX_PACKET_BYTES), Words::default());
}

#[test]
fn records_are_read_bare_in_resources_and_in_digits() {
    let in_jpeg = [
        resource(0x0425, b"", &[7; 15]),
        resource(0x03ED, b"odd", &[0; 16]),
        resource(0x0404, b"", &records()),
        resource(0x0404, b"", &data_set(2, 25, b"later")),
    ]
    .concat();
    let digits: String = in_jpeg.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = digits.split_at(72);
    let in_png = format!("\niptc\n{:8}\n{first}\n{rest}\n", in_jpeg.len());
    for profile in [records(), in_jpeg, in_png.into_bytes()] {
        let found = of_iptc(&profile);
        assert_eq!(tags(&found), ["dog", "north sea"]);
        assert_eq!(found.description.as_deref(), Some("A dog on the beach"));
    }
    assert_eq!(of_iptc(&resource(0x0405, b"", &records())), Words::default());
}

#[test]
fn records_say_how_they_are_encoded_or_it_is_guessed() {
    let keyword = |encoding: &[u8], value: &[u8]| {
        let found = of_iptc(&[data_set(1, 90, encoding), data_set(2, 25, value)].concat());
        found.tags.into_iter().next().map(|tag| tag.to_string())
    };
    assert_eq!(keyword(b"\x1b%G", "Bär".as_bytes()).unwrap(), "bär");
    assert_eq!(keyword(b"\x1b%G", b"B\xe4r").unwrap(), "b\u{fffd}r");
    assert_eq!(keyword(b"", "Bär".as_bytes()).unwrap(), "bär");
    assert_eq!(keyword(b"", b"B\xe4r").unwrap(), "bär");
}

#[test]
fn cut_and_damaged_records_are_read_up_to_there() {
    let whole = resource(0x0404, b"", &records());
    let mut n_tags = Vec::new();
    for end in 0..=whole.len() {
        n_tags.push(of_iptc(&whole[..end]).tags.len());
    }
    assert!(n_tags.is_sorted() && n_tags.contains(&1) && n_tags.last() == Some(&2), "{n_tags:?}");
    let preview = [&[0x1C, 8, 10, 0x80, 4, 0, 1, 0, 0][..], &data_set(2, 25, b"sea")].concat();
    let found = of_iptc(&[data_set(2, 25, b"dog"), preview].concat());
    assert_eq!(tags(&found), ["dog"]);
}

#[test]
fn places_are_joined_and_the_newest_describes() {
    let xmp = subject("<rdf:li>dog</rdf:li><rdf:li>Beach</rdf:li>");
    let iptc = records();
    let exif = || Some("from the camera".to_owned());
    let both = Words::read(Some(&xmp), Some(&iptc), exif());
    assert_eq!(tags(&both), ["beach", "dog", "north sea"]);
    assert_eq!(both.description.as_deref(), Some("A dog on the beach"));
    let described = packet("<dc:description>newest</dc:description>");
    let newest = Words::read(Some(&described), Some(&iptc), exif()).description;
    assert_eq!(newest.as_deref(), Some("newest"));
    assert_eq!(Words::read(Some(&xmp), None, exif()).description, exif());
    for said in ["OLYMPUS DIGITAL CAMERA         ", "Olympus Digital Camera", "\t ", "dav", "\0"] {
        assert_eq!(Words::read(None, None, Some(said.into())), Words::default(), "{said:?}");
        let copied =
            packet(&format!("<dc:description>{}</dc:description>", said.trim_matches('\0')));
        assert_eq!(Words::read(Some(&copied), None, exif()).description, exif());
    }
}

#[test]
fn what_is_too_much_is_left_out() {
    let keywords: String = (0..300).map(|n| format!("<rdf:li>{n:03}</rdf:li>")).collect();
    let found = of_xmp(&subject(&keywords));
    assert_eq!((found.tags.len(), found.tags[255].as_str()), (256, "255"));
    let long = format!("<rdf:li>{}</rdf:li><rdf:li>dog</rdf:li>", "x".repeat(101));
    assert_eq!(tags(&of_xmp(&subject(&long))), ["dog"]);
    let described = data_set(2, 120, "ä\u{1b}[31m ".repeat(1_000).as_bytes());
    let text = of_iptc(&described).description.unwrap();
    assert!(text.starts_with("ä[31m ä[31m") && text.chars().count() == 2_000, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, there is an answer in bounds.
    #[test]
    fn no_bytes_break_out(
        rubbish in prop::collection::vec(any::<u8>(), 0..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let xmp = packet(
            "<dc:subject><rdf:Bag><rdf:li>d&amp;g</rdf:li></rdf:Bag></dc:subject>
             <dc:description><rdf:Alt><rdf:li xml:lang='x-default'>A dog</rdf:li></rdf:Alt></dc:description>",
        );
        let iptc = resource(0x0404, b"odd", &records());
        for bytes in [xmp, iptc, b"\niptc\n 9\n1c021900".to_vec()] {
            let mut damaged = bytes.clone();
            for (index, byte) in &damage {
                let position = index.index(damaged.len());
                damaged[position] = *byte;
            }
            for bytes in [&damaged, &rubbish, &[&bytes[..4], &rubbish].concat()] {
                let found = Words::read(Some(bytes), Some(bytes), None);
                prop_assert!(found.tags.len() <= MAX_KEYWORDS && found.tags.is_sorted());
                let said = found.description.unwrap_or_default();
                prop_assert!(!said.chars().any(char::is_control), "{said:?}");
            }
        }
    }
}
