//! Which of the numbered faults have a test. A test of fault 7 has `t07_` at the beginning of its
//! name, wherever it is; `net/SECURITY.md` says what the numbers are for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use net_tests::numbers::tell;

/// The numbers go up to here,
const LAST: u32 = 72;
/// and these are not used.
const UNUSED: [u32; 2] = [54, 61];

#[test]
fn every_fault_has_a_test() {
    let mut tested = BTreeSet::new();
    search(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut tested);
    let all = || (1..=LAST).filter(|number| !UNUSED.contains(number));
    let missing: Vec<u32> = all().filter(|number| !tested.contains(number)).collect();
    let survived = all().count() - missing.len();
    tell(format_args!("faults with a test: {survived} of {}; without: {missing:?}", all().count()));
    assert!(missing.is_empty(), "{missing:?} have no test");
    let strange: Vec<_> = tested.iter().filter(|n| !all().any(|number| number == **n)).collect();
    assert!(strange.is_empty(), "no such faults: {strange:?}");
}

/// Looks through the sources under this folder.
fn search(folder: &Path, tested: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            search(&path, tested);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            tested.extend(text.lines().filter_map(number));
        }
    }
}

/// The fault that this line begins a test of.
fn number(line: &str) -> Option<u32> {
    let name = line.trim_start().strip_prefix("fn t")?;
    let (digits, _) = name.split_once('_')?;
    (digits.len() == 2).then(|| digits.parse().ok())?
}

#[test]
fn a_number_is_two_digits_at_the_beginning_of_a_test() {
    assert_eq!(number("    fn t07_a_test() {"), Some(7));
    assert_eq!(number("fn t7_a_test() {"), None);
    assert_eq!(number("fn the_t07_test() {"), None);
    assert_eq!(number("// fn t07_a_test"), None);
}
