//! Reliable messages that are sent in one go, to peers that read them and to peers that do not.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{CloseReason, Config, Delivery, Event, EventQueue, PeerId, Server};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};
use net_tests::link::{Conditions, Rate};
use net_tests::program::Program;
use net_tests::real::Wire;

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1024 * 1024;

fn served(config: Config) -> (Server, EventQueue) {
    Server::bind("127.0.0.1:0", config).unwrap()
}

/// A message that begins with its number.
fn numbered(number: usize, size: usize) -> Bytes {
    let mut message = vec![7; size];
    message[..4].copy_from_slice(&(number as u32).to_be_bytes());
    message.into()
}

/// Sends each peer a world of so many messages as it opens, until so many peers have closed; then
/// gives why.
fn welcome(server: &Server, queue: &EventQueue, (count, size): (usize, usize), peers: usize) {
    let (mut closed, end) = (0, Instant::now() + 3 * SOON);
    while closed < peers {
        for event in queue.wait(SOON) {
            match event {
                Event::Open(id) => {
                    (0..count).for_each(|number| server.send_reliable(id, numbered(number, size)));
                }
                Event::Closed(id) => {
                    let reason = server.close_reason(id).unwrap();
                    assert!(!matches!(reason, CloseReason::SlowConsumer(_)), "{reason}");
                    closed += 1;
                }
                Event::Received(..) => {}
            }
        }
        assert!(Instant::now() < end, "{closed} of {peers} have had enough");
    }
}

/// Takes a world, whole and in order.
fn explore(server: SocketAddr, (count, size): (usize, usize)) {
    let mut client = Client::connect(server).unwrap();
    for number in 0..count {
        let expected = (Delivery::Reliable, numbered(number, size));
        assert!(client.recv(SOON) == Some(expected), "message {number} of {count} is missing");
    }
}

#[test]
fn a_world_sent_in_one_go_arrives_whole() {
    for world in [(17, 60_000), (40, 51_200), (9_000, 100), (20_000, 20), (100, 60_000)] {
        let (server, queue) = served(Config::default());
        let address = server.local_addr();
        let client = thread::spawn(move || explore(address, world));
        welcome(&server, &queue, world, 1);
        client.join().unwrap();
        assert_eq!(server.stats().send_full, 0, "{world:?}");
    }
}

#[test]
fn twenty_five_who_join_within_a_second_get_theirs_whole() {
    let (server, queue) = served(Config::default());
    let (address, world) = (server.local_addr(), (40, 51_200));
    let join = move |number: u32| {
        thread::sleep(Duration::from_millis(40) * number);
        thread::spawn(move || explore(address, world))
    };
    let clients = thread::spawn(move || (0..25).map(join).collect::<Vec<_>>());
    welcome(&server, &queue, world, 25);
    clients.join().unwrap().into_iter().for_each(|client| client.join().unwrap());
}

/// All of them share the path.
#[test]
#[ignore = "needs root: run tests/all"]
fn through_50_mbit_and_20_ms_twenty_five_get_theirs_whole() {
    let rate = Rate { bytes_per_second: 50_000_000 / 8, queue_bytes: 50_000_000 / 8 / 10 };
    let delay = Duration::from_millis(20);
    let conditions = Conditions { delay, rate: Some(rate), ..Conditions::default() };
    let link = env!("CARGO_BIN_EXE_lossy-link");
    let mut wire = Wire::new(link.as_ref(), conditions, 14).unwrap();
    wire.worsen().unwrap();
    let mut command = wire.machine().command(env!("CARGO_BIN_EXE_echo-server"));
    command.args([&format!("{}:0", wire.address()), "--world", "40x51200"]);
    let server = Program::start(&mut command).unwrap();
    let address = SocketAddr::new(wire.address().parse().unwrap(), server.port());
    for peers in [1, 25] {
        let join = move |number: u32| {
            thread::sleep(Duration::from_millis(40) * number.min(1));
            thread::spawn(move || explore(address, (40, 51_200)))
        };
        let clients: Vec<_> = (0..peers).map(join).collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

/// A peer, and its TCP connection.
fn peer(server: SocketAddr) -> (Client, TcpStream) {
    let tcp = TcpStream::connect(server).unwrap();
    let handle = tcp.try_clone().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = Client::over(tcp, udp, Manners::Good).unwrap();
    assert_eq!(client.next(SOON), Some(News::Open));
    (client, handle)
}

/// The other one goes on, a peer that reads so few bytes at a time does not.
fn assert_closed_in_time(reads: usize) {
    const TIME: Duration = Duration::from_secs(2);
    let (server, queue) = served(Config { reliable_send_timeout: TIME, ..Config::default() });
    let (_slow, mut tcp) = peer(server.local_addr());
    let mut honest = Client::connect(server.local_addr()).unwrap();
    let began = Instant::now();
    for id in [0, 1] {
        (0..4 * MIB / 60_000).for_each(|n| server.send_reliable(id, numbered(n, 60_000)));
    }
    (0..4 * MIB / 60_000).for_each(|n| {
        assert_eq!(honest.recv(SOON), Some((Delivery::Reliable, numbered(n, 60_000))));
    });
    let mut seen = Vec::new();
    while !seen.contains(&Event::Closed(PeerId::from(0))) {
        assert!(began.elapsed() < 3 * TIME, "{seen:?}");
        if reads > 0 {
            tcp.set_nonblocking(false).unwrap();
            tcp.read_exact(&mut vec![0; reads]).unwrap();
        }
        seen.extend(queue.wait(Duration::from_millis(100)));
    }
    let words = server.close_reason(0).unwrap().to_string();
    println!("after {:?}: {words}", began.elapsed());
    assert!(words.starts_with("slow consumer: took "), "{words}");
    assert!(words.contains("Config::reliable_send_timeout"), "{words}");
    assert!(began.elapsed() >= TIME, "{:?}", began.elapsed());
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::Closed(_))).count(), 1);
    assert!(server.peer(1).is_some());
}

#[test]
fn t13_who_reads_nothing_is_closed_in_time() {
    assert_closed_in_time(0);
}

#[test]
fn t13_a_byte_now_and_then_is_not_enough() {
    assert_closed_in_time(1);
}
