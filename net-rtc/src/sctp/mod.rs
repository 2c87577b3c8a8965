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

use crate::sctp::association::Engaged;
use crate::sctp::fallback::{CatchUp, Shift};
pub(crate) use crate::sctp::filter::Passage;
use crate::sctp::handshake::Watch;
use crate::sctp::heartbeat::Probes;
use crate::sctp::packet::kind;
use crate::sctp::retransmit::Opening;
pub(crate) use crate::sctp::settings::{Fault, most_memory};
use crate::sdp::answer::InitChunks;
use crate::stats::PathMonitor;
use crate::{Config, DataPathMode};

/// The data plane of one peer. The peer and its DTLS layer share it.
#[derive(Debug)]
pub(crate) struct Plane {
    now: Instant,
    heard: Heard,
    probes: Probes,
    watch: Watch,
    stage: Stage,
    shift: Shift,
    first_tsn: Option<u32>,
    fault: Option<Fault>,
    gauge: PathMonitor,
    #[cfg(any(test, feature = "odd"))]
    pub(crate) odd: test_hooks::Odd,
}

/// What DTLS has decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When the last packet came.
    pub(crate) last: Instant,
    /// How many came.
    pub(crate) packets: u64,
}

/// ```text
///   Watching --channel open, peer fits--> Engaged
///       |                                    | it does not fit after all
///       '---channel open, it does not--> Plain
/// ```
#[derive(Debug)]
enum Stage {
    /// The channel is not open yet.
    Watching(DataPathMode, Opening),
    /// The channel's data is the plane's.
    Engaged(Box<Engaged>),
    /// The channel's data is SCTP's, perhaps again.
    Plain(Option<CatchUp>),
}

impl Plane {
    pub(crate) fn new(now: Instant, config: &Config) -> Plane {
        Plane {
            now,
            heard: Heard { last: now, packets: 0 },
            probes: Probes::default(),
            watch: Watch::new(config),
            stage: Stage::Watching(
                config.effective_data_path(),
                Opening::new(config.handshake.initial_rto),
            ),
            shift: Shift::default(),
            first_tsn: config.initial_tsn,
            fault: None,
            gauge: PathMonitor::default(),
            #[cfg(any(test, feature = "odd"))]
            odd: test_hooks::Odd::default(),
        }
    }

    /// Where the state of the path is shown.
    pub(crate) fn set_gauge(&mut self, gauge: PathMonitor) {
        self.gauge = gauge;
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
    pub(crate) fn heard(&self) -> Heard {
        self.heard
    }

    /// Lets the next packet ask the peer for a nonce; false if SCTP has not said anything yet.
    pub(crate) fn probe(&mut self, nonce: u64) -> bool {
        let header = self.watch.header();
        header.into_iter().for_each(|header| self.probes.send(header, nonce));
        header.is_some()
    }

    /// The nonce that the peer gave back, once.
    pub(crate) fn probed(&mut self) -> Option<u64> {
        self.probes.answered()
    }

    /// The peer is reached again: its silence is forgotten.
    pub(crate) fn reached(&mut self) {
        if let Some(engaged) = self.engaged() {
            engaged.reached();
        }
    }

    /// The peer is reached by another path from now on.
    pub(crate) fn moved(&mut self) {
        if let Some(engaged) = self.engaged() {
            engaged.moved();
        }
    }

    /// Whether a packet has come that DTLS had decrypted.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.packets > 0
    }

    /// The other side has opened the channel itself: an empty *text* of its own is a sign of
    /// life, and no message. One that has gone where nobody expects it is so found without
    /// waiting for its next connectivity check.
    pub(crate) fn expect_signs(&mut self) {
        self.watch.expect_signs();
    }

    pub(crate) fn expects_signs(&self) -> bool {
        self.watch.expects_signs()
    }

    /// Learns of an SCTP handshake that went along with offer and answer.
    pub(crate) fn introduce(&mut self, inits: &InitChunks) {
        self.watch.introduce(inits);
    }

    /// DTLS is up: says something that the other side answers, if SCTP has nothing to say.
    pub(crate) fn greet(&mut self) {
        self.watch.greet();
    }

