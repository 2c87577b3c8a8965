//! Invariants of what an application sees, over random lives of random clients in virtual time.
//!
//! A failing seed is printed; `GRAMMAR_SEED=n cargo test -p net-tests --test grammar` runs it
//! alone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use net::{CloseReason, Config, Delivery, PeerId};
use net_tests::agent::Manners;
use net_tests::link::{Conditions, Loss};
use net_tests::world::{Seen, World};

const SEEDS: u64 = 1_000;

/// What an application may see of one peer.
#[derive(Default)]
struct Life {
    opened: usize,
    closed: usize,
    reliable: Vec<u32>,
}

#[test]
fn every_life_is_open_received_closed() {
    let seeds = match std::env::var("GRAMMAR_SEED") {
        Ok(seed) => vec![seed.parse().expect("GRAMMAR_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let mut opened = 0;
    for seed in seeds {
        println!("seed {seed}");
        opened += check(&live(seed));
    }
    println!("{opened} peers opened");
    assert!(opened > 0);
}

/// One to three clients come, send and go, each in its own way; then the server ends.
fn live(seed: u64) -> World {
    let mut world = World::new(seed, Config::default());
    let conditions = Conditions {
        delay: Duration::from_millis(1 + world.choose(100)),
        jitter: Duration::from_millis(world.choose(20)),
        loss: Loss::Random(world.choose(4) as f64 * 0.03),
        ..Conditions::default()
    };
    world.shape(conditions);
    let clients = 1 + world.choose(3) as usize;
    for _ in 0..clients {
        let manners = [Manners::Good, Manners::Good, Manners::Silent, Manners::Unreachable];
        let pick = world.choose(12).saturating_sub(8) as usize;
        world.join(manners[pick.min(3)]);
        pause(&mut world, 500);
    }
    let mut sent = 0u32;
    for _ in 0..world.choose(12) {
        let client = world.choose(clients as u64) as usize;
        act(&mut world, client, &mut sent);
        pause(&mut world, 3_000);
    }
    pause(&mut world, 60_000);
    world.serve(|hub, now| hub.shutdown(now));
    world.run(Duration::from_secs(3));
    assert!(world.is_empty(), "connections are left");
    world
}

fn pause(world: &mut World, most_ms: u64) {
    let pause = world.choose(most_ms);
    world.run(Duration::from_millis(pause));
}

fn act(world: &mut World, client: usize, sent: &mut u32) {
    *sent += 1;
    let message = Bytes::from(sent.to_le_bytes().to_vec());
    match world.choose(16) {
        0 => world.act(client, |agent, now| agent.close_websocket(now)),
        1 => world.act(client, |agent, now| agent.close_channel(now)),
        2 => world.kill(client),
        3 => world.cut(client),
        4 => {
            let id = PeerId::from(world.choose(4));
            world.serve(|hub, now| hub.close(now, id, CloseReason::ClosedByServer));
        }
        5..=8 => {
            let id = PeerId::from(world.choose(4));
            world.serve(|hub, now| hub.send(now, id, Delivery::Reliable, message.clone()));
            world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, message));
        }
        _ => {
            world.act(client, |agent, now| agent.send(now, Delivery::Reliable, message.clone()));
            world.act(client, |agent, now| agent.send(now, Delivery::Unreliable, message));
        }
    }
}

/// Gives the number of peers.
fn check(world: &World) -> usize {
    let mut lives: BTreeMap<PeerId, Life> = BTreeMap::new();
    for seen in &world.seen {
        match seen {
            Seen::Refused(_) | Seen::Plain(_) => {}
            Seen::Open(id) => {
                assert_eq!(*id, PeerId::from(lives.len() as u64), "ids count up");
                lives.entry(*id).or_default().opened += 1;
            }
            Seen::Received(id, delivery, message) => {
                let life = lives.get_mut(id).expect("Open comes first");
                assert_eq!((life.opened, life.closed), (1, 0), "{id} received outside its life");
                if *delivery == Delivery::Reliable {
                    life.reliable.push(u32::from_le_bytes(message[..].try_into().expect("ours")));
                }
            }
            Seen::Closed(id, _) => lives.get_mut(id).expect("Open comes first").closed += 1,
        }
    }
    for (id, life) in &lives {
        assert_eq!((life.opened, life.closed), (1, 1), "{id}");
        assert!(life.reliable.is_sorted_by(|a, b| a < b), "{id}: {:?}", life.reliable);
    }
    lives.len()
}
