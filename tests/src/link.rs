//! One direction of a lossy network: says of each datagram whether it arrives, and when.
//!
//! A link carries no bytes and has no clock. What happens to a datagram is drawn from the seed,
//! the peer, the direction and the datagram's number, never from its bytes or from what else
//! goes on, so a replay decides everything as before.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bottleneck::{Bottleneck, Queue};

/// An IPv4 and a UDP header, in bytes: they travel with each datagram and take their share of
/// the rate.
pub const HEADERS: usize = 28;

/// What a link does. The default delays by 20 ms and does no harm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// One way, without any queue.
    pub delay: Duration,
    /// Added to each datagram's delay, anything between nothing and this; so one may overtake
    /// another.
    pub jitter: Duration,
    /// What is lost by chance.
    pub loss: Loss,
    /// What is held back while others overtake it.
    pub reorder: Reorder,
    /// The share of datagrams that arrive twice, from 0 to 1.
    pub duplicates: f64,
    /// A bottleneck of the link's own; `None` carries any amount at once.
    pub rate: Option<Rate>,
    /// The longest packet that passes, headers included; a longer one is dropped without a word.
    /// `None` has no limit.
    pub max_packet: Option<usize>,
}

/// What is lost by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Each datagram for itself, with this chance, from 0 to 1.
    Random(f64),
    /// In runs (Gilbert's model): a share of all datagrams from 0 to under 1, in runs of `mean`
    /// on average, at least 1. A share above `mean / (mean + 1)` cannot be had.
    Runs {
        /// Lost datagrams of all.
        share: f64,
        /// Lost datagrams of a run, on average.
        mean: f64,
    },
}

/// What is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reorder {
    /// The share of datagrams, from 0 to 1.
    pub share: f64,
    /// How long.
    pub by: Duration,
}

/// A bottleneck with a queue in front, which drops what does not fit any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What passes, headers included; more than 0.
    pub bytes_per_second: u64,
    /// What may wait, headers included. A datagram that finds nobody waiting always passes.
    pub queue_bytes: usize,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives then.
    Once(Instant),
    /// It arrives then, and again.
    Twice(Instant, Instant),
}

/// An entry of a link's log: a datagram that it dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// When it was sent.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// How many datagrams were sent this way before it.
    pub number: u64,
    /// Its payload in bytes.
    pub size: usize,
    /// Why.
    pub cause: Cause,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By chance: [`Conditions::loss`].
    Loss,
    /// The bottleneck's queue was full.
    Queue,
    /// The link was down.
    Blackout,
    /// It was too long: [`Conditions::max_packet`].
    Length,
}

/// What a link was asked to carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams, whatever became of them.
    pub datagrams: u64,
    /// Their payload in bytes.
    pub bytes: u64,
}

/// See the [module's page](self).
#[derive(Clone, Debug)]
pub struct Link {
    /// What it does; may be changed at any time, for whatever is sent from then on.
    pub conditions: Conditions,
    key: u64,
    direction: Direction,
    blackouts: Vec<Range<Instant>>,
    traffic: Traffic,
    dropped: Vec<Dropped>,
    /// Whether the last datagram was lost: what [`Loss::Runs`] goes by.
    in_run: bool,
    queue: Queue,
    /// When the last bytes of the stream arrive.
    stream_until: Option<Instant>,
}

/// Chances that one datagram takes; each is drawn for itself.
#[derive(Clone, Copy, Debug)]
enum Chance {
    Loss,
    Jitter,
    Reorder,
    Duplicate,
    DuplicateJitter,
}

impl Direction {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

impl Cause {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Loss => "chance",
            Cause::Queue => "queue",
            Cause::Blackout => "blackout",
            Cause::Length => "length",
        }
    }
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss: Loss::Random(0.0),
            reorder: Reorder::default(),
            duplicates: 0.0,
            rate: None,
            max_packet: None,
        }
    }
}

impl Conditions {
    /// The longest that a datagram takes, unless it is lost.
    pub fn slowest(&self) -> Duration {
        let queue = self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(rate.queue_bytes as f64 / rate.bytes_per_second as f64)
        });
        self.delay + self.jitter + self.reorder.by + queue
    }
}

impl Fate {
    /// When it arrives: never, once or twice.
    pub fn arrivals(self) -> impl Iterator<Item = Instant> {
        match self {
            Fate::Lost => [None, None],
            Fate::Once(at) => [Some(at), None],
            Fate::Twice(at, again) => [Some(at), Some(again)],
        }
        .into_iter()
        .flatten()
    }
}

impl Link {
    /// A link under the default conditions. Everything that chance decides follows from these
    /// three and the datagram's number.
    pub fn new(seed: u64, peer: u64, direction: Direction) -> Link {
        Link {
            conditions: Conditions::default(),
            key: mix(mix(mix(seed) ^ peer) ^ direction as u64),
            direction,
            blackouts: Vec::new(),
            traffic: Traffic::default(),
            dropped: Vec::new(),
            in_run: false,
            queue: Queue::default(),
            stream_until: None,
        }
    }

