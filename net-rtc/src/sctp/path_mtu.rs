//! The longest packet that the path carries (RFC 8899, packetization layer path MTU discovery).
//!
//! Some paths drop long datagrams and say nothing. So data begins with a size that passes nearly
//! everywhere, and longer ones are tried with HEARTBEATs that are filled up (RFC 9260 §8.3) and
//! whose loss costs nothing. Should the path carry less later, long packets are lost while
//! shorter ones arrive: then the base is used again at once, and the search begins anew. Lengths
//! are those of SCTP packets, in bytes.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::debug;

use crate::congestion::ack::{First, Rtt};
use crate::sctp::packet::{Builder, Chunk, HEADER, Header, u32_at};

/// The longest packet. With DTLS and UDP around it stays under 1,200, which every path carries
/// that browsers use WebRTC over with their own packets.
pub(super) const MAX: usize = 1_116;
/// What passes without having been tried (RFC 8899 §5.1.2, `BASE_PLPMTU`): with the 37 bytes of
/// DTLS 1.2, UDP and IPv6 it is a packet of 685 bytes.
pub(super) const BASE: usize = 600;
/// The search ends when what passes and what does not are closer than this.
const STEP: usize = 16;
/// A limit is tried again after so long, twice as long each time (`PMTU_RAISE_TIMER`).
const RAISE: Duration = Duration::from_secs(60);
const LONGEST_RAISE: Duration = Duration::from_secs(600);
/// A probe is lost if it is not answered for one and a half round trips and this.
const PATIENCE: Duration = Duration::from_millis(30);
/// Between probes while long packets of data are missed, or nothing is heard; so many of them,
/// and then it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSES: u32 = 6;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many long packets must be lost in a row before it is the length (`MAX_PROBES`), and so many
/// that chance does it only so rarely.
const LEAST_LOST: u32 = 4;
const MOST_LOST: u32 = 16;
const CHANCE: f32 = 0.001;
/// Lost packets of data, and probes on their way, that are remembered.
const SUSPECTS: usize = 32;
const PROBES: usize = 16;
/// A chunk header, and the header of its first parameter.
const HEARTBEAT_HEADER: usize = 8;
/// The identifier that a short HEARTBEAT carries.
const INFO: usize = 4;

/// See the [module's page](self).
#[derive(Debug)]
pub(super) struct PathMtu {
    size: usize,
    /// The shortest that is known not to pass; over [`MAX`] if there is none.
    ceiling: usize,
    search: Search,
    raise: Duration,
    /// Long packets of data that were lost, and no packet as long sent later has arrived.
    suspects: Vec<Suspect>,
    /// Those of which one as long arrived after all.
    cleared: Vec<Suspect>,
    /// When the suspects are looked into by the next probe, and how many there were.
    inquiry: Option<(Instant, u32)>,
    probes: VecDeque<Probe>,
    id: u32,
    /// When the newest packet left that has arrived.
    heard: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Search {
    /// This size is tried, at most once at a time.
    Probing { size: usize, lost: u32, unheard: u32, next: Next },
    /// The size is the longest that passes; a longer one is tried again then.
    Settled { again: Option<Instant> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Now,
    At(Instant),
    /// When the probe on its way is answered or lost.
    Answered(u32),
}

/// A packet of data that may have been lost for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) packet: u32,
    pub(super) left: Instant,
    pub(super) size: usize,
    /// What it counts as if it was not lost for its length.
    pub(super) first: First,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u32,
    left: Instant,
    size: usize,
    is_lost: bool,
}

impl PathMtu {
    pub(super) fn new() -> PathMtu {
        PathMtu {
            size: BASE,
            ceiling: MAX + STEP,
            search: Search::at(MAX),
            raise: RAISE,
            suspects: Vec::new(),
            cleared: Vec::new(),
            inquiry: None,
            probes: VecDeque::new(),
            id: 0,
            heard: None,
        }
    }

    /// Nothing is known of the path any more.
    pub(super) fn restart(&mut self) {
        let (id, heard, cleared) = (self.id, self.heard, std::mem::take(&mut self.cleared));
        *self = PathMtu { id, heard, cleared, ..PathMtu::new() };
    }

