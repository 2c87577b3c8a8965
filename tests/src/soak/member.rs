//! One honest client of a crowd, over its own sockets.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use net::Delivery;

use super::host::{RELIABLE, UNRELIABLE};
use super::{Latency, Manifest};
use crate::agent::{Agent, Input, Manners, Output};

/// Bytes of a message: what it begins with, its number, when it was sent, and padding.
const SIZE: usize = 64;
/// For a client to be open, and for its last echoes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that vanished keeps its sockets: the server must have given it up by then.
const GONE: Duration = Duration::from_secs(40);

/// ```text
///   Joining --open--> Playing --leave--> Draining --echoed--> Closing --closed--> Over
///                        '-----vanish--> Vanished --time---------------------------^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Joining(Instant),
    Playing,
    /// It sends no more and waits for the echoes of what it sent reliably.
    Draining(Instant),
    Closing(Instant),
    /// Nothing is read or sent any more.
    Vanished(Instant),
    Over,
}

/// One client.
#[derive(Debug)]
pub(super) struct Member {
    agent: Agent,
    tcp: TcpStream,
    udp: UdpSocket,
    state: State,
    began: Instant,
    next_tick: Instant,
    ticks: u64,
    wake: Option<Instant>,
    reliable_sent: u64,
    reliable_echoed: u64,
}

/// How often it sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two unreliable messages.
    pub(super) tick: Duration,
    /// Every so many of them a reliable one as well.
    pub(super) reliable_every: u64,
}

/// What happens in a turn goes there.
pub(super) struct Books<'a> {
    pub(super) latency: &'a mut Latency,
    pub(super) manifest: &'a mut Manifest,
    pub(super) pace: Pace,
}

