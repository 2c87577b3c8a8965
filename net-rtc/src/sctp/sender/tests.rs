//! Tests of the sender: outcome of TSNs under arbitrary SACKs.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::sctp::packet::{Chunk, chunk_type};
use crate::sctp::sender::*;

const MS: Duration = Duration::from_millis(1);
const INITIAL_TSN: Tsn = Tsn(u32::MAX - 3);

struct SenderBench {
    sender: Sender,
    now: Instant,
}

/// A sender that has sent this many chunks, one a millisecond.
fn sender_after(count: u32) -> SenderBench {
    let now = Instant::now();
    let mut bench = SenderBench { sender: Sender::new(INITIAL_TSN), now };
    for index in 0..count {
        assert_eq!(bench.send(false), INITIAL_TSN.plus(index));
        bench.now += MS;
    }
    bench
}

impl SenderBench {
    /// Sends a chunk in a packet of its own.
    fn send(&mut self, kept: bool) -> Tsn {
        let care = if kept { Redundancy::Eligible } else { Redundancy::Never };
        let tsn = self.sender.assign_tsn(self.now, 80, care, true);
        self.sender.end_packet(self.now, 100, false);
        tsn
    }

    fn detect_losses(&mut self) -> u32 {
        let mut told = AckSummary::default();
        self.sender.detect_losses(self.now, &mut told);
        told.packets_lost
    }

    /// A SACK that speaks of the `cumulative` first chunks and of blocks beyond them.
    fn sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> Result<AckSummary, UnsentTsnAcked> {
        self.sack_with(cumulative, gaps, &[])
    }

    /// The same with what came twice.
    fn sack_with(
        &mut self,
        cumulative: u32,
        gaps: &[(u16, u16)],
        duplicates: &[Tsn],
    ) -> Result<AckSummary, UnsentTsnAcked> {
        let mut value = INITIAL_TSN.plus(cumulative).minus(1).0.to_be_bytes().to_vec();
        value.extend([0; 4]);
        value.extend((gaps.len() as u16).to_be_bytes());
        value.extend((duplicates.len() as u16).to_be_bytes());
        for (from, to) in gaps {
            value.extend(from.to_be_bytes());
            value.extend(to.to_be_bytes());
        }
        value.extend(duplicates.iter().flat_map(|tsn| tsn.0.to_be_bytes()));
        let chunk = Chunk { chunk_type: chunk_type::SACK, flags: 0, value: &value };
        let told = self.sender.on_sack(self.now, &SackChunk::parse(&chunk).unwrap())?;
        assert!(told.bytes_acked >= 100 * told.packets_acked as usize);
        Ok(AckSummary { bytes_acked: 0, rtt_sample: None, last_lost_sent_at: None, ..told })
    }
}

fn ack_summary(arrived: u32, lost: u32) -> Result<AckSummary, UnsentTsnAcked> {
    Ok(AckSummary { packets_acked: arrived, packets_lost: lost, ..AckSummary::default() })
}

#[test]
fn what_is_acknowledged_is_forgotten() {
    let mut bench = sender_after(10);
    assert_eq!(bench.sack(4, &[]), ack_summary(4, 0));
    assert_eq!(bench.sender.cumulative_ack_point(), INITIAL_TSN.plus(3));
    assert_eq!(bench.sack(10, &[]), ack_summary(6, 0));
    assert_eq!(
        (bench.sender.next_timeout(), bench.sender.poll_forward_tsn(bench.now, false)),
        (None, None)
    );
}

#[test]
fn the_lost_are_given_up_and_passed() {
    let mut bench = sender_after(10);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(2, &[(2, 3), (5, 8)]), ack_summary(8, 0));
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, false), None, "too early to give up");
    bench.now = bench.sender.next_timeout().unwrap();
    assert_eq!(bench.detect_losses(), 1);
    bench.now += 2 * MS;
    assert_eq!(bench.detect_losses(), 0, "each is counted once");
    bench.now += MS;
    assert_eq!(bench.detect_losses(), 1);
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, true), Some(INITIAL_TSN.plus(2)));
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, true), None, "not twice at once");
    bench.now += FORWARD_TSN_INTERVAL;
    assert_eq!(
        bench.sender.poll_forward_tsn(bench.now, true),
        Some(INITIAL_TSN.plus(2)),
        "until it is heard"
    );
    bench.now += FORWARD_TSN_INTERVAL;
    assert_eq!(bench.sack(5, &[(2, 5)]), ack_summary(0, 0));
    assert_eq!(
        bench.sender.poll_forward_tsn(bench.now, true),
        Some(INITIAL_TSN.plus(5)),
        "now the next"
    );
    assert_eq!(bench.sack(10, &[]), ack_summary(0, 0));
    assert_eq!(bench.sender.poll_forward_tsn(bench.now + FORWARD_TSN_INTERVAL, true), None);
}

