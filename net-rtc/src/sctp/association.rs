//! Association: the active data path, between SCTP and DTLS (RFC 9260).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::Repair;
use crate::congestion::RateController;
use crate::congestion::ack::{AckSummary, Redundancy};
use crate::sctp::Filtered;
use crate::sctp::fallback::{FallbackForward, TsnOffset};
use crate::sctp::packet::{
    Chunk, CommonHeader, DATA_HEADER_LEN, DataChunk, PacketWriter, SackChunk, Tsn, chunk_type,
    chunks, parse_forward_tsn, ppid, u16_at,
};
use crate::sctp::packet_builder::{Fragment, PacketBuilder, RepairPolicy, fragment_message};
use crate::sctp::receiver::{ProtocolViolation, ReceiveWindow, Receiver, ResumeAck};
use crate::sctp::redundancy::RedundancyBuffer;
use crate::sctp::sender::Sender;
use crate::sctp::settings::DataPathSettings;
use crate::stats::PathMonitor;

/// RE-CONFIG chunks that a peer may send. Closing the one channel takes two.
const MAX_RECONFIGS: u32 = 32;

/// Active data path of one peer's unreliable, unordered channel.
#[derive(Debug)]
pub(super) struct Association {
    header: CommonHeader,
    stream_id: u16,
    sender: Sender,
    receiver: Receiver,
    recv_window: ReceiveWindow,
    resume_ack: ResumeAck,
    rate_controller: RateController,
    redundancy: RedundancyBuffer,
    repair: Repair,
    accept_keepalives: bool,
    sctp_view: SctpView,
    /// Messages for the next packets; bounded by `poll_ready`.
    pending_messages: Vec<(Bytes, RepairPolicy)>,
    /// Fragments for later packets: too many at once would be lost on arrival.
    pending_fragments: VecDeque<Fragment>,
    /// When the pending fragments continue.
    resume_at: Option<Instant>,
    outgoing_packets: VecDeque<Vec<u8>>,
    received_messages: VecDeque<Bytes>,
    reconfig_count: u32,
    packets_lost: u64,
    /// Whether the rate limits what is sent.
    is_rate_limited: bool,
}

/// State of sctp-proto, as it was when the association took over.
#[derive(Clone, Copy, Debug)]
pub(super) struct SctpView {
    /// TSN that it would assign next.
    next_tsn: Tsn,
    /// Cumulative TSN of the peer's data.
    cumulative_tsn: Tsn,
    /// Whether it knows that all of its data was acknowledged.
    is_all_acked: bool,
}

impl SctpView {
    pub(super) fn new(next_tsn: Tsn, cumulative_tsn: Tsn) -> SctpView {
        SctpView { next_tsn, cumulative_tsn, is_all_acked: false }
    }
}

impl ProtocolViolation {
    pub(super) fn reason(self) -> &'static str {
        match self {
            ProtocolViolation::TsnJump => "a TSN far beyond the last",
            ProtocolViolation::MessageTooLong => {
                "a message that is too long, or in too many pieces"
            }
        }
    }
}

impl Association {
    pub(super) fn new(
        now: Instant,
        settings: DataPathSettings,
        header: CommonHeader,
        stream_id: u16,
        receiver: Receiver,
        sctp_view: SctpView,
    ) -> Association {
        Association {
            header,
            stream_id,
            sender: Sender::new(sctp_view.next_tsn),
            receiver,
            recv_window: ReceiveWindow::new(now, settings.min_bitrate, settings.max_bitrate),
            resume_ack: ResumeAck::new(now),
            rate_controller: RateController::new(now, settings),
            redundancy: RedundancyBuffer::default(),
            repair: settings.repair,
            accept_keepalives: settings.accept_keepalives,
            sctp_view,
            pending_messages: Vec::new(),
            pending_fragments: VecDeque::new(),
            resume_at: None,
            outgoing_packets: VecDeque::new(),
            received_messages: VecDeque::new(),
            reconfig_count: 0,
            packets_lost: 0,
            is_rate_limited: false,
        }
    }

    pub(super) fn poll_ready(&mut self, now: Instant) -> Result<(), Instant> {
        let waiting: usize =
            self.pending_messages.iter().map(|(bytes, _)| bytes.len() + DATA_HEADER_LEN).sum();
        let room =
            self.resume_at.map_or_else(|| self.rate_controller.poll_ready(now, waiting), Err);
        self.is_rate_limited = room.is_err();
        room
    }

    pub(super) fn send(&mut self, message: Bytes, repair: Option<bool>) {
        self.pending_messages.push((message, RepairPolicy::resolve(self.repair, repair)));
    }

