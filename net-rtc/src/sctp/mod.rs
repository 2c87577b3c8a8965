//! Unreliable data path between SCTP and DTLS, once the channel is open (RFC 8831).
//!
//! Design and measurements are on the page `DATA-PLANE.md` ([`crate::data_path`]).
//!
//! * Before the channel is open, [`HandshakeTracker`] observes SCTP's handshake and
//!   [`HandshakeRetransmit`] repeats its lost packets.
//! * Then [`Association`] carries the data, with a `Sender`, a `Receiver` and a `RateController`.
//! * [`TsnOffset`] and [`FallbackForward`] are the fallback to SCTP.
//!
//! Each of them returns a [`Filtered`] packet.

mod association;
mod fallback;
mod filter;
mod handshake;
mod handshake_retransmit;
mod heartbeat;
pub(crate) mod packet;
mod packet_builder;
mod path_mtu;
mod quota;
mod reassembly;
mod receiver;
mod redundancy;
mod sender;
pub(crate) mod settings;
#[cfg(any(test, feature = "odd"))]
pub(crate) mod test_hooks;
#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;
use log::{debug, warn};

use crate::sctp::association::Association;
use crate::sctp::fallback::{FallbackForward, TsnOffset};
pub(crate) use crate::sctp::filter::Filtered;
use crate::sctp::handshake::HandshakeTracker;
use crate::sctp::handshake_retransmit::HandshakeRetransmit;
use crate::sctp::heartbeat::PathChallenges;
use crate::sctp::packet::chunk_type;
pub(crate) use crate::sctp::settings::{DataPathError, max_memory};
use crate::sdp::InitChunks;
use crate::stats::PathMonitor;
use crate::{Config, DataPathMode};

/// SCTP data path of one peer, shared by the peer and its DTLS layer.
#[derive(Debug)]
pub(crate) struct DataPath {
    now: Instant,
    recv_activity: RecvActivity,
    path_challenges: PathChallenges,
    handshake: HandshakeTracker,
    state: DataPathState,
    tsn_offset: TsnOffset,
    initial_tsn: Option<u32>,
    error: Option<DataPathError>,
    path_monitor: PathMonitor,
    #[cfg(any(test, feature = "odd"))]
    pub(crate) hooks: test_hooks::DataPathHooks,
}

/// Count and time of the packets that DTLS decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecvActivity {
    /// Time of the last packet.
    pub(crate) last_recv: Instant,
    /// Number of packets.
    pub(crate) packets: u64,
}

/// ```text
///   Handshake --channel open, peer supports FORWARD-TSN--> Active
///       |                                                    | peer ignores FORWARD-TSN
///       '--channel open, peer does not--> PlainSctp <--------'
/// ```
#[derive(Debug)]
enum DataPathState {
    /// The channel is not open yet.
    Handshake(DataPathMode, HandshakeRetransmit),
    /// The association carries the channel's data.
    Active(Box<Association>),
    /// SCTP carries the channel's data, perhaps after a fallback.
    PlainSctp(Option<FallbackForward>),
}

impl DataPath {
    pub(crate) fn new(now: Instant, config: &Config) -> DataPath {
        DataPath {
            now,
            recv_activity: RecvActivity { last_recv: now, packets: 0 },
            path_challenges: PathChallenges::default(),
            handshake: HandshakeTracker::new(config),
            state: DataPathState::Handshake(
                config.effective_data_path(),
                HandshakeRetransmit::new(config.handshake.initial_rto),
            ),
            tsn_offset: TsnOffset::default(),
            initial_tsn: config.initial_tsn,
            error: None,
            path_monitor: PathMonitor::default(),
            #[cfg(any(test, feature = "odd"))]
            hooks: test_hooks::DataPathHooks::default(),
        }
    }

    /// Sets the monitor in which path statistics are published.
    pub(crate) fn set_path_monitor(&mut self, gauge: PathMonitor) {
        self.path_monitor = gauge;
    }

