//! The rate by delay, where the queue is ours, and by loss, where it is others'.

use std::time::{Duration, Instant};

use log::debug;

use crate::congestion::ack::Told;
use crate::congestion::delay_based::Hold;
use crate::congestion::loss_based::{Compete, Losses, Rule, Verdict};
use crate::congestion::queue_probe::{Dip, Owner, Reason};
use crate::congestion::rate_sample::{Least, Look, Seen};
use crate::congestion::{Limits, pacer, queue_probe};

/// Constant loss of up to a quarter is nobody's fault; three windows of more are no chance.
pub(super) const RULE: Rule = Rule { judged: 100, rise: 0.05, chance: 2.5, heavy: 0.35, times: 3 };
/// A standing queue over this is too much.
const TOO_MUCH: Duration = Duration::from_millis(50);
/// Beside such a loss less is enough: who comes to a full queue does not see all of it.
const MUCH: Duration = Duration::from_millis(25);
const LOSSY: f64 = 0.03;
/// What may leave at once while the path limits us: this many seconds' worth.
const BURST: f64 = 0.01;
/// How often the queue is emptied, to see how long the path is without it, and whose it is.
const DIP_EVERY: Duration = Duration::from_secs(10);
/// The same after it was found to be others' for the first time; doubled each time.
const DIP_AGAIN: Duration = Duration::from_secs(1);
/// The same after it looked like ours, and who knows.
const DIP_ONCE_MORE: Duration = Duration::from_millis(400);
/// So many looks in a row at a queue that is too long are enough to ask whose it is.
const STUBBORN: u32 = 4;
/// The same when there is nothing left that we could send less.
const HOPELESS: u32 = 10;
/// Whoever sends less than so many times what is delivered was not held up, and may send so
/// many times as much.
const SPARSE: f64 = 1.2;
const MORE: f64 = 1.5;

/// Goes by the delay that our own packets build up; beside others, who fill the queue whatever
/// we do, as TCP would; and by loss that rises with our own rate.
#[derive(Debug)]
pub(super) struct Adaptive {
    rate: f64,
    mode: Mode,
    look: Look,
    losses: Losses,
    /// What of a queue is but the packet before, where one takes long.
    slack: Duration,
    /// How often in a row the queue was others'.
    others: u32,
    /// When the rate was last cut. What was lost before is no news.
    cut: Instant,
}

/// ```text
///   Free --standing queue--> Dip --it is ours------> Yield --nothing limits us--> Free
///                             ^ '--it is others'--> Compete --it is gone--> Yield
///                             '---- now and then ----'
/// ```
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Nothing is known to limit us. So many looks in a row there was some queue, and loss.
    Free(u32),
    /// Finding out whose queue it is; if it is ours, it is held short then.
    Dip(Dip, Hold),
    /// The queue is ours, and is kept short.
    Yield(Doubt, Hold),
    /// The queue is others', and so we take our share as TCP does.
    Compete(Doubt, Compete),
}

/// When to look again whose queue it is.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    next_dip: Instant,
    /// Whether it was just asked, and is asked once more.
    again: bool,
    /// Looks in a row at a queue that is too long.
    stubborn: u32,
}

impl Doubt {
    fn new(now: Instant) -> Doubt {
        Doubt { next_dip: now + DIP_EVERY, again: false, stubborn: 0 }
    }

    /// After the queue was found to be others' so many times in a row.
    fn after(now: Instant, others: u32) -> Doubt {
        let pause = DIP_AGAIN * (1 << others.min(4));
        Doubt { next_dip: now + pause.min(DIP_EVERY), ..Doubt::new(now) }
    }

    /// After it looked like ours, and who knows.
    fn again(now: Instant) -> Doubt {
        Doubt { next_dip: now + DIP_ONCE_MORE, again: true, stubborn: 0 }
    }

    /// Whether it is time.
    fn grows(&mut self, now: Instant, queue: Duration) -> bool {
        self.stubborn = if queue >= TOO_MUCH { self.stubborn + 1 } else { 0 };
        (now >= self.next_dip && queue >= queue_probe::GONE) || self.is_stubborn()
    }

