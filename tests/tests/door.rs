//! Who is let in: the hub without IO, and raw requests to a server.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use net::hub::{ConnectionId, Hub, Input, Output};
use net::{CloseReason, Config, Refusal, Server, Stage};

/// A hub whose clients speak HTTP by hand.
struct Door {
    hub: Hub,
    now: Instant,
}

impl Door {
    fn new(config: Config) -> Door {
        let local = vec![([192, 0, 2, 1], 3000).into()];
        Door { hub: Hub::new(config, local, Vec::new(), Some(1)), now: Instant::now() }
    }

    /// A client connects and asks with these header lines; what it is answered comes later.
    fn knock(&mut self, remote: &str, headers: &str) -> ConnectionId {
        let remote: SocketAddr = remote.parse().unwrap();
        let id = self.hub.accept(self.now, remote).expect("room");
        self.hub.handle_input(self.now, Input::Bytes(id, request(headers).as_bytes()));
        id
    }

    /// What was answered, and what the server told.
    fn heard(&mut self, id: ConnectionId) -> (String, Vec<Refusal>) {
        let (mut answer, mut refusals) = (Vec::new(), Vec::new());
        loop {
            match self.hub.poll_output() {
                Output::Timeout(_) => break,
                Output::Refused(refusal) => refusals.push(refusal),
                _ => {}
            }
            while !self.hub.outgoing(id).is_empty() {
                let part = self.hub.outgoing(id).to_vec();
                self.hub.advance(self.now, id, part.len());
                answer.extend(part);
            }
        }
        (String::from_utf8_lossy(&answer).into_owned(), refusals)
    }

    /// The answer's status line to one request.
    fn ask(&mut self, headers: &str) -> (String, Vec<Refusal>) {
        let id = self.knock("198.51.100.7:5000", headers);
        let (answer, refusals) = self.heard(id);
        (answer.lines().next().unwrap_or_default().to_owned(), refusals)
    }
}

/// A good request with these header lines more.
fn request(headers: &str) -> String {
    format!(
        "GET /room?7 HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden";

fn listed() -> Config {
    let origins = ["https://game.example", "http://localhost:8080/"];
    Config { origins: Some(origins.map(String::from).to_vec()), ..Config::default() }
}

#[test]
fn without_a_list_everyone_is_let_in() {
    let mut door = Door::new(Config::default());
    for headers in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(door.ask(headers), (SWITCHING.into(), vec![]));
    }
}

#[test]
fn t06_an_origin_is_in_the_list_or_refused() {
    let mut door = Door::new(listed());
    for origin in ["https://game.example", "http://localhost:8080"] {
        let (status, refusals) = door.ask(&format!("Origin: {origin}\r\n"));
        assert_eq!((status.as_str(), refusals), (SWITCHING, vec![]), "{origin}");
    }
    let mut door = Door::new(listed());
    for origin in [
        "https://evil.example",
        "null",
        "https://game.example.evil.example",
        "https://evilgame.example",
        "https://game.example:8443",
        "https://game.example/",
        "https://game.example@evil.example",
        "http://game.example",
        "http://localhost",
        "game.example",
        "https://game.example https://evil.example",
        "https://game.ex\u{430}mple",
        "*",
        "",
    ] {
        let (status, refusals) = door.ask(&format!("Origin: {origin}\r\n"));
        let [refusal] = &refusals[..] else { panic!("{origin}: {refusals:?}") };
        assert_eq!((status.as_str(), refusal.stage), (FORBIDDEN, Stage::Accept), "{origin}");
        assert!(matches!(refusal.reason, CloseReason::Refused(_)), "{refusal:?}");
        assert!(refusal.cause.contains("origin"), "{refusal}");
    }
    assert!(door.hub.is_empty(), "who was refused is forgotten");
}

#[test]
fn t06_several_origins_are_none() {
    let mut door = Door::new(Config { originless: true, ..listed() });
    let twice = "Origin: https://game.example\r\n".repeat(2);
    assert_eq!(door.ask(&twice).0, FORBIDDEN);
}

#[test]
fn t06_who_names_no_origin_is_let_in_where_that_is_said() {
    let (status, refusals) = Door::new(listed()).ask("");
    assert_eq!((status.as_str(), refusals[0].cause.as_str()), (FORBIDDEN, "no Origin header"));
    let mut door = Door::new(Config { originless: true, ..listed() });
    assert_eq!(door.ask(""), (SWITCHING.into(), vec![]));
    assert_eq!(door.ask("Origin: null\r\n").0, FORBIDDEN);
}

#[test]
fn t06_a_foreign_page_is_answered_before_the_upgrade() {
    let (server, queue) = Server::bind("127.0.0.1:0", listed()).unwrap();
    let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
    tcp.write_all(request("Origin: https://evil.example\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with(FORBIDDEN), "{answer}");
    assert!(answer.ends_with("accept: the origin https://evil.example is not allowed\n"));
    drop(server);
    while !queue.is_finished() {
        assert_eq!(queue.wait(std::time::Duration::from_secs(2)), []);
    }
}
