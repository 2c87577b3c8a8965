//! What the pages say is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push((name(&path), fs::read_to_string(&path).expect("a text")));
        }
    }
}

/// What a file is called on the page: `x` for `x.rs`, `x/mod.rs` and `x/tests.rs`.
fn name(path: &Path) -> String {
    let own = path.file_stem().filter(|stem| *stem != "tests" && *stem != "mod");
    let name = own.or(path.parent().and_then(Path::file_name));
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// `file::test` names in backticks.
fn named_tests(page: &str) -> Vec<(&str, &str)> {
    let invariants = page.split_once("## Invariants").expect("a chapter").1;
    invariants.split('`').filter_map(|code| code.split_once("::")).collect()
}

fn all_sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["net", "net-rtc", "net-ws", "net-signal", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    files
}

/// `file::t07_..` is the beginning of a name.
#[test]
fn every_proof_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("tests/PROOF.md")).expect("the page");
    let named = page.split('`').filter_map(|code| code.split_once("::t"));
    let named: Vec<_> =
        named.filter(|(_, test)| test.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(named.len() >= 20);
    let files = all_sources();
    for (file, test) in named {
        let begins = format!("fn t{}", test.trim_end_matches(".."));
        let exists = files.iter().any(|(name, text)| name == file && text.contains(&begins));
        assert!(exists, "{file}::t{test} is named in PROOF.md and does not exist");
    }
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("net/ARCHITECTURE.md")).expect("the page");
    let files = all_sources();
    let named = named_tests(&page);
    assert!(named.len() >= 14);
    for (file, test) in named {
        let exists = files.iter().any(|(name, text)| name == file && text.contains(test));
        assert!(exists, "{file}::{test} is named in ARCHITECTURE.md and does not exist");
    }
}
