//! TCP's congestion window: slow start (RFC 5681 §3.1) and CUBIC (RFC 9438).

use std::time::{Duration, Instant};

/// RFC 9438 §5.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// RFC 6928.
const INITIAL: f64 = 10.0;
const LEAST: f64 = 2.0;

/// A window in segments.
#[derive(Clone, Debug)]
pub struct Cubic {
    window: f64,
    threshold: f64,
    /// The window before the last reduction.
    most: f64,
    stage: Stage,
}

/// Congestion avoidance since the last reduction.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Not begun yet. After a timeout (RFC 9438 §4.8) the curve begins at its plateau.
    Ahead { from_plateau: bool },
    /// Since then.
    Since {
        at: Instant,
        /// Seconds until the window is back at `most`.
        k: f64,
        /// What Reno's window would be.
        reno: f64,
    },
}

impl Default for Cubic {
    fn default() -> Cubic {
        Cubic {
            window: INITIAL,
            threshold: f64::MAX,
            most: 0.0,
            stage: Stage::Ahead { from_plateau: true },
        }
    }
}

impl Cubic {
    /// How many segments may be on their way.
    pub fn window(&self) -> f64 {
        self.window
    }

    /// A segment was acknowledged, while the window was all that held others back.
    pub fn on_ack(&mut self, now: Instant, round_trip: Duration) {
        if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.avoid(now, round_trip);
        }
    }

    /// Segments were lost, for the first time in this round trip (RFC 9438 §4.6, §4.7).
    pub fn on_loss(&mut self) {
        self.reduce(false);
        self.window = self.threshold;
    }

    /// Nothing came back (RFC 9438 §4.8).
    pub fn on_timeout(&mut self) {
        self.reduce(true);
        self.window = 1.0;
    }

    fn reduce(&mut self, from_plateau: bool) {
        let falling = self.window < self.most;
        self.most = if falling { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.threshold = (self.window * BETA).max(LEAST);
        self.stage = Stage::Ahead { from_plateau };
    }

    fn avoid(&mut self, now: Instant, round_trip: Duration) {
        let (at, k, reno) = match self.stage {
            Stage::Since { at, k, reno } => (at, k, reno),
            Stage::Ahead { from_plateau } => (now, self.begin(from_plateau), self.window),
        };
        // RFC 9438 §4.3: as fast as Reno, which reduces more.
        let alpha = if reno < self.most { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        let reno = reno + alpha / self.window;
        self.stage = Stage::Since { at, k, reno };
        let curve = |t: f64| C * (t - k).powi(3) + self.most;
        let t = now.saturating_duration_since(at).as_secs_f64();
        if curve(t) < reno {
            self.window = self.window.max(reno);
        } else {
            let target = curve(t + round_trip.as_secs_f64());
            let target = target.clamp(self.window, 1.5 * self.window);
            self.window += (target - self.window) / self.window;
        }
    }

    fn begin(&mut self, from_plateau: bool) -> f64 {
        if from_plateau || self.most < self.window {
            self.most = self.window;
        }
        ((self.most - self.window) / C).cbrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(100);

    /// One round trip in which everything is acknowledged.
    fn round(cubic: &mut Cubic, now: &mut Instant) {
        *now += ROUND_TRIP;
        (0..cubic.window() as u32).for_each(|_| cubic.on_ack(*now, ROUND_TRIP));
    }

    #[test]
    fn slow_start_doubles() {
        let (mut cubic, mut now) = (Cubic::default(), Instant::now());
        round(&mut cubic, &mut now);
        round(&mut cubic, &mut now);
        assert_eq!(cubic.window(), 40.0);
    }

    #[test]
    fn after_a_loss_it_comes_back_to_where_it_was_and_goes_on() {
        let (mut cubic, mut now) = (Cubic::default(), Instant::now());
        (0..4).for_each(|_| round(&mut cubic, &mut now));
        cubic.on_loss();
        assert_eq!(cubic.window(), 112.0);
        // K is the cube root of 48 / 0.4, 4.9 s.
        (0..25).for_each(|_| round(&mut cubic, &mut now));
        assert!((150.0..158.0).contains(&cubic.window()), "{}", cubic.window());
        (0..15).for_each(|_| round(&mut cubic, &mut now));
        assert!((155.0..165.0).contains(&cubic.window()), "{}", cubic.window());
        (0..60).for_each(|_| round(&mut cubic, &mut now));
        assert!(cubic.window() > 190.0, "{}", cubic.window());
    }

    #[test]
    fn a_second_loss_on_the_way_up_leaves_room_for_others() {
        let (mut cubic, mut now) = (Cubic::default(), Instant::now());
        (0..4).for_each(|_| round(&mut cubic, &mut now));
        cubic.on_loss();
        cubic.on_loss();
        assert!((cubic.most - 112.0 * 0.85).abs() < 1e-9, "{}", cubic.most);
    }

    #[test]
    fn a_timeout_begins_anew() {
        let (mut cubic, mut now) = (Cubic::default(), Instant::now());
        (0..4).for_each(|_| round(&mut cubic, &mut now));
        cubic.on_timeout();
        assert_eq!(cubic.window(), 1.0);
        (0..12).for_each(|_| round(&mut cubic, &mut now));
        assert!((112.0..125.0).contains(&cubic.window()), "{}", cubic.window());
    }
}
