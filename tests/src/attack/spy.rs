//! Whoever overhears an honest client, and speaks in its name: rows 35-38.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use super::hello::client_hello;
use super::kit::{Kit, Plan};
use super::{Input, stun};

/// Datagrams that are remembered.
const MEMORY: usize = 64;

/// What it does every so often with what it has heard.
#[derive(Debug)]
pub(super) struct Spy {
    pause: Duration,
    deed: fn(&mut Ears, &mut Kit),
    ears: Ears,
}

/// What it has heard.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// The last datagrams of honest clients, and where they came from.
    up: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The last connectivity check of one: they are rare.
    check: Option<(SocketAddr, Vec<u8>)>,
    /// The last of the server, and where they went.
    down: VecDeque<(SocketAddr, Vec<u8>)>,
    hello: Vec<u8>,
    done: u32,
}

impl Spy {
    pub(super) fn new(pause: u64, deed: fn(&mut Ears, &mut Kit)) -> Spy {
        Spy { pause: Duration::from_millis(pause), deed, ears: Ears::default() }
    }
}

impl Plan for Spy {
    fn act(&mut self, _now: Instant, kit: &mut Kit) {
        (self.deed)(&mut self.ears, kit);
    }

    fn pause(&self) -> Duration {
        self.pause
    }

    fn hear(&mut self, now: Instant, input: &Input<'_>, kit: &mut Kit) {
        match *input {
            Input::Begin { .. } => {
                self.ears.hello = client_hello(now, kit.random.random());
            }
            Input::Overheard { source, destination, contents } => {
                if stun::is_request(contents) {
                    self.ears.check = Some((source, contents.to_vec()));
                }
                let from_server = source == kit.server();
                let ears = &mut self.ears;
                let (heard, whose) = if from_server {
                    (&mut ears.down, destination)
                } else {
                    (&mut ears.up, source)
                };
                heard.truncate(MEMORY - 1);
                heard.push_front((whose, contents.to_vec()));
            }
            _ => {}
        }
    }

    fn listens(&self) -> bool {
        true
    }
}

impl Ears {
    fn next(&mut self) -> u32 {
        self.done += 1;
        self.done
    }

    /// Something of an honest client's, newest first, by chance.
    fn any(&self, random: &mut StdRng) -> Option<&(SocketAddr, Vec<u8>)> {
        (!self.up.is_empty()).then(|| &self.up[random.random_range(0..self.up.len())])
    }
}

/// A ClientHello from addresses of its own, some of which have shown a replayed check.
pub(super) fn foreign_hello(ears: &mut Ears, kit: &mut Kit) {
    let from = kit.means.udp(ears.next() % 8);
    if kit.random.random()
        && let Some((_, check)) = &ears.check
    {
        kit.send(from, check.clone());
    }
    kit.send(from, ears.hello.clone());
}

/// Unencrypted records in the name of whoever was heard last: a ClientHello, alerts, what the
/// server itself has said, and noise.
pub(super) fn impostor(ears: &mut Ears, kit: &mut Kit) {
    let Some((client, _)) = ears.up.front() else { return };
    let record = match kit.random.random_range(0..5) {
        0 => ears.hello.clone(),
        1 => vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
        2 => vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0],
        3 => ears.down.front().map(|(_, said)| said.clone()).unwrap_or_default(),
        _ => {
            let mut record = ears.hello.clone();
            let at = kit.random.random_range(13..record.len());
            record[at] ^= 1 << kit.random.random_range(0..8);
            record
        }
    };
    kit.send(*client, record);
}

/// Checks with the right names and the wrong signature, from where the client is and from
/// elsewhere.
pub(super) fn forged_checks(ears: &mut Ears, kit: &mut Kit) {
    let nth = ears.next();
    let Some((client, check)) = &ears.check else { return };
    let Some(forged) = stun::forged(check) else { return };
    let from = if kit.random.random() { *client } else { kit.means.udp(nth % 64) };
    kit.send(from, forged);
}

/// Everything once more, from one address after the other.
pub(super) fn replay_elsewhere(ears: &mut Ears, kit: &mut Kit) {
    let nth = ears.next();
    let from = kit.means.udp(nth);
    let check = ears.check.as_ref().filter(|_| nth.is_multiple_of(8));
    if let Some((_, contents)) = check.or(ears.any(&mut kit.random)) {
        kit.send(from, contents.clone());
    }
}

/// Everything once more, from where it came.
pub(super) fn replay_in_place(ears: &mut Ears, kit: &mut Kit) {
    if let Some((client, contents)) = ears.any(&mut kit.random) {
        kit.send(*client, contents.clone());
    }
}
