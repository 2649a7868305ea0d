//! What a peer might send to do harm: threats T1, T2, T3 and T5, and the checks that quick-xml leaves to us.

use super::{HEADER, error, error_in_stream, error_within, items, scan};
use crate::StreamError;
use crate::scan::{Item, Limits, ScanError};
use crate::stream_error::StreamCondition;

/// Scanned behind a header, as one piece and byte by byte.
fn condition(text: impl AsRef<[u8]>) -> StreamCondition {
    StreamError::from(error_in_stream(text)).condition
}

/// Each of `texts` ends the stream with `expected`.
fn refused<T: AsRef<[u8]> + std::fmt::Debug>(expected: StreamCondition, texts: impl IntoIterator<Item = T>) {
    for text in texts {
        assert_eq!(condition(&text), expected, "{text:?}");
    }
}

use StreamCondition::{BadFormat, NotWellFormed, PolicyViolation, RestrictedXml, UnsupportedEncoding};

#[test]
fn check_1_no_declarations_instructions_or_comments() {
    refused(
        RestrictedXml,
        [
            "<!DOCTYPE x>",
            "<!DOCTYPE",
            "<!-- x -->",
            "<?x y?>",
            "<?xml version='1.0'?>",
            "<message><!-- x --></message>",
            "<message><?x?></message>",
            "<message><?xml version='1.0'?></message>",
            "<message><!ENTITY a 'b'></message>",
            "<message><!DOCTYPE m [<!ENTITY a 'b'>]></message>",
            "<message><body>a<!--b--></body></message>",
        ],
    );
    for prolog in [
        "<!DOCTYPE stream:stream [<!ENTITY a 'aaaa'>]>",
        "<?xml version='1.0'?><!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
        "<!-- x -->",
        " <?xml version='1.0'?>",
        "<?xml-stylesheet href='x'?>",
        "<?xml version='1.0'?><?xml version='1.0'?>",
    ] {
        let error = StreamError::from(error(format!("{prolog}{HEADER}").as_bytes()));
        assert_eq!(error.condition, RestrictedXml, "{prolog}");
    }
}

#[test]
fn check_2_no_character_that_xml_cannot_carry() {
    for bad in ["\u{0}", "\u{1}", "\u{8}", "\u{b}", "\u{c}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
        refused(
            NotWellFormed,
            [
                format!("<message>a{bad}b</message>"),
                format!("<message>é{bad}b</message>"),
                format!("<message x='{bad}'/>"),
                format!("<message><![CDATA[{bad}]]></message>"),
            ],
        );
    }
    assert_eq!(items("<message x='\u{fffd}\u{10ffff}\u{7f}'>\t\r\n\u{85}\u{feff}</message>").len(), 1);
}

#[test]
fn check_3_no_reference_to_such_a_character() {
    for bad in ["&#0;", "&#1;", "&#x1F;", "&#xD800;", "&#xFFFE;", "&#65535;", "&#x110000;", "&#99999999999999;"] {
        refused(NotWellFormed, [format!("<message>{bad}</message>"), format!("<message x='{bad}'/>")]);
    }
    assert_eq!(items("<message x='&#9;&#x0000000000010FFFF;'>&#xe9;&#xE9;&#32;</message>").len(), 1);
}

#[test]
fn check_4_no_entity_but_the_five() {
    for bad in ["&lol;", "&nbsp;", "&LT;", "&a:b;", "&xml;"] {
        refused(RestrictedXml, [format!("<message>{bad}</message>"), format!("<message x='{bad}'/>"), bad.to_owned()]);
    }
    for bad in ["&", "& ", "&;", "&#;", "&#x;", "&#X41;", "&#4a;", "&lt", "&1;", "&#-1;", "&#+65;", "&a b;", "&\u{b7};"]
    {
        refused(NotWellFormed, [format!("<message>{bad}</message>"), format!("<message x='{bad}'/>")]);
    }
    assert_eq!(items("<message x='&lt;&gt;&amp;&apos;&quot;'>&lt;&gt;&amp;&apos;&quot;</message>").len(), 1);
}

#[test]
fn check_5_no_end_of_cdata_in_text() {
    refused(NotWellFormed, ["<message>]]></message>", "<message>a]]]>b</message>", "<message>\n]]>&amp;</message>"]);
    assert_eq!(items("<message>]] > ]&#93;></message><message><![CDATA[]]]]><![CDATA[>]]></message>").len(), 2);
}

#[test]
fn checks_6_and_7_attributes_are_quoted_and_spaced_and_hold_no_markup() {
    refused(
        NotWellFormed,
        [
            "<message a='<'/>",
            "<message a='b'c='d'/>",
            "<message a=b/>",
            "<message a/>",
            "<message a ='b' c/>",
            "<message a='b/><presence/>",
            "<message a='b\"/><message c='",
            "<message a = \"b\"c='d'></message>",
            "<message / >",
            "<message/ a='b'>",
            "<message a='1' a='2'/>",
            "<message <presence/>",
            "<message xmlns='jabber:client' xmlns='jabber:client'/>",
        ],
    );
}