    /// Returns the latest time that was set.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Advances the time; it never goes back. DTLS calls the data path without one.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Returns the count and time of the packets that DTLS decrypted.
    pub(crate) fn recv_activity(&self) -> RecvActivity {
        self.recv_activity
    }

    /// Queues a HEARTBEAT with a nonce; false if SCTP has not sent anything yet.
    pub(crate) fn send_path_challenge(&mut self, nonce: u64) -> bool {
        let header = self.handshake.send_header();
        header.into_iter().for_each(|header| self.path_challenges.queue_challenge(header, nonce));
        header.is_some()
    }

    /// Returns the nonce of the last answer, once.
    pub(crate) fn poll_path_response(&mut self) -> Option<u64> {
        self.path_challenges.poll_response()
    }

    /// Records that the peer is reachable again: its silence is forgotten.
    pub(crate) fn on_reachable(&mut self) {
        if let Some(engaged) = self.association_mut() {
            engaged.on_reachable();
        }
    }

    /// Records that the peer is reached by another path from now on.
    pub(crate) fn on_path_changed(&mut self) {
        if let Some(engaged) = self.association_mut() {
            engaged.on_path_changed();
        }
    }

    /// Returns whether DTLS has decrypted any packet.
    pub(crate) fn has_received(&self) -> bool {
        self.recv_activity.packets > 0
    }

    /// Treats empty *text* messages of the peer as keepalives, not as messages, because the peer
    /// opened the channel itself. A keepalive shows a migrated peer's new address before its next
    /// connectivity check.
    pub(crate) fn accept_keepalives(&mut self) {
        self.handshake.accept_keepalives();
    }

    pub(crate) fn accepts_keepalives(&self) -> bool {
        self.handshake.accepts_keepalives()
    }

    /// Takes both INIT chunks of an SCTP handshake that offer and answer carried (SNAP).
    pub(crate) fn set_snap_inits(&mut self, inits: &InitChunks) {
        self.handshake.set_snap_inits(inits);
    }

    /// Queues a packet that the peer answers, once DTLS is connected, unless SCTP's handshake does
    /// that.
    pub(crate) fn queue_initial_heartbeat(&mut self) {
        self.handshake.queue_initial_heartbeat();
    }

