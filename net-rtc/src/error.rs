//! What a call can be refused for: one enum for each verb.

use bytes::Bytes;
use thiserror::Error;

/// Why [`Endpoint::offer`](crate::Endpoint::offer) gave none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OfferError {
    /// A peer with this key lives already.
    #[error("a peer with this key exists already; close it first or take another key")]
    KeyInUse,
}

/// Why [`Endpoint::accept_offer`](crate::Endpoint::accept_offer) gave no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AcceptOfferError {
    /// A peer with this key lives already.
    #[error("a peer with this key exists already; close it first or take another key")]
    KeyInUse,
    /// Another peer of this endpoint talks to the same address.
    #[error("another peer of this endpoint talks to that address; use one endpoint for each")]
    AddressInUse,
    /// The text is no offer that we can answer.
    #[error("the offer cannot be used: {0}")]
    InvalidOffer(String),
}

/// Why [`Endpoint::accept_answer`](crate::Endpoint::accept_answer) did not take an answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AcceptAnswerError {
    /// Nobody has this key.
    #[error("no peer has this key")]
    UnknownPeer,
    /// No offer to this peer is open: it has answered already, or it made the offer.
    #[error("no offer to this peer awaits an answer")]
    Unexpected,
    /// The text is no answer to our offer. The peer is closed.
    #[error("the answer cannot be used: {0}")]
    InvalidAnswer(String),
}

/// Why [`Endpoint::send`](crate::Endpoint::send) did not take a message, which it gives back.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// Nobody has this key, or the peer's channel is not open.
    #[error("no peer with an open channel has this key")]
    NotOpen(Bytes),
    /// The message is longer than `Config::message_bytes`.
    #[error("the message is longer than Config::max_message_size")]
    TooLarge(Bytes),
}
