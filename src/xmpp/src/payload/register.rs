//! XEP-0077: In-Band Registration (version 2.4).

use super::data_form::Form;
use super::{PayloadError, child_text, expect_element};
use crate::{Element, Secret, ns};

/// `<query xmlns='jabber:iq:register'/>` in all its uses (§3): the question and the empty fields that answer it, the
/// registration, a new password, the removal.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// `<registered/>`: whoever asks is registered already (§3.1).
    pub registered: bool,
    /// `<remove/>`: the account is to go (§3.2).
    pub remove: bool,
    /// What people are to do.
    pub instructions: Option<String>,
    /// The localpart, as typed; empty where it is only asked for.
    pub username: Option<String>,
    /// The password, as typed; empty where it is only asked for.
    pub password: Option<Secret>,
    /// A form that replaces the fields (§5).
    pub form: Option<Form>,
}

impl Register {
    /// Reads a `<query/>`.
    ///
    /// # Errors
    /// Not a registration; a data form that is none.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::REGISTER, "query")?;
        let has = |name| element.child(ns::REGISTER, name).is_some();
        Ok(Self {
            registered: has("registered"),
            remove: has("remove"),
            instructions: child_text(element, "instructions"),
            username: child_text(element, "username"),
            password: child_text(element, "password").map(Secret::new),
            form: element.child(ns::DATA_FORMS, "x").map(Form::parse).transpose()?,
        })
    }

    /// Writes the `<query/>`. A password that is not UTF-8 is left out: none that was typed can be that.
    pub fn to_element(&self) -> Element {
        let mut query = Element::new(ns::REGISTER, "query");
        if self.registered {
            query.push(Element::new(ns::REGISTER, "registered"));
        }
        if self.remove {
            query.push(Element::new(ns::REGISTER, "remove"));
        }
        push_text(&mut query, "instructions", self.instructions.as_deref());
        push_text(&mut query, "username", self.username.as_deref());
        let password = self.password.as_ref().and_then(|password| std::str::from_utf8(password.expose()).ok());
        push_text(&mut query, "password", password);
        query.with_children(self.form.iter().map(Form::to_element))
    }
}

fn push_text(query: &mut Element, name: &str, text: Option<&str>) {
    match text {
        None => {}
        Some("") => query.push(Element::new(ns::REGISTER, name)),
        Some(text) => query.push(Element::new(ns::REGISTER, name).with_text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_written_as_in_example_4() {
        let register =
            Register { username: Some("bill".into()), password: Some("Calliope".into()), ..Register::default() };
        let element = register.to_element();
        assert_eq!(
            element.to_bytes(ns::CLIENT),
            "<query xmlns='jabber:iq:register'><username>bill</username><password>Calliope</password></query>"
        );
        let read = Register::parse(&element).expect("a registration");
        assert_eq!(read.username.as_deref(), Some("bill"));
        assert!(read.password.is_some_and(|password| password.matches(b"Calliope")));
    }

    #[test]
    fn fields_that_are_asked_for_are_empty() {
        let asked = Register { username: Some(String::new()), password: Some("".into()), ..Register::default() };
        assert_eq!(
            asked.to_element().to_bytes(ns::CLIENT),
            "<query xmlns='jabber:iq:register'><username/><password/></query>"
        );
    }

    #[test]
    fn removal_and_registered_are_flags() {
        let flags = Register { remove: true, registered: true, ..Register::default() };
        let read = Register::parse(&flags.to_element()).expect("a registration");
        assert!(read.remove && read.registered && read.username.is_none() && read.password.is_none());
    }

    #[test]
    fn a_password_is_never_printed() {
        let register = Register { password: Some("Calliope".into()), ..Register::default() };
        assert!(!format!("{register:?}").contains("Calliope"));
    }
}
