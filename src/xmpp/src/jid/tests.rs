//! RFC 7622's own examples, the forms that must fall together, and what no input may break.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

/// RFC 7622 §3.5, table 1, and what each is prepared to.
const VALID: &[(&str, &str)] = &[
    ("juliet@example.com", "juliet@example.com"),
    ("juliet@example.com/foo", "juliet@example.com/foo"),
    ("juliet@example.com/foo bar", "juliet@example.com/foo bar"),
    ("juliet@example.com/foo@bar", "juliet@example.com/foo@bar"),
    (r"foo\20bar@example.com", r"foo\20bar@example.com"),
    ("fussball@example.com", "fussball@example.com"),
    ("fu\u{DF}ball@example.com", "fu\u{DF}ball@example.com"),
    ("\u{3C0}@example.com", "\u{3C0}@example.com"),
    ("\u{3A3}@example.com/foo", "\u{3C3}@example.com/foo"),
    ("\u{3C3}@example.com/foo", "\u{3C3}@example.com/foo"),
    ("\u{3C2}@example.com/foo", "\u{3C2}@example.com/foo"),
    ("king@example.com/\u{265A}", "king@example.com/\u{265A}"),
    ("example.com", "example.com"),
    ("example.com/foobar", "example.com/foobar"),
    ("a.example.com/b@example.net", "a.example.com/b@example.net"),
    // Table 2 lists this one; erratum 4560 takes it out again.
    ("juliet@example.com/ foo", "juliet@example.com/ foo"),
];

/// RFC 7622 §3.5, table 2.
const INVALID: &[(&str, JidError)] = &[
    ("\"juliet\"@example.com", JidError::Forbidden(Part::Local)),
    ("foo bar@example.com", JidError::Forbidden(Part::Local)),
    ("@example.com/", JidError::Empty(Part::Local)),
    ("henry\u{2163}@example.com", JidError::Forbidden(Part::Local)),
    ("\u{265A}@example.com", JidError::Forbidden(Part::Local)),
    ("juliet@", JidError::Empty(Part::Domain)),
    ("/foobar", JidError::Empty(Part::Domain)),
];

#[test]
fn the_valid_examples_of_the_specification_are_accepted() {
    for (text, prepared) in VALID {
        assert_eq!(Jid::parse(text).map(|jid| jid.to_string()), Ok((*prepared).into()), "{text:?}");
    }
}

#[test]
fn the_invalid_examples_of_the_specification_are_refused() {
    for (text, error) in INVALID {
        assert_eq!(Jid::parse(text), Err(*error), "{text:?}");
    }
}

#[test]
fn each_excluded_character_is_refused_in_a_localpart_also_where_mapping_brings_it_in() {
    for character in "\"&'/:<>@ \t\0\u{7F}".chars() {
        assert_eq!(prepare_local(&format!("a{character}b")), Err(JidError::Forbidden(Part::Local)), "{character:?}");
    }
    // Full-width forms of the same.
    for character in "\u{FF02}\u{FF06}\u{FF07}\u{FF0F}\u{FF1A}\u{FF1C}\u{FF1E}\u{FF20}".chars() {
        assert_eq!(prepare_local(&format!("a{character}b")), Err(JidError::Forbidden(Part::Local)), "{character:?}");
    }
}

#[test]
fn spellings_of_one_account_are_one_jid() {
    for text in ["Juliet@Example.COM", "juliet@example.com.", "\u{FF2A}uliet@example\u{3002}com", "JULIET@EXAMPLE.com"]
    {
        assert_eq!(Jid::parse(text).map(|jid| jid.to_string()), Ok("juliet@example.com".into()), "{text:?}");
    }
    assert_eq!(prepare_local("A\u{30A}ngstro\u{308}m").as_deref(), Ok("\u{E5}ngstr\u{F6}m"));
}

#[test]
fn case_counts_in_a_resourcepart_and_other_spaces_become_plain() {
    assert_eq!(prepare_resource("Balcony").as_deref(), Ok("Balcony"));
    assert_eq!(prepare_resource("the\u{A0}balcony").as_deref(), Ok("the balcony"));
    assert_eq!(prepare_resource("tab\tbed"), Err(JidError::Forbidden(Part::Resource)));
}

