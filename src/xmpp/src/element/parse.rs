//! The reading half of [`Element`], on quick-xml's `NsReader`.

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::Attribute as Written;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};

use super::{Attribute, DEPTH_MAX, Element, ElementError, Node};

/// Reads the one element that `bytes` are. Iterative: the depth of the input costs no stack.
pub(super) fn parse(bytes: &[u8]) -> Result<Element, ElementError> {
    let text = std::str::from_utf8(bytes).map_err(malformed)?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(malformed)?;
        let behind_root = root.is_some();
        match event {
            Event::Start(_) if behind_root => return Err(ElementError::Malformed("a second root".into())),
            Event::Start(_) if open.len() == DEPTH_MAX => return Err(ElementError::TooDeep),
            Event::Start(start) => open.push(begin(&reader, &start)?),
            Event::End(_) => {
                let element = open.pop().ok_or_else(|| ElementError::Malformed("an end without start".into()))?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(Node::Element(element)),
                    None => root = Some(element),
                }
            }
            Event::Text(text) => add_text(&mut open, &text.xml10_content())?,
            Event::CData(text) => add_text(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => add_text(&mut open, &resolve(&reference)?)?,
            Event::Eof => return root.ok_or_else(|| ElementError::Malformed("no end".into())),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(ElementError::Malformed("a declaration, comment or instruction".into()));
            }
        }
    }
}

fn begin(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, ElementError> {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    let mut element = Element::new(&unescape(namespace)?, name.into_inner());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(malformed)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?;
        element.attributes.push(Attribute {
            namespace: unescape(namespace)?.into(),
            name: name.into_inner().into(),
            value: value.into(),
        });
    }
    Ok(element)
}

/// quick-xml hands a namespace out as it was written.
fn unescape(namespace: ResolveResult<'_>) -> Result<String, ElementError> {
    match namespace {
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Bound(namespace) => {
            let declaration = Written { key: QName("xmlns"), value: namespace.into_inner().into() };
            declaration.normalized_value(XmlVersion::Implicit1_0).map(Into::into).map_err(malformed)
        }
        ResolveResult::Unknown(_) => Err(ElementError::Malformed("a prefix is not declared".into())),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, ElementError> {
    if let Some(character) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(character.into());
    }
    resolve_predefined_entity(reference)
        .map(Into::into)
        .ok_or_else(|| ElementError::Malformed("an entity that is not predefined".into()))
}

/// Adds character data to the innermost element, joined with what stands directly before it.
fn add_text(open: &mut [Element], text: &str) -> Result<(), ElementError> {
    let Some(parent) = open.last_mut() else {
        let blank = text.bytes().all(|byte| byte.is_ascii_whitespace());
        return if blank { Ok(()) } else { Err(ElementError::Malformed("text outside of the root".into())) };
    };
    match parent.children.last_mut() {
        _ if text.is_empty() => {}
        Some(Node::Text(before)) => before.push_str(text),
        _ => parent.children.push(Node::Text(text.to_owned())),
    }
    Ok(())
}

fn malformed(error: impl std::fmt::Display) -> ElementError {
    ElementError::Malformed(error.to_string())
}
