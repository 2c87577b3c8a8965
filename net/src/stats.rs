//! Counters and statistics of a server.

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

/// Connect failures that are kept with all details.
const MAX_RECENT_FAILURES: usize = 256;

/// Counters since the server started, except `open_peers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Peers that are open now.
    pub open_peers: u64,
    /// TCP connections that were accepted.
    pub tcp_accepted: u64,
    /// Connections that became peers.
    pub peers_opened: u64,
    /// Connections that did not become peers.
    pub connect_failures: u64,
    /// Connections without a websocket request, which count as neither: plain HTTP requests, which
    /// were answered, and those that ended before their first byte, as of load balancers and port
    /// scans.
    pub plain_http: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the system did not accept, for example because its buffer was full.
    pub datagrams_send_failed: u64,
    /// Datagrams that the system dropped on arrival because the loop was too slow and the receive
    /// buffer full. Known on Linux only, with the next datagram after the loss, at most once a
    /// second.
    pub datagrams_recv_dropped: u64,
    /// Longest iteration of the loop, in wall-clock time. Its budget is 4 ms
    /// ([`Config::max_iteration_time`](crate::Config::max_iteration_time)); a much longer iteration
    /// means that the machine has too little CPU time for the server.
    pub longest_iteration: Duration,
    /// Unreliable messages to peers that were dropped before they were sent, by cause;
    /// [`DropStats::total`] is the sum.
    pub unreliable_dropped: DropStats,
    /// Unreliable messages from peers that were dropped because the event queue was full.
    pub events_dropped: u64,
    /// Messages rejected as `NoSuchPeer`.
    pub send_no_such_peer: u64,
    /// Messages rejected as `TooLarge`.
    pub send_too_large: u64,
    /// Messages rejected as `Full`.
    pub send_full: u64,
}

/// Atomic form of [`Stats`], written by the loop and by senders.
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

    /// Records the duration of an iteration of the loop.
    pub(crate) fn record_iteration(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest_iteration_ns.fetch_max(ns, Relaxed);
    }

    /// Counts a message that was rejected.
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
    /// Number of failures of each kind, by `CloseReason::name`.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// Number of failures at each stage.
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

/// Maximum time to wait for the loop's answer.
const USAGE_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Usage queries of handles to the loop, and its iteration times.
#[derive(Debug, Default)]
pub(crate) struct LoopMonitor {
    clock: OnceLock<fn() -> Duration>,
    longest_iteration_ns: AtomicU64,
    usage_queries: SegQueue<Sender<ResourceUsage>>,
}

impl LoopMonitor {
    /// Starts measuring the loop's iterations with this clock, which is read on the loop's thread.
    pub(crate) fn measure_iterations(&self, clock: fn() -> Duration) {
        // The first clock stays: the creator of the server sets it.
        _ = self.clock.set(clock);
    }

    /// Returns the longest iteration since the last call.
    pub(crate) fn take_longest_iteration(&self) -> Duration {
        Duration::from_nanos(self.longest_iteration_ns.swap(0, Relaxed))
    }

    /// Queries the loop, which `wake` wakes; `None` if it does not answer.
    pub(crate) fn resource_usage(&self, wake: impl FnOnce()) -> Option<ResourceUsage> {
        let (sender, answer) = mpsc::channel();
        self.usage_queries.push(sender);
        wake();
        answer.recv_timeout(USAGE_QUERY_TIMEOUT).ok()
    }

    /// Starts an iteration of the loop.
    pub(crate) fn begin_iteration(&self) -> Option<Duration> {
        self.clock.get().map(|clock| clock())
    }

    /// Ends an iteration that began then, and answers the queries.
    pub(crate) fn end_iteration(&self, began: Option<Duration>, sizes: impl Fn() -> ResourceUsage) {
        if let (Some(began), Some(clock)) = (began, self.clock.get()) {
            let ns = clock().saturating_sub(began).as_nanos();
            self.longest_iteration_ns.fetch_max(u64::try_from(ns).unwrap_or(u64::MAX), Relaxed);
        }
        while let Some(question) = self.usage_queries.pop() {
            // The caller may have timed out.
            _ = question.send(sizes());
        }
    }
}