#[test]
fn a_domainpart_has_one_form() {
    for (text, prepared) in [
        ("localhost", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("b\u{FC}cher.example", "b\u{FC}cher.example"),
        ("B\u{DC}CHER.example", "b\u{FC}cher.example"),
        ("xn--bcher-kva.example", "b\u{FC}cher.example"),
        ("XN--BCHER-KVA.Example.", "b\u{FC}cher.example"),
        ("fa\u{DF}.example", "fa\u{DF}.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("[::FFFF:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ("r3---sn.example", "r3---sn.example"),
    ] {
        assert_eq!(prepare_domain(text).as_deref(), Ok(prepared), "{text:?}");
    }
}

#[test]
fn what_is_no_domain_is_refused() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long_u_label = format!("{}.example", "\u{FC}".repeat(60));
    for text in [
        ".",
        "a..b",
        ".example",
        "example..",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a b",
        "a@b",
        "[::1",
        "::1]",
        "[::1%eth0]",
        "[192.0.2.1]",
        "[]",
        "xn--a",
        "xn--\u{FC}",
        "a\u{3002}\u{3002}b",
        "\u{200D}.example",
        "a/b",
        &long_label,
        &long_u_label,
    ] {
        let outcome = prepare_domain(text);
        assert!(matches!(outcome, Err(JidError::Forbidden(_) | JidError::Empty(_))), "{text:?}: {outcome:?}");
    }
}

#[test]
fn plain_ascii_is_borrowed() {
    assert!(matches!(prepare_local("juliet"), Ok(Cow::Borrowed(_))));
    assert!(matches!(prepare_domain("example.com."), Ok(Cow::Borrowed(_))));
    assert!(matches!(prepare_resource("Balcony 1"), Ok(Cow::Borrowed(_))));
}

#[test]
fn a_part_has_at_most_1023_bytes_after_preparation() {
    for prepare in [prepare_local, prepare_resource] {
        assert!(prepare(&"a".repeat(1023)).is_ok());
        assert!(matches!(prepare(&"a".repeat(1024)), Err(JidError::TooLong(_))));
        assert!(matches!(prepare(&"\u{E9}".repeat(512)), Err(JidError::TooLong(_))));
        assert!(matches!(prepare(&"\u{E9}".repeat(1 << 20)), Err(JidError::TooLong(_))));
    }
    // Full-width letters have three bytes and become letters of one.
    assert_eq!(prepare_local(&"\u{FF41}".repeat(1023)).map(|text| text.len()), Ok(1023));
    let domain = |labels| vec!["a"; labels].join(".");
    assert!(prepare_domain(&domain(512)).is_ok());
    assert!(matches!(prepare_domain(&domain(513)), Err(JidError::TooLong(_))));
}

#[test]
fn characters_that_hang_on_their_surroundings_are_checked_and_counted() {
    assert_eq!(prepare_local("col\u{B7}la").as_deref(), Ok("col\u{B7}la"));
    assert_eq!(prepare_local("co\u{B7}lla"), Err(JidError::Forbidden(Part::Local)));
    assert_eq!(prepare_resource("\u{660}\u{6F0}"), Err(JidError::Forbidden(Part::Resource)));
    assert!(prepare_resource(&"\u{660}".repeat(64)).is_ok());
    assert_eq!(prepare_resource(&"\u{660}".repeat(65)), Err(JidError::Forbidden(Part::Resource)));
    // U+0387 becomes U+00B7, which is one of them.
    assert_eq!(prepare_resource("l\u{387}l").as_deref(), Ok("l\u{B7}l"));
    assert_eq!(prepare_resource(&"l\u{387}l".repeat(65)), Err(JidError::Forbidden(Part::Resource)));
}

#[test]
fn emoji_pass_in_resourceparts_as_they_are() {
    for emoji in
        ["👍", "🤣", "❤\u{FE0F}", "👨\u{200D}👩\u{200D}👧", "🏳\u{FE0F}\u{200D}🌈", "👋🏽", "1\u{FE0F}\u{20E3}", "🇩🇪"]
    {
        let nick = format!("Juliet {emoji} e\u{301}");
        assert_eq!(prepare_resource(&nick).as_deref(), Ok(&*format!("Juliet {emoji} \u{E9}")));
    }
}

#[test]
fn invisible_characters_outside_emoji_stay_forbidden() {
    for text in [
        "a\u{200D}b",
        "👍\u{200D}",
        "\u{200D}👍",
        "👍\u{200D}a",
        "a\u{FE0F}",
        "\u{FE0F}",
        "\u{E0061}",
        "a\u{20E3}\u{FE0F}",
    ] {
        assert_eq!(prepare_resource(text), Err(JidError::Forbidden(Part::Resource)), "{text:?}");
    }
}

#[test]
fn text_that_never_settles_or_leaves_the_known_characters_is_refused() {
    // U+13A0 has a lower case only since Unicode 8, which PRECIS does not know.
    assert_eq!(prepare_local("\u{13A0}"), Err(JidError::Forbidden(Part::Local)));
}

/// Text of which much is near the edge of what the profiles treat specially.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(
        "aZ0.-_@/ \"'&\u{AD}\u{B7}\u{DF}\u{130}\u{300}\u{338}\u{345}\u{3A3}\u{3C2}\u{5D0}\u{627}\u{660}\u{6F0}\u{94D}\
         \u{200C}\u{200D}\u{2163}\u{2126}\u{212B}\u{3002}\u{30FB}\u{FE0F}\u{FF21}\u{FF20}\u{1F468}\u{1F3FD}\u{2764}\u{E0061}"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop::collection::vec(prop_oneof![3 => special, 1 => any::<char>()], 0..12)
        .prop_map(|text| text.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn preparing_twice_changes_nothing(text in text()) {
        for prepare in [prepare_local, prepare_domain, prepare_resource] {
            if let Ok(prepared) = prepare(&text) {
                prop_assert!((1..=PART_BYTES_MAX).contains(&prepared.len()));
                let again = prepare(&prepared);
                prop_assert_eq!(again.as_deref(), Ok(&*prepared));
            }
        }
    }

    #[test]
    fn a_jid_is_made_of_its_parts(text in text()) {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()));
            prop_assert_eq!(Jid::from_parts(jid.local(), jid.domain(), jid.resource()), Ok(jid.clone()));
            prop_assert_eq!(jid.to_bare().to_string(), jid.bare_str());
        }
    }

    #[test]
    fn ascii_by_the_table_is_ascii_by_the_profiles(text in "[ -~]{1,12}") {
        use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
        let excluded = |text: &str| text.contains(['"', '&', '\'', '/', ':', '<', '>', '@']);
        let local = precis_profiles::UsernameCaseMapped::enforce(&*text).ok().filter(|text| !excluded(text));
        prop_assert_eq!(prepare_local(&text).ok(), local);
        prop_assert_eq!(prepare_resource(&text).ok(), precis_profiles::OpaqueString::enforce(&*text).ok());
    }
}
