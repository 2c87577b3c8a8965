//! What a broadcast costs for each receiver: `cargo bench -p net-ws --bench broadcast`.
//!
//! One message goes to many open sockets; then, in one table, each socket's bytes are thrown
//! away, and in the other they are written to a TCP connection over loopback that another thread
//! reads. Times are CPU time of the sending thread.

#![allow(clippy::unwrap_used, reason = "a bench may")]

#[path = "../tests/memory/counting.rs"]
mod counting;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use std::{fs, thread};

use bytes::Bytes;
use counting::cost;
use net_ws::{Config, Input, Message, Output, Socket};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Bytes sent in all for one number of the first table.
const THROWN: usize = 4 << 30;
/// The same of the second.
const WRITTEN: usize = 1 << 30;
/// Most rounds of one number.
const ROUNDS: usize = 400;

fn main() {
    println!(
        "{:>8} {:>6} {:>12} {:>12} {:>12}",
        "bytes", "peers", "ns/peer", "taken/peer", "held/peer"
    );
    for (size, peers) in [(200, 1_000), (200, 5_000), (16_384, 1_000), (16_384, 5_000)] {
        thrown_away(size, peers);
    }
    println!("{:>8} {:>6} {:>12}", "bytes", "peers", "ns/peer, TCP");
    for (size, peers) in [(200, 1_000), (16_384, 1_000)] {
        written(size, peers);
    }
}

fn rounds(bytes: usize, size: usize, peers: usize) -> usize {
    (bytes / size / peers).clamp(5, ROUNDS)
}

fn thrown_away(size: usize, peers: usize) {
    let now = Instant::now();
    let mut sockets: Vec<_> = (0..peers).map(|_| open(now)).collect();
    let message = Bytes::from(vec![7; size]);
    let rounds = rounds(THROWN, size, peers);
    let mut spent = Duration::ZERO;
    let (mut taken, mut held) = (0, 0);
    for _ in 0..rounds {
        let begin = cpu_time();
        let ((), cost) = cost(|| broadcast(now, &mut sockets, &message));
        sockets.iter_mut().for_each(|socket| throw_away(now, socket));
        spent += cpu_time() - begin;
        taken += cost.taken;
        held += cost.held;
    }
    let all = rounds * peers;
    println!(
        "{size:>8} {peers:>6} {:>12.0} {:>12} {:>12}",
        spent.as_nanos() as f64 / all as f64,
        taken / all,
        held / all as isize,
    );
}

fn written(size: usize, peers: usize) {
    let now = Instant::now();
    let (streams, reader, end) = connections(peers);
    let mut pairs: Vec<_> = streams.into_iter().map(|stream| (open(now), stream)).collect();
    let message = Bytes::from(vec![7; size]);
    let rounds = rounds(WRITTEN, size, peers);
    let begin = cpu_time();
    for _ in 0..rounds {
        for (socket, stream) in &mut pairs {
            socket.send(now, Message::Binary(message.clone())).unwrap();
            write_out(now, socket, stream);
        }
    }
    let spent = cpu_time() - begin;
    end.store(true, SeqCst);
    drop(pairs);
    reader.join().unwrap();
    println!("{size:>8} {peers:>6} {:>12.0}", spent.as_nanos() as f64 / (rounds * peers) as f64);
}

fn broadcast(now: Instant, sockets: &mut [Socket], message: &Bytes) {
    for socket in sockets {
        socket.send(now, Message::Binary(message.clone())).unwrap();
    }
}

fn throw_away(now: Instant, socket: &mut Socket) {
    socket.advance(now, usize::MAX);
}

fn write_out(now: Instant, socket: &mut Socket, stream: &mut TcpStream) {
    while socket.buffered_amount() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = socket.outgoing_vectored(&mut slices);
        let written = match &slices[..count] {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        };
        match written {
            Ok(count) => socket.advance(now, count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// An open server side with nothing to write.
fn open(now: Instant) -> Socket {
    let mut socket = Socket::accept(now, Config::default());
    socket.handle_input(now, Input::Bytes(REQUEST));
    throw_away(now, &mut socket);
    while !matches!(socket.poll_output(), Output::Timeout(_)) {}
    socket
}

/// The writing ends of many connections, and a thread that reads the others until `end`.
fn connections(count: usize) -> (Vec<TcpStream>, thread::JoinHandle<()>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        there.push(listener.accept().unwrap().0);
        for stream in [&stream, there.last().unwrap()] {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
        }
        here.push(stream);
    }
    let end = Arc::new(AtomicBool::new(false));
    let over = end.clone();
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while !over.load(SeqCst) {
            there
                .iter_mut()
                .for_each(|stream| while matches!(stream.read(&mut buffer), Ok(1..)) {});
        }
    });
    (here, reader, end)
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
