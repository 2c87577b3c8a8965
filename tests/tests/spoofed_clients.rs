//! Somebody speaks DTLS in a client's name while it connects, in virtual time. What a real browser
//! makes of it is in `browser_spoofed.rs`.

use std::time::Duration;

use net::{Config, HandshakeStage};
use net_tests::agent::Manners;
use net_tests::attack::Spoof;
use net_tests::plane::Plane;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 10;
/// The forms of the offer, by the path that asks for them.
const USUAL: &str = "/";
const COMPATIBLE: &str = "/?net=compatible";

/// A client connects and asks for this path; what it has heard once that is over, in time.
fn join(world: &mut World, path: &str) -> Heard {
    let address = world.next_address();
    let line = world.join_through(address, path, &[], Manners::Good, Plane::Stock);
    world.run(Config::default().connect_timeout + SECOND);
    let [heard] = &world.take_heard(line)[..] else { panic!("neither open nor closed") };
    heard.clone()
}

/// It was told that somebody may have spoken in its name, and at which step.
#[track_caller]
fn assert_told(world: &mut World, heard: &Heard) {
    let Heard::Closed(1013, words) = heard else { panic!("{heard:?}") };
    assert!(words.starts_with("dtls: "), "{words}");
    let [Seen::Refused(refusal)] = &world.take_seen()[..] else { panic!("one refusal") };
    assert_eq!(refusal.stage, HandshakeStage::Dtls, "{refusal}");
}

/// What breaks one form does not break the other, so whoever is told tries that, and is open while
/// it is still said.
#[test]
fn t36_what_is_said_in_a_clients_name_breaks_one_form_only() {
    for (spoof, broken, whole) in [
        (Spoof::ClientHello, COMPATIBLE, USUAL),
        (Spoof::ServerHello, USUAL, COMPATIBLE),
        (Spoof::Certificate, COMPATIBLE, USUAL),
    ] {
        for seed in 0..SEEDS {
            let mut world = World::new(seed, Config::default());
            world.attack(spoof.start(seed));
            let heard = join(&mut world, broken);
            assert_told(&mut world, &heard);
            assert_eq!(join(&mut world, whole), Heard::Open, "{spoof:?}, {seed}");
        }
    }
}
