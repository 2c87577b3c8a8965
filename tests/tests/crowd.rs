//! Many players behind one address who press "join" at once, in virtual time: a school, an
//! office, a LAN party, a tournament's hall. Also beside a flood, and where the application
//! thinks about each.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use net::{AcceptHook, Config, Decision};
use net_tests::agent::Manners;
use net_tests::link::Conditions;
use net_tests::plane::Plane;
use net_tests::soak::HalfOpen;
use net_tests::world::{Heard, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Within which all have pressed "join".
const TOGETHER: Duration = Duration::from_millis(50);
/// Within which all are open.
const SOON: Duration = Duration::from_secs(5);
/// How long a hook asks its database.
const THINKS: Duration = Duration::from_millis(200);
const PROXY: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SEEDS: u64 = 3;

/// How a crowd comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Directly,
    /// Behind the same address, through a proxy that says so.
    Proxied,
}

/// A world whose clients are 50 ms away.
fn world(seed: u64, config: Config) -> World {
    let config = Config { trusted_proxies: vec!["10.0.0.1/32".parse().unwrap()], ..config };
    let mut world = World::new(seed, config);
    world.shape(Conditions { delay: 50 * MILLISECOND, ..Conditions::default() });
    world
}

fn thoughtful() -> Config {
    Config { accept: Some(AcceptHook::new(|_| Decision::accept(()))), ..Config::default() }
}

/// A client at 198.51.100.1.
fn join(world: &mut World, way: Way) -> usize {
    match way {
        Way::Directly => world.join(Manners::Good),
        Way::Proxied => {
            let headers = [("X-Forwarded-For", "198.51.100.1")];
            world.join_through(PROXY.into(), "/", &headers, Manners::Good, Plane::Stock)
        }
    }
}

/// So many come, each at a time of its own; which they are.
fn crowd(world: &mut World, players: usize, way: Way) -> Vec<usize> {
    let mut times: Vec<_> =
        (0..players).map(|_| world.choose(TOGETHER.as_micros() as u64)).collect();
    times.sort_unstable();
    let began = world.now;
    let join = |time| {
        run_until(world, began + Duration::from_micros(time));
        join(world, way)
    };
    times.into_iter().map(join).collect()
}

fn run_until(world: &mut World, end: Instant) {
    while world.turn(end) {}
}

fn is_open(world: &World, line: usize) -> bool {
    world.heard(line) == [Heard::Open]
}

/// All open in time, without another try. Gives how long the last one took.
#[track_caller]
fn assert_all_open(world: &mut World, players: usize, way: Way) -> Duration {
    let began = world.now;
    let crowd = crowd(world, players, way);
    let mut all = 0;
    while world.turn(began + SOON) {
        all = crowd.iter().filter(|line| is_open(world, **line)).count();
        if all == players {
            break;
        }
    }
    let first = crowd.iter().find(|line| !is_open(world, **line));
    let heard = first.map(|line| world.heard(*line));
    assert_eq!(all, players, "{way:?}, and another heard {heard:?}");
    world.now - began
}

fn assert_every_crowd_opens(config: &Config, thinks: Duration) {
    for (players, way) in [(40, Way::Directly), (60, Way::Directly), (60, Way::Proxied)] {
        for seed in 0..SEEDS {
            let mut world = world(seed, config.clone());
            world.thinks = thinks;
            let took = assert_all_open(&mut world, players, way);
            println!("{players} {way:?}, seed {seed}, think {thinks:?}: {took:?}");
        }
    }
}

#[test]
fn forty_and_sixty_behind_one_address_open() {
    assert_every_crowd_opens(&Config::default(), Duration::ZERO);
}

#[test]
fn so_they_do_while_the_application_thinks_about_each() {
    assert_every_crowd_opens(&thoughtful(), THINKS);
}

/// Addresses of strangers.
fn strangers(count: u8) -> Vec<IpAddr> {
    (0..count).map(|number| IpAddr::from([203, 0, 113, number])).collect()
}

/// A flood, when it has been going on for a while.
fn flood(world: &mut World, addresses: u8) {
    world.attack(Box::new(HalfOpen::new(strangers(addresses), 2_000)));
    world.run(2 * SECOND);
    world.take_seen();
}

/// One from an address of its own; how long it took.
#[track_caller]
fn assert_opens(world: &mut World, address: [u8; 4], limit: Duration) -> Duration {
    let began = world.now;
    let from = SocketAddr::from((address, 7));
    let line = world.join_through(from, "/", &[], Manners::Good, Plane::Stock);
    while !is_open(world, line) && world.turn(began + limit) {}
    assert!(is_open(world, line), "heard {:?}", world.heard(line));
    world.now - began
}

#[test]
fn beside_two_thousand_half_open_of_64_addresses_all_others_open_within_a_second() {
    for seed in 0..SEEDS {
        let mut world = world(seed, Config::default());
        flood(&mut world, 64);
        for player in 1..=20 {
            assert_opens(&mut world, [192, 0, 2, 100 + player], SECOND);
        }
    }
}

/// The page's client comes again where it is told to, after 300 ms, then twice as long each
/// time, and as much again by chance.
const FIRST_PAUSE: u64 = 300;
const RETRIES: u32 = 4;

/// One of a crowd that is told to come again.
struct Player {
    line: usize,
    tries: u32,
    again: Option<Instant>,
}

impl Player {
    fn step(&mut self, world: &mut World, way: Way) {
        match world.heard(self.line) {
            [Heard::Closed(1013, _)] if self.again.is_none() && self.tries < RETRIES => {
                let pause = FIRST_PAUSE << self.tries;
                let pause = pause + world.choose(pause);
                self.tries += 1;
                self.again = Some(world.now + Duration::from_millis(pause));
            }
            _ if self.again.is_some_and(|at| at <= world.now) => {
                self.again = None;
                self.line = join(world, way);
            }
            _ => {}
        }
    }
}

/// The crowd's address has no more of the room than each of the flood's, so some of them need
/// another try: all open within the time of the page's client.
#[test]
fn beside_a_flood_a_crowd_opens_with_its_tries() {
    for seed in 0..SEEDS {
        let mut world = world(seed, Config::default());
        flood(&mut world, 64);
        let began = world.now;
        let crowd = crowd(&mut world, 40, Way::Directly);
        let player = |line| Player { line, tries: 0, again: None };
        let mut players: Vec<_> = crowd.into_iter().map(player).collect();
        let all_open = |players: &[Player], world: &World| {
            players.iter().all(|player| is_open(world, player.line))
        };
        while !all_open(&players, &world) && world.now < began + 15 * SECOND {
            let next = world.now + 10 * MILLISECOND;
            run_until(&mut world, next);
            players.iter_mut().for_each(|player| player.step(&mut world, Way::Directly));
        }
        let tries: u32 = players.iter().map(|player| player.tries).sum();
        println!("seed {seed}: {:?}, {tries} more tries", world.now - began);
        assert!(all_open(&players, &world), "seed {seed}");
    }
}
