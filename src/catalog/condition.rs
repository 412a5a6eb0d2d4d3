//! Asking SQLite which embeddings a condition allows, and which items of one of them.
//!
//! A value of a condition reaches SQLite as a parameter only, never as a part of a statement. SQL knows three truth
//! values, conditions two: every test gives NULL for what is missing, and `NOT` is asked of what is no longer NULL.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use super::{SpaceId, StoredItem, View, source, sql};
use crate::condition::{
    CaptionTest, Condition, DateField, Facts, Leaf, MetaTest, Near, Node, NumberField, Ordered,
    Period, Test, TextField, TextTest, latitudes_of,
};
use crate::error::Result;
use crate::item::{ContentHash, ItemId, Modality, Status};

/// A content hash.
type Content = [u8; 32];

/// Items of one content that are read at a time.
const PAGE: usize = 256;

/// Up to so many tests, SQLite may look at each of them for an index that serves it.
const MAX_SPLIT_TESTS: usize = 64;

/// A path as a condition sees it.
const PATH: &str = "CASE i.source_kind WHEN 'tar' THEN CAST(i.container || '!' || i.member AS BLOB) ELSE i.container END";

/// Its last component.
const NAME: &str =
    "mmsearch_name(CASE i.source_kind WHEN 'tar' THEN i.member ELSE i.container END)";

/// Where the captions of an item are: those that are items, as far as they can be found, and its descriptions.
const CAPTIONS: [&str; 2] = [
    "items AS c WHERE c.image_id = i.id AND c.status <> 'failed'",
    "descriptions AS c WHERE c.item_id = i.id",
];

impl View<'_> {
    /// The keys of the embeddings of which a findable item satisfies a condition, in ascending order.
    pub(crate) fn keys_where(
        &self,
        space: SpaceId,
        modality: Modality,
        condition: &Condition,
    ) -> Result<Vec<u64>> {
        let contents = self.contents_where(modality, condition)?;
        let n_embeddings = self.count("SELECT coalesce(max(id), 0) FROM embeddings", [])?;
        // To find one is as dear as to read some in a row.
        let mut keys = match (contents.len() as u64).saturating_mul(4) < n_embeddings {
            true => self.keys_of_each(space, modality, &contents)?,
            false => self.keys_of_many(space, modality, &contents)?,
        };
        keys.sort_unstable();
        Ok(keys)
    }

    /// The contents of the findable items that satisfy a condition, each once and in order.
    fn contents_where(&self, modality: Modality, condition: &Condition) -> Result<Vec<Content>> {
        let failed = || sql(self.path, "filter");
        let (query, params) = contents_query(modality, condition);
        let mut contents: Vec<Content> = self
            .connection
            .prepare(&query)
            .map_err(failed())?
            .query_map(params_from_iter(params), |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())?;
        contents.sort_unstable();
        contents.dedup();
        Ok(contents)
    }

    /// Looks for the embedding of each content.
    fn keys_of_each(
        &self,
        space: SpaceId,
        modality: Modality,
        contents: &[Content],
    ) -> Result<Vec<u64>> {
        let failed = || sql(self.path, "filter");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id FROM embeddings WHERE space_id = ?1 AND modality = ?2 AND content_hash = ?3",
            )
            .map_err(failed())?;
        let mut keys = Vec::with_capacity(contents.len());
        for content in contents {
            let mut rows =
                statement.query(params![space.0, modality.name(), content]).map_err(failed())?;
            while let Some(row) = rows.next().map_err(failed())? {
                keys.push(row.get::<_, i64>(0).map_err(failed())?.cast_unsigned());
            }
        }
        Ok(keys)
    }

    /// Reads all embeddings' contents in their order, which is that of an index, beside the contents.
    fn keys_of_many(
        &self,
        space: SpaceId,
        modality: Modality,
        contents: &[Content],
    ) -> Result<Vec<u64>> {
        let failed = || sql(self.path, "filter");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT content_hash, id FROM embeddings WHERE space_id = ?1 AND modality = ?2
                 ORDER BY content_hash",
            )
            .map_err(failed())?;
        let mut rows = statement.query(params![space.0, modality.name()]).map_err(failed())?;
        let (mut keys, mut rest) = (Vec::with_capacity(contents.len()), contents);
        while let Some(row) = rows.next().map_err(failed())? {
            let content: Content = row.get(0).map_err(failed())?;
            while rest.first().is_some_and(|first| *first < content) {
                rest = &rest[1..];
            }
            if rest.first() == Some(&content) {
                keys.push(row.get::<_, i64>(1).map_err(failed())?.cast_unsigned());
            }
        }
        Ok(keys)
    }

    /// The items that can be found by this content and satisfy a condition, in the order of their ids.
    ///
    /// The condition is evaluated on the checksummed rows, so that a damaged row cannot slip in.
    pub(crate) fn items_of_where(
        &self,
        modality: Modality,
        content_hash: ContentHash,
        condition: &Condition,
        limit: usize,
    ) -> Result<Vec<StoredItem>> {
        let (mut found, mut after) = (Vec::new(), ItemId(0));
        while found.len() < limit {
            let page = self.many(
                "WHERE modality = ?1 AND content_hash = ?2 AND status <> 'failed' AND id > ?3
                 ORDER BY id LIMIT ?4",
                params![modality.name(), content_hash.0, after.0, PAGE as i64],
            )?;
            let Some(last) = page.last() else { break };
            after = last.item.id;
            for stored in page {
                if found.len() < limit && self.item_matches(&stored, condition)? {
                    found.push(stored);
                }
            }
        }
        Ok(found)
    }

    /// Whether an item satisfies a condition.
    pub(crate) fn item_matches(&self, stored: &StoredItem, condition: &Condition) -> Result<bool> {
        let item = &stored.item;
        let (mut tags, mut captions) = (Vec::new(), Vec::new());
        if condition.asks_tags() {
            tags.extend(self.tags_of(item.id)?.into_iter().map(|tag| tag.tag.to_string()));
        }
        if condition.asks_captions() {
            captions.extend(self.captions_of(item.id)?);
        }
        Ok(condition.matches(Facts { item, tags: &tags, captions: &captions }))
    }

    /// The captions of an image that can be found, and its descriptions.
    fn captions_of(&self, image: ItemId) -> Result<Vec<String>> {
        let mut texts = self.texts_of(image)?;
        texts.retain(|stored| stored.item.status != Status::Failed);
        let captions = texts.into_iter().filter_map(|stored| stored.item.text);
        let descriptions = self.descriptions_of(image)?.into_iter().map(|stored| stored.text);
        Ok(captions.chain(descriptions).collect())
    }
}