#[test]
fn a_message_is_abandoned_whole() {
    let mut bench = sender_after(0);
    for ends in [false, false, true, true, false, true, true] {
        bench.sender.assign_tsn(bench.now, 80, Redundancy::Never, ends);
        bench.sender.end_packet(bench.now, 100, false);
    }
    bench.now += 20 * MS;
    // Of the second message everything arrived, of the others the second piece or the first.
    assert_eq!(bench.sack(1, &[(2, 3), (5, 6)]), ack_summary(5, 0));
    bench.now += 100 * MS;
    assert_eq!(bench.detect_losses(), 2);
    assert_eq!(
        bench.sender.poll_forward_tsn(bench.now, true),
        Some(INITIAL_TSN.plus(2)),
        "what of it arrived too"
    );
    bench.now += FORWARD_TSN_INTERVAL;
    assert_eq!(bench.sack(4, &[(2, 3)]), ack_summary(0, 0));
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, true), Some(INITIAL_TSN.plus(5)));
}

/// A peer far away of which much is lost: it would take a round trip for each.
#[test]
fn what_has_waited_too_long_is_passed() {
    let mut bench = sender_after(100);
    bench.now += 20 * MS;
    let odd: Vec<_> = (1..50).map(|step| (step * 2, step * 2)).collect();
    bench.sack(0, &odd).unwrap();
    bench.now += 50 * MS;
    bench.detect_losses();
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, true), Some(INITIAL_TSN));
    bench.now += MAX_HEAD_OF_LINE_DELAY;
    bench.detect_losses();
    let target = bench.sender.poll_forward_tsn(bench.now, true).unwrap();
    assert_eq!(target, INITIAL_TSN.plus(96), "the last that is lost for sure");
}

#[test]
fn of_what_a_forward_tsn_passes_nothing_is_learnt() {
    let mut bench = sender_after(0);
    for ends in [false, true] {
        bench.sender.assign_tsn(bench.now, 80, Redundancy::Eligible, ends);
        bench.sender.end_packet(bench.now, 100, false);
    }
    bench.send(false);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(0, &[(3, 3)]), ack_summary(1, 0));
    // A copy of the second piece leaves just before the first is given up.
    bench.now += MAX_COPY_AGE;
    assert!(bench.sender.record_copy(bench.now, INITIAL_TSN.plus(1)));
    (0..=MAX_COPY_DISTANCE).for_each(|_| _ = bench.send(false));
    bench.now += 20 * MS;
    assert_eq!(bench.detect_losses(), 1);
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, true), Some(INITIAL_TSN.plus(1)));
    assert_eq!(bench.sack(3, &[]), ack_summary(0, 0), "neither arrived nor lost");
}

#[test]
fn a_packet_counts_once_whatever_is_in_it() {
    let mut bench = sender_after(1);
    for _ in 0..2 {
        (0..5).for_each(|_| _ = bench.sender.assign_tsn(bench.now, 80, Redundancy::Never, true));
        bench.sender.end_packet(bench.now, 500, false);
        bench.now += MS;
    }
    bench.send(false);
    assert_eq!(bench.sack(6, &[(6, 6)]), ack_summary(3, 0));
    bench.now += 500 * MS;
    assert_eq!(bench.detect_losses(), 1);
}

