//! Scripts: what is done to one TCP connection, step by step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::kit::{Kit, Plan};
use super::{Input, Tcp};

/// From the end of a connection to the next.
const AGAIN: Duration = Duration::from_millis(500);
/// From one connection of a crowd to the next.
const ARRIVAL: Duration = Duration::from_millis(1);

/// One thing that is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<u8>),
    /// Writes this as often as the attacker's pace says.
    Burst(Vec<u8>),
    Wait(Duration),
    /// Waits until the server has said something.
    Heard,
    /// Reads no more, whatever comes.
    StopReading,
    End,
    Reset,
    /// Goes on with this step, once more and for ever.
    GoTo(usize),
}

/// Plays a script on several connections, and on new ones when they end.
#[derive(Debug)]
pub(super) struct Scripts {
    /// Draws a script, from chance alone.
    draw: fn(&mut StdRng) -> Vec<Step>,
    /// Connections at once.
    most: usize,
    /// New ones while the old ones live on, up to `most`; else `most` from the beginning.
    crowd: Crowd,
    lines: BTreeMap<Tcp, Line>,
    again: Vec<Instant>,
}

/// Where the connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// Each from the next address.
    Everywhere,
    /// All from one address.
    OneAddress,
}

#[derive(Debug)]
struct Line {
    steps: Vec<Step>,
    next: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Due(Instant),
    Listening,
    /// It has played, and stays.
    Done,
}

impl Scripts {
    pub(super) fn new(most: usize, draw: fn(&mut StdRng) -> Vec<Step>) -> Scripts {
        let (lines, again) = (BTreeMap::new(), Vec::new());
        Scripts { draw, most, crowd: Crowd::Everywhere, lines, again }
    }

    pub(super) fn from_one_address(self) -> Scripts {
        Scripts { crowd: Crowd::OneAddress, ..self }
    }

    fn begin(&mut self, now: Instant, kit: &mut Kit) {
        let tcp = match self.crowd {
            Crowd::Everywhere => kit.connect(),
            Crowd::OneAddress => kit.connect_from(kit.means.tcp(0)),
        };
        let steps = (self.draw)(&mut kit.random);
        self.lines.insert(tcp, Line { steps, next: 0, state: State::Due(now) });
    }

    fn play(&mut self, now: Instant, kit: &mut Kit) {
        for (tcp, line) in &mut self.lines {
            line.play(now, *tcp, kit);
        }
        self.lines.retain(|_, line| !line.is_gone());
    }

    /// Those that ended come back.
    fn come_back(&mut self, now: Instant, kit: &mut Kit) {
        let due = self.again.extract_if(.., |at| *at <= now).count();
        (0..due).for_each(|_| self.begin(now, kit));
    }

    fn expected(&self) -> usize {
        self.lines.len() + self.again.len()
    }
}

impl Plan for Scripts {
    fn act(&mut self, now: Instant, kit: &mut Kit) {
        if self.expected() < self.most {
            self.begin(now, kit);
        }
    }

    fn pause(&self) -> Duration {
        if self.expected() < self.most { ARRIVAL } else { AGAIN }
    }

    fn hear(&mut self, now: Instant, input: &Input<'_>, kit: &mut Kit) {
        match input {
            Input::Bytes(tcp, _) => {
                let line = self.lines.get_mut(tcp);
                line.into_iter().for_each(|line| line.hear(now));
            }
            Input::End(tcp) => {
                if self.lines.remove(tcp).is_some() {
                    self.again.push(now + AGAIN);
                }
            }
            _ => self.come_back(now, kit),
        }
        self.play(now, kit);
    }

    fn wake(&self) -> Option<Instant> {
        let lines = self.lines.values().filter_map(|line| match line.state {
            State::Due(at) => Some(at),
            State::Listening | State::Done => None,
        });
        lines.chain(self.again.iter().copied()).min()
    }
}

impl Line {
    fn hear(&mut self, now: Instant) {
        if self.state == State::Listening {
            self.state = State::Due(now);
        }
    }

    fn play(&mut self, now: Instant, tcp: Tcp, kit: &mut Kit) {
        while matches!(self.state, State::Due(at) if at <= now) {
            let step = self.steps.get(self.next).cloned();
            self.next += 1;
            match step {
                None => self.state = State::Done,
                Some(Step::Write(bytes)) => kit.write(tcp, bytes),
                Some(Step::Burst(bytes)) => kit.write(tcp, bytes.repeat(kit.means.pace as usize)),
                Some(Step::Wait(time)) => self.state = State::Due(now + time),
                Some(Step::Heard) => self.state = State::Listening,
                Some(Step::StopReading) => kit.read(tcp, false),
                Some(Step::End) => kit.end(tcp),
                Some(Step::Reset) => kit.reset(tcp),
                Some(Step::GoTo(step)) => self.next = step,
            }
        }
    }

    /// Whether nothing can come of it any more.
    fn is_gone(&self) -> bool {
        self.next > 0 && matches!(self.steps.get(self.next - 1), Some(Step::Reset))
    }
}
