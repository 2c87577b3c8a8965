//! What to make of a wait that failed.

use std::io;
use std::time::Duration;

/// How often in a row the wait may fail, and how long to pause after each time: a second in all.
const FAILURES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Counts failures, so that the loop neither spins nor gives up for one of them.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// How long to pause after this; the error once it has come too often.
    pub(super) fn judge(&mut self, result: io::Result<()>) -> io::Result<Duration> {
        match result {
            Ok(()) => self.failures = 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if self.failures == FAILURES => return Err(error),
            Err(error) => {
                if self.failures == 0 {
                    log::error!("waiting for the network failed: {error}");
                }
                self.failures += 1;
                return Ok(PAUSE);
            }
        }
        Ok(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t70_a_wait_that_fails_for_ever_neither_spins_nor_goes_on_for_ever() {
        let mut patience = Patience::default();
        let broken = || Err(io::ErrorKind::InvalidInput.into());
        let pauses: Vec<_> = (0..FAILURES).map(|_| patience.judge(broken()).unwrap()).collect();
        assert!(pauses.iter().all(|pause| *pause == PAUSE));
        assert!(patience.judge(broken()).is_err());
    }

    #[test]
    fn t70_an_interrupted_wait_is_a_short_one_and_one_that_works_ends_the_count() {
        let mut patience = Patience::default();
        for _ in 0..3 * FAILURES {
            let interrupted = Err(io::ErrorKind::Interrupted.into());
            assert_eq!(patience.judge(interrupted).unwrap(), Duration::ZERO);
        }
        for _ in 0..3 {
            for _ in 0..FAILURES {
                assert_eq!(patience.judge(Err(io::ErrorKind::Other.into())).unwrap(), PAUSE);
            }
            assert_eq!(patience.judge(Ok(())).unwrap(), Duration::ZERO);
        }
    }
}
