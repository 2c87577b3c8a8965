//! A server that was stopped, or did not read, blames nobody for the silence; and who is really
//! gone is lost in time.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use net::hub::{Hub, Input, Output};
use net::{CloseReason, Config, Delivery, HandshakeStage, PeerId};
use net_tests::agent::Manners;
use net_tests::link::Direction;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

/// A server with so many open clients.
fn open(config: Config, clients: u64) -> World {
    let mut world = World::new(69, config);
    for _ in 0..clients {
        world.join(Manners::Good);
        world.run(SECOND / 10);
    }
    world.run(3 * SECOND);
    let opened = (0..clients).map(|id| Seen::Open(PeerId::from(id))).collect::<Vec<_>>();
    assert_eq!(world.take_seen(), opened);
    world
}

/// Everyone sleeps, and only the server has to make up its own mind about it.
fn sleep(world: &mut World, clients: usize, time: Duration) {
    world.now += time;
    for client in 0..clients {
        world.act(client, |agent, now| agent.excuse(now, time));
    }
}

/// Messages go all four ways.
#[track_caller]
fn assert_alive(world: &mut World, client: usize) {
    let id = PeerId::from(client as u64);
    world.take_seen();
    world.take_heard(client);
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        assert!(world.act(client, |agent, now| agent.send(now, delivery, "up".into())));
        world.serve(|hub, now| hub.send(now, id, delivery, "down".into()));
        world.run(SECOND / 2);
        let up = Seen::Received(id, delivery, "up".into());
        assert!(world.seen.contains(&up), "{client}: {:?}", world.seen);
        let down = Heard::Received(delivery, "down".into());
        assert!(world.heard(client).contains(&down), "{client}: {:?}", world.heard(client));
    }
}

#[test]
fn t69_a_server_that_was_stopped_for_a_minute_closes_nobody() {
    let mut world = open(Config::default(), 10);
    for _ in 0..3 {
        sleep(&mut world, 10, 60 * SECOND);
        world.run(30 * SECOND);
        assert_eq!(world.take_seen(), []);
        (0..10).for_each(|client| assert_alive(&mut world, client));
        world.take_seen();
    }
}

/// With data on its way, so that timers of SCTP and DTLS run as well.
#[test]
fn t69_a_stop_in_the_middle_of_a_game_closes_nobody() {
    let mut world = open(Config::default(), 10);
    for _ in 0..60 {
        for id in 0..10 {
            let (peer, message) = (PeerId::from(id), vec![7; 300]);
            world.serve(|hub, now| hub.send(now, peer, Delivery::Unreliable, message.into()));
            let line = id as usize;
            world.act(line, |agent, now| agent.send(now, Delivery::Unreliable, "up".into()));
        }
        world.run(SECOND / 60);
    }
    sleep(&mut world, 10, 60 * SECOND);
    world.run(30 * SECOND);
    assert!(world.take_seen().iter().all(|seen| matches!(seen, Seen::Received(..))));
    (0..10).for_each(|client| assert_alive(&mut world, client));
}

/// After a stop each has one fresh period, and no more.
#[test]
fn t69_who_is_gone_after_a_stop_is_lost_a_period_later() {
    let mut world = open(Config::default(), 2);
    world.cut(0);
    sleep(&mut world, 2, 60 * SECOND);
    world.run(15 * SECOND);
    assert_eq!(world.take_seen(), []);
    world.run(10 * SECOND);
    assert_eq!(world.take_seen(), [Seen::Closed(PeerId::from(0), CloseReason::Lost)]);
    assert_alive(&mut world, 1);
}

/// At each step of the way a stop takes none of a client's time. A longer one is too long for a
/// handshake of DTLS, which has a patience of its own, some 25 s: such a client is refused.
#[test]
fn t69_who_was_on_the_way_during_a_stop_arrives() {
    let cases = (0..30).flat_map(|steps| [7, 20].map(|seconds| (steps, seconds)));
    for (steps, seconds) in cases {
        let mut world = World::new(steps, Config::default());
        world.join(Manners::Good);
        let end = world.now + SECOND;
        (0..steps).for_each(|_| _ = world.turn(end));
        sleep(&mut world, 1, seconds * SECOND);
        world.run(30 * SECOND);
        let opened = Seen::Open(PeerId::from(0));
        assert!(world.seen.contains(&opened), "{steps} steps, {seconds} s: {:?}", world.seen);
    }
}

