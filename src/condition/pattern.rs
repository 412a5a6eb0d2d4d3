//! Patterns: `like` with `%` and `_`, `glob` with `*`, `?` and sets.
//!
//! SQLite has both, but its own take exponential time for some patterns and stop at a NUL.

/// A pattern that is ready to be compared with.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
    ignores_case: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    /// Any text, also none.
    Any,
    /// Any one character.
    One,
    Char(char),
    /// One character that is in these ranges, or in none of them.
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// `%` is any text, `_` any character; upper and lower case are the same.
    pub(crate) fn like(pattern: &str) -> Self {
        let piece = |char| match char {
            '%' => Piece::Any,
            '_' => Piece::One,
            char => Piece::Char(char),
        };
        Self { pieces: folded(pattern.chars()).map(piece).collect(), ignores_case: true }
    }

    /// `*` is any text, `?` any character, `[a-z]` and `[^a-z]` one of a set; a `[` that is not closed is itself.
    pub(crate) fn glob(pattern: &str) -> Self {
        let chars: Vec<char> = pattern.chars().collect();
        let (mut pieces, mut at) = (Vec::new(), 0);
        while let Some(&char) = chars.get(at) {
            at += 1;
            pieces.push(match char {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => match set(&chars[at..]) {
                    Some((set, length)) => {
                        at += length;
                        set
                    }
                    None => Piece::Char('['),
                },
                char => Piece::Char(char),
            });
        }
        Self { pieces, ignores_case: false }
    }

    /// Whether a text is as the pattern says; bytes that are no text count as one unknown character.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let chars: Vec<char> = match self.ignores_case {
            true => folded(text.chars()).collect(),
            false => text.chars().collect(),
        };
        self.matches_chars(&chars)
    }

    /// When a piece does not match, only the last [`Piece::Any`] needs to take one character more: the time is the
    /// product of the two lengths at worst.
    fn matches_chars(&self, chars: &[char]) -> bool {
        let (mut piece, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < chars.len() {
            match self.pieces.get(piece) {
                Some(Piece::Any) => {
                    retry = Some((piece, at));
                    piece += 1;
                }
                Some(other) if other.takes(chars[at]) => {
                    piece += 1;
                    at += 1;
                }
                Some(_) | None => {
                    let Some((any, taken)) = retry else { return false };
                    retry = Some((any, taken + 1));
                    (piece, at) = (any + 1, taken + 1);
                }
            }
        }
        self.pieces[piece..].iter().all(|piece| matches!(piece, Piece::Any))
    }
}

impl Piece {
    fn takes(&self, char: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Char(wanted) => *wanted == char,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|&(from, to)| from <= char && char <= to) != *negated
            }
        }
    }
}

/// The set after a `[`, and how many characters it has with its `]`; a `]` at its beginning is a member.
fn set(chars: &[char]) -> Option<(Piece, usize)> {
    let negated = matches!(chars.first(), Some('^' | '!'));
    let start = usize::from(negated);
    let (mut ranges, mut at) = (Vec::new(), start);
    loop {
        let &from = chars.get(at)?;
        if from == ']' && at > start {
            return Some((Piece::Set { negated, ranges }, at + 1));
        }
        at += 1;
        match (chars.get(at), chars.get(at + 1)) {
            (Some('-'), Some(&to)) if to != ']' => {
                ranges.push((from, to));
                at += 2;
            }
            _ => ranges.push((from, from)),
        }
    }
}

fn folded(chars: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    chars.flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like() {
        let check = |pattern: &str, text: &str| Pattern::like(pattern).matches(text.as_bytes());
        for (pattern, text) in [
            ("canon%", "Canon EOS"),
            ("%s", "eos"),
            ("_", "狗"),
            ("%", ""),
            ("GRÖ_E", "größe"),
            ("%a%b%", "xaxbx"),
        ] {
            assert!(check(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("canon", "canons"), ("_", ""), ("", "a"), ("*", "a"), ("%ab", "ba")]
        {
            assert!(!check(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn glob() {
        let check = |pattern: &str, text: &[u8]| Pattern::glob(pattern).matches(text);
        for (pattern, text) in [
            ("*.jpg", &b"a/b.jpg"[..]),
            ("caf?", b"caf\xe9"),
            ("[a-c]x", b"bx"),
            ("[^a-c]x", b"dx"),
            ("[]-]", b"-"),
            ("[]-]", b"]"),
            ("[a", b"[a"),
            ("a[", b"a["),
            ("*a*b*", b"xaxbx"),
        ] {
            assert!(check(pattern, text), "{pattern} {text:?}");
        }
        for (pattern, text) in
            [("*.jpg", &b"a.JPG"[..]), ("[!a]", b"a"), ("%", b"ab"), ("?", b""), ("[a-c]", b"")]
        {
            assert!(!check(pattern, text), "{pattern} {text:?}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(5_000);
        assert!(!Pattern::like(&format!("{}b", "%a".repeat(2_000))).matches(text.as_bytes()));
        assert!(!Pattern::glob(&format!("{}b", "*a".repeat(2_000))).matches(text.as_bytes()));
    }
}
