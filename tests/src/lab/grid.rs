//! The cells in which the unreliable path is held to its targets.

use std::time::Duration;

use super::{Cell, Load};
use crate::link::Direction;

const LOADS: [Load; 4] = [
    Load::steady(60, 200),
    Load::steady(60, 1_000),
    Load::steady(600, 200),
    Load::bursts(100, 10, 200),
];
const DELAYS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
const LOSSES: [f64; 5] = [0.0, 0.01, 0.05, 0.1, 0.2];

/// Every load over every network, both ways, for our server.
pub fn grid() -> Vec<Cell> {
    let ways = [Direction::Down, Direction::Up].into_iter();
    ways.flat_map(|way| LOADS.into_iter().map(move |load| (way, load)))
        .flat_map(|(way, load)| DELAYS.into_iter().map(move |delay| (way, load, delay)))
        .flat_map(|(way, load, delay)| LOSSES.map(|loss| Cell::new(load, delay, loss, way)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_own_name() {
        let mut names: Vec<String> = grid().iter().map(Cell::to_string).collect();
        assert_eq!(names.len(), 80);
        assert_eq!(names[6], "60/s x 200 B, 100 ms, 1 %, down");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 80);
    }
}
