//! Clients that come and go, half of them in the middle of the handshake.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::member::{Books, Member, Pace};
use super::{Latency, Manifest};

/// Clients at once: well under what may be half open from one local address.
const AT_ONCE: usize = 16;
/// An opening takes about so many turns of a client; somebody leaves after each of them.
const TURNS: u32 = 5;

/// Connects and disconnects.
#[derive(Debug)]
pub struct Cycles {
    server: SocketAddr,
    poll: Poll,
    members: BTreeMap<usize, Cycle>,
    next: usize,
    random: StdRng,
    manifest: Manifest,
    abandoned: u64,
}

#[derive(Debug)]
struct Cycle {
    member: Member,
    /// Turns until it hangs up, wherever it is then; `None` for one that opens and leaves in
    /// order.
    turns_left: Option<u32>,
}

impl Cycles {
    /// Nobody comes before [`run`](Cycles::run).
    ///
    /// # Errors
    /// There is no poll to be had.
    pub fn new(server: SocketAddr, seed: u64) -> io::Result<Cycles> {
        Ok(Cycles {
            server,
            poll: Poll::new()?,
            members: BTreeMap::new(),
            next: 0,
            random: StdRng::seed_from_u64(seed),
            manifest: Manifest::default(),
            abandoned: 0,
        })
    }

    /// So many clients come and go, or fewer if the answer is no; none is left afterwards.
    ///
    /// # Errors
    /// The server is not there, or the kernel tells nothing any more.
    pub fn run(&mut self, count: usize, goes_on: impl Fn() -> bool) -> io::Result<()> {
        let end = self.next + count;
        while self.next < end && goes_on() || !self.members.is_empty() {
            while self.next < end && self.members.len() < AT_ONCE {
                self.begin()?;
            }
            self.step()?;
        }
        Ok(())
    }

    /// What became of those that stayed until they were open.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Those that hung up, most of them before they were open.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    fn begin(&mut self) -> io::Result<()> {
        let number = self.next;
        self.next += 1;
        let tokens = [Token(2 * number), Token(2 * number + 1)];
        let member = Member::join(self.server, self.poll.registry(), tokens)?;
        let turns_left = (number % 2 == 1).then(|| self.random.random_range(1..=TURNS));
        self.members.insert(number, Cycle { member, turns_left });
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let wake = self.members.values().filter_map(|cycle| cycle.member.next_wake()).min();
        let wait = wake.map(|at| at.saturating_duration_since(now));
        let mut events = Events::with_capacity(1_024);
        match self.poll.poll(&mut events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let told: Vec<usize> = events.iter().map(|event| event.token().0 / 2).collect();
        let now = Instant::now();
        for (number, cycle) in &mut self.members {
            let due = cycle.member.next_wake().is_some_and(|at| at <= now);
            if due || told.contains(number) {
                cycle.turn(now, &mut self.manifest);
            }
        }
        let before = self.members.len();
        self.members.retain(|_, cycle| cycle.turns_left != Some(0));
        self.abandoned += (before - self.members.len()) as u64;
        self.members.retain(|_, cycle| !cycle.member.is_over());
        Ok(())
    }
}

impl Cycle {
    fn turn(&mut self, now: Instant, manifest: &mut Manifest) {
        if let Some(turns) = &mut self.turns_left {
            *turns = turns.saturating_sub(1);
        }
        // They come to say nothing.
        let pace = Pace { tick: Duration::from_secs(60), reliable_every: 1 };
        self.member.turn(now, &mut Books { latency: &mut Latency::default(), manifest, pace });
        if self.turns_left.is_none() {
            self.member.leave(now);
        }
    }
}
