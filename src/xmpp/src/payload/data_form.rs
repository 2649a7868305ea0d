//! XEP-0004: Data Forms (version 2.13.1), with the `FORM_TYPE` of XEP-0068.

use super::{PayloadError, child_text, expect_element, required};
use crate::{Element, ns};

/// `<x xmlns='jabber:x:data'/>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What the form is for.
    pub kind: FormKind,
    /// A heading for people.
    pub title: Option<String>,
    /// What people are to do with it, a paragraph each.
    pub instructions: Vec<String>,
    /// The fields of one form, or of the only item of a result.
    pub fields: Vec<Field>,
    /// The head of a table of results: which fields its items have (§3.4).
    pub reported: Vec<Field>,
    /// The rows of a table of results.
    pub items: Vec<Vec<Field>>,
}

/// The attribute `type` of a form (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormKind {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Not wanted after all.
    Cancel,
    /// Data, not to be filled in.
    Result,
}

/// The attribute `type` of a field (§3.3). A field of an unknown type counts as one of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Yes or no.
    Boolean,
    /// Text for people, nothing to fill in.
    Fixed,
    /// Not shown.
    Hidden,
    /// Addresses.
    JidMulti,
    /// An address.
    JidSingle,
    /// Some of the options.
    ListMulti,
    /// One of the options.
    ListSingle,
    /// Lines of text.
    TextMulti,
    /// One line of text that must not be shown.
    TextPrivate,
    /// One line of text.
    TextSingle,
}

/// A field, with its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name, `var`; only a fixed one may have none.
    pub name: Option<String>,
    /// Its type, where it is told.
    pub kind: Option<FieldKind>,
    /// A heading for people.
    pub label: Option<String>,
    /// An explanation for people.
    pub description: Option<String>,
    /// Whether it must be filled in.
    pub required: bool,
    /// The values, more than one for the types that end in `Multi`.
    pub values: Vec<String>,
    /// What to choose from.
    pub options: Vec<FieldOption>,
}

/// One choice of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOption {
    /// A name for people.
    pub label: Option<String>,
    /// The value.
    pub value: String,
}

impl Form {
    /// An empty form.
    pub fn new(kind: FormKind) -> Self {
        Self {
            kind,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// A form whose fields are named in the scope of `form_type` (XEP-0068 §3).
    pub fn of_type(kind: FormKind, form_type: &str) -> Self {
        Self::new(kind).with(Field { kind: Some(FieldKind::Hidden), ..Field::new("FORM_TYPE", [form_type]) })
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.as_deref() == Some(name))
    }

    /// The first value of the field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.field(name)?.values.first().map(String::as_str)
    }

    /// The scope of the fields' names.
    pub fn form_type(&self) -> Option<&str> {
        self.value("FORM_TYPE")
    }

    /// Reads an `<x/>`.
    ///
    /// # Errors
    /// Not a data form; a `type` that is missing or unknown; an option without value.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::DATA_FORMS, "x")?;
        let items = element.children().filter(|child| child.is(ns::DATA_FORMS, "item"));
        Ok(Self {
            kind: FormKind::from_name(required(element, "type")?).ok_or(PayloadError::Invalid("type"))?,
            title: child_text(element, "title"),
            instructions: texts(element, "instructions"),
            fields: fields(element)?,
            reported: element.child(ns::DATA_FORMS, "reported").map(fields).transpose()?.unwrap_or_default(),
            items: items.map(fields).collect::<Result<_, _>>()?,
        })
    }

    /// Writes the `<x/>`.
    pub fn to_element(&self) -> Element {
        let mut form = Element::new(ns::DATA_FORMS, "x").with("type", self.kind.name());
        push_texts(&mut form, "title", &self.title);
        push_texts(&mut form, "instructions", &self.instructions);
        if !self.reported.is_empty() {
            form.push(group("reported", &self.reported));
        }
        form.with_children(self.items.iter().map(|item| group("item", item)))
            .with_children(self.fields.iter().map(Field::to_element))
    }
}

