//! Reading the configuration: the file, then the environment; what is wrong is said with key, value and remedy.

use std::path::{Path, PathBuf};

use serde_json::Map;

use super::Settings;
use super::document::{Node, schema};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {path} can't be read: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is not TOML. The line itself is not shown: there may be a secret in it.
    #[error("the configuration {path} is not valid TOML in line {line}: {reason}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A key that there is not.
    #[error("{origin}: there is no key {key:?}{}", hint(.nearest))]
    UnknownKey {
        /// File or variable.
        origin: String,
        /// Its path.
        key: String,
        /// The most similar one that there is.
        nearest: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("{origin}: {reason}")]
    Value {
        /// File or variable.
        origin: String,
        /// Which key, and why.
        reason: String,
    },
    /// Values that make no sense together.
    #[error("{key}: {reason}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// Why, and what to do.
        reason: String,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!(": did you mean {nearest:?}?"))
}

/// The prefix of environment variables.
const PREFIX: &str = "VESTA_";

/// Reads the file, if one is given, and applies `environment`.
///
/// # Errors
/// The first thing found wrong.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let schema = schema();
    let root = Node { root: &schema, schema: &schema };
    let mut table = match file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|reason| ConfigError::File { path: path.into(), reason })?;
            text.parse::<toml::Table>().map_err(|error| syntax_error(path, &text, &error))?
        }
        None => toml::Table::new(),
    };
    let origin = file.map_or_else(String::new, |path| path.display().to_string());
    check_keys(&table, root, "", &origin)?;
    let keys = paths(root);
    let mut variables: Vec<_> = environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        override_key(&mut table, &keys, &name, &value)?;
    }
    let settings: Settings = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let origin = if origin.is_empty() { "the environment".into() } else { origin.clone() };
        ConfigError::Value { origin, reason: error.to_string() }
    })?;
    validate(settings)
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    ConfigError::Syntax { path: path.into(), line, reason: error.message().to_owned() }
}

