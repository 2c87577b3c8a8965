//! An honest client during a storm, with all that was sent to it and by it.

use std::net::SocketAddr;
use std::time::Duration;

use net::PeerId;

use super::flow::{Reliable, Unreliable};
use super::plan::{End, Life};

/// See the [module's page](self).
#[derive(Debug)]
pub(super) struct Client {
    pub(super) life: Life,
    pub(super) stage: Stage,
    /// Its number in the world, once it has come.
    pub(super) line: Option<usize>,
    /// Its name at the server, once it has opened there.
    pub(super) peer: Option<PeerId>,
    pub(super) up: Way,
    pub(super) down: Way,
    /// How long its network or the server was away, in all.
    pub(super) away: Duration,
    pub(super) rebinds: u16,
}

/// ```text
///   Coming --heard Open--> Here --its end--> Leaving --heard Closed--> Gone
///      '----------------------------------------^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It connects, or will.
    Coming,
    /// Both paths are up.
    Here,
    /// It was told to end so.
    Leaving(End),
    /// Nothing comes of it any more.
    Gone,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) reliable: Reliable,
    pub(super) unreliable: Unreliable,
}

impl Way {
    fn new(key: u64) -> Way {
        Way { reliable: Reliable::new(key), unreliable: Unreliable::new(key ^ 1) }
    }
}

/// An absence that ends nobody: all timeouts are longer.
const SHORT: Duration = Duration::from_secs(8);
/// Ports of websockets are above those of datagrams.
const WEBSOCKETS: u16 = 30_000;

impl Client {
    pub(super) fn new(seed: u64, number: usize, life: Life) -> Client {
        let key = seed << 20 | (number as u64) << 4;
        Client {
            life,
            stage: Stage::Coming,
            line: None,
            peer: None,
            up: Way::new(key),
            down: Way::new(key | 2),
            away: Duration::ZERO,
            rebinds: 0,
        }
    }

    /// Where its websocket comes from.
    pub(super) fn remote(&self) -> SocketAddr {
        let address = self.life.address;
        SocketAddr::new(address.ip(), address.port() + WEBSOCKETS)
    }

    /// Whether it may be closed, or refused: it leaves, or was away for long.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_) | Stage::Gone) || self.away > SHORT
    }

    /// Whether its page still does things.
    pub(super) fn acts(&self) -> bool {
        self.line.is_some() && matches!(self.stage, Stage::Coming | Stage::Here)
    }

    /// Whether it sends reliable messages now, this one next.
    pub(super) fn sends(&self, size: usize) -> bool {
        match self.stage {
            Stage::Here => true,
            // Within `Config::max_preopen_bytes` and `max_preopen_messages`.
            Stage::Coming => self.life.early && size < 1_000 && self.up.reliable.missing() < 40,
            Stage::Leaving(_) | Stage::Gone => false,
        }
    }
}
