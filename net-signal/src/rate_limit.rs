//! Limits on received texts, checked before parsing.

use std::time::{Duration, Instant};

use crate::Error;
use crate::parse::{JSON_WHITESPACE, SDP_PREFIX};

/// Rate limiter of one connection: counts its texts against its [`Limits`].
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limits: Limits,
    messages: usize,
    window: Option<Window>,
}

/// Whether a text looks like a candidate, which is not parsed, or like another message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// Likely a candidate: not needed, so not parsed.
    Candidate,
    /// Any other text.
    Other,
}

/// Counting window of one second, from its first text.
#[derive(Debug)]
struct Window {
    started: Instant,
    messages: usize,
}

impl RateLimiter {
    pub(crate) fn new(limits: Limits) -> RateLimiter {
        RateLimiter { limits, messages: 0, window: None }
    }

    /// Checks a text that may be parsed against all limits. Likely candidates count only for the
    /// rate.
    pub(crate) fn check_text(&mut self, now: Instant, text: &str) -> Result<TextKind, Error> {
        self.check_rate(now)?;
        if is_likely_candidate(text) {
            return Ok(TextKind::Candidate);
        }
        self.check_length(text)?;
        self.count_message()
    }

    /// Checks a text that is not parsed: only the rate is limited.
    pub(crate) fn check_rate(&mut self, now: Instant) -> Result<(), Error> {
        self.count_in_window(now)
    }

    fn check_length(&self, text: &str) -> Result<(), Error> {
        let (bytes, limit) = (text.len(), self.limits.max_message_size);
        match bytes <= limit {
            true => Ok(()),
            false => Err(Error::MessageTooLong { bytes, limit }),
        }
    }

    fn count_in_window(&mut self, now: Instant) -> Result<(), Error> {
        let limit = self.limits.max_messages_per_sec;
        let second = match self.window.take() {
            Some(second) if second.contains(now) => second,
            _ => Window::starting_at(now),
        };
        let texts = second.messages.saturating_add(1);
        self.window = Some(Window { messages: texts, ..second });
        match texts <= limit {
            true => Ok(()),
            false => Err(Error::RateExceeded { limit }),
        }
    }

    fn count_message(&mut self) -> Result<TextKind, Error> {
        let limit = self.limits.max_messages;
        if self.messages >= limit {
            return Err(Error::TooManyMessages { limit });
        }
        self.messages += 1;
        Ok(TextKind::Other)
    }
}

impl Window {
    fn starting_at(started: Instant) -> Window {
        Window { started, messages: 0 }
    }

    fn contains(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) < Duration::from_secs(1)
    }
}

