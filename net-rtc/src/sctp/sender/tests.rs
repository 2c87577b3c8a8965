//! What becomes of TSNs, whatever the peer says.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::sctp::packet::{Chunk, kind};
use crate::sctp::sender::*;

const MS: Duration = Duration::from_millis(1);
const START: Tsn = Tsn(u32::MAX - 3);

struct Bench {
    sender: Sender,
    now: Instant,
}

/// A sender that has sent this many chunks, one a millisecond.
fn sent(count: u32) -> Bench {
    let now = Instant::now();
    let mut bench = Bench { sender: Sender::new(START), now };
    for index in 0..count {
        assert_eq!(bench.send(false), START.plus(index));
        bench.now += MS;
    }
    bench
}

impl Bench {
    /// Sends a chunk in a packet of its own.
    fn send(&mut self, kept: bool) -> Tsn {
        let care = if kept { Care::Kept } else { Care::Once };
        let tsn = self.sender.send(self.now, 80, care, true);
        self.sender.end_packet(self.now, 100, false);
        tsn
    }

    fn give_up(&mut self) -> u32 {
        let mut told = Told::default();
        self.sender.give_up(self.now, &mut told);
        told.lost
    }

    /// A SACK that speaks of the `cumulative` first chunks and of blocks beyond them.
    fn sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> Result<Told, NeverSent> {
        self.sack_with(cumulative, gaps, &[])
    }

    /// The same with what came twice.
    fn sack_with(
        &mut self,
        cumulative: u32,
        gaps: &[(u16, u16)],
        duplicates: &[Tsn],
    ) -> Result<Told, NeverSent> {
        let mut value = START.plus(cumulative).minus(1).0.to_be_bytes().to_vec();
        value.extend([0; 4]);
        value.extend((gaps.len() as u16).to_be_bytes());
        value.extend((duplicates.len() as u16).to_be_bytes());
        for (from, to) in gaps {
            value.extend(from.to_be_bytes());
            value.extend(to.to_be_bytes());
        }
        value.extend(duplicates.iter().flat_map(|tsn| tsn.0.to_be_bytes()));
        let chunk = Chunk { kind: kind::SACK, flags: 0, value: &value };
        let told = self.sender.on_sack(self.now, &Sack::parse(&chunk).unwrap())?;
        assert!(told.bytes >= 100 * told.arrived as usize);
        Ok(Told { bytes: 0, rtt: None, lost_left: None, ..told })
    }
}

fn told(arrived: u32, lost: u32) -> Result<Told, NeverSent> {
    Ok(Told { arrived, lost, ..Told::default() })
}

#[test]
fn what_is_acknowledged_is_forgotten() {
    let mut bench = sent(10);
    assert_eq!(bench.sack(4, &[]), told(4, 0));
    assert_eq!(bench.sender.acked(), START.plus(3));
    assert_eq!(bench.sack(10, &[]), told(6, 0));
    assert_eq!((bench.sender.wake(), bench.sender.forward(bench.now, false)), (None, None));
}

#[test]
fn the_lost_are_given_up_and_passed() {
    let mut bench = sent(10);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(2, &[(2, 3), (5, 8)]), told(8, 0));
    assert_eq!(bench.sender.forward(bench.now, false), None, "too early to give up");
    bench.now = bench.sender.wake().unwrap();
    assert_eq!(bench.give_up(), 1);
    bench.now += 2 * MS;
    assert_eq!(bench.give_up(), 0, "each is counted once");
    bench.now += MS;
    assert_eq!(bench.give_up(), 1);
    assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(2)));
    assert_eq!(bench.sender.forward(bench.now, true), None, "not twice at once");
    bench.now += FORWARD_PAUSE;
    assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(2)), "until it is heard");
    bench.now += FORWARD_PAUSE;
    assert_eq!(bench.sack(5, &[(2, 5)]), told(0, 0));
    assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(5)), "now the next");
    assert_eq!(bench.sack(10, &[]), told(0, 0));
    assert_eq!(bench.sender.forward(bench.now + FORWARD_PAUSE, true), None);
}

#[test]
fn a_message_is_abandoned_whole() {
    let mut bench = sent(0);
    for ends in [false, false, true, true, false, true, true] {
        bench.sender.send(bench.now, 80, Care::Once, ends);
        bench.sender.end_packet(bench.now, 100, false);
    }
    bench.now += 20 * MS;
    // Of the second message everything arrived, of the others the second piece or the first.
    assert_eq!(bench.sack(1, &[(2, 3), (5, 6)]), told(5, 0));
    bench.now += 100 * MS;
    assert_eq!(bench.give_up(), 2);
    assert_eq!(
        bench.sender.forward(bench.now, true),
        Some(START.plus(2)),
        "what of it arrived too"
    );
    bench.now += FORWARD_PAUSE;
    assert_eq!(bench.sack(4, &[(2, 3)]), told(0, 0));
    assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(5)));
}