impl Field {
    /// A field with values and nothing else.
    pub fn new<T: Into<String>>(name: &str, values: impl IntoIterator<Item = T>) -> Self {
        Self { name: Some(name.into()), values: values.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn parse(element: &Element) -> Result<Self, PayloadError> {
        let options = element.children().filter(|child| child.is(ns::DATA_FORMS, "option"));
        Ok(Self {
            name: element.attribute("var").map(Into::into),
            kind: element.attribute("type").and_then(FieldKind::from_name),
            label: element.attribute("label").map(Into::into),
            description: child_text(element, "desc"),
            required: element.child(ns::DATA_FORMS, "required").is_some(),
            values: texts(element, "value"),
            options: options.map(FieldOption::parse).collect::<Result<_, _>>()?,
        })
    }

    fn to_element(&self) -> Element {
        let mut field = Element::new(ns::DATA_FORMS, "field")
            .with_optional("var", self.name.as_deref())
            .with_optional("type", self.kind.map(FieldKind::name))
            .with_optional("label", self.label.as_deref());
        push_texts(&mut field, "desc", &self.description);
        if self.required {
            field.push(Element::new(ns::DATA_FORMS, "required"));
        }
        push_texts(&mut field, "value", &self.values);
        field.with_children(self.options.iter().map(FieldOption::to_element))
    }
}

impl FieldOption {
    fn parse(element: &Element) -> Result<Self, PayloadError> {
        let value = child_text(element, "value").ok_or(PayloadError::Missing("value"))?;
        Ok(Self { label: element.attribute("label").map(Into::into), value })
    }

    fn to_element(&self) -> Element {
        let value = Element::new(ns::DATA_FORMS, "value").with_text(&self.value);
        Element::new(ns::DATA_FORMS, "option").with_optional("label", self.label.as_deref()).with_child(value)
    }
}

impl FormKind {
    fn name(self) -> &'static str {
        match self {
            FormKind::Form => "form",
            FormKind::Submit => "submit",
            FormKind::Cancel => "cancel",
            FormKind::Result => "result",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [FormKind::Form, FormKind::Submit, FormKind::Cancel, FormKind::Result]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl FieldKind {
    const ALL: [FieldKind; 10] = [
        FieldKind::Boolean,
        FieldKind::Fixed,
        FieldKind::Hidden,
        FieldKind::JidMulti,
        FieldKind::JidSingle,
        FieldKind::ListMulti,
        FieldKind::ListSingle,
        FieldKind::TextMulti,
        FieldKind::TextPrivate,
        FieldKind::TextSingle,
    ];

    fn name(self) -> &'static str {
        match self {
            FieldKind::Boolean => "boolean",
            FieldKind::Fixed => "fixed",
            FieldKind::Hidden => "hidden",
            FieldKind::JidMulti => "jid-multi",
            FieldKind::JidSingle => "jid-single",
            FieldKind::ListMulti => "list-multi",
            FieldKind::ListSingle => "list-single",
            FieldKind::TextMulti => "text-multi",
            FieldKind::TextPrivate => "text-private",
            FieldKind::TextSingle => "text-single",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

fn fields(element: &Element) -> Result<Vec<Field>, PayloadError> {
    element.children().filter(|child| child.is(ns::DATA_FORMS, "field")).map(Field::parse).collect()
}

fn group(name: &str, fields: &[Field]) -> Element {
    Element::new(ns::DATA_FORMS, name).with_children(fields.iter().map(Field::to_element))
}

fn texts(element: &Element, name: &str) -> Vec<String> {
    element.children().filter(|child| child.is(ns::DATA_FORMS, name)).map(Element::text).collect()
}

fn push_texts<'a>(element: &mut Element, name: &str, texts: impl IntoIterator<Item = &'a String>) {
    for text in texts {
        element.push(Element::new(ns::DATA_FORMS, name).with_text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_with_everything_in_it_comes_back_as_it_was_written() {
        let list = Field {
            kind: Some(FieldKind::ListMulti),
            label: Some("What features will the bot support?".into()),
            description: Some("As many as you like".into()),
            required: true,
            options: vec![
                FieldOption { label: Some("Contests".into()), value: "contests".into() },
                FieldOption { label: None, value: "news".into() },
            ],
            ..Field::new("features", ["news", "search"])
        };
        let form = Form {
            title: Some("Bot Configuration".into()),
            instructions: vec!["Fill out this form".into(), "to configure your new bot!".into()],
            ..Form::of_type(FormKind::Form, "jabber:bot").with(list)
        };
        assert_eq!(form.form_type(), Some("jabber:bot"));
        assert_eq!(Form::parse(&form.to_element()), Ok(form));
    }

    #[test]
    fn a_table_of_results_keeps_its_head_and_its_rows() {
        let row = |name: &str| vec![Field::new("name", [name])];
        let form = Form {
            reported: vec![Field { label: Some("Name".into()), ..Field::new("name", [""; 0]) }],
            items: vec![row("Comune di Verona"), row("Verona.com")],
            ..Form::new(FormKind::Result)
        };
        assert_eq!(Form::parse(&form.to_element()), Ok(form));
    }

    #[test]
    fn every_field_type_has_a_name_of_its_own() {
        for kind in FieldKind::ALL {
            assert_eq!(FieldKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_form_of_no_type_is_refused() {
        let form = Element::new(ns::DATA_FORMS, "x");
        assert_eq!(Form::parse(&form), Err(PayloadError::Missing("type")));
        assert_eq!(Form::parse(&form.with("type", "poll")), Err(PayloadError::Invalid("type")));
    }
}
