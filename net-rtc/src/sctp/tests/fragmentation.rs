//! Fragmented messages over a lossy network to usrsctp, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::sctp::Filtered;
use crate::sctp::association::{Association, SctpView};
use crate::sctp::packet::{
    CommonHeader, DataChunk, SackChunk, Tsn, chunk_type, chunks, parse_forward_tsn,
};
use crate::sctp::reassembly::Reassembly;
use crate::sctp::receiver::Receiver;
use crate::sctp::settings::DataPathSettings;
use crate::sctp::tests::usrsctp::UsrsctpReceiver;
use crate::{Config, Repair};

const HEADER: CommonHeader =
    CommonHeader { source_port: 5_000, destination_port: 5_000, verification_tag: 7 };
const INITIAL_TSN: Tsn = Tsn(u32::MAX - 2_000);
const STEP: Duration = Duration::from_millis(1);
/// A message that is whole at the receiver may wait there for so long.
const MAX_HOLD_TIME: Duration = Duration::from_millis(250);

/// What is sent, and what it meets.
#[derive(Clone, Copy, Debug)]
struct FragmentationCase {
    message_size: usize,
    /// Messages a second.
    messages_per_sec: u32,
    loss: f64,
    one_way_delay: Duration,
    /// In bytes a second, with a queue of 64 KiB in front.
    link_rate: Option<f64>,
    repair: Repair,
    seed: u64,
}

/// What became of the messages.
#[derive(Debug, Default)]
struct DeliveryOutcome {
    sent: u32,
    fragments: u32,
    delivered: u32,
    /// The longest time that a whole one waited at the receiver.
    max_hold_time: Duration,
    /// Whole ones that the receiver threw away.
    discarded: u32,
    /// FORWARD-TSNs that passed what they must not.
    invalid_forward_tsns: u32,
}

impl FragmentationCase {
    fn new(message_size: usize, messages_per_sec: u32, loss: f64) -> FragmentationCase {
        let one_way_delay = Duration::from_millis(20);
        FragmentationCase {
            message_size,
            messages_per_sec,
            loss,
            one_way_delay,
            link_rate: None,
            repair: Repair::WhileLossy,
            seed: 1,
        }
    }

    fn run(self, time: Duration) -> DeliveryOutcome {
        let mut run = FragmentationRun::new(self);
        let end = run.now + time;
        let mut due = run.now;
        while run.now < end + Duration::from_secs(1) {
            if run.now >= due && run.now < end {
                run.send();
                due += Duration::from_secs(1) / self.messages_per_sec;
            }
            run.step();
        }
        run.outcome()
    }
}

/// A message and its TSNs.
#[derive(Debug)]
struct TrackedMessage {
    last_tsn: Tsn,
    missing_fragments: u32,
    /// When its last piece came.
    completed_at: Option<Instant>,
    delivered_at: Option<Instant>,
}

struct FragmentationRun {
    case: FragmentationCase,
    now: Instant,
    random: StdRng,
    association: Association,
    peer: UsrsctpReceiver,
    to_peer: VecDeque<(Instant, Vec<u8>)>,
    from_peer: VecDeque<(Instant, Vec<u8>)>,
    /// When the link has sent everything.
    link_free_at: Instant,
    /// By their first TSNs, counted from ours.
    messages: BTreeMap<i64, TrackedMessage>,
    message_start: i64,
    sender_view: SackView,
    invalid_forward_tsns: u32,
}

/// What the sender has been told.
#[derive(Debug, Default)]
struct SackView {
    cumulative_tsn: i64,
    acked: BTreeSet<i64>,
    received: BTreeSet<i64>,
}

impl FragmentationRun {
    fn new(case: FragmentationCase) -> FragmentationRun {
        let now = Instant::now();
        let config = Config { repair: case.repair, ..Config::new(Vec::new()) };
        let receiver = Receiver::new(Tsn(0), Reassembly::new(1_000, 2));
        let local = SctpView::new(INITIAL_TSN, Tsn(0));
        FragmentationRun {
            case,
            now,
            random: StdRng::seed_from_u64(case.seed),
            association: Association::new(
                now,
                DataPathSettings::from_config(&config),
                HEADER,
                0,
                receiver,
                local,
            ),
            peer: UsrsctpReceiver::new(INITIAL_TSN),
            to_peer: VecDeque::new(),
            from_peer: VecDeque::new(),
            link_free_at: now,
            messages: BTreeMap::new(),
            message_start: 0,
            sender_view: SackView { cumulative_tsn: -1, ..SackView::default() },
            invalid_forward_tsns: 0,
        }
    }

