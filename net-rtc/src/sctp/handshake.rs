//! SCTP handshake tracker before the channel is open (RFC 9260 §5).

#[cfg(test)]
mod tests;

use std::time::Instant;

use log::debug;

use crate::sctp::Filtered;
use crate::sctp::association::{Association, SctpView};
use crate::sctp::filter::{clear_immediate_flag, strip_heartbeat_acks};
use crate::sctp::packet::{
    Chunk, CommonHeader, DataChunk, HEADER_LEN, InitChunk, PacketWriter, SackChunk, Tsn,
    chunk_type, chunks, dcep, flag, parse_forward_tsn, ppid,
};
use crate::sctp::quota::ReceiveQuota;
use crate::sctp::reassembly::Reassembly;
use crate::sctp::receiver::{ProtocolViolation, Receiver};
use crate::sctp::settings::DataPathSettings;
use crate::sdp::InitChunks;
use crate::{Channels, Config};

/// Maximum INIT and COOKIE-ECHO chunks of a peer. An honest peer repeats them only when they are
/// lost.
const MAX_HANDSHAKE_CHUNKS: u32 = 32;
/// Maximum gap blocks of a SACK. str0m's DTLS layer has no room for the answer to more.
const MAX_GAP_BLOCKS: usize = 256;
/// SCTP port of both ends, unless the SDP names another (RFC 8841 §5.1).
const DEFAULT_SCTP_PORT: u16 = 5_000;

/// Observer of the SCTP handshake that str0m performs: learns the ports, tags and TSNs of both ends, and rejects
/// protocol violations.
#[derive(Debug)]
pub(super) struct HandshakeTracker {
    settings: DataPathSettings,
    /// Common header of own packets, and of the peer's.
    send_header: Option<CommonHeader>,
    recv_header: Option<CommonHeader>,
    next_tsn: Option<Tsn>,
    stream_id: Option<u16>,
    remote_init: RemoteInit,
    receiver: Option<Receiver>,
    quota: Option<ReceiveQuota>,
    handshake_chunks: u32,
    initial_heartbeat: InitialHeartbeat,
    dup_tsns: DupTsnReport,
}

impl HandshakeTracker {
    pub(super) fn new(config: &Config) -> HandshakeTracker {
        HandshakeTracker {
            settings: DataPathSettings::from_config(config),
            send_header: None,
            recv_header: None,
            next_tsn: None,
            stream_id: None,
            remote_init: RemoteInit::Unknown,
            receiver: None,
            quota: None,
            handshake_chunks: 0,
            initial_heartbeat: InitialHeartbeat::default(),
            dup_tsns: DupTsnReport::default(),
        }
    }

    /// Returns the association for this peer, if its state is known and the peer supports
    /// FORWARD-TSN.
    pub(super) fn activate(&mut self, now: Instant, stream: u16) -> Option<Association> {
        let (peer, header, next) = (self.remote_init.init()?, self.send_header?, self.next_tsn?);
        if !peer.supports_forward_tsn {
            debug!("no FORWARD-TSN: this peer goes on as plain SCTP");
            return None;
        }
        let mut receiver = self.receiver.take()?;
        self.quota = None;
        if receiver.highest_tsn() != peer.initial_tsn.minus(1) {
            // SCTP has not acknowledged all of it yet, and its SACKs are dropped from now on.
            receiver.ack_immediately();
        }
        let cumulative = receiver.cumulative_from(peer.initial_tsn.minus(1));
        let local = SctpView::new(next, cumulative);
        Some(Association::new(now, self.settings, header, stream, receiver, local))
    }

    /// Returns the common header of own packets, once SCTP has sent one.
    pub(super) fn send_header(&self) -> Option<CommonHeader> {
        self.send_header
    }

    /// Treats empty texts of the peer as keepalives.
    pub(super) fn accept_keepalives(&mut self) {
        self.settings.accept_keepalives = true;
    }

    pub(super) fn accepts_keepalives(&self) -> bool {
        self.settings.accept_keepalives
    }

