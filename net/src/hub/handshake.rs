//! Connections before `Open`: admission requests, their queue, and the handshake.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use net_rtc::HandshakeOptions;
use net_signal::Offerer;

use crate::hub::ConnectionId;
use crate::hub::limits::ClientKey;
use crate::{Config, PeerInfo, Request};

/// Request for a decision by [`Config::accept`](crate::Config::accept). The response is
/// [`Input::Decision`](crate::hub::Input::Decision).
#[derive(Debug)]
pub struct AcceptRequest {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// Its websocket request.
    pub request: Request,
}

/// State of a request that awaits its decision.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) request: Request,
    pub(super) offer_profile: OfferProfile,
}

impl PendingRequest {
    pub(super) fn to_accept_request(&self, connection: ConnectionId) -> AcceptRequest {
        AcceptRequest { connection, request: self.request.clone() }
    }
}

/// Query item that requests [`OfferProfile::Compat`].
const COMPAT_QUERY_ITEM: &str = "net=compatible";

/// Profile of the offer: [`HandshakeOptions`](crate::HandshakeOptions) as configured, or for
/// compatibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferProfile {
    /// As configured.
    Default,
    /// Maximum compatibility: the client has tried the default in vain.
    Compat,
}

impl OfferProfile {
    /// Parses the query of a request; also returns the rest of it for the application.
    pub(super) fn from_query(query: Option<&str>) -> (OfferProfile, Option<String>) {
        let Some(query) = query else { return (OfferProfile::Default, None) };
        let items = || query.split('&');
        if !items().any(|item| item == COMPAT_QUERY_ITEM) {
            return (OfferProfile::Default, Some(query.to_owned()));
        }
        let rest: Vec<_> = items().filter(|item| *item != COMPAT_QUERY_ITEM).collect();
        (OfferProfile::Compat, (!rest.is_empty()).then(|| rest.join("&")))
    }

    pub(super) fn handshake_options(self, config: &Config) -> HandshakeOptions {
        match self {
            OfferProfile::Default => config.handshake,
            OfferProfile::Compat => {
                HandshakeOptions { negotiated: false, ..HandshakeOptions::COMPATIBLE }
            }
        }
    }
}

/// Queue of requests for the admission hook, which decides as many at a time as it has threads.
/// Addresses are served round-robin, so a flood from one address delays only itself.
#[derive(Debug, Default)]
pub(super) struct AcceptQueue {
    /// Requests passed to the hook, until their decision, even if their connection ends.
    in_progress: HashSet<ConnectionId>,
    /// Queued requests of each address, oldest first.
    by_client: HashMap<ClientKey, VecDeque<ConnectionId>>,
    /// Each address of `by_client` once, the next one first.
    rotation: VecDeque<ClientKey>,
    queued: usize,
}

impl AcceptQueue {
    /// Queues a request; returns the one to refuse if the queue is full: the last of the longest
    /// queue of an address.
    pub(super) fn push(
        &mut self,
        config: &Config,
        id: ConnectionId,
        place: ClientKey,
    ) -> Option<ConnectionId> {
        let line = self.by_client.entry(place).or_default();
        if line.is_empty() {
            self.rotation.push_back(place);
        }
        line.push_back(id);
        self.queued += 1;
        let room = config.accept_queue_len + accept_threads(config) - self.in_progress.len();
        if self.queued <= room {
            return None;
        }
        let own = self.by_client[&place].len();
        // Ties go to the queue with the newest request: the order of a hash table varies from run
        // to run.
        let newest = |line: &VecDeque<ConnectionId>| (line.len(), line.back().copied());
        let (longest, line) = self.by_client.iter().max_by_key(|(_, line)| newest(line))?;
        let from = if line.len() > own { *longest } else { place };
        let last = *self.by_client.get(&from)?.back()?;
        self.remove(last, from);
        Some(last)
    }

    /// Returns the next request for the hook, if a thread is free.
    pub(super) fn pop_next(&mut self, config: &Config) -> Option<ConnectionId> {
        if self.in_progress.len() >= accept_threads(config) {
            return None;
        }
        let place = self.rotation.pop_front()?;
        let line = self.by_client.get_mut(&place)?;
        let id = line.pop_front()?;
        match line.is_empty() {
            true => _ = self.by_client.remove(&place),
            false => self.rotation.push_back(place),
        }
        self.queued -= 1;
        self.in_progress.insert(id);
        Some(id)
    }

    /// Removes a request whose decision has arrived.
    pub(super) fn on_decision(&mut self, id: ConnectionId) {
        self.in_progress.remove(&id);
    }

    /// Removes a queued request of a connection from there, if there is one.
    pub(super) fn remove(&mut self, id: ConnectionId, place: ClientKey) {
        let Some(line) = self.by_client.get_mut(&place) else { return };
        let Some(at) = line.iter().position(|waiting| *waiting == id) else { return };
        line.remove(at);
        self.queued -= 1;
        if line.is_empty() {
            self.by_client.remove(&place);
            self.rotation.retain(|turn| *turn != place);
        }
    }
}

fn accept_threads(config: &Config) -> usize {
    config.accept_threads.max(1)
}

/// Connection whose websocket is open and whose data channel is not.
#[derive(Debug)]
pub(super) struct Handshaking {
    pub(super) info: PeerInfo,
    pub(super) offerer: Offerer,
    /// Reliable messages held until the data channel opens.
    pub(super) preopen: Vec<Bytes>,
    preopen_bytes: usize,
}

impl Handshaking {
    pub(super) fn new(info: PeerInfo, offerer: Offerer) -> Handshaking {
        Handshaking { info, offerer, preopen: Vec::new(), preopen_bytes: 0 }
    }