/// Finds the first key that the schema does not know.
fn check_keys(table: &toml::Table, node: Node, path: &str, origin: &str) -> Result<(), ConfigError> {
    for (name, value) in table {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(field) = node.field(name) else {
            let known = node.properties().into_iter().flat_map(Map::keys);
            let sibling = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
            let nearest = nearest(name, known.map(String::as_str)).map(sibling);
            // A key that stands in the wrong table is found among all.
            let nearest = nearest.or_else(|| nearest_path(name, &paths(Node { root: node.root, schema: node.root })));
            return Err(ConfigError::UnknownKey { origin: origin.into(), key: here, nearest });
        };
        match value {
            // A host's own table of modules is checked against the modules'.
            toml::Value::Table(table) if here == "hosts.modules" => {
                let root = Node { root: node.root, schema: node.root };
                check_keys(table, root.field("modules").unwrap_or(root), &here, origin)?;
            }
            toml::Value::Table(table) if field.properties().is_some() => check_keys(table, field, &here, origin)?,
            toml::Value::Array(values) => {
                for table in values.iter().filter_map(toml::Value::as_table) {
                    if let Some(item) = field.items() {
                        check_keys(table, item, &here, origin)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every key outside arrays, as its path.
fn paths(root: Node) -> Vec<Vec<String>> {
    fn collect(node: Node, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        for name in node.properties().into_iter().flat_map(Map::keys) {
            path.push(name.clone());
            match node.field(name).filter(|field| field.properties().is_some()) {
                Some(field) => collect(field, path, out),
                None => out.push(path.clone()),
            }
            path.pop();
        }
    }
    let mut out = Vec::new();
    collect(root, &mut Vec::new(), &mut out);
    out
}

fn variable(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("_").to_uppercase())
}

fn override_key(table: &mut toml::Table, keys: &[Vec<String>], name: &str, value: &str) -> Result<(), ConfigError> {
    let Some(path) = keys.iter().find(|path| variable(path) == name) else {
        let names: Vec<_> = keys.iter().map(|path| variable(path)).collect();
        let nearest = nearest(name, names.iter().map(String::as_str));
        return Err(ConfigError::UnknownKey { origin: "the environment".into(), key: name.into(), nearest });
    };
    let mut table = table;
    for step in &path[..path.len() - 1] {
        let entry = table.entry(step.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(|| ConfigError::Value {
            origin: name.into(),
            reason: format!("{step:?} is not a table in the file"),
        })?;
    }
    // What is valid TOML is taken as such (numbers, lists), everything else as text.
    let parsed = format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut it| it.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    if let Some(last) = path.last() {
        table.insert(last.clone(), value);
    }
    Ok(())
}

fn nearest_path(name: &str, keys: &[Vec<String>]) -> Option<String> {
    keys.iter().find(|path| path.last().is_some_and(|last| last == name)).map(|path| path.join("."))
}

/// The most similar name, if one is similar at all.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let (distance, best) = known.into_iter().map(|it| (distance(name, it), it)).min()?;
    (distance <= name.len().max(best.len()) / 2).then(|| best.to_owned())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Checks what types alone can't.
fn validate(mut settings: Settings) -> Result<Settings, ConfigError> {
    let invalid = |key, reason: String| Err(ConfigError::Invalid { key, reason });
    if settings.hosts.is_empty() {
        return invalid("hosts", "at least one virtual host is needed".into());
    }
    let mut seen = std::collections::BTreeSet::new();
    for host in &mut settings.hosts {
        let prepared = vesta_xmpp::jid::prepare_domain(&host.domain).map(std::borrow::Cow::into_owned);
        host.domain = match prepared {
            Ok(domain) => domain,
            Err(error) => return invalid("hosts.domain", format!("{:?} is no domain: {error}", host.domain)),
        };
        if !seen.insert(host.domain.clone()) {
            return invalid("hosts.domain", format!("{} is there twice", host.domain));
        }
        if host.certificate.is_some() != host.key.is_some() {
            let text = format!("{}: `certificate` and `key` are needed both, or neither", host.domain);
            return invalid("hosts.certificate", text);
        }
        modules_of(&settings.modules, host)?;
    }
    if settings.cluster.shards == 0 || settings.cluster.shards > 4096 {
        return invalid("cluster.shards", "1 to 4096 are possible, 64 is a good number".into());
    }
    if settings.limits.login_attempts < 2 {
        return invalid("limits.login_attempts", "at least 2 (RFC 6120 §6.4.5)".into());
    }
    if settings.limits.stanza_before_login.0 < 10_000 || settings.limits.stanza.0 < 10_000 {
        return invalid("limits.stanza", "at least 10000 B (RFC 6120 §13.12)".into());
    }
    Ok(settings)
}

/// The modules' configuration of one host: the common one, overridden by its own table.
///
/// # Errors
/// A value of the wrong kind.
pub fn modules_of(
    common: &vesta_modules::Config,
    host: &super::settings::Host,
) -> Result<vesta_modules::Config, ConfigError> {
    let Some(own) = &host.modules else { return Ok(common.clone()) };
    let wrong = |reason: String| ConfigError::Value { origin: format!("hosts.modules of {}", host.domain), reason };
    let mut merged = toml::Table::try_from(common).map_err(|error| wrong(error.to_string()))?;
    for (module, keys) in own {
        let Some(keys) = keys.as_table() else { return Err(wrong(format!("{module} must be a table"))) };
        let table = merged.entry(module.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let Some(table) = table.as_table_mut() {
            table.extend(keys.clone());
        }
    }
    toml::Value::Table(merged).try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        load(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let error = check("[storage]\nurk = 'sqlite'", &[]).expect_err("unknown");
        assert!(error.contains("did you mean \"storage.url\""), "{error}");
        let error = check("require_tls = true", &[]).expect_err("in the wrong table");
        assert!(error.contains("did you mean \"clients.require_tls\""), "{error}");
        let error = check("[[hosts]]\ndomain = 'a.example'\ncertifcate = 'x'", &[]).expect_err("unknown");
        assert!(error.contains("did you mean \"hosts.certificate\""), "{error}");
        let error = check("", &[("VESTA_STORAGE_URI", "x")]).expect_err("unknown");
        assert!(error.contains("did you mean \"VESTA_STORAGE_URL\""), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let settings = check(
            "[storage]\nurl = 'sqlite'",
            &[
                ("VESTA_STORAGE_URL", "postgres://localhost/vesta"),
                ("VESTA_STORAGE_POOL_SIZE", "3"),
                ("VESTA_CLIENTS_STARTTLS", "['127.0.0.1:1234']"),
                ("VESTA_CLIENTS_DRAIN", "5 s"),
                ("HOME", "/"),
            ],
        )
        .expect("valid");
        assert_eq!(settings.storage.url, "postgres://localhost/vesta");
        assert_eq!(settings.storage.pool_size, 3);
        assert_eq!(settings.clients.starttls.len(), 1);
        assert_eq!(settings.clients.drain, crate::config::quantity::Period::seconds(5));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_key() {
        let error = check("[limits]\nstanza = 5", &[]).expect_err("no unit");
        assert!(error.contains("stanza"), "{error}");
        assert!(check("[[hosts]]\ndomain = 'a b'", &[]).expect_err("no domain").contains("hosts.domain"));
        assert!(check("[[hosts]]\ndomain = 'a'\n[[hosts]]\ndomain = 'A'", &[]).expect_err("twice").contains("twice"));
        assert!(check("hosts = 3", &[]).is_err());
    }

    #[test]
    fn no_error_shows_a_secret() {
        for wrong in [
            "[telemetry]\nheaders = { x-api-key = 's3cret }",
            "[telemetry]\nheaders = { 'x y' = 's3cret' }",
            "[telemetry.headers]\nx-api-key = ['s3cret']",
            "[storage]\nurl = \"postgres://vesta:s3cret@db/vesta",
        ] {
            let error = check(wrong, &[]).expect_err(wrong);
            assert!(!error.contains("s3cret") && (error.contains("line 2") || error.contains("header")), "{error}");
        }
        let variable = ("VESTA_TELEMETRY_HEADERS", "{ x-api-key = 's3cret' }");
        let settings = check("", &[variable]).expect("valid");
        assert_eq!(settings.telemetry.headers.to_metadata().len(), 1);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_host_overrides_single_keys_of_the_modules() {
        let settings = check(
            "[modules.registration]\ninstructions = 'Hello'\n[[hosts]]\ndomain = 'a.example'\n\
             [hosts.modules.registration]\nenabled = true",
            &[],
        )
        .expect("valid");
        let modules = modules_of(&settings.modules, &settings.hosts[0]).expect("valid");
        assert!(modules.registration.enabled && modules.registration.instructions == "Hello");
        assert!(!settings.modules.registration.enabled);
        let error = check("[[hosts]]\ndomain = 'a.example'\n[hosts.modules.registratoin]\nenabled = true", &[]);
        assert!(error.expect_err("unknown").contains("registration"));
    }
}
