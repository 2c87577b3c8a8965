//! The virtual network does to a connected client what a real one does.

use std::time::Duration;

use net::{CloseReason, Config, Delivery, PeerId};
use net_tests::agent::Manners;
use net_tests::link::{Conditions, Direction, Loss};
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

/// A server and its open client.
fn open() -> World {
    let mut world = World::new(1, Config::default());
    assert_eq!(world.join(Manners::Good), 0);
    world.run(3 * SECOND);
    assert_eq!(world.heard(0), [Heard::Open]);
    assert_eq!(world.take_seen(), [Seen::Open(PeerId::from(0))]);
    world
}

fn say(world: &mut World, delivery: Delivery, message: &'static str) {
    assert!(world.act(0, |agent, now| agent.send(now, delivery, message.into())));
}

fn received(delivery: Delivery, message: &'static str) -> Seen {
    Seen::Received(PeerId::from(0), delivery, message.into())
}

#[test]
fn both_paths_take_the_delay() {
    let mut world = open();
    say(&mut world, Delivery::Unreliable, "1");
    say(&mut world, Delivery::Reliable, "2");
    world.run(Duration::from_millis(19));
    assert_eq!(world.take_seen(), []);
    world.run(Duration::from_millis(1));
    let mut both = world.take_seen();
    both.sort_by_key(|seen| format!("{seen:?}"));
    let expected = [received(Delivery::Reliable, "2"), received(Delivery::Unreliable, "1")];
    assert_eq!(both, expected);
}

#[test]
fn loss_spares_the_websocket() {
    let mut world = open();
    world.shape(Conditions { loss: Loss::Random(1.0), ..Conditions::default() });
    say(&mut world, Delivery::Unreliable, "lost");
    say(&mut world, Delivery::Reliable, "kept");
    world.run(SECOND);
    assert_eq!(world.take_seen(), [received(Delivery::Reliable, "kept")]);
    assert!(!world.link(0, Direction::Up).dropped().is_empty());
}

#[test]
fn one_direction_may_differ() {
    let mut world = open();
    world.link(0, Direction::Down).conditions.delay = SECOND;
    let id = PeerId::from(0);
    world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, "down".into()));
    say(&mut world, Delivery::Unreliable, "up");
    world.run(SECOND / 2);
    assert_eq!(world.take_seen(), [received(Delivery::Unreliable, "up")]);
    assert_eq!(world.heard(0), [Heard::Open]);
    world.run(SECOND / 2);
    let heard = Heard::Received(Delivery::Unreliable, "down".into());
    assert_eq!(world.heard(0), [Heard::Open, heard]);
}

#[test]
fn a_duplicate_is_one_message() {
    let mut world = open();
    world.shape(Conditions { duplicates: 1.0, ..Conditions::default() });
    say(&mut world, Delivery::Unreliable, "once");
    world.run(SECOND);
    assert_eq!(world.take_seen(), [received(Delivery::Unreliable, "once")]);
}

#[test]
fn after_a_blackout_the_websocket_goes_on() {
    let mut world = open();
    let dark = world.now..world.now + SECOND;
    world.link(0, Direction::Up).black_out(dark);
    say(&mut world, Delivery::Unreliable, "lost");
    say(&mut world, Delivery::Reliable, "late");
    world.run(SECOND);
    assert_eq!(world.take_seen(), []);
    world.run(Duration::from_millis(20));
    assert_eq!(world.take_seen(), [received(Delivery::Reliable, "late")]);
}

#[test]
fn t56_a_rebound_client_is_followed_both_ways() {
    let mut world = open();
    let id = PeerId::from(0);
    world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, "on its way".into()));
    world.rebind(0);
    say(&mut world, Delivery::Unreliable, "from elsewhere");
    world.run(SECOND / 10);
    assert_eq!(world.take_seen(), [received(Delivery::Unreliable, "from elsewhere")]);
    assert_eq!(world.heard(0), [Heard::Open], "what was on its way arrives nowhere");
    world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, "there".into()));
    world.run(SECOND / 10);
    let there = Heard::Received(Delivery::Unreliable, "there".into());
    assert_eq!(world.heard(0), [Heard::Open, there]);
}

/// The websocket lives on, so only the data channel tells.
#[test]
fn t55_whose_datagrams_stop_is_lost_after_twenty_seconds() {
    let mut world = open();
    let dark = world.now..world.now + 60 * SECOND;
    for direction in [Direction::Up, Direction::Down] {
        world.link(0, direction).conditions.loss = Loss::Random(1.0);
    }
    let began = dark.start;
    while world.seen.is_empty() && world.now < dark.end {
        let id = PeerId::from(0);
        world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, "anyone?".into()));
        world.run(SECOND / 60);
    }
    assert_eq!(world.take_seen(), [Seen::Closed(PeerId::from(0), CloseReason::Lost)]);
    let after = world.now - began;
    // Up to three seconds may have passed since its last check.
    assert!(after > 16 * SECOND && after < 21 * SECOND, "{after:?}");
}