/// A peer far away of which much is lost: it would take a round trip for each.
#[test]
fn what_has_waited_too_long_is_passed() {
    let mut bench = sent(100);
    bench.now += 20 * MS;
    let odd: Vec<_> = (1..50).map(|step| (step * 2, step * 2)).collect();
    bench.sack(0, &odd).unwrap();
    bench.now += 50 * MS;
    bench.give_up();
    assert_eq!(bench.sender.forward(bench.now, true), Some(START));
    bench.now += STALE;
    bench.give_up();
    let target = bench.sender.forward(bench.now, true).unwrap();
    assert_eq!(target, START.plus(96), "the last that is lost for sure");
}

#[test]
fn of_what_a_forward_tsn_passes_nothing_is_learnt() {
    let mut bench = sent(0);
    for ends in [false, true] {
        bench.sender.send(bench.now, 80, Care::Kept, ends);
        bench.sender.end_packet(bench.now, 100, false);
    }
    bench.send(false);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(0, &[(3, 3)]), told(1, 0));
    // A copy of the second piece leaves just before the first is given up.
    bench.now += KEPT;
    assert!(bench.sender.copy(bench.now, START.plus(1)));
    (0..=PACKETS).for_each(|_| _ = bench.send(false));
    bench.now += 20 * MS;
    assert_eq!(bench.give_up(), 1);
    assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(1)));
    assert_eq!(bench.sack(3, &[]), told(0, 0), "neither arrived nor lost");
}

#[test]
fn a_packet_counts_once_whatever_is_in_it() {
    let mut bench = sent(1);
    for _ in 0..2 {
        (0..5).for_each(|_| _ = bench.sender.send(bench.now, 80, Care::Once, true));
        bench.sender.end_packet(bench.now, 500, false);
        bench.now += MS;
    }
    bench.send(false);
    assert_eq!(bench.sack(6, &[(6, 6)]), told(3, 0));
    bench.now += 500 * MS;
    assert_eq!(bench.give_up(), 1);
}

#[test]
fn a_sack_that_waits_is_no_loss() {
    let mut bench = sent(2);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(2, &[]), told(2, 0));
    bench.send(false);
    bench.now += 200 * MS;
    assert_eq!((bench.give_up(), bench.sender.target().since(START)), (0, 1));
    assert_eq!(bench.sack(3, &[]), told(1, 0));
    bench.send(false);
    bench.now = bench.sender.wake().unwrap();
    assert_eq!(bench.give_up(), 0, "nobody knows whether it was lost");
    assert_eq!(bench.sender.forward(bench.now, false), Some(START.plus(3)));
}

#[test]
fn without_an_answer_it_is_said_less_and_less_often() {
    let mut bench = sent(1);
    let mut said = Vec::new();
    let end = bench.now + Duration::from_secs(10);
    while let Some(wake) = bench.sender.wake().filter(|wake| *wake < end) {
        bench.now = bench.now.max(wake);
        bench.give_up();
        said.extend(bench.sender.forward(bench.now, false));
    }
    assert!((5..=20).contains(&said.len()), "{} in ten seconds", said.len());
}

/// A peer that tells the truth about what a random network lets through, late or never.
#[test]
fn only_what_was_lost_is_told_lost_and_only_what_was_sent_is_passed() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let loss = random.random_range(0.0..0.6);
        let (mut bench, mut arrived) = (sent(0), BTreeSet::new());
        let (mut sent, mut floor, mut told) = (0u32, 0u32, Told::default());
        for _ in 0..400 {
            bench.now += Duration::from_micros(random.random_range(0..20_000));
            for _ in 0..random.random_range(0..4) {
                bench.send(false);
                arrived.extend(random.random_bool(1.0 - loss).then_some(sent));
                sent += 1;
            }
            told.lost += bench.give_up();
            if let Some(to) = bench.sender.forward(bench.now, random.random())
                && random.random_bool(1.0 - loss)
            {
                floor = floor.max(to.since(START) as u32 + 1);
            }
            if random.random_bool(0.7) {
                let (cumulative, gaps) = truth(&arrived, floor);
                let new = bench.sack(cumulative, &gaps).unwrap();
                told.arrived += new.arrived;
                told.lost += new.lost;
            }
        }
        assert!(told.arrived as usize <= arrived.len(), "seed {seed}");
        assert!(told.lost as usize <= sent as usize - arrived.len(), "seed {seed}");
        assert!(floor <= sent, "seed {seed}");
        bench.now += Duration::from_secs(60);
        bench.give_up();
        assert_eq!(bench.sender.settled, bench.sender.flights.len(), "seed {seed}");
    }
}

/// What a receiver that has these chunks, and was moved to `floor`, says.
fn truth(arrived: &BTreeSet<u32>, floor: u32) -> (u32, Vec<(u16, u16)>) {
    let mut cumulative = floor;
    while arrived.contains(&cumulative) {
        cumulative += 1;
    }
    let mut gaps: Vec<(u16, u16)> = Vec::new();
    for chunk in arrived.range(cumulative..) {
        let offset = (chunk - cumulative) as u16 + 1;
        match gaps.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => gaps.push((offset, offset)),
        }
    }
    (cumulative, gaps)
}

