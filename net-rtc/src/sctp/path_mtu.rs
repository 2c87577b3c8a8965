//! Packetization layer path MTU discovery (RFC 8899).
//!
//! Some paths drop long datagrams silently. So data begins with a size that nearly every path
//! carries, and longer ones are probed with padded HEARTBEATs (RFC 9260 §8.3), whose loss costs
//! nothing. If the path carries less later, long packets are lost while shorter ones arrive: then
//! the base size is used again at once, and the search restarts. Sizes are those of SCTP packets,
//! in bytes.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::debug;

use crate::congestion::ack::{FirstTransmission, RttEstimator};
use crate::sctp::packet::{Chunk, CommonHeader, HEADER_LEN, PacketWriter, u32_at};

/// Largest packet. With DTLS and UDP headers it stays under 1,200 bytes, which every path carries
/// that carries browsers' own WebRTC packets.
pub(super) const MAX_PLPMTU: usize = 1_116;
/// Size that needs no probe (RFC 8899 §5.1.2, `BASE_PLPMTU`): with the 37 bytes of DTLS 1.2, UDP
/// and IPv6 it is a packet of 685 bytes.
pub(super) const BASE_PLPMTU: usize = 600;
/// The search ends when the largest confirmed and the smallest failed size are closer than this.
const SEARCH_GRANULARITY: usize = 16;
/// Time after which a failed size is probed again; doubles each time (`PMTU_RAISE_TIMER`).
const RAISE_TIMER: Duration = Duration::from_secs(60);
const MAX_RAISE_TIMER: Duration = Duration::from_secs(600);
/// A probe without an answer for 1.5 round trips plus this is lost.
const PROBE_TIMEOUT_MARGIN: Duration = Duration::from_millis(30);
/// Interval between probes while long data packets are lost, or nothing is acknowledged; after this
/// many probes it doubles, up to the maximum.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
const PROBES_BEFORE_BACKOFF: u32 = 6;
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Bounds of the consecutive losses of long packets that show a size limit (`MAX_PROBES`), and the
/// probability up to which chance may cause them.
const MIN_REQUIRED_LOSSES: u32 = 4;
const MAX_REQUIRED_LOSSES: u32 = 16;
const FALSE_POSITIVE_RATE: f32 = 0.001;
/// Maximum suspects, and maximum probes in flight.
const MAX_SUSPECTS: usize = 32;
const MAX_IN_FLIGHT_PROBES: usize = 16;
/// A chunk header, and the header of its first parameter.
const HEARTBEAT_HEADER_LEN: usize = 8;
/// Length of a probe's identifier in a HEARTBEAT.
const PROBE_ID_LEN: usize = 4;

/// Path MTU search of one path; see the [module](self).
#[derive(Debug)]
pub(super) struct PathMtu {
    current_mtu: usize,
    /// Smallest size that failed; over [`MAX_PLPMTU`] if none did.
    ceiling: usize,
    search: MtuSearchState,
    raise_timer: Duration,
    /// Lost long data packets without an acknowledged packet of at least their size that was sent
    /// later.
    suspects: Vec<MtuSuspect>,
    /// Former suspects after which a packet of at least their size arrived.
    cleared_suspects: Vec<MtuSuspect>,
    /// When the next probe checks the suspects, and the number of such probes so far.
    suspect_probe: Option<(Instant, u32)>,
    in_flight_probes: VecDeque<MtuProbe>,
    last_probe_id: u32,
    /// Send time of the newest acknowledged packet.
    newest_acked_sent_at: Option<Instant>,
}

/// State of the path MTU search (RFC 8899 §5.2).
#[derive(Clone, Copy, Debug)]
enum MtuSearchState {
    /// A size is probed, one probe at a time.
    Searching { size: usize, lost: u32, unanswered: u32, next_probe: NextProbe },
    /// The current size is the largest that passes; a larger one is probed again at `raise_at`.
    Complete { raise_at: Option<Instant> },
}

/// Time of the next probe packet of the path MTU search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextProbe {
    Now,
    At(Instant),
    /// After the probe with this identifier is answered or lost.
    AfterResult(u32),
}

/// A data packet that may have been lost because of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MtuSuspect {
    pub(super) packet_number: u32,
    pub(super) sent_at: Instant,
    pub(super) size: usize,
    /// Its outcome if it was not lost because of its length.
    pub(super) first_transmission: FirstTransmission,
}

