//! What a server counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use crossbeam::queue::SegQueue;
use net_rtc::{DropCounters, DropStats};

use crate::hub::ResourceUsage;
use crate::{ConnectFailure, HandshakeStage, SendError};

/// Refusals that are kept whole.
const MAX_RECENT_FAILURES: usize = 256;

/// Counters since the server started, but for `peers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Peers that are open now.
    pub open_peers: u64,
    /// TCP connections that were accepted.
    pub tcp_accepted: u64,
    /// Connections that became peers.
    pub peers_opened: u64,
    /// Connections that did not.
    pub connect_failures: u64,
    /// Connections that asked for no websocket and count as neither: plain HTTP requests, which
    /// were answered, and those that ended before their first byte, as of balancers and scans.
    pub plain_http: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the system did not take, for example because its buffer was full.
    pub datagrams_send_failed: u64,
    /// Datagrams that the system dropped on arrival, because the loop did not keep up and its
    /// buffer was full. Known on Linux only, and with the next datagram after the loss, at most
    /// once a second.
    pub datagrams_recv_dropped: u64,
    /// The longest turn of the loop, by the clock on the wall. It works for 4 ms at a time; a
    /// much longer turn says that the machine has too little time for the server.
    pub longest_iteration: Duration,
    /// Unreliable messages to peers that were dropped before they were sent, by cause;
    /// [`Dropped::total`] is the sum.
    pub unreliable_dropped: DropStats,
    /// Unreliable messages from peers that were dropped because the application did not pop.
    pub events_dropped: u64,
    /// Messages refused as `NoSuchPeer`.
    pub send_no_such_peer: u64,
    /// Messages refused as `TooLarge`.
    pub send_too_large: u64,
    /// Messages refused as `Full`.
    pub send_full: u64,
}

/// The same as atomics, written by the loop and by senders.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) open_peers: AtomicU64,
    pub(crate) tcp_accepted: AtomicU64,
    pub(crate) peers_opened: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) plain_http: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) datagrams_send_failed: AtomicU64,
    pub(crate) datagrams_recv_dropped: AtomicU64,
    longest_iteration_ns: AtomicU64,
    pub(crate) unreliable_dropped: DropCounters,
    pub(crate) events_dropped: AtomicU64,
    pub(crate) send_no_such_peer: AtomicU64,
    pub(crate) send_too_large: AtomicU64,
    pub(crate) send_full: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            open_peers: self.open_peers.load(Relaxed),
            tcp_accepted: self.tcp_accepted.load(Relaxed),
            peers_opened: self.peers_opened.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            plain_http: self.plain_http.load(Relaxed),
            datagrams_received: self.datagrams_received.load(Relaxed),
            datagrams_sent: self.datagrams_sent.load(Relaxed),
            datagrams_send_failed: self.datagrams_send_failed.load(Relaxed),
            datagrams_recv_dropped: self.datagrams_recv_dropped.load(Relaxed),
            longest_iteration: Duration::from_nanos(self.longest_iteration_ns.load(Relaxed)),
            unreliable_dropped: self.unreliable_dropped.snapshot(),
            events_dropped: self.events_dropped.load(Relaxed),
            send_no_such_peer: self.send_no_such_peer.load(Relaxed),
            send_too_large: self.send_too_large.load(Relaxed),
            send_full: self.send_full.load(Relaxed),
        }
    }

    /// Notes how long a turn of the loop took.
    pub(crate) fn record_iteration(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest_iteration_ns.fetch_max(ns, Relaxed);
    }

    /// Counts a message that was not taken.
    pub(crate) fn count_send_error(&self, error: &SendError) {
        match error {
            SendError::NoSuchPeer(_) => add(&self.send_no_such_peer, 1),
            SendError::TooLarge(_) => add(&self.send_too_large, 1),
            SendError::Full(_) => add(&self.send_full, 1),
            SendError::Stopped(_) => {}
        }
    }
}

/// Connections that never became peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectFailures {
    /// The last 256, oldest first.
    pub recent: VecDeque<ConnectFailure>,
    /// How many there were of each kind, by `CloseReason::name`.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// How many failed at each stage.
    pub by_stage: BTreeMap<HandshakeStage, u64>,
}

impl ConnectFailures {
    pub(crate) fn push(&mut self, refusal: ConnectFailure) {
        *self.by_reason.entry(refusal.reason.name()).or_default() += 1;
        *self.by_stage.entry(refusal.stage).or_default() += 1;
        self.recent.push_back(refusal);
        if self.recent.len() > MAX_RECENT_FAILURES {
            self.recent.pop_front();
        }
    }
}

/// How long to wait for the loop's answer.
const USAGE_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Between a handle that asks and the loop.
#[derive(Debug, Default)]
pub(crate) struct LoopMonitor {
    clock: OnceLock<fn() -> Duration>,
    longest_iteration_ns: AtomicU64,
    usage_queries: SegQueue<Sender<ResourceUsage>>,
}

impl LoopMonitor {
    /// From now on the loop's turns are measured by this clock, which is asked on its thread.
    pub(crate) fn measure_iterations(&self, clock: fn() -> Duration) {
        // The first one stays: this is for whoever made the server.
        _ = self.clock.set(clock);
    }

    /// The longest turn since the last time that this was asked.
    pub(crate) fn take_longest_iteration(&self) -> Duration {
        Duration::from_nanos(self.longest_iteration_ns.swap(0, Relaxed))
    }

    /// Asks the loop, which `wake` wakes; `None` if it does not answer.
    pub(crate) fn resource_usage(&self, wake: impl FnOnce()) -> Option<ResourceUsage> {
        let (sender, answer) = mpsc::channel();
        self.usage_queries.push(sender);
        wake();
        answer.recv_timeout(USAGE_QUERY_TIMEOUT).ok()
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_iteration(&self) -> Option<Duration> {
        self.clock.get().map(|clock| clock())
    }

    /// A turn that began then is over.
    pub(crate) fn end_iteration(&self, began: Option<Duration>, sizes: impl Fn() -> ResourceUsage) {
        if let (Some(began), Some(clock)) = (began, self.clock.get()) {
            let ns = clock().saturating_sub(began).as_nanos();
            self.longest_iteration_ns.fetch_max(u64::try_from(ns).unwrap_or(u64::MAX), Relaxed);
        }
        while let Some(question) = self.usage_queries.pop() {
            // Whoever asked may have lost patience.
            _ = question.send(sizes());
        }
    }
}