#[test]
fn a_peer_that_does_not_move_when_told_is_stuck() {
    for moves in [true, false] {
        let mut bench = sent(3);
        for round in 0..100 {
            bench.now += 50 * MS;
            bench.give_up();
            let target = bench.sender.forward(bench.now, true);
            bench.send(false);
            let all = 4 + round;
            match moves && target.is_some() {
                true => bench.sack(all, &[]).unwrap(),
                false => bench.sack(0, &[(2, all as u16)]).unwrap(),
            };
        }
        assert_eq!(bench.sender.is_stuck(bench.now), !moves);
    }
}

#[test]
fn a_peer_that_cannot_have_heard_is_not_stuck() {
    let mut bench = sent(3);
    for round in 0..100 {
        bench.now += 50 * MS;
        bench.give_up();
        // Whatever tells it to move is lost.
        let told = bench.sender.forward(bench.now, true).is_some();
        bench.send(false);
        if !told {
            bench.sack(0, &[(round as u16 + 4, round as u16 + 4)]).unwrap();
        }
    }
    assert!(!bench.sender.is_stuck(bench.now));
}

/// A chunk, its copy in the next packet, and what a SACK for that one says of the first.
fn copied(duplicates: bool, before: bool) -> Told {
    let mut bench = sent(0);
    let first = bench.send(true);
    bench.now += MS;
    assert!(bench.sender.copy(bench.now, first));
    bench.send(true);
    if before {
        bench.sack(1, &[]).unwrap();
    }
    bench.sender.witness = Witness::Proven;
    let twice: &[Tsn] = if duplicates { &[first] } else { &[] };
    bench.sack_with(2, &[], twice).unwrap()
}

#[test]
fn who_hears_of_a_copy_learns_of_the_first_packet() {
    let loss = |told: Told| (told.arrived, told.lost);
    assert_eq!(loss(copied(true, false)), (2, 0), "it came twice");
    assert_eq!(loss(copied(false, false)), (1, 1), "it came once, so the first was lost");
    assert_eq!(loss(copied(true, true)), (1, 0), "that it came was known before");
}

#[test]
fn what_the_peer_has_does_not_ride_again() {
    let mut bench = sent(0);
    let tsn = bench.send(true);
    assert!(bench.sender.copy(bench.now, tsn));
    bench.sack(1, &[]).unwrap();
    assert!(!bench.sender.copy(bench.now, tsn));
    assert!(!bench.sender.copy(bench.now, tsn.plus(1)), "it never left");
}

#[test]
fn what_may_still_come_is_not_passed() {
    let mut bench = sent(0);
    bench.send(true);
    bench.now += MS;
    bench.send(false);
    bench.now += 2 * MS;
    bench.sack(0, &[(2, 2)]).unwrap();
    bench.now += KEPT;
    assert_eq!(bench.give_up(), 0, "a copy may be on its way");
    bench.now += PATIENCE;
    assert_eq!(bench.give_up(), 1);
}

#[test]
fn the_round_trip_is_that_of_what_was_acknowledged_at_once() {
    let mut bench = sent(0);
    bench.send(false);
    bench.now += 40 * MS;
    bench.sack(1, &[]).unwrap();
    assert_eq!(bench.sender.rtt().of_path(), Some(40 * MS), "the first packet asks for it");
    bench.send(false);
    bench.now += 240 * MS;
    bench.sack(2, &[]).unwrap();
    assert_eq!(bench.sender.rtt().of_path(), Some(40 * MS), "this one may have waited");
    bench.send(false);
    bench.now += 120 * MS;
    bench.sack(3, &[]).unwrap();
    assert_eq!(bench.sender.rtt().of_path(), Some(50 * MS), "it was asked again");
    bench.send(false);
    bench.send(false);
    bench.now += 130 * MS;
    bench.sack(5, &[]).unwrap();
    assert_eq!(bench.sender.rtt().of_path(), Some(60 * MS), "a second packet does not wait");
}

#[test]
fn no_honest_peer_acknowledges_what_was_never_sent() {
    assert_eq!(sent(5).sack(6, &[]), Err(NeverSent));
    assert_eq!(sent(5).sack(2, &[(2, 4)]), Err(NeverSent));
    assert_eq!(sent(5).sack(2, &[(3, 2)]), Err(NeverSent));
    assert_eq!(sent(5).sack(2, &[(2, 3)]), told(4, 0));
    assert_eq!(sent(5).sack((1 << 31) + 10, &[]), told(0, 0), "half the circle away is the past");
}

#[test]
fn an_old_sack_says_nothing() {
    let mut bench = sent(5);
    assert_eq!(bench.sack(4, &[]), told(4, 0));
    assert_eq!(bench.sack(2, &[(1, 1)]), told(0, 0));
    assert_eq!(bench.sender.acked(), START.plus(3));
}

#[test]
fn a_peer_that_never_answers_costs_a_bounded_amount() {
    let bench = sent(20_000);
    assert_eq!(bench.sender.flights.len(), FLIGHTS);
    assert_eq!(bench.sender.acked(), START.plus(20_000 - 1).minus(FLIGHTS as u32));
}
