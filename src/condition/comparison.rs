//! What a comparison means for its field: values out of what was written, or why they are none.

use super::ast::{CaptionTest, MetaTest, NumberField, Ordered, Test, TextField, TextTest};
use super::field::Field;
use super::matches::words;
use super::token::{Kind, bad};
use super::value;
use crate::error::{Error, Result};
use crate::item::Modality;
use crate::tag::Tag;

/// A word or a text in quotes, as a value.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// The right side of a test.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) negated: bool,
    pub(super) operator: Operator,
    /// Not empty.
    pub(super) values: Vec<Written>,
}

/// Negated ones are said by [`Comparison::negated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Below,
    AtMost,
    OneOf,
    Between,
    Like,
    Glob,
}

impl Written {
    /// An error where it stands.
    pub(super) fn expected(&self, what: &str) -> Error {
        let name = Kind::Quoted(self.text.clone()).name();
        bad(self.column, format!("expected {what}, found {name}"))
    }
}

/// The test of a field; [`Field::HasGps`] and [`Field::Near`] have no comparison.
pub(super) fn test(field: Field, comparison: Comparison) -> Result<Test> {
    Ok(match field {
        Field::Number(number) => {
            let is_size = matches!(number, NumberField::Size);
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
pub(super) fn meta_test(comparison: Comparison) -> Result<MetaTest> {
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
