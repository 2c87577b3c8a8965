//! A server under attack, its honest clients and what became of the attacker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use net::{CloseReason, Config, ConnectFailure, Delivery, HandshakeStage, PeerId};
use net_tests::agent::Manners;
use net_tests::attack::{Kind, Means, Observer, Tally, Traffic, Watched};
use net_tests::world::{Heard, Seen, World};

/// What an honest client and the server say to each other, 20 times a second. A message takes
/// 20 ms, so that it arrives in the tick in which it was sent, with and without an attack.
const TICK: Duration = Duration::from_millis(50);
/// How long an honest client may take to open, in ticks.
const WELCOME: usize = 20;
const SEED: u64 = 6;
const BOTH: [Delivery; 2] = [Delivery::Reliable, Delivery::Unreliable];

/// One kind of attacker against one server.
pub(crate) struct Siege {
    pub(crate) world: World,
    observer: Option<Observer>,
    /// By the number of its line.
    honest: BTreeMap<usize, PeerId>,
    /// The attacker's peers, which the application takes for players.
    others: BTreeSet<PeerId>,
    /// What the application sends to each of those in a tick, reliably, in bytes.
    pub(crate) reliable: usize,
    outcome: Outcome,
    ticks: u64,
}

/// What became of an attacker.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) refusals: Vec<ConnectFailure>,
    pub(crate) opened: usize,
    /// Connections that asked for no websocket.
    pub(crate) plain: usize,
    pub(crate) closed: Vec<CloseReason>,
    /// Messages of the attacker that the application saw.
    pub(crate) received: usize,
    pub(crate) tally: Tally,
}

impl Siege {
    /// Two honest clients are open when the attacker comes.
    pub(crate) fn new(kind: Kind, config: Config) -> Siege {
        let mut siege = Siege {
            world: World::new(SEED, config),
            observer: None,
            honest: BTreeMap::new(),
            others: BTreeSet::new(),
            reliable: 200,
            outcome: Outcome::default(),
            ticks: 0,
        };
        (0..2).for_each(|_| siege.welcome());
        let (attacker, observer) = Watched::new(kind.start(SEED, Means::simulated(0)));
        siege.world.attack(attacker);
        siege.observer = Some(observer);
        siege
    }

    /// Lets the attack last so long; another honest client comes in its middle. Then the
    /// attacker goes, the clients go, and nothing is left.
    pub(crate) fn last(mut self, time: Duration) -> Outcome {
        let ticks = time.as_millis() / TICK.as_millis();
        for tick in 0..ticks {
            if tick == ticks / 2 {
                self.welcome();
            }
            self.tick();
        }
        self.end()
    }

    /// An honest client comes, and is soon open.
    pub(crate) fn welcome(&mut self) {
        let line = self.world.join(Manners::Good);
        for _ in 0..WELCOME {
            self.tick();
            let heard = self.world.heard(line);
            if self.honest.contains_key(&line) && heard == [Heard::Open] {
                self.world.take_heard(line);
                return;
            }
        }
        panic!("an honest client has not opened: {:?}", self.world.heard(line));
    }

