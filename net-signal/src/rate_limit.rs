//! Which texts are let in, before anything in them is parsed.

use std::time::{Duration, Instant};

use crate::Refusal;
use crate::parse::{JSON_SPACE, SDP_START};

/// Counts the texts of one connection against its [`Limits`].
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    texts: usize,
    second: Option<Second>,
}

/// What a text that was let in looks like, without parsing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Like a candidate: not needed, and not worth parsing.
    Candidate,
    /// Like anything else.
    Other,
}

/// One second with texts in it.
#[derive(Debug)]
struct Second {
    began: Instant,
    texts: usize,
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Gate {
        Gate { limits, texts: 0, second: None }
    }

    /// Lets a text in that may be read, or says which limit it breaks.
    pub(crate) fn admit(&mut self, now: Instant, text: &str) -> Result<Look, Refusal> {
        self.admit_unread(now)?;
        if looks_like_candidate(text) {
            return Ok(Look::Candidate);
        }
        self.check_length(text)?;
        self.count()
    }

    /// Lets a text in that is not read: only its rate matters.
    pub(crate) fn admit_unread(&mut self, now: Instant) -> Result<(), Refusal> {
        self.count_in_second(now)
    }

    fn check_length(&self, text: &str) -> Result<(), Refusal> {
        let (bytes, limit) = (text.len(), self.limits.text_bytes);
        match bytes <= limit {
            true => Ok(()),
            false => Err(Refusal::TextTooLong { bytes, limit }),
        }
    }

    fn count_in_second(&mut self, now: Instant) -> Result<(), Refusal> {
        let limit = self.limits.texts_per_second;
        let second = match self.second.take() {
            Some(second) if second.holds(now) => second,
            _ => Second::at(now),
        };
        let texts = second.texts.saturating_add(1);
        self.second = Some(Second { texts, ..second });
        match texts <= limit {
            true => Ok(()),
            false => Err(Refusal::TooFast { limit }),
        }
    }

    fn count(&mut self) -> Result<Look, Refusal> {
        let limit = self.limits.texts;
        if self.texts >= limit {
            return Err(Refusal::TooManyTexts { limit });
        }
        self.texts += 1;
        Ok(Look::Other)
    }
}

impl Second {
    fn at(began: Instant) -> Second {
        Second { began, texts: 0 }
    }

    fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < Duration::from_secs(1)
    }
}

/// A search for a few words. It decides only whether a text is dropped, so a
/// client that disguises one kind as the other harms only itself: a text with
/// an `sdp` is never taken for a candidate.
fn looks_like_candidate(text: &str) -> bool {
    if text.starts_with(SDP_START) || text.contains(r#""sdp""#) {
        return false;
    }
    text.contains(r#""candidate""#)
        || text.contains(r#""ice""#)
        || text.trim_matches(JSON_SPACE) == "null"
}

/// Bounds on the texts of one connection.
///
/// A text *at* a bound is accepted, the first one past it is not. Only texts
/// before the end of the negotiation are parsed, and at most `texts` of them.
/// Later ones have to keep to `texts_per_second`, and nothing else.
///
/// ```
/// use net_signal::Limits;
///
/// let strict = Limits { texts: 2, ..Limits::default() };
/// assert_eq!(strict.text_bytes, 16 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text that is read, in bytes of UTF-8. Default 16 KiB. A longer
    /// one is refused ([`Refusal::TextTooLong`](crate::Refusal)).
    pub text_bytes: usize,
    /// How many texts a connection may send before the negotiation is done,
    /// those that look like candidates not counted. Default 8. One more is
    /// refused ([`Refusal::TooManyTexts`](crate::Refusal)).
    pub texts: usize,
    /// How many texts of any kind a connection may send in one second, which
    /// begins with the first text after the second before it. Default 50. One
    /// more is refused ([`Refusal::TooFast`](crate::Refusal)), for as long as
    /// the connection lives; 0 refuses all.
    pub texts_per_second: usize,
    /// How long a [`Negotiation`](crate::Negotiation) waits for the answer to
    /// its offer. Default 10 s. Then it ends with
    /// [`Refusal::NoAnswer`](crate::Refusal). [`Answering`](crate::Answering)
    /// does not use it.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            text_bytes: 16 * 1024,
            texts: 8,
            texts_per_second: 50,
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
            assert!(looks_like_candidate(text), "{text}");
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
            assert!(!looks_like_candidate(text), "{text}");
        }
    }

    #[test]
    fn a_text_at_the_length_limit_is_let_in_and_one_byte_more_is_not() {
        let limits = Limits::default();
        let limit = limits.text_bytes;
        let mut gate = Gate::new(limits);
        let now = Instant::now();
        let bytes = limit + 1;
        assert_eq!(gate.admit(now, &"x".repeat(limit)), Ok(Look::Other));
        assert_eq!(gate.admit(now, &"x".repeat(bytes)), Err(Refusal::TextTooLong { bytes, limit }));
    }

    #[test]
    fn the_length_is_counted_in_bytes() {
        let mut gate = Gate::new(Limits { text_bytes: 3, ..Limits::default() });
        let refused = Err(Refusal::TextTooLong { bytes: 4, limit: 3 });
        assert_eq!(gate.admit(Instant::now(), "éé"), refused);
    }

    #[test]
    fn the_ninth_text_is_refused_and_candidates_do_not_count() {
        let mut gate = Gate::new(Limits::default());
        let now = Instant::now();
        for _ in 0..8 {
            assert_eq!(gate.admit(now, CANDIDATE), Ok(Look::Candidate));
            assert_eq!(gate.admit(now, "{}"), Ok(Look::Other));
        }
        assert_eq!(gate.admit(now, CANDIDATE), Ok(Look::Candidate));
        let refused = Err(Refusal::TooManyTexts { limit: 8 });
        assert_eq!(gate.admit(now, "{}"), refused);
    }

    #[test]
    fn a_candidate_of_any_length_is_let_in_unread() {
        let mut gate = Gate::new(Limits { text_bytes: 3, ..Limits::default() });
        assert_eq!(gate.admit(Instant::now(), CANDIDATE), Ok(Look::Candidate));
    }

    #[test]
    fn the_51st_text_in_a_second_is_refused() {
        let mut gate = Gate::new(Limits::default());
        let start = Instant::now();
        for _ in 0..50 {
            assert!(gate.admit(start, CANDIDATE).is_ok());
        }
        let late = start + Duration::from_millis(999);
        let refused = Err(Refusal::TooFast { limit: 50 });
        assert_eq!(gate.admit(late, CANDIDATE), refused);
    }

    #[test]
    fn each_second_counts_anew() {
        let mut gate = Gate::new(Limits::default());
        let start = Instant::now();
        for second in 0..10 {
            for _ in 0..50 {
                let now = start + Duration::from_secs(second);
                assert!(gate.admit(now, CANDIDATE).is_ok(), "second {second}");
            }
        }
    }

    #[test]
    fn time_that_runs_backwards_stays_in_its_second() {
        let mut gate = Gate::new(Limits { texts_per_second: 1, ..Limits::default() });
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        assert!(gate.admit(later, CANDIDATE).is_ok());
        let refused = Err(Refusal::TooFast { limit: 1 });
        assert_eq!(gate.admit(start, CANDIDATE), refused);
    }
}
