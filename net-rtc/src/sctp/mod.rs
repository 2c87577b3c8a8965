//! The unreliable data plane: what stands between SCTP and DTLS once the channel is open. Its
//! page is `DATA-PLANE.md`, [`crate::data_plane`] in the documentation: why, how, and how well.
//!
//! [`Watch`] learns before the channel is open, and [`Opening`] repeats what was lost of its
//! handshake; [`Engaged`] carries the data then, with a `Sender`, a `Receiver` and a `Pace`;
//! [`Shift`] and [`CatchUp`] are the way back to SCTP. A [`Passage`] is what any of them makes of
//! a packet.

mod association;
mod fallback;
mod filter;
mod handshake;
mod heartbeat;
pub(crate) mod packet;
mod packet_builder;
mod path_mtu;
mod quota;
mod reassembly;
mod receiver;
mod redundancy;
mod retransmit;
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
use crate::sctp::heartbeat::PathChallenges;
use crate::sctp::packet::chunk_type;
use crate::sctp::retransmit::HandshakeRetransmit;
pub(crate) use crate::sctp::settings::{DataPathError, max_memory};
use crate::sdp::answer::InitChunks;
use crate::stats::PathMonitor;
use crate::{Config, DataPathMode};

/// The data plane of one peer. The peer and its DTLS layer share it.
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

/// What DTLS has decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecvActivity {
    /// When the last packet came.
    pub(crate) last_recv: Instant,
    /// How many came.
    pub(crate) packets: u64,
}

/// ```text
///   Watching --channel open, peer fits--> Engaged
///       |                                    | it does not fit after all
///       '---channel open, it does not--> Plain
/// ```
#[derive(Debug)]
enum DataPathState {
    /// The channel is not open yet.
    Handshake(DataPathMode, HandshakeRetransmit),
    /// The channel's data is the plane's.
    Active(Box<Association>),
    /// The channel's data is SCTP's, perhaps again.
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

    /// Where the state of the path is shown.
    pub(crate) fn set_path_monitor(&mut self, gauge: PathMonitor) {
        self.path_monitor = gauge;
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// DTLS has no clock of its own that we could ask.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// What DTLS has decrypted.
    pub(crate) fn recv_activity(&self) -> RecvActivity {
        self.recv_activity
    }

    /// Lets the next packet ask the peer for a nonce; false if SCTP has not said anything yet.
    pub(crate) fn send_path_challenge(&mut self, nonce: u64) -> bool {
        let header = self.handshake.send_header();
        header.into_iter().for_each(|header| self.path_challenges.queue_challenge(header, nonce));
        header.is_some()
    }

    /// The nonce that the peer gave back, once.
    pub(crate) fn poll_path_response(&mut self) -> Option<u64> {
        self.path_challenges.poll_response()
    }

    /// The peer is reached again: its silence is forgotten.
    pub(crate) fn on_reachable(&mut self) {
        if let Some(engaged) = self.association_mut() {
            engaged.on_reachable();
        }
    }

    /// The peer is reached by another path from now on.
    pub(crate) fn on_path_changed(&mut self) {
        if let Some(engaged) = self.association_mut() {
            engaged.on_path_changed();
        }
    }

    /// Whether a packet has come that DTLS had decrypted.
    pub(crate) fn has_received(&self) -> bool {
        self.recv_activity.packets > 0
    }

    /// The other side has opened the channel itself: an empty *text* of its own is a sign of
    /// life, and no message. One that has gone where nobody expects it is so found without
    /// waiting for its next connectivity check.
    pub(crate) fn accept_keepalives(&mut self) {
        self.handshake.accept_keepalives();
    }

    pub(crate) fn accepts_keepalives(&self) -> bool {
        self.handshake.accepts_keepalives()
    }

    /// Learns of an SCTP handshake that went along with offer and answer.
    pub(crate) fn set_snap_inits(&mut self, inits: &InitChunks) {
        self.handshake.set_snap_inits(inits);
    }

    /// DTLS is up: says something that the other side answers, if SCTP has nothing to say.
    pub(crate) fn queue_initial_heartbeat(&mut self) {
        self.handshake.queue_initial_heartbeat();
    }

    /// Whether the channel has not been open yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, DataPathState::Handshake(..))
    }

