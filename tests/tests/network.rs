//! Servers with several addresses, two families, and none for strangers: each test builds its
//! machines from network namespaces.
//!
//! A client accepts an answer only from the address that it asked, as every ICE agent does, so
//! an echo over the data channel proves where the server answered from.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};

use net_tests::namespace::Namespace;
use net_tests::program::Program;

#[test]
#[ignore = "needs root, see tests/all"]
fn each_network_is_answered_from_its_own_address() {
    let server = machine("s");
    let near = neighbour(&server, "near", "198.51.100.1/24", "198.51.100.2/24");
    let far = neighbour(&server, "far", "203.0.113.1/24", "203.0.113.2/24");
    let running = serve(&server, "0.0.0.0:0");
    assert_echoes(&near, "198.51.100.1", &running);
    assert_echoes(&far, "203.0.113.1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn one_machine_may_ask_either_address() {
    let server = machine("s");
    let client = neighbour(&server, "one", "198.51.100.1/24", "198.51.100.2/24");
    server.connect("two", &client, "two").unwrap();
    server.address("two", "203.0.113.1/24").unwrap();
    client.address("two", "203.0.113.2/24").unwrap();
    let running = serve(&server, "0.0.0.0:0");
    assert_echoes(&client, "198.51.100.1", &running);
    assert_echoes(&client, "203.0.113.1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn the_answer_to_an_asymmetric_route_comes_from_the_address_that_was_asked() {
    let (server, client) = asymmetric();
    let running = serve(&server, "0.0.0.0:0");
    assert_echoes(&client, "203.0.113.1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn asymmetric_routes_work_in_both_families() {
    let (server, client) = asymmetric();
    let running = serve(&server, "[::]:0");
    assert_echoes(&client, "203.0.113.1", &running);
    assert_echoes(&client, "2001:db8:2::1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn a_server_on_both_families_hears_both() {
    let server = machine("s");
    let client = neighbour(&server, "lan", "198.51.100.1/24", "198.51.100.2/24");
    server.address("lan", "2001:db8::1/64").unwrap();
    client.address("lan", "2001:db8::2/64").unwrap();
    let running = serve(&server, "[::]:0");
    assert_echoes(&client, "198.51.100.1", &running);
    assert_echoes(&client, "2001:db8::1", &running);
    assert_echoes(&server, "127.0.0.1", &running);
    assert_echoes(&server, "::1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn a_server_on_one_address_keeps_to_it() {
    let server = machine("s");
    let near = neighbour(&server, "near", "198.51.100.1/24", "198.51.100.2/24");
    let far = neighbour(&server, "far", "203.0.113.1/24", "203.0.113.2/24");
    let running = serve(&server, "198.51.100.1:0");
    assert_echoes(&near, "198.51.100.1", &running);
    assert_refused(&far, "203.0.113.1", &running);
}

#[test]
#[ignore = "needs root, see tests/all"]
fn nothing_from_another_machine_reaches_a_server_on_loopback() {
    let server = machine("s");
    let stranger = neighbour(&server, "lan", "198.51.100.1/24", "198.51.100.2/24");
    let running = serve(&server, "127.0.0.1:0");
    assert_echoes(&server, "127.0.0.1", &running);
    assert_refused(&stranger, "198.51.100.1", &running);

    // With the offer in hand, which a proxy passes on, the stranger has the right credentials
    // and still gets no answer over UDP; from this machine the same road works.
    let proxy = relay(&server, "198.51.100.1:0", running.address());
    assert_echoes(&server, "198.51.100.1", &proxy);
    let output = ask(&stranger, "198.51.100.1", &proxy, &[]);
    assert!(!output.status.success(), "a stranger got in: {output:?}");
}

/// A machine without neighbours.
/// A link on the way takes packets of 1,100 bytes at most; its router tells who sends longer ones.
#[test]
#[ignore = "needs root, see tests/all"]
fn t58_a_path_that_takes_short_packets_only() {
    let server = machine("s");
    let router = neighbour(&server, "lan", "198.51.100.1/24", "198.51.100.254/24");
    let client = neighbour(&router, "wan", "203.0.113.254/24", "203.0.113.2/24");
    for end in [&router, &client] {
        end.ip(&["link", "set", "wan", "mtu", "1100"]).unwrap();
    }
    router.sysctl("net.ipv4.ip_forward=1").unwrap();
    server.route("default via 198.51.100.254").unwrap();
    client.route("default via 203.0.113.254").unwrap();
    let running = serve(&server, "0.0.0.0:0");
    for bytes in ["20", "1000", "1062", "5000"] {
        let output = ask(&client, "198.51.100.1", &running, &[bytes]);
        println!("{bytes} bytes: {}", String::from_utf8_lossy(&output.stdout).trim_end());
        assert!(output.status.success(), "{bytes} bytes: {output:?}");
    }
}

fn machine(role: &str) -> Namespace {
    Namespace::new(role).expect("root and the program ip")
}

/// A new machine joined to `server` by a cable, with an address at each end.
fn neighbour(server: &Namespace, device: &str, here: &str, there: &str) -> Namespace {
    let other = machine(device);
    server.connect(device, &other, device).unwrap();
    server.address(device, here).unwrap();
    other.address(device, there).unwrap();
    other
}

/// A client whose packets come in over `asked` and whom the server's routes reach over `other`,
/// so that the kernel's own choice of a source would be the wrong address. It has no route to
/// the addresses of `other`.
fn asymmetric() -> (Namespace, Namespace) {
    let (server, client) = (machine("s"), machine("c"));
    for device in ["other", "asked"] {
        server.connect(device, &client, device).unwrap();
    }
    server.address("other", "198.51.100.1/24").unwrap();
    server.address("asked", "203.0.113.1/24").unwrap();
    client.address("lo", "192.0.2.7/32").unwrap();
    client.route("203.0.113.1/32 dev asked src 192.0.2.7").unwrap();
    server.route("192.0.2.7/32 dev other").unwrap();

    server.address("other", "2001:db8:1::1/64").unwrap();
    server.address("asked", "2001:db8:2::1/64").unwrap();
    client.address("lo", "2001:db8:7::7/128").unwrap();
    client.route("2001:db8:2::1/128 dev asked src 2001:db8:7::7").unwrap();
    client.address("other", "fe80::c/64").unwrap();
    server.route("2001:db8:7::7/128 via fe80::c dev other").unwrap();
    (server, client)
}

fn serve(machine: &Namespace, address: &str) -> Program {
    let mut command = machine.command(env!("CARGO_BIN_EXE_echo-server"));
    Program::start(command.arg(address)).unwrap()
}

fn relay(machine: &Namespace, front: &str, back: SocketAddr) -> Program {
    let mut command = machine.command(env!("CARGO_BIN_EXE_relay"));
    Program::start(command.args([front, &back.to_string()])).unwrap()
}

fn ask(machine: &Namespace, ip: &str, server: &Program, more: &[&str]) -> Output {
    let ip: IpAddr = ip.parse().unwrap();
    let address = SocketAddr::new(ip, server.port()).to_string();
    let mut client: Command = machine.command(env!("CARGO_BIN_EXE_echo-client"));
    client.arg(address).args(more).output().unwrap()
}

fn assert_echoes(machine: &Namespace, ip: &str, server: &Program) {
    let output = ask(machine, ip, server, &[]);
    assert!(output.status.success(), "no echo from {ip}: {output:?}");
}

/// Not even a TCP connection.
fn assert_refused(machine: &Namespace, ip: &str, server: &Program) {
    let output = ask(machine, ip, server, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ConnectionRefused"), "{ip} did not refuse: {output:?}");
}