    /// The longest packet that may leave.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// A packet of data was lost, and whatever left later and arrived was shorter.
    pub(super) fn suspect(&mut self, now: Instant, suspect: Suspect) {
        if suspect.size > self.size || self.suspects.len() >= SUSPECTS {
            return;
        }
        self.suspects.push(suspect);
        // Until then another may have arrived that is as long.
        self.inquiry.get_or_insert((now + PAUSE, 0));
    }

    /// A packet arrived that left then.
    pub(super) fn arrived(&mut self, left: Instant, size: usize) {
        self.heard = self.heard.max(Some(left));
        if self.suspects.is_empty() {
            return;
        }
        let is_cleared = |suspect: &Suspect| suspect.left <= left && suspect.size <= size;
        self.cleared.extend(self.suspects.extract_if(.., |suspect| is_cleared(suspect)));
        if self.suspects.is_empty() {
            self.inquiry = None;
        }
    }

    /// Packets that were lost by chance after all.
    pub(super) fn cleared(&mut self) -> Vec<Suspect> {
        std::mem::take(&mut self.cleared)
    }

    /// Takes the answer to a probe; whether it is one.
    pub(super) fn answered(&mut self, now: Instant, chunk: &Chunk<'_>) -> bool {
        let id = u32_at(chunk.value, 4);
        let Some(at) = self.probes.iter().position(|probe| Some(probe.id) == id) else {
            return false;
        };
        let Some(probe) = self.probes.remove(at) else { return false };
        self.arrived(probe.left, probe.size);
        if probe.size > self.size {
            self.size = probe.size;
            debug!("packets of {} bytes pass", self.size);
            if self.size >= self.ceiling {
                self.ceiling = MAX + STEP;
            }
            self.search_on(now);
        }
        true
    }

    /// Looks at the time, and at what was lost; `loss` is the share that chance takes.
    pub(super) fn tick(&mut self, now: Instant, rtt: &Rtt, loss: f32) {
        let (patience, needed) = (patience(rtt), needed(loss));
        for at in 0..self.probes.len() {
            let probe = &mut self.probes[at];
            if !probe.is_lost && now >= probe.left + patience {
                probe.is_lost = true;
                let probe = *probe;
                self.lost(now, probe, needed);
            }
        }
        let heard = self.suspects.iter().filter(|suspect| Some(suspect.left) <= self.heard);
        if heard.count() >= needed as usize {
            debug!("packets over {} bytes are lost for their length", self.size);
            self.restart();
        }
    }

    /// When there is something to do.
    pub(super) fn wake(&self, now: Instant, rtt: &Rtt) -> Option<Instant> {
        let search = match self.search {
            Search::Probing { next: Next::Now, .. } => Some(now),
            Search::Probing { next: Next::At(at), .. } => Some(at),
            Search::Probing { .. } => None,
            Search::Settled { again } => again,
        };
        let waits = self.probes.iter().filter(|probe| !probe.is_lost);
        let lost = waits.map(|probe| probe.left + patience(rtt)).min();
        let inquiry = self.inquiry.map(|(at, _)| at);
        [search, lost, inquiry].into_iter().flatten().min()
    }

