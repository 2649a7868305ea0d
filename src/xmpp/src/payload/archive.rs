//! XEP-0313: Message Archive Management (version 1.1.3), with the extended fields, and XEP-0441: Message Archive Management Preferences
//! (version 0.2.0).

use super::data_form::{Field, FieldKind, Form, FormKind};
use super::date_time::DateTime;
use super::forwarded::Forwarded;
use super::{PayloadError, boolean, expect_element, required, rsm};
use crate::{Element, Jid, ns};

/// `<query/>` of an IQ of type `set`: a page of an archive is asked for (§4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What the results are marked with, chosen by the client.
    pub query_id: Option<String>,
    /// A node of a pubsub service.
    pub node: Option<String>,
    /// Only messages from or to this address; a bare JID means all of its resources (§4.1.1).
    pub with: Option<Jid>,
    /// Only messages of this time or later (§4.1.2).
    pub start: Option<DateTime>,
    /// Only messages of this time or earlier.
    pub end: Option<DateTime>,
    /// Only messages behind the one of this id (§4.1.4, extended).
    pub after_id: Option<String>,
    /// Only messages before the one of this id (extended).
    pub before_id: Option<String>,
    /// Only the messages of these ids (extended); empty: not asked.
    pub ids: Vec<String>,
    /// Fields that are none of these, by name: the answer is `feature-not-implemented` (§4.1).
    pub unknown_fields: Vec<String>,
    /// Which page; `None` where the client leaves it to the archive.
    pub page: Option<rsm::Request>,
    /// Whether the page's messages come newest first (§4.1.5, extended).
    pub flip_page: bool,
}

/// `<result/>` within a message: an archived message (§4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveResult {
    /// [`Query::query_id`].
    pub query_id: Option<String>,
    /// The message's id in the archive.
    pub id: String,
    /// The message, and when it was archived.
    pub forwarded: Forwarded,
}

/// `<fin/>`: the answer, behind the results of the page (§4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fin {
    /// Whether there is nothing beyond the page, in the direction of paging.
    pub complete: bool,
    /// Whether the page may have changed by the time that it is read.
    pub unstable: bool,
    /// Which page it was.
    pub page: rsm::Page,
}

/// `<metadata/>` of an IQ result: where the archive begins and ends (§5); neither where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The oldest message.
    pub start: Option<Bound>,
    /// The newest one.
    pub end: Option<Bound>,
}

/// One end of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The message's id.
    pub id: String,
    /// When it was archived.
    pub timestamp: DateTime,
}

/// `<prefs/>`: what the owner wants archived (XEP-0441).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// For whom no other list speaks.
    pub default: Policy,
    /// Always archived: bare JIDs mean all of their resources.
    pub always: Vec<Jid>,
    /// Never archived.
    pub never: Vec<Jid>,
}

/// The attribute `default` of [`Preferences`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    Always,
    /// Nothing.
    Never,
    /// What comes from and goes to contacts in the roster.
    Roster,
}

