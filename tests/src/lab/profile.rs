//! Random links, and random loads that are about right or too much for them.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Flow, Load, Rule, Scene};
use crate::cross::Cross;
use crate::link::{Conditions, HEADERS, Loss, Rate};

/// More than this no game sends one peer.
const MOST_MESSAGES: f64 = 1_500.0;
/// What others take of a link on average, at most. They do not give way, so whoever pushes them
/// out gets their share; a rule that does not must not be judged by what it leaves to them.
const MOST_CROSS: f64 = 0.2;
/// No router has room for less.
const LEAST_QUEUE: usize = 2 * (1_200 + HEADERS);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Which.
    pub number: u64,
    /// How much of the link is offered, headers not counted.
    pub offered: f64,
    /// What is played, by the default rule.
    pub scene: Scene,
}

impl Profile {
    /// The profile of this number in the series that `seed` stands for.
    pub fn draw(seed: u64, number: u64) -> Profile {
        let mut draw = Draw(StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ number));
        let bytes_per_second = draw.even_by_ratio(12_500.0, 625_000.0);
        let queue = bytes_per_second * draw.even_by_ratio(0.02, 0.5);
        let rate = Rate {
            bytes_per_second: bytes_per_second as u64,
            queue_bytes: (queue as usize).max(LEAST_QUEUE),
        };
        let delay = Duration::from_secs_f64(draw.even_by_ratio(0.005, 0.15));
        let conditions = Conditions {
            delay,
            jitter: draw.half_of_the_time(|draw| draw.milliseconds(0.0, 20.0)),
            loss: Loss::Random(draw.half_of_the_time(|draw| draw.even(0.0, 0.03))),
            ..Conditions::default()
        };
        let cross = draw.cross(bytes_per_second);
        let offered = draw.even_by_ratio(0.8, 10.0);
        let load = draw.load(offered * bytes_per_second);
        let scene = Scene {
            flows: vec![Flow { load, delay, from: Duration::ZERO }],
            conditions,
            limits: vec![(Duration::ZERO, rate)],
            cross: cross.into_iter().collect(),
            rule: Rule::Adaptive,
            time: Duration::from_secs(20),
            seed: seed.wrapping_mul(7_919).wrapping_add(number),
            ..Scene::new(load)
        };
        let offered = load.messages(Duration::from_secs(1)) as f64 * load.bytes as f64;
        Profile { number, offered: offered / bytes_per_second, scene }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conditions { delay, jitter, .. } = self.scene.conditions;
        let (_, rate) = self.scene.limits[0];
        let second = rate.bytes_per_second as f64;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "#{}: {:.2} Mbit/s, ", self.number, second * 8e-6)?;
        write!(f, "queue {:.0} ms, ", rate.queue_bytes as f64 / second * 1e3)?;
        write!(f, "{:.0} ms + {:.0} ms jitter, ", ms(delay), ms(jitter))?;
        if let Loss::Random(loss) = self.scene.conditions.loss {
            write!(f, "{:.1} % loss, ", loss * 100.0)?;
        }
        match self.scene.cross.first() {
            None => write!(f, "alone, ")?,
            Some(Cross::Steady { bytes_per_second: cross }) => {
                write!(f, "steady cross {:.0} %, ", *cross as f64 / second * 100.0)?;
            }
            Some(Cross::Bursts { bytes_per_second: cross, on, off }) => {
                let share = *cross as f64 / second * 100.0;
                write!(
                    f,
                    "bursts of cross {share:.0} % ({:.0} on, {:.0} off), ",
                    ms(*on),
                    ms(*off)
                )?;
            }
            Some(Cross::Download { .. }) => write!(f, "a download, ")?,
        }
        write!(f, "{} = {:.1} x", self.scene.flows[0].load, self.offered)
    }
}

/// Chance.
struct Draw(StdRng);

impl Draw {
    fn even(&mut self, from: f64, to: f64) -> f64 {
        self.0.random_range(from..to)
    }

    /// Each doubling as likely as any other.
    fn even_by_ratio(&mut self, from: f64, to: f64) -> f64 {
        self.even(from.ln(), to.ln()).exp()
    }

    fn milliseconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(self.even(from, to) / 1e3)
    }

    fn half_of_the_time<T: Default>(&mut self, draw: impl FnOnce(&mut Draw) -> T) -> T {
        if self.0.random() { draw(self) } else { T::default() }
    }

    /// Others, who do not give way.
    fn cross(&mut self, link: f64) -> Option<Cross> {
        match self.0.random_range(0..3) {
            0 => None,
            1 => Some(Cross::Steady {
                bytes_per_second: (link * self.even(0.05, MOST_CROSS)) as u64,
            }),
            _ => {
                let share = self.even(0.2, 0.6);
                let on = self.milliseconds(200.0, 1_500.0);
                let least = on.mul_f64(share / MOST_CROSS - 1.0);
                let off = self.milliseconds(500.0, 4_000.0).max(least);
                Some(Cross::Bursts { bytes_per_second: (link * share) as u64, on, off })
            }
        }
    }

    /// About so many bytes a second: packets in an even rhythm, or bursts as a game's tick makes
    /// them.
    fn load(&mut self, bytes_per_second: f64) -> Load {
        let bytes = self.even_by_ratio(100.0, 1_000.0);
        let messages = (bytes_per_second / bytes).clamp(1.0, MOST_MESSAGES);
        let ticks = match self.0.random() {
            true => self.even_by_ratio(20.0, 250.0),
            false => self.even(20.0, 60.0),
        };
        let burst = (messages / ticks).ceil();
        let ticks = (messages / burst).round().max(1.0);
        Load::bursts(burst as u32, ticks as u32, bytes as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_repeat_and_differ() {
        assert_eq!(Profile::draw(1, 5), Profile::draw(1, 5));
        assert_ne!(Profile::draw(1, 5).scene.limits, Profile::draw(1, 6).scene.limits);
        assert_ne!(Profile::draw(1, 5).scene.limits, Profile::draw(2, 5).scene.limits);
    }

    #[test]
    fn no_profile_is_absurd() {
        for number in 0..2_000 {
            let profile = Profile::draw(1, number);
            let load = profile.scene.flows[0].load;
            assert!(load.messages(Duration::from_secs(1)) <= 1_600, "{profile}");
            assert!((100..=1_000).contains(&load.bytes), "{profile}");
            assert!(profile.offered < 12.0, "{profile}");
            assert!(load.bursts_per_second <= 250, "{profile}");
        }
    }
}
