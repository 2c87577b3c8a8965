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

use crate::congestion::ack::{FirstTransmission, RttEstimator};
use crate::sctp::packet::{Chunk, CommonHeader, HEADER_LEN, PacketWriter, u32_at};

/// The longest packet. With DTLS and UDP around it stays under 1,200, which every path carries
/// that browsers use WebRTC over with their own packets.
pub(super) const MAX_PLPMTU: usize = 1_116;
/// What passes without having been tried (RFC 8899 §5.1.2, `BASE_PLPMTU`): with the 37 bytes of
/// DTLS 1.2, UDP and IPv6 it is a packet of 685 bytes.
pub(super) const BASE_PLPMTU: usize = 600;
/// The search ends when what passes and what does not are closer than this.
const SEARCH_GRANULARITY: usize = 16;
/// A limit is tried again after so long, twice as long each time (`PMTU_RAISE_TIMER`).
const RAISE_TIMER: Duration = Duration::from_secs(60);
const MAX_RAISE_TIMER: Duration = Duration::from_secs(600);
/// A probe is lost if it is not answered for one and a half round trips and this.
const PROBE_TIMEOUT_MARGIN: Duration = Duration::from_millis(30);
/// Between probes while long packets of data are missed, or nothing is heard; so many of them,
/// and then it doubles up to the longest.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
const PROBES_BEFORE_BACKOFF: u32 = 6;
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// So many long packets must be lost in a row before it is the length (`MAX_PROBES`), and so many
/// that chance does it only so rarely.
const MIN_REQUIRED_LOSSES: u32 = 4;
const MAX_REQUIRED_LOSSES: u32 = 16;
const FALSE_POSITIVE_RATE: f32 = 0.001;
/// Lost packets of data, and probes on their way, that are remembered.
const MAX_SUSPECTS: usize = 32;
const MAX_IN_FLIGHT_PROBES: usize = 16;
/// A chunk header, and the header of its first parameter.
const HEARTBEAT_HEADER_LEN: usize = 8;
/// The identifier that a short HEARTBEAT carries.
const PROBE_ID_LEN: usize = 4;