/// A hub alone: its deadlines for the upgrade and the answer.
#[test]
fn t69_deadlines_move_by_the_time_of_the_stop() {
    let mut now = Instant::now();
    let local = ([192, 0, 2, 1], 3_000).into();
    let mut hub = Hub::new(Config::default(), vec![local], vec![local], Some(1));
    let id = hub.accept(now, ([198, 51, 100, 1], 5_000).into()).unwrap();
    let (_, wake) = drain(&mut hub);
    assert_eq!(wake, Some(now + 5 * SECOND), "the upgrade's");
    now += 60 * SECOND;
    hub.handle_input(now, Input::Timeout);
    let (seen, wake) = drain(&mut hub);
    assert_eq!((seen.len(), wake), (0, Some(now + 5 * SECOND)));
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    hub.handle_input(now, Input::Bytes(id, request));
    drain(&mut hub);
    now += 60 * SECOND;
    let woken = now;
    let refused = loop {
        hub.handle_input(now, Input::Timeout);
        let (seen, wake) = drain(&mut hub);
        if let Some(Output::ConnectFailed(refusal)) = seen.first() {
            break refusal.clone();
        }
        now = wake.unwrap();
    };
    assert_eq!((refused.stage, now - woken), (HandshakeStage::Answer, 10 * SECOND), "{refused}");
}

/// What there is to do beside writing, and when to come again.
fn drain(hub: &mut Hub) -> (Vec<Output>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match hub.poll_output() {
            Output::Timeout(wake) => return (outputs, wake),
            Output::Write(_) => {}
            output => outputs.push(output),
        }
    }
}

/// An application that stands still fills its queue, and its server reads no websocket: here its
/// bytes are under way for fifty seconds. That takes nobody's life.
#[test]
fn t63_a_websocket_that_is_not_read_is_not_silent() {
    let config = Config { idle_timeout: 1_000 * SECOND, ..Config::default() };
    let mut world = open(config, 1);
    let id = PeerId::from(0);
    world.link(0, Direction::Up).conditions.delay = 50 * SECOND;
    for _ in 0..45 {
        world.serve(|hub, now| hub.reset_idle_timers(now));
        world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, "down".into()));
        world.run(SECOND);
    }
    assert_eq!(world.take_seen(), []);
    world.link(0, Direction::Up).conditions.delay = SECOND / 50;
    // What is under way arrives first.
    world.run(60 * SECOND);
    assert_alive(&mut world, 0);
}

#[test]
fn t16_a_pulled_cable_with_unsent_data_is_lost_in_time() {
    let mut world = open(Config::default(), 2);
    world.cut(0);
    let (id, began) = (PeerId::from(0), world.now);
    while world.seen.is_empty() && world.now < began + 60 * SECOND {
        for delivery in [Delivery::Reliable, Delivery::Unreliable] {
            world.serve(|hub, now| hub.send(now, id, delivery, vec![7; 500].into()));
        }
        world.run(SECOND / 60);
    }
    assert_eq!(world.take_seen(), [Seen::Closed(id, CloseReason::Lost)]);
    let after = world.now - began;
    assert!(after <= 21 * SECOND, "{after:?}");
    assert_alive(&mut world, 1);
}

/// `Instant` does not go back, whatever the clock on the wall does, and nothing else is asked.
#[test]
fn t69_no_library_looks_at_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let crates = ["net", "net-ws", "net-rtc", "net-signal"];
    let files: Vec<_> = crates.iter().flat_map(|name| sources(&root.join(name))).collect();
    assert!(files.len() > 50, "{}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("SystemTime"), "{}", file.display());
        assert!(!text.contains("UNIX_EPOCH"), "{}", file.display());
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let code = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    code.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}
