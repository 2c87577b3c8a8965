//! Datagrams of nobody: rows 33 and 34.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use super::kit::{Kit, Plan};
use super::stun;

/// From one volley to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Datagrams from one address after the other.
#[derive(Debug)]
pub(super) struct Flood {
    draw: fn(&mut StdRng) -> Vec<u8>,
    /// Datagrams a volley, at pace 1.
    volley: u32,
    sent: u32,
}

impl Flood {
    pub(super) fn new(volley: u32, draw: fn(&mut StdRng) -> Vec<u8>) -> Flood {
        Flood { draw, volley, sent: 0 }
    }
}

impl Plan for Flood {
    fn act(&mut self, _now: Instant, kit: &mut Kit) {
        for _ in 0..self.volley.saturating_mul(kit.means.pace) {
            let contents = (self.draw)(&mut kit.random);
            kit.send(kit.means.udp(self.sent), contents);
            self.sent = self.sent.wrapping_add(1);
        }
    }

    fn pause(&self) -> Duration {
        PAUSE
    }
}

/// Every length and first byte.
pub(super) fn garbage(random: &mut StdRng) -> Vec<u8> {
    let length = if random.random() { random.random_range(0..64) } else { 1_500 };
    let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
    // What looks like STUN, DTLS or a CID of it is looked at longer.
    if let Some(first) = bytes.first_mut()
        && random.random()
    {
        *first = *[0, 1, 20, 21, 22, 23, 25, 47, 128].get(random.random_range(0..9)).expect("nine");
    }
    bytes
}

/// A check for a peer that is not there, or is there with another name.
pub(super) fn unknown_ufrag(random: &mut StdRng) -> Vec<u8> {
    let slot: u32 = if random.random() { random.random_range(0..4) } else { random.random() };
    let user = format!("{slot:08x}{:012x}:abcd", random.random::<u64>() >> 16);
    stun::request(random, &user)
}
