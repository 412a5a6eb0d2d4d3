//! `dc:subject` and `dc:description` of an XMP packet (ISO 16684-1), under whatever prefix.
//!
//! The packet is read event by event: nothing here recurses, and entities that it declares are not expanded. Where it is
//! malformed, or has more namespaces in scope than the reader allows, the reading ends; what came before is good.

use quick_xml::NsReader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, QName, ResolveResult};

use super::Written;

const DC: &str = "http://purl.org/dc/elements/1.1/";
const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";

/// A property that says something.
#[derive(Clone, Copy)]
enum Property {
    Subject,
    Description,
}

/// A value of a property.
struct Item {
    is_default: bool,
    text: String,
}

/// Reads a packet.
pub(super) fn read(packet: &[u8]) -> Written {
    let mut reader = NsReader::from_reader(packet);
    let mut written = Written::default();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                let Some(property) = property(&reader, &start) else { continue };
                let Some(items) = items(&mut reader) else { break };
                written.take(property, items);
            }
            Event::Eof => break,
            Event::Empty(_)
            | Event::End(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    written
}

impl Written {
    fn take(&mut self, property: Property, mut items: Vec<Item>) {
        match property {
            Property::Subject => self.keywords.extend(items.into_iter().map(|item| item.text)),
            Property::Description => {
                items.retain(|item| !item.text.trim().is_empty());
                // The other languages keep their order.
                items.sort_by_key(|item| !item.is_default);
                let first = items.into_iter().next().map(|item| item.text);
                self.description = self.description.take().or(first);
            }
        }
    }
}

fn property(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Option<Property> {
    if is(reader, start.name(), DC, "subject") {
        Some(Property::Subject)
    } else if is(reader, start.name(), DC, "description") {
        Some(Property::Description)
    } else {
        None
    }
}

/// The items of the property whose start was read, or its own text where it has none; `None` if it has no end.
fn items(reader: &mut NsReader<&[u8]>) -> Option<Vec<Item>> {
    let (mut items, mut text, mut is_default) = (Vec::new(), String::new(), false);
    let mut depth = 1;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                depth += 1;
                text.clear();
                is_default = is_in_default_language(&start);
            }
            Event::End(end) => {
                depth -= 1;
                let item = Item { is_default, text: std::mem::take(&mut text) };
                let is_whole = depth == 0 && items.is_empty();
                if is_whole || is(reader, end.name(), RDF, "li") {
                    items.push(item);
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(reference) => push_reference(&mut text, &reference),
            Event::Eof => return None,
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
        if depth == 0 {
            return Some(items);
        }
    }
}

/// Compares the local name first, since a namespace is looked up among all that are in scope.
fn is(reader: &NsReader<&[u8]>, name: QName<'_>, namespace: &str, local: &str) -> bool {
    name.local_name().as_ref() == local
        && reader.resolver().resolve_element(name).0 == ResolveResult::Bound(Namespace(namespace))
}

/// The prefix `xml` is the same in all documents.
fn is_in_default_language(start: &BytesStart<'_>) -> bool {
    let language = start.try_get_attribute("xml:lang").ok().flatten();
    language.is_some_and(|language| language.value.as_ref() == "x-default")
}

/// A character by its number or by one of XML's five names; other names say nothing.
fn push_reference(text: &mut String, reference: &BytesRef<'_>) {
    match reference.resolve_char_ref() {
        Ok(Some(char)) => text.push(char),
        Ok(None) => text.push_str(resolve_xml_entity(reference).unwrap_or_default()),
        Err(_) => {}
    }
}
