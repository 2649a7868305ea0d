//! The generated default: every key with its documentation and its default, as TOML.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Settings;

/// The whole file, as `vesta config print-default` prints it.
pub fn default_file() -> String {
    let mut out = String::from(
        "# Vesta's configuration: every key, with its default.\n\
         #\n\
         # Any key may be left out. Each can be overridden by an environment variable: VESTA_ and the key's path in capitals,\n\
         # dots as underscores (VESTA_STORAGE_URL for storage.url). Durations have a unit (ms, s, min, h, d), sizes too (B,\n\
         # KiB, MiB, GiB). `vesta config check FILE` says what is wrong with a file.\n",
    );
    let schema = schema();
    let defaults = defaults();
    write_table(&mut out, &Node { root: &schema, schema: &schema }, &defaults, "");
    out
}

/// The schema of [`Settings`].
pub fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

fn defaults() -> Value {
    serde_json::to_value(Settings::default()).expect("the defaults are plain data")
}

/// A place in the schema, references resolved.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Where definitions are.
    pub root: &'a Value,
    /// The place.
    pub schema: &'a Value,
}

impl<'a> Node<'a> {
    /// Follows a reference, and takes the value's schema of an optional one.
    pub fn resolve(self) -> Node<'a> {
        if let Some(path) = self.schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(path.trim_start_matches('#')).unwrap_or(&Value::Null);
            return Node { root: self.root, schema: target }.resolve();
        }
        for key in ["anyOf", "allOf", "oneOf"] {
            let options = self.schema.get(key).and_then(Value::as_array);
            let present = options.and_then(|options| {
                options
                    .iter()
                    .find(|it| it.get("type").and_then(Value::as_str) != Some("null") && it.get("$ref").is_some())
            });
            if let Some(schema) = present {
                return Node { root: self.root, schema }.resolve();
            }
        }
        self
    }

    /// The fields of a table, in the order of the type's.
    pub fn properties(self) -> Option<&'a Map<String, Value>> {
        self.resolve().schema.get("properties").and_then(Value::as_object)
    }

    /// A field.
    pub fn field(self, name: &str) -> Option<Node<'a>> {
        Some(Node { root: self.root, schema: self.properties()?.get(name)? })
    }

    /// What an array's elements are.
    pub fn items(self) -> Option<Node<'a>> {
        Some(Node { root: self.root, schema: self.resolve().schema.get("items")? })
    }

    fn description(self) -> Option<&'a str> {
        self.schema.get("description").and_then(Value::as_str)
    }
}

fn write_table(out: &mut String, table: &Node, defaults: &Value, path: &str) {
    let Some(properties) = table.properties() else { return };
    let nested = |name: &str| {
        let field = table.field(name);
        field.is_some_and(|field| field.properties().is_some() || is_table_array(&field))
    };
    for name in properties.keys().filter(|name| !nested(name)) {
        if let Some(field) = table.field(name) {
            out.push('\n');
            write_comment(out, field.description());
            write_value(out, name, &defaults[name]);
        }
    }
    for name in properties.keys().filter(|name| nested(name)) {
        let Some(field) = table.field(name) else { continue };
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        out.push('\n');
        write_comment(out, field.description());
        match field.items().filter(|_| is_table_array(&field)) {
            Some(item) => write_table_array(out, &item, &defaults[name], &path),
            None => {
                let _ = writeln!(out, "[{path}]");
                write_table(out, &field, &defaults[name], &path);
            }
        }
    }
}

fn is_table_array(field: &Node) -> bool {
    field.items().is_some_and(|item| item.properties().is_some())
}

fn write_table_array(out: &mut String, item: &Node, defaults: &Value, path: &str) {
    match defaults.as_array().and_then(|values| values.first()) {
        Some(first) => {
            let _ = writeln!(out, "[[{path}]]");
            write_table(out, item, first, path);
        }
        None => {
            let _ = writeln!(out, "# [[{path}]]");
            for (name, field) in item.properties().into_iter().flatten() {
                write_comment(out, field.get("description").and_then(Value::as_str));
                let _ = writeln!(out, "# {name} = …");
            }
        }
    }
}

fn write_comment(out: &mut String, text: Option<&str>) {
    /// Where comments are broken.
    const WIDTH: usize = 100;
    let mut line = String::new();
    for word in text.unwrap_or_default().split_whitespace() {
        if line.len() + word.len() > WIDTH {
            let _ = writeln!(out, "#{line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "#{line}");
    }
}

/// `key = value`, commented out where there is no default.
fn write_value(out: &mut String, name: &str, value: &Value) {
    let written = to_toml(value);
    let _ = match written {
        Some(value) => writeln!(out, "{name} = {value}"),
        None => writeln!(out, "# {name} ="),
    };
}

/// `None` for null: TOML has none.
fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => toml::Value::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => toml::Value::Integer(integer),
            None => toml::Value::Float(number.as_f64()?),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(values) => toml::Value::Array(values.iter().filter_map(to_toml).collect()),
        Value::Object(fields) => toml::Value::Table(
            fields.iter().filter_map(|(name, value)| Some((name.clone(), to_toml(value)?))).collect(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_valid_and_means_the_defaults() {
        let file = default_file();
        let read: Settings = toml::from_str(&file).unwrap_or_else(|error| panic!("{error}\n{file}"));
        assert_eq!(read, Settings::default());
    }

    #[test]
    fn every_key_is_documented() {
        fn check(node: Node, path: &str) {
            for name in node.properties().into_iter().flat_map(Map::keys) {
                let field = node.field(name).expect("it is listed");
                assert!(field.description().is_some(), "{path}.{name} has no documentation");
                check(field, &format!("{path}.{name}"));
            }
        }
        let schema = schema();
        check(Node { root: &schema, schema: &schema }, "");
    }
}