#[test]
fn a_sack_that_waits_is_no_loss() {
    let mut bench = sender_after(2);
    bench.now += 20 * MS;
    assert_eq!(bench.sack(2, &[]), ack_summary(2, 0));
    bench.send(false);
    bench.now += 200 * MS;
    assert_eq!(
        (bench.detect_losses(), bench.sender.advanced_peer_ack_point().since(INITIAL_TSN)),
        (0, 1)
    );
    assert_eq!(bench.sack(3, &[]), ack_summary(1, 0));
    bench.send(false);
    bench.now = bench.sender.next_timeout().unwrap();
    assert_eq!(bench.detect_losses(), 0, "nobody knows whether it was lost");
    assert_eq!(bench.sender.poll_forward_tsn(bench.now, false), Some(INITIAL_TSN.plus(3)));
}

#[test]
fn without_an_answer_it_is_said_less_and_less_often() {
    let mut bench = sender_after(1);
    let mut said = Vec::new();
    let end = bench.now + Duration::from_secs(10);
    while let Some(wake) = bench.sender.next_timeout().filter(|wake| *wake < end) {
        bench.now = bench.now.max(wake);
        bench.detect_losses();
        said.extend(bench.sender.poll_forward_tsn(bench.now, false));
    }
    assert!((5..=20).contains(&said.len()), "{} in ten seconds", said.len());
}

/// A peer that tells the truth about what a random network lets through, late or never.
#[test]
fn only_what_was_lost_is_told_lost_and_only_what_was_sent_is_passed() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let loss = random.random_range(0.0..0.6);
        let (mut bench, mut arrived) = (sender_after(0), BTreeSet::new());
        let (mut sent, mut floor, mut told) = (0u32, 0u32, AckSummary::default());
        for _ in 0..400 {
            bench.now += Duration::from_micros(random.random_range(0..20_000));
            for _ in 0..random.random_range(0..4) {
                bench.send(false);
                arrived.extend(random.random_bool(1.0 - loss).then_some(sent));
                sent += 1;
            }
            told.packets_lost += bench.detect_losses();
            if let Some(to) = bench.sender.poll_forward_tsn(bench.now, random.random())
                && random.random_bool(1.0 - loss)
            {
                floor = floor.max(to.since(INITIAL_TSN) as u32 + 1);
            }
            if random.random_bool(0.7) {
                let (cumulative, gaps) = honest_sack(&arrived, floor);
                let new = bench.sack(cumulative, &gaps).unwrap();
                told.packets_acked += new.packets_acked;
                told.packets_lost += new.packets_lost;
            }
        }
        assert!(told.packets_acked as usize <= arrived.len(), "seed {seed}");
        assert!(told.packets_lost as usize <= sent as usize - arrived.len(), "seed {seed}");
        assert!(floor <= sent, "seed {seed}");
        bench.now += Duration::from_secs(60);
        bench.detect_losses();
        assert_eq!(bench.sender.resolved_count, bench.sender.sent_chunks.len(), "seed {seed}");
    }
}

/// What a receiver that has these chunks, and was moved to `floor`, says.
fn honest_sack(arrived: &BTreeSet<u32>, floor: u32) -> (u32, Vec<(u16, u16)>) {
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
        let mut bench = sender_after(3);
        for round in 0..100 {
            bench.now += 50 * MS;
            bench.detect_losses();
            let target = bench.sender.poll_forward_tsn(bench.now, true);
            bench.send(false);
            let all = 4 + round;
            match moves && target.is_some() {
                true => bench.sack(all, &[]).unwrap(),
                false => bench.sack(0, &[(2, all as u16)]).unwrap(),
            };
        }
        assert_eq!(bench.sender.is_ignoring_forward_tsn(bench.now), !moves);
    }
}

#[test]
fn a_peer_that_cannot_have_heard_is_not_stuck() {
    let mut bench = sender_after(3);
    for round in 0..100 {
        bench.now += 50 * MS;
        bench.detect_losses();
        // Whatever tells it to move is lost.
        let told = bench.sender.poll_forward_tsn(bench.now, true).is_some();
        bench.send(false);
        if !told {
            bench.sack(0, &[(round as u16 + 4, round as u16 + 4)]).unwrap();
        }
    }
    assert!(!bench.sender.is_ignoring_forward_tsn(bench.now));
}