impl Query {
    /// Reads a `<query/>`.
    ///
    /// # Errors
    /// Not of this namespace; a form of another type; a time, address or number that is none; a malformed `<set/>`.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ARCHIVE, "query")?;
        let mut query = Self {
            query_id: element.attribute("queryid").map(Into::into),
            node: element.attribute("node").map(Into::into),
            page: element.child(ns::RSM, "set").map(rsm::Request::parse).transpose()?,
            flip_page: element.child(ns::ARCHIVE, "flip-page").is_some(),
            ..Self::default()
        };
        if let Some(form) = element.child(ns::DATA_FORMS, "x").map(Form::parse).transpose()? {
            query.read_form(&form)?;
        }
        Ok(query)
    }

    fn read_form(&mut self, form: &Form) -> Result<(), PayloadError> {
        if form.kind != FormKind::Submit {
            return Err(PayloadError::Invalid("type"));
        }
        if form.form_type() != Some(ns::ARCHIVE) {
            return Err(PayloadError::Invalid("FORM_TYPE"));
        }
        for field in &form.fields {
            let value = field.values.first();
            match (field.name.as_deref().unwrap_or_default(), value) {
                ("FORM_TYPE", _) => {}
                ("with", Some(with)) => self.with = Some(Jid::parse(with)?),
                ("start", Some(time)) => self.start = Some(instant(time, "start")?),
                ("end", Some(time)) => self.end = Some(instant(time, "end")?),
                ("after-id", Some(id)) => self.after_id = Some(id.clone()),
                ("before-id", Some(id)) => self.before_id = Some(id.clone()),
                ("ids", Some(_)) => self.ids.clone_from(&field.values),
                (name, Some(_)) => self.unknown_fields.push(name.to_owned()),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Writes the `<query/>`.
    pub fn to_element(&self) -> Element {
        let mut form = Form::of_type(FormKind::Submit, ns::ARCHIVE);
        let mut push = |name: &str, value: Option<String>| form.fields.extend(value.map(|it| Field::new(name, [it])));
        push("with", self.with.as_ref().map(ToString::to_string));
        push("start", self.start.map(|time| time.to_string()));
        push("end", self.end.map(|time| time.to_string()));
        push("after-id", self.after_id.clone());
        push("before-id", self.before_id.clone());
        if !self.ids.is_empty() {
            form.fields.push(Field::new("ids", self.ids.iter().cloned()));
        }
        let mut query = Element::new(ns::ARCHIVE, "query")
            .with_optional("queryid", self.query_id.as_deref())
            .with_optional("node", self.node.as_deref());
        if form.fields.len() > 1 {
            query.push(form.to_element());
        }
        if let Some(page) = &self.page {
            query.push(page.to_element());
        }
        if self.flip_page {
            query.push(Element::new(ns::ARCHIVE, "flip-page"));
        }
        query
    }

    /// The answer to a `<query/>` of an IQ of type `get`: a form that tells which fields may be asked for (§4.1.6).
    pub fn form() -> Element {
        let field = |name: &str, kind| Field { kind: Some(kind), ..Field::new(name, [""; 0]) };
        let form = Form::of_type(FormKind::Form, ns::ARCHIVE)
            .with(field("with", FieldKind::JidSingle))
            .with(field("start", FieldKind::TextSingle))
            .with(field("end", FieldKind::TextSingle))
            .with(field("before-id", FieldKind::TextSingle))
            .with(field("after-id", FieldKind::TextSingle));
        // XEP-0122: a list that takes any value.
        let any = Element::new(ns::DATA_VALIDATION, "validate")
            .with("datatype", "xs:string")
            .with_child(Element::new(ns::DATA_VALIDATION, "open"));
        let ids = Element::new(ns::DATA_FORMS, "field").with("var", "ids").with("type", "list-multi").with_child(any);
        Element::new(ns::ARCHIVE, "query").with_child(form.to_element().with_child(ids))
    }
}

impl ArchiveResult {
    /// Reads a `<result/>`.
    ///
    /// # Errors
    /// Not a result; no id; nothing in it, or what can't be read.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ARCHIVE, "result")?;
        let forwarded = element.child(ns::FORWARD, "forwarded").ok_or(PayloadError::Missing("forwarded"))?;
        Ok(Self {
            query_id: element.attribute("queryid").map(Into::into),
            id: required(element, "id")?.to_owned(),
            forwarded: Forwarded::parse(forwarded)?,
        })
    }

    /// Writes the `<result/>`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut attribute = |before: &str, value: &str| {
            out.extend_from_slice(before.as_bytes());
            crate::escape_into(out, value);
        };
        attribute("<result xmlns='", ns::ARCHIVE);
        if let Some(query_id) = &self.query_id {
            attribute("' queryid='", query_id);
        }
        attribute("' id='", &self.id);
        out.extend_from_slice(b"'>");
        self.forwarded.write(out);
        out.extend_from_slice(b"</result>");
    }
}