    /// Sends a datagram with `size` bytes of payload.
    pub fn send(&mut self, now: Instant, size: usize) -> Fate {
        self.send_by(now, size, None)
    }

    /// The same through a bottleneck that is shared with others, in place of the link's own.
    pub fn send_through(&mut self, now: Instant, size: usize, shared: &mut Bottleneck) -> Fate {
        self.send_by(now, size, Some(shared))
    }

    /// Sends a packet that is no datagram of ours, `size` bytes with all its headers: it shares
    /// the bottleneck, and chance leaves it alone. Gives when it arrives; `None` if the queue is
    /// full, or the link down.
    pub fn packet(&mut self, now: Instant, size: usize) -> Option<Instant> {
        let Conditions { rate, delay, .. } = self.conditions;
        if self.blackout(now).is_some() {
            return None;
        }
        let departure = rate.map_or(Some(now), |rate| self.queue.pass(now, rate, size))?;
        Some(departure + delay)
    }

    /// Sends bytes of a stream, as TCP would: all arrive, in order, after any blackout. Gives
    /// the time.
    pub fn stream(&mut self, now: Instant) -> Instant {
        let sent = self.blackout(now).unwrap_or(now);
        let arrival = (sent + self.conditions.delay).max(self.stream_until.unwrap_or(now));
        self.stream_until = Some(arrival);
        arrival
    }

    /// Loses every datagram that is sent in this time.
    pub fn black_out(&mut self, time: Range<Instant>) {
        self.blackouts.push(time);
    }

    /// Datagrams that were dropped, oldest first.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// The most datagrams that were lost in a row.
    pub fn longest_loss(&self) -> usize {
        let follows = |one: &Dropped, next: &Dropped| one.number + 1 == next.number;
        self.dropped.chunk_by(follows).map(<[_]>::len).max().unwrap_or(0)
    }

    /// What was sent since the beginning.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn send_by(&mut self, now: Instant, size: usize, shared: Option<&mut Bottleneck>) -> Fate {
        let number = self.traffic.datagrams;
        self.traffic.datagrams += 1;
        self.traffic.bytes += size as u64;
        match self.pass(now, number, size, shared) {
            Ok(departure) => self.arrive(departure, number),
            Err(cause) => {
                let direction = self.direction;
                self.dropped.push(Dropped { at: now, direction, number, size, cause });
                Fate::Lost
            }
        }
    }

    /// Every datagram takes its draws, so that one condition does not shift the chances of
    /// another.
    fn pass(
        &mut self,
        now: Instant,
        number: u64,
        size: usize,
        shared: Option<&mut Bottleneck>,
    ) -> Result<Instant, Cause> {
        let lost = self.is_lost(number);
        if self.blackout(now).is_some() {
            return Err(Cause::Blackout);
        }
        if self.conditions.max_packet.is_some_and(|max| size + HEADERS > max) {
            return Err(Cause::Length);
        }
        let departure = match (shared, self.conditions.rate) {
            (Some(shared), _) => shared.pass(now, size),
            (None, Some(rate)) => self.queue.pass(now, rate, size + HEADERS),
            (None, None) => Some(now),
        };
        let departure = departure.ok_or(Cause::Queue)?;
        if lost { Err(Cause::Loss) } else { Ok(departure) }
    }

    fn is_lost(&mut self, number: u64) -> bool {
        let chance = match self.conditions.loss {
            Loss::Random(share) => share,
            Loss::Runs { mean, .. } if self.in_run => 1.0 - 1.0 / mean,
            Loss::Runs { share, mean } => share / (1.0 - share) / mean,
        };
        self.in_run = self.draw(number, Chance::Loss) < chance;
        self.in_run
    }

    /// When the link is up again, if it is down.
    fn blackout(&self, now: Instant) -> Option<Instant> {
        let over = self.blackouts.iter().filter(|time| time.contains(&now)).map(|time| time.end);
        over.max()
    }

    fn arrive(&self, departure: Instant, number: u64) -> Fate {
        let Conditions { delay, jitter, reorder, duplicates, .. } = self.conditions;
        let held = self.draw(number, Chance::Reorder) < reorder.share;
        let base = departure + delay + if held { reorder.by } else { Duration::ZERO };
        let at = base + jitter.mul_f64(self.draw(number, Chance::Jitter));
        if self.draw(number, Chance::Duplicate) < duplicates {
            Fate::Twice(at, base + jitter.mul_f64(self.draw(number, Chance::DuplicateJitter)))
        } else {
            Fate::Once(at)
        }
    }

    /// Something from 0 to under 1.
    fn draw(&self, number: u64, chance: Chance) -> f64 {
        let bits = mix(mix(self.key ^ number) ^ chance as u64);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The step and the finisher of SplitMix64: neighbouring inputs give unrelated outputs.
fn mix(input: u64) -> u64 {
    let z = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
