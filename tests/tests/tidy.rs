//! Size, number and first lines of the product's files, and the glossary.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 4] = ["net", "net-rtc", "net-ws", "net-signal"];
const MAX_FILES: usize = 120;
const MAX_RTC_ENTRIES: usize = 20;
const MAX_CODE_LINES: usize = 500;
/// A smaller noun belongs into the file of a larger one.
const MIN_CODE_LINES: usize = 60;
/// Smaller all the same, because nothing larger is about the same thing.
const SMALL: [&str; 9] = [
    "net-signal/src/error.rs",
    "net-rtc/src/error.rs",
    "net-rtc/src/timer_queue.rs",
    "net-rtc/src/sctp/heartbeat.rs",
    "net-rtc/src/sctp/test_hooks.rs",
    "net-rtc/src/peer/test_hooks.rs",
    "net-ws/src/config.rs",
    "net/src/hub/origin.rs",
    "net/src/driver/accept_pool.rs",
];
/// A module's first line is a noun phrase of the field, so it begins with none of these.
const NO_NOUNS: [&str; 10] =
    ["Who", "Whoever", "Whom", "Whose", "What", "Whatever", "Nobody", "Somebody", "Where", "When"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files under a folder, tests left out: their names from the repository's root, and texts.
fn product_files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            product_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).expect("a text")));
        }
    }
}

fn all_product_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    CRATES.iter().for_each(|name| product_files(&root().join(name).join("src"), &mut files));
    files
}

/// Lines that are neither empty nor comments, without the modules of unit tests at the end.
fn code_lines(text: &str) -> usize {
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let product =
        if product.contains("fn ") || product.len() * 2 > text.len() { product } else { text };
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    product.lines().filter(is_code).count()
}

#[test]
fn files_have_a_size_and_a_number() {
    let files = all_product_files();
    assert!(files.len() <= MAX_FILES, "{} product files, at most {MAX_FILES}", files.len());
    for (name, text) in &files {
        let lines = code_lines(text);
        assert!(lines <= MAX_CODE_LINES, "{name}: {lines} lines of code, at most {MAX_CODE_LINES}");
        let may_be_small = name.ends_with("/lib.rs") || name.ends_with("/mod.rs");
        let is_listed = SMALL.contains(&name.as_str());
        assert!(
            lines >= MIN_CODE_LINES || may_be_small || is_listed,
            "{name}: {lines} lines of code; merge it with what it is a part of"
        );
    }
    for small in SMALL {
        assert!(
            files.iter().any(|(name, _)| name == small),
            "{small} is listed and does not exist"
        );
    }
    let entries = fs::read_dir(root().join("net-rtc/src")).expect("a folder").count();
    assert!(
        entries <= MAX_RTC_ENTRIES,
        "net-rtc/src: {entries} entries, at most {MAX_RTC_ENTRIES}"
    );
}

#[test]
fn first_lines_are_noun_phrases() {
    for (name, text) in all_product_files() {
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ");
        let words = words.unwrap_or_else(|| panic!("{name}: no documentation in its first line"));
        let word = words.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        assert!(!NO_NOUNS.contains(&word), "{name}: {words}");
    }
}

#[test]
fn the_names_in_the_glossary_exist() {
    let page = fs::read_to_string(root().join("net/ARCHITECTURE.md")).expect("the page");
    let glossary = page.split_once("## Glossary").expect("a chapter").1;
    let glossary = glossary.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = glossary.lines().filter(|line| line.starts_with("| `")).collect();
    assert!((30..=50).contains(&rows.len()), "{} rows", rows.len());
    let files = all_product_files();
    for row in rows {
        let name = row.split('`').nth(1).expect("a name in backticks");
        let is_defined = |text: &String| {
            ["struct", "enum", "trait", "mod"].iter().any(|kind| {
                let begin = format!("{kind} {name}");
                text.split(&begin).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric))
            })
        };
        assert!(files.iter().any(|(_, text)| is_defined(text)), "{name} is not defined");
    }
}
