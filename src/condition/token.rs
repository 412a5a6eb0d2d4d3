//! The words and signs of a condition.

use super::MAX_CONDITION_BYTES;
use crate::error::{Error, Result};

/// A word or sign and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// Counted in characters, from 1.
    pub(super) column: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Word(String),
    Quoted(String),
    /// The keys after `meta.`
    Meta(Vec<String>),
    Open,
    Close,
    Comma,
    Equal,
    NotEqual,
    Below,
    AtMost,
    Above,
    AtLeast,
    End,
}

/// An error at a column.
pub(super) fn bad(column: usize, reason: impl Into<String>) -> Error {
    Error::BadCondition { column, reason: reason.into() }
}

/// All tokens; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    if text.len() > MAX_CONDITION_BYTES {
        let n = text.len();
        return Err(bad(1, format!("expected at most {MAX_CONDITION_BYTES} bytes, found {n}")));
    }
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn token(&mut self) -> Result<Token> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let column = self.at + 1;
        let kind = match self.peek() {
            None => Kind::End,
            Some(quote @ ('\'' | '"')) => Kind::Quoted(self.quoted(quote)?),
            Some(sign @ ('(' | ')' | ',' | '=' | '!' | '<' | '>')) => self.sign(sign)?,
            Some(_) => self.word()?,
        };
        Ok(Token { column, kind })
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn sign(&mut self, sign: char) -> Result<Kind> {
        let column = self.at + 1;
        self.at += 1;
        Ok(match sign {
            '(' => Kind::Open,
            ')' => Kind::Close,
            ',' => Kind::Comma,
            '<' if self.take('=') => Kind::AtMost,
            '<' if self.take('>') => Kind::NotEqual,
            '<' => Kind::Below,
            '>' if self.take('=') => Kind::AtLeast,
            '>' => Kind::Above,
            '!' if self.take('=') => Kind::NotEqual,
            '!' => return Err(bad(column, "expected `!=` or `not`, found `!`")),
            // Two of them are what programmers write.
            _ => {
                self.take('=');
                Kind::Equal
            }
        })
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        let column = self.at + 1;
        self.at += 1;
        let mut text = String::new();
        while let Some(char) = self.peek() {
            self.at += 1;
            if char == '\0' {
                return Err(bad(self.at, "a text cannot have a character NUL"));
            }
            if char == quote && !self.take(quote) {
                return Ok(text);
            }
            text.push(char);
        }
        Err(bad(column, format!("expected a closing {quote} after this one")))
    }

    fn word(&mut self) -> Result<Kind> {
        let word = self.bare();
        if !word.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("meta.")) {
            return Ok(Kind::Word(word));
        }
        // A key in quotes may follow any of the dots.
        let mut keys: Vec<String> = word[5..].split('.').map(str::to_owned).collect();
        while let (Some(quote @ ('\'' | '"')), Some("")) =
            (self.peek(), keys.last().map(String::as_str))
        {
            keys.pop();
            keys.push(self.quoted(quote)?);
            if self.peek() == Some('.') {
                let rest = self.bare();
                keys.extend(rest[1..].split('.').map(str::to_owned));
            }
        }
        if keys.iter().any(String::is_empty) {
            return Err(bad(self.at, "expected a key, as in meta.rating or meta.\"my key\""));
        }
        Ok(Kind::Meta(keys))
    }

    fn bare(&mut self) -> String {
        let is_bare = |char: &char| {
            let is_sign = matches!(char, '(' | ')' | '=' | '!' | '<' | '>' | ',' | '\'' | '"');
            !char.is_whitespace() && !is_sign && *char != '\0'
        };
        let word: String = self.chars[self.at..].iter().take_while(|char| is_bare(char)).collect();
        // A NUL begins a word and is none; it must not be read for ever.
        self.at += word.chars().count().max(1);
        word
    }
}

impl Kind {
    /// As it is called in an error.
    pub(super) fn name(&self) -> String {
        let short = |text: &str| {
            let short: String = text.chars().take(40).collect();
            if short.len() < text.len() { format!("{short}…") } else { short }
        };
        match self {
            Self::Word(word) => format!("`{}`", short(word)),
            Self::Quoted(text) => format!("'{}'", short(text)),
            Self::Meta(keys) => format!("`meta.{}`", short(&keys.join("."))),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::Comma => "`,`".into(),
            Self::Equal => "`=`".into(),
            Self::NotEqual => "`!=`".into(),
            Self::Below => "`<`".into(),
            Self::AtMost => "`<=`".into(),
            Self::Above => "`>`".into(),
            Self::AtLeast => "`>=`".into(),
            Self::End => "the end".into(),
        }
    }

    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}
