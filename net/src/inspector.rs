//! What tests ask of the loop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crossbeam::queue::SegQueue;

use crate::hub::Sizes;

/// How long to wait for the loop's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between a handle that asks and the loop.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    clock: OnceLock<fn() -> Duration>,
    longest_ns: AtomicU64,
    questions: SegQueue<Sender<Sizes>>,
}

impl Inspector {
    /// From now on the loop's turns are measured by this clock, which is asked on its thread.
    pub(crate) fn measure_turns(&self, clock: fn() -> Duration) {
        // The first one stays: this is for whoever made the server.
        _ = self.clock.set(clock);
    }

    /// The longest turn since the last time that this was asked.
    pub(crate) fn take_longest_turn(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.swap(0, Relaxed))
    }

    /// Asks the loop, which `wake` wakes; `None` if it does not answer.
    pub(crate) fn sizes(&self, wake: impl FnOnce()) -> Option<Sizes> {
        let (sender, answer) = mpsc::channel();
        self.questions.push(sender);
        wake();
        answer.recv_timeout(PATIENCE).ok()
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_turn(&self) -> Option<Duration> {
        self.clock.get().map(|clock| clock())
    }

    /// A turn that began then is over.
    pub(crate) fn end_turn(&self, began: Option<Duration>, sizes: impl Fn() -> Sizes) {
        if let (Some(began), Some(clock)) = (began, self.clock.get()) {
            let ns = clock().saturating_sub(began).as_nanos();
            self.longest_ns.fetch_max(u64::try_from(ns).unwrap_or(u64::MAX), Relaxed);
        }
        while let Some(question) = self.questions.pop() {
            // Whoever asked may have lost patience.
            _ = question.send(sizes());
        }
    }
}
