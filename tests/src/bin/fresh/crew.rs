//! Work on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does all the jobs, and tells of each on stderr what `work` has to say; gives the results in
/// the order of the jobs.
pub(crate) fn work<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> (String, R) + Sync,
) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::new());
    let hand = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let (words, result) = work(job);
            let number = done.fetch_add(1, Ordering::Relaxed) + 1;
            eprintln!("[{number}/{}] {words}", jobs.len());
            results.lock().expect("no thread panicked").push((index, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(hand)));
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..100).collect();
        let results = work(&jobs, |job| (String::new(), job * 2));
        assert_eq!(results, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
    }
}
