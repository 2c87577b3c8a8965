//! Causes of a failed negotiation.

use crate::ParseError;

/// Cause of a failed negotiation: an error of the peer, which ends the negotiation.
///
/// The `Display` text is at most 123 bytes, the maximum in a websocket close frame
/// ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) section 5.5), and never quotes the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is longer than [`Limits::max_message_size`](crate::Limits::max_message_size).
    #[error("a signalling text of {bytes} bytes is too long, the limit is {limit}")]
    MessageTooLong {
        /// The length of the text, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// More than [`Limits::max_messages`](crate::Limits::max_messages) texts before the end of the
    /// negotiation.
    #[error("too many texts before the answer, the limit is {limit}")]
    TooManyMessages {
        /// The limit, in texts.
        limit: usize,
    },
    /// More than [`Limits::max_messages_per_sec`](crate::Limits::max_messages_per_sec).
    #[error("text frames come too fast, the limit is {limit} a second; messages are binary frames")]
    RateExceeded {
        /// The limit, in texts per second.
        limit: usize,
    },
    /// A text cannot be parsed.
    #[error("malformed signalling text: {0}")]
    Malformed(ParseError),
    /// The client sent an offer to the server.
    #[error("unexpected offer: the server makes the offer, the client answers")]
    UnexpectedOffer,
    /// The server sent an answer to the client.
    #[error("unexpected answer: the server makes the offer, the client answers")]
    UnexpectedAnswer,
    /// The server sent a second offer: a new offer needs a new connection.
    #[error("second offer: a connection takes one offer, reconnect for another")]
    SecondOffer,
    /// No answer within
    /// [`Limits::answer_timeout`](crate::Limits::answer_timeout) of the offer.
    #[error("no answer to the offer came in time")]
    AnswerTimeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_fit_into_a_close_frame() {
        let all = [
            Error::MessageTooLong { bytes: usize::MAX, limit: usize::MAX },
            Error::TooManyMessages { limit: usize::MAX },
            Error::RateExceeded { limit: usize::MAX },
            Error::Malformed(ParseError::NotAMessage),
            Error::Malformed(ParseError::Json { line: usize::MAX, column: usize::MAX }),
            Error::Malformed(ParseError::Field { line: usize::MAX, column: usize::MAX }),
            Error::Malformed(ParseError::NoSdp),
            Error::Malformed(ParseError::BadSdp),
            Error::UnexpectedOffer,
            Error::UnexpectedAnswer,
            Error::SecondOffer,
            Error::AnswerTimeout,
        ];
        for refusal in all {
            let words = refusal.to_string();
            assert!(words.len() <= 123, "{} bytes: {words}", words.len());
        }
    }
}
