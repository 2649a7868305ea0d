//! What keeps the list of modules, the files, the README's table and `doap.xml` the same.
//!
//! `VESTA_UPDATE=1 cargo test -p vesta-modules` writes the generated parts; without it, a test that finds them out of date fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vesta_engine::Timestamp;
use vesta_engine::module::{Spec, Status};

use crate::{Config, list, supported};

const TABLE_BEGIN: &str = "<!-- specifications -->\n";
const TABLE_END: &str = "<!-- /specifications -->";
const REMEDY: &str = "is out of date: run `VESTA_UPDATE=1 cargo test -p vesta-modules` and commit what it writes";

#[test]
fn every_file_of_a_specification_is_in_the_list_with_that_specification() {
    let files: Vec<u16> = source_files().iter().filter_map(|name| number_of(name)).collect();
    let modules = list(&Config::default(), Timestamp::default());
    for number in &files {
        let found = modules.iter().any(|(_, module)| module.specs().first().is_some_and(|spec| spec.number == *number));
        assert!(found, "xep{number:04}_*.rs: no module in the list of lib.rs has SPEC.number {number}");
    }
    for (_, module) in &modules {
        let Some(spec) = module.specs().first() else { continue };
        let wanted = format!("xep{:04}_{}", spec.number, module.name());
        let found = source_files().iter().any(|file| file.strip_suffix(".rs").unwrap_or(file) == wanted);
        assert!(found, "the module {} has no file {wanted}.rs, nor a folder", module.name());
    }
}

#[test]
fn no_specification_is_named_twice() {
    let supported = supported();
    for pair in supported.windows(2) {
        assert_ne!(pair[0].number, pair[1].number, "XEP-{:04} stands in two modules", pair[0].number);
    }
}

#[test]
fn every_module_has_a_key_of_its_name_that_can_switch_it_off() {
    let mut values = toml::Table::try_from(Config::default()).expect("the configuration is a table");
    for (_, module) in list(&Config::default(), Timestamp::default()) {
        let table = values.get_mut(module.name()).and_then(toml::Value::as_table_mut);
        let table = table.unwrap_or_else(|| panic!("no key modules.{}", module.name()));
        assert!(table.insert("enabled".into(), false.into()).is_some(), "modules.{}.enabled", module.name());
    }
    let config: Config = values.try_into().expect("still the configuration");
    assert!(crate::all(&config, Timestamp::default()).is_empty());
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(toml::from_str::<Config>("[offline]\nmessages_max = 3\n").is_ok());
    assert!(toml::from_str::<Config>("[offline]\nmessage_max = 3\n").is_err());
    assert!(toml::from_str::<Config>("[ofline]\n").is_err());
}

#[test]
fn the_readme_holds_the_table_of_specifications() {
    let Ok(readme) = std::fs::read_to_string(root().join("README.md")) else { return };
    let (Some(begin), Some(end)) = (readme.find(TABLE_BEGIN), readme.find(TABLE_END)) else {
        panic!("README.md has no place for the table between {TABLE_BEGIN:?} and {TABLE_END:?}");
    };
    let wanted = [&readme[..begin + TABLE_BEGIN.len()], &table(&supported()), &readme[end..]].concat();
    hold("README.md", &readme, &wanted);
}

#[test]
fn doap_xml_lists_the_specifications() {
    let present = std::fs::read_to_string(root().join("doap.xml")).unwrap_or_default();
    hold("doap.xml", &present, &doap(&supported()));
}

/// Fails where what is present differs from what is wanted, or writes that.
fn hold(file: &str, present: &str, wanted: &str) {
    if present == wanted {
        return;
    }
    assert!(std::env::var_os("VESTA_UPDATE").is_some(), "{file} {REMEDY}");
    std::fs::write(root().join(file), wanted).expect("the generated file can be written");
}

fn table(specs: &[Spec]) -> String {
    let mut table = String::from("| XEP | Title | Version | Support | Since | Note |\n|---|---|---|---|---|---|\n");
    for spec in specs {
        let Spec { number, title, version, since, note, .. } = spec;
        let status = status(spec.status);
        let _ = writeln!(
            table,
            "| [{number:04}](https://xmpp.org/extensions/xep-{number:04}.html) | {title} | {version} | {status} | {since} | {note} |"
        );
    }
    table
}

/// Description of a project, in the terms that the XMPP community reads.
fn doap(specs: &[Spec]) -> String {
    let mut doap = String::from(DOAP_HEAD);
    for spec in specs {
        let Spec { number, version, since, note, .. } = spec;
        let _ = write!(
            doap,
            "    <implements>\n      <xmpp:SupportedXep>\n        \
             <xmpp:xep rdf:resource=\"https://xmpp.org/extensions/xep-{number:04}.html\"/>\n        \
             <xmpp:status>{}</xmpp:status>\n        <xmpp:version>{version}</xmpp:version>\n        \
             <xmpp:since>{since}</xmpp:since>\n",
            status(spec.status)
        );
        if !note.is_empty() {
            let _ = writeln!(doap, "        <xmpp:note>{note}</xmpp:note>");
        }
        doap.push_str("      </xmpp:SupportedXep>\n    </implements>\n");
    }
    doap.push_str("  </Project>\n</rdf:RDF>\n");
    doap
}

const DOAP_HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns="http://usefulinc.com/ns/doap#" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xmpp="https://linkmauve.fr/ns/xmpp-doap#">
  <Project>
    <name>Vesta</name>
    <shortdesc xml:lang="en">A clustered XMPP server</shortdesc>
    <programming-language>Rust</programming-language>
    <license rdf:resource="https://spdx.org/licenses/Apache-2.0.html"/>
    <implements rdf:resource="https://www.rfc-editor.org/info/rfc6120"/>
    <implements rdf:resource="https://www.rfc-editor.org/info/rfc6121"/>
    <implements rdf:resource="https://www.rfc-editor.org/info/rfc7590"/>
    <implements rdf:resource="https://www.rfc-editor.org/info/rfc7622"/>
"#;

fn status(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Partial => "partial",
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn source_files() -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("the crate has sources");
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// 30 for `xep0030_disco.rs`, or a folder of that name.
fn number_of(file: &str) -> Option<u16> {
    file.strip_prefix("xep")?.get(..4)?.parse().ok()
}
