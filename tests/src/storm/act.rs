//! What is done to the world, by the plan.

use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{CloseReason, Delivery, PeerId, SendOptions};
use rand::RngExt;

use super::client::Stage;
use super::letter::Letters;
use super::plan::{End, Mishap, stream};
use super::{Entry, Storm, raids};
use crate::agent::{Agent, Manners};
use crate::link::{Conditions, Direction};

/// After everyone has left, so much time goes by until nothing may be left of anyone: longer
/// than any timeout.
pub(super) const AFTERMATH: Duration = Duration::from_secs(75);
/// How often the application talks to peers that are attackers.
const STRANGERS: Duration = Duration::from_millis(50);
/// Unsent bytes of a peer beyond which the application sends it nothing more, or closes it; less
/// than `net::Config::backlog_bytes`.
const BACKLOG: usize = 1024 * 1024;

/// Something to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// A client connects.
    Join(usize),
    /// A client and the server send each other something.
    Tick(usize),
    /// The application talks to strangers.
    Strangers,
    /// A client ends so.
    End(usize, End),
    Mishap(Mishap),
    Attack(usize),
    Dismiss(usize),
    /// The weather becomes good.
    Calm,
    /// Who is left leaves.
    Part,
}

impl Storm {
    /// Puts everything that is planned on the agenda.
    pub(super) fn plan_all(&mut self) {
        let plan = self.plan.clone();
        for (number, life) in plan.clients.iter().enumerate() {
            self.later(life.joins, Act::Join(number));
            life.ends.into_iter().for_each(|(at, end)| self.later(at, Act::End(number, end)));
        }
        for (number, attack) in plan.attackers.iter().enumerate() {
            self.later(attack.begins, Act::Attack(number));
            self.later(attack.ends, Act::Dismiss(number));
        }
        plan.mishaps.iter().for_each(|(at, mishap)| self.later(*at, Act::Mishap(*mishap)));
        self.later(Duration::ZERO, Act::Strangers);
        self.later(plan.calm, Act::Calm);
        self.later(plan.end(), Act::Part);
    }

    /// `after` is counted from the beginning.
    fn later(&mut self, after: Duration, act: Act) {
        self.planned += 1;
        self.agenda.insert((self.began + after, self.planned), act);
    }

    fn again(&mut self, pause: Duration, act: Act) {
        let after = self.world.now + pause - self.began;
        if after < self.plan.calm {
            self.later(after, act);
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Join(number) => self.join(number),
            Act::Tick(number) => self.tick(number),
            Act::Strangers => self.talk_to_strangers(),
            Act::End(number, end) => self.end(number, end),
            Act::Mishap(mishap) => self.befall(mishap),
            Act::Attack(number) => self.attack(number),
            Act::Dismiss(number) => {
                if let Some(raider) = self.raiders.remove(&number) {
                    self.world.dismiss(raider);
                }
            }
            Act::Calm => self.world.shape(Conditions::default()),
            Act::Part => self.part(),
        }
    }

    fn fault(&mut self, name: &'static str, client: Option<usize>) {
        self.tally.fault(name);
        self.note(Entry::Fault(name, client));
    }

    fn join(&mut self, number: usize) {
        let client = &self.clients[number];
        // Its system connects when the server's process goes on.
        if self.world.is_paused() {
            return self.again(Duration::from_millis(10), Act::Join(number));
        }
        if client.stage != Stage::Coming {
            return;
        }
        let (life, seed) = (client.life.clone(), self.plan.seed << 8 | number as u64);
        let rtc = life.plane.client(life.address, Some(seed));
        let agent = Agent::asking(self.world.now, life.path, &[], Manners::Good, rtc);
        let line = self.world.join_with(client.remote(), life.address, agent);
        self.world.link(line, Direction::Up).conditions = life.weather;
        self.world.link(line, Direction::Down).conditions = life.weather;
        if life.chops {
            self.world.wire(line).chop(stream(self.plan.seed, number as u64, "chops"));
        }
        self.clients[number].line = Some(line);
        self.later(self.world.now - self.began + life.tick, Act::Tick(number));
    }

    fn tick(&mut self, number: usize) {
        self.send_up(number);
        self.send_down(number);
        let client = &self.clients[number];
        if client.acts() || client.peer.is_some_and(|id| self.lives.is_open(id)) {
            self.again(client.life.tick, Act::Tick(number));
        }
    }

