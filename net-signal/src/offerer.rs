//! The server's side.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rate_limit::{RateLimiter, TextKind};
use crate::{Candidate, Error, Limits, Message, parse};

/// The server's side of one connection: it offers and awaits one answer.
///
/// After every call drain [`poll_output`](Negotiation::poll_output) until it
/// returns [`Output::Timeout`], and hand in [`Input::Timeout`] when that time
/// has come. After [`Output::Refused`] the machine is inert: close the
/// connection.
///
/// Candidates of the client are accepted, not read, and not needed. Once the
/// answer is in, no text is read any more: a client may send whatever it likes,
/// such as a heartbeat, within [`Limits::texts_per_second`].
///
/// ```
/// use net_signal::{Input, Limits, Negotiation, Output, Refusal};
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut server = Negotiation::offer(now, Limits::default(), "v=0".into(), vec![]);
/// assert_eq!(server.poll_output(), Output::Send(r#"{"type":"offer","sdp":"v=0"}"#.into()));
///
/// let deadline = now + Duration::from_secs(10);
/// assert_eq!(server.poll_output(), Output::Timeout(Some(deadline)));
/// server.handle_input(deadline, Input::Timeout);
/// assert_eq!(server.poll_output(), Output::Refused(Refusal::NoAnswer));
/// ```
#[derive(Debug)]
pub struct Offerer {
    state: State,
    limiter: RateLimiter,
    // At most the offer, its candidates, one answer and one refusal.
    outputs: VecDeque<Output>,
}

/// What happens to a machine, [`Negotiation`] or [`Answering`](crate::Answering).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The other side sent a text.
    Text(&'a str),
    /// Time has passed. Too early is not an error.
    Timeout,
}

/// What a [`Negotiation`] wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this text to the client.
    Send(String),
    /// The client has answered. At most once.
    Answer {
        /// The answer: begins with `v=0`, holds no NUL, is no longer than
        /// [`Limits::text_bytes`], and otherwise is as the client sent it.
        sdp: String,
        /// The client has opened the data channel as stream 0 on its own.
        negotiated: bool,
    },
    /// The negotiation is over. At most once, and nothing but
    /// `Timeout(None)` comes after it. After the answer it can only be
    /// [`Refusal::TooFast`].
    Failed(Error),
    /// Nothing more for now: call
    /// [`handle_input`](Negotiation::handle_input) with the next text, or at
    /// this time, if there is one. Always the last output of a drain.
    Timeout(Option<Instant>),
}

/// ```text
///                     answered()
///  offer() -> Offered ----------> Answered
///                |                   |
///                '---> Refused <-----'
///             refused()      refused()
/// ```
#[derive(Debug)]
enum State {
    /// The answer is awaited, for ever if the time is beyond what an `Instant`
    /// can hold.
    HaveLocalOffer { answer_deadline: Option<Instant> },
    /// The answer is in: further texts are not read, only their rate is bounded.
    Answered,
    /// Inert.
    Failed,
}

impl Offerer {
    /// Makes an offer at `now`: queues its text, then one text for each
    /// candidate.
    ///
    /// `sdp` should carry all `candidates` too, as not every client looks at
    /// their texts. It begins with `v=0`, or no client will understand it.
    pub fn offer(now: Instant, limits: Limits, sdp: String, candidates: Vec<Candidate>) -> Offerer {
        Offerer::new(now, limits, Message::Offer { sdp, negotiated: false }, candidates)
    }

    /// As [`offer`](Negotiation::offer), and tells the client that it may open
    /// the data channel on its own, as stream 0. A client that knows nothing of
    /// this answers as ever.
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

    /// Tells the machine what happened at `now`.
    ///
    /// An answer that comes after its time, but before an [`Input::Timeout`],
    /// is accepted: if this program was stopped for a while, the client is not
    /// to blame.
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

    /// The answer has so much longer: for a server that was stopped, and cannot blame the client.
    pub fn extend_deadline(&mut self, stopped: Duration) {
        if let State::HaveLocalOffer { answer_deadline: answer_by } = &mut self.state {
            *answer_by = answer_by.and_then(|at| at.checked_add(stopped));
        }
    }

    /// The next thing to do; [`Output::Timeout`] when there is nothing more.
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
