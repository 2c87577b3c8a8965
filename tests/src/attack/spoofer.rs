//! Whoever sees or guesses where a client is, and says pieces of a DTLS handshake in its name
//! while it connects: row 36.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::hello::client_hello;
use super::kit::{Kit, Plan, Raid};
use super::{Attacker, Input, Means, stun};

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// From one burst to the next. Each check of the client, and each part of a handshake that the
/// server sends it, sets one off besides.
const PAUSE: Duration = Duration::from_millis(10);
/// Records in a burst: more than DTLS keeps of what cannot be put together yet.
const BURST: u16 = 40;
/// Bytes of a handshake message, and those of it that one record has.
const WHOLE: u16 = 2_000;
const PIECE: u16 = 100;

/// What is said in a client's name. Unlike a [`Kind`](super::Kind) it may keep the client from
/// opening as long as it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoof {
    /// Whole ClientHellos.
    ClientHello,
    /// Pieces of ServerHellos that never become whole.
    ServerHello,
    /// Pieces of Certificates that never become whole.
    Certificate,
}

impl Spoof {
    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Spoof::ClientHello => "spoofed ClientHello",
            Spoof::ServerHello => "spoofed ServerHello",
            Spoof::Certificate => "spoofed Certificate",
        }
    }

    /// One who says it, in the name of whoever made a connectivity check last. What it decides by
    /// chance follows from the seed alone.
    pub fn start(self, seed: u64) -> Box<dyn Attacker> {
        let spoofer = Spoofer { spoof: self, hello: Vec::new(), client: None, said: 0 };
        Raid::start(self.name(), seed, Means::simulated(0), spoofer)
    }
}

#[derive(Debug)]
struct Spoofer {
    spoof: Spoof,
    hello: Vec<u8>,
    client: Option<SocketAddr>,
    /// Pieces so far.
    said: u16,
}

impl Plan for Spoofer {
    fn act(&mut self, _now: Instant, kit: &mut Kit) {
        let Some(client) = self.client else { return };
        match self.spoof {
            Spoof::ClientHello => kit.send(client, self.hello.clone()),
            Spoof::ServerHello => self.burst(client, SERVER_HELLO, kit),
            Spoof::Certificate => self.burst(client, CERTIFICATE, kit),
        }
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    fn hear(&mut self, now: Instant, input: &Input<'_>, kit: &mut Kit) {
        match *input {
            Input::Begin { .. } => self.hello = client_hello(now, kit.random.random()),
            Input::Overheard { source, contents, .. } if stun::is_request(contents) => {
                self.client = Some(source);
                self.act(now, kit);
            }
            // Now is the time.
            Input::Overheard { source, contents: [HANDSHAKE, ..], .. }
                if source == kit.server() =>
            {
                self.act(now, kit);
            }
            _ => {}
        }
    }

    fn listens(&self) -> bool {
        true
    }
}

impl Spoofer {
    fn burst(&mut self, client: SocketAddr, message: u8, kit: &mut Kit) {
        for _ in 0..BURST {
            kit.send(client, piece(message, self.said));
            self.said = self.said.wrapping_add(1);
        }
    }
}

/// The n-th record with a piece of a message of this kind (RFC 6347 §4.2.2). Ten are of one
/// message, which has twice as many.
fn piece(message: u8, nth: u16) -> Vec<u8> {
    let length = |bytes: u16| [&[0][..], &bytes.to_be_bytes()].concat();
    let body = vec![7; PIECE.into()];
    let fragment = [
        vec![message],
        length(WHOLE),
        (nth / 10).to_be_bytes().to_vec(),
        length(nth % 10 * PIECE),
        length(PIECE),
        body,
    ]
    .concat();
    let mut record = vec![HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0];
    record.extend(nth.to_be_bytes());
    record.extend((fragment.len() as u16).to_be_bytes());
    record.extend(fragment);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_record_with_a_tenth_of_half_a_message() {
        let record = piece(CERTIFICATE, 23);
        assert_eq!(record.len(), 13 + 12 + 100);
        assert_eq!(record[..13], [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 23, 0, 112]);
        assert_eq!(record[13..25], [11, 0, 7, 208, 0, 2, 0, 1, 44, 0, 0, 100]);
    }
}
