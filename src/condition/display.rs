//! Writing a condition, so that reading it gives the same.

use std::fmt::{self, Display, Formatter};

use super::Condition;
use super::ast::{CaptionTest, Leaf, MetaTest, Node, Ordered, Test, TextTest};
use super::field::Field;

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => {
                joined(f, parts, " and ", |part| matches!(part, Self::And(_) | Self::Or(_)))
            }
            Self::Or(parts) => joined(f, parts, " or ", |part| matches!(part, Self::Or(_))),
            Self::Not(inner) => match **inner {
                Self::And(_) | Self::Or(_) => write!(f, "not ({inner})"),
                Self::Not(_) | Self::HasGps | Self::Near(_) | Self::Leaf(_) => {
                    write!(f, "not {inner}")
                }
            },
            Self::HasGps => f.write_str("has_gps"),
            Self::Near(near) => {
                write!(f, "near({}, {}, {})", near.latitude, near.longitude, near.km)
            }
            Self::Leaf(leaf) => leaf.fmt(f),
        }
    }
}

fn joined(
    f: &mut Formatter<'_>,
    parts: &[Node],
    word: &str,
    needs_parentheses: fn(&Node) -> bool,
) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(word)?;
        }
        match needs_parentheses(part) {
            true => write!(f, "({part})")?,
            false => part.fmt(f)?,
        }
    }
    Ok(())
}

impl Display for Leaf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let negated = self.negated;
        let name = |f: &mut Formatter<'_>, field: Field| f.write_str(field.name());
        match &self.test {
            Test::Number(field, test) => {
                name(f, Field::Number(*field))?;
                ordered(f, negated, test, f64::to_string)
            }
            Test::Date(field, test) => {
                name(f, Field::Date(*field))?;
                ordered(f, negated, test, ToString::to_string)
            }
            Test::Text(field, test) => {
                name(f, Field::Text(*field))?;
                text(f, negated, test)
            }
            Test::Root(roots) => {
                name(f, Field::Root)?;
                one_of(f, negated, roots, |root| quoted(root))
            }
            Test::Type(types) => {
                name(f, Field::Type)?;
                one_of(f, negated, types, |modality| modality.name().to_owned())
            }
            Test::Caption(test) => {
                name(f, Field::Caption)?;
                match test {
                    CaptionTest::Words(values) => one_of(f, negated, values, |text| quoted(text)),
                    CaptionTest::Like(pattern) => one_pattern(f, negated, "like", pattern),
                    CaptionTest::Glob(pattern) => one_pattern(f, negated, "glob", pattern),
                }
            }
            Test::Meta(keys, test) => {
                f.write_str("meta")?;
                keys.iter().try_for_each(|name| write!(f, ".{}", key(name)))?;
                match test {
                    MetaTest::Number(test) => ordered(f, negated, test, f64::to_string),
                    MetaTest::Text(test) => text(f, negated, test),
                    MetaTest::Boolean(wanted) => {
                        one_of(f, negated, &[*wanted], ToString::to_string)
                    }
                }
            }
        }
    }
}

fn text(f: &mut Formatter<'_>, negated: bool, test: &TextTest) -> fmt::Result {
    match test {
        TextTest::Order(test) => ordered(f, negated, test, |text| quoted(text)),
        TextTest::Like(pattern) => one_pattern(f, negated, "like", pattern),
        TextTest::Glob(pattern) => one_pattern(f, negated, "glob", pattern),
    }
}

fn ordered<T>(
    f: &mut Formatter<'_>,
    negated: bool,
    test: &Ordered<T>,
    value: impl Fn(&T) -> String,
) -> fmt::Result {
    match test {
        Ordered::Below(bound) => {
            write!(f, " {} {}", if negated { ">=" } else { "<" }, value(bound))
        }
        Ordered::AtMost(bound) => {
            write!(f, " {} {}", if negated { ">" } else { "<=" }, value(bound))
        }
        Ordered::OneOf(values) => one_of(f, negated, values, value),
        Ordered::Between(low, high) => {
            write!(f, "{} between {} and {}", not(negated), value(low), value(high))
        }
    }
}

fn one_of<T>(
    f: &mut Formatter<'_>,
    negated: bool,
    values: &[T],
    value: impl Fn(&T) -> String,
) -> fmt::Result {
    if let [only] = values {
        return write!(f, " {} {}", if negated { "!=" } else { "=" }, value(only));
    }
    let values: Vec<String> = values.iter().map(value).collect();
    write!(f, "{} in ({})", not(negated), values.join(", "))
}

fn one_pattern(f: &mut Formatter<'_>, negated: bool, word: &str, pattern: &str) -> fmt::Result {
    write!(f, "{} {word} {}", not(negated), quoted(pattern))
}

fn not(negated: bool) -> &'static str {
    if negated { " not" } else { "" }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A key of the metadata, in quotes where it must be.
fn key(key: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    if key.chars().all(is_plain) {
        key.to_owned()
    } else {
        format!("\"{}\"", key.replace('"', "\"\""))
    }
}
