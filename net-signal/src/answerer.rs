//! Answerer: the client side of the offer/answer exchange (RFC 3264).

use std::collections::VecDeque;
use std::time::Instant;

use crate::rate_limit::{RateLimiter, TextKind};
use crate::{Error, Input, Limits, Message, parse};

/// Client side of one connection: waits for one offer and answers it.
///
/// After every call drain [`poll_output`](Answerer::poll_output) until it returns
/// [`Output::Timeout`]. After [`Output::Failed`] the answerer is inert: close the connection.
///
/// It has no timeout for the offer or for the caller's answer: the caller needs a deadline for the
/// whole connection attempt. Candidate messages of the server are ignored, because the offer
/// carries its candidates; so is each text after the answer, within
/// [`Limits::max_messages_per_sec`].
///
/// ```
/// use net_signal::answerer::{Answerer, Output};
/// use net_signal::{Input, Limits};
/// use std::time::Instant;
///
/// let now = Instant::now();
/// let mut client = Answerer::new(Limits::default());
/// client.handle_input(now, Input::Text(r#"{"type":"offer","sdp":"v=0"}"#));
/// assert_eq!(client.poll_output(), Output::Offer { sdp: "v=0".into(), negotiated: false });
///
/// client.answer(now, "v=0".into()).expect("an offer is open");
/// assert_eq!(client.poll_output(), Output::Send(r#"{"type":"answer","sdp":"v=0"}"#.into()));
/// ```
#[derive(Debug)]
pub struct Answerer {
    state: State,
    limiter: RateLimiter,
    // At most one offer, one answer and one failure.
    outputs: VecDeque<Output>,
}

/// Output of [`Answerer::poll_output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The server's offer: call [`Answerer::answer`]. At most once.
    Offer {
        /// The offer: begins with `v=0`, contains no NUL, is no longer than
        /// [`Limits::max_message_size`], and otherwise is as the server sent it.
        sdp: String,
        /// Whether the server accepts an
        /// [`answer_negotiated`](Answerer::answer_negotiated).
        negotiated: bool,
    },
    /// Send this text to the server.
    Send(String),
    /// The negotiation has failed. At most once, followed only by `Timeout(None)`.
    Failed(Error),
    /// No more outputs for now. Always `None`, as an answerer has no deadlines.
    Timeout(Option<Instant>),
}

/// Error of [`Answerer::answer`]; holds the unsent SDP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The server has not offered yet: answer after [`Output::Offer`].
    #[error("there is no offer to answer yet")]
    NoOffer(String),
    /// An answer was already sent.
    #[error("the offer is answered already")]
    AlreadyAnswered(String),
    /// The negotiation has ended with [`Output::Failed`].
    #[error("the negotiation was refused")]
    Failed(String),
}

/// State of the offer/answer exchange (cf. W3C WebRTC `RTCSignalingState`).
///
/// ```text
///                        on_offer()                send_answer()
///  new() -> AwaitingOffer ---------> HaveRemoteOffer -----------> Answered
///                 |                         |                        |
///                 '--------------------> Failed <--------------------'
///                                  fail(), from any
/// ```
#[derive(Debug)]
enum State {
    /// Waiting for the offer.
    AwaitingOffer,
    /// Waiting for the caller's answer.
    HaveRemoteOffer,
    /// The answer is queued: further texts are not parsed, only their rate is bounded.
    Answered,
    /// Inert.
    Failed,
}

