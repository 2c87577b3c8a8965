//! Any [`Attacker`] over real sockets.
//!
//! TCP connections come from the addresses that the attacker names, which should be of
//! 127.0.0.0/8 or of this machine otherwise. Its datagrams leave from bound sockets, of which
//! there are at most 256; others, and those in somebody else's name, from a raw socket, and what
//! is sent to those addresses it does not hear. It overhears the honest through a packet socket.
//! Where we may not have these two (they want root, or the user namespace of
//! `tests/lib/private-network`), forged datagrams are left out and counted, and nothing is
//! overheard.

mod ear;
mod lines;
mod voices;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use self::ear::Ear;
use self::lines::Lines;
use self::voices::Voices;
use crate::attack::{Attacker, Input, Output};

/// Kernel events taken at a time.
const EVENTS: usize = 1_024;
/// Chunks and datagrams read in one turn, so that a flood from the server does not silence the
/// attacker.
const TURN: usize = 256;
/// The longest wait, so that whoever drives it is asked whether it goes on.
const LOOK: Duration = Duration::from_millis(50);

const EAR: Token = Token(0);

/// What a raid did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// TCP connections that were begun.
    pub connects: u64,
    /// Those that the system did not begin, as of an address that is not ours.
    pub unconnected: u64,
    /// Bytes that were written to connections.
    pub written: u64,
    /// Bytes that were to be written and found the connection's line full.
    pub unwritten: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Those of them from an address that we have not bound.
    pub forged: u64,
    /// Datagrams that could not be sent.
    pub unsent: u64,
    /// Datagrams of the honest that it heard.
    pub overheard: u64,
}

/// An attacker at work.
#[derive(Debug)]
pub struct Raid {
    attacker: Box<dyn Attacker>,
    server: SocketAddr,
    poll: Poll,
    lines: Lines,
    voices: Voices,
    ear: Option<Ear>,
    wake: Option<Instant>,
    tally: Tally,
}

impl Raid {
    /// The attacker begins.
    ///
    /// # Errors
    /// There is no poll to be had.
    pub fn begin(server: SocketAddr, attacker: Box<dyn Attacker>) -> io::Result<Raid> {
        let poll = Poll::new()?;
        let ear = if attacker.listens() { ear(&poll, server) } else { None };
        let mut raid = Raid {
            lines: Lines::new(server),
            voices: Voices::new(server),
            attacker,
            server,
            poll,
            ear,
            wake: None,
            tally: Tally::default(),
        };
        raid.attacker.handle_input(Instant::now(), Input::Begin { server });
        raid.drain();
        Ok(raid)
    }

    /// Goes on while the answer is yes; asks at least twenty times a second.
    ///
    /// # Errors
    /// The kernel tells nothing any more.
    pub fn run(&mut self, mut goes_on: impl FnMut() -> bool) -> io::Result<Tally> {
        let mut events = Events::with_capacity(EVENTS);
        while goes_on() {
            self.step(&mut events)?;
        }
        Ok(self.tally)
    }

    /// What it did so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn step(&mut self, events: &mut Events) -> io::Result<()> {
        let now = Instant::now();
        let end = now + if self.is_behind() { Duration::ZERO } else { LOOK };
        let wake = self.wake.map_or(end, |at| at.min(end));
        match self.poll.poll(events, Some(wake.saturating_duration_since(now))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in events.iter() {
            self.lines.note(event);
            self.voices.note(event.token());
        }
        self.hear();
        if self.wake.is_some_and(|at| at <= Instant::now()) {
            self.attacker.handle_input(Instant::now(), Input::Timeout);
        }
        self.drain();
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.lines.is_ready() || self.voices.is_ready()
    }

