//! What passed the link.

use serde_json::Value;

use super::Series;
use crate::link::{Direction, Traffic};

/// One direction of the link, as the program `lossy-link` tells of it.
#[derive(Clone, Debug)]
pub struct Passage {
    direction: Direction,
    datagrams: Series,
    bytes: Series,
    udp: Series,
    other: Series,
}

/// What of the bottleneck was used: bytes a second, IP headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// By datagrams.
    pub udp: f64,
    /// By all else, TCP above all.
    pub other: f64,
}

impl Passage {
    /// Nothing told yet.
    pub fn new(direction: Direction) -> Passage {
        let (datagrams, bytes) = (Series::default(), Series::default());
        Passage { direction, datagrams, bytes, udp: Series::default(), other: Series::default() }
    }

    /// A line of the link: what it carried, if that was in this direction.
    pub fn take(&mut self, line: &Value) {
        let carried = &line["carried"];
        if carried[1] != self.direction.name() {
            return;
        }
        let number = |index: usize| carried[index].as_u64().unwrap_or(0);
        let all = [&mut self.datagrams, &mut self.bytes, &mut self.udp, &mut self.other];
        for (index, series) in (2..).zip(all) {
            series.push(number(0), number(index));
        }
    }

    /// Datagrams since then, in microseconds since 1970, whatever became of them.
    pub fn traffic(&self, from: u64) -> Traffic {
        Traffic { datagrams: self.datagrams.since(from), bytes: self.bytes.since(from) }
    }

    /// What passed between these times, in microseconds since 1970.
    pub fn usage(&self, from: u64, until: u64) -> Use {
        Use { udp: self.udp.per_second(from, until), other: self.other.per_second(from, until) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_this_direction_counts() {
        let mut passage = Passage::new(Direction::Down);
        for second in 0..4u64 {
            let row = [second * 60, second * 12_000, second * 13_680, second * 1_500];
            for way in ["up", "down"] {
                let at = second * 1_000_000;
                passage.take(&json!({ "carried": [at, way, row[0], row[1], row[2], row[3]] }));
            }
        }
        passage.take(&json!({ "stalled": [5_000_000, 25] }));
        let expected = Traffic { datagrams: 120, bytes: 24_000 };
        assert_eq!(passage.traffic(1_000_000), expected);
        assert_eq!(passage.usage(0, u64::MAX), Use { udp: 13_680.0, other: 1_500.0 });
    }
}
