//! The server the test pages talk to.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use net::{CloseReason, Config, ConnectFailure, Event, EventQueue, PeerId, Server};

/// Time for the server to see a connection begin or end.
const SOON: Duration = Duration::from_secs(5);
/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// What the server saw of a peer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// `Event::Open` for this id.
    Opened(u64),
    /// `Event::Closed` for this id.
    Ended(u64),
}

/// A server with a thread that answers the pages.
///
/// A message `command:echo reliable` or `command:echo unreliable` chooses the
/// path on which that peer gets everything else back, reliable at first; the
/// answer is `ok`. `command:count N` asks for N numbered reliable messages,
/// `command:world N SIZE` for N of SIZE bytes, `command:long SIZE` for an
/// unreliable message of that size,
/// `command:tell WORDS` for a reliable message to everyone, `command:query` for
/// `ok` and the query of the peer's URL, `command:close` for the end.
pub struct Answerer {
    server: Server,
    lives: Receiver<Life>,
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answerer {
    /// A server on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::on((Ipv4Addr::LOCALHOST, 0), Config::default())
    }

    /// A server of its own kind.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn on(address: impl ToSocketAddrs + std::fmt::Debug, config: Config) -> Self {
        let (server, queue) = Server::bind(address, config).expect("a server");
        let (sender, lives) = channel();
        let running = Arc::new(AtomicBool::new(true));
        let answers =
            Answers { server: server.clone(), unreliable: BTreeSet::new(), lives: sender };
        let thread = thread::spawn({
            let running = Arc::clone(&running);
            move || answers.run(&queue, &running)
        });
        Self { server, lives, running, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Why a peer's connection ended.
    pub fn close_reason(&self, id: u64) -> Option<CloseReason> {
        self.server.close_reason(id)
    }

    /// The connections that never became peers, oldest first.
    pub fn refusals(&self) -> Vec<ConnectFailure> {
        self.server.connect_failures().recent.into()
    }

    /// The next `count` openings and endings, or as many as come within 5 s.
    pub fn next(&self, count: usize) -> Vec<Life> {
        let end = Instant::now() + SOON;
        let left = || end.saturating_duration_since(Instant::now());
        (0..count).map_while(|_| self.lives.recv_timeout(left()).ok()).collect()
    }

    /// Asserts which openings and endings come next.
    ///
    /// # Panics
    /// When others come, or none within 5 s.
    #[track_caller]
    pub fn expect(&self, lives: &[Life]) {
        assert_eq!(self.next(lives.len()), lives);
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the answering thread panicked");
        }
    }
}

/// What the thread works with.
struct Answers {
    server: Server,
    // The peers that chose the unreliable path.
    unreliable: BTreeSet<PeerId>,
    lives: Sender<Life>,
}

impl Answers {
    fn run(mut self, queue: &EventQueue, running: &AtomicBool) {
        while running.load(Ordering::Relaxed) {
            for event in queue.wait(LOOK) {
                self.handle(event);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        log::debug!("{event:?}");
        match event {
            Event::Open(id) => self.tell(Life::Opened(id.into())),
            Event::Closed(id) => self.tell(Life::Ended(id.into())),
            Event::Received(id, message) => match message.strip_prefix(b"command:") {
                Some(command) => self.obey(id, &String::from_utf8_lossy(command)),
                None if self.unreliable.contains(&id) => self.server.send_unreliable(id, message),
                None => self.server.send_reliable(id, message),
            },
        }
    }

    fn tell(&self, life: Life) {
        // The test may be over.
        let _ = self.lives.send(life);
    }

    fn obey(&mut self, id: PeerId, command: &str) {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("echo", path) => self.choose(id, path),
            ("count", number) => self.count(id, number.parse().unwrap_or(0), 4),
            ("world", both) => self.world(id, both),
            ("long", size) => {
                self.server.send_unreliable(id, vec![7; size.parse().unwrap_or(0)]);
            }
            ("close", _) => self.server.close(id),
            ("kick", reason) => self.server.close_with(id, 4001, reason),
            ("query", _) => self.tell_query(id),
            ("tell", words) => self.server.broadcast_reliable(words.to_owned()),
            _ => log::error!("a page commands {command:?}"),
        }
    }

    fn tell_query(&self, id: PeerId) {
        let query = self.server.peer(id).and_then(|peer| peer.query);
        self.server.send_reliable(id, "ok");
        self.server.send_reliable(id, query.unwrap_or_else(|| "none".to_owned()));
    }

    fn choose(&mut self, id: PeerId, path: &str) {
        match path {
            "unreliable" => self.unreliable.insert(id),
            _ => self.unreliable.remove(&id),
        };
        self.server.send_reliable(id, "ok");
    }

    fn world(&self, id: PeerId, both: &str) {
        let mut numbers = both.split(' ').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        self.count(id, next(), next() as usize);
    }

    /// So many messages of this size, at least 4 bytes, which begin with their number.
    fn count(&self, id: PeerId, number: u32, size: usize) {
        for index in 0..number {
            let mut message = vec![7; size.max(4)];
            message[..4].copy_from_slice(&index.to_le_bytes());
            self.server.send_reliable(id, message);
        }
    }
}
