//! Reading a condition: recursive descent over its tokens.

use super::ast::{Leaf, Near, Node, Test};
use super::comparison::{Comparison, Operator, Written, meta_test, test};
use super::field::{Field, suggestion};
use super::token::{Kind, Token, bad, tokens};
use super::{MAX_DEPTH, value};
use crate::error::Result;

/// Words that are no values unless they are in quotes.
const KEYWORDS: [&str; 7] = ["and", "or", "not", "in", "between", "like", "glob"];

/// What a condition's text says.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let root = parser.any_of()?;
    match parser.take(&Kind::End) {
        true => Ok(root),
        false => Err(parser.expected("`and`, `or` or the end", &parser.token().kind.name())),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn any_of(&mut self) -> Result<Node> {
        let mut parts = vec![self.all_of()?];
        while self.take_word("or") {
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Or(parts) })
    }

    fn all_of(&mut self) -> Result<Node> {
        let mut parts = vec![self.negation()?];
        while self.take_word("and") {
            parts.push(self.negation()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::And(parts) })
    }

    fn negation(&mut self) -> Result<Node> {
        if self.take_word("not") {
            return Ok(Node::Not(Box::new(self.deeper(Self::negation)?)));
        }
        if self.take(&Kind::Open) {
            let inner = self.deeper(Self::any_of)?;
            self.require(&Kind::Close, "`and`, `or` or `)`")?;
            return Ok(inner);
        }
        self.test()
    }

    /// What stands in parentheses or after `not`.
    fn deeper(&mut self, part: fn(&mut Self) -> Result<Node>) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let reason = format!("nested more deeply than {MAX_DEPTH} times");
            return Err(bad(self.token().column, reason));
        }
        let node = part(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node> {
        let Token { column, kind } = self.next();
        if let Kind::Meta(keys) = kind {
            let comparison = self.comparison()?;
            return leaf(comparison, |comparison| Ok(Test::Meta(keys, meta_test(comparison)?)));
        }
        let Kind::Word(name) = kind else {
            return Err(bad(column, format!("expected a field, found {}", kind.name())));
        };
        let Some(field) = Field::of(&name) else {
            let found = Kind::Word(name.clone()).name();
            return Err(bad(column, format!("unknown field {found}; {}", suggestion(&name))));
        };
        match field {
            Field::HasGps => self.has_gps(),
            Field::Near => self.near(),
            Field::Number(_)
            | Field::Date(_)
            | Field::Text(_)
            | Field::Root
            | Field::Type
            | Field::Caption => leaf(self.comparison()?, |comparison| test(field, comparison)),
        }
    }

    /// Alone, or compared with `true` or `false`.
    fn has_gps(&mut self) -> Result<Node> {
        if !matches!(self.token().kind, Kind::Equal | Kind::NotEqual) {
            return Ok(Node::HasGps);
        }
        let negated = self.next().kind == Kind::NotEqual;
        let written = self.value("`true` or `false`")?;
        let wanted = value::boolean(&written.text);
        let wanted = wanted.ok_or_else(|| written.expected("`true` or `false`"))?;
        if wanted != negated {
            return Ok(Node::HasGps);
        }
        self.deeper(|_| Ok(Node::Not(Box::new(Node::HasGps))))
    }

    fn near(&mut self) -> Result<Node> {
        self.require(&Kind::Open, "`(`, as in near(48.1, 11.6, 25)")?;
        let latitude = self.number_within("a latitude from -90 to 90", -90.0, 90.0)?;
        self.require(&Kind::Comma, "`,`")?;
        let longitude = self.number_within("a longitude from -180 to 180", -180.0, 180.0)?;
        self.require(&Kind::Comma, "`,`")?;
        let km = self.number_within("a distance in km", 0.0, f64::MAX)?;
        self.require(&Kind::Close, "`)`")?;
        Ok(Node::Near(Near { latitude, longitude, km }))
    }

    fn number_within(&mut self, what: &str, low: f64, high: f64) -> Result<f64> {
        let written = self.value(what)?;
        let number = value::number(&written.text).filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| written.expected(what))
    }

    fn comparison(&mut self) -> Result<Comparison> {
        let token = self.next();
        let single = |operator| Some((operator, false));
        let simple = match token.kind {
            Kind::Equal => single(Operator::OneOf),
            Kind::NotEqual => Some((Operator::OneOf, true)),
            Kind::Below => single(Operator::Below),
            Kind::AtLeast => Some((Operator::Below, true)),
            Kind::AtMost => single(Operator::AtMost),
            Kind::Above => Some((Operator::AtMost, true)),
            Kind::Word(_) | Kind::Quoted(_) | Kind::Meta(_) => None,
            Kind::Open | Kind::Close | Kind::Comma | Kind::End => None,
        };
        if let Some((operator, negated)) = simple {
            let values = vec![self.value("a value")?];
            return Ok(Comparison { negated, operator, values });
        }
        let negated = token.kind.is("not");
        let token = if negated { self.next() } else { token };
        let (operator, values) = match &token.kind {
            kind if kind.is("in") => (Operator::OneOf, self.list()?),
            kind if kind.is("between") => (Operator::Between, self.bounds()?),
            kind if kind.is("like") => (Operator::Like, vec![self.value("a pattern")?]),
            kind if kind.is("glob") => (Operator::Glob, vec![self.value("a pattern")?]),
            other => {
                let what = if negated {
                    "`in`, `between`, `like` or `glob`"
                } else {
                    "a comparison (= != < <= > >= in between like glob)"
                };
                return Err(bad(token.column, format!("expected {what}, found {}", other.name())));
            }
        };
        Ok(Comparison { negated, operator, values })
    }

    fn list(&mut self) -> Result<Vec<Written>> {
        self.require(&Kind::Open, "`(`, as in tag in (dog, cat)")?;
        let mut values = vec![self.value("a value")?];
        while self.take(&Kind::Comma) {
            values.push(self.value("a value")?);
        }
        self.require(&Kind::Close, "`,` or `)`")?;
        Ok(values)
    }

    fn bounds(&mut self) -> Result<Vec<Written>> {
        let low = self.value("a value")?;
        if !self.take_word("and") {
            return Err(self.expected("`and`", &self.token().kind.name()));
        }
        Ok(vec![low, self.value("a value")?])
    }

    fn value(&mut self, what: &str) -> Result<Written> {
        let Token { column, kind } = self.next();
        match kind {
            Kind::Word(text) if KEYWORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) => Err(
                bad(column, format!("expected {what}, found `{text}`; quote it to mean the word")),
            ),
            Kind::Word(text) => Ok(Written { column, text, quoted: false }),
            Kind::Quoted(text) => Ok(Written { column, text, quoted: true }),
            Kind::Meta(keys) => {
                Ok(Written { column, text: format!("meta.{}", keys.join(".")), quoted: false })
            }
            other @ (Kind::Open
            | Kind::Close
            | Kind::Comma
            | Kind::Equal
            | Kind::NotEqual
            | Kind::Below
            | Kind::AtMost
            | Kind::Above
            | Kind::AtLeast
            | Kind::End) => Err(bad(column, format!("expected {what}, found {}", other.name()))),
        }
    }

    /// The token that is next; after the last one it stays the last one.
    fn token(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let is_there = self.token().kind == *kind;
        if is_there {
            self.next();
        }
        is_there
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let is_there = self.token().kind.is(keyword);
        if is_there {
            self.next();
        }
        is_there
    }

    fn require(&mut self, kind: &Kind, what: &str) -> Result<()> {
        if self.take(kind) {
            return Ok(());
        }
        Err(self.expected(what, &self.token().kind.name()))
    }

    fn expected(&self, what: &str, found: &str) -> crate::Error {
        bad(self.token().column, format!("expected {what}, found {found}"))
    }
}

fn leaf(comparison: Comparison, test: impl FnOnce(Comparison) -> Result<Test>) -> Result<Node> {
    let negated = comparison.negated;
    Ok(Node::Leaf(Leaf { negated, test: test(comparison)? }))
}