    /// Whether the channel has not been open yet.
    pub(crate) fn is_watching(&self) -> bool {
        matches!(self.stage, Stage::Watching(..))
    }

    /// The channel is open on this stream: from now on its data is ours, if the peer fits.
    pub(crate) fn engage(&mut self, stream: u16) {
        let fits = match self.stage {
            Stage::Watching(DataPathMode::LowLatency, _) => self.watch.engage(self.now, stream),
            _ => None,
        };
        self.stage = fits.map_or(Stage::Plain(None), |engaged| Stage::Engaged(Box::new(engaged)));
    }

    /// Whether messages go through the plane, and not through SCTP.
    pub(crate) fn is_engaged(&self) -> bool {
        matches!(self.stage, Stage::Engaged(_))
    }

    /// Whether a message may leave now, or else when.
    pub(crate) fn room(&mut self) -> Result<(), Instant> {
        let now = self.now;
        self.engaged().map_or(Ok(()), |engaged| engaged.room(now))
    }

    /// Sends a message in the next [`flush`](Plane::flush). `repair` is what the sender wants of
    /// this message; `None` leaves it to the configuration.
    pub(crate) fn send(&mut self, message: Bytes, repair: Option<bool>) {
        if let Some(engaged) = self.engaged() {
            engaged.send(message, repair);
        }
    }

    /// Puts what is to be sent into packets, as few as possible; tells whether there are any.
    pub(crate) fn flush(&mut self) -> bool {
        let now = self.now;
        let Stage::Engaged(engaged) = &mut self.stage else { return false };
        let has_packets = engaged.flush(now);
        engaged.show(now, &self.gauge);
        has_packets
    }

    /// The next message that arrived.
    pub(crate) fn received(&mut self) -> Option<Bytes> {
        self.engaged()?.received()
    }

