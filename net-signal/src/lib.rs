//! Sans-IO signalling for WebRTC: offer/answer exchange (RFC 3264, [RFC 8829]) over an existing
//! text channel such as a websocket.
//!
//! The server offers, the client answers:
//!
//! ```text
//!   server                                  client
//!     |  {"type":"offer","sdp":"v=0..."}      |
//!     |-------------------------------------->|
//!     |  {"type":"candidate","candidate":..}  |   one for each candidate
//!     |-------------------------------------->|
//!     |  {"type":"answer","sdp":"v=0..."}     |   or the bare SDP
//!     |<--------------------------------------|
//!     |  {"type":"ice","candidate":..}        |   accepted, not needed
//!     |<--------------------------------------|
//! ```
//!
//! * [`Message`] is one message; it parses and writes the text.
//! * [`Offerer`] is the server side, [`Answerer`] the client side.
//! * [`Limits`] bounds what the peer may send, [`Error`] is the cause of a failed negotiation.
//!
//! The offer must list all candidates of the server in its SDP (`a=candidate`, [RFC 8839] section
//! 5.1, and `a=end-of-candidates`, [RFC 8840]); the candidate messages repeat them for clients
//! that expect trickle ICE. The client's own candidates are not needed: its connectivity checks
//! reveal its address (a peer-reflexive candidate, [RFC 8445] section 7.3.1.3). A text that looks
//! like a candidate is therefore dropped unparsed, whatever it contains, and so is every text
//! after the answer: only the rate of texts is bounded.
//!
//! Both state machines are sans-IO: texts in, texts out, and the time is a parameter. They depend
//! on neither WebRTC nor websockets. Call `handle_input`, then `poll_output` until it returns
//! `Timeout`.
//!
//! # Example
//!
//! ```
//! use net_signal::{Answerer, Input, Limits, Offerer, Output, answerer};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let mut server = Offerer::offer(now, Limits::default(), "v=0 (offer)".into(), vec![]);
//! let mut client = Answerer::new(Limits::default());
//!
//! // The offer travels to the client ...
//! let Output::Send(text) = server.poll_output() else { panic!("an offer is due") };
//! client.handle_input(now, Input::Text(&text));
//! let offer = client.poll_output();
//! assert_eq!(offer, answerer::Output::Offer { sdp: "v=0 (offer)".into(), negotiated: false });
//!
//! // ... and its answer to the server.
//! client.answer(now, "v=0 (answer)".into()).expect("an offer is open");
//! let answerer::Output::Send(text) = client.poll_output() else { panic!("an answer is due") };
//! server.handle_input(now, Input::Text(&text));
//! let answer = Output::Answer { sdp: "v=0 (answer)".into(), negotiated: false };
//! assert_eq!(server.poll_output(), answer);
//! assert_eq!(server.poll_output(), Output::Timeout(None));
//! ```
//!
//! [RFC 8445]: https://www.rfc-editor.org/rfc/rfc8445
//! [RFC 8829]: https://www.rfc-editor.org/rfc/rfc8829
//! [RFC 8839]: https://www.rfc-editor.org/rfc/rfc8839
//! [RFC 8840]: https://www.rfc-editor.org/rfc/rfc8840

pub mod answerer;
mod error;
mod message;
mod offerer;
mod parse;
mod rate_limit;

pub use answerer::{AnswerError, Answerer};
pub use error::Error;
pub use message::{Candidate, Message};
pub use offerer::{Input, Offerer, Output};
pub use parse::ParseError;
pub use rate_limit::Limits;