    /// Writes pending messages and due control chunks into packets; returns whether any packet
    /// waits.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        let mut told = AckSummary::default();
        self.sender.detect_losses(now, &mut told);
        self.on_ack(now, told);
        let mut draft = self.new_packet();
        for (message, wish) in std::mem::take(&mut self.pending_messages) {
            self.pending_fragments.extend(fragment_message(
                &message,
                wish,
                self.sender.path_mtu.current_mtu(),
            ));
        }
        while self.can_send_fragment(now, &draft)
            && let Some(piece) = self.pending_fragments.pop_front()
        {
            draft = self.add_fragment(now, draft, piece);
        }
        let goes_on = || self.rate_controller.poll_burst_ready(now).err().unwrap_or(now);
        self.resume_at = (!self.pending_fragments.is_empty()).then(goes_on);
        if draft.is_empty() {
            self.write_control_chunks(now, &mut draft.writer, false);
        }
        self.finish_packet(now, draft);
        self.redundancy.trim(now);
        self.probe_path_mtu(now);
        !self.outgoing_packets.is_empty()
    }

    /// Publishes the path statistics.
    pub(super) fn publish_path_stats(&self, now: Instant, gauge: &PathMonitor) {
        let bits = |bytes: f64| (bytes * 8.0) as u64;
        let (rtt, least) = (self.sender.rtt().path_rtt(), self.rate_controller.min_rtt());
        let (rate, sending) =
            (self.rate_controller.allowed_rate(now), self.rate_controller.send_rate(now));
        gauge.update(
            rtt,
            least,
            self.sender.loss_estimator().loss_rate(),
            bits(rate),
            bits(sending),
        );
        gauge.set_packets_lost(self.packets_lost);
    }

    /// Restarts the path MTU search on a new path.
    pub(super) fn on_path_changed(&mut self) {
        self.sender.path_mtu.restart();
    }

    /// Records that the peer is reachable again, even if it left packets unacknowledged.
    pub(super) fn on_reachable(&mut self) {
        self.rate_controller.on_reachable();
    }

    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.outgoing_packets.pop_front()
    }

    pub(super) fn poll_message(&mut self) -> Option<Bytes> {
        self.received_messages.pop_front()
    }

    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let probe = self.sender.path_mtu.next_timeout(now, self.sender.rtt());
        let wakes =
            [self.sender.next_timeout(), self.receiver.next_timeout(now), self.resume_at, probe];
        wakes.into_iter().flatten().min()
    }

    /// Returns whether the peer ignores FORWARD-TSN, which the data path relies on.
    pub(super) fn is_ignoring_forward_tsn(&self, now: Instant) -> bool {
        self.sender.is_ignoring_forward_tsn(now)
    }

    /// Returns the difference between the TSNs on the wire and those of SCTP.
    pub(super) fn tsn_offset(&self) -> TsnOffset {
        TsnOffset {
            local: self.sender.next_tsn().since(self.sctp_view.next_tsn) as u32,
            remote: self.receiver.highest_tsn().since(self.sctp_view.cumulative_tsn) as u32,
        }
    }

    /// Returns the peer's highest received TSN.
    pub(super) fn highest_received_tsn(&self) -> Tsn {
        self.receiver.highest_tsn()
    }

    /// Returns the FORWARD-TSN state with which SCTP continues.
    pub(super) fn fallback_forward(&self, now: Instant) -> FallbackForward {
        FallbackForward::new(now, self.header, self.sender.next_tsn().minus(1))
    }

    /// Filters what SCTP sends: drops its SACK and FORWARD-TSN chunks, which the association sends
    /// itself.
    pub(super) fn filter_outbound(&self, packet: &[u8]) -> Filtered {
        let stays = |chunk: &Chunk<'_>| {
            !matches!(chunk.chunk_type, chunk_type::SACK | chunk_type::FORWARD_TSN)
        };
        if chunks(packet).all(|chunk| stays(&chunk)) {
            return Filtered::Forward;
        }
        let mut builder = PacketWriter::new(self.header);
        chunks(packet).filter(stays).for_each(|chunk| builder.copy_chunk(&chunk));
        Filtered::from_writer(builder)
    }

    /// Filters what the peer sends: takes data and acknowledgements, and forwards the rest to SCTP.
    /// Errors are protocol violations.
    pub(super) fn filter_inbound(
        &mut self,
        now: Instant,
        packet: &[u8],
    ) -> Result<Filtered, &'static str> {
        let header = CommonHeader::parse(packet).ok_or("a packet without a header")?;
        let mut builder = PacketWriter::new(header);
        let (mut has_data, mut speaks) = (false, false);
        for chunk in chunks(packet) {
            has_data |= chunk.chunk_type == chunk_type::DATA;
            speaks |= matches!(chunk.chunk_type, chunk_type::DATA | chunk_type::FORWARD_TSN);
            self.on_chunk(now, &chunk, &mut builder)?;
        }
        if has_data {
            let news = self.receiver.on_packet_end(now);
            self.recv_window.on_packet(now, news, self.receiver.highest_tsn());
        }
        if self.resume_ack.on_packet(now, speaks) {
            self.receiver.ack_immediately();
        }
        Ok(Filtered::from_writer(builder))
    }

    fn on_chunk(
        &mut self,
        now: Instant,
        chunk: &Chunk<'_>,
        on: &mut PacketWriter,
    ) -> Result<(), &'static str> {
        match chunk.chunk_type {
            chunk_type::DATA => self.on_data(chunk)?,
            chunk_type::SACK => self.on_sack(now, chunk, on)?,
            chunk_type::FORWARD_TSN => self.on_forward_tsn(now, chunk)?,
            chunk_type::RE_CONFIG => self.on_reconfig(chunk, on)?,
            // The answer to a path MTU probe, or to the initial HEARTBEAT.
            chunk_type::HEARTBEAT_ACK => {
                let told = self.sender.on_heartbeat_ack(now, chunk);
                self.on_ack(now, told);
            }
            // Its cumulative TSN covers data of the association, which SCTP does not know.
            chunk_type::SHUTDOWN => on.write_chunk(
                chunk.chunk_type,
                0,
                &[&self.sctp_view.next_tsn.minus(1).0.to_be_bytes()],
            ),
            // Late: sctp-proto would close the association (RFC 9260 §5.2.2 would not).
            chunk_type::INIT => self.count_reconfig()?,
            chunk_type::COOKIE_ECHO => self.count_reconfig().map(|()| forward_chunk(chunk, on))?,
            // sctp-proto drops packets with unknown chunks.
            chunk_type::PAD => {}
            _ => forward_chunk(chunk, on),
        }
        Ok(())
    }

    fn on_data(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(data) = DataChunk::parse(chunk) else { return Ok(()) };
        if data.stream_id != self.stream_id {
            return Err("one channel is all a peer may have");
        }
        let message = self.receiver.on_data(&data).map_err(ProtocolViolation::reason)?;
        let is_sign = self.accept_keepalives && data.ppid == ppid::STRING_EMPTY;
        self.received_messages.extend(message.filter(|_| !is_sign));
        Ok(())
    }

    fn on_sack(
        &mut self,
        now: Instant,
        chunk: &Chunk<'_>,
        on: &mut PacketWriter,
    ) -> Result<(), &'static str> {
        let Some(sack) = SackChunk::parse(chunk) else { return Ok(()) };
        let before = self.sctp_view.next_tsn.minus(1);
        if !self.sctp_view.is_all_acked {
            // SCTP still awaits the acknowledgement of its own data, and must not see one of more.
            let known = if sack.cumulative_tsn < before { sack.cumulative_tsn } else { before };
            self.sctp_view.is_all_acked = known == before;
            on.write_sack(known, sack.a_rwnd);
        }
        let told = self.sender.on_sack(now, &sack).map_err(|_| "a SACK for data never sent")?;
        self.on_ack(now, told);
        Ok(())
    }

    fn on_forward_tsn(&mut self, now: Instant, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(tsn) = parse_forward_tsn(chunk) else { return Ok(()) };
        let is_new = self.receiver.on_forward_tsn(tsn).map_err(ProtocolViolation::reason)?;
        self.receiver.schedule_forward_tsn_ack(now, is_new);
        Ok(())
    }

    /// Rewrites a stream reset request (RFC 6525 §5.2.2): it waits until all data up to a TSN has
    /// arrived, so SCTP is given its own cumulative TSN.
    fn on_reconfig(
        &mut self,
        chunk: &Chunk<'_>,
        on: &mut PacketWriter,
    ) -> Result<(), &'static str> {
        const OUTGOING_RESET: u16 = 13;
        /// Offset of the sender's last TSN, after type, length, request and response sequence
        /// number.
        const LAST_TSN: std::ops::Range<usize> = 12..16;
        self.count_reconfig()?;
        let mut value = chunk.value.to_vec();
        if u16_at(&value, 0) == Some(OUTGOING_RESET)
            && let Some(last) = value.get_mut(LAST_TSN)
        {
            last.copy_from_slice(&self.sctp_view.cumulative_tsn.0.to_be_bytes());
        }
        on.write_chunk(chunk.chunk_type, chunk.flags, &[&value]);
        Ok(())
    }

    fn count_reconfig(&mut self) -> Result<(), &'static str> {
        self.reconfig_count += 1;
        (self.reconfig_count <= MAX_RECONFIGS).then_some(()).ok_or("too many reconfigurations")
    }

    fn on_ack(&mut self, now: Instant, told: AckSummary) {
        self.packets_lost += u64::from(told.packets_lost);
        if told != AckSummary::default() {
            let told =
                AckSummary { burst_factor: self.sender.loss_estimator().burst_factor(), ..told };
            self.rate_controller.on_ack(now, &told, self.sender.rtt());
        }
    }

    /// Creates a packet of at most the path MTU.
    fn new_packet(&self) -> PacketBuilder {
        PacketBuilder::new(self.header, self.sender.path_mtu.current_mtu())
    }

    /// Sends due path MTU probes, as far as the rate allows.
    fn probe_path_mtu(&mut self, now: Instant) {
        let path_mtu = &mut self.sender.path_mtu;
        if !path_mtu.is_probe_due(now) {
            return;
        }
        if let Err(until) = self.rate_controller.poll_ready(now, 0) {
            return path_mtu.postpone_probe(now, until);
        }
        for packet in path_mtu.poll_probes(now, self.header) {
            self.rate_controller.on_probe_sent(packet.len());
            self.outgoing_packets.push_back(packet);
        }
    }

    /// Returns whether the next fragment may be sent now, in the current packet or in another.
    fn can_send_fragment(&mut self, now: Instant, draft: &PacketBuilder) -> bool {
        let fits = self
            .pending_fragments
            .front()
            .is_some_and(|piece| piece.encoded_len() <= draft.remaining());
        (fits && !draft.is_empty()) || self.rate_controller.poll_burst_ready(now).is_ok()
    }

    /// Adds a fragment to this packet or the next; returns the packet with room left.
    fn add_fragment(
        &mut self,
        now: Instant,
        mut draft: PacketBuilder,
        piece: Fragment,
    ) -> PacketBuilder {
        if draft.is_empty() {
            self.write_control_chunks(now, &mut draft.writer, true);
        }
        if piece.encoded_len() > draft.remaining() {
            self.finish_packet(now, draft);
            draft = self.new_packet();
        }
        let care = if piece.repair == RepairPolicy::Never {
            Redundancy::Never
        } else {
            Redundancy::Eligible
        };
        draft.push(
            self.sender.assign_tsn(now, piece.encoded_len(), care, piece.is_last_fragment()),
            piece,
        );
        draft
    }

    /// Adds due control chunks; with `riding`, in a packet with data, also those that may be sent
    /// early.
    fn write_control_chunks(&mut self, now: Instant, builder: &mut PacketWriter, riding: bool) {
        if let Some(tsn) = self.receiver.poll_ack(now, riding) {
            builder.write_sack(tsn, self.recv_window.a_rwnd(now, self.sender.rtt()));
        }
        if let Some(tsn) = self.sender.poll_forward_tsn(now, riding) {
            builder.write_forward_tsn(tsn);
        }
    }

    /// Returns the next own TSN, and the peer's highest received TSN.
    #[cfg(any(test, feature = "odd"))]
    pub(super) fn tsns(&self) -> (Tsn, Tsn) {
        (self.sender.next_tsn(), self.receiver.highest_tsn())
    }

    fn finish_packet(&mut self, now: Instant, mut draft: PacketBuilder) {
        if draft.is_empty() {
            return;
        }
        if draft.has_data() {
            let fresh = draft.packet_len();
            let copies = self.add_redundancy(now, &mut draft);
            let packet = self.sender.packet_number();
            let asks = self.sender.end_packet(now, draft.packet_len(), copies);
            for (tsn, piece) in draft.write_fragments(self.stream_id, asks) {
                if piece.repair != RepairPolicy::Never {
                    self.redundancy.push(now, packet, tsn, piece);
                }
            }
            // Packets without data are not charged: they await no acknowledgement.
            self.rate_controller.on_send(now, fresh, draft.writer.len());
        }
        self.outgoing_packets.push_back(draft.writer.finish());
    }

    /// Adds redundant copies of earlier chunks, as far as packet and rate have room; returns
    /// whether there are any.
    fn add_redundancy(&mut self, now: Instant, draft: &mut PacketBuilder) -> bool {
        if self.is_rate_limited {
            return false;
        }
        let mut room = draft
            .remaining()
            .min(self.rate_controller.spare_bytes().saturating_sub(draft.packet_len()));
        let before = draft.writer.len();
        let packet = self.sender.packet_number();
        for (tsn, piece) in self.redundancy.due(now, packet, self.sender.loss_estimator()) {
            if piece.encoded_len() <= room && self.sender.record_copy(now, tsn) {
                room -= piece.encoded_len();
                piece.write(tsn, self.stream_id, 0, &mut draft.writer);
            }
        }
        draft.writer.len() > before
    }
}

fn forward_chunk(chunk: &Chunk<'_>, on: &mut PacketWriter) {
    on.write_chunk(chunk.chunk_type, chunk.flags, &[chunk.value]);
}
