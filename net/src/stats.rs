//! What a server counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use crossbeam::queue::SegQueue;
use net_rtc::{DropCounters, DropStats};

use crate::hub::Sizes;
use crate::{Refusal, SendError, Stage};

/// Refusals that are kept whole.
const RECENT: usize = 256;

/// Counters since the server started, but for `peers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Peers that are open now.
    pub peers: u64,
    /// TCP connections that were accepted.
    pub accepted: u64,
    /// Connections that became peers.
    pub opened: u64,
    /// Connections that did not.
    pub refused: u64,
    /// Connections that asked for no websocket and count as neither: plain HTTP requests, which
    /// were answered, and those that ended before their first byte, as of balancers and scans.
    pub plain: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the system did not take, for example because its buffer was full.
    pub datagrams_unsent: u64,
    /// Datagrams that the system dropped on arrival, because the loop did not keep up and its
    /// buffer was full. Known on Linux only, and with the next datagram after the loss, at most
    /// once a second.
    pub datagrams_overflowed: u64,
    /// The longest turn of the loop, by the clock on the wall. It works for 4 ms at a time; a
    /// much longer turn says that the machine has too little time for the server.
    pub longest_turn: Duration,
    /// Unreliable messages to peers that were dropped before they were sent, by cause;
    /// [`Dropped::total`] is the sum.
    pub unreliable_dropped: DropStats,
    /// Unreliable messages from peers that were dropped because the application did not pop.
    pub events_dropped: u64,
    /// Messages refused as `NoSuchPeer`.
    pub no_such_peer: u64,
    /// Messages refused as `TooLarge`.
    pub too_large: u64,
    /// Messages refused as `Full`.
    pub full: u64,
}

/// The same as atomics, written by the loop and by senders.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) peers: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) plain: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) datagrams_unsent: AtomicU64,
    pub(crate) datagrams_overflowed: AtomicU64,
    longest_turn_ns: AtomicU64,
    pub(crate) unreliable_dropped: DropCounters,
    pub(crate) events_dropped: AtomicU64,
    pub(crate) no_such_peer: AtomicU64,
    pub(crate) too_large: AtomicU64,
    pub(crate) full: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            peers: self.peers.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            opened: self.opened.load(Relaxed),
            refused: self.refused.load(Relaxed),
            plain: self.plain.load(Relaxed),
            datagrams_received: self.datagrams_received.load(Relaxed),
            datagrams_sent: self.datagrams_sent.load(Relaxed),
            datagrams_unsent: self.datagrams_unsent.load(Relaxed),
            datagrams_overflowed: self.datagrams_overflowed.load(Relaxed),
            longest_turn: Duration::from_nanos(self.longest_turn_ns.load(Relaxed)),
            unreliable_dropped: self.unreliable_dropped.snapshot(),
            events_dropped: self.events_dropped.load(Relaxed),
            no_such_peer: self.no_such_peer.load(Relaxed),
            too_large: self.too_large.load(Relaxed),
            full: self.full.load(Relaxed),
        }
    }

    /// Notes how long a turn of the loop took.
    pub(crate) fn note_turn(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest_turn_ns.fetch_max(ns, Relaxed);
    }

    /// Counts a message that was not taken.
    pub(crate) fn count_refused_send(&self, error: &SendError) {
        match error {
            SendError::NoSuchPeer(_) => add(&self.no_such_peer, 1),
            SendError::TooLarge(_) => add(&self.too_large, 1),
            SendError::Full(_) => add(&self.full, 1),
            SendError::Stopped(_) => {}
        }
    }
}

/// Connections that never became peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The last 256, oldest first.
    pub recent: VecDeque<Refusal>,
    /// How many there were of each kind, by `CloseReason::name`.
    pub totals: BTreeMap<&'static str, u64>,
    /// How many failed at each stage.
    pub stages: BTreeMap<Stage, u64>,
}

impl Refusals {
    pub(crate) fn push(&mut self, refusal: Refusal) {
        *self.totals.entry(refusal.reason.name()).or_default() += 1;
        *self.stages.entry(refusal.stage).or_default() += 1;
        self.recent.push_back(refusal);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

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