impl Fin {
    /// Reads a `<fin/>`.
    ///
    /// # Errors
    /// Not of this namespace; a flag that is none; no page, or a malformed one.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ARCHIVE, "fin")?;
        let page = element.child(ns::RSM, "set").ok_or(PayloadError::Missing("set"))?;
        let stable = element.attribute("stable").is_none() || boolean(element, "stable")?;
        let complete = boolean(element, "complete")?;
        Ok(Self { complete, unstable: !stable, page: rsm::Page::parse(page)? })
    }

    /// Writes the `<fin/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::ARCHIVE, "fin")
            .with_optional("complete", self.complete.then_some("true"))
            .with_optional("stable", self.unstable.then_some("false"))
            .with_child(self.page.to_element())
    }
}

impl Metadata {
    /// The question, of an IQ of type `get`.
    pub fn question() -> Element {
        Element::new(ns::ARCHIVE, "metadata")
    }

    /// Reads a `<metadata/>`.
    ///
    /// # Errors
    /// Not of this namespace; an end without id or time.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ARCHIVE, "metadata")?;
        let bound = |name| element.child(ns::ARCHIVE, name).map(Bound::parse).transpose();
        Ok(Self { start: bound("start")?, end: bound("end")? })
    }

    /// Writes the `<metadata/>`.
    pub fn to_element(&self) -> Element {
        let bound = |name, bound: &Option<Bound>| bound.as_ref().map(|bound| bound.to_element(name));
        Self::question().with_children(bound("start", &self.start)).with_children(bound("end", &self.end))
    }
}

impl Bound {
    fn parse(element: &Element) -> Result<Self, PayloadError> {
        let timestamp = instant(required(element, "timestamp")?, "timestamp")?;
        Ok(Self { id: required(element, "id")?.to_owned(), timestamp })
    }

    fn to_element(&self, name: &str) -> Element {
        Element::new(ns::ARCHIVE, name).with("id", &self.id).with("timestamp", self.timestamp.to_string())
    }
}

impl Preferences {
    /// The question, of an IQ of type `get`.
    pub fn question() -> Element {
        Element::new(ns::ARCHIVE, "prefs")
    }

    /// Reads a `<prefs/>`.
    ///
    /// # Errors
    /// Not of this namespace; `default` that is missing or unknown; an address that is none.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ARCHIVE, "prefs")?;
        Ok(Self {
            default: Policy::from_name(required(element, "default")?).ok_or(PayloadError::Invalid("default"))?,
            always: addresses(element, "always")?,
            never: addresses(element, "never")?,
        })
    }

    /// Writes the `<prefs/>`.
    pub fn to_element(&self) -> Element {
        let list = |name, jids: &[Jid]| {
            let jid = |jid: &Jid| Element::new(ns::ARCHIVE, "jid").with_text(jid.as_str());
            Element::new(ns::ARCHIVE, name).with_children(jids.iter().map(jid))
        };
        Self::question()
            .with("default", self.default.name())
            .with_child(list("always", &self.always))
            .with_child(list("never", &self.never))
    }
}

impl Policy {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::Never => "never",
            Policy::Roster => "roster",
        }
    }

    /// The policy with this attribute value.
    pub fn from_name(name: &str) -> Option<Self> {
        [Policy::Always, Policy::Never, Policy::Roster].into_iter().find(|policy| policy.name() == name)
    }
}

fn instant(text: &str, name: &'static str) -> Result<DateTime, PayloadError> {
    DateTime::parse(text).ok_or(PayloadError::Invalid(name))
}

