//! What is looked at after each step.

use std::any::Any;
use std::time::Duration;

use net::hub::ResourceUsage;
use net::{CloseReason, ConnectFailure, DataPathMode, Delivery, PeerId};

use super::client::Stage;
use super::flow::Arrived;
use super::plan::End;
use super::violation::{Invariant, Violation};
use super::{Entry, Storm};
use crate::link::{Conditions, Direction};
use crate::memory;
use crate::plane::Plane;
use crate::world::{Heard, Seen};

/// What the machine may hold beside its connections, in bytes.
const MEMORY: i64 = 16 * 1024 * 1024;
/// And for each of those.
const MEMORY_EACH: i64 = 2_355 * 1024;
/// What may be left when all are gone: tables keep the places of as many as there were.
const MEMORY_LEFT: i64 = 5 * 1024 * 1024;
/// How old an unreliable message may be that has not waited in the network: 100 ms in its
/// queue, as long again until its last copy, and what the pace of a large one takes.
const FRESH: Duration = Duration::from_millis(400);
/// Datagrams in a row, two for each flight of a handshake.
const ALL_LOST: usize = 10;
/// Longer ones travel in several packets.
const ONE_PACKET: usize = 1_000;

type Checked = Result<(), Violation>;

impl Storm {
    /// Looks at everything that has happened since the last time.
    pub(super) fn check(&mut self) -> Checked {
        self.steps += 1;
        for seen in self.world.take_seen() {
            self.on_seen(seen)?;
        }
        for number in 0..self.clients.len() {
            let Some(line) = self.clients[number].line else { continue };
            if !self.world.heard(line).is_empty() {
                for heard in self.world.take_heard(line) {
                    self.on_heard(number, heard)?;
                }
            }
        }
        self.check_server()
    }

    fn on_seen(&mut self, seen: Seen) -> Checked {
        match seen {
            Seen::Open(id) => self.on_open(id),
            Seen::Received(id, delivery, message) => self.on_up(id, delivery, &message),
            Seen::Closed(id, reason) => self.on_closed(id, &reason),
            Seen::Refused(refusal) => self.on_refused(&refusal),
            Seen::Plain(_) => {
                self.plain += 1;
                Ok(())
            }
        }
    }

    fn on_open(&mut self, id: PeerId) -> Checked {
        let line = self.world.client_of(id);
        let client = self.clients.iter().position(|one| one.line.is_some() && one.line == line);
        self.note(Entry::Open(client, id));
        if let Some(number) = client {
            self.clients[number].peer = Some(id);
        }
        self.lives.open(id).map_err(|wrong| self.wrong(wrong, client))
    }

    fn on_up(&mut self, id: PeerId, delivery: Delivery, message: &[u8]) -> Checked {
        let client = self.client(id);
        self.lives.received(id).map_err(|wrong| self.wrong(wrong, client))?;
        let Some(number) = client else {
            self.note(Entry::Strange(id));
            return Ok(());
        };
        let arrived = {
            let up = &mut self.clients[number].up;
            match delivery {
                Delivery::Reliable => up.reliable.received(message),
                Delivery::Unreliable => up.unreliable.received(message),
            }
        };
        let arrived = self.arrived(number, Direction::Up, delivery, arrived)?;
        self.note(Entry::Up(number, delivery, arrived.number));
        Ok(())
    }

    fn on_closed(&mut self, id: PeerId, reason: &CloseReason) -> Checked {
        let client = self.client(id);
        self.note(Entry::Closed(id, reason.to_string()));
        self.tally.reason(reason.name().into());
        self.lives.closed(id).map_err(|wrong| self.wrong(wrong, client))?;
        self.check_reason(reason, client)?;
        let Some(number) = client else { return Ok(()) };
        let client = &self.clients[number];
        let missing = client.up.reliable.missing();
        let is_clean =
            client.stage == Stage::Leaving(End::Websocket) && *reason == CloseReason::ClosedByPeer;
        if is_clean && missing > 0 {
            self.tally.lost += missing as u64;
            let what = format!("closed in order, and {missing} reliable messages did not come up");
            return Err(self.violation(Invariant::Messages, Some(number), what));
        }
        if !client.may_end() {
            let what = format!("closed for nothing: {reason}");
            return Err(self.violation(Invariant::Honest, Some(number), what));
        }
        Ok(())
    }