    /// Takes both INIT chunks that offer and answer carried (SNAP). Chunks that cannot be parsed
    /// are left to SCTP to reject.
    pub(super) fn set_snap_inits(&mut self, inits: &InitChunks) {
        let Some((ours, theirs)) = parse_init(&inits.local).zip(parse_init(&inits.remote)) else {
            return;
        };
        self.next_tsn = Some(ours.initial_tsn);
        self.set_remote_initial_tsn(theirs.initial_tsn);
        self.remote_init = RemoteInit::Confirmed(theirs);
        let header = CommonHeader {
            source_port: DEFAULT_SCTP_PORT,
            destination_port: DEFAULT_SCTP_PORT,
            verification_tag: theirs.initiate_tag,
        };
        self.send_header = Some(header);
        self.initial_heartbeat = InitialHeartbeat::AwaitingDtls(header);
    }

    /// Queues a packet that the peer answers, unless SCTP's handshake does that.
    pub(super) fn queue_initial_heartbeat(&mut self) {
        self.initial_heartbeat.on_dtls_connected();
    }

    /// Returns the next own packet for DTLS.
    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.initial_heartbeat.poll_packet()
    }

    /// Observes a packet of SCTP.
    pub(super) fn on_outbound(&mut self, packet: &[u8]) {
        for chunk in chunks(packet) {
            match chunk.chunk_type {
                chunk_type::INIT | chunk_type::INIT_ACK => {
                    self.next_tsn =
                        InitChunk::parse(&chunk).map(|init| init.initial_tsn).or(self.next_tsn);
                }
                chunk_type::DATA => self.on_outbound_data(&chunk),
                _ => {}
            }
            // An INIT has no verification tag yet (RFC 9260 §8.5.1).
            if chunk.chunk_type != chunk_type::INIT {
                self.send_header = CommonHeader::parse(packet);
            }
        }
    }

    /// Adds pending duplicate TSNs to the packet's SACK; `None` if it has none, or none are
    /// pending.
    pub(super) fn add_dup_tsns(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.dup_tsns.add_to_sack(packet)
    }

    /// Returns the peer's DATA_CHANNEL_ACK of our channel (RFC 8832 §5.2) as it must have sent it,
    /// if none of the peer's data has arrived: it is the first that a peer sends.
    pub(super) fn implied_channel_ack(&self) -> Option<Vec<u8>> {
        let (peer, header, stream) = (self.remote_init.init()?, self.recv_header?, self.stream_id?);
        let before = peer.initial_tsn.minus(1);
        if self.receiver.as_ref()?.cumulative_from(before) != before {
            return None;
        }
        let (flags, tsn, protocol) = (flag::BEGIN | flag::END, peer.initial_tsn, ppid::DCEP);
        let mut builder = PacketWriter::new(header);
        builder.write_data(&DataChunk {
            flags,
            tsn,
            stream_id: stream,
            ppid: protocol,
            payload: &[dcep::ACK],
        });
        Some(builder.finish())
    }

    /// Observes a packet of the peer. Errors are protocol violations.
    pub(super) fn filter_inbound(&mut self, packet: &[u8]) -> Result<Filtered, &'static str> {
        self.recv_header = CommonHeader::parse(packet).or(self.recv_header);
        for chunk in chunks(packet) {
            match chunk.chunk_type {
                // Alone in its packet (RFC 9260 §4.3).
                chunk_type::INIT | chunk_type::INIT_ACK => return self.on_init(&chunk),
                chunk_type::COOKIE_ECHO => self.on_cookie_echo()?,
                chunk_type::DATA => self.on_data(&chunk)?,
                chunk_type::SACK => check_gap_blocks(&chunk)?,
                chunk_type::FORWARD_TSN => self.on_forward_tsn(&chunk)?,
                _ => {}
            }
        }
        Ok(match self.settings.ignore_immediate_flag {
            true => clear_immediate_flag(packet),
            false => strip_heartbeat_acks(packet),
        })
    }

    /// Sets the peer's initial TSN.
    fn set_remote_initial_tsn(&mut self, first: Tsn) {
        let before = first.minus(1);
        let DataPathSettings {
            max_message_size: message_bytes,
            max_partial_messages: partial_messages,
            ..
        } = self.settings;
        let assembly = Reassembly::new(message_bytes, partial_messages);
        self.receiver = Some(Receiver::new(before, assembly));
        self.reset_quota(before);
    }

    /// Resets the quota: SCTP has received everything up to `before`.
    pub(super) fn reset_quota(&mut self, before: Tsn) {
        self.quota = Some(ReceiveQuota::new(self.settings.quota_limits, before));
    }

    fn on_outbound_data(&mut self, chunk: &Chunk<'_>) {
        let Some(data) = DataChunk::parse(chunk) else { return };
        let after = data.tsn.plus(1);
        self.next_tsn = Some(self.next_tsn.map_or(after, |next| next.max(after)));
        self.stream_id.get_or_insert(data.stream_id);
    }

    fn on_init(&mut self, chunk: &Chunk<'_>) -> Result<Filtered, &'static str> {
        self.count_handshake_chunk()?;
        let before = match self.remote_init {
            RemoteInit::Confirmed(_) => return Ok(Filtered::Drop),
            RemoteInit::Unknown | RemoteInit::Proposed(_) => self.remote_init.init(),
        };
        let Some(init) = InitChunk::parse(chunk) else { return Ok(Filtered::Forward) };
        if before != Some(init) {
            self.set_remote_initial_tsn(init.initial_tsn);
        }
        self.remote_init = match chunk.chunk_type {
            chunk_type::INIT_ACK => RemoteInit::Confirmed(init),
            _ => RemoteInit::Proposed(init),
        };
        Ok(Filtered::Forward)
    }

    fn on_cookie_echo(&mut self) -> Result<(), &'static str> {
        self.remote_init = self.remote_init.confirmed();
        self.count_handshake_chunk()
    }

    fn on_data(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(data) = DataChunk::parse(chunk) else { return Ok(()) };
        let ours = *self.stream_id.get_or_insert(data.stream_id);
        if self.settings.channels == Channels::One && data.stream_id != ours {
            return Err("one channel is all a peer may have");
        }
        if let Some(receiver) = &mut self.receiver {
            let new = receiver.mark_received(data.tsn).map_err(ProtocolViolation::reason)?;
            if !new && self.settings.report_dup_tsns {
                self.dup_tsns.push(data.tsn);
            }
        }
        self.quota.as_mut().map_or(Ok(()), |held| held.on_data(&data))
    }

    fn on_forward_tsn(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(tsn) = parse_forward_tsn(chunk) else { return Ok(()) };
        if let Some(receiver) = &mut self.receiver {
            receiver.on_forward_tsn(tsn).map_err(ProtocolViolation::reason)?;
        }
        if let Some(held) = &mut self.quota {
            held.on_forward_tsn(tsn);
        }
        Ok(())
    }

    fn count_handshake_chunk(&mut self) -> Result<(), &'static str> {
        self.handshake_chunks += 1;
        (self.handshake_chunks <= MAX_HANDSHAKE_CHUNKS)
            .then_some(())
            .ok_or("too many SCTP handshakes")
    }
}

