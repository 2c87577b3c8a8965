//! Addresses that come, go, are replaced, are not ready, are taken by another program or lie behind
//! a NAT, while a server runs: whoever comes then connects. And the answers of the UDP port to a
//! client that asks where it is seen.
//!
//! The machines are network namespaces. An echo over the data channel proves that the address that
//! was told is one of use.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use net::{Config, Event, Server};
use net_tests::agent::Manners;
use net_tests::client::Client;
use net_tests::namespace::Namespace;
use net_tests::program::Program;

/// Within this time after a change whoever comes is to get in.
const SOON: Duration = Duration::from_secs(5);
const PORT: u16 = 3000;

#[test]
#[ignore = "needs root, see tests/all"]
fn a_server_that_started_before_the_network() {
    let (server, client) = unconnected();
    client.address("lan", "192.0.2.9/24").unwrap();
    let running = Echo::start(&server, "late", "0.0.0.0:3000", &[]);
    server.address("lan", "192.0.2.5/24").unwrap();
    server.ip(&["link", "set", "lan", "up"]).unwrap();
    running.assert_echoes_soon(&client, "192.0.2.5");
}

#[test]
#[ignore = "needs root, see tests/all"]
fn an_address_that_is_replaced_and_one_that_is_added() {
    let (server, client) = lan("192.0.2.5/24", "192.0.2.9/24");
    let running = Echo::start(&server, "replaced", "0.0.0.0:3000", &[]);
    running.assert_echoes_soon(&client, "192.0.2.5");
    server.ip(&["address", "del", "192.0.2.5/24", "dev", "lan"]).unwrap();
    server.address("lan", "192.0.2.6/24").unwrap();
    running.assert_echoes_soon(&client, "192.0.2.6");
    server.address("lan", "198.51.100.5/24").unwrap();
    client.address("lan", "198.51.100.9/24").unwrap();
    client.ip(&["address", "del", "192.0.2.9/24", "dev", "lan"]).unwrap();
    running.assert_echoes_soon(&client, "198.51.100.5");
    running.assert_logged_soon("UDP 192.0.2.5:3000 is closed");
}

/// The websocket tells nothing of a new address where a proxy takes it.
#[test]
#[ignore = "needs root, see tests/all"]
fn an_address_that_is_replaced_behind_a_proxy() {
    let (server, client) = lan("192.0.2.5/24", "192.0.2.9/24");
    let mut running = Echo::start(&server, "proxied", "0.0.0.0:3000", &[]);
    let back = format!("127.0.0.1:{PORT}");
    let mut relay = server.command(env!("CARGO_BIN_EXE_relay"));
    let _relay = Program::start(relay.args(["0.0.0.0:4000", &back])).unwrap();
    running.port = 4000;
    running.assert_echoes_soon(&client, "192.0.2.5");
    server.ip(&["address", "del", "192.0.2.5/24", "dev", "lan"]).unwrap();
    server.address("lan", "192.0.2.6/24").unwrap();
    running.assert_logged_soon("told 192.0.2.6:3000");
    running.assert_echoes_soon(&client, "192.0.2.6");
}

/// Duplicate address detection takes a second or two.
#[test]
#[ignore = "needs root, see tests/all"]
fn an_ipv6_address_that_was_just_added_is_taken_once_it_is_ready() {
    let (server, client) = lan("192.0.2.5/24", "192.0.2.9/24");
    client.address("lan", "2001:db8::9/64").unwrap();
    server.sysctl("net.ipv6.conf.lan.accept_dad=1").unwrap();
    server.address("lan", "2001:db8::5/64").unwrap();
    let running = Echo::start(&server, "tentative", "[::]:3000", &[]);
    running.assert_logged("UDP [2001:db8::5]:3000 is left out");
    running.assert_echoes_soon(&client, "192.0.2.5");
    running.assert_logged_soon("UDP [2001:db8::5]:3000 is bound now");
    running.assert_echoes_soon(&client, "2001:db8::5");
}

#[test]
#[ignore = "needs root, see tests/all"]
fn an_ipv6_address_that_another_machine_has_is_left_out() {
    let (server, client) = lan("192.0.2.5/24", "192.0.2.9/24");
    client.address("lan", "2001:db8::5/64").unwrap();
    server.sysctl("net.ipv6.conf.lan.accept_dad=1").unwrap();
    server.address("lan", "2001:db8::5/64").unwrap();
    let running = Echo::start(&server, "duplicate", "[::]:3000", &[]);
    running.assert_echoes_soon(&client, "192.0.2.5");
    running.assert_logged("UDP [2001:db8::5]:3000 is left out");
}

