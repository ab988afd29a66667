//! Tests of lines, null, aliases, and hostile text.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn parse_text(text: &str) -> Result<Vec<Document>, Error> {
    parse(&Path::new("a.yaml").into(), text)
}

#[test]
fn every_node_and_key_knows_its_line() {
    let documents =
        parse_text("# first\n---\na: 1\nb:\n  - x\n  - { c: y }\n---\nd: |\n  text\n").unwrap();
    assert_eq!(
        documents
            .iter()
            .map(|document| document.number)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let root = &documents[0].root;
    assert_eq!((root.line, root.entry("a").unwrap().line), (3, 3));
    let Data::List(items) = &root.entry("b").unwrap().data else {
        panic!("a list")
    };
    assert_eq!((items[0].line, items[1].line), (5, 6));
    assert_eq!(documents[1].root.entry("d").unwrap().text(), Some("text\n"));
}

#[test]
fn empty_documents_are_left_out_but_counted() {
    let documents = parse_text("---\n# nothing\n---\na: 1\n---\n").unwrap();
    assert_eq!(
        documents
            .iter()
            .map(|document| document.number)
            .collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn only_plain_words_can_be_null_and_quotes_make_text() {
    let documents = parse_text("a:\nb: ~\nc: null\nd: 'null'\ne: ''\nf: !!str 3\ng: 3\n").unwrap();
    let root = &documents[0].root;
    let null = |key| root.entry(key).unwrap().is_null();
    assert!(null("a") && null("b") && null("c") && !null("d") && !null("e"));
    assert!(matches!(root.entry("f").unwrap().data, Data::Quoted(_)));
    assert!(matches!(root.entry("g").unwrap().data, Data::Plain(_)));
}

#[test]
fn an_alias_repeats_what_its_anchor_marks() {
    let documents = parse_text("a: &x { b: 1 }\nc: *x\n").unwrap();
    let c = documents[0].root.entry("c").unwrap();
    assert_eq!(c.entry("b").and_then(Node::text), Some("1"));
}

#[test]
fn a_chain_of_aliases_is_no_way_around_the_depth() {
    let chain: String = (1..1000)
        .map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1))
        .collect();
    let error = parse_text(&format!("a0: &a0 []\n{chain}")).unwrap_err();
    assert!(
        error.to_string().contains("nested deeper than 32"),
        "{error}"
    );
}

/// Texts of 1 MiB each that are known to be hard for YAML parsers. They may be read or refused,
/// but quickly.
#[test]
fn hostile_text_is_dealt_with_at_once() {
    let size = 1 << 20;
    for (name, text) in [
        ("open lists", "[".repeat(size)),
        ("open maps", "{".repeat(size)),
        ("open maps with keys", "{a: ".repeat(size / 4)),
        ("nested block lists", "- ".repeat(size / 2)),
        ("complex keys", "? ".repeat(size / 2)),
        ("colons", ": ".repeat(size / 2)),
        (
            "deepening indentation",
            (0..1400)
                .map(|n| format!("{}a:\n", " ".repeat(n)))
                .collect(),
        ),
        ("anchors", "&a ".repeat(size / 3)),
        (
            "many anchors",
            (0..80_000).map(|n| format!("- &a{n}\n")).collect(),
        ),
        ("one long word", "a".repeat(size)),
        ("one open quote", format!("a: \"{}", "b".repeat(size))),
        (
            "open quote of line breaks",
            format!("a: '{}", "\n".repeat(size)),
        ),
        ("spaces", " ".repeat(size)),
        ("line breaks", "\n".repeat(size)),
        ("documents", "---\n".repeat(size / 4)),
        ("ends of documents", "...\n".repeat(size / 4)),
        ("directives", "%A\n".repeat(size / 3)),
        ("tags", "!a".repeat(size / 2)),
        ("words on lines", "a\n".repeat(size / 2)),
        ("items", "- a\n".repeat(size / 4)),
        (
            "items of a flow list",
            format!("[{}]", "a,".repeat(size / 2 - 1)),
        ),
        ("tabs", "\t".repeat(size)),
        ("comments", "#\n".repeat(size / 2)),
        ("block text", format!("a: |\n{}", " b\n".repeat(size / 3))),
        ("keys", (0..100_000).map(|n| format!("a{n}: b\n")).collect()),
    ] {
        let start = Instant::now();
        let _ = parse_text(&text);
        let took = start.elapsed();
        eprintln!("{name}: {took:?}");
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: String) {
        let _ = parse_text(&text);
    }

    #[test]
    fn nothing_like_yaml_makes_the_parser_panic(text in "[-a:\\[\\]{}&*!|>?%#\"' \n\t,.]{0,60}") {
        let _ = parse_text(&text);
    }
}