/// Parses an INIT chunk without a packet.
fn parse_init(chunk: &[u8]) -> Option<InitChunk> {
    let packet = [&[0; HEADER_LEN], chunk].concat();
    chunks(&packet)
        .next()
        .filter(|chunk| chunk.chunk_type == chunk_type::INIT)
        .and_then(|c| InitChunk::parse(&c))
}

/// Returns the initial TSN of a packet's INIT or INIT-ACK.
pub(super) fn parse_initial_tsn(packet: &[u8]) -> Option<Tsn> {
    let mut inits =
        chunks(packet).filter(|c| matches!(c.chunk_type, chunk_type::INIT | chunk_type::INIT_ACK));
    inits.next().and_then(|chunk| InitChunk::parse(&chunk)).map(|init| init.initial_tsn)
}

fn check_gap_blocks(chunk: &Chunk<'_>) -> Result<(), &'static str> {
    match SackChunk::parse(chunk) {
        Some(sack) if sack.gap_block_count() > MAX_GAP_BLOCKS => {
            Err("a SACK with too many gap blocks")
        }
        _ => Ok(()),
    }
}

/// Initial HEARTBEAT, which makes the peer send something. SCTP's own handshake does so; where
/// offer and answer carried it (SNAP), a HEARTBEAT replaces it once DTLS is connected.
///
/// ```text
///   NotNeeded --SNAP INITs--> AwaitingDtls --DTLS connected--> Ready --poll_packet--> NotNeeded
/// ```
#[derive(Debug, Default)]
pub(crate) enum InitialHeartbeat {
    #[default]
    NotNeeded,
    AwaitingDtls(CommonHeader),
    Ready(Vec<u8>),
}

impl InitialHeartbeat {
    /// Makes the packet once DTLS is connected.
    pub(crate) fn on_dtls_connected(&mut self) {
        if let InitialHeartbeat::AwaitingDtls(header) = *self {
            let mut builder = PacketWriter::new(header);
            builder.write_heartbeat(b"greeting");
            *self = InitialHeartbeat::Ready(builder.finish());
        }
    }

    pub(crate) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(self) {
            InitialHeartbeat::Ready(packet) => Some(packet),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// INIT parameters of the peer.
///
/// ```text
///   Unknown --INIT--> Proposed --COOKIE ECHO--> Confirmed
///      '--------------- INIT ACK -----------------^
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) enum RemoteInit {
    Unknown,
    /// Another INIT may still replace it.
    Proposed(InitChunk),
    /// Final. A browser that initiates the association too, or repeats what seemed lost, may send
    /// another INIT; sctp-proto would close the association for it (RFC 9260 §5.2.2 would not).
    Confirmed(InitChunk),
}

impl RemoteInit {
    pub(crate) fn init(self) -> Option<InitChunk> {
        match self {
            RemoteInit::Unknown => None,
            RemoteInit::Proposed(init) | RemoteInit::Confirmed(init) => Some(init),
        }
    }

    pub(crate) fn confirmed(self) -> RemoteInit {
        self.init().map_or(RemoteInit::Unknown, RemoteInit::Confirmed)
    }
}

/// Maximum duplicate TSNs of a SACK.
const MAX_DUP_TSNS: usize = 64;

/// Duplicate TSNs that are added to SACKs in tests, because sctp-proto reports none.
#[derive(Debug, Default)]
pub(crate) struct DupTsnReport {
    tsns: Vec<Tsn>,
}

impl DupTsnReport {
    pub(crate) fn push(&mut self, tsn: Tsn) {
        if self.tsns.len() < MAX_DUP_TSNS {
            self.tsns.push(tsn);
        }
    }

    /// Adds all of them to the packet's SACK (RFC 9260 §3.3.4); `None` if it has none, or none are
    /// pending.
    pub(crate) fn add_to_sack(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        const DUP_COUNT_RANGE: std::ops::Range<usize> = 10..12;
        if self.tsns.is_empty() || !chunks(packet).any(|chunk| chunk.chunk_type == chunk_type::SACK)
        {
            return None;
        }
        let mut builder = PacketWriter::new(CommonHeader::parse(packet)?);
        for chunk in chunks(packet) {
            let mut value = chunk.value.to_vec();
            if chunk.chunk_type == chunk_type::SACK {
                let count = self.tsns.len() as u16;
                value.get_mut(DUP_COUNT_RANGE)?.copy_from_slice(&count.to_be_bytes());
                value.extend(self.tsns.drain(..).flat_map(|tsn| tsn.0.to_be_bytes()));
            }
            builder.write_chunk(chunk.chunk_type, chunk.flags, &[&value]);
        }
        Some(builder.finish())
    }
}