impl Answerer {
    /// Creates an answerer; `limits` bound what the server may send.
    pub fn new(limits: Limits) -> Answerer {
        Answerer {
            state: State::AwaitingOffer,
            limiter: RateLimiter::new(limits),
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input at `now`. [`Input::Timeout`] changes nothing.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        let Input::Text(text) = input else { return };
        if matches!(self.state, State::Failed) {
            return;
        }
        if let Err(refusal) = self.handle_text(now, text) {
            self.fail(refusal);
        }
    }

    /// Queues the answer to the offer.
    ///
    /// # Errors
    ///
    /// Returns the SDP if there is no offer, if it was already answered, or if the negotiation has
    /// failed.
    pub fn answer(&mut self, now: Instant, sdp: String) -> Result<(), AnswerError> {
        self.send_answer(now, sdp, false)
    }

    /// Like [`answer`](Answerer::answer), with `negotiated`: the client opens the data channel on
    /// its own, as stream 0. Only valid if the [offer](Output::Offer) has `negotiated`.
    ///
    /// # Errors
    ///
    /// As [`answer`](Answerer::answer).
    pub fn answer_negotiated(&mut self, now: Instant, sdp: String) -> Result<(), AnswerError> {
        self.send_answer(now, sdp, true)
    }

    /// Returns the next output; [`Output::Timeout`] when there are no more.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Timeout(None))
    }

    fn handle_text(&mut self, now: Instant, text: &str) -> Result<(), Error> {
        match self.state {
            State::AwaitingOffer | State::HaveRemoteOffer => {
                match self.limiter.check_text(now, text)? {
                    TextKind::Candidate => Ok(()),
                    TextKind::Other => self.handle_message(text),
                }
            }
            State::Answered | State::Failed => self.limiter.check_rate(now),
        }
    }

    fn handle_message(&mut self, text: &str) -> Result<(), Error> {
        match parse::parse_description(text).map_err(Error::Malformed)? {
            Some(Message::Offer { sdp, negotiated }) => self.on_offer(sdp, negotiated),
            Some(Message::Answer { .. }) => Err(Error::UnexpectedAnswer),
            Some(Message::Candidate(_)) | None => Ok(()),
        }
    }

    fn on_offer(&mut self, sdp: String, negotiated: bool) -> Result<(), Error> {
        if !matches!(self.state, State::AwaitingOffer) {
            return Err(Error::SecondOffer);
        }
        self.set_state(State::HaveRemoteOffer);
        self.outputs.push_back(Output::Offer { sdp, negotiated });
        Ok(())
    }

    // Every mutator takes the time, even if nothing depends on it yet.
    fn send_answer(
        &mut self,
        _now: Instant,
        sdp: String,
        negotiated: bool,
    ) -> Result<(), AnswerError> {
        match self.state {
            State::HaveRemoteOffer => {}
            State::AwaitingOffer => return Err(AnswerError::NoOffer(sdp)),
            State::Answered => return Err(AnswerError::AlreadyAnswered(sdp)),
            State::Failed => return Err(AnswerError::Failed(sdp)),
        }
        self.set_state(State::Answered);
        let text = Message::Answer { sdp, negotiated }.to_text();
        self.outputs.push_back(Output::Send(text));
        Ok(())
    }

    fn fail(&mut self, refusal: Error) {
        log::debug!("answering refused: {refusal}");
        self.set_state(State::Failed);
        self.outputs.push_back(Output::Failed(refusal));
    }

