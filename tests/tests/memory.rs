//! What a peer costs in memory, counted by the allocator. The C heap of the cryptography is not
//! in it.

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap::Cap;
use net::hub::{ConnectionId, Hub, Input, Output};
use net::{Config, DataPathMode, Delivery, PeerId};
use net_rtc::Input::Timeout;
use net_rtc::{Endpoint, SendOptions};
use net_tests::agent::Manners;
use net_tests::link::{Direction, Loss};
use net_tests::plane::Plane;
use net_tests::world::{Seen, World};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const SERVER: &str = "192.0.2.1:3000";
const CLIENT: &str = "192.0.2.2:5000";
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const KIB: usize = 1024;

/// The allocator counts for the whole process, so one test runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a hub gives back when it ends.
fn weigh(hub: &mut Hub) -> usize {
    let empty = Hub::new(Config::default(), Vec::new(), Vec::new(), Some(1));
    let before = HEAP.allocated();
    drop(std::mem::replace(hub, empty));
    before - HEAP.allocated()
}

fn weight(mut world: World) -> usize {
    world.serve(|hub, _| weigh(hub))
}

fn id(number: u64) -> PeerId {
    PeerId::from(number)
}

fn lose(world: &mut World, direction: Direction, share: f64) {
    world.link(0, direction).conditions.loss = Loss::Random(share);
}

/// An open peer.
fn open(config: Config, plane: Plane) -> World {
    let mut world = World::new(1, config);
    world.join_as(Manners::Good, plane);
    world.run(2 * SECOND);
    assert_eq!(world.take_seen(), [Seen::Open(id(0))]);
    world
}

fn empty() -> usize {
    weight(World::new(1, Config::default()))
}

/// A message each way on both paths.
fn talk(world: &mut World, number: u64) {
    world.serve(|hub, now| {
        for delivery in [Delivery::Unreliable, Delivery::Reliable] {
            hub.send(now, id(number), delivery, vec![7; 1_000].into());
        }
    });
    world.act(number as usize, |agent, now| {
        for delivery in [Delivery::Unreliable, Delivery::Reliable] {
            assert!(agent.send(now, delivery, vec![7; 200].into()));
        }
    });
}

#[test]
fn an_idle_peer_costs_little() {
    const PEERS: u64 = 48;
    let _alone = alone();
    let empty = empty();
    for talks in [false, true] {
        let mut world = World::new(1, Config::default());
        for _ in 0..PEERS {
            world.join(Manners::Good);
            world.run(200 * MS);
        }
        for _ in 0..if talks { 300 } else { 0 } {
            (0..PEERS).for_each(|number| talk(&mut world, number));
            world.run(16 * MS);
        }
        world.run(30 * SECOND);
        let each = (weight(world) - empty) / PEERS as usize;
        println!("an idle peer, which has talked: {talks}: {each} bytes");
        assert!(each <= 64 * KIB, "{each}");
    }
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[first, 0x80 | 126], &length[..], &[0; 4], payload].concat()
}

/// Everything at once: nothing is read or acknowledged, and nothing comes whole.
#[test]
fn a_hostile_peer_has_a_bound() {
    let _alone = alone();
    let empty = empty();
    // Less than by default, so that all of it can be filled.
    let config = Config { reliable_send_buffer: 1024 * KIB, ..Config::default() };
    let most = config.max_memory_per_peer();
    let mut world = open(config, Plane::Ours);
    // Sixteen addresses, each of which has made a check.
    for _ in 0..15 {
        world.rebind(0);
        world.run(3 * SECOND);
    }
    // Pieces of messages that never become whole.
    lose(&mut world, Direction::Up, 0.3);
    for _ in 0..20 {
        world.act(0, |agent, now| agent.send(now, Delivery::Unreliable, vec![7; 64 * KIB].into()));
        world.run(200 * MS);
    }
    // Chunks of which it never speaks.
    lose(&mut world, Direction::Down, 1.0);
    for _ in 0..600 {
        world.serve(|hub, now| {
            (0..10).for_each(|_| hub.send(now, id(0), Delivery::Unreliable, "x".into()));
        });
        world.run(10 * MS);
    }
    let all = world.serve(|hub, now| {
        let mut parts = vec![HEAP.allocated()];
        // Nobody reads: what is written waits in the hub.
        for size in [vec![64 * KIB; 15], vec![8; 6_000]].concat() {
            hub.send(now, id(0), Delivery::Reliable, vec![7; size].into());
            while !matches!(hub.poll_output(), Output::Timeout(_)) {}
        }
        parts.push(HEAP.allocated());
        for (first, length) in [(0x02, 60_000), (0x00, 5_000), (0x00, 500)] {
            let bytes = frame(first, &vec![7; length]);
            hub.handle_input(now, Input::Bytes(ConnectionId(0), &bytes));
        }
        parts.push(HEAP.allocated());
        // In front of the path, each with a key.
        for key in 0..3_000 {
            let options = SendOptions::latest(key);
            hub.send_unreliable(now, id(0), vec![7; 1].into(), options);
        }
        parts.push(HEAP.allocated());
        assert!(
            hub.buffered_amount(id(0)) > 1_000_000,
            "it is still a peer: {}",
            hub.buffered_amount(id(0))
        );
        let parts: Vec<_> = parts.windows(2).map(|two| two[1] - two[0]).collect();
        println!("backlog, half a message, fresh: {parts:?}");
        weigh(hub)
    });
    println!("a hostile peer: {} bytes", all - empty);
    let by_default = Config::default();
    let beside = by_default.max_memory_per_peer() - by_default.reliable_send_buffer;
    assert_eq!(beside, most - 1024 * KIB);
    println!("the bound: {most} bytes");
    assert!(all - empty <= most && most <= 2_355 * KIB, "2.3 MiB");
}