    fn on_refused(&mut self, refusal: &ConnectFailure) -> Checked {
        self.refused += 1;
        let client = self.clients.iter().position(|client| client.remote() == refusal.remote);
        self.note(Entry::Refused(client, refusal.to_string()));
        self.tally.reason(format!("refused {}", refusal.reason.name()));
        self.check_reason(&refusal.reason, client)?;
        // Attackers may fill the places of those who are on their way, and whoever is on their
        // path may break a handshake that nothing protects yet. A path may lose all its flights.
        let is_hurt = match refusal.reason {
            CloseReason::Limit(_) => !self.plan.attackers.is_empty(),
            CloseReason::WebRtcFailed(..) => self.spies || self.has_lost_all(client),
            _ => false,
        };
        match client {
            Some(number) if !self.clients[number].may_end() && !is_hurt => {
                let what = format!("refused for nothing: {refusal}");
                Err(self.violation(Invariant::Honest, client, what))
            }
            _ => Ok(()),
        }
    }

    /// Whether a path of this client lost so many datagrams in a row that no handshake survives.
    fn has_lost_all(&mut self, client: Option<usize>) -> bool {
        let line = client.and_then(|number| self.clients[number].line);
        line.is_some_and(|line| {
            let ways = [Direction::Up, Direction::Down];
            ways.into_iter().any(|way| self.world.link(line, way).longest_loss() >= ALL_LOST)
        })
    }

