//! The targets without a fuzzer: a seeded generator changes what is in the corpus.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Longest input that is made.
const LONGEST: usize = 4_096;
/// Changes to one input, at most.
const CHANGES: u32 = 8;
/// Numbers that tend to be bounds.
const BOUNDS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 125, 126, 127];

/// Runs a target's body with all of its corpus and then with `times` changed inputs, the same
/// ones each time. Bound by their number and not by a clock, so that what fails once fails again.
///
/// # Panics
/// If the body does, after a line that says with which input; or if there is no corpus.
pub fn exercise(name: &str, run: fn(&[u8]), times: u32) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus of {name}");
    corpus.iter().for_each(|input| run_one(name, run, input));
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..times {
        let input = changed(&mut random, &corpus);
        run_one(name, run, &input);
    }
}

/// Where a target's inputs are kept.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(folder(name)) else { return Vec::new() };
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file of the corpus")).collect()
}

/// Says which input it was, if the body panics.
struct Witness<'a>(&'a str, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("fuzz target {} with {hex}", self.0);
        }
    }
}

fn run_one(name: &str, run: fn(&[u8]), input: &[u8]) {
    let witness = Witness(name, input);
    run(witness.1);
}

fn changed(random: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = any(random, corpus).to_vec();
    for _ in 0..random.random_range(1..=CHANGES) {
        change(random, corpus, &mut bytes);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn any<'a>(random: &mut StdRng, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    &corpus[random.random_range(0..corpus.len())]
}

fn change(random: &mut StdRng, corpus: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = random.random_range(0..=bytes.len());
    let end = (at + random.random_range(0..32)).min(bytes.len());
    match random.random_range(0..6) {
        0 if at < bytes.len() => bytes[at] = random.random(),
        1 if at < bytes.len() => bytes[at] = BOUNDS[random.random_range(0..BOUNDS.len())],
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            let other = any(random, corpus);
            let from = random.random_range(0..=other.len());
            let to = (from + random.random_range(0..64)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let new: Vec<u8> = (0..random.random_range(1..32)).map(|_| random.random()).collect();
            bytes.splice(at..at, new);
        }
    }
}
