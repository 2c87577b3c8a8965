//! An unreliable echo, server and client in one process: `cargo run -p net-rtc --example echo`.
//!
//! Offer and answer are handed over through memory here; in real life they travel over any
//! reliable path, for example a websocket.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use net_rtc::{Config, Endpoint, Event, Input, Output};

/// An endpoint with one peer, and the socket it is reached at.
struct Side {
    socket: UdpSocket,
    local: SocketAddr,
    endpoint: Endpoint<()>,
}

impl Side {
    fn new() -> std::io::Result<Side> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let local = socket.local_addr()?;
        Ok(Side { socket, local, endpoint: Endpoint::new(Config::new(vec![local])) })
    }

    /// Sends what there is to send, then waits for a datagram or the next timeout.
    fn turn(&mut self) -> std::io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let wake = loop {
            match self.endpoint.poll_output() {
                Output::Timeout(wake) => break wake,
                Output::Event((), event) => events.push(event),
                Output::Transmit(t) => _ = self.socket.send_to(&t.contents, t.destination)?,
            }
        };
        let wait = wake.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(100));
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = [0; 2_000];
        let input = match self.socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                Input::Datagram { source, destination: self.local, contents: &buffer[..length] }
            }
            Err(_) => Input::Timeout,
        };
        self.endpoint.handle_input(Instant::now(), input);
        Ok(events)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut server, mut client) = (Side::new()?, Side::new()?);
    let offer = server.endpoint.offer(Instant::now(), ())?;
    let answer = client.endpoint.accept_offer(Instant::now(), (), &offer.sdp)?;
    server.endpoint.accept_answer(Instant::now(), &(), &answer)?;

    std::thread::spawn(move || {
        loop {
            for event in server.turn().expect("the server's socket works") {
                if let Event::Received(message) = event {
                    _ = server.endpoint.send(Instant::now(), &(), message);
                }
            }
        }
    });
    loop {
        for event in client.turn()? {
            println!("client: {event:?}");
            match event {
                Event::Open => client.endpoint.send(Instant::now(), &(), "hello!")?,
                Event::Received(_) => return Ok(()),
                Event::Closed(_) => return Err("the connection failed".into()),
            }
        }
    }
}
