//! Reading a condition: recursive descent over its tokens.

use super::ast::{CaptionTest, Leaf, MetaTest, Near, Node, Ordered, Test, TextField, TextTest};
use super::field::{Field, suggestion};
use super::matches::words;
use super::token::{Kind, Token, bad, tokens};
use super::{MAX_DEPTH, value};
use crate::error::Result;
use crate::item::Modality;
use crate::tag::Tag;

/// Words that are no values unless they are in quotes.
const KEYWORDS: [&str; 7] = ["and", "or", "not", "in", "between", "like", "glob"];

/// What a condition's text says.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let root = parser.any_of()?;
    match &parser.token().kind {
        Kind::End => Ok(root),
        other => Err(parser.expected("`and`, `or` or the end", &other.name())),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// A word or a text in quotes, as a value.
struct Written {
    column: usize,
    text: String,
    quoted: bool,
}

/// The right side of a test.
struct Comparison {
    negated: bool,
    operator: Operator,
    /// Not empty.
    values: Vec<Written>,
}

/// Negated ones are said by [`Comparison::negated`].
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Below,
    AtMost,
    OneOf,
    Between,
    Like,
    Glob,
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
        let name = match kind {
            Kind::Meta(keys) => {
                let comparison = self.comparison()?;
                return leaf(comparison, |comparison| Ok(Test::Meta(keys, meta_test(comparison)?)));
            }
            Kind::Word(name) => name,
            other => return Err(bad(column, format!("expected a field, found {}", other.name()))),
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

impl Written {
    fn expected(&self, what: &str) -> crate::Error {
        let name = Kind::Quoted(self.text.clone()).name();
        bad(self.column, format!("expected {what}, found {name}"))
    }
}

fn leaf(comparison: Comparison, test: impl FnOnce(Comparison) -> Result<Test>) -> Result<Node> {
    let negated = comparison.negated;
    Ok(Node::Leaf(Leaf { negated, test: test(comparison)? }))
}

fn test(field: Field, comparison: Comparison) -> Result<Test> {
    Ok(match field {
        Field::Number(number) => {
            let is_size = matches!(number, super::NumberField::Size);
            let (read, what): (fn(&str) -> Option<f64>, _) = match is_size {
                true => (value::size, "a number of bytes, such as 5MB"),
                false => (value::number, "a number"),
            };
            Test::Number(number, ordered(comparison, field, what, read)?)
        }
        Field::Date(date) => {
            let what = "a date, such as 2024-05 or 2024-05-31T18:02:11";
            Test::Date(date, ordered(comparison, field, what, value::date)?)
        }
        Field::Text(text) => Test::Text(text, text_test(comparison, |value| folded(text, value))?),
        Field::Root => {
            let read = |path: &str| (!path.is_empty()).then(|| path.to_owned());
            Test::Root(one_of(comparison, field, "a path", read)?)
        }
        Field::Type => {
            let read = |name: &str| {
                Modality::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
            };
            Test::Type(one_of(comparison, field, "`image` or `text`", read)?)
        }
        Field::Caption => Test::Caption(caption_test(comparison, field)?),
        Field::HasGps | Field::Near => unreachable!("they have no comparison"),
    })
}

/// A value as it is compared: what is stored in lower case is looked for in lower case.
pub(super) fn folded(field: TextField, value: &str) -> String {
    match field {
        TextField::Path | TextField::Name => value.to_owned(),
        TextField::Camera => value.to_ascii_lowercase(),
        TextField::Tag => Tag::folded(value),
        TextField::Format => match value.to_ascii_lowercase().as_str() {
            "jpg" => "jpeg".into(),
            "tif" => "tiff".into(),
            other => other.into(),
        },
    }
}

fn ordered<T>(
    comparison: Comparison,
    field: Field,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Ordered<T>> {
    let Comparison { operator, values, .. } = comparison;
    if matches!(operator, Operator::Like | Operator::Glob) {
        let reason = format!("`{}` is no text, so it has no pattern", field.name());
        return Err(bad(values[0].column, reason));
    }
    let read = |written: Written| read(&written.text).ok_or_else(|| written.expected(what));
    let mut values = values.into_iter().map(read).collect::<Result<Vec<T>>>()?;
    match operator {
        Operator::Below => Ok(Ordered::Below(values.remove(0))),
        Operator::AtMost => Ok(Ordered::AtMost(values.remove(0))),
        Operator::Between => {
            let high = values.remove(1);
            Ok(Ordered::Between(values.remove(0), high))
        }
        Operator::OneOf | Operator::Like | Operator::Glob => Ok(Ordered::OneOf(values)),
    }
}

fn one_of<T>(
    comparison: Comparison,
    field: Field,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    let column = comparison.values[0].column;
    match ordered(comparison, field, what, read)? {
        Ordered::OneOf(values) => Ok(values),
        Ordered::Below(_) | Ordered::AtMost(_) | Ordered::Between(..) => {
            let reason = format!("`{}` can be compared by = != in only", field.name());
            Err(bad(column, reason))
        }
    }
}

fn text_test(comparison: Comparison, folded: impl Fn(&str) -> String) -> Result<TextTest> {
    let first = folded(&comparison.values[0].text);
    match comparison.operator {
        Operator::Like => Ok(TextTest::Like(first)),
        Operator::Glob => Ok(TextTest::Glob(first)),
        Operator::Below | Operator::AtMost | Operator::OneOf | Operator::Between => {
            let read = |text: &str| Some(folded(text));
            ordered(comparison, Field::Caption, "a text", read).map(TextTest::Order)
        }
    }
}

fn caption_test(comparison: Comparison, field: Field) -> Result<CaptionTest> {
    if comparison.operator == Operator::OneOf {
        let read = |text: &str| (!words(text).is_empty()).then(|| text.to_owned());
        return one_of(comparison, field, "a word", read).map(CaptionTest::Words);
    }
    let column = comparison.values[0].column;
    match text_test(comparison, str::to_owned)? {
        TextTest::Like(pattern) => Ok(CaptionTest::Like(pattern)),
        TextTest::Glob(pattern) => Ok(CaptionTest::Glob(pattern)),
        TextTest::Order(_) => {
            Err(bad(column, "`caption` can be compared by = != in like glob only"))
        }
    }
}

/// Numbers, booleans or texts, as the first value is written; all of a list must be of one kind.
fn meta_test(comparison: Comparison) -> Result<MetaTest> {
    let (operator, first) = (comparison.operator, &comparison.values[0]);
    let is_pattern = matches!(operator, Operator::Like | Operator::Glob);
    let is_number = |value: &Written| !value.quoted && value::number(&value.text).is_some();
    let is_boolean = |value: &Written| !value.quoted && value::boolean(&value.text).is_some();
    if !is_pattern && is_number(first) {
        if let Some(quoted) = comparison.values.iter().find(|value| value.quoted) {
            return Err(quoted.expected("a number, as before it"));
        }
        let what = "a number, as before it";
        return ordered(comparison, Field::Caption, what, value::number).map(MetaTest::Number);
    }
    if let ([only], Operator::OneOf, true) = (&*comparison.values, operator, is_boolean(first))
        && let Some(wanted) = value::boolean(&only.text)
    {
        return Ok(MetaTest::Boolean(wanted));
    }
    let odd = |value: &&Written| is_number(value) || is_boolean(value);
    if let (false, Some(odd)) = (is_pattern, comparison.values.iter().find(odd)) {
        return Err(odd.expected("a text; quote it to mean the text"));
    }
    text_test(comparison, str::to_owned).map(MetaTest::Text)
}