fn addresses(prefs: &Element, name: &str) -> Result<Vec<Jid>, PayloadError> {
    let Some(list) = prefs.child(ns::ARCHIVE, name) else { return Ok(Vec::new()) };
    let jids = list.children().filter(|child| child.is(ns::ARCHIVE, "jid"));
    jids.map(|jid| Ok(Jid::parse(jid.text().trim())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, MessageType, StanzaType};

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("a JID")
    }

    #[test]
    fn a_query_with_everything_in_it_comes_back_as_it_was_written() {
        let query = Query {
            query_id: Some("f27".into()),
            node: Some("fdp/submitted".into()),
            with: Some(jid("juliet@capulet.lit")),
            start: Some(DateTime(1_275_948_800_000)),
            end: Some(DateTime(1_275_960_000_000)),
            after_id: Some("a".into()),
            before_id: Some("b".into()),
            ids: vec!["c".into(), "d".into()],
            unknown_fields: Vec::new(),
            page: Some(rsm::Request { max: Some(10), position: rsm::Position::Last }),
            flip_page: true,
        };
        assert_eq!(Query::parse(&query.to_element()), Ok(query));
        assert_eq!(Query::default().to_element().to_bytes(ns::CLIENT), "<query xmlns='urn:xmpp:mam:2'/>");
    }

    #[test]
    fn a_field_that_nobody_knows_is_told_and_a_malformed_one_refused() {
        let with = |field| {
            let form = Form::of_type(FormKind::Submit, ns::ARCHIVE).with(field);
            Query::parse(&Element::new(ns::ARCHIVE, "query").with_child(form.to_element()))
        };
        let unknown = with(Field::new("{urn:x}flavour", ["sweet"])).map(|query| query.unknown_fields);
        assert_eq!(unknown, Ok(vec!["{urn:x}flavour".to_owned()]));
        assert_eq!(with(Field::new("start", ["yesterday"])), Err(PayloadError::Invalid("start")));
        assert!(matches!(with(Field::new("with", ["@"])), Err(PayloadError::Address(_))));
        let other = Form::of_type(FormKind::Submit, "urn:other").to_element();
        let other = Query::parse(&Element::new(ns::ARCHIVE, "query").with_child(other));
        assert_eq!(other, Err(PayloadError::Invalid("FORM_TYPE")));
    }

    #[test]
    fn a_result_comes_back_as_it_was_written() {
        let stanza = Envelope::new(StanzaType::Message(MessageType::Chat)).with_from(jid("witch@shakespeare.lit"));
        for query_id in [None, Some("<f27>".to_owned())] {
            let forwarded = Forwarded { delay: None, stanza: stanza.clone() };
            let result = ArchiveResult { query_id, id: "28482".into(), forwarded };
            let mut out = Vec::new();
            result.write(&mut out);
            let read = ArchiveResult::parse(&Element::parse(&out).expect("well-formed"));
            assert_eq!(read, Ok(result));
        }
    }

    #[test]
    fn the_end_of_a_page_comes_back_as_it_was_written() {
        for (complete, unstable) in [(true, false), (false, true)] {
            let fin = Fin { complete, unstable, page: rsm::Page { count: Some(3), ..rsm::Page::default() } };
            assert_eq!(Fin::parse(&fin.to_element()), Ok(fin));
        }
        assert_eq!(Fin::parse(&Element::new(ns::ARCHIVE, "fin")), Err(PayloadError::Missing("set")));
    }

    #[test]
    fn metadata_come_back_as_they_were_written() {
        let bound = |id: &str, at| Some(Bound { id: id.into(), timestamp: DateTime(at) });
        for metadata in [Metadata::default(), Metadata { start: bound("a", 0), end: bound("b", 1_000) }] {
            assert_eq!(Metadata::parse(&metadata.to_element()), Ok(metadata));
        }
    }

    #[test]
    fn preferences_come_back_as_they_were_written() {
        for default in [Policy::Always, Policy::Never, Policy::Roster] {
            let always = vec![jid("romeo@montague.lit")];
            let preferences = Preferences { default, always, never: vec![jid("montague.lit"), jid("a@b/c")] };
            assert_eq!(Preferences::parse(&preferences.to_element()), Ok(preferences));
        }
        let unknown = Preferences::question().with("default", "sometimes");
        assert_eq!(Preferences::parse(&unknown), Err(PayloadError::Invalid("default")));
        assert_eq!(Preferences::parse(&Preferences::question()), Err(PayloadError::Missing("default")));
    }
}