    fn send(&mut self) {
        if self.association.poll_ready(self.now).is_ok() {
            self.association.send(Bytes::from(vec![7; self.case.message_size]), None);
        }
        self.flush();
    }

    fn step(&mut self) {
        self.now += STEP;
        while self.to_peer.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.to_peer.pop_front().expect("it is there");
            self.on_arrival(&packet);
            for first in self.peer.on_packet(self.now, &packet) {
                let message =
                    self.messages.get_mut(&first.since(INITIAL_TSN)).expect("it was sent");
                assert!(message.completed_at.is_some(), "{:?}: pieces out of thin air", self.case);
                assert_eq!(message.delivered_at.replace(self.now), None, "{:?}: twice", self.case);
            }
            assert!(!self.peer.has_aborted(), "{:?}: usrsctp aborts", self.case);
        }
        let answers = self.peer.poll_heartbeat_acks(HEADER);
        for packet in answers.into_iter().chain(self.peer.poll_sack(self.now, HEADER)) {
            if !self.random.random_bool(self.case.loss) {
                self.from_peer.push_back((self.now + self.case.one_way_delay, packet));
            }
        }
        let mut heard = false;
        while self.from_peer.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.from_peer.pop_front().expect("it is there");
            self.on_sack(&packet);
            assert!(matches!(
                self.association.filter_inbound(self.now, &packet),
                Ok(Filtered::Drop | Filtered::Rewrite(_))
            ));
            heard = true;
        }
        if heard || self.association.next_timeout(self.now).is_some_and(|at| at <= self.now) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.association.flush(self.now);
        while let Some(packet) = self.association.poll_packet() {
            self.on_sent(&packet);
            let mut at = self.now;
            if let Some(rate) = self.case.link_rate {
                let queue =
                    self.link_free_at.saturating_duration_since(self.now).as_secs_f64() * rate;
                if queue > 65_536.0 {
                    continue;
                }
                self.link_free_at = self.link_free_at.max(self.now)
                    + Duration::from_secs_f64((packet.len() + 64) as f64 / rate);
                at = self.link_free_at;
            }
            if !self.random.random_bool(self.case.loss) {
                self.to_peer.push_back((at + self.case.one_way_delay, packet));
            }
        }
    }

    fn on_sent(&mut self, packet: &[u8]) {
        for chunk in chunks(packet) {
            if let Some(data) =
                DataChunk::parse(&chunk).filter(|_| chunk.chunk_type == chunk_type::DATA)
            {
                let tsn = data.tsn.since(INITIAL_TSN);
                if data.is_first_fragment() {
                    self.message_start = tsn;
                }
                if data.is_last_fragment() {
                    let missing = (tsn - self.message_start + 1) as u32;
                    self.messages.entry(self.message_start).or_insert(TrackedMessage {
                        last_tsn: data.tsn,
                        missing_fragments: missing,
                        completed_at: None,
                        delivered_at: None,
                    });
                }
            }
            if chunk.chunk_type == chunk_type::FORWARD_TSN {
                let target = parse_forward_tsn(&chunk).expect("our own chunk").since(INITIAL_TSN);
                self.invalid_forward_tsns += u32::from(!self.is_valid_forward_tsn(target));
            }
        }
    }

    /// A FORWARD-TSN ends with a message, and passes nothing that arrived but what is of
    /// messages of which something has not (RFC 3758 §3.5 C2).
    fn is_valid_forward_tsn(&self, target: i64) -> bool {
        let cumulative = self.sender_view.cumulative_tsn;
        let is_known = |tsn: i64| tsn <= cumulative || self.sender_view.acked.contains(&tsn);
        let passed = self.messages.range(..=target).rev();
        let passed = passed.map(|(first, sent)| *first..=sent.last_tsn.since(INITIAL_TSN));
        let mut beyond = passed.take_while(|message| *message.end() > cumulative).peekable();
        let ends = beyond.peek().is_none_or(|message| *message.end() == target);
        ends && !beyond.any(|mut message| message.all(is_known))
    }

    fn on_arrival(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).filter(|chunk| chunk.chunk_type == chunk_type::DATA) {
            let tsn = DataChunk::parse(&chunk).expect("our own chunk").tsn.since(INITIAL_TSN);
            if !self.sender_view.received.insert(tsn) {
                continue;
            }
            let (_, message) = self.messages.range_mut(..=tsn).next_back().expect("it was sent");
            message.missing_fragments -= 1;
            if message.missing_fragments == 0 {
                message.completed_at = Some(self.now);
            }
        }
    }

    fn on_sack(&mut self, packet: &[u8]) {
        for sack in chunks(packet).filter_map(|chunk| SackChunk::parse(&chunk)) {
            self.sender_view.cumulative_tsn =
                self.sender_view.cumulative_tsn.max(sack.cumulative_tsn.since(INITIAL_TSN));
            for (from, to) in sack.gap_blocks() {
                self.sender_view.acked.extend(from.since(INITIAL_TSN)..=to.since(INITIAL_TSN));
            }
        }
    }

    fn outcome(self) -> DeliveryOutcome {
        let mut outcome = DeliveryOutcome {
            sent: self.messages.len() as u32,
            invalid_forward_tsns: self.invalid_forward_tsns,
            ..DeliveryOutcome::default()
        };
        for (first, message) in &self.messages {
            outcome.fragments = (message.last_tsn.since(INITIAL_TSN) - first + 1) as u32;
            outcome.delivered += u32::from(message.delivered_at.is_some());
            match (message.completed_at, message.delivered_at) {
                (Some(whole), Some(at)) => {
                    outcome.max_hold_time = outcome.max_hold_time.max(at - whole)
                }
                (Some(_), None) => outcome.discarded += 1,
                (None, _) => {}
            }
        }
        outcome
    }
}

