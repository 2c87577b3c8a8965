//! The honest: clients that come, play and go.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Latency;
use super::member::{Books, Member, Pace};

/// What a crowd does.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How many play at once.
    pub members: usize,
    /// Unreliable messages of each a second, every one of which comes back.
    pub rate: u32,
    /// After every so many of them a reliable one.
    pub reliable_every: u64,
    /// From one leaving to the next.
    pub churn: Option<Duration>,
    /// The share of them that vanish without a word.
    pub vanishing: f64,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for Habits {
    fn default() -> Habits {
        let churn = Some(Duration::from_millis(500));
        Habits { members: 50, rate: 60, reliable_every: 6, churn, vanishing: 0.2, seed: 1 }
    }
}

/// What became of the crowd so far.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Clients that became peers.
    pub opened: u64,
    /// Those that left in order, and heard the server's goodbye.
    pub left: u64,
    /// Those that vanished.
    pub vanished: u64,
    /// Reliable messages that were sent, and that came back.
    pub reliable_sent: u64,
    /// Those that came back, each in its turn.
    pub reliable_echoed: u64,
    /// Those that did not come back by the end of who sent them, vanished ones apart.
    pub lost: u64,
    /// Echoes that were not the next one.
    pub out_of_order: u64,
    /// Unreliable messages that were sent.
    pub unreliable_sent: u64,
    /// Those that came back.
    pub unreliable_echoed: u64,
    /// Clients that did not get in, by what they were told.
    pub turned_away: BTreeMap<String, u64>,
    /// Clients that were playing and were closed all the same, by what they were told.
    pub thrown_out: BTreeMap<String, u64>,
    /// From the connection to open.
    pub joining: Latency,
}

impl Manifest {
    pub(super) fn turned_away(&mut self, code: u16, words: &str) {
        *self.turned_away.entry(format!("{code} {words}")).or_default() += 1;
    }

    pub(super) fn thrown_out(&mut self, code: u16, words: &str) {
        *self.thrown_out.entry(format!("{code} {words}")).or_default() += 1;
    }

    /// What must not happen, in words.
    #[must_use]
    pub fn harms(&self) -> Vec<String> {
        let mut harms = Vec::new();
        if self.lost + self.out_of_order > 0 {
            let (lost, order) = (self.lost, self.out_of_order);
            harms.push(format!("{lost} reliable messages lost, {order} out of order"));
        }
        if !self.thrown_out.is_empty() {
            harms.push(format!("honest clients thrown out: {:?}", self.thrown_out));
        }
        harms
    }
}

/// Clients in one loop.
#[derive(Debug)]
pub struct Crowd {
    server: SocketAddr,
    habits: Habits,
    poll: Poll,
    members: BTreeMap<usize, Member>,
    next_member: usize,
    next_churn: Instant,
    random: StdRng,
    manifest: Manifest,
    latency: Latency,
}

impl Crowd {
    /// A crowd that comes as soon as it is [`run`](Crowd::run).
    ///
    /// # Errors
    /// There is no poll to be had.
    pub fn new(server: SocketAddr, habits: Habits) -> io::Result<Crowd> {
        Ok(Crowd {
            server,
            habits,
            poll: Poll::new()?,
            members: BTreeMap::new(),
            next_member: 0,
            next_churn: Instant::now(),
            random: StdRng::seed_from_u64(habits.seed),
            manifest: Manifest::default(),
            latency: Latency::default(),
        })
    }

    /// Plays for so long, or until the answer is no.
    ///
    /// # Errors
    /// The server is not there, or the kernel tells nothing any more.
    pub fn run(&mut self, time: Duration, goes_on: impl Fn() -> bool) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end && goes_on() {
            self.fill()?;
            self.churn();
            self.step(end)?;
        }
        Ok(())
    }

    /// Everybody leaves in order; those that vanished are forgotten.
    ///
    /// # Errors
    /// As of [`run`](Crowd::run).
    pub fn leave(&mut self) -> io::Result<()> {
        self.members.retain(|_, member| !member.is_vanished());
        while !self.members.is_empty() {
            let now = Instant::now();
            self.members.values_mut().for_each(|member| member.leave(now));
            self.step(now + Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// How long messages took to come back since the last time that this was asked.
    pub fn take_latency(&mut self) -> Latency {
        std::mem::take(&mut self.latency)
    }

    /// What became of them so far.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether all play that should.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.members.values().filter(|member| member.is_playing()).count() >= self.habits.members
    }

    /// Somebody comes for who is missing, one at a time.
    fn fill(&mut self) -> io::Result<()> {
        let staying = self.members.values().filter(|member| member.stays()).count();
        let joining = self.members.values().filter(|m| m.stays() && !m.is_playing()).count();
        if staying < self.habits.members && joining < JOINING {
            let number = self.next_member;
            self.next_member += 1;
            let tokens = [Token(2 * number), Token(2 * number + 1)];
            let member = Member::join(self.server, self.poll.registry(), tokens)?;
            self.members.insert(number, member);
        }
        Ok(())
    }

    fn churn(&mut self) {
        let (now, Some(pause)) = (Instant::now(), self.habits.churn) else { return };
        if now < self.next_churn {
            return;
        }
        self.next_churn = now + pause;
        let playing: Vec<usize> = self
            .members
            .iter()
            .filter(|(_, m)| m.is_playing())
            .map(|(number, _)| *number)
            .collect();
        if playing.len() < self.habits.members {
            return;
        }
        let chosen = playing[self.random.random_range(0..playing.len())];
        let vanishes = self.random.random_bool(self.habits.vanishing);
        let Some(member) = self.members.get_mut(&chosen) else { return };
        match vanishes {
            true => {
                self.manifest.vanished += 1;
                member.vanish(now);
            }
            false => member.leave(now),
        }
    }

    fn step(&mut self, end: Instant) -> io::Result<()> {
        let wakes = self.members.values().filter_map(Member::next_wake);
        let wake = wakes.min().map_or(end, |at| at.min(end));
        let mut events = Events::with_capacity(1_024);
        let wait = wake.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let pace = Pace {
            tick: Duration::from_secs(1) / self.habits.rate,
            reliable_every: self.habits.reliable_every,
        };
        let mut books = Books { latency: &mut self.latency, manifest: &mut self.manifest, pace };
        for event in &events {
            if let Some(member) = self.members.get_mut(&(event.token().0 / 2)) {
                member.turn(Instant::now(), &mut books);
            }
        }
        let now = Instant::now();
        for member in self.members.values_mut() {
            if member.next_wake().is_some_and(|at| at <= now) {
                member.turn(now, &mut books);
            }
        }
        self.members.retain(|_, member| !member.is_over());
        Ok(())
    }
}

/// Clients on their way in at once: as many as may be half open from one local address, with
/// room to spare.
const JOINING: usize = 8;
