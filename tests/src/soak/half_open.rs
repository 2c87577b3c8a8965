//! Half-open connections, as many as there are places and more, each replaced as soon as it ends
//! or is told that it shall.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::attack::{Attacker, Input, Output, Tcp};

/// Connections begun at a time, and the pause between two times.
const BATCH: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// Connections that were given up and may still be told of.
const REMEMBERED: usize = 10_000;

/// How a close frame begins (RFC 6455 §5.5.1).
const CLOSE: u8 = 0x88;

/// A request as a browser sends it.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: game.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An attacker that wants every place on the way to open.
#[derive(Debug)]
pub struct HalfOpen {
    addresses: Vec<IpAddr>,
    most: u32,
    begun: u32,
    held: u32,
    next: Option<Instant>,
    outputs: VecDeque<Output>,
    /// Those that are given up, whose end may still be told.
    given_up: BTreeSet<Tcp>,
}

impl HalfOpen {
    /// So many connections at once, from each of these addresses in turn.
    ///
    /// # Panics
    /// If there are no addresses.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>, most: u32) -> HalfOpen {
        assert!(!addresses.is_empty());
        let (outputs, given_up) = (VecDeque::new(), BTreeSet::new());
        HalfOpen { addresses, most, begun: 0, held: 0, next: None, outputs, given_up }
    }

    /// A third of them says nothing, one asks for half an upgrade, one for a whole one: that
    /// gets an offer and does not answer.
    fn begin(&mut self) {
        let number = self.begun;
        let tcp = Tcp(number);
        self.begun += 1;
        self.held += 1;
        let ip = self.addresses[number as usize % self.addresses.len()];
        self.outputs.push_back(Output::Connect(tcp, SocketAddr::new(ip, 0)));
        let said = match number % 3 {
            0 => return,
            1 => &REQUEST[..REQUEST.len() / 2],
            _ => REQUEST,
        };
        self.outputs.push_back(Output::Write(tcp, said.to_vec()));
    }

    /// It waits for no goodbye.
    fn renew(&mut self, now: Instant, tcp: Tcp) {
        if self.given_up.insert(tcp) {
            if self.given_up.len() > REMEMBERED {
                self.given_up.pop_first();
            }
            self.outputs.push_back(Output::Reset(tcp));
            self.lost(now);
        }
    }

    fn lost(&mut self, now: Instant) {
        self.held -= 1;
        self.next = self.next.or(Some(now + PAUSE));
    }

    fn act(&mut self, now: Instant) {
        let missing = self.most - self.held;
        (0..missing.min(BATCH)).for_each(|_| self.begin());
        self.next = (missing > BATCH).then_some(now + PAUSE);
    }
}

impl Attacker for HalfOpen {
    fn name(&self) -> &'static str {
        "half open"
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Begin { .. } => self.act(now),
            Input::Timeout if self.next.is_some_and(|at| at <= now) => self.act(now),
            Input::Bytes(tcp, bytes) if bytes[0] == CLOSE || tcp.0 % 3 < 2 => self.renew(now, tcp),
            Input::End(tcp) if !self.given_up.remove(&tcp) => self.lost(now),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Timeout(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(attacker: &mut HalfOpen) -> (usize, Option<Instant>) {
        let mut connects = 0;
        loop {
            match attacker.poll_output() {
                Output::Timeout(wake) => return (connects, wake),
                Output::Connect(..) => connects += 1,
                _ => {}
            }
        }
    }

    #[test]
    fn what_ends_is_begun_again_and_never_more() {
        let (mut now, server) = (Instant::now(), "127.0.0.1:1".parse().unwrap());
        let mut attacker = HalfOpen::new(vec!["127.9.0.1".parse().unwrap()], 50);
        attacker.handle_input(now, Input::Begin { server });
        let mut connects = 0;
        loop {
            let (more, wake) = drained(&mut attacker);
            connects += more;
            let Some(wake) = wake else { break };
            now = wake;
            attacker.handle_input(now, Input::Timeout);
        }
        assert_eq!(connects, 50);
        attacker.handle_input(now, Input::End(Tcp(7)));
        let (_, wake) = drained(&mut attacker);
        attacker.handle_input(wake.unwrap(), Input::Timeout);
        assert_eq!(drained(&mut attacker), (1, None));
    }
}