impl DeliveryOutcome {
    /// The share of messages whose pieces all arrive by chance, less four deviations.
    fn min_delivery_ratio(&self, loss: f64) -> f64 {
        let share = (1.0 - loss).powi(self.fragments as i32);
        share - 4.0 * (share * (1.0 - share) / f64::from(self.sent)).sqrt()
    }

    fn delivery_ratio(&self) -> f64 {
        f64::from(self.delivered) / f64::from(self.sent)
    }
}

fn check(case: FragmentationCase) {
    let outcome = case.run(Duration::from_secs(20));
    println!("{case:?}: {outcome:?}");
    assert_eq!(outcome.invalid_forward_tsns, 0, "{case:?}: {outcome:?}");
    assert!(
        outcome.max_hold_time <= MAX_HOLD_TIME && outcome.discarded == 0,
        "{case:?}: {outcome:?}"
    );
    assert!(
        outcome.delivery_ratio() >= outcome.min_delivery_ratio(case.loss),
        "{case:?}: {outcome:?}"
    );
}

#[test]
fn what_arrives_whole_is_delivered_soon() {
    for (bytes, rate) in [(2_500, 50), (3_000, 60), (8_000, 20), (20_000, 5), (20_000, 20)] {
        for loss in [0.05, 0.1] {
            for repair in [Repair::Off, Repair::On] {
                for seed in 0..2 {
                    check(FragmentationCase {
                        repair,
                        seed,
                        ..FragmentationCase::new(bytes, rate, loss)
                    });
                }
            }
        }
    }
}

#[test]
fn so_it_is_through_a_narrow_link() {
    for (bytes, rate) in [(2_500, 30), (20_000, 5)] {
        for seed in 0..4 {
            check(FragmentationCase {
                link_rate: Some(125_000.0),
                seed,
                ..FragmentationCase::new(bytes, rate, 0.05)
            });
        }
    }
}

/// Each run of lost messages takes a round trip to tell. Where that is not enough, few messages
/// are thrown away for the others to come in time.
#[test]
fn more_losses_than_round_trips_do_not_add_up() {
    let far = Duration::from_millis(100);
    for (bytes, rate, delay) in [(2_500, 100, far / 5), (2_500, 50, far), (200, 600, far)] {
        for seed in 0..2 {
            let case = FragmentationCase {
                one_way_delay: delay,
                repair: Repair::Off,
                seed,
                ..FragmentationCase::new(bytes, rate, 0.1)
            };
            let outcome = case.run(Duration::from_secs(20));
            println!("{case:?}: {outcome:?}");
            let longest = delay * 6 + MAX_HOLD_TIME;
            assert!(outcome.max_hold_time <= longest, "{case:?}: {outcome:?}");
            assert!(
                outcome.delivery_ratio() > outcome.min_delivery_ratio(0.1) * 0.6,
                "{case:?}: {outcome:?}"
            );
        }
    }
}