/// A probe in flight.
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
            search: MtuSearchState::at(MAX_PLPMTU),
            raise_timer: RAISE_TIMER,
            suspects: Vec::new(),
            cleared_suspects: Vec::new(),
            suspect_probe: None,
            in_flight_probes: VecDeque::new(),
            last_probe_id: 0,
            newest_acked_sent_at: None,
        }
    }

    /// Restarts the search: the path may have changed.
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

    /// Returns the largest packet that may be sent, in bytes.
    pub(super) fn current_mtu(&self) -> usize {
        self.current_mtu
    }

    /// Records a lost data packet; all packets that were sent later and arrived were shorter.
    pub(super) fn add_suspect(&mut self, now: Instant, suspect: MtuSuspect) {
        if suspect.size > self.current_mtu || self.suspects.len() >= MAX_SUSPECTS {
            return;
        }
        self.suspects.push(suspect);
        // A packet of at least its size may still arrive until then.
        self.suspect_probe.get_or_insert((now + PROBE_INTERVAL, 0));
    }

    /// Records an acknowledged packet of `size` bytes, sent at `left`.
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

    /// Returns the former suspects, which were lost by chance.
    pub(super) fn take_cleared(&mut self) -> Vec<MtuSuspect> {
        std::mem::take(&mut self.cleared_suspects)
    }

    /// Takes a HEARTBEAT-ACK; returns whether it answers a probe.
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

    /// Detects lost probes, and a path that carries less than before; `loss` is the share of
    /// packets that is lost by chance.
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

    /// Returns the time of the next timeout.
    pub(super) fn next_timeout(&self, now: Instant, rtt: &RttEstimator) -> Option<Instant> {
        let search = match self.search {
            MtuSearchState::Searching { next_probe: NextProbe::Now, .. } => Some(now),
            MtuSearchState::Searching { next_probe: NextProbe::At(at), .. } => Some(at),
            MtuSearchState::Searching { .. } => None,
            MtuSearchState::Complete { raise_at: again } => again,
        };
        let waits = self.in_flight_probes.iter().filter(|probe| !probe.is_lost);
        let lost = waits.map(|probe| probe.sent_at + probe_timeout(rtt)).min();
        let inquiry = self.suspect_probe.map(|(at, _)| at);
        [search, lost, inquiry].into_iter().flatten().min()
    }

    /// Returns whether a probe is due.
    pub(super) fn is_probe_due(&self, now: Instant) -> bool {
        let search = match self.search {
            MtuSearchState::Searching { next_probe: NextProbe::Now, .. } => true,
            MtuSearchState::Searching { next_probe: NextProbe::At(at), .. } => at <= now,
            MtuSearchState::Searching { .. } => false,
            MtuSearchState::Complete { raise_at: again } => again.is_some_and(|at| at <= now),
        };
        search || self.suspect_probe.is_some_and(|(at, _)| at <= now)
    }

    /// Delays due probes until the rate allows them.
    pub(super) fn postpone_probe(&mut self, now: Instant, until: Instant) {
        match &mut self.search {
            MtuSearchState::Searching { next_probe: next, .. }
                if !matches!(next, NextProbe::AfterResult(_)) =>
            {
                *next = NextProbe::At(until);
            }
            MtuSearchState::Complete { raise_at: Some(again) } if *again <= now => *again = until,
            _ => {}
        }
        if let Some((at, _)) = &mut self.suspect_probe {
            *at = (*at).max(until);
        }
    }

    /// Returns the due probes, as packets.
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
        if let MtuSearchState::Complete { raise_at: Some(again) } = self.search
            && again <= now
        {
            self.search = MtuSearchState::at(self.ceiling.min(MAX_PLPMTU));
        }
        if let MtuSearchState::Searching { size, lost, unanswered: unheard, next_probe: next } =
            self.search
            && (next == NextProbe::Now || matches!(next, NextProbe::At(at) if at <= now))
        {
            packets.push(self.build_probe(now, header, size, lost + unheard));
            let next = NextProbe::AfterResult(self.last_probe_id);
            if lost + unheard > 0 {
                packets.push(self.build_probe(now, header, 0, 0));
            }
            self.search =
                MtuSearchState::Searching { size, lost, unanswered: unheard, next_probe: next };
        }
        packets
    }

    fn on_probe_lost(&mut self, now: Instant, probe: MtuProbe, needed: u32) {
        // Without an acknowledgement of a later packet the probe is not known to be lost.
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
        let MtuSearchState::Searching { size, lost, unanswered: unheard, next_probe: next } =
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
        self.search =
            MtuSearchState::Searching { size, lost, unanswered: unheard, next_probe: next };
    }

    /// Probes the next size, or completes the search.
    fn continue_search(&mut self, now: Instant) {
        self.search = match () {
            () if self.current_mtu >= MAX_PLPMTU => MtuSearchState::Complete { raise_at: None },
            () if self.ceiling > MAX_PLPMTU => MtuSearchState::at(MAX_PLPMTU),
            () if self.ceiling - self.current_mtu < SEARCH_GRANULARITY => {
                debug!("the path carries packets of {} bytes and no longer ones", self.current_mtu);
                let again = Some(now + self.raise_timer);
                self.raise_timer = (self.raise_timer * 2).min(MAX_RAISE_TIMER);
                MtuSearchState::Complete { raise_at: again }
            }
            () => MtuSearchState::at((self.current_mtu + self.ceiling) / 8 * 4),
        };
    }

    /// Builds a HEARTBEAT packet of `size` bytes, or a short one if `size` is 0. The answer to an
    /// even `count` is as long as the probe; the answer to an odd one is short, because the return
    /// path may carry less (a PAD chunk, RFC 4820, which not every stack supports).
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

impl MtuSearchState {
    fn at(size: usize) -> MtuSearchState {
        MtuSearchState::Searching { size, lost: 0, unanswered: 0, next_probe: NextProbe::Now }
    }
}

fn probe_timeout(rtt: &RttEstimator) -> Duration {
    rtt.smoothed().mul_f64(1.5) + PROBE_TIMEOUT_MARGIN
}

/// Returns the interval after `count` probes.
fn probe_interval(count: u32) -> Duration {
    (PROBE_INTERVAL * (1 << count.saturating_sub(PROBES_BEFORE_BACKOFF).min(5)))
        .min(MAX_PROBE_INTERVAL)
}

/// Returns the consecutive losses that show a size limit, if chance takes the share `loss` of
/// probes and of answers.
fn required_losses(loss: f32) -> u32 {
    let both = 1.0 - (1.0 - loss) * (1.0 - loss);
    let count = FALSE_POSITIVE_RATE.ln() / both.clamp(0.01, 0.75).ln();
    (count.ceil() as u32).clamp(MIN_REQUIRED_LOSSES, MAX_REQUIRED_LOSSES)
}
