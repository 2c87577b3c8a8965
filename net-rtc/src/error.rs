//! Errors of the endpoint's methods, one enum per method.

use bytes::Bytes;
use thiserror::Error;

/// Error of [`Endpoint::offer`](crate::Endpoint::offer).
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OfferError {
    /// A peer with this key exists.
    #[error("a peer with this key exists already; close it first or take another key")]
    KeyInUse,
}

/// Error of [`Endpoint::accept_offer`](crate::Endpoint::accept_offer).
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AcceptOfferError {
    /// A peer with this key exists.
    #[error("a peer with this key exists already; close it first or take another key")]
    KeyInUse,
    /// A candidate of the offer is the address of another peer of this endpoint.
    #[error("another peer of this endpoint talks to that address; use one endpoint for each")]
    AddressInUse,
    /// The text is not an offer that can be answered.
    #[error("the offer cannot be used: {0}")]
    InvalidOffer(String),
}

/// Error of [`Endpoint::accept_answer`](crate::Endpoint::accept_answer).
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AcceptAnswerError {
    /// No peer has this key.
    #[error("no peer has this key")]
    UnknownPeer,
    /// No offer to this peer awaits an answer: it has been answered, or the peer made the offer.
    #[error("no offer to this peer awaits an answer")]
    Unexpected,
    /// The text is not a valid answer to our offer. The peer is closed.
    #[error("the answer cannot be used: {0}")]
    InvalidAnswer(String),
}

/// Error of [`Endpoint::send`](crate::Endpoint::send); returns the message.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// No peer has this key, or its channel is not open.
    #[error("no peer with an open channel has this key")]
    NotOpen(Bytes),
    /// The message is longer than [`Config::max_message_size`](crate::Config::max_message_size).
    #[error("the message is longer than Config::max_message_size")]
    TooLarge(Bytes),
}