    pub(super) fn push_preopen(&mut self, message: Bytes) {
        self.preopen_bytes += message.len();
        self.preopen.push(message);
    }

    /// Returns whether the held messages exceed the limits.
    pub(super) fn is_over_limit(&self, config: &Config) -> bool {
        self.preopen.len() > config.max_preopen_messages
            || self.preopen_bytes > config.max_preopen_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_old_form_gets_it() {
        let config = Config::default();
        assert_eq!(OfferProfile::Default.handshake_options(&config), config.handshake);
        let compatible = OfferProfile::Compat.handshake_options(&config);
        assert!(!compatible.negotiated, "such a client opens no channel itself");
        let but_for_that = HandshakeOptions { negotiated: true, ..compatible };
        assert_eq!(
            but_for_that,
            HandshakeOptions { negotiated: true, ..HandshakeOptions::COMPATIBLE }
        );
    }

    #[test]
    fn exactly_one_item_asks_and_is_hidden() {
        let compatible = |rest: Option<&str>| (OfferProfile::Compat, rest.map(str::to_owned));
        let usual = |query: &str| (OfferProfile::Default, Some(query.to_owned()));
        assert_eq!(OfferProfile::from_query(None), (OfferProfile::Default, None));
        assert_eq!(OfferProfile::from_query(Some("net=compatible")), compatible(None));
        assert_eq!(OfferProfile::from_query(Some("a=1&net=compatible")), compatible(Some("a=1")));
        assert_eq!(OfferProfile::from_query(Some("net=compatible&b")), compatible(Some("b")));
        for query in
            ["", "a", "net=compatible2", "xnet=compatible", "net", "net=", "NET=compatible"]
        {
            assert_eq!(OfferProfile::from_query(Some(query)), usual(query));
        }
    }
}

#[cfg(test)]
mod questions_tests {
    use super::*;
    use crate::hub::client_addr::ClientAddr;

    fn place(last: u8) -> ClientKey {
        ClientKey::from_client(ClientAddr::Direct(([198, 51, 100, last], 1).into()))
    }

    fn config(accept_threads: usize, accept_queue: usize) -> Config {
        Config { accept_threads, accept_queue_len: accept_queue, ..Config::default() }
    }

    fn next(questions: &mut AcceptQueue, config: &Config) -> Option<u64> {
        let id = questions.pop_next(config)?;
        questions.on_decision(id);
        Some(id.0)
    }

    #[test]
    fn addresses_take_turns() {
        let (mut questions, config) = (AcceptQueue::default(), config(1, 9));
        for (id, from) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (5, 2)] {
            assert_eq!(questions.push(&config, ConnectionId(id), place(from)), None);
        }
        questions.remove(ConnectionId(4), place(3));
        let order: Vec<_> = std::iter::from_fn(|| next(&mut questions, &config)).collect();
        assert_eq!(order, [0, 3, 1, 5, 2]);
        assert!(questions.by_client.is_empty() && questions.rotation.is_empty());
        assert_eq!(questions.queued, 0);
    }

    #[test]
    fn as_many_are_asked_about_as_there_are_threads() {
        let (mut questions, config) = (AcceptQueue::default(), config(2, 9));
        for id in 0..3 {
            assert_eq!(questions.push(&config, ConnectionId(id), place(1)), None);
        }
        let asked = [(); 3].map(|()| questions.pop_next(&config));
        assert_eq!(asked, [Some(ConnectionId(0)), Some(ConnectionId(1)), None]);
        questions.remove(ConnectionId(0), place(1));
        assert_eq!(questions.pop_next(&config), None, "the thread is still at it");
        questions.on_decision(ConnectionId(0));
        assert_eq!(questions.pop_next(&config), Some(ConnectionId(2)));
    }

    #[test]
    fn the_last_of_the_longest_line_is_turned_away() {
        let (mut questions, config) = (AcceptQueue::default(), config(1, 2));
        assert_eq!(questions.push(&config, ConnectionId(0), place(1)), None);
        assert_eq!(questions.pop_next(&config), Some(ConnectionId(0)));
        assert_eq!(questions.push(&config, ConnectionId(1), place(1)), None);
        assert_eq!(questions.push(&config, ConnectionId(2), place(1)), None);
        let third = ConnectionId(3);
        assert_eq!(questions.push(&config, third, place(1)), Some(third), "its own is the longest");
        let other = questions.push(&config, ConnectionId(4), place(2));
        assert_eq!(other, Some(ConnectionId(2)));
        let fifth = ConnectionId(5);
        assert_eq!(questions.push(&config, fifth, place(3)), Some(fifth), "all are as long");
        assert_eq!(questions.queued, 2);
    }

    #[test]
    fn of_lines_as_long_the_one_with_the_newest_is_cut() {
        for _ in 0..20 {
            let (mut questions, config) = (AcceptQueue::default(), config(1, 5));
            questions.in_progress.insert(ConnectionId(9));
            for (id, from) in [(0, 1), (1, 2), (2, 3), (3, 2), (4, 1)] {
                assert_eq!(questions.push(&config, ConnectionId(id), place(from)), None);
            }
            let cut = questions.push(&config, ConnectionId(5), place(4));
            assert_eq!(cut, Some(ConnectionId(4)));
        }
    }

    #[test]
    fn without_a_queue_an_idle_thread_is_asked() {
        let (mut questions, config) = (AcceptQueue::default(), config(1, 0));
        assert_eq!(questions.push(&config, ConnectionId(0), place(1)), None);
        assert_eq!(questions.pop_next(&config), Some(ConnectionId(0)));
        let second = ConnectionId(1);
        assert_eq!(questions.push(&config, second, place(2)), Some(second));
    }
}
