//! Models of the queues shared by the application's threads and the loop: the shipped code under a
//! model checker that tries many interleavings of each: `cargo test -p net --features models
//! models`.
//!
//! shuttle and not loom: the queue of pending sends is crossbeam's, which loom cannot instrument;
//! shuttle needs to instrument only blocking operations and the order of operations on that queue,
//! and runs thousands of random schedules per second of models that are too large for exhaustive
//! search.

mod drop;
mod queue;
mod senders;
pub(crate) mod sync;
mod turn;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use net_rtc::PathMonitor;

use crate::admission::Accepted;
use crate::queues::PeerHandle;
use crate::queues::send_queue::SendBufferPool;
use crate::{Config, Event, PeerId, PeerInfo, Request};

/// Number of schedules of each kind per model.
const SCHEDULES: usize = 2_000;
/// Maximum number of preemptions of a schedule (Burckhardt et al., 2010).
const DEPTH: usize = 3;

/// Runs a model under many schedules: random ones, and ones with few preemptions at the worst
/// places. Deadlocks are found, too.
fn check(model: impl Fn() + Copy + Send + Sync + 'static) {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, DEPTH);
}

fn id(number: u64) -> PeerId {
    PeerId::from(number)
}

/// Creates the handle of an open peer.
fn entry(config: &Config) -> Arc<PeerHandle> {
    Arc::new(PeerHandle::new(
        config,
        &SendBufferPool::new(config),
        info().clone(),
        PathMonitor::default(),
    ))
}

/// Peer information of an ordinary client.
fn info() -> &'static PeerInfo {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static INFO: OnceLock<PeerInfo> = OnceLock::new();
    INFO.get_or_init(|| {
        let now = Instant::now();
        let mut socket = net_ws::Socket::accept(now, net_ws::Config::default());
        socket.handle_input(now, net_ws::Input::Bytes(REQUEST));
        let net_ws::Output::Upgraded(head) = socket.poll_output() else { panic!("a good request") };
        let remote = ([192, 0, 2, 7], 5_000).into();
        PeerInfo::new(&Request::new(remote, None, head), Accepted::default())
    })
}

/// Payload that identifies its thread and number.
fn word(thread: u8, number: u8) -> Bytes {
    Bytes::from(vec![thread, number])
}

fn words(events: Vec<Event>) -> Vec<Bytes> {
    let word = |event| match event {
        Event::Received(_, message) => Some(message.into_bytes()),
        Event::Open(_) | Event::Closed(_) => None,
    };
    events.into_iter().filter_map(word).collect()
}
