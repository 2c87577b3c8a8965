//! What happens in a storm, all drawn from its seed before it begins.

use std::net::SocketAddr;
use std::time::Duration;

use net::{AcceptHook, Config, DataPathMode, Decision};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::link::{Conditions, Loss, Reorder};
use crate::plane::Plane;

/// How large a storm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// 2 to 8 clients at 20 Hz for 10 s.
    Small,
    /// 8 to 64 clients at 20 or 60 Hz for 60 s.
    Full,
}

/// What happens to a server, all of it drawn from a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all of it follows from.
    pub seed: u64,
    /// How much of it there is.
    pub scale: Scale,
    /// The honest.
    pub clients: Vec<Life>,
    /// Those who are not: when they begin and end.
    pub attackers: Vec<Attack>,
    /// What else happens, and when.
    pub mishaps: Vec<(Duration, Mishap)>,
    /// When the weather becomes good and nothing bad begins any more.
    pub calm: Duration,
    /// How long the application thinks of who may be a peer; nobody asks it if `None`.
    pub thinks: Option<Duration>,
    /// Who carries the server's unreliable messages.
    pub data_plane: DataPathMode,
    /// Whether at the end the server goes first.
    pub shutdown: bool,
}

/// An honest client.
#[derive(Clone, Debug)]
pub struct Life {
    /// When it connects.
    pub joins: Duration,
    /// Where its datagrams come from; its websocket comes from the same IP address.
    pub address: SocketAddr,
    /// What it asks for.
    pub path: &'static str,
    /// How it sends unreliable messages.
    pub plane: Plane,
    /// Both sides send each other something so often.
    pub tick: Duration,
    /// Whether it sends before both paths are up.
    pub early: bool,
    /// Whether its TCP connection comes in pieces.
    pub chops: bool,
    /// What its network is like.
    pub weather: Conditions,
    /// How it ends; if `None`, with all others.
    pub ends: Option<(Duration, End)>,
}

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its page closes the websocket.
    Websocket,
    /// Its page closes the peer connection.
    Channel,
    /// The server closes it.
    Server,
    /// Its process is killed.
    Kill,
    /// Its cable is pulled.
    Cut,
    /// Its TCP connection is reset.
    Reset,
}

/// An attacker's time.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// When it begins.
    pub begins: Duration,
    /// When it is switched off.
    pub ends: Duration,
    /// What its kind and all its doings follow from.
    pub seed: u64,
}

/// What befalls a client, by its number, or the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mishap {
    /// The server's process stands still for so long.
    Pause(Duration),
    /// A client's network is away for so long.
    Blackout(usize, Duration),
    /// A client's NAT gives it another port.
    Rebind(usize),
    /// The system takes nothing that is for a client for so long.
    Block(usize, Duration),
    /// A client's network changes.
    Weather(usize, Conditions),
    /// The server is woken for nothing.
    Wake,
    /// An empty datagram comes from a client's address.
    Nothing(usize),
    /// The application sends to ids that are not, and closes some.
    Stale,
    /// The application sends the same to everyone.
    Broadcast,
}

impl End {
    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            End::Websocket => "websocket closed",
            End::Channel => "channel closed",
            End::Server => "closed by server",
            End::Kill => "killed",
            End::Cut => "cut",
            End::Reset => "reset",
        }
    }
}