/// The statement of [`View::contents_where`] and its parameters.
fn contents_query(modality: Modality, condition: &Condition) -> (String, Vec<Value>) {
    let mut statement = Statement { params: vec![text(modality.name())] };
    let filter = statement.node(condition.root());
    // SQLite makes a chain of the parts of a conjunction, and refuses one that is a thousand long.
    let one = if condition.root().n_tests() > MAX_SPLIT_TESTS { "+" } else { "" };
    // Without the other `+`, SQLite would walk the index of contents instead of one that the condition can use.
    let query = format!(
        "SELECT i.content_hash FROM items AS i WHERE +i.modality = ?1 AND +i.status <> 'failed'
             AND i.content_hash IS NOT NULL AND {one}{filter}"
    );
    (query, statement.params)
}

/// A statement in the making.
struct Statement {
    /// `?1` and on.
    params: Vec<Value>,
}

impl Statement {
    /// A place in the statement for a value.
    fn param(&mut self, value: Value) -> String {
        self.params.push(value);
        format!("?{}", self.params.len())
    }

    /// An expression in parentheses that is true for what the node selects of `items AS i`, else false or NULL.
    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::And(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.node(part)).collect();
                balanced(&parts, "AND")
            }
            Node::Or(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.node(part)).collect();
                balanced(&parts, "OR")
            }
            Node::Not(inner) => format!("(NOT coalesce({}, 0))", self.node(inner)),
            Node::HasGps => "(+i.latitude IS NOT NULL AND i.longitude IS NOT NULL)".into(),
            Node::Near(near) => self.near(*near),
            Node::Leaf(Leaf { negated, test }) => self.test(test, *negated),
        }
    }

    /// The latitudes in question come from an index.
    fn near(&mut self, Near { latitude, longitude, km }: Near) -> String {
        let margin = latitudes_of(km);
        let low = self.param((latitude - margin).into());
        let high = self.param((latitude + margin).into());
        let (latitude, longitude) = (self.param(latitude.into()), self.param(longitude.into()));
        let km = self.param(km.into());
        format!(
            "(i.latitude BETWEEN {low} AND {high} AND \
             mmsearch_km(i.latitude, i.longitude, {latitude}, {longitude}) <= {km})"
        )
    }

    fn test(&mut self, test: &Test, negated: bool) -> String {
        match test {
            Test::Number(field, test) => {
                let column = match field {
                    NumberField::Width => "i.width",
                    NumberField::Height => "i.height",
                    NumberField::Megapixels => "CAST(i.width AS REAL) * i.height / 1e6",
                    NumberField::Size => "i.size_bytes",
                    NumberField::Latitude => "i.latitude",
                    NumberField::Longitude => "i.longitude",
                };
                self.ordered(column, test, negated, |&number| number.into())
            }
            Test::Date(field, test) => self.date(*field, test, negated),
            Test::Text(TextField::Tag, test) => self.tag(test, negated),
            Test::Text(TextField::Path, test) => self.text(PATH, test, negated, blob),
            Test::Text(TextField::Name, test) => self.text(NAME, test, negated, blob),
            Test::Text(TextField::Format, test) => self.text("i.format", test, negated, text),
            Test::Text(TextField::Camera, test) => self.camera(test, negated),
            Test::Root(roots) => self.root(roots, negated),
            Test::Type(types) => {
                let types = types.iter().map(|modality| text(modality.name()));
                let list = self.list(types.collect());
                format!("(+i.modality {} {list})", if negated { "NOT IN" } else { "IN" })
            }
            Test::Caption(test) => self.caption(test, negated),
            Test::Meta(keys, test) => self.meta(keys, test, negated),
        }
    }

    fn ordered<T>(
        &mut self,
        column: &str,
        test: &Ordered<T>,
        negated: bool,
        value: impl Fn(&T) -> Value,
    ) -> String {
        match test {
            Ordered::Below(bound) => {
                let bound = self.param(value(bound));
                format!("({column} {} {bound})", if negated { ">=" } else { "<" })
            }
            Ordered::AtMost(bound) => {
                let bound = self.param(value(bound));
                format!("({column} {} {bound})", if negated { ">" } else { "<=" })
            }
            Ordered::OneOf(values) => {
                let list = self.list(values.iter().map(value).collect());
                format!("({column} {} {list})", if negated { "NOT IN" } else { "IN" })
            }
            Ordered::Between(low, high) => {
                let (low, high) = (self.param(value(low)), self.param(value(high)));
                let not = if negated { "NOT " } else { "" };
                format!("({column} {not}BETWEEN {low} AND {high})")
            }
        }
    }

    /// A period is a half-open range, whose two ends are values of the column.
    fn date(&mut self, field: DateField, test: &Ordered<Period>, negated: bool) -> String {
        type End = fn(&Period) -> Value;
        let (column, start, end): (_, End, End) = match field {
            DateField::Taken => {
                ("i.taken_at", |it| it.start_text().into(), |it| it.end_text().into())
            }
            DateField::Modified => {
                ("i.modified_ns", |it| it.start_ns().into(), |it| it.end_ns().into())
            }
        };
        let mut within = |low: &Period, high: &Period| {
            let (low, high) = (self.param(start(low)), self.param(end(high)));
            format!("({column} >= {low} AND {column} < {high})")
        };
        let not = if negated { "NOT " } else { "" };
        match test {
            Ordered::OneOf(periods) => {
                let parts: Vec<String> = periods.iter().map(|it| within(it, it)).collect();
                format!("({not}{})", balanced(&parts, "OR"))
            }
            Ordered::Between(low, high) => format!("({not}{})", within(low, high)),
            Ordered::Below(period) | Ordered::AtMost(period) => {
                let is_below = matches!(test, Ordered::Below(_));
                let bound = self.param(if is_below { start(period) } else { end(period) });
                format!("({column} {} {bound})", if negated { ">=" } else { "<" })
            }
        }
    }

    fn text(
        &mut self,
        column: &str,
        test: &TextTest,
        negated: bool,
        value: fn(&str) -> Value,
    ) -> String {
        let not = if negated { "NOT " } else { "" };
        match test {
            TextTest::Order(test) => self.ordered(column, test, negated, |text| value(text)),
            TextTest::Like(pattern) => {
                format!("({not}mmsearch_like({column}, {}))", self.param(text(pattern)))
            }
            TextTest::Glob(pattern) => {
                format!("({not}mmsearch_glob({column}, {}))", self.param(text(pattern)))
            }
        }
    }

    fn camera(&mut self, test: &TextTest, negated: bool) -> String {
        let column = match test {
            TextTest::Order(_) => "i.camera COLLATE NOCASE",
            TextTest::Like(_) => "i.camera",
            TextTest::Glob(_) => "lower(i.camera)",
        };
        self.text(column, test, negated, text)
    }

    fn tag(&mut self, test: &TextTest, negated: bool) -> String {
        let test = self.text("t.tag", test, false, text);
        // A list that is made once, so that an index can serve it.
        let tagged = format!("i.id IN (SELECT t.item_id FROM tags AS t WHERE {test})");
        match negated {
            true => {
                let any = "EXISTS (SELECT 1 FROM tags AS t WHERE t.item_id = i.id)";
                format!("({any} AND NOT {tagged})")
            }
            false => format!("({tagged})"),
        }
    }

    fn root(&mut self, roots: &[String], negated: bool) -> String {
        let below = |root: &String| {
            // Stored paths have no doubled slashes and none at their end.
            let root: PathBuf = Path::new(root).components().collect();
            let (from, to) = source::below(&root);
            let own = self.param(Value::Blob(source::bytes(&root)));
            let (from, to) = (self.param(Value::Blob(from)), self.param(Value::Blob(to)));
            // The first two comparisons are a range of the index of sources, with some between root and `root/`.
            format!(
                "(i.container >= {own} AND i.container < {to} \
                 AND (i.container = {own} OR i.container >= {from}))"
            )
        };
        let parts: Vec<String> = roots.iter().map(below).collect();
        let not = if negated { "NOT " } else { "" };
        let any = balanced(&parts, "OR");
        format!("(i.source_kind IN ('file', 'tar', 'manifest') AND {not}{any})")
    }

    fn caption(&mut self, test: &CaptionTest, negated: bool) -> String {
        let (function, values) = match test {
            CaptionTest::Words(texts) => ("mmsearch_words", texts.as_slice()),
            CaptionTest::Like(pattern) => ("mmsearch_like", std::slice::from_ref(pattern)),
            CaptionTest::Glob(pattern) => ("mmsearch_glob", std::slice::from_ref(pattern)),
        };
        let values: Vec<String> = values.iter().map(|value| self.param(text(value))).collect();
        let holds = |column: &str| {
            let of_value = |value| format!("{function}({column}, {value})");
            balanced(&values.iter().map(of_value).collect::<Vec<_>>(), "OR")
        };
        let any =
            format!("(coalesce({}, 0) OR {})", holds("i.text"), any_caption(&holds("c.text")));
        match negated {
            true => {
                let is_there = any_caption("c.text IS NOT NULL");
                format!("((i.text IS NOT NULL OR {is_there}) AND NOT {any})")
            }
            false => any,
        }
    }

    fn meta(&mut self, keys: &[String], test: &MetaTest, negated: bool) -> String {
        let keys = self.param(Value::Text(serde_json::Value::from(keys).to_string()));
        let value = |kind: &str| format!("mmsearch_meta(i.metadata, {keys}, '{kind}')");
        match test {
            MetaTest::Number(test) => {
                self.ordered(&value("number"), test, negated, |&number| number.into())
            }
            MetaTest::Text(test) => self.text(&value("text"), test, negated, text),
            MetaTest::Boolean(wanted) => {
                let wanted = self.param(i64::from(*wanted != negated).into());
                format!("({} = {wanted})", value("boolean"))
            }
        }
    }

    fn list(&mut self, values: Vec<Value>) -> String {
        let places: Vec<String> = values.into_iter().map(|value| self.param(value)).collect();
        format!("({})", places.join(", "))
    }
}

/// Whether a test holds of any caption of an item.
fn any_caption(test: &str) -> String {
    let [items, descriptions] =
        CAPTIONS.map(|captions| format!("EXISTS (SELECT 1 FROM {captions} AND {test})"));
    format!("({items} OR {descriptions})")
}

/// The parts joined two by two, because SQLite refuses expressions that are a thousand deep.
fn balanced(parts: &[String], operator: &str) -> String {
    match parts {
        [] => "(0)".into(),
        [only] => only.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} {operator} {})", balanced(left, operator), balanced(right, operator))
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Paths are stored as bytes, and those are never equal to a text.
fn blob(text: &str) -> Value {
    Value::Blob(text.into())
}
