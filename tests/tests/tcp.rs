//! Websockets over real connections: where the kernel has a part in what goes wrong.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use net::{CloseReason, Config, Event, EventQueue, HandshakeStage, PeerId, Server};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};
use socket2::SockRef;

const SOON: Duration = Duration::from_secs(10);
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The head of a masked binary frame of 1,024 bytes, and too little behind it.
const HALF_A_FRAME: &[u8] = b"\x82\xfe\x04\x00\x01\x02\x03\x04half";

fn served(config: Config) -> (Server, EventQueue) {
    Server::bind("127.0.0.1:0", config).unwrap()
}

/// A peer, and its TCP connection, with which more can be done than the peer would.
fn peer(server: SocketAddr) -> (Client, TcpStream) {
    let tcp = TcpStream::connect(server).unwrap();
    let handle = tcp.try_clone().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut client = Client::over(tcp, udp, Manners::Good).unwrap();
    assert_eq!(client.next(SOON), Some(News::Open));
    (client, handle)
}

/// The next events, which must come soon, until `count` of them are here.
fn events(queue: &EventQueue, count: usize) -> Vec<Event> {
    let end = Instant::now() + SOON;
    let mut events = Vec::new();
    while events.len() < count && Instant::now() < end {
        events.extend(queue.wait(SOON));
    }
    events
}

fn life(id: u64) -> [Event; 2] {
    [Event::Open(PeerId::from(id)), Event::Closed(PeerId::from(id))]
}

/// Looks until it is so.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads up to the end of the stream, which must come by the server's doing.
fn read_to_the_end(tcp: &mut TcpStream) -> Vec<u8> {
    tcp.set_nonblocking(false).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = Vec::new();
    match tcp.read_to_end(&mut bytes) {
        // What the server had not read makes it a reset; that is an end, too.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no end: {error}"),
        _ => bytes,
    }
}

/// Drops a connection so that the other end hears a reset.
fn reset(tcp: TcpStream) {
    SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn t01_who_connects_and_stays_silent_is_hung_up_on() {
    let config = Config { upgrade_timeout: Duration::from_millis(50), ..Config::default() };
    let (server, _queue) = served(config);
    let mut silent = TcpStream::connect(server.local_addr()).unwrap();
    assert_eq!(read_to_the_end(&mut silent), b"");
    eventually("it is counted", || server.stats().plain_http == 1);
    assert_eq!(server.connect_failures().recent.len(), 0);
}

#[test]
fn t07_the_goodbye_is_not_lost_while_the_frame_is_on_its_way() {
    let (server, _queue) = served(Config::default());
    let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp.write_all(REQUEST.as_bytes()).unwrap();
    let head = b"\x82\xff\0\0\0\0\0\x04\0\0\x01\x02\x03\x04"; // 256 KiB
    tcp.write_all(head).unwrap();
    tcp.write_all(&[0; 65_536]).unwrap();
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    while !heard.windows(4).any(|four| matches!(four, [0x88, _, 0x03, 0xf1])) {
        match tcp.read(&mut buffer).unwrap() {
            0 => panic!("no goodbye: {:?}", String::from_utf8_lossy(&heard)),
            count => heard.extend_from_slice(&buffer[..count]),
        }
    }
    // The server goes on reading, up to our goodbye.
    tcp.write_all(&[0; 3 * 65_536]).unwrap();
    tcp.write_all(b"\x88\x82\0\0\0\0\x03\xf1").unwrap();
    assert_eq!(tcp.read(&mut buffer).unwrap(), 0);
    assert!(tcp.take_error().unwrap().is_none(), "no reset");
}

#[test]
fn t14_half_a_close_is_a_whole_one() {
    let (server, queue) = served(Config::default());
    for (id, last_words) in [b"".as_slice(), HALF_A_FRAME].into_iter().enumerate() {
        let (client, mut tcp) = peer(server.local_addr());
        tcp.write_all(last_words).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        let id = id as u64;
        assert_eq!(events(&queue, 2), life(id));
        assert_eq!(server.close_reason(id), Some(CloseReason::Lost));
        read_to_the_end(&mut tcp);
        drop(client);
    }
}

#[test]
fn t14_half_a_close_before_the_end_of_the_upgrade() {
    let (server, queue) = served(Config::default());
    for length in [0, 20, REQUEST.len()] {
        let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
        tcp.write_all(&REQUEST.as_bytes()[..length]).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        let answer = read_to_the_end(&mut tcp);
        assert!(answer.is_empty() || length == REQUEST.len());
    }
    eventually("two are refused", || server.stats().connect_failures == 2);
    assert_eq!(server.stats().plain_http, 1, "it has said nothing");
    assert_eq!(queue.pop_all(), []);
}

#[test]
fn t15_resets_right_after_accept_and_in_the_upgrade() {
    let (server, queue) =
        served(Config { max_protected_handshakes_per_private_ip: 1_000, ..Config::default() });
    for number in 0..200 {
        let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
        if number % 2 == 0 {
            tcp.write_all(b"GET / HT").unwrap();
        }
        reset(tcp);
    }
    eventually("each ends once", || {
        server.stats().connect_failures + server.stats().plain_http == 200
    });
    assert_eq!(server.stats().tcp_accepted, 200);
    // Those that have said nothing are none, and a reset may overtake what was said.
    let refusals = server.connect_failures();
    assert_eq!(
        refusals.by_stage.get(&HandshakeStage::Upgrade),
        Some(&server.stats().connect_failures)
    );
    assert!(server.stats().plain_http >= 100);
    // Nobody else is harmed, and nobody was seen.
    drop(peer(server.local_addr()));
    assert_eq!(events(&queue, 2), life(0));
}

#[test]
fn t15_a_reset_in_the_middle_of_a_frame() {
    let (server, queue) = served(Config::default());
    let (mut honest, _tcp) = peer(server.local_addr());
    let (client, mut tcp) = peer(server.local_addr());
    tcp.write_all(HALF_A_FRAME).unwrap();
    reset(tcp);
    drop(client);
    let mut seen = events(&queue, 3);
    assert_eq!(seen.remove(0), Event::Open(PeerId::from(0)));
    assert_eq!(seen, life(1));
    assert_eq!(server.close_reason(1), Some(CloseReason::Lost));
    server.send_reliable(1, "nobody");
    server.send_reliable(0, "still here");
    assert!(matches!(honest.recv(SOON), Some((_, message)) if message == "still here"));
}

#[test]
fn t18_who_never_answers_our_close_is_hung_up_on() {
    let (server, queue) = served(Config { reliable_send_buffer: 64 << 20, ..Config::default() });
    // One reads nothing and has far more coming than the kernel takes, one has nothing.
    let mut peers = [peer(server.local_addr()), peer(server.local_addr())];
    for _ in 0..500 {
        server.send_reliable(0, vec![7; 60_000]);
    }
    server.close(0);
    server.close(1);
    let seen = events(&queue, 4);
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::Closed(_))).count(), 2);
    for id in [0, 1] {
        assert_eq!(server.close_reason(id), Some(CloseReason::ClosedByServer));
    }
    // Neither answers; one would even go on sending.
    for (_, tcp) in &mut peers {
        tcp.set_nonblocking(false).unwrap();
        tcp.write_all(HALF_A_FRAME).unwrap();
        read_to_the_end(tcp);
    }
    assert_eq!(queue.pop_all(), []);
}