#[test]
fn checks_8_and_9_names_are_names() {
    for bad in ["1a", "a$b", "-a", ".a", "a:b:c", "a:", ":a", "a:1b", "\u{b7}a", "a\u{d7}", "\u{2190}", "a;", "a&amp;"]
    {
        refused(NotWellFormed, [format!("<message><{bad}/></message>"), format!("<message {bad}='x'/>")]);
    }
    refused(NotWellFormed, ["< message/>", "<>", "</>", "<message>< /message>", "<message></ message>", "<=/>"]);
    assert_eq!(items("<message><é a·\u{300}='x'/><_-.1/></message>").len(), 1);
}

#[test]
fn check_10_prefixes_are_declared() {
    refused(
        NotWellFormed,
        [
            "<a:b/>",
            "<message><a:b/></message>",
            "<message a:b='c'/>",
            "<message><x xmlns:a='urn:a'/><a:b/></message>",
            "<xmlns:a/>",
        ],
    );
}

#[test]
fn check_11_attributes_differ_by_their_expanded_names() {
    refused(
        NotWellFormed,
        [
            "<message xmlns:a='urn:x' xmlns:b='urn:x' a:y='1' b:y='2'/>",
            "<message xmlns:a='urn:x' xmlns:b='urn&#58;x' a:y='1' b:y='2'/>",
            "<message xmlns:a='urn:x'><z xmlns:b='urn:x' b:y='1' a:y='2'/></message>",
        ],
    );
    assert_eq!(items("<message xmlns='jabber:client' xmlns:a='jabber:client' y='1' a:y='2'/>").len(), 1);
}

#[test]
fn check_12_declarations_keep_to_the_rules() {
    refused(
        NotWellFormed,
        [
            "<message xmlns:p=''/>",
            "<message xmlns:xml='urn:x'/>",
            "<message xmlns:xmlns='urn:x'/>",
            "<message xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
            "<message xmlns:q='http://www.w3.org/2000/xmlns/'/>",
            "<message xmlns:q='http://www.w3.org/XML/1998/namespace'/>",
            "<message xmlns:q='http://www.w3.org/XML/1998/namespac&#101;'/>",
            "<x xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<x xmlns='http://www.w3.org/2000/xmlns/'/>",
        ],
    );
    assert_eq!(items("<message xmlns:xml='http://www.w3.org/XML/1998/namespace'><x xmlns=''/></message>").len(), 1);
}

#[test]
fn check_13_only_xml_1_0_in_utf_8() {
    let with = |declaration: &str| HEADER.replace("<?xml version='1.0'?>", declaration);
    for (declaration, expected) in [
        ("<?xml version='1.1'?>", NotWellFormed),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>", UnsupportedEncoding),
        ("<?xml version='1.0' encoding='UTF-16'?>", UnsupportedEncoding),
        ("<?xml encoding='UTF-8'?>", NotWellFormed),
        ("<?xml version='1.0' x='y'?>", NotWellFormed),
        ("<?xml version='1.0' standalone='maybe'?>", NotWellFormed),
        ("<?xml version='1.0'encoding='UTF-8'?>", NotWellFormed),
        ("\u{feff}", NotWellFormed),
        ("GET / HTTP/1.1\r\n", NotWellFormed),
    ] {
        assert_eq!(StreamError::from(error(with(declaration).as_bytes())).condition, expected, "{declaration}");
    }
    let endless = format!("<?xml version='1.0'{}", " ".repeat(10_000));
    assert_eq!(StreamError::from(error(endless.as_bytes())).condition, PolicyViolation);
    for declaration in
        ["", " \n", "<?xml version='1.0'?>\n", "<?xml version = \"1.0\" encoding='utf-8' standalone='yes' ?>"]
    {
        let (items, end) = scan(Limits::AUTHENTICATED, [with(declaration).as_bytes()]);
        assert!(end.is_ok(), "{declaration}");
        assert!(matches!(items.as_slice(), [Item::Open(_)]));
    }
    let latin = HEADER.as_bytes().iter().copied().chain(*b"<message>\xE9</message>").collect::<Vec<_>>();
    assert_eq!(StreamError::from(error(&latin)).condition, UnsupportedEncoding);
}

