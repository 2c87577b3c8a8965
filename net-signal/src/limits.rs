//! What the other side may send.

use std::time::Duration;

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
