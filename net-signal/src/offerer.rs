//! Offerer: the server side of the offer/answer exchange (RFC 3264).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rate_limit::{RateLimiter, TextKind};
use crate::{Candidate, Error, Limits, Message, parse};

/// Server side of one connection: sends an offer and waits for one answer.
///
/// After every call drain [`poll_output`](Offerer::poll_output) until it returns
/// [`Output::Timeout`], and pass [`Input::Timeout`] at that time. After [`Output::Failed`] the
/// offerer is inert: close the connection.
///
/// Candidates of the client are accepted, but neither parsed nor needed. After the answer no text
/// is parsed: a client may send any text, such as a heartbeat, within
/// [`Limits::max_messages_per_sec`].
///
/// ```
/// use net_signal::{Error, Input, Limits, Offerer, Output};
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut server = Offerer::offer(now, Limits::default(), "v=0".into(), vec![]);
/// assert_eq!(server.poll_output(), Output::Send(r#"{"type":"offer","sdp":"v=0"}"#.into()));
///
/// let deadline = now + Duration::from_secs(10);
/// assert_eq!(server.poll_output(), Output::Timeout(Some(deadline)));
/// server.handle_input(deadline, Input::Timeout);
/// assert_eq!(server.poll_output(), Output::Failed(Error::AnswerTimeout));
/// ```
#[derive(Debug)]
pub struct Offerer {
    state: State,
    limiter: RateLimiter,
    // At most the offer, its candidates, one answer and one failure.
    outputs: VecDeque<Output>,
}

/// Input of an [`Offerer`] or an [`Answerer`](crate::Answerer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A text from the peer.
    Text(&'a str),
    /// Time has passed. Harmless before the deadline.
    Timeout,
}

/// Output of [`Offerer::poll_output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this text to the client.
    Send(String),
    /// The client's answer. At most once.
    Answer {
        /// The answer: begins with `v=0`, contains no NUL, is no longer than
        /// [`Limits::max_message_size`], and otherwise is as the client sent it.
        sdp: String,
        /// Whether the client has opened the data channel on its own, as stream 0.
        negotiated: bool,
    },
    /// The negotiation has failed. At most once, followed only by `Timeout(None)`. After the
    /// answer the only possible error is [`Error::RateExceeded`].
    Failed(Error),
    /// No more outputs for now: call [`handle_input`](Offerer::handle_input) with the next text,
    /// or at this time, if there is one.
    Timeout(Option<Instant>),
}

/// State of the offer/answer exchange (cf. W3C WebRTC `RTCSignalingState`).
///
/// ```text
///                            on_answer()
///  offer() -> HaveLocalOffer -----------> Answered
///                   |                        |
///                   '-------> Failed <-------'
///                     fail()          fail()
/// ```
#[derive(Debug)]
enum State {
    /// Waiting for the answer; without a deadline if an `Instant` cannot represent it.
    HaveLocalOffer { answer_deadline: Option<Instant> },
    /// The answer has come: further texts are not parsed, only their rate is bounded.
    Answered,
    /// Inert.
    Failed,
}

impl Offerer {
    /// Creates an offerer at `now`; queues the offer, then one message per candidate.
    ///
    /// `sdp` must begin with `v=0`, and should carry all `candidates` too, as not every client
    /// reads candidate messages.
    pub fn offer(now: Instant, limits: Limits, sdp: String, candidates: Vec<Candidate>) -> Offerer {
        Offerer::new(now, limits, Message::Offer { sdp, negotiated: false }, candidates)
    }

    /// Like [`offer`](Offerer::offer), with `negotiated`: the client may open the data channel on
    /// its own, as stream 0. A client without support for this ignores the field.
    pub fn offer_negotiated(
        now: Instant,
        limits: Limits,
        sdp: String,
        candidates: Vec<Candidate>,
    ) -> Offerer {
        Offerer::new(now, limits, Message::Offer { sdp, negotiated: true }, candidates)
    }

    fn new(now: Instant, limits: Limits, offer: Message, candidates: Vec<Candidate>) -> Offerer {
        let answer_by = now.checked_add(limits.answer_timeout);
        let candidates = candidates.into_iter().map(Some).map(Message::Candidate);
        let texts = std::iter::once(offer).chain(candidates);
        Offerer {
            state: State::HaveLocalOffer { answer_deadline: answer_by },
            limiter: RateLimiter::new(limits),
            outputs: texts.map(|text| Output::Send(text.to_text())).collect(),
        }
    }

    /// Handles an input at `now`.
    ///
    /// An answer after the deadline, but before an [`Input::Timeout`], is accepted: the process
    /// may have been suspended.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if matches!(self.state, State::Failed) {
            return;
        }
        let result = match input {
            Input::Text(text) => self.handle_text(now, text),
            Input::Timeout => self.handle_timeout(now),
        };
        if let Err(refusal) = result {
            self.fail(refusal);
        }
    }

    /// Extends the answer deadline by `stopped`, for a process that was suspended for that time.
    pub fn extend_deadline(&mut self, stopped: Duration) {
        if let State::HaveLocalOffer { answer_deadline: answer_by } = &mut self.state {
            *answer_by = answer_by.and_then(|at| at.checked_add(stopped));
        }
    }

    /// Returns the next output; [`Output::Timeout`] when there are no more.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        let answer_by = self.answer_deadline();
        let next = self.outputs.pop_front();
        next.unwrap_or(Output::Timeout(answer_by))
    }

    fn handle_text(&mut self, now: Instant, text: &str) -> Result<(), Error> {
        match self.state {
            State::HaveLocalOffer { .. } => match self.limiter.check_text(now, text)? {
                TextKind::Candidate => Ok(()),
                TextKind::Other => self.handle_message(text),
            },
            State::Answered | State::Failed => self.limiter.check_rate(now),
        }
    }

    fn handle_message(&mut self, text: &str) -> Result<(), Error> {
        match parse::parse_description(text).map_err(Error::Malformed)? {
            Some(Message::Answer { sdp, negotiated }) => {
                self.on_answer(sdp, negotiated);
                Ok(())
            }
            Some(Message::Offer { .. }) => Err(Error::UnexpectedOffer),
            Some(Message::Candidate(_)) | None => Ok(()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match self.answer_deadline() {
            Some(answer_by) if now >= answer_by => Err(Error::AnswerTimeout),
            _ => Ok(()),
        }
    }

    fn on_answer(&mut self, sdp: String, negotiated: bool) {
        self.set_state(State::Answered);
        self.outputs.push_back(Output::Answer { sdp, negotiated });
    }

    fn fail(&mut self, refusal: Error) {
        log::debug!("negotiation refused: {refusal}");
        self.set_state(State::Failed);
        self.outputs.push_back(Output::Failed(refusal));
    }

    fn set_state(&mut self, new: State) {
        log::debug!("negotiation {:?} -> {new:?}", self.state);
        self.state = new;
    }

    fn answer_deadline(&self) -> Option<Instant> {
        match self.state {
            State::HaveLocalOffer { answer_deadline: answer_by } => answer_by,
            State::Answered | State::Failed => None,
        }
    }
}