#[test]
#[ignore = "needs root, see tests/all"]
fn a_port_that_is_taken_on_a_bridge_is_left_out_and_taken_once_it_is_free() {
    let (server, client) = lan("192.0.2.5/24", "192.0.2.9/24");
    let guest = cable(&server, "docker0");
    server.address("docker0", "172.17.0.1/16").unwrap();
    guest.address("docker0", "172.17.0.2/16").unwrap();
    let mut holder = server.command(env!("CARGO_BIN_EXE_hold-udp"));
    let holder = Program::start(holder.arg("172.17.0.1:3000")).unwrap();
    let running = Echo::start(&server, "taken", "0.0.0.0:3000", &[]);
    running.assert_echoes_soon(&client, "192.0.2.5");
    running.assert_logged("UDP 172.17.0.1:3000 is left out");
    running.assert_logged("another program has this port");
    drop(holder);
    running.assert_logged_soon("UDP 172.17.0.1:3000 is bound now");
    running.assert_echoes_soon(&guest, "172.17.0.1");
}

/// As many as a cluster has services, on an interface that is up, and on one that is not.
#[test]
#[ignore = "needs root, see tests/all"]
fn addresses_of_a_cluster_keep_nobody_out() {
    for is_up in [true, false] {
        let server = Namespace::new("s").unwrap();
        let pods = cable(&server, "kube-ipvs0");
        let state = if is_up { "up" } else { "down" };
        pods.ip(&["link", "set", "kube-ipvs0", state]).unwrap();
        for last in 1..=40 {
            server.address("kube-ipvs0", &format!("10.96.0.{last}/32")).unwrap();
        }
        let client = neighbour(&server, "lan", "192.168.1.5/24", "192.168.1.9/24");
        let running = Echo::start(&server, &format!("cluster-{state}"), "0.0.0.0:3000", &[]);
        running.assert_echoes_soon(&client, "192.168.1.5");
        let told = running.log_line("browsers are told ");
        assert!(told.contains("told 192.168.1.5:3000"), "the one of use comes first: {told}");
        assert_eq!(told.contains("10.96.0.1:3000"), is_up, "{told}");
    }
}

/// A router with the public address passes what comes from outside on, and what comes from inside
/// not. Beside the public IPv4 address the server has one of IPv6.
#[test]
#[ignore = "needs root and nft, see tests/all"]
fn behind_a_one_to_one_nat_everybody_gets_in() {
    let (server, inside) = lan("10.0.0.3/24", "10.0.0.9/24");
    let router = neighbour(&server, "way", "10.0.1.3/24", "10.0.1.1/24");
    let outside = neighbour(&router, "wan", "203.0.113.5/24", "203.0.113.9/24");
    router.sysctl("net.ipv4.ip_forward=1").unwrap();
    router.sysctl("net.ipv6.conf.all.forwarding=1").unwrap();
    server.route("default via 10.0.1.1").unwrap();
    nft(&router, "add table ip nat");
    nft(&router, "add chain ip nat in { type nat hook prerouting priority -100; }");
    for protocol in ["tcp", "udp"] {
        let rule = format!("iifname wan {protocol} dport {PORT} dnat to 10.0.1.3:{PORT}");
        nft(&router, &format!("add rule ip nat in {rule}"));
    }
    let sixth = Namespace::new("six").unwrap();
    router.connect("six", &sixth, "six").unwrap();
    for (machine, device, address) in [
        (&server, "way", "2001:db8:1::3/64"),
        (&router, "way", "2001:db8:1::1/64"),
        (&router, "six", "2001:db8:2::1/64"),
        (&sixth, "six", "2001:db8:2::9/64"),
    ] {
        machine.address(device, address).unwrap();
    }
    server.route("2001:db8:2::/64 via 2001:db8:1::1").unwrap();
    sixth.route("2001:db8:1::/64 via 2001:db8:2::1").unwrap();

    let public = ["--public", "203.0.113.7", "--public", "203.0.113.5"];
    let running = Echo::start(&server, "nat", "[::]:3000", &public);
    running.assert_echoes_soon(&outside, "203.0.113.5");
    running.assert_echoes_soon(&inside, "10.0.0.3");
    running.assert_echoes_soon(&sixth, "2001:db8:1::3");
}

/// A laptop with a server on loopback joins a network: Firefox, which does not use loopback, would
/// now find the way.
#[test]
#[ignore = "needs root, see tests/all"]
fn a_server_on_loopback_takes_an_address_beside_it_when_a_network_comes() {
    let (server, stranger) = unconnected();
    stranger.address("lan", "192.0.2.9/24").unwrap();
    let running = Echo::start(&server, "loopback", "127.0.0.1:3000", &[]);
    running.assert_echoes_soon(&server, "127.0.0.1");
    server.address("lan", "192.0.2.5/24").unwrap();
    server.ip(&["link", "set", "lan", "up"]).unwrap();
    running.assert_logged_soon("told 127.0.0.1:3000, 192.0.2.5:3000 now");
    assert!(!running.ask(&stranger, "192.0.2.5").status.success(), "for this machine alone");
}

