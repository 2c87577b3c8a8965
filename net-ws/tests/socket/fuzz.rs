//! Random bytes, calls and times: no panic, and the outputs keep their order.

use std::time::Instant;

use net_ws::{Config, Input, Output, Socket};

use crate::common::*;

/// SplitMix64: small, seeded, good enough to disturb.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }
}

/// Where in `Upgraded? Message* Closed Finished` the outputs are.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Stage {
    Fresh,
    Upgraded,
    Closed,
    Finished,
}

impl Stage {
    fn after(self, output: &Output) -> Stage {
        match (output, self) {
            (Output::Upgraded(_), Stage::Fresh) => Stage::Upgraded,
            (Output::Message(_) | Output::SlowConsumer(_), Stage::Upgraded) => Stage::Upgraded,
            (Output::Closed(_), Stage::Fresh | Stage::Upgraded) => Stage::Closed,
            (Output::Finished, Stage::Closed) => Stage::Finished,
            _ => panic!("{output:?} in {self:?}"),
        }
    }
}

/// Bytes that are more or less what a peer would send.
fn plausible(random: &mut Random) -> Vec<u8> {
    const FIRST: [u8; 12] =
        [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x82, 0x81, 0x82];
    let mut bytes = Vec::new();
    for _ in 0..random.below(8) {
        let payload = if random.below(50) == 0 {
            vec![b'x'; random.below(70_000)]
        } else {
            random.bytes(300)
        };
        let text: Vec<u8> = payload.iter().map(|byte| byte & 0x7f).collect();
        bytes.extend(match random.below(40) {
            0 => random.bytes(50),
            1 => frame_announcing(0x82, random.next() >> random.below(64), b""),
            2 => close_frame(random.next() as u16, "x"),
            3 => frame(random.next() as u8, &payload),
            _ => frame(FIRST[random.below(FIRST.len())], &text),
        });
    }
    bytes
}

/// Short frames as a server sends them, seldom a bad one.
fn unmasked(random: &mut Random) -> Vec<u8> {
    const FIRST: [u8; 8] = [0x81, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x82];
    let mut bytes = Vec::new();
    for _ in 0..random.below(8) {
        let bad = random.below(30) == 0;
        let payload = vec![b'x'; random.below(126)];
        bytes.push(if bad { random.next() as u8 } else { FIRST[random.below(FIRST.len())] });
        bytes.push(payload.len() as u8);
        bytes.extend(payload);
    }
    bytes
}

fn step(random: &mut Random, now: &mut Instant, socket: &mut Socket, server: bool) {
    match random.below(100) {
        0 => socket.handle_input(*now, Input::End),
        1 => socket.close(*now, random.next() as u16, "reason"),
        2 => *now += secs(random.below(20) as f64),
        3 => socket.accept_upgrade(*now, Some("x")),
        4 => socket.reject_upgrade(*now, random.next() as u16, random.next() as u16, "no"),
        5 => socket.reset_idle_timer(*now),
        6..20 => socket.handle_input(*now, Input::Timeout),
        20..40 => drop(socket.send(*now, binary(random.below(3000)))),
        40..60 => {
            let count = random.below(socket.outgoing().len() + 2);
            socket.advance(*now, count);
        }
        _ => {
            let bytes = if server { plausible(random) } else { unmasked(random) };
            let step = 1 + random.below(bytes.len() + 1);
            bytes.chunks(step).for_each(|part| socket.handle_input(*now, Input::Bytes(part)));
        }
    }
}

fn life(seed: u64) -> Stage {
    let mut random = Random(seed);
    let mut now = Instant::now();
    let config =
        Config { send_buffer: 20_000, await_decision: random.below(4) == 0, ..Config::default() };
    let server = random.below(4) > 0;
    let mut stage = Stage::Fresh;
    let mut socket = match (server, random.below(4)) {
        (true, 0) => Socket::accept(now, config),
        (true, _) => {
            let mut socket = Socket::accept(now, config);
            socket.handle_input(now, Input::Bytes(request().as_bytes()));
            socket
        }
        (false, 0) => Socket::connect(now, config, "h", "/").unwrap(),
        (false, _) => {
            stage = Stage::Upgraded;
            Pair::open(Config { await_decision: false, ..config }, 1000).client
        }
    };
    for _ in 0..60 {
        step(&mut random, &mut now, &mut socket, server);
        // One whole message into an empty backlog, and our own control frames.
        assert!(
            socket.buffered_amount() <= 20_000 + 512,
            "seed {seed}: {}",
            socket.buffered_amount()
        );
        for output in drain(&mut socket).0 {
            stage = stage.after(&output);
        }
        assert!(stage != Stage::Finished || socket.outgoing().is_empty(), "seed {seed}");
    }
    // Whatever happened: closing comes to an end by time alone.
    socket.close(now, 1000, "");
    socket.handle_input(now + secs(10.0), Input::Timeout);
    for output in drain(&mut socket).0 {
        stage = stage.after(&output);
    }
    assert_eq!(drain(&mut socket).1, None, "seed {seed}");
    stage
}

#[test]
fn any_life_keeps_the_order() {
    for seed in 0..1000 {
        assert_eq!(life(seed), Stage::Finished, "seed {seed}");
    }
}

#[test]
fn random_bytes_from_the_start() {
    let now = Instant::now();
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut stage = Stage::Fresh;
        let mut socket = match seed % 2 {
            0 => Socket::accept(now, Config::default()),
            _ => Socket::connect(now, Config::default(), "h", "/").unwrap(),
        };
        let mut bytes = random.bytes(400);
        if seed % 3 == 0 {
            // A good request or answer with one byte changed, and noise behind it.
            let good = if seed % 2 == 0 { request() } else { "HTTP/1.1 101 a\r\n\r\n".into() };
            let at = random.below(good.len());
            bytes.splice(0..0, good.into_bytes());
            bytes[at] = random.next() as u8;
        }
        bytes
            .chunks(1 + random.below(50))
            .for_each(|part| socket.handle_input(now, Input::Bytes(part)));
        socket.handle_input(now, Input::End);
        for output in drain(&mut socket).0 {
            stage = stage.after(&output);
        }
        assert_eq!(stage, Stage::Finished, "seed {seed}");
    }
}

#[test]
fn random_chunks_never_change_the_outcome() {
    for seed in 0..300 {
        let now = Instant::now();
        let bytes: Vec<u8> = (0..10).flat_map(|i| plausible(&mut Random(seed * 100 + i))).collect();
        let [whole, parts] = [usize::MAX, 3].map(|step| {
            let mut server = open_server(now, Config::default());
            bytes.chunks(step).for_each(|part| server.handle_input(now, Input::Bytes(part)));
            (drain(&mut server).0, written(now, &mut server, usize::MAX))
        });
        assert!(whole == parts, "seed {seed}");
    }
}
