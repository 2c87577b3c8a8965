//! Retransmission of SCTP handshake and DCEP packets, earlier than SCTP's own (RFC 9260 §6.3).

use std::time::{Duration, Instant};

use crate::sctp::packet::{Chunk, DataChunk, SackChunk, Tsn, chunk_type, chunks, dcep, ppid};

/// Maximum retransmission timeout of a packet, and maximum retransmissions of all: enough for 15 s.
const MAX_RTO: Duration = Duration::from_secs(1);
const MAX_RETRANSMITS: u32 = 16;
/// Time after the peer's SACK of our DATA_CHANNEL_OPEN within which its DATA_CHANNEL_ACK is
/// awaited.
const CHANNEL_ACK_GRACE: Duration = Duration::from_millis(50);

/// Unanswered packets of the handshake. SCTP would repeat them after 3 s (RFC 9260 §6.3.1);
/// duplicates are harmless (RFC 9260 §5.2, §6.2).
///
/// ```text
///   sent --> pending, in DTLS --connected--> pending, sent --answered--> dropped
///                                              ^       |
///                                              '--RTO--'
/// ```
#[derive(Debug)]
pub(super) struct HandshakeRetransmit {
    /// Timeout of the first answer; `None` leaves retransmission to SCTP.
    initial_rto: Option<Duration>,
    /// Until then DTLS buffers what SCTP sends.
    is_dtls_connected: bool,
    pending: Vec<PendingPacket>,
    retransmits: u32,
    channel_ack: ChannelAck,
}

/// Whether the peer has opened the channel. It sends DATA_CHANNEL_ACK once (RFC 8832 §6); if that
/// is lost only its own SCTP repeats it, after seconds. But data that its SCTP has acknowledged is
/// delivered, so a SACK of DATA_CHANNEL_OPEN implies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelAck {
    Unknown,
    /// The channel counts as open from this time on.
    ImpliedFrom(Instant),
    /// `take_implied_ack` has returned true.
    Taken,
}

/// Handshake packet that is retransmitted until its [`ExpectedReply`] arrives.
#[derive(Debug)]
struct PendingPacket {
    packet: Vec<u8>,
    expected_reply: ExpectedReply,
    next_send: Instant,
    rto: Duration,
}

impl HandshakeRetransmit {
    pub(super) fn new(initial_rto: Option<Duration>) -> HandshakeRetransmit {
        HandshakeRetransmit {
            initial_rto,
            is_dtls_connected: false,
            pending: Vec::new(),
            retransmits: 0,
            channel_ack: ChannelAck::Unknown,
        }
    }

    /// Starts the timeouts: DTLS is connected and sends what it buffered.
    pub(super) fn on_dtls_connected(&mut self, now: Instant) {
        self.is_dtls_connected = true;
        self.pending.iter_mut().for_each(|waiting| waiting.next_send = now + waiting.rto);
    }

    /// Records a packet of SCTP if it expects a reply of the handshake.
    pub(super) fn on_send(&mut self, now: Instant, packet: &[u8]) {
        let Some(answer) =
            chunks(packet).filter_map(|chunk| ExpectedReply::for_chunk(&chunk)).last()
        else {
            return;
        };
        // SCTP does not repeat our own HEARTBEAT.
        let ours = (answer == ExpectedReply::Any).then_some(MAX_RTO);
        let Some(wait) = self.initial_rto.or(ours) else { return };
        self.pending.retain(|other| other.expected_reply != answer);
        let (packet, next) = (packet.to_vec(), now + wait);
        self.pending.push(PendingPacket {
            packet,
            expected_reply: answer,
            next_send: next,
            rto: wait,
        });
    }

    /// Takes a packet of the peer.
    pub(super) fn on_recv(&mut self, now: Instant, packet: &[u8]) {
        for chunk in chunks(packet) {
            let asked = self.is_open_pending();
            self.pending.retain(|waiting| !waiting.expected_reply.is_satisfied_by(&chunk));
            if asked && chunk.chunk_type == chunk_type::SACK && !self.is_open_pending() {
                self.channel_ack = ChannelAck::ImpliedFrom(now + CHANNEL_ACK_GRACE);
            }
            // User data implies that the channel is open.
            if is_user_data(&chunk)
                && (self.is_open_pending() || self.channel_ack != ChannelAck::Unknown)
            {
                self.channel_ack = self.channel_ack.implied_now(now);
            }
        }
    }

    /// Returns whether the peer must have opened the channel although its DATA_CHANNEL_ACK did not
    /// arrive; true once.
    pub(super) fn take_implied_ack(&mut self, now: Instant) -> bool {
        let consents = matches!(self.channel_ack, ChannelAck::ImpliedFrom(at) if at <= now);
        if consents {
            self.channel_ack = ChannelAck::Taken;
        }
        consents
    }