/// What a browser without candidates of its own asks a STUN server (RFC 8489), by real sockets.
#[test]
fn a_client_that_connects_may_ask_where_it_is_seen_and_others_may_not() {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (server, queue) = Server::bind("127.0.0.1:0", Config::default()).unwrap();
    let asks = || {
        udp.send_to(&request, server.local_addr()).unwrap();
        let mut answer = [0; 100];
        udp.recv(&mut answer).ok().map(|length| answer[..length].to_vec())
    };
    assert_eq!(asks(), None, "nobody is connecting");
    let mut waiting = Client::begin(server.local_addr(), Manners::Silent).unwrap();
    let began = Instant::now();
    let answer = loop {
        assert!(began.elapsed() < SOON, "no answer");
        assert_eq!(waiting.next(Duration::from_millis(50)), None);
        if let Some(answer) = asks() {
            break answer;
        }
    };
    let port = udp.local_addr().unwrap().port() ^ 0x2112;
    let mut expected = vec![1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
    expected.extend([7; 12]);
    expected.extend([0, 0x20, 0, 8, 0, 1]);
    expected.extend(port.to_be_bytes());
    expected.extend([127 ^ 0x21, 0x12, 0xA4, 1 ^ 0x42]);
    assert_eq!(answer, expected);
    drop(waiting);
    let began = Instant::now();
    while server.stats().connect_failures == 0 {
        assert!(began.elapsed() < SOON, "it is not noticed that it left");
        drop(queue.wait(Duration::from_millis(10)));
    }
    let _open = Client::connect(server.local_addr()).unwrap();
    assert_eq!(queue.wait(SOON), [Event::Open(0.into())]);
    assert_eq!(asks(), None, "an open peer has found its way");
}

/// An echo server in a machine, and its log.
struct Echo {
    _program: Program,
    port: u16,
    log: PathBuf,
}

impl Echo {
    fn start(machine: &Namespace, name: &str, address: &str, options: &[&str]) -> Echo {
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("addresses-{name}.log"));
        let mut command = machine.command(env!("CARGO_BIN_EXE_echo-server"));
        command.arg(address).args(options).env("RUST_LOG", "info");
        command.stderr(Stdio::from(File::create(&log).unwrap()));
        Echo { _program: Program::start(&mut command).unwrap(), port: PORT, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn log_line(&self, words: &str) -> String {
        let log = self.log();
        log.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn assert_logged(&self, words: &str) {
        let log = self.log();
        assert!(log.contains(words), "no {words:?} in {log}");
    }

    #[track_caller]
    fn assert_logged_soon(&self, words: &str) {
        let began = Instant::now();
        while !self.log().contains(words) {
            assert!(began.elapsed() < SOON, "no {words:?} in {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, machine: &Namespace, ip: &str) -> Output {
        let address = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), self.port);
        let mut client: Command = machine.command(env!("CARGO_BIN_EXE_echo-client"));
        client.arg(address.to_string()).output().unwrap()
    }

    #[track_caller]
    fn assert_echoes_soon(&self, machine: &Namespace, ip: &str) {
        let began = Instant::now();
        loop {
            let output = self.ask(machine, ip);
            if output.status.success() {
                return;
            }
            assert!(began.elapsed() < SOON, "no echo from {ip}: {output:?}\n{}", self.log());
        }
    }
}

/// A new machine joined to `server` by a cable without addresses, up at both ends.
fn cable(server: &Namespace, device: &str) -> Namespace {
    let other = Namespace::new(device).unwrap();
    server.connect(device, &other, device).unwrap();
    other
}

fn neighbour(server: &Namespace, device: &str, here: &str, there: &str) -> Namespace {
    let other = cable(server, device);
    server.address(device, here).unwrap();
    other.address(device, there).unwrap();
    other
}

fn lan(here: &str, there: &str) -> (Namespace, Namespace) {
    let server = Namespace::new("s").unwrap();
    let client = neighbour(&server, "lan", here, there);
    (server, client)
}

/// A server whose cable is not plugged in yet.
fn unconnected() -> (Namespace, Namespace) {
    let server = Namespace::new("s").unwrap();
    let client = cable(&server, "lan");
    server.ip(&["link", "set", "lan", "down"]).unwrap();
    (server, client)
}

fn nft(machine: &Namespace, words: &str) {
    let output = machine.command("nft").arg(words).output().expect("the program nft");
    assert!(output.status.success(), "nft {words}: {output:?}");
}