    fn set_state(&mut self, new: State) {
        log::debug!("answering {:?} -> {new:?}", self.state);
        self.state = new;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ParseError;

    const OFFER: &str = r#"{"type":"offer","sdp":"v=0 offer"}"#;
    const CANDIDATE: &str = r#"{"type":"candidate","candidate":{"candidate":"candidate:1"}}"#;

    fn client() -> Answerer {
        Answerer::new(Limits::default())
    }

    fn text(client: &mut Answerer, text: &str) -> Vec<Output> {
        client.handle_input(Instant::now(), Input::Text(text));
        drain(client)
    }

    fn drain(client: &mut Answerer) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            match client.poll_output() {
                Output::Timeout(at) => {
                    assert_eq!(at, None);
                    return outputs;
                }
                output => outputs.push(output),
            }
        }
    }

    fn answer(client: &mut Answerer) -> Result<(), AnswerError> {
        client.answer(Instant::now(), "v=0 answer".into())
    }

    fn offer() -> Output {
        let sdp = "v=0 offer".into();
        Output::Offer { sdp, negotiated: false }
    }

    #[test]
    fn an_offer_is_answered_and_its_candidates_are_ignored() {
        let mut client = client();
        assert_eq!(text(&mut client, CANDIDATE), []);
        assert_eq!(text(&mut client, OFFER), [offer()]);
        assert_eq!(text(&mut client, CANDIDATE), []);
        assert_eq!(answer(&mut client), Ok(()));
        let sent = r#"{"type":"answer","sdp":"v=0 answer"}"#.to_string();
        assert_eq!(drain(&mut client), [Output::Send(sent)]);
        assert_eq!(text(&mut client, CANDIDATE), []);
    }

    #[test]
    fn a_negotiated_answer_says_so() {
        let mut client = client();
        text(&mut client, OFFER);
        let result = client.answer_negotiated(Instant::now(), "v=0".into());
        assert_eq!(result, Ok(()));
        let sent = r#"{"type":"answer","sdp":"v=0","negotiated":true}"#.to_string();
        assert_eq!(drain(&mut client), [Output::Send(sent)]);
    }

    #[test]
    fn an_answer_out_of_turn_is_given_back() {
        let mut client = client();
        let sdp = || "v=0 answer".to_string();
        assert_eq!(answer(&mut client), Err(AnswerError::NoOffer(sdp())));
        text(&mut client, OFFER);
        assert_eq!(answer(&mut client), Ok(()));
        assert_eq!(answer(&mut client), Err(AnswerError::AlreadyAnswered(sdp())));
        let mut client = Answerer::new(Limits::default());
        text(&mut client, "[]");
        assert_eq!(answer(&mut client), Err(AnswerError::Failed(sdp())));
        assert_eq!(drain(&mut client), []);
    }

    #[test]
    fn a_second_offer_is_refused_until_the_first_is_answered() {
        let mut client = client();
        text(&mut client, OFFER);
        assert_eq!(text(&mut client, OFFER), [Output::Failed(Error::SecondOffer)]);
    }

    #[test]
    fn after_the_answer_only_the_rate_ends_it() {
        let (mut client, start) = (client(), Instant::now());
        text(&mut client, OFFER);
        assert_eq!(answer(&mut client), Ok(()));
        drain(&mut client);
        for (second, text) in (0..).zip([OFFER, CANDIDATE, "v=0", "ping", "", "{", "[]"]) {
            let now = start + Duration::from_secs(second);
            client.handle_input(now, Input::Text(text));
            assert_eq!(drain(&mut client), [], "{text}");
        }
        let late = start + Duration::from_secs(60);
        (0..=50).for_each(|_| client.handle_input(late, Input::Text("ping")));
        assert_eq!(drain(&mut client), [Output::Failed(Error::RateExceeded { limit: 50 })]);
    }

    #[test]
    fn an_answer_from_the_server_is_refused() {
        let refused = [Output::Failed(Error::UnexpectedAnswer)];
        assert_eq!(text(&mut client(), "v=0"), refused);
    }

    #[test]
    fn garbage_is_refused_and_then_nothing_happens() {
        let mut client = client();
        let malformed = Error::Malformed(ParseError::NotAMessage);
        assert_eq!(text(&mut client, "[]"), [Output::Failed(malformed)]);
        assert_eq!(text(&mut client, OFFER), []);
        client.handle_input(Instant::now(), Input::Timeout);
        assert_eq!(drain(&mut client), []);
    }

    #[test]
    fn the_limits_hold_here_too() {
        let client = || Answerer::new(Limits { max_message_size: 4, ..Limits::default() });
        let malformed = Error::Malformed(ParseError::NotAMessage);
        assert_eq!(text(&mut client(), "[[[["), [Output::Failed(malformed)]);
        let refusal = Error::MessageTooLong { bytes: 5, limit: 4 };
        assert_eq!(text(&mut client(), "[[[[["), [Output::Failed(refusal)]);
    }
}