#[test]
fn bytes_are_utf_8_wherever_they_stand() {
    // A lone continuation, an overlong slash, a surrogate, beyond U+10FFFF, cut short.
    for bad in [&b"\x80"[..], b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xE2\x82"] {
        for (before, behind) in [
            ("<message>", "</message>"),
            ("<message><![CDATA[", "]]></message>"),
            ("<message x='", "'/>"),
            ("<message><x", "/></message>"),
            ("<message x", "='y'/>"),
            ("<message xmlns:a", "='y'/>"),
        ] {
            let text = [before.as_bytes(), bad, behind.as_bytes()].concat();
            assert_eq!(condition(&text), UnsupportedEncoding, "{}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn check_14_nothing_stands_behind_the_streams_end() {
    refused(NotWellFormed, ["</stream:stream><message/>", "</stream:stream>x", "</stream:stream></stream:stream>"]);
    refused(NotWellFormed, ["</stream>", "</message>", "</stream:stream x='y'>", "<message></stream:stream>"]);
    refused(NotWellFormed, ["<message></presence>", "<message><a></message></a>", "<message></message x>"]);
    refused(NotWellFormed, ["<message></messag>", "<message></messages>", "<message></message/>"]);
}

#[test]
fn check_15_limits_end_the_stream() {
    let attributes = |count: usize| (0..count).map(|at| format!(" a{at}=''")).collect::<String>();
    let declarations = |count: usize| (0..count).map(|at| format!(" xmlns:a{at}='u'")).collect::<String>();
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert_eq!(items(&format!("<message{}/>", attributes(64))).len(), 1);
    // The prefix `stream` is the first of the 32.
    assert_eq!(items(&format!("<message{}/>", declarations(30))).len(), 1);
    assert_eq!(items(&format!("<message>{}</message>", nested(63))).len(), 1);
    assert_eq!(items(&format!("<message><{}/></message>", "a".repeat(256))).len(), 1);
    refused(
        PolicyViolation,
        [
            format!("<message{}/>", attributes(65)),
            format!("<message{}/>", declarations(32)),
            format!("<message{}><b{}/></message>", declarations(16), declarations(16)),
            format!("<message>{}</message>", nested(64)),
            "<a xmlns='urn:x'>".repeat(5000),
            format!("<message><{}/></message>", "a".repeat(257)),
            format!("<message {}='x'/>", "a".repeat(257)),
        ],
    );
}

#[test]
fn a_stanza_may_be_as_long_as_the_limit_and_no_byte_longer() {
    let limits = Limits { stanza_bytes: 200, ..Limits::AUTHENTICATED };
    for (before, behind) in [
        ("<message>", "</message>"),
        ("<message><![CDATA[", "]]></message>"),
        ("<message x='", "'/>"),
        ("<message", "/>"),
        ("<message></message", ">"),
    ] {
        let filling = if before == "<message" || before == "<message></message" { " " } else { "x" };
        let of_length =
            |length: usize| format!("{HEADER}{before}{}{behind}", filling.repeat(length - before.len() - behind.len()));
        let fits = of_length(200);
        let (items, end) = scan(limits, [fits.as_bytes()]);
        assert!(end.is_ok());
        assert_eq!(items.len(), 2);
        let too_long = ScanError::Limit("bytes of a stanza");
        assert_eq!(error_within(limits, of_length(201).as_bytes()), too_long);
        // It ends before anything that makes it worse.
        assert_eq!(error_within(limits, &of_length(100_000).as_bytes()[..HEADER.len() + 200]), too_long);
    }
    let header = format!("<stream:stream {}", "x='y' ".repeat(10_000));
    assert_eq!(error_within(limits, header.as_bytes()), ScanError::Limit("bytes of a stanza"));
    assert_eq!(error_within(limits, format!("{HEADER}</stream:stream{}", " ".repeat(1000)).as_bytes()), {
        ScanError::Limit("bytes of a stanza")
    });
}

#[test]
fn new_limits_hold_from_the_next_element_on() {
    let mut scanner = crate::scan::Scanner::new(Limits { stanza_bytes: 200, ..Limits::AUTHENTICATED });
    let body = "x".repeat(300);
    let long = format!("<message>{body}</message>");
    let text = format!("{HEADER}<presence>");
    let mut input = text.as_bytes();
    assert!(matches!(scanner.next(&mut input), Ok(Some(Item::Open(_)))));
    assert_eq!(scanner.next(&mut input), Ok(None));
    scanner.set_limits(Limits::AUTHENTICATED);
    let text = format!("</presence>{long}");
    let mut input = text.as_bytes();
    assert!(matches!(scanner.next(&mut input), Ok(Some(Item::Stanza(_)))));
    assert!(matches!(scanner.next(&mut input), Ok(Some(Item::Stanza(_)))));
    scanner.set_limits(Limits { stanza_bytes: 200, ..Limits::AUTHENTICATED });
    assert!(scanner.next(&mut long.as_bytes()).is_err());
}

#[test]
fn check_16_only_white_space_stands_between_stanzas() {
    refused(BadFormat, ["x", "<message/>x", "<![CDATA[ ]]>", "\u{a0}"]);
    assert_eq!(items(" <message/>\r\n\t<message/> ").len(), 2);
}

#[test]
fn what_cannot_be_right_any_more_is_refused_before_it_ends() {
    let early: [&[u8]; 9] = [
        b"<!D",
        b"<!-",
        b"<?",
        b"<message><!-",
        b"<message <",
        b"<message a='<",
        b"<query>",
        b"<![x",
        b"<message><![x",
    ];
    for text in early {
        let _ = error_in_stream(text);
    }
}