/// A chunk, its copy in the next packet, and what a SACK for that one says of the first.
fn ack_of_copy(duplicates: bool, before: bool) -> AckSummary {
    let mut bench = sender_after(0);
    let first = bench.send(true);
    bench.now += MS;
    assert!(bench.sender.record_copy(bench.now, first));
    bench.send(true);
    if before {
        bench.sack(1, &[]).unwrap();
    }
    bench.sender.dup_reporting = DupReporting::Confirmed;
    let twice: &[Tsn] = if duplicates { &[first] } else { &[] };
    bench.sack_with(2, &[], twice).unwrap()
}

#[test]
fn who_hears_of_a_copy_learns_of_the_first_packet() {
    let loss = |told: AckSummary| (told.packets_acked, told.packets_lost);
    assert_eq!(loss(ack_of_copy(true, false)), (2, 0), "it came twice");
    assert_eq!(loss(ack_of_copy(false, false)), (1, 1), "it came once, so the first was lost");
    assert_eq!(loss(ack_of_copy(true, true)), (1, 0), "that it came was known before");
}

#[test]
fn what_the_peer_has_does_not_ride_again() {
    let mut bench = sender_after(0);
    let tsn = bench.send(true);
    assert!(bench.sender.record_copy(bench.now, tsn));
    bench.sack(1, &[]).unwrap();
    assert!(!bench.sender.record_copy(bench.now, tsn));
    assert!(!bench.sender.record_copy(bench.now, tsn.plus(1)), "it never left");
}

#[test]
fn what_may_still_come_is_not_passed() {
    let mut bench = sender_after(0);
    bench.send(true);
    bench.now += MS;
    bench.send(false);
    bench.now += 2 * MS;
    bench.sack(0, &[(2, 2)]).unwrap();
    bench.now += MAX_COPY_AGE;
    assert_eq!(bench.detect_losses(), 0, "a copy may be on its way");
    bench.now += LOSS_DELAY_MARGIN;
    assert_eq!(bench.detect_losses(), 1);
}

#[test]
fn the_round_trip_is_that_of_what_was_acknowledged_at_once() {
    let mut bench = sender_after(0);
    bench.send(false);
    bench.now += 40 * MS;
    bench.sack(1, &[]).unwrap();
    assert_eq!(bench.sender.rtt().path_rtt(), Some(40 * MS), "the first packet asks for it");
    bench.send(false);
    bench.now += 240 * MS;
    bench.sack(2, &[]).unwrap();
    assert_eq!(bench.sender.rtt().path_rtt(), Some(40 * MS), "this one may have waited");
    bench.send(false);
    bench.now += 120 * MS;
    bench.sack(3, &[]).unwrap();
    assert_eq!(bench.sender.rtt().path_rtt(), Some(50 * MS), "it was asked again");
    bench.send(false);
    bench.send(false);
    bench.now += 130 * MS;
    bench.sack(5, &[]).unwrap();
    assert_eq!(bench.sender.rtt().path_rtt(), Some(60 * MS), "a second packet does not wait");
}

#[test]
fn no_honest_peer_acknowledges_what_was_never_sent() {
    assert_eq!(sender_after(5).sack(6, &[]), Err(UnsentTsnAcked));
    assert_eq!(sender_after(5).sack(2, &[(2, 4)]), Err(UnsentTsnAcked));
    assert_eq!(sender_after(5).sack(2, &[(3, 2)]), Err(UnsentTsnAcked));
    assert_eq!(sender_after(5).sack(2, &[(2, 3)]), ack_summary(4, 0));
    assert_eq!(
        sender_after(5).sack((1 << 31) + 10, &[]),
        ack_summary(0, 0),
        "half the circle away is the past"
    );
}

#[test]
fn an_old_sack_says_nothing() {
    let mut bench = sender_after(5);
    assert_eq!(bench.sack(4, &[]), ack_summary(4, 0));
    assert_eq!(bench.sack(2, &[(1, 1)]), ack_summary(0, 0));
    assert_eq!(bench.sender.cumulative_ack_point(), INITIAL_TSN.plus(3));
}

#[test]
fn a_peer_that_never_answers_costs_a_bounded_amount() {
    let bench = sender_after(20_000);
    assert_eq!(bench.sender.sent_chunks.len(), MAX_SENT_CHUNKS);
    assert_eq!(
        bench.sender.cumulative_ack_point(),
        INITIAL_TSN.plus(20_000 - 1).minus(MAX_SENT_CHUNKS as u32)
    );
}