/// Returns whether a text is likely a candidate, by a search for a few substrings. The result only
/// decides whether the text is dropped, so a client that disguises one kind as the other harms only
/// itself: a text with an `sdp` is never classified as a candidate.
fn is_likely_candidate(text: &str) -> bool {
    if text.starts_with(SDP_PREFIX) || text.contains(r#""sdp""#) {
        return false;
    }
    text.contains(r#""candidate""#)
        || text.contains(r#""ice""#)
        || text.trim_matches(JSON_WHITESPACE) == "null"
}

/// Limits on the texts that one connection may send.
///
/// A text *at* a limit is accepted, the first one past it is not. Only texts before the end of the
/// negotiation are parsed, and at most `max_messages` of them. Later ones are only subject to
/// `max_messages_per_sec`.
///
/// ```
/// use net_signal::Limits;
///
/// let strict = Limits { max_messages: 2, ..Limits::default() };
/// assert_eq!(strict.max_message_size, 16 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a parsed text, in bytes of UTF-8. Default 16 KiB. A longer one fails the
    /// negotiation with [`Error::MessageTooLong`].
    pub max_message_size: usize,
    /// Maximum number of texts before the end of the negotiation, without those that look like
    /// candidates. Default 8. One more fails the negotiation with [`Error::TooManyMessages`].
    pub max_messages: usize,
    /// Maximum number of texts of any kind in one second; a second starts with the first text
    /// after the end of the one before. Default 50. One more fails with [`Error::RateExceeded`],
    /// for the lifetime of the connection; 0 rejects all texts.
    pub max_messages_per_sec: usize,
    /// Time that an [`Offerer`](crate::Offerer) waits for the answer to its offer. Default 10 s.
    /// Then it fails with [`Error::AnswerTimeout`]. An [`Answerer`](crate::Answerer) does not use
    /// it.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_size: 16 * 1024,
            max_messages: 8,
            max_messages_per_sec: 50,
            answer_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATE: &str = r#"{"type":"ice","candidate":{}}"#;

    #[test]
    fn candidates_are_told_by_their_look() {
        for text in [
            CANDIDATE,
            r#"{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}"#,
            r#"{"type":"candidate"}"#,
            r#"{"type":"ice"}"#,
            "null",
            " null ",
        ] {
            assert!(is_likely_candidate(text), "{text}");
        }
        for text in [
            "v=0\r\na=\"candidate\"",
            r#"{"type":"answer","sdp":"v=0\r\na=candidate:1"}"#,
            r#"{"candidate":"","sdp":"v=0"}"#,
            r#"{"type":"chat","say":"\"candidate\""}"#,
            "",
            "{}",
            "nullnull",
        ] {
            assert!(!is_likely_candidate(text), "{text}");
        }
    }

    #[test]
    fn a_text_at_the_length_limit_is_let_in_and_one_byte_more_is_not() {
        let limits = Limits::default();
        let limit = limits.max_message_size;
        let mut gate = RateLimiter::new(limits);
        let now = Instant::now();
        let bytes = limit + 1;
        assert_eq!(gate.check_text(now, &"x".repeat(limit)), Ok(TextKind::Other));
        assert_eq!(
            gate.check_text(now, &"x".repeat(bytes)),
            Err(Error::MessageTooLong { bytes, limit })
        );
    }

    #[test]
    fn the_length_is_counted_in_bytes() {
        let mut gate = RateLimiter::new(Limits { max_message_size: 3, ..Limits::default() });
        let refused = Err(Error::MessageTooLong { bytes: 4, limit: 3 });
        assert_eq!(gate.check_text(Instant::now(), "éé"), refused);
    }

    #[test]
    fn the_ninth_text_is_refused_and_candidates_do_not_count() {
        let mut gate = RateLimiter::new(Limits::default());
        let now = Instant::now();
        for _ in 0..8 {
            assert_eq!(gate.check_text(now, CANDIDATE), Ok(TextKind::Candidate));
            assert_eq!(gate.check_text(now, "{}"), Ok(TextKind::Other));
        }
        assert_eq!(gate.check_text(now, CANDIDATE), Ok(TextKind::Candidate));
        let refused = Err(Error::TooManyMessages { limit: 8 });
        assert_eq!(gate.check_text(now, "{}"), refused);
    }

    #[test]
    fn a_candidate_of_any_length_is_let_in_unread() {
        let mut gate = RateLimiter::new(Limits { max_message_size: 3, ..Limits::default() });
        assert_eq!(gate.check_text(Instant::now(), CANDIDATE), Ok(TextKind::Candidate));
    }

    #[test]
    fn the_51st_text_in_a_second_is_refused() {
        let mut gate = RateLimiter::new(Limits::default());
        let start = Instant::now();
        for _ in 0..50 {
            assert!(gate.check_text(start, CANDIDATE).is_ok());
        }
        let late = start + Duration::from_millis(999);
        let refused = Err(Error::RateExceeded { limit: 50 });
        assert_eq!(gate.check_text(late, CANDIDATE), refused);
    }

    #[test]
    fn each_second_counts_anew() {
        let mut gate = RateLimiter::new(Limits::default());
        let start = Instant::now();
        for second in 0..10 {
            for _ in 0..50 {
                let now = start + Duration::from_secs(second);
                assert!(gate.check_text(now, CANDIDATE).is_ok(), "second {second}");
            }
        }
    }

    #[test]
    fn time_that_runs_backwards_stays_in_its_second() {
        let mut gate = RateLimiter::new(Limits { max_messages_per_sec: 1, ..Limits::default() });
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        assert!(gate.check_text(later, CANDIDATE).is_ok());
        let refused = Err(Error::RateExceeded { limit: 1 });
        assert_eq!(gate.check_text(start, CANDIDATE), refused);
    }
}
