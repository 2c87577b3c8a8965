//! How much is written to the log.

use std::time::{Duration, Instant};

/// Bounds the lines of one kind.
#[derive(Debug)]
pub(super) struct Lines {
    /// In a second.
    most: u32,
    /// When the second began, and how many lines it has seen.
    second: Option<(Instant, u32)>,
    unwritten: u64,
}

impl Lines {
    pub(super) fn new(most: u32) -> Lines {
        Lines { most, second: None, unwritten: 0 }
    }

    /// Whether a line may be written now, and if so how many were not since the last one.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        let (began, lines) = match self.second {
            Some((began, lines)) if now < began + Duration::from_secs(1) => (began, lines),
            _ => (now, 0),
        };
        self.second = Some((began, (lines + 1).min(self.most)));
        if lines >= self.most {
            self.unwritten += 1;
            return None;
        }
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_and_the_rest_is_counted() {
        let mut lines = Lines::new(10);
        let now = Instant::now();
        let admitted = |lines: &mut Lines, at: Duration| {
            (0..100).filter_map(|_| lines.admit(now + at)).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&mut lines, Duration::ZERO), [0; 10]);
        assert_eq!(admitted(&mut lines, Duration::from_millis(999)), [0; 0]);
        let next = admitted(&mut lines, Duration::from_secs(1));
        assert_eq!((next[0], &next[1..]), (190, &[0; 9][..]));
    }
}
