//! A request that the application is asked about.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use net_rtc::HandshakeOptions;
use net_signal::Offerer;

use crate::hub::ConnectionId;
use crate::hub::limits::Place;
use crate::{Config, PeerInfo, Request};

/// Whether a client may become a peer: [`Config::accept`](crate::Config::accept) is to say. The
/// answer is [`Input::Verdict`](crate::hub::Input::Verdict).
#[derive(Debug)]
pub struct Question {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// What it asks for.
    pub request: Request,
}

/// What is kept of the request meanwhile.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) form: Form,
}

impl Asked {
    pub(super) fn question(&self, connection: ConnectionId) -> Question {
        Question { connection, request: self.request.clone() }
    }
}

/// The query item by which a client asks for it.
const COMPATIBLE: &str = "net=compatible";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the configuration says.
    Usual,
    /// As old as can be: the client has tried the usual form in vain.
    Compatible,
}

impl Form {
    /// Reads the query of a request; gives also what is left of it for the application.
    pub(super) fn asked(query: Option<&str>) -> (Form, Option<String>) {
        let Some(query) = query else { return (Form::Usual, None) };
        let items = || query.split('&');
        if !items().any(|item| item == COMPATIBLE) {
            return (Form::Usual, Some(query.to_owned()));
        }
        let rest: Vec<_> = items().filter(|item| *item != COMPATIBLE).collect();
        (Form::Compatible, (!rest.is_empty()).then(|| rest.join("&")))
    }

    pub(super) fn connecting(self, config: &Config) -> HandshakeOptions {
        match self {
            Form::Usual => config.connecting,
            Form::Compatible => {
                HandshakeOptions { negotiated: false, ..HandshakeOptions::COMPATIBLE }
            }
        }
    }
}

/// Which requests the application is asked about, as many at a time as it has threads, and which
/// wait. The addresses take turns: a crowd of one waits for itself.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// With the application, until its verdict comes, whatever becomes of the connection.
    asked: HashSet<ConnectionId>,
    /// Those that wait, of each address the oldest first.
    lines: HashMap<Place, VecDeque<ConnectionId>>,
    /// Each address of `lines` once, the next one first.
    turns: VecDeque<Place>,
    waiting: usize,
}

impl Questions {
    /// A request comes; gives the one that is not asked about if too many wait: the last of the
    /// longest line.
    pub(super) fn push(
        &mut self,
        config: &Config,
        id: ConnectionId,
        place: Place,
    ) -> Option<ConnectionId> {
        let line = self.lines.entry(place).or_default();
        if line.is_empty() {
            self.turns.push_back(place);
        }
        line.push_back(id);
        self.waiting += 1;
        let room = config.accept_queue + threads(config) - self.asked.len();
        if self.waiting <= room {
            return None;
        }
        let own = self.lines[&place].len();
        // Of lines that are as long the one with the newest: a table's order changes from run to run.
        let newest = |line: &VecDeque<ConnectionId>| (line.len(), line.back().copied());
        let (longest, line) = self.lines.iter().max_by_key(|(_, line)| newest(line))?;
        let from = if line.len() > own { *longest } else { place };
        let last = *self.lines.get(&from)?.back()?;
        self.leave(last, from);
        Some(last)
    }

    /// The one to ask about now, if there is a thread for it.
    pub(super) fn next(&mut self, config: &Config) -> Option<ConnectionId> {
        if self.asked.len() >= threads(config) {
            return None;
        }
        let place = self.turns.pop_front()?;
        let line = self.lines.get_mut(&place)?;
        let id = line.pop_front()?;
        match line.is_empty() {
            true => _ = self.lines.remove(&place),
            false => self.turns.push_back(place),
        }
        self.waiting -= 1;
        self.asked.insert(id);
        Some(id)
    }

    /// The verdict has come.
    pub(super) fn answered(&mut self, id: ConnectionId) {
        self.asked.remove(&id);
    }

    /// A connection from there is no longer to be asked about, if it was.
    pub(super) fn leave(&mut self, id: ConnectionId, place: Place) {
        let Some(line) = self.lines.get_mut(&place) else { return };
        let Some(at) = line.iter().position(|waiting| *waiting == id) else { return };
        line.remove(at);
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&place);
            self.turns.retain(|turn| *turn != place);
        }
    }
}

fn threads(config: &Config) -> usize {
    config.accept_threads.max(1)
}

/// A connection whose websocket is up and whose channel is not.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) info: PeerInfo,
    pub(super) negotiation: Offerer,
    /// Reliable messages that wait for the channel.
    pub(super) early: Vec<Bytes>,
    early_bytes: usize,
}

impl Setup {
    pub(super) fn new(info: PeerInfo, negotiation: Offerer) -> Setup {
        Setup { info, negotiation, early: Vec::new(), early_bytes: 0 }
    }

    pub(super) fn push_early(&mut self, message: Bytes) {
        self.early_bytes += message.len();
        self.early.push(message);
    }