    fn send_up(&mut self, number: usize) {
        let (client, now) = (&mut self.clients[number], self.world.now);
        let Some(line) = client.line.filter(|_| client.acts()) else { return };
        let letter = client.up.reliable.next();
        if client.sends(letter.len())
            && self.world.act(line, |agent, now| agent.send(now, Delivery::Reliable, letter))
        {
            client.up.reliable.sent(now);
        }
        let letter = client.up.unreliable.next();
        let sent = letter.clone();
        if client.stage == Stage::Here
            && self.world.act(line, |agent, now| agent.send(now, Delivery::Unreliable, sent))
        {
            client.up.unreliable.sent(now, &letter);
            self.tally.unreliable[0] += 1;
        }
    }

    fn send_down(&mut self, number: usize) {
        let (client, now) = (&mut self.clients[number], self.world.now);
        let Some(id) = client.peer.filter(|id| self.lives.is_open(*id)) else { return };
        if self.world.is_paused() {
            return;
        }
        let letter = client.down.reliable.next();
        if self.world.unwritten(id) + letter.len() <= BACKLOG {
            self.world.serve(|hub, now| hub.send(now, id, Delivery::Reliable, copy(&letter)));
            client.down.reliable.sent(now);
        }
        // The second takes the place of the first, if that has not left.
        for options in [SendOptions::default(), SendOptions::latest(7), SendOptions::latest(7)] {
            let letter = client.down.unreliable.next();
            self.world.serve(|hub, now| hub.send_unreliable(now, id, copy(&letter), options));
            client.down.unreliable.sent(now, &letter);
            self.tally.unreliable[0] += 1;
        }
    }

    /// As `Server::send_reliable` does it.
    fn talk_to_strangers(&mut self) {
        self.again(STRANGERS, Act::Strangers);
        if self.world.is_paused() {
            return;
        }
        let honest: Vec<PeerId> = self.clients.iter().filter_map(|client| client.peer).collect();
        let strangers: Vec<PeerId> =
            self.lives.all_open().filter(|id| !honest.contains(id)).collect();
        for id in strangers {
            match self.world.unwritten(id) <= BACKLOG {
                true => self.world.serve(|hub, now| {
                    hub.send(now, id, Delivery::Reliable, Bytes::from(vec![1; 200]));
                    hub.send(now, id, Delivery::Unreliable, Bytes::from(vec![2; 200]));
                }),
                false => self.close(id, CloseReason::SlowConsumer("the storm's own".into())),
            }
        }
    }

    fn close(&mut self, id: PeerId, reason: CloseReason) {
        self.world.serve(|hub, now| hub.close(now, id, reason));
    }

    fn end(&mut self, number: usize, end: End) {
        let client = &mut self.clients[number];
        let Some(line) = client.line else {
            client.stage = Stage::Gone;
            return;
        };
        if !client.acts() || end == End::Server && self.world.is_paused() {
            return;
        }
        let (peer, is_coming) = (client.peer, client.stage == Stage::Coming);
        client.stage = Stage::Leaving(end);
        self.fault(end.name(), Some(number));
        match end {
            End::Websocket => self.world.act(line, |agent, now| agent.close_websocket(now)),
            End::Channel => self.world.act(line, |agent, now| agent.close_channel(now)),
            End::Server => {
                peer.into_iter().for_each(|id| self.close(id, CloseReason::ClosedByServer))
            }
            End::Kill => self.world.kill(line),
            End::Cut => self.world.cut(line),
            End::Reset => self.world.reset(line),
        }
        // There may be nothing yet that could be closed.
        if end == End::Server && peer.is_none() || end == End::Channel && is_coming {
            self.world.act(line, |agent, now| agent.close_websocket(now));
        }
    }

    fn befall(&mut self, mishap: Mishap) {
        let who = match mishap {
            Mishap::Blackout(who, _) | Mishap::Rebind(who) | Mishap::Block(who, _) => Some(who),
            Mishap::Weather(who, _) | Mishap::Nothing(who) => Some(who),
            _ => None,
        };
        let line = who.map(|who| self.clients[who].line);
        if line == Some(None) {
            return;
        }
        self.fault(mishap.name(), who);
        let line = line.flatten().unwrap_or_default();
        match mishap {
            Mishap::Pause(time) => self.pause(time),
            Mishap::Blackout(who, time) => self.black_out(who, line, time),
            Mishap::Rebind(who) => self.rebind(who, line),
            Mishap::Block(_, time) => self.world.block(line, time),
            Mishap::Weather(_, weather) => {
                self.world.link(line, Direction::Up).conditions = weather;
                self.world.link(line, Direction::Down).conditions = weather;
            }
            Mishap::Wake => self.world.wake(),
            Mishap::Nothing(who) => self.world.datagram(self.clients[who].life.address, &[]),
            Mishap::Stale => self.stale(),
            Mishap::Broadcast => self.broadcast(),
        }
    }

