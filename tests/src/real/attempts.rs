//! Runs that are taken in both browsers, and again.

use std::thread;

use crate::browser::Kind;

/// The browsers that everything is measured with.
pub const BROWSERS: [Kind; 2] = [Kind::Chromium, Kind::Firefox];

/// How often a run that missed is taken again. A busy machine makes latency worse, never
/// better, and now and then; a path that stalls does so in every run.
const AGAIN: usize = 2;

/// Both browsers side by side.
///
/// # Panics
/// If one of the runs does.
pub fn both<T: Send + 'static>(run: impl Fn(Kind) -> T + Copy + Send + 'static) -> [T; 2] {
    let runs = BROWSERS.map(|kind| thread::spawn(move || run(kind)));
    runs.map(|run| run.join().expect("the run does not panic"))
}

/// What a run missed, if it did so each time.
pub fn until_met(mut run: impl FnMut() -> Option<String>) -> Option<String> {
    let mut missed = run();
    for _ in 0..AGAIN {
        let Some(why) = &missed else { break };
        println!("once more: {why}");
        missed = run();
    }
    missed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_run_is_enough() {
        let mut runs = ["a", "b"].map(|why| Some(why.to_owned())).into_iter();
        assert_eq!(until_met(|| runs.next().flatten()), None);
        assert_eq!(until_met(|| Some("c".into())), Some("c".into()));
    }
}
