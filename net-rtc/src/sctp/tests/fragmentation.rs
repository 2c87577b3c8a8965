//! Messages in pieces over a lossy network to usrsctp, in virtual time.

use crate::Config;
use crate::Repair;
use crate::sctp::Passage;
use crate::sctp::association::Engaged;
use crate::sctp::association::Local;
use crate::sctp::packet::Data;
use crate::sctp::packet::Header;
use crate::sctp::packet::Sack;
use crate::sctp::packet::Tsn;
use crate::sctp::packet::chunks;
use crate::sctp::packet::forward_tsn;
use crate::sctp::packet::kind;
use crate::sctp::reassembly::Assembly;
use crate::sctp::receiver::Receiver;
use crate::sctp::settings::Settings;
use crate::sctp::tests::usrsctp::Usrsctp;
use bytes::Bytes;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

const HEADER: Header = Header { source: 5_000, destination: 5_000, tag: 7 };
const FIRST: Tsn = Tsn(u32::MAX - 2_000);
const STEP: Duration = Duration::from_millis(1);
/// A message that is whole at the receiver may wait there for so long.
const LONGEST: Duration = Duration::from_millis(250);

/// What is sent, and what it meets.
#[derive(Clone, Copy, Debug)]
struct Case {
    bytes: usize,
    /// Messages a second.
    rate: u32,
    loss: f64,
    delay: Duration,
    /// In bytes a second, with a queue of 64 KiB in front.
    link: Option<f64>,
    repair: Repair,
    seed: u64,
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Outcome {
    sent: u32,
    pieces: u32,
    delivered: u32,
    /// The longest time that a whole one waited at the receiver.
    held: Duration,
    /// Whole ones that the receiver threw away.
    thrown: u32,
    /// FORWARD-TSNs that passed what they must not.
    wrong: u32,
}

impl Case {
    fn new(bytes: usize, rate: u32, loss: f64) -> Case {
        let delay = Duration::from_millis(20);
        Case { bytes, rate, loss, delay, link: None, repair: Repair::WhileLossy, seed: 1 }
    }

    fn run(self, time: Duration) -> Outcome {
        let mut run = Run::new(self);
        let end = run.now + time;
        let mut due = run.now;
        while run.now < end + Duration::from_secs(1) {
            if run.now >= due && run.now < end {
                run.send();
                due += Duration::from_secs(1) / self.rate;
            }
            run.step();
        }
        run.outcome()
    }
}

/// A message and its TSNs.
#[derive(Debug)]
struct Sent {
    last: Tsn,
    missing: u32,
    /// When its last piece came.
    whole: Option<Instant>,
    delivered: Option<Instant>,
}

struct Run {
    case: Case,
    now: Instant,
    random: StdRng,
    engaged: Engaged,
    peer: Usrsctp,
    forth: VecDeque<(Instant, Vec<u8>)>,
    back: VecDeque<(Instant, Vec<u8>)>,
    /// When the link has sent everything.
    free: Instant,
    /// By their first TSNs, counted from ours.
    messages: BTreeMap<i64, Sent>,
    begun: i64,
    known: Known,
    wrong: u32,
}

/// What the sender has been told.
#[derive(Debug, Default)]
struct Known {
    cumulative: i64,
    arrived: BTreeSet<i64>,
    seen: BTreeSet<i64>,
}

impl Run {
    fn new(case: Case) -> Run {
        let now = Instant::now();
        let config = Config { repair: case.repair, ..Config::new(Vec::new()) };
        let receiver = Receiver::new(Tsn(0), Assembly::new(1_000, 2));
        let local = Local::new(FIRST, Tsn(0));
        Run {
            case,
            now,
            random: StdRng::seed_from_u64(case.seed),
            engaged: Engaged::new(now, Settings::of(&config), HEADER, 0, receiver, local),
            peer: Usrsctp::new(FIRST),
            forth: VecDeque::new(),
            back: VecDeque::new(),
            free: now,
            messages: BTreeMap::new(),
            begun: 0,
            known: Known { cumulative: -1, ..Known::default() },
            wrong: 0,
        }
    }

    fn send(&mut self) {
        if self.engaged.room(self.now).is_ok() {
            self.engaged.send(Bytes::from(vec![7; self.case.bytes]), None);
        }
        self.flush();
    }

