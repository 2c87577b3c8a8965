//! Bottleneck simulator for tests: flows of packets through one queue, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::congestion::RateController;
use crate::congestion::ack::{AckSummary, RttEstimator};
use crate::sctp::settings::DataPathSettings;
use crate::{Config, Congestion};

/// Time goes on in such steps.
const STEP: Duration = Duration::from_micros(500);

/// A bottleneck that all flows share. The rate is in bytes a second, the queue in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BottleneckLink {
    pub(crate) rate: f64,
    pub(crate) queue_secs: f64,
    pub(crate) loss: f64,
    pub(crate) jitter: f64,
    /// There and back, when nothing queues.
    pub(crate) rtt: Duration,
}

impl Default for BottleneckLink {
    fn default() -> BottleneckLink {
        let rtt = Duration::from_millis(40);
        BottleneckLink { rate: 125_000.0, queue_secs: 0.1, loss: 0.0, jitter: 0.0, rtt }
    }
}

/// One sender, and what became of what it sent.
#[derive(Debug)]
pub(crate) struct PacedFlow {
    pub(crate) rate_controller: RateController,
    rtt: RttEstimator,
    /// Packets that are offered, bytes of each, and seconds between two.
    packet_size: usize,
    send_interval: f64,
    next_send: f64,
    /// When the peer tells, when the packet left, and whether it arrived.
    pending_acks: VecDeque<(f64, f64, bool)>,
    unacked_packets: u32,
    pub(crate) packets_sent: u32,
    pub(crate) sends_deferred: u32,
    /// Bytes that arrived, and how long each packet queued, in seconds.
    pub(crate) bytes_delivered: f64,
    pub(crate) queue_delays: Vec<f64>,
}

impl PacedFlow {
    pub(crate) fn new(congestion: Congestion, per_second: f64, bytes: usize) -> PacedFlow {
        PacedFlow::from_config(&Config { congestion, ..Config::new(Vec::new()) }, per_second, bytes)
    }

    pub(crate) fn from_config(config: &Config, per_second: f64, packet_size: usize) -> PacedFlow {
        PacedFlow {
            rate_controller: RateController::new(
                Instant::now(),
                DataPathSettings::from_config(config),
            ),
            rtt: RttEstimator::default(),
            packet_size,
            send_interval: 1.0 / per_second,
            next_send: 0.0,
            pending_acks: VecDeque::new(),
            unacked_packets: 0,
            packets_sent: 0,
            sends_deferred: 0,
            bytes_delivered: 0.0,
            queue_delays: Vec::new(),
        }
    }

    /// Forgets what was counted so far.
    pub(crate) fn reset_counts(&mut self) {
        (self.packets_sent, self.sends_deferred, self.bytes_delivered) = (0, 0, 0.0);
        self.queue_delays.clear();
    }

    /// This share of packets queued at most so long, in seconds.
    pub(crate) fn queue_delay_quantile(&self, share: f64) -> f64 {
        let mut sorted = self.queue_delays.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    }

    fn process_acks(&mut self, begin: Instant, now: f64) {
        while let Some((at, left, arrived)) = self.pending_acks.front().copied()
            && at <= now
        {
            self.pending_acks.pop_front();
            let mut told = AckSummary { burst_factor: 1.0, ..AckSummary::default() };
            if !arrived {
                told.add_loss(begin + Duration::from_secs_f64(left));
            }
            if arrived {
                // Every second packet is acknowledged.
                self.unacked_packets += 1;
                told = AckSummary { packets_acked: 1, bytes_acked: self.packet_size, ..told };
                if self.unacked_packets == 2 {
                    self.unacked_packets = 0;
                    let rtt = Duration::from_secs_f64(at - left);
                    self.rtt.add_sample(rtt, true);
                    told.rtt_sample = Some(rtt);
                }
            }
            self.rate_controller.on_ack(begin + Duration::from_secs_f64(now), &told, &self.rtt);
        }
    }
}

/// Lets the flows send for some seconds; `others` is what else is on the road, in bytes a
/// second.
pub(crate) struct BottleneckSim {
    start: Instant,
    now: f64,
    random: StdRng,
    queued_bytes: f64,
    pub(crate) link: BottleneckLink,
    pub(crate) cross_traffic_rate: f64,
}

impl BottleneckSim {
    pub(crate) fn new(link: BottleneckLink, seed: u64) -> BottleneckSim {
        let random = StdRng::seed_from_u64(seed);
        BottleneckSim {
            start: Instant::now(),
            now: 0.0,
            random,
            queued_bytes: 0.0,
            link,
            cross_traffic_rate: 0.0,
        }
    }

    pub(crate) fn run(&mut self, flows: &mut [PacedFlow], seconds: f64) {
        let end = self.now + seconds;
        while self.now < end {
            self.now += STEP.as_secs_f64();
            let passed = (self.link.rate - self.cross_traffic_rate) * STEP.as_secs_f64();
            self.queued_bytes =
                (self.queued_bytes - passed).clamp(0.0, self.link.rate * self.link.queue_secs);
            for flow in flows.iter_mut() {
                flow.process_acks(self.start, self.now);
                self.send(flow);
            }
        }
    }

    fn send(&mut self, flow: &mut PacedFlow) {
        let now = self.start + Duration::from_secs_f64(self.now);
        if self.now < flow.next_send {
            return;
        }
        flow.next_send = flow.next_send.max(self.now - flow.send_interval) + flow.send_interval;
        if flow.rate_controller.poll_ready(now, 0).is_err() {
            flow.sends_deferred += 1;
            return;
        }
        flow.packets_sent += 1;
        flow.rate_controller.on_send(now, flow.packet_size, flow.packet_size);
        let fits =
            self.queued_bytes + flow.packet_size as f64 <= self.link.rate * self.link.queue_secs;
        let arrives = fits && !self.random.random_bool(self.link.loss);
        let queued = self.queued_bytes / self.link.rate;
        if fits {
            self.queued_bytes += flow.packet_size as f64;
        }
        if arrives {
            flow.bytes_delivered += flow.packet_size as f64;
            flow.queue_delays.push(queued);
        }
        let jitter = self.link.jitter * self.random.random::<f64>();
        let told = self.now + queued + jitter + self.link.rtt.as_secs_f64();
        let told = flow.pending_acks.back().map_or(told, |(last, ..)| told.max(*last));
        flow.pending_acks.push_back((told, self.now, arrives));
    }
}
