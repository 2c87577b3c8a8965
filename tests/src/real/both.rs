//! Runs that are taken in both browsers.

use std::thread;

use crate::browser::Kind;

/// The browsers that everything is measured with.
pub const BROWSERS: [Kind; 2] = [Kind::Chromium, Kind::Firefox];

/// Both browsers side by side.
///
/// # Panics
/// If one of the runs does.
pub fn both<T: Send + 'static>(run: impl Fn(Kind) -> T + Copy + Send + 'static) -> [T; 2] {
    let runs = BROWSERS.map(|kind| thread::spawn(move || run(kind)));
    runs.map(|run| run.join().expect("the run does not panic"))
}

/// For the end of a test whose runs missed this.
///
/// # Panics
/// If they missed anything.
#[track_caller]
pub fn assert_met(missed: impl IntoIterator<Item = String>) {
    let missed: Vec<String> = missed.into_iter().collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
