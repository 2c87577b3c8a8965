//! What the other side may send.

use std::time::Duration;

/// Bounds on the texts of one connection.
///
/// A text *at* a bound is accepted, the first one past it is not. Together they
/// bound the work for a connection: at most `texts + candidate_texts` texts are
/// ever parsed.
///
/// ```
/// use net_signal::Limits;
///
/// let strict = Limits { texts: 2, ..Limits::default() };
/// assert_eq!(strict.text_bytes, 16 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes of UTF-8. Default 16 KiB. A longer one is
    /// refused before it is read ([`Refusal::TextTooLong`](crate::Refusal)).
    pub text_bytes: usize,
    /// How many texts a connection may send in all, those that look like
    /// candidates not counted. Default 8. One more is refused
    /// ([`Refusal::TooManyTexts`](crate::Refusal)).
    pub texts: usize,
    /// How many texts that look like candidates are parsed on a connection.
    /// Default 256. More are dropped unparsed and are no offence.
    pub candidate_texts: usize,
    /// How many texts of any kind a connection may send in one second, which
    /// begins with the first text after the second before it. Default 50. One
    /// more is refused ([`Refusal::TooFast`](crate::Refusal)); 0 refuses all.
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
            candidate_texts: 256,
            texts_per_second: 50,
            answer_timeout: Duration::from_secs(10),
        }
    }
}