/// See the [module's page](self).
#[derive(Debug)]
pub(super) struct PathMtu {
    current_mtu: usize,
    /// The shortest that is known not to pass; over [`MAX`] if there is none.
    ceiling: usize,
    search: SearchState,
    raise_timer: Duration,
    /// Long packets of data that were lost, and no packet as long sent later has arrived.
    suspects: Vec<MtuSuspect>,
    /// Those of which one as long arrived after all.
    cleared_suspects: Vec<MtuSuspect>,
    /// When the suspects are looked into by the next probe, and how many there were.
    suspect_probe: Option<(Instant, u32)>,
    in_flight_probes: VecDeque<MtuProbe>,
    last_probe_id: u32,
    /// When the newest packet left that has arrived.
    newest_acked_sent_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum SearchState {
    /// This size is tried, at most once at a time.
    Searching { size: usize, lost: u32, unanswered: u32, next_probe: NextProbe },
    /// The size is the longest that passes; a longer one is tried again then.
    Complete { raise_at: Option<Instant> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextProbe {
    Now,
    At(Instant),
    /// When the probe on its way is answered or lost.
    AfterResult(u32),
}

/// A packet of data that may have been lost for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MtuSuspect {
    pub(super) packet_number: u32,
    pub(super) sent_at: Instant,
    pub(super) size: usize,
    /// What it counts as if it was not lost for its length.
    pub(super) first_transmission: FirstTransmission,
}

#[derive(Clone, Copy, Debug)]
struct MtuProbe {
    id: u32,
    sent_at: Instant,
    size: usize,
    is_lost: bool,
}

impl PathMtu {
    pub(super) fn new() -> PathMtu {
        PathMtu {
            current_mtu: BASE_PLPMTU,
            ceiling: MAX_PLPMTU + SEARCH_GRANULARITY,
            search: SearchState::at(MAX_PLPMTU),
            raise_timer: RAISE_TIMER,
            suspects: Vec::new(),
            cleared_suspects: Vec::new(),
            suspect_probe: None,
            in_flight_probes: VecDeque::new(),
            last_probe_id: 0,
            newest_acked_sent_at: None,
        }
    }

    /// Nothing is known of the path any more.
    pub(super) fn restart(&mut self) {
        let (id, heard, cleared) = (
            self.last_probe_id,
            self.newest_acked_sent_at,
            std::mem::take(&mut self.cleared_suspects),
        );
        *self = PathMtu {
            last_probe_id: id,
            newest_acked_sent_at: heard,
            cleared_suspects: cleared,
            ..PathMtu::new()
        };
    }

    /// The longest packet that may leave.
    pub(super) fn current_mtu(&self) -> usize {
        self.current_mtu
    }

    /// A packet of data was lost, and whatever left later and arrived was shorter.
    pub(super) fn add_suspect(&mut self, now: Instant, suspect: MtuSuspect) {
        if suspect.size > self.current_mtu || self.suspects.len() >= MAX_SUSPECTS {
            return;
        }
        self.suspects.push(suspect);
        // Until then another may have arrived that is as long.
        self.suspect_probe.get_or_insert((now + PROBE_INTERVAL, 0));
    }

    /// A packet arrived that left then.
    pub(super) fn on_ack(&mut self, left: Instant, size: usize) {
        self.newest_acked_sent_at = self.newest_acked_sent_at.max(Some(left));
        if self.suspects.is_empty() {
            return;
        }
        let is_cleared = |suspect: &MtuSuspect| suspect.sent_at <= left && suspect.size <= size;
        self.cleared_suspects.extend(self.suspects.extract_if(.., |suspect| is_cleared(suspect)));
        if self.suspects.is_empty() {
            self.suspect_probe = None;
        }
    }

    /// Packets that were lost by chance after all.
    pub(super) fn take_cleared(&mut self) -> Vec<MtuSuspect> {
        std::mem::take(&mut self.cleared_suspects)
    }

    /// Takes the answer to a probe; whether it is one.
    pub(super) fn on_heartbeat_ack(&mut self, now: Instant, chunk: &Chunk<'_>) -> bool {
        let id = u32_at(chunk.value, 4);
        let Some(at) = self.in_flight_probes.iter().position(|probe| Some(probe.id) == id) else {
            return false;
        };
        let Some(probe) = self.in_flight_probes.remove(at) else { return false };
        self.on_ack(probe.sent_at, probe.size);
        if probe.size > self.current_mtu {
            self.current_mtu = probe.size;
            debug!("packets of {} bytes pass", self.current_mtu);
            if self.current_mtu >= self.ceiling {
                self.ceiling = MAX_PLPMTU + SEARCH_GRANULARITY;
            }
            self.continue_search(now);
        }
        true
    }

    /// Looks at the time, and at what was lost; `loss` is the share that chance takes.
    pub(super) fn detect_losses(&mut self, now: Instant, rtt: &RttEstimator, loss: f32) {
        let (patience, needed) = (probe_timeout(rtt), required_losses(loss));
        for at in 0..self.in_flight_probes.len() {
            let probe = &mut self.in_flight_probes[at];
            if !probe.is_lost && now >= probe.sent_at + patience {
                probe.is_lost = true;
                let probe = *probe;
                self.on_probe_lost(now, probe, needed);
            }
        }
        let heard = self
            .suspects
            .iter()
            .filter(|suspect| Some(suspect.sent_at) <= self.newest_acked_sent_at);
        if heard.count() >= needed as usize {
            debug!("packets over {} bytes are lost for their length", self.current_mtu);
            self.restart();
        }
    }

    /// When there is something to do.
    pub(super) fn next_timeout(&self, now: Instant, rtt: &RttEstimator) -> Option<Instant> {
        let search = match self.search {
            SearchState::Searching { next_probe: NextProbe::Now, .. } => Some(now),
            SearchState::Searching { next_probe: NextProbe::At(at), .. } => Some(at),
            SearchState::Searching { .. } => None,
            SearchState::Complete { raise_at: again } => again,
        };
        let waits = self.in_flight_probes.iter().filter(|probe| !probe.is_lost);
        let lost = waits.map(|probe| probe.sent_at + probe_timeout(rtt)).min();
        let inquiry = self.suspect_probe.map(|(at, _)| at);
        [search, lost, inquiry].into_iter().flatten().min()
    }

    /// Whether there is a probe to send.
    pub(super) fn is_probe_due(&self, now: Instant) -> bool {
        let search = match self.search {
            SearchState::Searching { next_probe: NextProbe::Now, .. } => true,
            SearchState::Searching { next_probe: NextProbe::At(at), .. } => at <= now,
            SearchState::Searching { .. } => false,
            SearchState::Complete { raise_at: again } => again.is_some_and(|at| at <= now),
        };
        search || self.suspect_probe.is_some_and(|(at, _)| at <= now)
    }

    /// There is no room for a probe until then.
    pub(super) fn postpone_probe(&mut self, now: Instant, until: Instant) {
        match &mut self.search {
            SearchState::Searching { next_probe: next, .. }
                if !matches!(next, NextProbe::AfterResult(_)) =>
            {
                *next = NextProbe::At(until);
            }
            SearchState::Complete { raise_at: Some(again) } if *again <= now => *again = until,
            _ => {}
        }
        if let Some((at, _)) = &mut self.suspect_probe {
            *at = (*at).max(until);
        }
    }

    /// The probes that are due, as packets.
    pub(super) fn poll_probes(&mut self, now: Instant, header: CommonHeader) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if let Some((at, count)) = self.suspect_probe
            && at <= now
            && let Some(size) = self.suspects.iter().map(|suspect| suspect.size).min()
        {
            self.suspect_probe = Some((now + probe_interval(count), count + 1));
            packets.push(self.build_probe(now, header, size, count));
            packets.push(self.build_probe(now, header, 0, 0));
        }
        if let SearchState::Complete { raise_at: Some(again) } = self.search
            && again <= now
        {
            self.search = SearchState::at(self.ceiling.min(MAX_PLPMTU));
        }
        if let SearchState::Searching { size, lost, unanswered: unheard, next_probe: next } =
            self.search
            && (next == NextProbe::Now || matches!(next, NextProbe::At(at) if at <= now))
        {
            packets.push(self.build_probe(now, header, size, lost + unheard));
            let next = NextProbe::AfterResult(self.last_probe_id);
            if lost + unheard > 0 {
                packets.push(self.build_probe(now, header, 0, 0));
            }
            self.search =
                SearchState::Searching { size, lost, unanswered: unheard, next_probe: next };
        }
        packets
    }

    fn on_probe_lost(&mut self, now: Instant, probe: MtuProbe, needed: u32) {
        // Without a word of anything that left later, nobody knows what was lost.
        let is_known = self.newest_acked_sent_at >= Some(probe.sent_at);
        if probe.size <= self.current_mtu
            && probe.size > BASE_PLPMTU
            && is_known
            && !self.suspects.is_empty()
        {
            let MtuProbe { id: packet, sent_at: left, size, .. } = probe;
            self.add_suspect(
                now,
                MtuSuspect {
                    packet_number: packet,
                    sent_at: left,
                    size,
                    first_transmission: FirstTransmission::Unknown,
                },
            );
        }
        let SearchState::Searching { size, lost, unanswered: unheard, next_probe: next } =
            self.search
        else {
            return;
        };
        if next != NextProbe::AfterResult(probe.id) {
            return;
        }
        let (lost, unheard) = if is_known { (lost + 1, 0) } else { (lost, unheard + 1) };
        if lost >= needed {
            self.ceiling = size;
            return self.continue_search(now);
        }
        let next =
            if is_known { NextProbe::Now } else { NextProbe::At(now + probe_interval(unheard)) };
        self.search = SearchState::Searching { size, lost, unanswered: unheard, next_probe: next };
    }

    /// Tries the next size, or ends the search.
    fn continue_search(&mut self, now: Instant) {
        self.search = match () {
            () if self.current_mtu >= MAX_PLPMTU => SearchState::Complete { raise_at: None },
            () if self.ceiling > MAX_PLPMTU => SearchState::at(MAX_PLPMTU),
            () if self.ceiling - self.current_mtu < SEARCH_GRANULARITY => {
                debug!("the path carries packets of {} bytes and no longer ones", self.current_mtu);
                let again = Some(now + self.raise_timer);
                self.raise_timer = (self.raise_timer * 2).min(MAX_RAISE_TIMER);
                SearchState::Complete { raise_at: again }
            }
            () => SearchState::at((self.current_mtu + self.ceiling) / 8 * 4),
        };
    }

    /// Makes a packet that the peer answers, of this size, or a short one. The answer is as long,
    /// and each second one is short: the way back may be another (RFC 4820, which not every stack
    /// knows).
    fn build_probe(
        &mut self,
        now: Instant,
        header: CommonHeader,
        size: usize,
        count: u32,
    ) -> Vec<u8> {
        self.last_probe_id = self.last_probe_id.wrapping_add(1);
        let id = self.last_probe_id.to_be_bytes();
        let mut builder = PacketWriter::new(header);
        if size == 0 {
            builder.write_heartbeat(&id);
        } else if count.is_multiple_of(2) {
            let mut info = vec![0; size - HEADER_LEN - HEARTBEAT_HEADER_LEN];
            info[..PROBE_ID_LEN].copy_from_slice(&id);
            builder.write_heartbeat(&info);
        } else {
            builder.write_heartbeat(&id);
            let rest = size - builder.len();
            builder.write_pad(rest);
        }
        let size = builder.len();
        self.in_flight_probes.truncate(MAX_IN_FLIGHT_PROBES - 1);
        self.in_flight_probes.push_front(MtuProbe {
            id: self.last_probe_id,
            sent_at: now,
            size,
            is_lost: false,
        });
        builder.finish()
    }
}

impl SearchState {
    fn at(size: usize) -> SearchState {
        SearchState::Searching { size, lost: 0, unanswered: 0, next_probe: NextProbe::Now }
    }
}

fn probe_timeout(rtt: &RttEstimator) -> Duration {
    rtt.smoothed().mul_f64(1.5) + PROBE_TIMEOUT_MARGIN
}

/// After so many probes.
fn probe_interval(count: u32) -> Duration {
    (PROBE_INTERVAL * (1 << count.saturating_sub(PROBES_BEFORE_BACKOFF).min(5)))
        .min(MAX_PROBE_INTERVAL)
}

/// How many must be lost in a row where chance takes this share, of probes and of answers.
fn required_losses(loss: f32) -> u32 {
    let both = 1.0 - (1.0 - loss) * (1.0 - loss);
    let count = FALSE_POSITIVE_RATE.ln() / both.clamp(0.01, 0.75).ln();
    (count.ceil() as u32).clamp(MIN_REQUIRED_LOSSES, MAX_REQUIRED_LOSSES)
}