    /// Returns the next packet that is due for retransmission.
    pub(super) fn poll_packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self.next_retransmit().is_some_and(|at| at <= now);
        let waiting = self.pending.iter_mut().find(|waiting| due && waiting.next_send <= now)?;
        self.retransmits += 1;
        waiting.rto = (waiting.rto * 2).min(MAX_RTO).max(waiting.rto);
        waiting.next_send = now + waiting.rto;
        Some(waiting.packet.clone())
    }

    /// Returns the time of the next retransmission or implied acknowledgement.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let consent = match self.channel_ack {
            ChannelAck::ImpliedFrom(at) => Some(at),
            ChannelAck::Unknown | ChannelAck::Taken => None,
        };
        self.next_retransmit().into_iter().chain(consent).min()
    }

    fn next_retransmit(&self) -> Option<Instant> {
        let may = self.is_dtls_connected && self.retransmits < MAX_RETRANSMITS;
        self.pending.iter().filter(|_| may).map(|waiting| waiting.next_send).min()
    }

    fn is_open_pending(&self) -> bool {
        self.pending
            .iter()
            .any(|waiting| matches!(waiting.expected_reply, ExpectedReply::SackForOpen(_)))
    }
}

impl ChannelAck {
    fn implied_now(self, now: Instant) -> ChannelAck {
        match self {
            ChannelAck::Unknown | ChannelAck::ImpliedFrom(_) => ChannelAck::ImpliedFrom(now),
            ChannelAck::Taken => ChannelAck::Taken,
        }
    }
}

/// Returns whether it is a DATA chunk of an application message.
fn is_user_data(chunk: &Chunk<'_>) -> bool {
    let data = DataChunk::parse(chunk).filter(|_| chunk.chunk_type == chunk_type::DATA);
    data.is_some_and(|data| data.ppid != ppid::DCEP)
}

/// Reply that ends the retransmission of an SCTP or DCEP handshake packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedReply {
    /// To our HEARTBEAT: anything.
    Any,
    /// To our INIT.
    InitAck,
    /// To our INIT ACK.
    CookieEcho,
    /// To our COOKIE ECHO.
    CookieAck,
    /// To our COOKIE ACK: any data, or a SACK.
    DataOrSack,
    /// To our OPEN (RFC 8832): a SACK for this TSN.
    SackForOpen(Tsn),
    /// To our ACK of the peer's OPEN: a SACK for this TSN.
    SackForAck(Tsn),
}

