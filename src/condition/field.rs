//! The names of what can be asked about, and what someone may have meant who wrote another.

use super::ast::{DateField, NumberField, TextField};

/// What a test begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Number(NumberField),
    Date(DateField),
    Text(TextField),
    Root,
    Type,
    Caption,
    HasGps,
    Near,
}

/// All but `meta.KEY`, in the order in which people are told of them.
pub(super) const FIELDS: [(&str, Field); 18] = [
    ("path", Field::Text(TextField::Path)),
    ("name", Field::Text(TextField::Name)),
    ("root", Field::Root),
    ("type", Field::Type),
    ("format", Field::Text(TextField::Format)),
    ("taken", Field::Date(DateField::Taken)),
    ("modified", Field::Date(DateField::Modified)),
    ("width", Field::Number(NumberField::Width)),
    ("height", Field::Number(NumberField::Height)),
    ("megapixels", Field::Number(NumberField::Megapixels)),
    ("size", Field::Number(NumberField::Size)),
    ("camera", Field::Text(TextField::Camera)),
    ("has_gps", Field::HasGps),
    ("latitude", Field::Number(NumberField::Latitude)),
    ("longitude", Field::Number(NumberField::Longitude)),
    ("near", Field::Near),
    ("tag", Field::Text(TextField::Tag)),
    ("caption", Field::Caption),
];

impl Field {
    /// The field of a name in any case.
    pub(super) fn of(name: &str) -> Option<Self> {
        FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, field)| field)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        FIELDS.iter().find(|&&(_, field)| field == self).map_or("meta", |&(name, _)| name)
    }
}

/// The rest of a sentence about a name that is none: what may have been meant, and what there is.
pub(super) fn suggestion(name: &str) -> String {
    let name: String = name.chars().take(40).flat_map(char::to_lowercase).collect();
    let nearest = FIELDS.iter().map(|&(known, _)| (edits(&name, known), known)).min();
    let meant = match nearest {
        Some((n_edits, known)) if n_edits <= 2 && n_edits < known.len() / 2 + 1 => {
            format!("did you mean `{known}`? ")
        }
        Some(_) | None => String::new(),
    };
    let names: Vec<&str> = FIELDS.iter().map(|&(known, _)| known).collect();
    format!("{meant}the fields are {} and meta.KEY", names.join(", "))
}

/// How many characters must be inserted, deleted or replaced to make one name of the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, n) in [("", "", 0), ("widht", "width", 2), ("tags", "tag", 1), ("", "ab", 2)]
        {
            assert_eq!((edits(from, to), edits(to, from)), (n, n), "{from} {to}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested() {
        assert!(suggestion("Camrea").starts_with("did you mean `camera`? the fields are path, "));
        assert!(suggestion("colour").starts_with("the fields are path, "));
        assert!(suggestion("x").starts_with("the fields are"));
    }
}
