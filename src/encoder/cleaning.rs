//! What a reference implementation mends in a text before its tokens are looked up.
//!
//! [`Cleaning::Web`] follows OpenCLIP: the `ftfy` library's repair of single characters, HTML entities, joined spaces, small letters.
//! Left out are ftfy's guesses at texts that were decoded with a wrong encoding, and entities without a semicolon.

use std::borrow::Cow;

use tokenizers::normalizers::unicode::{NFC, NFKC};
use tokenizers::{NormalizedString, Normalizer};

use crate::encoder::config::Cleaning;

/// Entities within entities are decoded so deep; more would take time that grows with the square of the text.
const MAX_PASSES: usize = 16;

/// What Windows-1252 has at 0x80..=0x9f; the five gaps stay what they are.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Cleaning {
    /// The text whose tokens are looked up.
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(text),
            Self::Lower => Cow::Owned(text.to_lowercase()),
            Self::Web => Cow::Owned(joined(&mended(text)).to_lowercase()),
            Self::Canonical => {
                let words = mended(text).replace('_', " ");
                let words: String = words.chars().filter(|c| !c.is_ascii_punctuation()).collect();
                Cow::Owned(joined(&words.to_lowercase()))
            }
        }
    }
}

/// Words with one space between them.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Repairs until nothing changes, then decodes entities twice, as OpenCLIP does.
fn mended(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_PASSES {
        // With an angle bracket the text may be markup whose entities are meant.
        let decoded = if text.contains('<') { text.clone() } else { unescaped(&text) };
        let next =
            composed(&without_escapes(&decoded).chars().flat_map(repaired).collect::<String>());
        if next == text {
            break;
        }
        text = Cow::Owned(next);
    }
    unescaped(&unescaped(&text)).into_owned()
}

fn unescaped(text: &str) -> Cow<'_, str> {
    html_escape::decode_html_entities(text)
}

/// Without the escape sequences that colour a terminal.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let after = &rest[at + 2..];
        let code = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let ends = code.starts_with(|c: char| c.is_ascii_alphabetic());
        out.push_str(&rest[..if ends { at } else { at + 2 }]);
        rest = if ends { &code[1..] } else { after };
    }
    out + rest
}

/// One character as ftfy leaves it: straight quotes, ligatures as letters, usual widths, no control characters.
fn repaired(c: char) -> Vec<char> {
    let letters = |letters: &str| letters.chars().collect();
    match c {
        '\u{80}'..='\u{9f}' => vec![WINDOWS_1252[c as usize - 0x80]],
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => vec!['\''],
        '\u{201c}'..='\u{201f}' => vec!['"'],
        'Ĳ' => letters("IJ"),
        'ĳ' => letters("ij"),
        'ŉ' => letters("ʼn"),
        'Ǳ' => letters("DZ"),
        'ǲ' => letters("Dz"),
        'ǳ' => letters("dz"),
        'Ǆ' => letters("DŽ"),
        'ǅ' => letters("Dž"),
        'ǆ' => letters("dž"),
        'Ǉ' => letters("LJ"),
        'ǈ' => letters("Lj"),
        'ǉ' => letters("lj"),
        'Ǌ' => letters("NJ"),
        'ǋ' => letters("Nj"),
        'ǌ' => letters("nj"),
        'ﬀ' => letters("ff"),
        'ﬁ' => letters("fi"),
        'ﬂ' => letters("fl"),
        'ﬃ' => letters("ffi"),
        'ﬄ' => letters("ffl"),
        'ﬅ' => letters("ſt"),
        'ﬆ' => letters("st"),
        '\u{3000}' | '\u{ff01}'..='\u{ffef}' => normalized(&c.to_string(), &NFKC).chars().collect(),
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' => Vec::new(),
        '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffc}' | '\u{feff}' => Vec::new(),
        c => vec![c],
    }
}

fn composed(text: &str) -> String {
    normalized(text, &NFC)
}

fn normalized(text: &str, form: &impl Normalizer) -> String {
    let mut normalized = NormalizedString::from(text);
    form.normalize(&mut normalized).expect("Unicode normal forms are defined for every text");
    normalized.get().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: `open_clip.tokenizer._clean_lower` of open_clip_torch 3.3.0 with ftfy 6.3.1.
    #[test]
    fn web_texts_are_mended_as_in_openclip() {
        for (text, expected) in [
            ("  A  Dog\t& a\ncat ", "a dog & a cat"),
            ("“Don’t” &amp;amp; &lt;b&gt;", "\"don't\" & <b>"),
            ("ｆｕｌｌ　ｗｉｄｔｈ ﬁsh", "full width fish"),
            ("e\u{301}t\u{e9}", "\u{e9}t\u{e9}"),
            ("\u{1b}[31mred\u{1b}[0m \u{feff}x\u{0}y\u{7}", "red xy"),
            ("\u{91}quoted\u{92} \u{80}5", "'quoted' €5"),
            ("P&eacute;rez &#233; &#x1F600;", "pérez é 😀"),
            ("", ""),
        ] {
            assert_eq!(Cleaning::Web.apply(text), expected, "{text:?}");
        }
    }

    #[test]
    fn canonical_texts_have_no_punctuation() {
        let found = Cleaning::Canonical.apply("A dog's_life -- (in London)!");
        assert_eq!(found, "a dogs life in london");
    }
}
