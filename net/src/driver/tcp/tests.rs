//! Tests of TCP connections: slow, broken and unregistered ones.

use std::cell::RefCell;
use std::io::ErrorKind::{ConnectionReset, Interrupted, WouldBlock};
use std::rc::Rc;

use crate::Config;
use crate::driver::tcp::*;
use crate::hub::Output;
use crate::queues::send_queue::SendBufferPool;
use crate::queues::tests::info;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Stream that gives and takes a byte at a time, with two errors before each.
#[derive(Clone, Default)]
struct SlowStream(Rc<RefCell<Script>>);

#[derive(Default)]
struct Script {
    gives: VecDeque<u8>,
    taken: Vec<u8>,
    reads: usize,
    writes: usize,
    ends: bool,
    breaks: bool,
}

impl Read for SlowStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        script.reads += 1;
        match (script.reads % 3, script.gives.is_empty(), script.ends) {
            (_, true, true) => Err(ConnectionReset.into()),
            (1, ..) => Err(Interrupted.into()),
            (2, ..) | (_, true, _) => Err(WouldBlock.into()),
            _ => {
                buffer[0] = script.gives.pop_front().expect("it is not empty");
                Ok(1)
            }
        }
    }
}

impl Write for SlowStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        script.writes += 1;
        match script.writes % 3 {
            _ if script.breaks => Err(ConnectionReset.into()),
            1 => Err(Interrupted.into()),
            2 => Err(WouldBlock.into()),
            _ => {
                script.taken.push(bytes[0]);
                Ok(1)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hub with one connection over such a stream.
struct TcpFixture {
    now: Instant,
    hub: Hub,
    streams: TcpConnections<SlowStream>,
    id: ConnectionId,
    slow: SlowStream,
    dropped: bool,
}

impl TcpFixture {
    fn new() -> TcpFixture {
        let now = Instant::now();
        let local = vec![([192, 0, 2, 1], 3000).into()];
        let mut hub = Hub::new(Config::default(), local.clone(), local, Some(70));
        let id = hub.accept(now, ([198, 51, 100, 1], 5000).into()).expect("there is room");
        let (mut streams, slow) = (TcpConnections::new(4_096), SlowStream::default());
        streams.insert(id, slow.clone());
        TcpFixture { now, hub, streams, id, slow, dropped: false }
    }

    /// Does everything that is possible without another event of mio.
    fn work(&mut self) {
        loop {
            while let Some(output) = self.output() {
                match output {
                    Output::Write(id) => self.streams.write(self.now, &mut self.hub, id),
                    Output::Drop(id) => self.dropped = self.streams.remove(id).is_some(),
                    _ => {}
                }
            }
            let wrote = self.streams.write_next(self.now, &mut self.hub);
            if !self.streams.read_next(self.now, &mut self.hub) && !wrote {
                return;
            }
        }
    }

    fn output(&mut self) -> Option<Output> {
        Some(self.hub.poll_output()).filter(|output| !matches!(output, Output::Timeout(_)))
    }

    fn answer(&self) -> String {
        String::from_utf8_lossy(&self.slow.0.borrow().taken).into_owned()
    }
}

#[test]
fn t70_one_byte_at_a_time_with_errors_between_gets_through() {
    let mut bench = TcpFixture::new();
    bench.slow.0.borrow_mut().gives.extend(REQUEST);
    for _ in 0..10_000 {
        bench.streams.on_readable(bench.id);
        bench.streams.on_writable(bench.id);
        bench.work();
    }
    let answer = bench.answer();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains(r#""type":"offer""#), "the offer came behind it");
    assert!(bench.hub.outgoing(bench.id).is_empty());
    assert!(!bench.dropped);
}

#[test]
fn t70_a_wake_up_for_nothing_does_nothing() {
    let mut bench = TcpFixture::new();
    bench.work();
    assert_eq!(bench.slow.0.borrow().reads, 0, "nobody said that it can be read");
    for _ in 0..1_000 {
        bench.streams.on_readable(bench.id);
        bench.streams.on_readable(bench.id);
        bench.streams.on_writable(bench.id);
        bench.work();
    }
    let script = bench.slow.0.borrow();
    assert!(script.reads <= 2_000, "{} reads", script.reads);
    assert_eq!(script.writes, 0);
    drop(script);
    // An event of mio for a removed connection has no effect.
    bench.streams.remove(bench.id);
    bench.streams.on_readable(bench.id);
    bench.streams.on_writable(bench.id);
    bench.work();
    assert!(bench.streams.read_queue_len() == 0 && !bench.streams.has_queued_writes());
}

#[test]
fn t70_what_takes_nothing_is_left_alone_until_it_does() {
    let mut bench = TcpFixture::new();
    bench.hub.handle_input(bench.now, Input::Bytes(bench.id, REQUEST));
    // Each time it is interrupted, blocks, and after the next event takes one byte.
    for (times, writes) in [(1, 2), (5, 2)] {
        (0..times).for_each(|_| bench.work());
        assert_eq!(bench.slow.0.borrow().writes, writes);
    }
    bench.streams.on_writable(bench.id);
    assert!(bench.streams.has_queued_writes());
    bench.work();
    assert_eq!((bench.slow.0.borrow().writes, bench.slow.0.borrow().taken.len()), (5, 1));
}

#[test]
fn t70_an_error_while_writing_is_the_end_too() {
    let mut bench = TcpFixture::new();
    bench.slow.0.borrow_mut().breaks = true;
    bench.hub.handle_input(bench.now, Input::Bytes(bench.id, REQUEST));
    bench.work();
    assert!(bench.dropped && bench.hub.is_empty());
    assert_eq!(bench.slow.0.borrow().writes, 1);
}

#[test]
fn who_waits_to_be_read_is_counted() {
    let mut bench = TcpFixture::new();
    assert_eq!(bench.streams.read_queue_len(), 0);
    bench.streams.on_readable(bench.id);
    assert_eq!(bench.streams.read_queue_len(), 1);
}

#[test]
fn what_was_passed_over_has_its_turn_once_the_peer_is_open() {
    for (reading, waiting) in [(ReadState::Paused, 1), (ReadState::Idle, 0)] {
        let mut bench = TcpFixture::new();
        bench.streams.by_id.get_mut(&bench.id).expect("it is there").read_state = reading;
        let (config, gauge) = (Config::default(), net_rtc::PathMonitor::default());
        let entry = PeerHandle::new(&config, &SendBufferPool::new(&config), info(), gauge);
        bench.streams.on_open(bench.id, PeerId::from(0), Arc::new(entry));
        assert_eq!(bench.streams.read_queue_len(), waiting);
    }
}

#[test]
fn t70_an_error_is_the_end() {
    let mut bench = TcpFixture::new();
    bench.slow.0.borrow_mut().ends = true;
    bench.streams.on_readable(bench.id);
    bench.work();
    assert!(bench.dropped && bench.hub.is_empty());
}