impl Mishap {
    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Mishap::Pause(_) => "server stopped",
            Mishap::Blackout(..) => "network away",
            Mishap::Rebind(_) => "address changed",
            Mishap::Block(..) => "would block",
            Mishap::Weather(..) => "weather",
            Mishap::Wake => "woken for nothing",
            Mishap::Nothing(_) => "empty datagram",
            Mishap::Stale => "stale ids",
            Mishap::Broadcast => "broadcast",
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl Plan {
    /// The plan of this seed.
    pub fn draw(seed: u64, scale: Scale) -> Plan {
        let mut random = stream(seed, 0, "plan");
        let (time, most, mishaps) = match scale {
            Scale::Small => (10 * SECOND, 2..9, 0..12),
            Scale::Full => (60 * SECOND, 8..65, 10..120),
        };
        let calm = time - 3 * SECOND;
        let clients = random.random_range(most);
        let mishaps = random.random_range(mishaps);
        let mishap = |random: &mut StdRng| {
            let at = between(random, SECOND, calm - SECOND);
            (at, Mishap::draw(random, scale, clients, calm - at))
        };
        Plan {
            seed,
            scale,
            mishaps: (0..mishaps).map(|_| mishap(&mut random)).collect(),
            clients: (0..clients).map(|number| Life::draw(seed, scale, number, calm)).collect(),
            attackers: attacks(seed, calm),
            calm,
            thinks: random
                .random_bool(0.25)
                .then(|| between(&mut random, Duration::ZERO, SECOND / 2)),
            data_plane: match random.random_ratio(1, 6) {
                true => DataPathMode::PlainSctp,
                false => DataPathMode::LowLatency,
            },
            shutdown: random.random_ratio(1, 3),
        }
    }

    /// The same without attackers.
    pub fn peaceful(self) -> Plan {
        Plan { attackers: Vec::new(), ..self }
    }

    /// The server's settings.
    pub fn config(&self) -> Config {
        let accept = self.thinks.map(|_| AcceptHook::new(|_| Decision::accept(())));
        Config { accept, data_path: self.data_plane, ..Config::default() }
    }

    /// When all that are left leave.
    pub fn end(&self) -> Duration {
        self.calm + 3 * SECOND
    }
}

impl Life {
    fn draw(seed: u64, scale: Scale, number: usize, calm: Duration) -> Life {
        let mut random = stream(seed, number as u64, "life");
        let joins = match random.random_bool(0.7) {
            true => between(&mut random, Duration::ZERO, SECOND),
            false => between(&mut random, Duration::ZERO, calm - SECOND),
        };
        let ends = random
            .random_bool(0.6)
            .then(|| (between(&mut random, joins, calm), End::draw(&mut random)));
        let hertz = if scale == Scale::Full && random.random_bool(0.5) { 60 } else { 20 };
        Life {
            joins,
            address: address(&mut random, number),
            path: if random.random_ratio(1, 5) { "/?net=compatible" } else { "/a?b=c" },
            plane: if random.random_bool(0.6) { Plane::Stock } else { Plane::Ours },
            tick: SECOND / hertz,
            early: random.random_ratio(1, 4),
            chops: random.random_ratio(1, 3),
            weather: weather(&mut random),
            ends,
        }
    }
}

impl End {
    fn draw(random: &mut StdRng) -> End {
        let all = [End::Websocket, End::Channel, End::Server, End::Kill, End::Cut, End::Reset];
        all[random.random_range(0..all.len())]
    }
}

impl Mishap {
    fn draw(random: &mut StdRng, scale: Scale, clients: usize, left: Duration) -> Mishap {
        let who = random.random_range(0..clients);
        let longest = match scale {
            Scale::Small => 5 * SECOND,
            Scale::Full => 60 * SECOND,
        };
        match random.random_range(0..20) {
            0 => Mishap::Pause(between(random, SECOND, longest.min(left).max(SECOND))),
            1..4 => Mishap::Blackout(who, between(random, SECOND / 10, (longest / 3).min(left))),
            4..7 => Mishap::Rebind(who),
            7..9 => Mishap::Block(who, between(random, SECOND / 100, (3 * SECOND).min(left))),
            9..11 => Mishap::Weather(who, weather(random)),
            11..13 => Mishap::Wake,
            13..15 => Mishap::Nothing(who),
            15..18 => Mishap::Stale,
            _ => Mishap::Broadcast,
        }
    }
}

/// A stream of chances of its own, so that more of one thing changes nothing else.
pub(super) fn stream(seed: u64, number: u64, what: &str) -> StdRng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key[16..16 + what.len()].copy_from_slice(what.as_bytes());
    StdRng::from_seed(key)
}

fn between(random: &mut StdRng, least: Duration, most: Duration) -> Duration {
    let (least, most) = (least.as_micros() as u64, most.as_micros() as u64);
    Duration::from_micros(random.random_range(least..=most.max(least)))
}

/// Some come from the IP address of the one before.
fn address(random: &mut StdRng, number: usize) -> SocketAddr {
    let neighbour = random.random_ratio(1, 5) && number > 0;
    let host = if neighbour { number - 1 } else { number } as u8;
    ([198, 51, 100, 10 + host], 5_000 + number as u16).into()
}

fn weather(random: &mut StdRng) -> Conditions {
    let ms = |random: &mut StdRng, most| Duration::from_millis(random.random_range(0..=most));
    let calm = random.random_ratio(1, 4);
    let conditions = Conditions {
        delay: Duration::from_millis(1) + ms(random, 120),
        jitter: ms(random, 20),
        loss: match random.random_range(0..3) {
            0 => Loss::Random(0.0),
            1 => Loss::Random(random.random_range(0.0..0.15)),
            _ => Loss::Runs { share: random.random_range(0.0..0.15), mean: 3.0 },
        },
        reorder: Reorder { share: random.random_range(0.0..0.05), by: ms(random, 50) },
        duplicates: random.random_range(0.0..0.05),
        rate: None,
        max_packet: None,
    };
    match calm {
        true => Conditions { delay: conditions.delay, ..Conditions::default() },
        false => conditions,
    }
}

/// 1 to 8, but none in every fourth storm.
fn attacks(seed: u64, calm: Duration) -> Vec<Attack> {
    let mut random = stream(seed, 0, "attacks");
    let count = if random.random_ratio(1, 4) { 0 } else { random.random_range(1..=8) };
    let attack = |_| {
        let begins = between(&mut random, Duration::ZERO, calm / 2);
        let ends = between(&mut random, begins, calm);
        Attack { begins, ends, seed: random.random() }
    };
    (0..count).map(attack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_seeds_differ() {
        let plan = |seed| format!("{:?}", Plan::draw(seed, Scale::Small));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn everything_happens_somewhere() {
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::draw(seed, Scale::Small)).collect();
        let mut mishaps: Vec<&str> =
            plans.iter().flat_map(|plan| &plan.mishaps).map(|(_, mishap)| mishap.name()).collect();
        let lives = || plans.iter().flat_map(|plan| &plan.clients);
        let mut ends: Vec<End> = lives().filter_map(|life| Some(life.ends?.1)).collect();
        mishaps.sort_unstable();
        mishaps.dedup();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!((mishaps.len(), ends.len()), (9, 6));
        assert!(plans.iter().any(|plan| plan.attackers.is_empty()));
        assert!(plans.iter().any(|plan| plan.thinks.is_some() && plan.shutdown));
        assert!(lives().any(|life| life.early) && lives().any(|life| life.plane == Plane::Ours));
    }
}
