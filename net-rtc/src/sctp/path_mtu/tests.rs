//! What is known of a path by what passes, and what it costs to know it.

use crate::sctp::packet::chunks;
use crate::sctp::path_mtu::*;

const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };
const MS: Duration = Duration::from_millis(1);
const ROUND: Duration = Duration::from_millis(40);

/// A path that answers what is no longer than its limit, a round trip later.
struct Path {
    now: Instant,
    mtu: PathMtu,
    rtt: Rtt,
    limit: usize,
    /// Whether answers are as limited as what they answer.
    is_narrow_back: bool,
    answers: VecDeque<(Instant, Vec<u8>)>,
    /// Lengths of all probes.
    sent: Vec<usize>,
    packet: u32,
}

impl Path {
    fn new(limit: usize) -> Path {
        let mut rtt = Rtt::default();
        rtt.sample(ROUND, true);
        let (now, answers) = (Instant::now(), VecDeque::new());
        let (mtu, sent) = (PathMtu::new(), Vec::new());
        Path { now, mtu, rtt, limit, is_narrow_back: false, answers, sent, packet: 0 }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.answers.front().map(|(at, _)| *at);
            let next = answer.into_iter().chain(self.mtu.wake(self.now, &self.rtt)).min();
            let Some(next) = next.filter(|next| *next < end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while self.answers.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.answers.pop_front().expect("there is one");
            let heartbeat = chunks(&packet).next().expect("a heartbeat");
            assert!(self.mtu.answered(self.now, &heartbeat));
        }
        self.mtu.tick(self.now, &self.rtt, 0.0);
        if self.mtu.is_due(self.now) {
            for packet in self.mtu.probes(self.now, HEADER) {
                self.sent.push(packet.len());
                let back = chunks(&packet).next().expect("a heartbeat").value.len();
                let passes_back = !self.is_narrow_back || back < BASE;
                if packet.len() <= self.limit && passes_back {
                    self.answers.push_back((self.now + ROUND, packet));
                }
            }
        }
    }

    /// A packet of data leaves, and what becomes of it is known some time later.
    fn data(&mut self, size: usize) {
        let (left, packet) = (self.now, self.packet);
        self.packet += 1;
        self.run(ROUND * 2);
        match size <= self.limit {
            true => self.mtu.arrived(left, size),
            false => {
                self.mtu.suspect(self.now, Suspect { packet, left, size, first: First::Lost });
            }
        }
    }
}

#[test]
fn a_path_that_carries_all_is_known_by_one_probe() {
    let mut path = Path::new(MAX);
    assert_eq!(path.mtu.size(), BASE, "nothing is known yet");
    path.run(ROUND + 2 * MS);
    assert_eq!(path.mtu.size(), MAX);
    path.run(Duration::from_secs(3_600));
    assert_eq!(path.sent, [MAX]);
}

#[test]
fn the_limit_is_found_and_the_search_ends() {
    for limit in (BASE..MAX).step_by(4) {
        let mut path = Path::new(limit);
        path.run(Duration::from_secs(5));
        let size = path.mtu.size();
        assert!(size <= limit && limit - size < STEP, "{size} for {limit}");
        let bytes: usize = path.sent.iter().sum();
        assert!(bytes < 40_000, "{bytes} bytes for {limit}");
    }
}

#[test]
fn a_limit_is_tried_again_now_and_then_and_less_and_less_often() {
    let mut path = Path::new(900);
    path.run(Duration::from_secs(5));
    let (size, found) = (path.mtu.size(), path.sent.len());
    path.run(Duration::from_secs(3_600));
    assert_eq!(path.mtu.size(), size);
    let again = path.sent.len() - found;
    assert!((12..80).contains(&again), "{again} probes in an hour");
    path.limit = MAX;
    path.run(LONGEST_RAISE + Duration::from_secs(1));
    assert_eq!(path.mtu.size(), MAX);
}

#[test]
fn a_narrow_way_back_is_no_limit() {
    let mut path = Path::new(MAX);
    path.is_narrow_back = true;
    path.run(Duration::from_secs(2));
    assert_eq!(path.mtu.size(), MAX);
}

#[test]
fn a_path_that_carries_less_later_is_noticed() {
    for limit in [BASE, 800, 1_050] {
        let mut path = Path::new(MAX);
        path.run(Duration::from_secs(1));
        path.limit = limit;
        let began = path.now;
        while path.mtu.size() > limit {
            path.data(MAX);
            assert!(path.now < began + Duration::from_secs(1), "limit {limit}");
        }
        assert!(path.mtu.cleared().is_empty(), "that was not chance");
        path.run(Duration::from_secs(5));
        assert!(limit - path.mtu.size() < STEP);
    }
}

#[test]
fn what_one_as_long_outlives_was_lost_by_chance() {
    let mut path = Path::new(MAX);
    path.run(Duration::from_secs(1));
    for packet in 0..1_000 {
        let left = path.now;
        let suspect = Suspect { packet, left, size: MAX, first: First::Lost };
        path.mtu.suspect(path.now, suspect);
        path.run(10 * MS);
        path.mtu.arrived(path.now, MAX);
        assert_eq!(path.mtu.cleared(), [suspect]);
    }
    assert_eq!((path.mtu.size(), path.sent.len()), (MAX, 1), "nothing was asked");
}

#[test]
fn an_outage_is_no_limit_and_costs_little() {
    let mut path = Path::new(MAX);
    path.run(Duration::from_secs(1));
    path.limit = 0;
    let before = path.sent.len();
    for _ in 0..100 {
        path.data(MAX);
    }
    assert_eq!(path.mtu.size(), MAX);
    assert!(path.sent.len() - before < 50, "{} probes in 8 s", path.sent.len() - before);
    path.limit = MAX;
    path.run(Duration::from_secs(2));
    assert_eq!(path.mtu.size(), MAX);
}

#[test]
fn another_path_is_measured_anew() {
    let mut path = Path::new(MAX);
    path.run(Duration::from_secs(1));
    path.limit = 700;
    path.mtu.restart();
    assert_eq!(path.mtu.size(), BASE);
    path.run(Duration::from_secs(5));
    assert!((700 - STEP..=700).contains(&path.mtu.size()));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut path = Path::new(0);
    path.mtu.size = MAX;
    for packet in 0..1_000 {
        let left = path.now;
        path.mtu.suspect(left, Suspect { packet, left, size: MAX, first: First::Lost });
        path.run(10 * MS);
        assert!(path.mtu.suspects.len() <= SUSPECTS && path.mtu.probes.len() <= PROBES);
    }
}

#[test]
fn chance_needs_more_evidence_where_more_is_lost() {
    assert_eq!([0.0, 0.05, 0.2, 0.5, 1.0].map(needed), [4, 4, 7, 16, 16]);
}