    /// The clients and the server talk for a tick, and everything arrives in it, once and in
    /// order.
    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        let word = self.ticks.to_string();
        let mut talking = self.honest.clone();
        talking.retain(|line, _| self.world.heard(*line).is_empty());
        for (line, id) in &talking {
            for delivery in BOTH {
                let up = word.clone().into();
                assert!(self.world.act(*line, |agent, now| agent.send(now, delivery, up)));
                self.serve(*id, delivery, word.clone().into());
            }
        }
        for id in self.others.clone() {
            self.serve(id, Delivery::Reliable, vec![1; self.reliable]);
            self.serve(id, Delivery::Unreliable, vec![2; 200]);
        }
        self.world.run(TICK);
        let mut up = self.take_up(&word);
        for (line, id) in talking {
            let down = self.world.take_heard(line);
            let down = down.into_iter().map(|heard| delivered(heard, &word)).collect();
            assert_both(id, up.remove(&id).unwrap_or_default());
            assert_both(id, down);
        }
        assert!(up.is_empty(), "{up:?}");
    }

    fn serve(&mut self, id: PeerId, delivery: Delivery, message: Vec<u8>) {
        self.world.serve(|hub, now| hub.send(now, id, delivery, message.into()));
    }

    /// What the server has told: how the honest messages came, and all else for the outcome.
    fn take_up(&mut self, word: &str) -> BTreeMap<PeerId, Vec<Delivery>> {
        let mut up = BTreeMap::<PeerId, Vec<Delivery>>::new();
        for seen in self.world.take_seen() {
            match seen {
                Seen::Received(id, delivery, message) if !self.others.contains(&id) => {
                    assert_eq!(message, word.as_bytes(), "of peer {id}");
                    up.entry(id).or_default().push(delivery);
                }
                Seen::Received(..) => self.outcome.received += 1,
                Seen::Open(id) => self.opened(id),
                Seen::Closed(id, reason) => {
                    assert!(self.others.remove(&id), "peer {id}: {reason}");
                    self.outcome.closed.push(reason);
                }
                Seen::Refused(refusal) => self.outcome.refusals.push(refusal),
                Seen::Plain(_) => self.outcome.plain += 1,
            }
        }
        up
    }

    fn opened(&mut self, id: PeerId) {
        let next = self.world.next_address();
        let remote = self.world.infos[&id].remote;
        if remote.ip() == next.ip() {
            let line = self.honest.len();
            assert_eq!(remote.port() + 1, next.port(), "they come one by one");
            self.honest.insert(line, id);
        } else {
            self.outcome.opened += 1;
            self.others.insert(id);
        }
    }

    fn end(mut self) -> Outcome {
        let observer = self.observer.take().expect("an attack");
        let before = (self.outcome.refusals.len(), self.outcome.closed.len());
        observer.call_off();
        (0..2).for_each(|_| self.tick());
        for line in self.honest.keys() {
            self.world.act(*line, |agent, now| agent.close_websocket(now));
        }
        self.world.run(Duration::from_secs(40));
        for seen in self.world.take_seen() {
            match seen {
                Seen::Closed(_, reason) => self.outcome.closed.push(reason),
                Seen::Refused(refusal) => self.outcome.refusals.push(refusal),
                Seen::Plain(_) => self.outcome.plain += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(self.world.is_empty(), "something is left");
        let Outcome { refusals, closed, opened, plain, .. } = &self.outcome;
        let tally = observer.tally();
        assert_eq!(tally.connects, refusals.len() + opened + plain, "accepted = all ends");
        assert_eq!(closed.len(), opened + self.honest.len(), "each is closed once");
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.refusals.truncate(before.0);
        outcome.closed.truncate(before.1);
        Outcome { tally, ..outcome }
    }
}

fn delivered(heard: Heard, word: &str) -> Delivery {
    match heard {
        Heard::Received(delivery, message) if message == word.as_bytes() => delivery,
        other => panic!("not {word}: {other:?}"),
    }
}

#[track_caller]
fn assert_both(id: PeerId, deliveries: Vec<Delivery>) {
    let both = BOTH.iter().all(|delivery| deliveries.contains(delivery));
    assert!(both && deliveries.len() == 2, "peer {id}: {deliveries:?}");
}

impl Outcome {
    /// Nobody got in, and everyone was refused at this stage for this reason.
    #[track_caller]
    pub(crate) fn assert_refused(&self, stage: HandshakeStage, reason: &str) {
        assert_eq!((self.opened, self.received), (0, 0));
        assert!(!self.refusals.is_empty());
        for refusal in &self.refusals {
            assert_eq!((refusal.stage, refusal.reason.name()), (stage, reason), "{refusal:?}");
        }
        self.assert_no_amplification(|_| true);
    }

    /// Each of these is how some cause begins.
    #[track_caller]
    pub(crate) fn assert_causes(&self, words: &[&str]) {
        for word in words {
            let named = self.refusals.iter().any(|refusal| refusal.cause.starts_with(word));
            assert!(named, "nobody was told: {word}");
        }
    }

    /// Nobody was refused, many got in, and each was closed for this reason.
    #[track_caller]
    pub(crate) fn assert_closed(&self, reason: &str) {
        assert_eq!(self.refusals, []);
        assert!(!self.closed.is_empty());
        self.closed.iter().for_each(|closed| assert_eq!(closed.name(), reason, "{closed:?}"));
    }

    /// Nobody asked for a websocket, so that nobody was refused one.
    #[track_caller]
    pub(crate) fn assert_plain(&self) {
        assert_eq!((self.opened, self.received, &self.refusals), (0, 0, &vec![]));
        assert!(self.plain > 0);
    }

    /// Some got in, and nobody was refused or closed.
    #[track_caller]
    pub(crate) fn assert_lives(&self) {
        assert!(self.opened > 0);
        assert_eq!((&self.refusals, &self.closed), (&vec![], &vec![]));
    }

    /// Nobody came at all, but for datagrams.
    #[track_caller]
    pub(crate) fn assert_nobody(&self) {
        assert_eq!((self.tally.connects, self.received), (0, 0));
        assert!(!self.tally.traffic.is_empty());
        self.assert_no_amplification(|_| true);
    }

    /// To these addresses went no more bytes than came from there.
    #[track_caller]
    pub(crate) fn assert_no_amplification(&self, unproven: impl Fn(SocketAddr) -> bool) {
        for (address, Traffic { sent, heard }) in &self.tally.traffic {
            assert!(heard <= sent || !unproven(*address), "{address}: {heard} bytes for {sent}");
        }
    }

    /// Bytes out for each byte in, at the address where it is most.
    pub(crate) fn amplification(&self) -> f64 {
        let share = |Traffic { sent, heard }: &Traffic| *heard as f64 / (*sent).max(1) as f64;
        self.tally.traffic.values().map(share).fold(0.0, f64::max)
    }
}