    fn pause(&mut self, time: Duration) {
        self.world.pause(time);
        let now = self.world.now;
        let end = self.paused.map_or(now + time, |(_, end)| end.max(now + time));
        let begin = self.paused.filter(|(_, end)| *end >= now).map_or(now, |(begin, _)| begin);
        self.paused = Some((begin, end));
        self.clients.iter_mut().for_each(|client| client.away += time);
    }

    fn black_out(&mut self, who: usize, line: usize, time: Duration) {
        let dark = self.world.now..self.world.now + time;
        self.clients[who].away += time;
        for direction in [Direction::Up, Direction::Down] {
            self.world.link(line, direction).black_out(dark.clone());
        }
    }

    fn rebind(&mut self, who: usize, line: usize) {
        let client = &mut self.clients[who];
        if client.rebinds < 4 && client.stage == Stage::Here {
            client.rebinds += 1;
            self.world.rebind(line);
        }
    }

    fn stale(&mut self) {
        if self.world.is_paused() {
            return;
        }
        let mut random = stream(self.plan.seed, self.planned, "stale");
        let ids = (0..8).map(|_| PeerId::from(random.random_range(0..self.lives.opened() + 5)));
        let stale: Vec<PeerId> = ids.filter(|id| !self.lives.is_open(*id)).collect();
        for id in stale {
            self.world.serve(|hub, now| {
                hub.send(now, id, Delivery::Reliable, Bytes::from_static(b"nobody"));
                hub.send(now, id, Delivery::Unreliable, Bytes::from_static(b"nobody"));
                hub.close(now, id, CloseReason::ClosedByServer);
            });
        }
    }

    /// The same bytes for all, in the place of what would have come next.
    fn broadcast(&mut self) {
        if self.world.is_paused() {
            return;
        }
        let (letters, number) = (Letters::new(self.plan.seed ^ 0xB0, false), self.planned as u32);
        let (letter, now) = (letters.letter(number), self.world.now);
        for id in self.lives.all_open().collect::<Vec<_>>() {
            if self.world.unwritten(id) + letter.len() > BACKLOG {
                continue;
            }
            self.world.serve(|hub, now| hub.send(now, id, Delivery::Reliable, letter.clone()));
            if let Some(client) = self.clients.iter_mut().find(|client| client.peer == Some(id)) {
                client.down.reliable.sent_other(now, letters, number);
            }
        }
    }

    fn attack(&mut self, number: usize) {
        let attacker = raids::draw(self.plan.attackers[number].seed, number);
        self.fault(attacker.name(), None);
        self.spies |= attacker.listens();
        let raider = self.world.attack(attacker);
        self.raiders.insert(number, raider);
    }

    /// Who is left leaves, each in a way of its own, or the server goes.
    fn part(&mut self) {
        if self.plan.shutdown {
            for client in &mut self.clients {
                if client.acts() {
                    client.stage = Stage::Leaving(End::Server);
                }
            }
            self.fault("shutdown", None);
            return self.world.serve(|hub, now| hub.shutdown(now));
        }
        for number in 0..self.clients.len() {
            let end = [End::Websocket, End::Channel, End::Server][number % 3];
            if self.clients[number].acts() {
                self.end(number, end);
            }
        }
        let strangers: Vec<PeerId> = self.lives.all_open().collect();
        let honest: Vec<PeerId> = self.clients.iter().filter_map(|client| client.peer).collect();
        for id in strangers.into_iter().filter(|id| !honest.contains(id)) {
            self.close(id, CloseReason::ClosedByServer);
        }
    }

    /// When the server last stood still, whether that was while this was on its way.
    pub(super) fn was_paused_since(&self, sent: Instant) -> bool {
        self.paused.is_some_and(|(_, end)| end >= sent)
    }
}

/// Made where the server's bytes are counted.
fn copy(letter: &Bytes) -> Bytes {
    Bytes::copy_from_slice(letter)
}
