//! Hybrid congestion control: delay-based, TCP-friendly AIMD beside buffer-filling traffic.
//!
//! The nearest published relatives are Copa and Nimbus, which switch in the same way between a
//! delay-controlling and a TCP-competitive mode. `q` is the queuing delay: RTT - `RTprop`, less the
//! serialization time of one packet on slow paths.
//!
//! * [`Mode::DelayControl`] ([`DelayController`]) holds `q` at a target of 10 to 45 ms.
//! * [`Mode::Competitive`] ([`TcpFriendly`]) takes the share of a TCP flow.
//! * [`Mode::Probing`] ([`QueueProbe`]) decides between them: it lowers the rate for a moment and
//!   observes whether the queue drains.
//! * Loss that rises with the own send rate ([`LossDetector`]) lowers the rate to the delivered
//!   one.

use std::time::{Duration, Instant};

use log::debug;

use crate::congestion::ack::AckSummary;
use crate::congestion::delay_controller::DelayController;
use crate::congestion::loss_based::{LossDetector, LossReport, LossThresholds, TcpFriendly};
use crate::congestion::queue_probe::{ProbeReason, QueueCause, QueueProbe};
use crate::congestion::rate_sample::{MinRtt, RateSample, RateSampler};
use crate::congestion::{RateLimits, pacer, queue_probe};

/// Constant loss of up to 25 % is not self-induced; three windows in a row over 35 % are not
/// chance.
pub(super) const DELAY_BASED_THRESHOLDS: LossThresholds = LossThresholds {
    min_packets: 100,
    min_increase: 0.05,
    min_deviations: 2.5,
    heavy_loss: 0.35,
    min_heavy_windows: 3,
};
/// Queuing delay above which a standing queue is probed.
const MAX_QUEUE_DELAY: Duration = Duration::from_millis(50);
/// The same if at least [`LOSSY_SHARE`] is lost at the same time: a flow that joins a full queue
/// does not measure all of its delay.
const MAX_LOSSY_QUEUE_DELAY: Duration = Duration::from_millis(25);
const LOSSY_SHARE: f64 = 0.03;
/// Burst size while the path limits the rate, in seconds at the rate.
const LIMITED_BURST_SECS: f64 = 0.01;
/// Interval between probes that drain the own queue, to measure `RTprop` and to look for cross
/// traffic.
const PERIODIC_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// The same after cross traffic was found for the first time; doubles each time, up to
/// [`PERIODIC_PROBE_INTERVAL`].
const COMPETITIVE_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Delay of a repeated probe after an ambiguous result.
const REPEAT_PROBE_DELAY: Duration = Duration::from_millis(400);
/// Consecutive samples with a queue of [`MAX_QUEUE_DELAY`] or more that start a probe.
const PERSISTENT_QUEUE_SAMPLES: u32 = 4;
/// The same, to assume cross traffic without a probe when the send rate is at its minimum.
const UNRESPONSIVE_QUEUE_SAMPLES: u32 = 10;
/// A flow that sends less than this multiple of its delivery rate was application-limited; its
/// competitive rate is [`APP_LIMITED_GAIN`] times its send rate.
const APP_LIMITED_BELOW: f64 = 1.2;
const APP_LIMITED_GAIN: f64 = 1.5;

/// Delay-based congestion controller with a TCP-competitive mode.
#[derive(Debug)]
pub(super) struct DelayBased {
    rate: f64,
    mode: Mode,
    sampler: RateSampler,
    loss_detector: LossDetector,
    /// Serialization time of one packet above [`queue_probe::EMPTY_QUEUE_DELAY`]; no part of `q`.
    one_packet_delay: Duration,
    /// Consecutive probes that found cross traffic.
    cross_traffic_count: u32,
    /// Time of the last rate decrease. Losses of packets sent before it are ignored.
    last_decrease: Instant,
}