    /// Whether more waits than may.
    pub(super) fn is_over(&self, config: &Config) -> bool {
        self.early.len() > config.early_messages || self.early_bytes > config.early_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_old_form_gets_it() {
        let config = Config::default();
        assert_eq!(Form::Usual.connecting(&config), config.connecting);
        let compatible = Form::Compatible.connecting(&config);
        assert!(!compatible.negotiated, "such a client opens no channel itself");
        let but_for_that = HandshakeOptions { negotiated: true, ..compatible };
        assert_eq!(
            but_for_that,
            HandshakeOptions { negotiated: true, ..HandshakeOptions::COMPATIBLE }
        );
    }

    #[test]
    fn exactly_one_item_asks_and_is_hidden() {
        let compatible = |rest: Option<&str>| (Form::Compatible, rest.map(str::to_owned));
        let usual = |query: &str| (Form::Usual, Some(query.to_owned()));
        assert_eq!(Form::asked(None), (Form::Usual, None));
        assert_eq!(Form::asked(Some("net=compatible")), compatible(None));
        assert_eq!(Form::asked(Some("a=1&net=compatible")), compatible(Some("a=1")));
        assert_eq!(Form::asked(Some("net=compatible&b")), compatible(Some("b")));
        for query in
            ["", "a", "net=compatible2", "xnet=compatible", "net", "net=", "NET=compatible"]
        {
            assert_eq!(Form::asked(Some(query)), usual(query));
        }
    }
}

#[cfg(test)]
mod questions_tests {
    use super::*;
    use crate::hub::client_addr::Client;

    fn place(last: u8) -> Place {
        Place::of(Client::Direct(([198, 51, 100, last], 1).into()))
    }

    fn config(accept_threads: usize, accept_queue: usize) -> Config {
        Config { accept_threads, accept_queue, ..Config::default() }
    }

    fn next(questions: &mut Questions, config: &Config) -> Option<u64> {
        let id = questions.next(config)?;
        questions.answered(id);
        Some(id.0)
    }

    #[test]
    fn addresses_take_turns() {
        let (mut questions, config) = (Questions::default(), config(1, 9));
        for (id, from) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (5, 2)] {
            assert_eq!(questions.push(&config, ConnectionId(id), place(from)), None);
        }
        questions.leave(ConnectionId(4), place(3));
        let order: Vec<_> = std::iter::from_fn(|| next(&mut questions, &config)).collect();
        assert_eq!(order, [0, 3, 1, 5, 2]);
        assert!(questions.lines.is_empty() && questions.turns.is_empty());
        assert_eq!(questions.waiting, 0);
    }

    #[test]
    fn as_many_are_asked_about_as_there_are_threads() {
        let (mut questions, config) = (Questions::default(), config(2, 9));
        for id in 0..3 {
            assert_eq!(questions.push(&config, ConnectionId(id), place(1)), None);
        }
        let asked = [(); 3].map(|()| questions.next(&config));
        assert_eq!(asked, [Some(ConnectionId(0)), Some(ConnectionId(1)), None]);
        questions.leave(ConnectionId(0), place(1));
        assert_eq!(questions.next(&config), None, "the thread is still at it");
        questions.answered(ConnectionId(0));
        assert_eq!(questions.next(&config), Some(ConnectionId(2)));
    }

    #[test]
    fn the_last_of_the_longest_line_is_turned_away() {
        let (mut questions, config) = (Questions::default(), config(1, 2));
        assert_eq!(questions.push(&config, ConnectionId(0), place(1)), None);
        assert_eq!(questions.next(&config), Some(ConnectionId(0)));
        assert_eq!(questions.push(&config, ConnectionId(1), place(1)), None);
        assert_eq!(questions.push(&config, ConnectionId(2), place(1)), None);
        let third = ConnectionId(3);
        assert_eq!(questions.push(&config, third, place(1)), Some(third), "its own is the longest");
        let other = questions.push(&config, ConnectionId(4), place(2));
        assert_eq!(other, Some(ConnectionId(2)));
        let fifth = ConnectionId(5);
        assert_eq!(questions.push(&config, fifth, place(3)), Some(fifth), "all are as long");
        assert_eq!(questions.waiting, 2);
    }

    #[test]
    fn of_lines_as_long_the_one_with_the_newest_is_cut() {
        for _ in 0..20 {
            let (mut questions, config) = (Questions::default(), config(1, 5));
            questions.asked.insert(ConnectionId(9));
            for (id, from) in [(0, 1), (1, 2), (2, 3), (3, 2), (4, 1)] {
                assert_eq!(questions.push(&config, ConnectionId(id), place(from)), None);
            }
            let cut = questions.push(&config, ConnectionId(5), place(4));
            assert_eq!(cut, Some(ConnectionId(4)));
        }
    }

    #[test]
    fn without_a_queue_an_idle_thread_is_asked() {
        let (mut questions, config) = (Questions::default(), config(1, 0));
        assert_eq!(questions.push(&config, ConnectionId(0), place(1)), None);
        assert_eq!(questions.next(&config), Some(ConnectionId(0)));
        let second = ConnectionId(1);
        assert_eq!(questions.push(&config, second, place(2)), Some(second));
    }
}
