//! What the operating system does to a server: taken ports, no descriptors left, a stopped
//! process.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::catch_unwind;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{BindError, Config, Delivery, Server};
use net_tests::client::Client;
use net_tests::program::Program;

const SOON: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn bind(address: SocketAddr) -> Result<(), BindError> {
    Server::bind(address, Config::default()).map(drop)
}

/// Names the address and the cause.
#[track_caller]
fn assert_names(words: &str, address: SocketAddr, protocol: &str) {
    assert!(words.contains(&address.to_string()), "{words}");
    assert!(words.contains(protocol), "{words}");
}

#[test]
fn t21_a_taken_tcp_port_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(matches!(error, BindError::Tcp { .. }), "{error:?}");
    assert_names(&error.to_string(), address, "TCP");
}

#[test]
fn t21_a_taken_udp_port_is_named_and_tcp_is_free_again() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(matches!(error, BindError::Udp { .. }), "{error:?}");
    assert_names(&error.to_string(), address, "UDP");
    TcpListener::bind(address).expect("TCP is free");
    drop(other);
    bind(address).unwrap();
}

#[test]
fn t21_two_servers_share_no_port() {
    let (server, _queue) = Server::new("127.0.0.1:0");
    let address = server.local_addr();
    assert_names(&bind(address).unwrap_err().to_string(), address, "TCP");
    let panic = catch_unwind(|| Server::new(address)).unwrap_err();
    assert_names(panic.downcast_ref::<String>().unwrap(), address, "TCP");
    Client::connect(address).expect("the first one goes on");
}

#[test]
fn t21_port_0_is_one_number_for_both() {
    for _ in 0..20 {
        let (server, _queue) = Server::new("127.0.0.1:0");
        let address = server.local_addr();
        assert!(server.announced_addrs().contains(&address));
        UdpSocket::bind(address).expect_err("the server has UDP too");
    }
}

/// The program's process ids are those of the shell that became it.
fn echo_server(prelude: &str, options: &str) -> Program {
    let script =
        format!("{prelude} exec {} 127.0.0.1:0 {options}", env!("CARGO_BIN_EXE_echo-server"));
    Program::start(Command::new("sh").args(["-c", &script])).unwrap()
}

/// Time that a process has worked, in ticks of a hundredth of a second.
fn worked(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[track_caller]
fn assert_echoes(client: &mut Client, number: u32) {
    let (reliable, unreliable) = (format!("{number}"), format!("unreliable {number}"));
    assert!(client.send_reliable(reliable.clone()));
    assert_eq!(client.recv(SOON), Some((Delivery::Reliable, Bytes::from(reliable))));
    assert!(client.send_unreliable(unreliable.clone()));
    assert_eq!(client.recv(SOON), Some((Delivery::Unreliable, Bytes::from(unreliable))));
}

/// The connections that find no descriptor wait in the system's queue: nothing wakes a server
/// that is told of each only once.
#[test]
fn t20_without_descriptors_it_neither_spins_nor_stops_and_goes_on_with_them() {
    const DESCRIPTORS: usize = 32;
    let server = echo_server("ulimit -n 32;", "");
    let mut client = Client::connect(server.address()).unwrap();
    let mut crowd: Vec<_> =
        (0..60).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let end = Instant::now() + SOON;
    while descriptors(server.id()) < DESCRIPTORS {
        assert!(Instant::now() < end, "it has some left");
        client.next(Duration::from_millis(1));
    }
    let (began, before) = (Instant::now(), worked(server.id()));
    for number in 0..20 {
        assert_echoes(&mut client, number);
        client.next(Duration::from_millis(50));
    }
    let (ticks, hundredths) = (worked(server.id()) - before, began.elapsed().as_millis() / 10);
    assert!(u128::from(ticks) < hundredths / 3, "{ticks} of {hundredths}");
    // The last ones to come are still in the queue, and all others go away.
    let last = crowd.pop().unwrap();
    crowd.clear();
    let freed = Instant::now();
    Client::connect(server.address()).expect("it accepts again");
    println!("accepted and open {:?} after descriptors were free", freed.elapsed());
    assert_echoes(&mut client, 20);
    drop(last);
}

/// A stop that is longer than all its patience.
#[test]
#[ignore = "stops a process for ten seconds, see tests/all"]
fn t69_a_process_that_was_stopped_loses_nobody() {
    let server = echo_server("", "--patience 6");
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(server.address()).unwrap()).collect();
    let signal = |name: &str| {
        let id = server.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-STOP");
    let end = Instant::now() + 10 * SECOND;
    while Instant::now() < end {
        for client in &mut clients {
            assert_eq!(client.next(SECOND / 10), None);
        }
    }
    signal("-CONT");
    let end = Instant::now() + 4 * SECOND;
    while Instant::now() < end {
        for client in &mut clients {
            assert_eq!(client.next(SECOND / 10), None);
        }
    }
    (0..).zip(&mut clients).for_each(|(number, client)| assert_echoes(client, number));
}