/// What plain SCTP has to hold.
#[test]
fn what_waits_behind_a_gap_has_a_bound() {
    let _alone = alone();
    let weigh = |messages: usize, size: usize| {
        let config = Config { data_path: DataPathMode::PlainSctp, ..Config::default() };
        let mut world = open(config, Plane::Ours);
        lose(&mut world, Direction::Down, 1.0);
        lose(&mut world, Direction::Up, 1.0);
        let say = |world: &mut World, size: usize| {
            world.act(0, |agent, now| agent.send(now, Delivery::Unreliable, vec![7; size].into()));
        };
        say(&mut world, 1);
        lose(&mut world, Direction::Up, 0.0);
        for _ in 0..messages {
            say(&mut world, size);
        }
        // Before the client gives up what was lost.
        world.run(45 * MS);
        weight(world)
    };
    let none = weigh(0, 0);
    for (messages, size) in [(900, 1), (12, 1_000)] {
        let each = (weigh(messages, size) - none) / messages;
        println!("{messages} of {size} bytes behind a gap: {each} bytes each");
        assert!(each > size && each <= size + 384, "as `Config::max_memory_per_peer` has it");
    }
}

/// A server and a client without a network between them.
struct Two {
    now: Instant,
    ends: [Endpoint<()>; 2],
    check: Vec<u8>,
}

impl Two {
    fn meet() -> Two {
        let ends = [SERVER, CLIENT].map(|local| {
            let config = net_rtc::Config::new(vec![local.parse().expect("an address")]);
            Endpoint::new(net_rtc::Config { seed: Some(1), ..config })
        });
        let mut two = Two { now: Instant::now(), ends, check: Vec::new() };
        let [server, client] = &mut two.ends;
        let offer = server.offer(two.now, ()).expect("the first");
        let answer = client.accept_offer(two.now, (), &offer.sdp).expect("a good offer");
        server.accept_answer(two.now, &(), &answer).expect("a good answer");
        two.run(2 * SECOND);
        two
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = [0, 1].map(|end| self.poll(end)).into_iter().flatten().min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => return self.now = end,
            }
            self.ends.iter_mut().for_each(|end| end.handle_input(self.now, Timeout));
        }
    }

    fn poll(&mut self, end: usize) -> Option<Instant> {
        loop {
            match self.ends[end].poll_output() {
                net_rtc::Output::Timeout(wake) => return wake,
                net_rtc::Output::Event(..) => {}
                net_rtc::Output::Transmit(transmit) => {
                    if end == 1 && transmit.contents.starts_with(&[0, 1]) {
                        self.check.clone_from(&transmit.contents);
                    }
                    self.carry(1 - end, transmit.source, &transmit.contents);
                }
            }
        }
    }

    fn carry(&mut self, to: usize, source: SocketAddr, contents: &[u8]) {
        let destination = [SERVER, CLIENT][to].parse().expect("an address");
        let datagram = net_rtc::Input::Datagram { source, destination, contents };
        // Nobody else hears what is sent elsewhere.
        if source.ip().is_ipv4() {
            self.ends[to].handle_input(self.now, datagram);
        }
    }

    fn weight(self) -> usize {
        let [server, _client] = self.ends;
        let before = HEAP.allocated();
        drop(server);
        before - HEAP.allocated()
    }
}

/// str0m keeps every address from which a check came.
#[test]
fn an_address_costs_little() {
    const ROUNDS: u16 = 8;
    let _alone = alone();
    let without = Two::meet().weight();
    let mut two = Two::meet();
    for round in 0..ROUNDS {
        for port in 0..16 {
            let check = two.check.clone();
            let from = ([203, 0, 113, 66], 1_000 + round * 16 + port).into();
            two.carry(0, from, &check);
            two.run(MS);
        }
        two.run(31 * SECOND);
    }
    assert_eq!(two.ends[0].stage(&()), Some(net_rtc::WebRtcStage::Open));
    let each = (two.weight() - without) / usize::from(ROUNDS * 15);
    println!("an address: {each} bytes");
    assert!(each <= 352, "as `Config::max_memory_per_peer` has it");
}
