//! A road for tests: flows of packets through one bottleneck, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::congestion::Pace;
use crate::congestion::ack::{Rtt, Told};
use crate::sctp::settings::Settings;
use crate::{Config, Congestion};

/// Time goes on in such steps.
const STEP: Duration = Duration::from_micros(500);

/// A bottleneck that all flows share. The rate is in bytes a second, the queue in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Road {
    pub(crate) rate: f64,
    pub(crate) queue: f64,
    pub(crate) loss: f64,
    pub(crate) jitter: f64,
    /// There and back, when nothing queues.
    pub(crate) rtt: Duration,
}

impl Default for Road {
    fn default() -> Road {
        let rtt = Duration::from_millis(40);
        Road { rate: 125_000.0, queue: 0.1, loss: 0.0, jitter: 0.0, rtt }
    }
}

/// One sender, and what became of what it sent.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) pace: Pace,
    rtt: Rtt,
    /// Packets that are offered, bytes of each, and seconds between two.
    bytes: usize,
    every: f64,
    due: f64,
    /// When the peer tells, when the packet left, and whether it arrived.
    words: VecDeque<(f64, f64, bool)>,
    owed: u32,
    pub(crate) sent: u32,
    pub(crate) held: u32,
    /// Bytes that arrived, and how long each packet queued, in seconds.
    pub(crate) arrived: f64,
    pub(crate) queued: Vec<f64>,
}

impl Flow {
    pub(crate) fn new(congestion: Congestion, per_second: f64, bytes: usize) -> Flow {
        Flow::with(&Config { congestion, ..Config::new(Vec::new()) }, per_second, bytes)
    }

    pub(crate) fn with(config: &Config, per_second: f64, bytes: usize) -> Flow {
        Flow {
            pace: Pace::new(Instant::now(), Settings::of(config)),
            rtt: Rtt::default(),
            bytes,
            every: 1.0 / per_second,
            due: 0.0,
            words: VecDeque::new(),
            owed: 0,
            sent: 0,
            held: 0,
            arrived: 0.0,
            queued: Vec::new(),
        }
    }

    /// Forgets what was counted so far.
    pub(crate) fn count_anew(&mut self) {
        (self.sent, self.held, self.arrived) = (0, 0, 0.0);
        self.queued.clear();
    }

    /// This share of packets queued at most so long, in seconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.queued.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    }

    fn hear(&mut self, begin: Instant, now: f64) {
        while let Some((at, left, arrived)) = self.words.front().copied()
            && at <= now
        {
            self.words.pop_front();
            let mut told = Told { spread: 1.0, ..Told::default() };
            if !arrived {
                told.lose(begin + Duration::from_secs_f64(left));
            }
            if arrived {
                // Every second packet is acknowledged.
                self.owed += 1;
                told = Told { arrived: 1, bytes: self.bytes, ..told };
                if self.owed == 2 {
                    self.owed = 0;
                    let rtt = Duration::from_secs_f64(at - left);
                    self.rtt.sample(rtt, true);
                    told.rtt = Some(rtt);
                }
            }
            self.pace.told(begin + Duration::from_secs_f64(now), &told, &self.rtt);
        }
    }
}

/// Lets the flows send for some seconds; `others` is what else is on the road, in bytes a
/// second.
pub(crate) struct Drive {
    begin: Instant,
    now: f64,
    random: StdRng,
    waiting: f64,
    pub(crate) road: Road,
    pub(crate) others: f64,
}

impl Drive {
    pub(crate) fn new(road: Road, seed: u64) -> Drive {
        let random = StdRng::seed_from_u64(seed);
        Drive { begin: Instant::now(), now: 0.0, random, waiting: 0.0, road, others: 0.0 }
    }

    pub(crate) fn run(&mut self, flows: &mut [Flow], seconds: f64) {
        let end = self.now + seconds;
        while self.now < end {
            self.now += STEP.as_secs_f64();
            let passed = (self.road.rate - self.others) * STEP.as_secs_f64();
            self.waiting = (self.waiting - passed).clamp(0.0, self.road.rate * self.road.queue);
            for flow in flows.iter_mut() {
                flow.hear(self.begin, self.now);
                self.send(flow);
            }
        }
    }

    fn send(&mut self, flow: &mut Flow) {
        let now = self.begin + Duration::from_secs_f64(self.now);
        if self.now < flow.due {
            return;
        }
        flow.due = flow.due.max(self.now - flow.every) + flow.every;
        if flow.pace.room(now, 0).is_err() {
            flow.held += 1;
            return;
        }
        flow.sent += 1;
        flow.pace.sent(now, flow.bytes, flow.bytes);
        let fits = self.waiting + flow.bytes as f64 <= self.road.rate * self.road.queue;
        let arrives = fits && !self.random.random_bool(self.road.loss);
        let queued = self.waiting / self.road.rate;
        if fits {
            self.waiting += flow.bytes as f64;
        }
        if arrives {
            flow.arrived += flow.bytes as f64;
            flow.queued.push(queued);
        }
        let jitter = self.road.jitter * self.random.random::<f64>();
        let told = self.now + queued + jitter + self.road.rtt.as_secs_f64();
        let told = flow.words.back().map_or(told, |(last, ..)| told.max(*last));
        flow.words.push_back((told, self.now, arrives));
    }
}
