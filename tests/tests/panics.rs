//! A fault of ours in one connection ends that connection; one anywhere else ends the server, and
//! the application hears so.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::{Duration, Instant};

use net::hub::ConnectionId;
use net::{AcceptHook, CloseReason, Config, Decision, Event, HandshakeStage, PeerId, Server};
use net_tests::agent::Manners;
use net_tests::client::Client;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

fn id(number: u64) -> PeerId {
    PeerId::from(number)
}

/// Three open peers; the first connection has the first id.
fn three() -> World {
    let mut world = World::new(68, Config::default());
    for _ in 0..3 {
        world.join(Manners::Good);
        world.run(SECOND);
    }
    assert_eq!(world.take_seen(), [0, 1, 2].map(|number| Seen::Open(id(number))));
    world
}

fn provoke(world: &mut World, connection: u64, after_its_end: bool) {
    let connection = ConnectionId(connection);
    world.serve(|hub, now| hub.inject_panic(now, connection, after_its_end));
}

#[track_caller]
fn assert_lives(world: &mut World, client: usize) {
    let peer = id(client as u64);
    world.take_seen();
    for delivery in [net::Delivery::Reliable, net::Delivery::Unreliable] {
        assert!(world.act(client, |agent, now| agent.send(now, delivery, "up".into())));
        world.run(SECOND);
        assert_eq!(world.take_seen(), [Seen::Received(peer, delivery, "up".into())]);
    }
}

#[test]
fn t68_a_panic_closes_its_peer_and_no_other() {
    let mut world = three();
    provoke(&mut world, 1, false);
    assert_eq!(world.take_seen(), [Seen::Closed(id(1), CloseReason::PeerPanicked)]);
    world.run(60 * SECOND);
    assert_eq!(world.take_seen(), [], "it is told once");
    assert!(matches!(world.heard(1), [Heard::Open, Heard::Closed(..)]), "{:?}", world.heard(1));
    assert_lives(&mut world, 0);
    assert_lives(&mut world, 2);
}

#[test]
fn t68_who_was_told_of_the_end_before_the_panic_is_not_told_again() {
    let mut world = three();
    provoke(&mut world, 1, true);
    world.run(60 * SECOND);
    assert_eq!(world.take_seen(), [Seen::Closed(id(1), CloseReason::ClosedByServer)]);
    assert_lives(&mut world, 0);
}

/// At every step of the way it is one refusal, and its place is free again.
#[test]
fn t68_a_panic_on_the_way_is_a_refusal_and_leaves_nothing() {
    let config = Config {
        max_handshakes: 1,
        max_protected_handshakes_per_private_ip: 1,
        ..Config::default()
    };
    let mut stages = Vec::new();
    for steps in 0..30 {
        let mut world = World::new(steps, config.clone());
        world.join(Manners::Good);
        let end = world.now + SECOND;
        (0..steps).for_each(|_| _ = world.turn(end));
        if world.seen.contains(&Seen::Open(id(0))) {
            break;
        }
        provoke(&mut world, 0, false);
        let seen = world.take_seen();
        let [Seen::Refused(refusal)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(refusal.reason, CloseReason::PeerPanicked);
        stages.push(refusal.stage);
        assert!(world.is_empty());
        world.run(60 * SECOND);
        assert_eq!(world.take_seen(), []);
        // Nobody gives way for the next one, and nobody is in its way.
        world.join(Manners::Good);
        world.run(3 * SECOND);
        assert_eq!(world.take_seen(), [Seen::Open(id(0))]);
    }
    stages.dedup();
    assert_eq!(stages, [HandshakeStage::Upgrade, HandshakeStage::Answer]);
}

/// The address has its room again.
#[test]
fn t68_nothing_of_a_peer_that_panicked_counts_any_more() {
    let config = Config { max_peers: 1, ..Config::default() };
    let mut world = World::new(68, config);
    for number in 0..5 {
        world.join(Manners::Good);
        world.run(3 * SECOND);
        assert_eq!(world.take_seen(), [Seen::Open(id(number))]);
        provoke(&mut world, number, number % 2 == 0);
        assert_eq!(world.take_seen().len(), 1);
        world.run(3 * SECOND);
    }
}

/// What the application keeps for a peer must not panic when it is dropped. If it does, that is
/// in the loop itself and not in a connection: the server ends, and says so.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        panic!("as a test wants it");
    }
}

#[test]
fn t68_a_panic_in_the_loop_itself_ends_the_server_and_every_life() {
    let accept = AcceptHook::new(|request| match request.path() {
        "/mine" => Decision::accept(Mine),
        _ => Decision::accept(()),
    });
    let config = Config { accept: Some(accept), ..Config::default() };
    let (server, queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let address = server.local_addr();
    let other = Client::connect(address).unwrap();
    let mine = Client::connect_to(address, "/mine").unwrap();
    let mut events = Vec::new();
    let end = Instant::now() + 10 * SECOND;
    while events.len() < 2 && Instant::now() < end {
        events.extend(queue.wait(SECOND));
    }
    assert_eq!(events, [Event::Open(id(0)), Event::Open(id(1))]);
    // Without a reader the value is kept for nobody, and dropped by the loop.
    drop(queue);
    drop(mine);
    let is_stopped = || {
        let sent = server.try_send(net::Delivery::Reliable, 0, "anyone?");
        matches!(sent, Err(net::SendError::Stopped(_)))
    };
    while !is_stopped() {
        assert!(Instant::now() < end, "the server goes on");
        std::thread::yield_now();
    }
    assert_eq!(server.close_reason(0), Some(CloseReason::Shutdown));
    std::net::TcpListener::bind(address).expect("the port is free");
    drop(other);
}