    fn step(&mut self) {
        self.now += STEP;
        while self.forth.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.forth.pop_front().expect("it is there");
            self.note_arrived(&packet);
            for first in self.peer.inbound(self.now, &packet) {
                let message = self.messages.get_mut(&first.since(FIRST)).expect("it was sent");
                assert!(message.whole.is_some(), "{:?}: pieces out of thin air", self.case);
                assert_eq!(message.delivered.replace(self.now), None, "{:?}: twice", self.case);
            }
            assert!(!self.peer.has_aborted(), "{:?}: usrsctp aborts", self.case);
        }
        let answers = self.peer.heartbeat_acks(HEADER);
        for packet in answers.into_iter().chain(self.peer.sack(self.now, HEADER)) {
            if !self.random.random_bool(self.case.loss) {
                self.back.push_back((self.now + self.case.delay, packet));
            }
        }
        let mut heard = false;
        while self.back.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.back.pop_front().expect("it is there");
            self.note_sack(&packet);
            assert!(matches!(
                self.engaged.inbound(self.now, &packet),
                Ok(Passage::Swallow | Passage::Replace(_))
            ));
            heard = true;
        }
        if heard || self.engaged.wake(self.now).is_some_and(|at| at <= self.now) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.engaged.flush(self.now);
        while let Some(packet) = self.engaged.packet() {
            self.note_sent(&packet);
            let mut at = self.now;
            if let Some(rate) = self.case.link {
                let queue = self.free.saturating_duration_since(self.now).as_secs_f64() * rate;
                if queue > 65_536.0 {
                    continue;
                }
                self.free = self.free.max(self.now)
                    + Duration::from_secs_f64((packet.len() + 64) as f64 / rate);
                at = self.free;
            }
            if !self.random.random_bool(self.case.loss) {
                self.forth.push_back((at + self.case.delay, packet));
            }
        }
    }

    fn note_sent(&mut self, packet: &[u8]) {
        for chunk in chunks(packet) {
            if let Some(data) = Data::parse(&chunk).filter(|_| chunk.kind == kind::DATA) {
                let tsn = data.tsn.since(FIRST);
                if data.begins() {
                    self.begun = tsn;
                }
                if data.ends() {
                    let missing = (tsn - self.begun + 1) as u32;
                    self.messages.entry(self.begun).or_insert(Sent {
                        last: data.tsn,
                        missing,
                        whole: None,
                        delivered: None,
                    });
                }
            }
            if chunk.kind == kind::FORWARD_TSN {
                let target = forward_tsn(&chunk).expect("our own chunk").since(FIRST);
                self.wrong += u32::from(!self.may_forward(target));
            }
        }
    }

    /// A FORWARD-TSN ends with a message, and passes nothing that arrived but what is of
    /// messages of which something has not (RFC 3758 §3.5 C2).
    fn may_forward(&self, target: i64) -> bool {
        let cumulative = self.known.cumulative;
        let is_known = |tsn: i64| tsn <= cumulative || self.known.arrived.contains(&tsn);
        let passed = self.messages.range(..=target).rev();
        let passed = passed.map(|(first, sent)| *first..=sent.last.since(FIRST));
        let mut beyond = passed.take_while(|message| *message.end() > cumulative).peekable();
        let ends = beyond.peek().is_none_or(|message| *message.end() == target);
        ends && !beyond.any(|mut message| message.all(is_known))
    }

    fn note_arrived(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).filter(|chunk| chunk.kind == kind::DATA) {
            let tsn = Data::parse(&chunk).expect("our own chunk").tsn.since(FIRST);
            if !self.known.seen.insert(tsn) {
                continue;
            }
            let (_, message) = self.messages.range_mut(..=tsn).next_back().expect("it was sent");
            message.missing -= 1;
            if message.missing == 0 {
                message.whole = Some(self.now);
            }
        }
    }

    fn note_sack(&mut self, packet: &[u8]) {
        for sack in chunks(packet).filter_map(|chunk| Sack::parse(&chunk)) {
            self.known.cumulative = self.known.cumulative.max(sack.cumulative.since(FIRST));
            for (from, to) in sack.gaps() {
                self.known.arrived.extend(from.since(FIRST)..=to.since(FIRST));
            }
        }
    }

    fn outcome(self) -> Outcome {
        let mut outcome =
            Outcome { sent: self.messages.len() as u32, wrong: self.wrong, ..Outcome::default() };
        for (first, message) in &self.messages {
            outcome.pieces = (message.last.since(FIRST) - first + 1) as u32;
            outcome.delivered += u32::from(message.delivered.is_some());
            match (message.whole, message.delivered) {
                (Some(whole), Some(at)) => outcome.held = outcome.held.max(at - whole),
                (Some(_), None) => outcome.thrown += 1,
                (None, _) => {}
            }
        }
        outcome
    }
}

impl Outcome {
    /// The share of messages whose pieces all arrive by chance, less four deviations.
    fn least(&self, loss: f64) -> f64 {
        let share = (1.0 - loss).powi(self.pieces as i32);
        share - 4.0 * (share * (1.0 - share) / f64::from(self.sent)).sqrt()
    }

    fn share(&self) -> f64 {
        f64::from(self.delivered) / f64::from(self.sent)
    }
}

fn check(case: Case) {
    let outcome = case.run(Duration::from_secs(20));
    println!("{case:?}: {outcome:?}");
    assert_eq!(outcome.wrong, 0, "{case:?}: {outcome:?}");
    assert!(outcome.held <= LONGEST && outcome.thrown == 0, "{case:?}: {outcome:?}");
    assert!(outcome.share() >= outcome.least(case.loss), "{case:?}: {outcome:?}");
}

#[test]
fn what_arrives_whole_is_delivered_soon() {
    for (bytes, rate) in [(2_500, 50), (3_000, 60), (8_000, 20), (20_000, 5), (20_000, 20)] {
        for loss in [0.05, 0.1] {
            for repair in [Repair::Off, Repair::On] {
                for seed in 0..2 {
                    check(Case { repair, seed, ..Case::new(bytes, rate, loss) });
                }
            }
        }
    }
}

#[test]
fn so_it_is_through_a_narrow_link() {
    for (bytes, rate) in [(2_500, 30), (20_000, 5)] {
        for seed in 0..4 {
            check(Case { link: Some(125_000.0), seed, ..Case::new(bytes, rate, 0.05) });
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
            let case = Case { delay, repair: Repair::Off, seed, ..Case::new(bytes, rate, 0.1) };
            let outcome = case.run(Duration::from_secs(20));
            println!("{case:?}: {outcome:?}");
            let longest = delay * 6 + LONGEST;
            assert!(outcome.held <= longest, "{case:?}: {outcome:?}");
            assert!(outcome.share() > outcome.least(0.1) * 0.6, "{case:?}: {outcome:?}");
        }
    }
}
