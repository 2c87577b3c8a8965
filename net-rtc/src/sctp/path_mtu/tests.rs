//! Tests of the path MTU search: found sizes and cost.

use crate::sctp::packet::chunks;
use crate::sctp::path_mtu::*;

const HEADER: CommonHeader =
    CommonHeader { source_port: 1, destination_port: 2, verification_tag: 3 };
const MS: Duration = Duration::from_millis(1);
const RTT: Duration = Duration::from_millis(40);

/// A path that answers what is no longer than its limit, a round trip later.
struct MtuTestPath {
    now: Instant,
    path_mtu: PathMtu,
    rtt: RttEstimator,
    max_packet_len: usize,
    /// Whether answers are as limited as what they answer.
    is_return_limited: bool,
    in_flight_acks: VecDeque<(Instant, Vec<u8>)>,
    /// Lengths of all probes.
    probe_lens: Vec<usize>,
    next_packet_number: u32,
}

impl MtuTestPath {
    fn new(max_packet_len: usize) -> MtuTestPath {
        let mut rtt = RttEstimator::default();
        rtt.add_sample(RTT, true);
        let (now, in_flight_acks) = (Instant::now(), VecDeque::new());
        let (path_mtu, probe_lens) = (PathMtu::new(), Vec::new());
        MtuTestPath {
            now,
            path_mtu,
            rtt,
            max_packet_len,
            is_return_limited: false,
            in_flight_acks,
            probe_lens,
            next_packet_number: 0,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let answer = self.in_flight_acks.front().map(|(at, _)| *at);
            let next =
                answer.into_iter().chain(self.path_mtu.next_timeout(self.now, &self.rtt)).min();
            let Some(next) = next.filter(|next| *next < end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while self.in_flight_acks.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, packet) = self.in_flight_acks.pop_front().expect("there is one");
            let heartbeat = chunks(&packet).next().expect("a heartbeat");
            assert!(self.path_mtu.on_heartbeat_ack(self.now, &heartbeat));
        }
        self.path_mtu.detect_losses(self.now, &self.rtt, 0.0);
        if self.path_mtu.is_probe_due(self.now) {
            for packet in self.path_mtu.poll_probes(self.now, HEADER) {
                self.probe_lens.push(packet.len());
                let back = chunks(&packet).next().expect("a heartbeat").value.len();
                let passes_back = !self.is_return_limited || back < BASE_PLPMTU;
                if packet.len() <= self.max_packet_len && passes_back {
                    self.in_flight_acks.push_back((self.now + RTT, packet));
                }
            }
        }
    }

    /// A packet of data leaves, and what becomes of it is known some time later.
    fn send_data(&mut self, size: usize) {
        let (left, packet) = (self.now, self.next_packet_number);
        self.next_packet_number += 1;
        self.run(RTT * 2);
        match size <= self.max_packet_len {
            true => self.path_mtu.on_ack(left, size),
            false => {
                self.path_mtu.add_suspect(
                    self.now,
                    MtuSuspect {
                        packet_number: packet,
                        sent_at: left,
                        size,
                        first_transmission: FirstTransmission::Lost,
                    },
                );
            }
        }
    }
}

#[test]
fn a_path_that_carries_all_is_known_by_one_probe() {
    let mut path = MtuTestPath::new(MAX_PLPMTU);
    assert_eq!(path.path_mtu.current_mtu(), BASE_PLPMTU, "nothing is known yet");
    path.run(RTT + 2 * MS);
    assert_eq!(path.path_mtu.current_mtu(), MAX_PLPMTU);
    path.run(Duration::from_secs(3_600));
    assert_eq!(path.probe_lens, [MAX_PLPMTU]);
}

#[test]
fn the_limit_is_found_and_the_search_ends() {
    for limit in (BASE_PLPMTU..MAX_PLPMTU).step_by(4) {
        let mut path = MtuTestPath::new(limit);
        path.run(Duration::from_secs(5));
        let size = path.path_mtu.current_mtu();
        assert!(size <= limit && limit - size < SEARCH_GRANULARITY, "{size} for {limit}");
        let bytes: usize = path.probe_lens.iter().sum();
        assert!(bytes < 40_000, "{bytes} bytes for {limit}");
    }
}