    fn hear(&mut self) {
        for _ in 0..TURN {
            let (attacker, now) = (&mut self.attacker, Instant::now());
            let mut tell = |input: Input<'_>| attacker.handle_input(now, input);
            let heard = self.lines.read_next(&mut tell) | self.voices.receive_next(&mut tell);
            if !heard {
                break;
            }
            self.drain();
        }
        for _ in 0..TURN {
            let Some(ear) = &mut self.ear else { return };
            let Some((source, destination, contents)) = ear.next() else { return };
            // Its own noise is not news.
            if self.attacker.is_at(source) || self.attacker.is_at(destination) {
                continue;
            }
            self.tally.overheard += 1;
            let input = Input::Overheard { source, destination, contents };
            self.attacker.handle_input(Instant::now(), input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let registry = self.poll.registry();
        loop {
            match self.attacker.poll_output() {
                Output::Timeout(wake) => {
                    self.wake = wake;
                    break;
                }
                Output::Connect(tcp, from) => {
                    self.lines.connect(registry, tcp, from, &mut self.tally);
                }
                Output::Write(tcp, bytes) => self.lines.write(tcp, bytes, &mut self.tally),
                Output::Read(tcp, reads) => self.lines.read(tcp, reads),
                Output::End(tcp) => self.lines.end(tcp),
                Output::Reset(tcp) => self.lines.reset(tcp),
                Output::Datagram { source, contents } => {
                    let is_own = self.attacker.is_at(source);
                    self.voices.send(registry, source, is_own, &contents, &mut self.tally);
                }
            }
        }
    }

    /// The server that is attacked.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server
    }
}

fn ear(poll: &Poll, server: SocketAddr) -> Option<Ear> {
    Ear::new(poll.registry(), EAR, server)
        .inspect_err(|error| log::warn!("nothing is overheard: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{Read, Write};
    use std::net::{TcpListener, UdpSocket};
    use std::thread;

    use super::*;
    use crate::attack::Tcp;

    const OWN: &str = "127.3.4.5:40404";
    const HONEST: &str = "127.0.0.1:40405";
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Connects and says hello; ends when it has heard hello on both ways.
    #[derive(Debug, Default)]
    struct Toy {
        outputs: VecDeque<Output>,
        heard: Vec<String>,
        forges: bool,
    }

    impl Toy {
        fn datagram(&mut self, source: &str, contents: &str) {
            let (source, contents) = (source.parse().unwrap(), contents.into());
            self.outputs.push_back(Output::Datagram { source, contents });
        }
    }

    impl Attacker for Toy {
        fn name(&self) -> &'static str {
            "toy"
        }

        fn handle_input(&mut self, _: Instant, input: Input<'_>) {
            match input {
                Input::Begin { .. } if self.forges => self.datagram(HONEST, "forged"),
                Input::Begin { .. } => {
                    let from = OWN.parse::<SocketAddr>().unwrap().ip();
                    self.outputs.push_back(Output::Connect(Tcp(7), (from, 0).into()));
                    self.outputs.push_back(Output::Write(Tcp(7), b"hello".to_vec()));
                    self.datagram(OWN, "hello");
                }
                Input::Bytes(tcp, bytes) => {
                    self.heard.push(format!("{tcp:?} {bytes:?}"));
                    self.outputs.push_back(Output::Reset(tcp));
                }
                Input::Datagram { destination, .. } => self.heard.push(destination.to_string()),
                Input::Overheard { source, destination, contents } => {
                    let words = String::from_utf8_lossy(contents);
                    println!("{source} to {destination}: {words}");
                }
                Input::End(_) | Input::Timeout => {}
            }
        }

        fn poll_output(&mut self) -> Output {
            self.outputs.pop_front().unwrap_or(Output::Timeout(None))
        }

        fn is_at(&self, address: SocketAddr) -> bool {
            address == OWN.parse().unwrap()
        }

        fn listens(&self) -> bool {
            self.forges
        }
    }

    fn server() -> (TcpListener, UdpSocket) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        (tcp, udp)
    }

    #[test]
    fn what_an_attacker_does_happens_and_what_happens_it_hears() {
        let (tcp, udp) = server();
        let mut raid = Raid::begin(tcp.local_addr().unwrap(), Box::new(Toy::default())).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, remote) = tcp.accept().unwrap();
            assert_eq!(remote.ip().to_string(), "127.3.4.5");
            let mut buffer = [0; 16];
            stream.read_exact(&mut buffer[..5]).unwrap();
            assert_eq!(&buffer[..5], b"hello");
            let (length, source) = udp.recv_from(&mut buffer).unwrap();
            assert_eq!((length, source), (5, OWN.parse().unwrap()));
            udp.send_to(b"hello", source).unwrap();
            stream.write_all(b"!").unwrap();
            stream.read(&mut buffer).unwrap_err().kind()
        });
        let tally = raid.run(|| !server.is_finished()).unwrap();
        assert_eq!(server.join().unwrap(), io::ErrorKind::ConnectionReset);
        assert_eq!((tally.connects, tally.written, tally.datagrams), (1, 5, 1));
        let heard = format!("{:?}", raid.attacker);
        assert!(heard.contains("Tcp(7) [33]") && heard.contains("\"127.3.4.5:40404\""), "{heard}");
    }

    #[test]
    #[ignore = "needs root, see tests/all"]
    fn others_are_heard_and_spoken_for() {
        let (_tcp, udp) = server();
        let address = udp.local_addr().unwrap();
        let toy = Toy { forges: true, ..Toy::default() };
        let mut raid = Raid::begin(address, Box::new(toy)).unwrap();
        let honest = UdpSocket::bind(HONEST).unwrap();
        let mut buffer = [0; 16];
        let (length, source) = udp.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], source), (&b"forged"[..], HONEST.parse().unwrap()));
        honest.send_to(b"honest", address).unwrap();
        let end = Instant::now() + PATIENCE;
        let mut heard = 0;
        while heard < 2 && Instant::now() < end {
            raid.step(&mut Events::with_capacity(8)).unwrap();
            heard = raid.tally().overheard;
        }
        assert_eq!((heard, raid.tally().forged), (2, 1), "the forged one too");
    }
}