    /// The channel is open on this stream: from now on its data is ours, if the peer fits.
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

    /// Whether messages go through the plane, and not through SCTP.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, DataPathState::Active(_))
    }

    /// Whether a message may leave now, or else when.
    pub(crate) fn poll_ready(&mut self) -> Result<(), Instant> {
        let now = self.now;
        self.association_mut().map_or(Ok(()), |engaged| engaged.poll_ready(now))
    }

    /// Sends a message in the next [`flush`](Plane::flush). `repair` is what the sender wants of
    /// this message; `None` leaves it to the configuration.
    pub(crate) fn send(&mut self, message: Bytes, repair: Option<bool>) {
        if let Some(engaged) = self.association_mut() {
            engaged.send(message, repair);
        }
    }

    /// Puts what is to be sent into packets, as few as possible; tells whether there are any.
    pub(crate) fn flush(&mut self) -> bool {
        let now = self.now;
        let DataPathState::Active(engaged) = &mut self.state else { return false };
        let has_packets = engaged.flush(now);
        engaged.publish_path_stats(now, &self.path_monitor);
        has_packets
    }

    /// The next message that arrived.
    pub(crate) fn poll_message(&mut self) -> Option<Bytes> {
        self.association_mut()?.poll_message()
    }

    /// Why the peer must end, if it must.
    pub(crate) fn take_error(&mut self) -> Option<DataPathError> {
        self.error.take()
    }

    /// When there is something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            DataPathState::Handshake(_, opening) => opening.next_timeout(),
            DataPathState::Active(engaged) => engaged.next_timeout(self.now),
            DataPathState::PlainSctp(_) => None,
        }
    }

    /// DTLS is connected.
    pub(crate) fn on_dtls_connected(&mut self) {
        if let DataPathState::Handshake(_, opening) = &mut self.state {
            opening.on_dtls_connected(self.now);
        }
    }

    /// A packet on its way to DTLS.
    pub(crate) fn filter_outbound(&mut self, packet: &[u8]) -> Filtered {
        self.apply_initial_tsn(packet);
        let moved = Filtered::from(self.tsn_offset.shift_outbound(packet));
        let passage = moved.and_then(packet, |packet| self.on_sctp_send(packet));
        self.track_handshake_packet(packet, &passage);
        #[cfg(any(test, feature = "odd"))]
        let passage = passage.and_then(packet, |packet| self.hooks.suppress_chunks(packet));
        passage
    }

    /// A packet on its way from DTLS.
    pub(crate) fn filter_inbound(&mut self, packet: &[u8]) -> Filtered {
        #[cfg(any(test, feature = "odd"))]
        if self.hooks.should_drop(packet) {
            return Filtered::Drop;
        }
        self.recv_activity =
            RecvActivity { last_recv: self.now, packets: self.recv_activity.packets + 1 };
        self.path_challenges.filter_inbound(packet).and_then(packet, |packet| self.on_recv(packet))
    }

    /// A packet for SCTP that the peer should have sent, or has, and the network lost it.
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
            // SCTP has nothing more to do, and would log an ordinary goodbye as an error.
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

    /// The next packet of ours for DTLS.
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

    /// The way back: SCTP carries the data from now on, counting on from where it was.
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

    /// DTLS did not take a packet, or has ended.
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

    /// Keeps a packet of the opening as it leaves, until it is answered.
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

    /// Goes back if the peer does not do what the plane relies on.
    fn check_fallback(&mut self) {
        if let DataPathState::Active(engaged) = &self.state
            && engaged.is_ignoring_forward_tsn(self.now)
        {
            warn!("a peer does not follow FORWARD-TSN: it goes on as plain SCTP");
            self.fall_back();
        }
    }

    /// Begins our TSNs where a test wants them.
    fn apply_initial_tsn(&mut self, packet: &[u8]) {
        if let Some(wanted) = self.initial_tsn
            && let Some(first) = handshake::parse_initial_tsn(packet)
        {
            self.tsn_offset.local = wanted.wrapping_sub(first.0);
            self.initial_tsn = None;
        }
    }
}