#[test]
fn a_limit_is_tried_again_now_and_then_and_less_and_less_often() {
    let mut path = MtuTestPath::new(900);
    path.run(Duration::from_secs(5));
    let (size, found) = (path.path_mtu.current_mtu(), path.probe_lens.len());
    path.run(Duration::from_secs(3_600));
    assert_eq!(path.path_mtu.current_mtu(), size);
    let again = path.probe_lens.len() - found;
    assert!((12..80).contains(&again), "{again} probes in an hour");
    path.max_packet_len = MAX_PLPMTU;
    path.run(MAX_RAISE_TIMER + Duration::from_secs(1));
    assert_eq!(path.path_mtu.current_mtu(), MAX_PLPMTU);
}

#[test]
fn a_narrow_way_back_is_no_limit() {
    let mut path = MtuTestPath::new(MAX_PLPMTU);
    path.is_return_limited = true;
    path.run(Duration::from_secs(2));
    assert_eq!(path.path_mtu.current_mtu(), MAX_PLPMTU);
}

#[test]
fn a_path_that_carries_less_later_is_noticed() {
    for limit in [BASE_PLPMTU, 800, 1_050] {
        let mut path = MtuTestPath::new(MAX_PLPMTU);
        path.run(Duration::from_secs(1));
        path.max_packet_len = limit;
        let began = path.now;
        while path.path_mtu.current_mtu() > limit {
            path.send_data(MAX_PLPMTU);
            assert!(path.now < began + Duration::from_secs(1), "limit {limit}");
        }
        assert!(path.path_mtu.take_cleared().is_empty(), "that was not chance");
        path.run(Duration::from_secs(5));
        assert!(limit - path.path_mtu.current_mtu() < SEARCH_GRANULARITY);
    }
}

#[test]
fn what_one_as_long_outlives_was_lost_by_chance() {
    let mut path = MtuTestPath::new(MAX_PLPMTU);
    path.run(Duration::from_secs(1));
    for packet in 0..1_000 {
        let left = path.now;
        let suspect = MtuSuspect {
            packet_number: packet,
            sent_at: left,
            size: MAX_PLPMTU,
            first_transmission: FirstTransmission::Lost,
        };
        path.path_mtu.add_suspect(path.now, suspect);
        path.run(10 * MS);
        path.path_mtu.on_ack(path.now, MAX_PLPMTU);
        assert_eq!(path.path_mtu.take_cleared(), [suspect]);
    }
    assert_eq!(
        (path.path_mtu.current_mtu(), path.probe_lens.len()),
        (MAX_PLPMTU, 1),
        "nothing was asked"
    );
}

#[test]
fn an_outage_is_no_limit_and_costs_little() {
    let mut path = MtuTestPath::new(MAX_PLPMTU);
    path.run(Duration::from_secs(1));
    path.max_packet_len = 0;
    let before = path.probe_lens.len();
    for _ in 0..100 {
        path.send_data(MAX_PLPMTU);
    }
    assert_eq!(path.path_mtu.current_mtu(), MAX_PLPMTU);
    assert!(
        path.probe_lens.len() - before < 50,
        "{} probes in 8 s",
        path.probe_lens.len() - before
    );
    path.max_packet_len = MAX_PLPMTU;
    path.run(Duration::from_secs(2));
    assert_eq!(path.path_mtu.current_mtu(), MAX_PLPMTU);
}

#[test]
fn another_path_is_measured_anew() {
    let mut path = MtuTestPath::new(MAX_PLPMTU);
    path.run(Duration::from_secs(1));
    path.max_packet_len = 700;
    path.path_mtu.restart();
    assert_eq!(path.path_mtu.current_mtu(), BASE_PLPMTU);
    path.run(Duration::from_secs(5));
    assert!((700 - SEARCH_GRANULARITY..=700).contains(&path.path_mtu.current_mtu()));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut path = MtuTestPath::new(0);
    path.path_mtu.current_mtu = MAX_PLPMTU;
    for packet in 0..1_000 {
        let left = path.now;
        path.path_mtu.add_suspect(
            left,
            MtuSuspect {
                packet_number: packet,
                sent_at: left,
                size: MAX_PLPMTU,
                first_transmission: FirstTransmission::Lost,
            },
        );
        path.run(10 * MS);
        assert!(
            path.path_mtu.suspects.len() <= MAX_SUSPECTS
                && path.path_mtu.in_flight_probes.len() <= MAX_IN_FLIGHT_PROBES
        );
    }
}

#[test]
fn chance_needs_more_evidence_where_more_is_lost() {
    assert_eq!([0.0, 0.05, 0.2, 0.5, 1.0].map(required_losses), [4, 4, 7, 16, 16]);
}
