//! Who attacks.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::attack::{Attacker, Kind, Means};

/// The attacker with this number in its storm.
pub(super) fn draw(seed: u64, number: usize) -> Box<dyn Attacker> {
    let mut random = StdRng::seed_from_u64(seed);
    let kinds = Kind::all();
    let kind = kinds[random.random_range(0..kinds.len())];
    kind.start(random.random(), Means::simulated(number as u32))
}