/// ```text
///   Unlimited --standing queue--> Probing --self-induced--> DelayControl --no limit--> Unlimited
///                                 ^    '--cross traffic--> Competitive --it ends--> DelayControl
///                                 '-- ProbeTimer, from DelayControl and Competitive
/// ```
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// The path does not limit the rate. Counts consecutive samples with some queue and loss.
    Unlimited(u32),
    /// A probe of the queue's cause, and the controller of a self-induced queue.
    Probing(QueueProbe, DelayController),
    /// The queue is self-induced and is kept short.
    DelayControl(ProbeTimer, DelayController),
    /// Cross traffic fills the queue: TCP-friendly AIMD.
    Competitive(ProbeTimer, TcpFriendly),
}

/// Time of the next queue probe.
#[derive(Clone, Copy, Debug)]
struct ProbeTimer {
    next_probe: Instant,
    /// Whether the next probe repeats an ambiguous one.
    is_repeat: bool,
    /// Consecutive samples with a queue of [`MAX_QUEUE_DELAY`] or more.
    long_queue_samples: u32,
}

impl ProbeTimer {
    fn new(now: Instant) -> ProbeTimer {
        ProbeTimer {
            next_probe: now + PERIODIC_PROBE_INTERVAL,
            is_repeat: false,
            long_queue_samples: 0,
        }
    }

    /// Returns the timer after `others` earlier probes in a row found cross traffic.
    fn backed_off(now: Instant, others: u32) -> ProbeTimer {
        let pause = COMPETITIVE_PROBE_INTERVAL * (1 << others.min(4));
        ProbeTimer { next_probe: now + pause.min(PERIODIC_PROBE_INTERVAL), ..ProbeTimer::new(now) }
    }

    /// Returns the timer after an ambiguous probe.
    fn repeat(now: Instant) -> ProbeTimer {
        ProbeTimer { next_probe: now + REPEAT_PROBE_DELAY, is_repeat: true, long_queue_samples: 0 }
    }

    /// Takes a queue sample; returns whether to probe now.
    fn is_due(&mut self, now: Instant, queue: Duration) -> bool {
        self.long_queue_samples =
            if queue >= MAX_QUEUE_DELAY { self.long_queue_samples + 1 } else { 0 };
        (now >= self.next_probe && queue >= queue_probe::EMPTY_QUEUE_DELAY)
            || self.is_queue_persistent()
    }

    fn is_queue_persistent(&self) -> bool {
        self.long_queue_samples >= PERSISTENT_QUEUE_SAMPLES
    }

    fn is_queue_unresponsive(&self) -> bool {
        self.long_queue_samples >= UNRESPONSIVE_QUEUE_SAMPLES
    }

    fn probe_reason(&self) -> ProbeReason {
        match (self.is_repeat, self.is_queue_persistent()) {
            (true, _) => ProbeReason::Repeat,
            (false, true) => ProbeReason::Uncertain,
            (false, false) => ProbeReason::Periodic,
        }
    }
}

impl DelayBased {
    pub(super) fn new(now: Instant, limits: RateLimits) -> DelayBased {
        DelayBased {
            rate: limits.max_rate,
            mode: Mode::Unlimited(0),
            sampler: RateSampler::new(now),
            loss_detector: LossDetector::new(now, DELAY_BASED_THRESHOLDS),
            one_packet_delay: Duration::ZERO,
            cross_traffic_count: 0,
            last_decrease: now,
        }
    }