    fn is_stubborn(&self) -> bool {
        self.stubborn >= STUBBORN
    }

    fn is_hopeless(&self) -> bool {
        self.stubborn >= HOPELESS
    }

    fn reason(&self) -> Reason {
        match (self.again, self.is_stubborn()) {
            (true, _) => Reason::Again,
            (false, true) => Reason::Doubt,
            (false, false) => Reason::Routine,
        }
    }
}

impl Adaptive {
    pub(super) fn new(now: Instant, limits: Limits) -> Adaptive {
        Adaptive {
            rate: limits.most,
            mode: Mode::Free(0),
            look: Look::new(now),
            losses: Losses::new(now, RULE),
            slack: Duration::ZERO,
            others: 0,
            cut: now,
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.look.sent(bytes);
        self.losses.sent(bytes);
    }

    pub(super) fn told(&mut self, now: Instant, told: &Told, least: &Least, limits: Limits) {
        let told = &self.news(*told);
        if let Some(verdict) = self.losses.told(now, told) {
            self.blame(now, verdict, limits);
        }
        let seen = self.look.told(now, told, least.rtt());
        match (self.mode, seen) {
            (Mode::Dip(dip, hold), _) => self.look_around(now, dip, hold, told.rtt, least, limits),
            (_, Some(seen)) => {
                self.slack = slack(limits.packet / seen.delivered);
                self.adjust(now, self.queue(seen.rtt, least), seen, limits);
            }
            _ => {}
        }
    }

    /// Without what was lost before the rate was cut.
    fn news(&self, told: Told) -> Told {
        let old = told.lost_left.is_some_and(|left| left <= self.cut);
        Told { lost: if old { 0 } else { told.lost }, ..told }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// What may leave at once, in seconds at the rate.
    pub(super) fn burst(&self) -> f64 {
        if matches!(self.mode, Mode::Free(_)) { pacer::BURST } else { BURST }
    }

    fn queue(&self, rtt: Duration, least: &Least) -> Duration {
        least.over(rtt).saturating_sub(self.slack)
    }

    fn adjust(&mut self, now: Instant, queue: Duration, seen: Seen, limits: Limits) {
        let asks = match &mut self.mode {
            Mode::Free(strained) => {
                let is_strained = queue >= MUCH && seen.loss >= LOSSY;
                *strained = if is_strained { *strained + 1 } else { 0 };
                queue >= TOO_MUCH || *strained >= STUBBORN
            }
            Mode::Yield(doubt, _) => doubt.grows(now, queue),
            Mode::Compete(doubt, _) => now >= doubt.next_dip,
            Mode::Dip(..) => false,
        };
        if asks && seen.sent > limits.least {
            return self.dip(now, queue, seen, limits);
        }
        if let Mode::Yield(doubt, _) = self.mode
            && doubt.is_hopeless()
        {
            // We send next to nothing, and still it is long.
            return self.begin_to_compete(now, self.rate, limits);
        }
        match self.mode {
            Mode::Free(_) | Mode::Dip(..) => {}
            Mode::Yield(doubt, hold) => self.hold(doubt, hold, queue, seen, limits),
            Mode::Compete(doubt, compete) => {
                self.compete(now, doubt, compete, queue, seen, limits);
            }
        }
    }

    /// Begins to find out whose queue it is.
    fn dip(&mut self, now: Instant, queue: Duration, seen: Seen, limits: Limits) {
        let hold = match self.mode {
            Mode::Yield(_, hold) => hold.emptied(),
            _ => Hold::new(seen.delivered, 0.0),
        };
        let sparse = seen.sent < seen.delivered * SPARSE;
        let share = if sparse { seen.sent * MORE } else { seen.delivered };
        self.cut = now;
        let dip = Dip::new(now, self.reason(), queue, hold.known(), share);
        self.rate = limits.clamp(dip.rate(now));
        self.set_mode(Mode::Dip(dip, hold));
    }

    fn reason(&self) -> Reason {
        match self.mode {
            Mode::Yield(doubt, _) => doubt.reason(),
            Mode::Compete(..) => Reason::Doubt,
            Mode::Free(_) | Mode::Dip(..) => Reason::New,
        }
    }

    fn look_around(
        &mut self,
        now: Instant,
        mut dip: Dip,
        hold: Hold,
        rtt: Option<Duration>,
        least: &Least,
        limits: Limits,
    ) {
        let found = rtt.and_then(|rtt| dip.look(now - rtt, self.queue(rtt, least)));
        let owner = found.or(dip.give_up(now, least.rtt().unwrap_or_default()));
        self.rate = limits.clamp(dip.rate(now));
        self.mode = Mode::Dip(dip, hold);
        if let Some(owner) = owner {
            self.look = Look::new(now);
            self.losses.forget(now);
            self.surface(now, dip, hold, owner, limits);
        }
    }

    fn surface(&mut self, now: Instant, dip: Dip, hold: Hold, owner: Owner, limits: Limits) {
        match (owner, dip.reason) {
            (_, Reason::Routine) => {
                self.others = 0;
                self.begin_to_yield(Doubt::new(now), hold, limits);
            }
            (Owner::Us, Reason::Doubt) | (Owner::Others, Reason::New) => {
                self.begin_to_yield(Doubt::again(now), hold, limits);
            }
            (Owner::Us, _) => self.begin_to_yield(Doubt::new(now), hold, limits),
            (Owner::Others, _) => {
                self.begin_to_compete(now, dip.share, limits);
            }
        }
    }

    fn begin_to_compete(&mut self, now: Instant, rate: f64, limits: Limits) {
        self.rate = limits.clamp(rate);
        let doubt = Doubt::after(now, self.others);
        self.others += 1;
        self.set_mode(Mode::Compete(doubt, Compete::new(self.rate)));
    }

    fn begin_to_yield(&mut self, doubt: Doubt, hold: Hold, limits: Limits) {
        self.rate = limits.clamp(hold.known());
        self.set_mode(Mode::Yield(doubt, hold));
    }

    fn hold(&mut self, doubt: Doubt, mut hold: Hold, queue: Duration, seen: Seen, limits: Limits) {
        self.rate = limits.clamp(hold.rate(queue, seen, TOO_MUCH));
        self.mode = Mode::Yield(doubt, hold);
        if self.rate >= limits.most {
            self.set_mode(Mode::Free(0));
        }
    }

    fn compete(
        &mut self,
        now: Instant,
        doubt: Doubt,
        mut compete: Compete,
        queue: Duration,
        seen: Seen,
        limits: Limits,
    ) {
        let before = self.rate;
        self.rate = limits.clamp(compete.rate(queue, seen));
        if self.rate < before {
            self.cut = now;
        }
        self.mode = Mode::Compete(doubt, compete);
        if compete.is_over() {
            self.begin_to_yield(Doubt::new(now), Hold::new(self.rate, 0.0), limits);
        }
    }

    /// Loss that is ours lowers the rate to what passes. Beside others each loss counts anyway.
    fn blame(&mut self, now: Instant, verdict: Verdict, limits: Limits) {
        if verdict.ours && matches!(self.mode, Mode::Free(_) | Mode::Yield(..)) {
            self.cut = now;
            let passed = verdict.rate * (1.0 - verdict.loss) / (1.0 - verdict.always);
            let hold = Hold::new(passed.min(self.rate), verdict.always);
            self.begin_to_yield(Doubt::new(now), hold, limits);
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        debug!("{:?} -> {mode:?} at {:.0} B/s", self.mode, self.rate);
        self.mode = mode;
    }
}

/// A packet that waits for the one before it is no queue (RFC 8289 §4.3), once a packet takes
/// longer than a short queue. Takes and gives the time of one, in seconds.
fn slack(packet: f64) -> Duration {
    Duration::from_secs_f64(packet.min(1.0)).saturating_sub(queue_probe::GONE)
}