    /// Why the peer must end, if it must.
    pub(crate) fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// When there is something to do.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Watching(_, opening) => opening.wake(),
            Stage::Engaged(engaged) => engaged.wake(self.now),
            Stage::Plain(_) => None,
        }
    }

    /// DTLS is connected.
    pub(crate) fn connected(&mut self) {
        if let Stage::Watching(_, opening) = &mut self.stage {
            opening.connected(self.now);
        }
    }

    /// A packet on its way to DTLS.
    pub(crate) fn outbound(&mut self, packet: &[u8]) -> Passage {
        self.force_first(packet);
        let moved = Passage::from(self.shift.outbound(packet));
        let passage = moved.then(packet, |packet| self.send_on(packet));
        self.remember(packet, &passage);
        #[cfg(any(test, feature = "odd"))]
        let passage = passage.then(packet, |packet| self.odd.mute(packet));
        passage
    }

    /// A packet on its way from DTLS.
    pub(crate) fn inbound(&mut self, packet: &[u8]) -> Passage {
        #[cfg(any(test, feature = "odd"))]
        if self.odd.loses(packet) {
            return Passage::Swallow;
        }
        self.heard = Heard { last: self.now, packets: self.heard.packets + 1 };
        self.probes.inbound(packet).then(packet, |packet| self.inward(packet))
    }

    /// A packet for SCTP that the peer should have sent, or has, and the network lost it.
    pub(crate) fn assumed(&mut self) -> Option<Vec<u8>> {
        let Stage::Watching(_, opening) = &mut self.stage else { return None };
        let packet = opening.consents(self.now).then(|| self.watch.acknowledgement())??;
        debug!("a peer has the channel open, though we did not hear it say so");
        self.inward(&packet).rest(&packet).map(<[u8]>::to_vec)
    }

    fn inward(&mut self, packet: &[u8]) -> Passage {
        let has = |kind| packet::chunks(packet).any(|chunk| chunk.kind == kind);
        if has(kind::ABORT) {
            // SCTP has nothing more to do, and would log an ordinary goodbye as an error.
            self.fault.get_or_insert(Fault::Shutdown);
            return Passage::Swallow;
        }
        let passage = self.understand(packet);
        if has(kind::SHUTDOWN) {
            self.fault.get_or_insert(Fault::Shutdown);
        }
        self.look_back();
        passage
    }

    fn understand(&mut self, packet: &[u8]) -> Passage {
        let passage = self.take_in(packet).unwrap_or_else(|offence| {
            #[cfg(any(test, feature = "odd"))]
            if self.odd.forgives {
                return Passage::Swallow;
            }
            self.fault.get_or_insert(Fault::Offence(offence));
            Passage::Swallow
        });
        passage.then(packet, |packet| self.shift.inbound(packet).into())
    }

    /// The next packet of ours for DTLS.
    pub(crate) fn packet(&mut self) -> Option<Vec<u8>> {
        #[cfg(any(test, feature = "odd"))]
        if let Some(packet) = self.odd.packet() {
            return Some(packet);
        }
        let packet = self.own_packet()?;
        #[cfg(any(test, feature = "odd"))]
        let packet = self.odd.mute(&packet).rest(&packet).map(<[u8]>::to_vec)?;
        Some(packet)
    }

    fn own_packet(&mut self) -> Option<Vec<u8>> {
        if let Some(probe) = self.probes.packet() {
            return Some(probe);
        }
        match &mut self.stage {
            Stage::Watching(_, opening) => match self.watch.packet() {
                Some(greeting) => {
                    opening.sent(self.now, &greeting);
                    Some(greeting)
                }
                None => opening.packet(self.now),
            },
            Stage::Engaged(engaged) => engaged.packet(),
            Stage::Plain(catch_up) => catch_up.as_mut()?.packet(),
        }
    }

    /// The way back: SCTP carries the data from now on, counting on from where it was.
    pub(crate) fn fall_back(&mut self) {
        if let Stage::Engaged(engaged) = &self.stage {
            let ahead = engaged.ahead();
            self.shift.ours = self.shift.ours.wrapping_add(ahead.ours);
            self.shift.theirs = self.shift.theirs.wrapping_add(ahead.theirs);
            self.watch.resume(engaged.heard());
            self.stage = Stage::Plain(Some(engaged.catch_up(self.now)));
            self.gauge.update(None, None, 0.0, 0, 0);
        }
    }

    /// DTLS did not take a packet, or has ended.
    pub(crate) fn failed(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn engaged(&mut self) -> Option<&mut Engaged> {
        match &mut self.stage {
            Stage::Engaged(engaged) => Some(engaged),
            Stage::Watching(..) | Stage::Plain(_) => None,
        }
    }

    fn send_on(&mut self, packet: &[u8]) -> Passage {
        self.watch.outbound(packet);
        match &self.stage {
            Stage::Engaged(engaged) => engaged.outbound(packet),
            Stage::Watching(..) | Stage::Plain(_) => {
                Passage::from(self.watch.tell(packet)).then(packet, filter::text_to_empty)
            }
        }
    }

    /// Keeps a packet of the opening as it leaves, until it is answered.
    fn remember(&mut self, packet: &[u8], passage: &Passage) {
        if let Stage::Watching(_, opening) = &mut self.stage
            && let Some(packet) = passage.rest(packet)
        {
            opening.sent(self.now, packet);
        }
    }

    fn take_in(&mut self, packet: &[u8]) -> Result<Passage, &'static str> {
        match &mut self.stage {
            Stage::Engaged(engaged) => engaged.inbound(self.now, packet),
            Stage::Plain(Some(catch_up)) => {
                catch_up.inbound(self.now, packet);
                self.watch.inbound(packet)
            }
            Stage::Watching(_, opening) => {
                opening.heard(self.now, packet);
                self.watch.inbound(packet)
            }
            Stage::Plain(None) => self.watch.inbound(packet),
        }
    }

    /// Goes back if the peer does not do what the plane relies on.
    fn look_back(&mut self) {
        if let Stage::Engaged(engaged) = &self.stage
            && engaged.is_misfit(self.now)
        {
            warn!("a peer does not follow FORWARD-TSN: it goes on as plain SCTP");
            self.fall_back();
        }
    }

    /// Begins our TSNs where a test wants them.
    fn force_first(&mut self, packet: &[u8]) {
        if let Some(wanted) = self.first_tsn
            && let Some(first) = handshake::first_tsn(packet)
        {
            self.shift.ours = wanted.wrapping_sub(first.0);
            self.first_tsn = None;
        }
    }
}