    /// Returns whether the channel is not open yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, DataPathState::Handshake(..))
    }

    /// Records that the channel is open on this stream: an [`Association`] carries its data from
    /// now on, if the peer supports it.
    pub(crate) fn activate(&mut self, stream: u16) {
        let fits = match self.state {
            DataPathState::Handshake(DataPathMode::LowLatency, _) => {
                self.handshake.activate(self.now, stream)
            }
            _ => None,
        };
        self.state = fits.map_or(DataPathState::PlainSctp(None), |engaged| {
            DataPathState::Active(Box::new(engaged))
        });
    }

    /// Returns whether the association carries messages, and not SCTP.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, DataPathState::Active(_))
    }

    /// Returns whether a message may be sent now, or else the time at which it may.
    pub(crate) fn poll_ready(&mut self) -> Result<(), Instant> {
        let now = self.now;
        self.association_mut().map_or(Ok(()), |engaged| engaged.poll_ready(now))
    }

    /// Sends a message in the next [`flush`](DataPath::flush). `repair` is the message's own
    /// setting; `None` means the configured one.
    pub(crate) fn send(&mut self, message: Bytes, repair: Option<bool>) {
        if let Some(engaged) = self.association_mut() {
            engaged.send(message, repair);
        }
    }

    /// Writes what is to be sent into packets, as few as possible; returns whether there are any.
    pub(crate) fn flush(&mut self) -> bool {
        let now = self.now;
        let DataPathState::Active(engaged) = &mut self.state else { return false };
        let has_packets = engaged.flush(now);
        engaged.publish_path_stats(now, &self.path_monitor);
        has_packets
    }

    /// Returns the next received message.
    pub(crate) fn poll_message(&mut self) -> Option<Bytes> {
        self.association_mut()?.poll_message()
    }

    /// Returns the error that closes the peer, once.
    pub(crate) fn take_error(&mut self) -> Option<DataPathError> {
        self.error.take()
    }

    /// Returns the time of the next timeout.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            DataPathState::Handshake(_, opening) => opening.next_timeout(),
            DataPathState::Active(engaged) => engaged.next_timeout(self.now),
            DataPathState::PlainSctp(_) => None,
        }
    }

    /// Records that DTLS is connected.
    pub(crate) fn on_dtls_connected(&mut self) {
        if let DataPathState::Handshake(_, opening) = &mut self.state {
            opening.on_dtls_connected(self.now);
        }
    }

    /// Filters a packet of SCTP on its way to DTLS.
    pub(crate) fn filter_outbound(&mut self, packet: &[u8]) -> Filtered {
        self.apply_initial_tsn(packet);
        let moved = Filtered::from(self.tsn_offset.shift_outbound(packet));
        let passage = moved.and_then(packet, |packet| self.on_sctp_send(packet));
        self.track_handshake_packet(packet, &passage);
        #[cfg(any(test, feature = "odd"))]
        let passage = passage.and_then(packet, |packet| self.hooks.suppress_chunks(packet));
        passage
    }

    /// Filters a packet that DTLS decrypted on its way to SCTP.
    pub(crate) fn filter_inbound(&mut self, packet: &[u8]) -> Filtered {
        #[cfg(any(test, feature = "odd"))]
        if self.hooks.should_drop(packet) {
            return Filtered::Drop;
        }
        self.recv_activity =
            RecvActivity { last_recv: self.now, packets: self.recv_activity.packets + 1 };
        self.path_challenges.filter_inbound(packet).and_then(packet, |packet| self.on_recv(packet))
    }

    /// Returns a packet for SCTP in place of the peer's DATA_CHANNEL_ACK (RFC 8832) that was lost
    /// or is late, once.
    pub(crate) fn poll_synthetic(&mut self) -> Option<Vec<u8>> {
        let DataPathState::Handshake(_, opening) = &mut self.state else { return None };
        let packet =
            opening.take_implied_ack(self.now).then(|| self.handshake.implied_channel_ack())??;
        debug!("a peer has the channel open, though we did not hear it say so");
        self.on_recv(&packet).payload(&packet).map(<[u8]>::to_vec)
    }

    fn on_recv(&mut self, packet: &[u8]) -> Filtered {
        let has = |kind| packet::chunks(packet).any(|chunk| chunk.chunk_type == kind);
        if has(chunk_type::ABORT) {
            // SCTP has nothing more to do, and would log an ordinary close as an error.
            self.error.get_or_insert(DataPathError::Shutdown);
            return Filtered::Drop;
        }
        let passage = self.filter_recv(packet);
        if has(chunk_type::SHUTDOWN) {
            self.error.get_or_insert(DataPathError::Shutdown);
        }
        self.check_fallback();
        passage
    }

    fn filter_recv(&mut self, packet: &[u8]) -> Filtered {
        let passage = self.filter_by_state(packet).unwrap_or_else(|offence| {
            #[cfg(any(test, feature = "odd"))]
            if self.hooks.ignore_violations {
                return Filtered::Drop;
            }
            self.error.get_or_insert(DataPathError::ProtocolViolation(offence));
            Filtered::Drop
        });
        passage.and_then(packet, |packet| self.tsn_offset.shift_inbound(packet).into())
    }

    /// Returns the next own packet for DTLS.
    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        #[cfg(any(test, feature = "odd"))]
        if let Some(packet) = self.hooks.poll_packet() {
            return Some(packet);
        }
        let packet = self.next_packet()?;
        #[cfg(any(test, feature = "odd"))]
        let packet = self.hooks.suppress_chunks(&packet).payload(&packet).map(<[u8]>::to_vec)?;
        Some(packet)
    }

    fn next_packet(&mut self) -> Option<Vec<u8>> {
        if let Some(probe) = self.path_challenges.poll_packet() {
            return Some(probe);
        }
        match &mut self.state {
            DataPathState::Handshake(_, opening) => match self.handshake.poll_packet() {
                Some(greeting) => {
                    opening.on_send(self.now, &greeting);
                    Some(greeting)
                }
                None => opening.poll_packet(self.now),
            },
            DataPathState::Active(engaged) => engaged.poll_packet(),
            DataPathState::PlainSctp(catch_up) => catch_up.as_mut()?.poll_packet(),
        }
    }

    /// Falls back: SCTP carries the data from now on, and continues from its own TSNs.
    pub(crate) fn fall_back(&mut self) {
        if let DataPathState::Active(engaged) = &self.state {
            let ahead = engaged.tsn_offset();
            self.tsn_offset.local = self.tsn_offset.local.wrapping_add(ahead.local);
            self.tsn_offset.remote = self.tsn_offset.remote.wrapping_add(ahead.remote);
            self.handshake.reset_quota(engaged.highest_received_tsn());
            self.state = DataPathState::PlainSctp(Some(engaged.fallback_forward(self.now)));
            self.path_monitor.update(None, None, 0.0, 0, 0);
        }
    }

    /// Records a failure of DTLS, unless there is an error already.
    pub(crate) fn fail(&mut self, fault: DataPathError) {
        self.error.get_or_insert(fault);
    }

    fn association_mut(&mut self) -> Option<&mut Association> {
        match &mut self.state {
            DataPathState::Active(engaged) => Some(engaged),
            DataPathState::Handshake(..) | DataPathState::PlainSctp(_) => None,
        }
    }

    fn on_sctp_send(&mut self, packet: &[u8]) -> Filtered {
        self.handshake.on_outbound(packet);
        match &self.state {
            DataPathState::Active(engaged) => engaged.filter_outbound(packet),
            DataPathState::Handshake(..) | DataPathState::PlainSctp(_) => {
                Filtered::from(self.handshake.add_dup_tsns(packet))
                    .and_then(packet, filter::encode_empty_messages)
            }
        }
    }

    /// Keeps a sent packet of the handshake until it is answered.
    fn track_handshake_packet(&mut self, packet: &[u8], passage: &Filtered) {
        if let DataPathState::Handshake(_, opening) = &mut self.state
            && let Some(packet) = passage.payload(packet)
        {
            opening.on_send(self.now, packet);
        }
    }

    fn filter_by_state(&mut self, packet: &[u8]) -> Result<Filtered, &'static str> {
        match &mut self.state {
            DataPathState::Active(engaged) => engaged.filter_inbound(self.now, packet),
            DataPathState::PlainSctp(Some(catch_up)) => {
                catch_up.on_recv(self.now, packet);
                self.handshake.filter_inbound(packet)
            }
            DataPathState::Handshake(_, opening) => {
                opening.on_recv(self.now, packet);
                self.handshake.filter_inbound(packet)
            }
            DataPathState::PlainSctp(None) => self.handshake.filter_inbound(packet),
        }
    }

    /// Falls back if the peer ignores FORWARD-TSN.
    fn check_fallback(&mut self) {
        if let DataPathState::Active(engaged) = &self.state
            && engaged.is_ignoring_forward_tsn(self.now)
        {
            warn!("a peer does not follow FORWARD-TSN: it goes on as plain SCTP");
            self.fall_back();
        }
    }

    /// Shifts the own initial TSN to the one that a test wants.
    fn apply_initial_tsn(&mut self, packet: &[u8]) {
        if let Some(wanted) = self.initial_tsn
            && let Some(first) = handshake::parse_initial_tsn(packet)
        {
            self.tsn_offset.local = wanted.wrapping_sub(first.0);
            self.initial_tsn = None;
        }
    }
}
