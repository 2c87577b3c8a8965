//! Who attacks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::attack::{Attacker, Input, Output, Tcp};

/// The attacker that follows from this.
pub(super) fn draw(seed: u64) -> Box<dyn Attacker> {
    let random = StdRng::seed_from_u64(seed);
    Box::new(Vandal { random, outputs: VecDeque::new(), next: 0, wake: None })
}

/// Opens connections and says nonsense, there and in datagrams from anywhere.
#[derive(Debug)]
struct Vandal {
    random: StdRng,
    outputs: VecDeque<Output>,
    next: u32,
    wake: Option<Instant>,
}

impl Vandal {
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.random.random_range(0..300)];
        self.random.fill(&mut bytes[..]);
        bytes
    }

    fn address(&mut self) -> SocketAddr {
        let random = &mut self.random;
        ([203, 0, 113, random.random_range(1..255)], random.random_range(1..60_000)).into()
    }

    fn strike(&mut self) {
        let tcp = Tcp(self.next);
        self.next += 1;
        let source = self.address();
        self.outputs.push_back(Output::Connect(tcp, source));
        let mut bytes = self.bytes();
        if self.random.random_bool(0.5) {
            bytes.splice(0..0, *b"GET / HTTP/1.1\r\nHost: a\r\n");
        }
        self.outputs.push_back(Output::Write(tcp, bytes));
        for _ in 0..3 {
            let (source, mut contents) = (self.address(), self.bytes());
            let first = [0, 1, 20, 22, 23, 63, 128][self.random.random_range(0..7)];
            contents.insert(0, first);
            self.outputs.push_back(Output::Datagram { source, contents });
        }
    }
}

impl Attacker for Vandal {
    fn name(&self) -> &'static str {
        "vandal"
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if matches!(input, Input::Begin { .. } | Input::Timeout) {
            self.strike();
            self.wake = Some(now + Duration::from_millis(self.random.random_range(1..100)));
        }
    }

    fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Timeout(self.wake))
    }
}