impl ExpectedReply {
    /// Returns the reply that an own chunk expects.
    pub(crate) fn for_chunk(chunk: &Chunk<'_>) -> Option<ExpectedReply> {
        match chunk.chunk_type {
            chunk_type::HEARTBEAT => Some(ExpectedReply::Any),
            chunk_type::INIT => Some(ExpectedReply::InitAck),
            chunk_type::INIT_ACK => Some(ExpectedReply::CookieEcho),
            chunk_type::COOKIE_ECHO => Some(ExpectedReply::CookieAck),
            chunk_type::COOKIE_ACK => Some(ExpectedReply::DataOrSack),
            chunk_type::DATA => match DataChunk::parse(chunk)? {
                DataChunk { ppid: ppid::DCEP, tsn, payload: [dcep::OPEN, ..], .. } => {
                    Some(ExpectedReply::SackForOpen(tsn))
                }
                DataChunk { ppid: ppid::DCEP, tsn, .. } => Some(ExpectedReply::SackForAck(tsn)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether a chunk of the peer is the reply, or belongs to a later step.
    pub(crate) fn is_satisfied_by(self, chunk: &Chunk<'_>) -> bool {
        if self == ExpectedReply::Any {
            return true;
        }
        let step = match chunk.chunk_type {
            chunk_type::ABORT | chunk_type::SHUTDOWN | chunk_type::SHUTDOWN_ACK => return true,
            chunk_type::INIT_ACK => 0,
            chunk_type::COOKIE_ECHO | chunk_type::COOKIE_ACK => 2,
            chunk_type::DATA | chunk_type::SACK | chunk_type::FORWARD_TSN => 3,
            _ => return false,
        };
        match self {
            ExpectedReply::Any | ExpectedReply::InitAck => true,
            ExpectedReply::CookieEcho | ExpectedReply::CookieAck => step >= 2,
            ExpectedReply::DataOrSack => step >= 3,
            ExpectedReply::SackForOpen(tsn) | ExpectedReply::SackForAck(tsn) => {
                chunk.chunk_type == chunk_type::SACK && is_acked(chunk, tsn)
            }
        }
    }
}

fn is_acked(chunk: &Chunk<'_>, tsn: Tsn) -> bool {
    let Some(sack) = SackChunk::parse(chunk) else { return false };
    tsn <= sack.cumulative_tsn || sack.gap_blocks().any(|(from, to)| from <= tsn && tsn <= to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{CommonHeader, PacketWriter, Tsn, dcep, flag};

    const MS: Duration = Duration::from_millis(1);

    fn packet(write: impl FnOnce(&mut PacketWriter)) -> Vec<u8> {
        let mut builder = PacketWriter::new(CommonHeader {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
        });
        write(&mut builder);
        builder.finish()
    }

    fn plain(kind: u8) -> Vec<u8> {
        packet(|builder| builder.write_chunk(kind, 0, &[&[0; 16]]))
    }

    fn data(protocol: u32, tsn: u32, first: u8) -> Vec<u8> {
        let (flags, tsn, payload) = (flag::BEGIN | flag::END, Tsn(tsn), &[first][..]);
        packet(|builder| {
            builder.write_data(&DataChunk { flags, tsn, stream_id: 1, ppid: protocol, payload })
        })
    }

    fn open(tsn: u32) -> Vec<u8> {
        data(ppid::DCEP, tsn, dcep::OPEN)
    }

    fn sack(cumulative: u32) -> Vec<u8> {
        packet(|builder| builder.write_sack(Tsn(cumulative), 9))
    }

    /// When packets go out again until so many milliseconds have passed.
    fn retransmitted(
        opening: &mut HandshakeRetransmit,
        from: Instant,
        until: Duration,
    ) -> Vec<(u128, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(at) = opening.next_timeout().filter(|at| *at <= from + until) {
            assert_eq!(opening.poll_packet(at - MS), None, "too soon");
            let packet = opening.poll_packet(at).expect("it asked to be woken");
            all.push(((at - from).as_millis(), packet));
        }
        all
    }

    fn connected_retransmit(now: Instant) -> HandshakeRetransmit {
        let mut opening = HandshakeRetransmit::new(Some(250 * MS));
        opening.on_dtls_connected(now);
        opening
    }

    #[test]
    fn what_nobody_answers_goes_out_again_and_again_within_bounds() {
        let now = Instant::now();
        let mut opening = connected_retransmit(now);
        opening.on_send(now, &plain(chunk_type::INIT));
        let times = retransmitted(&mut opening, now, 3_000 * MS);
        let expected = [250, 750, 1_750, 2_750].map(|at| (at, plain(chunk_type::INIT)));
        assert_eq!(times, expected);
        let all = times.len() + retransmitted(&mut opening, now, 1_000_000 * MS).len();
        assert_eq!(all, MAX_RETRANSMITS as usize);
        assert_eq!(opening.next_timeout(), None);
    }

    #[test]
    fn off_nothing_goes_out_again_but_a_heartbeat() {
        let now = Instant::now();
        let mut opening = HandshakeRetransmit::new(None);
        opening.on_dtls_connected(now);
        opening.on_send(now, &plain(chunk_type::INIT));
        assert_eq!((opening.next_timeout(), opening.poll_packet(now + 9_000 * MS)), (None, None));
        opening.on_send(now, &plain(chunk_type::HEARTBEAT));
        assert_eq!(opening.next_timeout(), Some(now + MAX_RTO), "nobody else would");
    }

    #[test]
    fn time_runs_from_the_end_of_the_dtls_handshake() {
        let now = Instant::now();
        let mut opening = HandshakeRetransmit::new(Some(250 * MS));
        opening.on_send(now, &plain(chunk_type::INIT));
        assert_eq!((opening.next_timeout(), opening.poll_packet(now + 9_000 * MS)), (None, None));
        opening.on_dtls_connected(now + 400 * MS);
        assert_eq!(opening.next_timeout(), Some(now + 650 * MS));
    }

    #[test]
    fn each_packet_waits_for_its_own_answer_or_for_what_comes_later() {
        let now = Instant::now();
        let heartbeat_ack = plain(chunk_type::HEARTBEAT_ACK);
        let any =
            [chunk_type::INIT_ACK, chunk_type::COOKIE_ECHO, chunk_type::COOKIE_ACK].map(plain);
        let [init_ack, cookie_echo, cookie_ack] = any;
        let theirs = data(ppid::BINARY, 900, 0);
        let cases = [
            (plain(chunk_type::INIT), vec![&cookie_echo, &cookie_ack, &init_ack], vec![]),
            (plain(chunk_type::INIT_ACK), vec![&cookie_echo], vec![&init_ack]),
            (plain(chunk_type::COOKIE_ECHO), vec![&cookie_ack, &theirs], vec![&init_ack]),
            (plain(chunk_type::COOKIE_ACK), vec![&theirs], vec![&init_ack, &cookie_echo]),
            (plain(chunk_type::HEARTBEAT), vec![&theirs, &init_ack, &heartbeat_ack], vec![]),
            (open(7), vec![], vec![&init_ack, &cookie_echo, &cookie_ack, &theirs]),
        ];
        for (ours, answers, others) in cases {
            for (reply, ends) in
                answers.iter().map(|a| (a, true)).chain(others.iter().map(|o| (o, false)))
            {
                let mut opening = connected_retransmit(now);
                opening.on_send(now, &ours);
                opening.on_recv(now, reply);
                assert_eq!(opening.next_timeout().is_none(), ends, "{ours:?} {reply:?}");
            }
        }
    }

    #[test]
    fn open_and_ack_wait_for_the_sack_that_covers_them() {
        let now = Instant::now();
        for ours in [open(7), data(ppid::DCEP, 7, dcep::ACK)] {
            let mut opening = connected_retransmit(now);
            opening.on_send(now, &ours);
            opening.on_recv(now, &sack(6));
            assert!(opening.next_retransmit().is_some());
            opening.on_recv(now, &sack(7));
            assert_eq!(opening.next_retransmit(), None);
            opening.on_send(now, &data(ppid::BINARY, 8, 0));
            assert_eq!(opening.next_retransmit(), None, "that is no concern of the opening");
        }
    }

    #[test]
    fn who_has_our_open_consents_a_little_later_and_once() {
        let now = Instant::now();
        let mut opening = connected_retransmit(now);
        opening.on_send(now, &open(7));
        opening.on_recv(now, &sack(6));
        assert!(!opening.take_implied_ack(now + 200 * MS));
        opening.on_recv(now, &sack(7));
        assert_eq!(opening.next_timeout(), Some(now + CHANNEL_ACK_GRACE));
        assert!(!opening.take_implied_ack(now + CHANNEL_ACK_GRACE - MS));
        assert!(opening.take_implied_ack(now + CHANNEL_ACK_GRACE));
        opening.on_recv(now, &sack(7));
        opening.on_recv(now, &data(ppid::BINARY, 900, 0));
        assert!(!opening.take_implied_ack(now + 9 * CHANNEL_ACK_GRACE));
        assert_eq!(opening.next_timeout(), None);
    }

    #[test]
    fn who_talks_on_our_channel_consents_at_once() {
        let now = Instant::now();
        for acked in [6, 7] {
            let mut opening = connected_retransmit(now);
            opening.on_recv(now, &data(ppid::BINARY, 900, 0));
            assert!(!opening.take_implied_ack(now), "there is no channel of ours");
            opening.on_send(now, &open(7));
            opening.on_recv(now, &sack(acked));
            opening.on_recv(now, &data(ppid::DCEP, 900, dcep::ACK));
            assert!(!opening.take_implied_ack(now), "those are words, for SCTP");
            opening.on_recv(now, &data(ppid::BINARY, 901, 0));
            assert!(opening.take_implied_ack(now));
        }
    }

    #[test]
    fn two_that_wait_go_out_in_their_order() {
        let now = Instant::now();
        let mut opening = connected_retransmit(now);
        let both = [plain(chunk_type::COOKIE_ACK), open(7)];
        both.iter().for_each(|packet| opening.on_send(now, packet));
        let again: Vec<_> = retransmitted(&mut opening, now, 300 * MS).into_iter().collect();
        assert_eq!(again, both.map(|packet| (250, packet)));
    }

    #[test]
    fn what_sctp_itself_repeats_is_kept_once() {
        let now = Instant::now();
        let mut opening = connected_retransmit(now);
        opening.on_send(now, &plain(chunk_type::INIT));
        opening.on_send(now + 200 * MS, &plain(chunk_type::INIT));
        assert_eq!(retransmitted(&mut opening, now, 700 * MS), [(450, plain(chunk_type::INIT))]);
    }

    #[test]
    fn an_end_ends_it() {
        let now = Instant::now();
        for end in [chunk_type::ABORT, chunk_type::SHUTDOWN, chunk_type::SHUTDOWN_ACK] {
            let mut opening = connected_retransmit(now);
            opening.on_send(now, &open(7));
            opening.on_recv(now, &plain(end));
            assert_eq!(opening.next_timeout(), None);
        }
    }
}