    pub(super) fn on_send(&mut self, bytes: usize) {
        self.sampler.on_send(bytes);
        self.loss_detector.on_send(bytes);
    }

    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        told: &AckSummary,
        least: &MinRtt,
        limits: RateLimits,
    ) {
        let told = &self.without_stale_losses(*told);
        if let Some(verdict) = self.loss_detector.on_ack(now, told) {
            self.on_loss_report(now, verdict, limits);
        }
        let seen = self.sampler.on_ack(now, told, least.rtt());
        match (self.mode, seen) {
            (Mode::Probing(dip, hold), _) => {
                self.on_probe_sample(now, dip, hold, told.rtt_sample, least, limits)
            }
            (_, Some(seen)) => {
                self.one_packet_delay =
                    one_packet_delay(limits.avg_packet_size / seen.delivery_rate);
                self.on_sample(now, self.queuing_delay(seen.min_rtt, least), seen, limits);
            }
            _ => {}
        }
    }

    /// Returns the summary without losses of packets sent before the last rate decrease.
    fn without_stale_losses(&self, told: AckSummary) -> AckSummary {
        let old = told.last_lost_sent_at.is_some_and(|left| left <= self.last_decrease);
        AckSummary { packets_lost: if old { 0 } else { told.packets_lost }, ..told }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Returns the burst size, in seconds at the rate.
    pub(super) fn burst_secs(&self) -> f64 {
        if matches!(self.mode, Mode::Unlimited(_)) { pacer::BURST_SECS } else { LIMITED_BURST_SECS }
    }

    fn queuing_delay(&self, rtt: Duration, least: &MinRtt) -> Duration {
        least.queuing_delay(rtt).saturating_sub(self.one_packet_delay)
    }

    fn on_sample(&mut self, now: Instant, queue: Duration, seen: RateSample, limits: RateLimits) {
        let asks = match &mut self.mode {
            Mode::Unlimited(strained) => {
                let is_strained = queue >= MAX_LOSSY_QUEUE_DELAY && seen.loss >= LOSSY_SHARE;
                *strained = if is_strained { *strained + 1 } else { 0 };
                queue >= MAX_QUEUE_DELAY || *strained >= PERSISTENT_QUEUE_SAMPLES
            }
            Mode::DelayControl(doubt, _) => doubt.is_due(now, queue),
            Mode::Competitive(doubt, _) => now >= doubt.next_probe,
            Mode::Probing(..) => false,
        };
        if asks && seen.send_rate > limits.min_rate {
            return self.start_probe(now, queue, seen, limits);
        }
        if let Mode::DelayControl(doubt, _) = self.mode
            && doubt.is_queue_unresponsive()
        {
            // The rate is at its minimum and the queue still stands.
            return self.enter_competitive(now, self.rate, limits);
        }
        match self.mode {
            Mode::Unlimited(_) | Mode::Probing(..) => {}
            Mode::DelayControl(doubt, hold) => {
                self.update_delay_control(doubt, hold, queue, seen, limits)
            }
            Mode::Competitive(doubt, compete) => {
                self.update_competitive(now, doubt, compete, queue, seen, limits);
            }
        }
    }

    /// Starts a probe of the queue's cause.
    fn start_probe(&mut self, now: Instant, queue: Duration, seen: RateSample, limits: RateLimits) {
        let hold = match self.mode {
            Mode::DelayControl(_, hold) => hold.after_drain(),
            _ => DelayController::new(seen.delivery_rate, 0.0),
        };
        let sparse = seen.send_rate < seen.delivery_rate * APP_LIMITED_BELOW;
        let share = if sparse { seen.send_rate * APP_LIMITED_GAIN } else { seen.delivery_rate };
        self.last_decrease = now;
        let dip = QueueProbe::new(now, self.probe_reason(), queue, hold.capacity(), share);
        self.rate = limits.clamp(dip.rate(now));
        self.set_mode(Mode::Probing(dip, hold));
    }

    fn probe_reason(&self) -> ProbeReason {
        match self.mode {
            Mode::DelayControl(doubt, _) => doubt.probe_reason(),
            Mode::Competitive(..) => ProbeReason::Uncertain,
            Mode::Unlimited(_) | Mode::Probing(..) => ProbeReason::NewQueue,
        }
    }

    fn on_probe_sample(
        &mut self,
        now: Instant,
        mut dip: QueueProbe,
        hold: DelayController,
        rtt: Option<Duration>,
        least: &MinRtt,
        limits: RateLimits,
    ) {
        let found = rtt.and_then(|rtt| dip.on_sample(now - rtt, self.queuing_delay(rtt, least)));
        let owner = found.or(dip.poll_timeout(now, least.rtt().unwrap_or_default()));
        self.rate = limits.clamp(dip.rate(now));
        self.mode = Mode::Probing(dip, hold);
        if let Some(owner) = owner {
            self.sampler = RateSampler::new(now);
            self.loss_detector.reset(now);
            self.finish_probe(now, dip, hold, owner, limits);
        }
    }

    fn finish_probe(
        &mut self,
        now: Instant,
        dip: QueueProbe,
        hold: DelayController,
        owner: QueueCause,
        limits: RateLimits,
    ) {
        match (owner, dip.reason) {
            (_, ProbeReason::Periodic) => {
                self.cross_traffic_count = 0;
                self.enter_delay_control(ProbeTimer::new(now), hold, limits);
            }
            (QueueCause::SelfInduced, ProbeReason::Uncertain)
            | (QueueCause::CrossTraffic, ProbeReason::NewQueue) => {
                self.enter_delay_control(ProbeTimer::repeat(now), hold, limits);
            }
            (QueueCause::SelfInduced, _) => {
                self.enter_delay_control(ProbeTimer::new(now), hold, limits)
            }
            (QueueCause::CrossTraffic, _) => {
                self.enter_competitive(now, dip.competitive_rate, limits);
            }
        }
    }

    fn enter_competitive(&mut self, now: Instant, rate: f64, limits: RateLimits) {
        self.rate = limits.clamp(rate);
        let doubt = ProbeTimer::backed_off(now, self.cross_traffic_count);
        self.cross_traffic_count += 1;
        self.set_mode(Mode::Competitive(doubt, TcpFriendly::new(self.rate)));
    }

    fn enter_delay_control(
        &mut self,
        doubt: ProbeTimer,
        hold: DelayController,
        limits: RateLimits,
    ) {
        self.rate = limits.clamp(hold.capacity());
        self.set_mode(Mode::DelayControl(doubt, hold));
    }

    fn update_delay_control(
        &mut self,
        doubt: ProbeTimer,
        mut hold: DelayController,
        queue: Duration,
        seen: RateSample,
        limits: RateLimits,
    ) {
        self.rate = limits.clamp(hold.update_rate(queue, seen, MAX_QUEUE_DELAY));
        self.mode = Mode::DelayControl(doubt, hold);
        if self.rate >= limits.max_rate {
            self.set_mode(Mode::Unlimited(0));
        }
    }

    fn update_competitive(
        &mut self,
        now: Instant,
        doubt: ProbeTimer,
        mut compete: TcpFriendly,
        queue: Duration,
        seen: RateSample,
        limits: RateLimits,
    ) {
        let before = self.rate;
        self.rate = limits.clamp(compete.update_rate(queue, seen));
        if self.rate < before {
            self.last_decrease = now;
        }
        self.mode = Mode::Competitive(doubt, compete);
        if compete.is_uncontended() {
            self.enter_delay_control(
                ProbeTimer::new(now),
                DelayController::new(self.rate, 0.0),
                limits,
            );
        }
    }

    /// Lowers the rate to the delivered one after self-induced loss. [`Mode::Competitive`] reacts
    /// to each loss on its own.
    fn on_loss_report(&mut self, now: Instant, verdict: LossReport, limits: RateLimits) {
        if verdict.is_self_induced
            && matches!(self.mode, Mode::Unlimited(_) | Mode::DelayControl(..))
        {
            self.last_decrease = now;
            let passed = verdict.send_rate * (1.0 - verdict.loss) / (1.0 - verdict.baseline_loss);
            let hold = DelayController::new(passed.min(self.rate), verdict.baseline_loss);
            self.enter_delay_control(ProbeTimer::new(now), hold, limits);
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        debug!("{:?} -> {mode:?} at {:.0} B/s", self.mode, self.rate);
        self.mode = mode;
    }
}

/// Returns the serialization time of one packet above [`queue_probe::EMPTY_QUEUE_DELAY`] (10 ms).
/// The wait for one packet is no queue (RFC 8289 §4.3). `packet` is that time in seconds, counted
/// up to 1 s.
fn one_packet_delay(packet: f64) -> Duration {
    Duration::from_secs_f64(packet.min(1.0)).saturating_sub(queue_probe::EMPTY_QUEUE_DELAY)
}