    /// Whether there is a probe to send.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let search = match self.search {
            Search::Probing { next: Next::Now, .. } => true,
            Search::Probing { next: Next::At(at), .. } => at <= now,
            Search::Probing { .. } => false,
            Search::Settled { again } => again.is_some_and(|at| at <= now),
        };
        search || self.inquiry.is_some_and(|(at, _)| at <= now)
    }

    /// There is no room for a probe until then.
    pub(super) fn postpone(&mut self, now: Instant, until: Instant) {
        match &mut self.search {
            Search::Probing { next, .. } if !matches!(next, Next::Answered(_)) => {
                *next = Next::At(until);
            }
            Search::Settled { again: Some(again) } if *again <= now => *again = until,
            _ => {}
        }
        if let Some((at, _)) = &mut self.inquiry {
            *at = (*at).max(until);
        }
    }

    /// The probes that are due, as packets.
    pub(super) fn probes(&mut self, now: Instant, header: Header) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if let Some((at, count)) = self.inquiry
            && at <= now
            && let Some(size) = self.suspects.iter().map(|suspect| suspect.size).min()
        {
            self.inquiry = Some((now + pause(count), count + 1));
            packets.push(self.probe(now, header, size, count));
            packets.push(self.probe(now, header, 0, 0));
        }
        if let Search::Settled { again: Some(again) } = self.search
            && again <= now
        {
            self.search = Search::at(self.ceiling.min(MAX));
        }
        if let Search::Probing { size, lost, unheard, next } = self.search
            && (next == Next::Now || matches!(next, Next::At(at) if at <= now))
        {
            packets.push(self.probe(now, header, size, lost + unheard));
            let next = Next::Answered(self.id);
            if lost + unheard > 0 {
                packets.push(self.probe(now, header, 0, 0));
            }
            self.search = Search::Probing { size, lost, unheard, next };
        }
        packets
    }

    fn lost(&mut self, now: Instant, probe: Probe, needed: u32) {
        // Without a word of anything that left later, nobody knows what was lost.
        let is_known = self.heard >= Some(probe.left);
        if probe.size <= self.size && probe.size > BASE && is_known && !self.suspects.is_empty() {
            let Probe { id: packet, left, size, .. } = probe;
            self.suspect(now, Suspect { packet, left, size, first: First::Unknown });
        }
        let Search::Probing { size, lost, unheard, next } = self.search else { return };
        if next != Next::Answered(probe.id) {
            return;
        }
        let (lost, unheard) = if is_known { (lost + 1, 0) } else { (lost, unheard + 1) };
        if lost >= needed {
            self.ceiling = size;
            return self.search_on(now);
        }
        let next = if is_known { Next::Now } else { Next::At(now + pause(unheard)) };
        self.search = Search::Probing { size, lost, unheard, next };
    }

    /// Tries the next size, or ends the search.
    fn search_on(&mut self, now: Instant) {
        self.search = match () {
            () if self.size >= MAX => Search::Settled { again: None },
            () if self.ceiling > MAX => Search::at(MAX),
            () if self.ceiling - self.size < STEP => {
                debug!("the path carries packets of {} bytes and no longer ones", self.size);
                let again = Some(now + self.raise);
                self.raise = (self.raise * 2).min(LONGEST_RAISE);
                Search::Settled { again }
            }
            () => Search::at((self.size + self.ceiling) / 8 * 4),
        };
    }

    /// Makes a packet that the peer answers, of this size, or a short one. The answer is as long,
    /// and each second one is short: the way back may be another (RFC 4820, which not every stack
    /// knows).
    fn probe(&mut self, now: Instant, header: Header, size: usize, count: u32) -> Vec<u8> {
        self.id = self.id.wrapping_add(1);
        let id = self.id.to_be_bytes();
        let mut builder = Builder::new(header);
        if size == 0 {
            builder.heartbeat(&id);
        } else if count.is_multiple_of(2) {
            let mut info = vec![0; size - HEADER - HEARTBEAT_HEADER];
            info[..INFO].copy_from_slice(&id);
            builder.heartbeat(&info);
        } else {
            builder.heartbeat(&id);
            let rest = size - builder.len();
            builder.pad(rest);
        }
        let size = builder.len();
        self.probes.truncate(PROBES - 1);
        self.probes.push_front(Probe { id: self.id, left: now, size, is_lost: false });
        builder.finish()
    }
}

impl Search {
    fn at(size: usize) -> Search {
        Search::Probing { size, lost: 0, unheard: 0, next: Next::Now }
    }
}

fn patience(rtt: &Rtt) -> Duration {
    rtt.smoothed().mul_f64(1.5) + PATIENCE
}

/// After so many probes.
fn pause(count: u32) -> Duration {
    (PAUSE * (1 << count.saturating_sub(PAUSES).min(5))).min(LONGEST_PAUSE)
}

/// How many must be lost in a row where chance takes this share, of probes and of answers.
fn needed(loss: f32) -> u32 {
    let both = 1.0 - (1.0 - loss) * (1.0 - loss);
    let count = CHANCE.ln() / both.clamp(0.01, 0.75).ln();
    (count.ceil() as u32).clamp(LEAST_LOST, MOST_LOST)
}