impl Member {
    /// Connects; its sockets have these two tokens.
    pub(super) fn join(
        server: SocketAddr,
        registry: &Registry,
        tokens: [Token; 2],
    ) -> io::Result<Member> {
        let now = Instant::now();
        let tcp = TcpStream::connect(server)?;
        let udp = UdpSocket::bind((tcp.local_addr()?.ip(), 0))?;
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&tcp.as_raw_fd()), tokens[0], interest)?;
        registry.register(&mut SourceFd(&udp.as_raw_fd()), tokens[1], Interest::READABLE)?;
        let agent = Agent::new(now, udp.local_addr()?, "/", Manners::Good, None);
        Ok(Member {
            agent,
            tcp,
            udp,
            state: State::Joining(now + PATIENCE),
            began: now,
            next_tick: now,
            ticks: 0,
            wake: Some(now),
            reliable_sent: 0,
            reliable_echoed: 0,
        })
    }

    pub(super) fn is_playing(&self) -> bool {
        self.state == State::Playing
    }

    /// Whether it is, or will be, one of those that play.
    pub(super) fn stays(&self) -> bool {
        matches!(self.state, State::Joining(_) | State::Playing)
    }

    pub(super) fn is_vanished(&self) -> bool {
        matches!(self.state, State::Vanished(_))
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When it has something to do.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Vanished(end) => Some(end),
            State::Playing => Some(self.wake.map_or(self.next_tick, |at| at.min(self.next_tick))),
            State::Joining(end) | State::Draining(end) | State::Closing(end) => {
                Some(self.wake.map_or(end, |at| at.min(end)))
            }
        }
    }

    /// It leaves: in order, once all its reliable messages have come back.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.state == State::Playing {
            self.state = State::Draining(now + PATIENCE);
        }
    }

    /// It is not heard of again.
    pub(super) fn vanish(&mut self, now: Instant) {
        self.state = State::Vanished(now + GONE);
    }

    /// Reads what has come and does what is due.
    pub(super) fn turn(&mut self, now: Instant, books: &mut Books<'_>) {
        if let State::Vanished(end) = self.state {
            if now >= end {
                self.state = State::Over;
            }
            return;
        }
        self.exchange(books);
        if self.state == State::Playing && now >= self.next_tick {
            self.tick(now, books);
        }
        self.flush(books);
        self.look(now, books);
    }

    fn exchange(&mut self, books: &mut Books<'_>) {
        self.agent.read_from(&mut self.tcp);
        let mut buffer = [0; 2_048];
        while let Ok((length, source)) = self.udp.recv_from(&mut buffer) {
            let datagram = Input::Datagram(source, &buffer[..length]);
            self.agent.handle_input(Instant::now(), datagram);
            self.flush(books);
        }
        if self.wake.is_some_and(|at| at <= Instant::now()) {
            self.agent.handle_input(Instant::now(), Input::Timeout);
        }
    }

    fn tick(&mut self, now: Instant, books: &mut Books<'_>) {
        self.ticks += 1;
        // A tick that was missed is not made up for.
        self.next_tick = (self.next_tick + books.pace.tick).max(now);
        let message = self.message(UNRELIABLE, self.ticks);
        books.manifest.unreliable_sent += 1;
        // Refused is lost; it is counted by what does not come back.
        _ = self.agent.send(now, Delivery::Unreliable, message);
        if self.ticks.is_multiple_of(books.pace.reliable_every) {
            let message = self.message(RELIABLE, self.reliable_sent);
            if self.agent.send(now, Delivery::Reliable, message) {
                self.reliable_sent += 1;
                books.manifest.reliable_sent += 1;
            }
        }
    }

    fn message(&self, first: u8, number: u64) -> Bytes {
        let sent = self.began.elapsed().as_nanos() as u64;
        let mut message = vec![first];
        message.extend(number.to_le_bytes());
        message.extend(sent.to_le_bytes());
        message.resize(SIZE, 0);
        message.into()
    }

    fn flush(&mut self, books: &mut Books<'_>) {
        self.agent.write_to(&mut self.tcp);
        loop {
            match self.agent.poll_output() {
                Output::Timeout(wake) => return self.wake = wake,
                Output::Open => self.opened(books),
                Output::Received(_, message) => self.echoed(&message, books),
                Output::Closed(code, words) => self.closed(code, &words, books),
                Output::Transmit(t) => _ = self.udp.send_to(&t.contents, t.destination),
            }
        }
    }

    fn opened(&mut self, books: &mut Books<'_>) {
        if let State::Joining(_) = self.state {
            self.state = State::Playing;
            self.next_tick = Instant::now();
            books.manifest.opened += 1;
            books.manifest.joining.push(self.began.elapsed());
        }
    }

    fn echoed(&mut self, message: &[u8], books: &mut Books<'_>) {
        let number = |from| message.get(from..).and_then(|bytes: &[u8]| bytes.first_chunk());
        let (Some(count), Some(sent)) = (number(1), number(9)) else { return };
        let (count, sent) = (u64::from_le_bytes(*count), u64::from_le_bytes(*sent));
        match message[0] {
            UNRELIABLE => {
                let sent = Duration::from_nanos(sent);
                books.latency.push(self.began.elapsed().saturating_sub(sent));
                books.manifest.unreliable_echoed += 1;
            }
            _ if count == self.reliable_echoed => {
                self.reliable_echoed += 1;
                books.manifest.reliable_echoed += 1;
            }
            _ => books.manifest.out_of_order += 1,
        }
    }

    fn closed(&mut self, code: u16, words: &str, books: &mut Books<'_>) {
        match self.state {
            State::Joining(_) => books.manifest.turned_away(code, words),
            State::Closing(_) => books.manifest.left += 1,
            State::Playing | State::Draining(_) => {
                books.manifest.lost += self.reliable_sent - self.reliable_echoed;
                books.manifest.thrown_out(code, words);
            }
            State::Vanished(_) | State::Over => {}
        }
        self.state = State::Over;
    }

    /// Goes on to the next state once it has waited long enough.
    fn look(&mut self, now: Instant, books: &mut Books<'_>) {
        match self.state {
            State::Joining(end) if now >= end => {
                books.manifest.turned_away(0, "not open in time");
                self.state = State::Over;
            }
            State::Draining(end) if self.reliable_sent == self.reliable_echoed || now >= end => {
                books.manifest.lost += self.reliable_sent - self.reliable_echoed;
                self.state = State::Closing(now + PATIENCE);
                self.agent.close_websocket(now);
                self.flush(books);
            }
            State::Closing(end) if now >= end => {
                books.manifest.thrown_out(0, "no goodbye of the server");
                self.state = State::Over;
            }
            _ => {}
        }
    }
}