    /// A caught panic is one all the same.
    fn check_reason(&self, reason: &CloseReason, client: Option<usize>) -> Checked {
        match reason {
            CloseReason::PeerPanicked | CloseReason::AcceptPanicked => {
                Err(self.violation(Invariant::Panic, client, reason.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn on_heard(&mut self, number: usize, heard: Heard) -> Checked {
        match heard {
            Heard::Open => {
                self.note(Entry::Opened(number));
                let stage = &mut self.clients[number].stage;
                if *stage == Stage::Coming {
                    *stage = Stage::Here;
                }
                Ok(())
            }
            Heard::Received(delivery, message) => {
                let down = &mut self.clients[number].down;
                let arrived = match delivery {
                    Delivery::Reliable => down.reliable.received(&message),
                    Delivery::Unreliable => down.unreliable.received(&message),
                };
                let arrived = self.arrived(number, Direction::Down, delivery, arrived)?;
                self.note(Entry::Down(number, delivery, arrived.number));
                Ok(())
            }
            Heard::Closed(code, words) => self.on_ended(number, code, &words),
        }
    }

    /// Whoever hears a goodbye on the websocket has heard everything before it.
    fn on_ended(&mut self, number: usize, code: u16, words: &str) -> Checked {
        self.note(Entry::Ended(number, code));
        let client = &mut self.clients[number];
        let (missing, may_end) = (client.down.reliable.missing(), client.may_end());
        let may_be_hurt = client.stage == Stage::Coming && !self.plan.attackers.is_empty();
        if client.stage != Stage::Leaving(End::Websocket) {
            client.stage = Stage::Gone;
        }
        if code != 0 && missing > 0 {
            self.tally.lost += missing as u64;
            let what = format!("close code {code}, and {missing} reliable messages did not come");
            return Err(self.violation(Invariant::Messages, Some(number), what));
        }
        if !may_end && !may_be_hurt {
            let what = format!("heard its end for nothing: {code} {words}");
            return Err(self.violation(Invariant::Honest, Some(number), what));
        }
        Ok(())
    }

    fn arrived(
        &mut self,
        number: usize,
        direction: Direction,
        delivery: Delivery,
        arrived: Result<Arrived, String>,
    ) -> Result<Arrived, Violation> {
        let name = match delivery {
            Delivery::Reliable => "reliable",
            Delivery::Unreliable => "unreliable",
        };
        let arrived = arrived.map_err(|what| {
            let what = format!("{} {name}: {what}", direction.name());
            self.violation(Invariant::Messages, Some(number), what)
        })?;
        match delivery {
            Delivery::Reliable => self.tally.reliable += 1,
            Delivery::Unreliable => {
                self.tally.unreliable[1] += 1;
                self.check_age(number, direction, arrived)?;
            }
        }
        if let (Some(age), Some(message)) = (arrived.age(self.world.now), arrived.number) {
            let (is_up, is_reliable) = (direction == Direction::Up, delivery == Delivery::Reliable);
            self.latencies.insert((number, is_up, is_reliable, message), age);
        }
        Ok(arrived)
    }

    /// Fresh or not at all, where our own plane sends.
    fn check_age(&mut self, number: usize, direction: Direction, arrived: Arrived) -> Checked {
        let is_fresh = match direction {
            Direction::Up => self.clients[number].life.plane == Plane::Ours,
            Direction::Down => self.plan.data_plane == DataPathMode::LowLatency,
        };
        let (Some(age), Some(sent)) = (arrived.age(self.world.now), arrived.sent) else {
            return Ok(());
        };
        let is_small = arrived.size <= ONE_PACKET;
        // Who overhears may send on later what was lost.
        if !is_fresh || !is_small || self.spies || self.was_paused_since(sent) {
            return Ok(());
        }
        let most = self.slowest(number, direction) + FRESH;
        if age > most {
            let name = direction.name();
            let what = format!("{name} unreliable {:?}: {age:?} old, at most {most:?}", arrived);
            return Err(self.violation(Invariant::Messages, Some(number), what));
        }
        Ok(())
    }

    /// The longest that its network may have held a datagram.
    fn slowest(&mut self, number: usize, direction: Direction) -> Duration {
        let line = self.clients[number].line.expect("it has sent or received");
        let now = self.world.link(line, direction).conditions.slowest();
        // It may have been sent under other conditions.
        let worst = Duration::from_millis(121 + 20 + 50);
        now.max(worst).max(Conditions::default().slowest())
    }

    fn check_server(&mut self) -> Checked {
        if let Some(excess) = self.world.take_excess().first() {
            let what = format!("{excess:?}");
            return Err(self.violation(Invariant::Reflection, None, what));
        }
        let sizes = self.world.sizes();
        let over = self.refused + self.plain;
        let accounted = self.lives.opened() + over + sizes.handshakes as u64;
        if self.world.accepted() != accounted {
            let what = format!(
                "{} accepted, {} opened, {} refused, {} plain, {} on their way",
                self.world.accepted(),
                self.lives.opened(),
                self.refused,
                self.plain,
                sizes.handshakes,
            );
            return Err(self.violation(Invariant::Account, None, what));
        }
        self.check_memory(MEMORY + MEMORY_EACH * sizes.connections as i64)?;
        let (longest, call) = self.world.cost().longest;
        match self.options.longest_call {
            Some(most) if longest > most => {
                let what = format!("call {call} took {longest:?}, at most {most:?}");
                Err(self.violation(Invariant::Time, None, what))
            }
            _ => Ok(()),
        }
    }

    fn check_memory(&self, most: i64) -> Checked {
        let held = memory::held().unwrap_or(0) - self.memory;
        if held > most {
            let what = format!("{held} bytes, at most {most}");
            return Err(self.violation(Invariant::Memory, None, what));
        }
        Ok(())
    }

    /// Everyone has gone, long ago.
    pub(super) fn check_end(&mut self) -> Checked {
        self.check()?;
        let sizes = self.world.sizes();
        let wake = self.world.server_wake().map(|at| at - self.began);
        if sizes != ResourceUsage::default() || wake.is_some() {
            let what = format!("all have gone, and there is {sizes:?}, woken at {wake:?}");
            return Err(self.violation(Invariant::Empty, None, what));
        }
        if let Some(id) = self.lives.all_open().next() {
            let what = format!("{id} never closed");
            return Err(self.violation(Invariant::Grammar, self.client(id), what));
        }
        self.check_whole()?;
        match self.check_memory(MEMORY_LEFT) {
            Ok(()) => Ok(()),
            Err(violation) => Err(Violation { invariant: Invariant::Empty, ..violation }),
        }
    }

    /// Who left in order at the end, in good weather, has everything.
    fn check_whole(&mut self) -> Checked {
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            let stayed = client.life.ends.is_none() && client.peer.is_some();
            let missing = client.down.reliable.missing();
            let goes_first = number % 3 == 2 || self.plan.shutdown;
            if stayed && goes_first && missing > 0 && client.away.is_zero() {
                self.tally.lost += missing as u64;
                let what = format!("{missing} reliable messages did not come");
                return Err(self.violation(Invariant::Messages, Some(number), what));
            }
        }
        Ok(())
    }

    fn client(&self, id: PeerId) -> Option<usize> {
        self.clients.iter().position(|client| client.peer == Some(id))
    }

    fn wrong(&self, (invariant, what): (Invariant, String), client: Option<usize>) -> Violation {
        self.violation(invariant, client, what)
    }

    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Violation {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        self.violation(Invariant::Panic, None, text.into())
    }

    fn violation(&self, invariant: Invariant, client: Option<usize>, what: String) -> Violation {
        let who = match client {
            Some(number) => format!("client {number}, peer {:?}", self.clients[number].peer),
            None => "the server".into(),
        };
        Violation {
            invariant,
            seed: self.plan.seed,
            full: self.plan.scale == super::Scale::Full,
            step: self.steps,
            at: self.world.now - self.began,
            who,
            what,
        }
    }
}
