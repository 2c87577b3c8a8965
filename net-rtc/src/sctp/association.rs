//! The plane at work: both halves, and what passes between SCTP and DTLS.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::Repair;
use crate::congestion::Pace;
use crate::congestion::ack::{Care, Told};
use crate::sctp::Passage;
use crate::sctp::fallback::{CatchUp, Shift};
use crate::sctp::packet::{
    Builder, Chunk, DATA_HEADER, Data, Header, Sack, Tsn, chunks, forward_tsn, kind, protocol,
    u16_at,
};
use crate::sctp::packet_builder::{Draft, Piece, Wish, pieces};
use crate::sctp::receiver::{Brake, Offence, Receiver, Reminder};
use crate::sctp::redundancy::Copies;
use crate::sctp::sender::Sender;
use crate::sctp::settings::Settings;
use crate::stats::PathMonitor;

/// RE-CONFIG chunks that a peer may send. Closing the one channel takes two.
const RECONFIGS: u32 = 32;

#[derive(Debug)]
pub(super) struct Engaged {
    header: Header,
    stream: u16,
    sender: Sender,
    receiver: Receiver,
    brake: Brake,
    reminder: Reminder,
    pace: Pace,
    copies: Copies,
    repair: Repair,
    signs: bool,
    local: Local,
    /// Messages for the next packets: as many as there was room for.
    queue: Vec<(Bytes, Wish)>,
    /// Pieces of those that follow, because too many at once would be lost on arrival.
    following: VecDeque<Piece>,
    /// When they go on.
    follow_at: Option<Instant>,
    packets: VecDeque<Vec<u8>>,
    received: VecDeque<Bytes>,
    reconfigs: u32,
    packets_lost: u64,
    /// Whether more would be sent if the pace allowed it.
    is_held: bool,
}

/// What the library's SCTP believes: the world as it was when the plane took over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    /// The TSN that it would give next.
    next: Tsn,
    /// Up to where it has the peer's data.
    cumulative: Tsn,
    /// Whether it has heard that all it sent arrived.
    acked: bool,
}

impl Local {
    pub(super) fn new(next: Tsn, cumulative: Tsn) -> Local {
        Local { next, cumulative, acked: false }
    }
}

impl Offence {
    pub(super) fn words(self) -> &'static str {
        match self {
            Offence::Jump => "a TSN far beyond the last",
            Offence::Endless => "a message that is too long, or in too many pieces",
        }
    }
}

impl Engaged {
    pub(super) fn new(
        now: Instant,
        settings: Settings,
        header: Header,
        stream: u16,
        receiver: Receiver,
        local: Local,
    ) -> Engaged {
        Engaged {
            header,
            stream,
            sender: Sender::new(local.next),
            receiver,
            brake: Brake::new(now, settings.least_rate, settings.most_rate),
            reminder: Reminder::new(now),
            pace: Pace::new(now, settings),
            copies: Copies::default(),
            repair: settings.repair,
            signs: settings.signs,
            local,
            queue: Vec::new(),
            following: VecDeque::new(),
            follow_at: None,
            packets: VecDeque::new(),
            received: VecDeque::new(),
            reconfigs: 0,
            packets_lost: 0,
            is_held: false,
        }
    }

    pub(super) fn room(&mut self, now: Instant) -> Result<(), Instant> {
        let waiting: usize = self.queue.iter().map(|(bytes, _)| bytes.len() + DATA_HEADER).sum();
        let room = self.follow_at.map_or_else(|| self.pace.room(now, waiting), Err);
        self.is_held = room.is_err();
        room
    }

    pub(super) fn send(&mut self, message: Bytes, repair: Option<bool>) {
        self.queue.push((message, Wish::of(self.repair, repair)));
    }

    /// Puts messages, and what may or must be said besides, into packets; tells whether any
    /// packet waits.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        let mut told = Told::default();
        self.sender.give_up(now, &mut told);
        self.told(now, told);
        let mut draft = self.draft();
        for (message, wish) in std::mem::take(&mut self.queue) {
            self.following.extend(pieces(&message, wish, self.sender.path_mtu.size()));
        }
        while self.may_follow(now, &draft)
            && let Some(piece) = self.following.pop_front()
        {
            draft = self.add(now, draft, piece);
        }
        let goes_on = || self.pace.follows(now).err().unwrap_or(now);
        self.follow_at = (!self.following.is_empty()).then(goes_on);
        if draft.is_empty() {
            self.control(now, &mut draft.builder, false);
        }
        self.finish(now, draft);
        self.copies.rest(now);
        self.probe_length(now);
        !self.packets.is_empty()
    }

    /// Shows what is known of the path.
    pub(super) fn show(&self, now: Instant, gauge: &PathMonitor) {
        let bits = |bytes: f64| (bytes * 8.0) as u64;
        let (rtt, least) = (self.sender.rtt().of_path(), self.pace.least_rtt());
        let (rate, sending) = (self.pace.rate(now), self.pace.sending(now));
        gauge.update(rtt, least, self.sender.weather().loss(), bits(rate), bits(sending));
        gauge.set_packets_lost(self.packets_lost);
    }

    /// The peer is reached by another path.
    pub(super) fn moved(&mut self) {
        self.sender.path_mtu.restart();
    }

    /// The peer is reached again, whatever it did not answer before.
    pub(super) fn reached(&mut self) {
        self.pace.reached();
    }

    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    pub(super) fn received(&mut self) -> Option<Bytes> {
        self.received.pop_front()
    }

    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        let probe = self.sender.path_mtu.wake(now, self.sender.rtt());
        let wakes = [self.sender.wake(), self.receiver.wake(now), self.follow_at, probe];
        wakes.into_iter().flatten().min()
    }

    /// Whether the peer does not do what the plane relies on.
    pub(super) fn is_misfit(&self, now: Instant) -> bool {
        self.sender.is_stuck(now)
    }

    /// By how much the wire is ahead of what SCTP believes.
    pub(super) fn ahead(&self) -> Shift {
        Shift {
            ours: self.sender.next().since(self.local.next) as u32,
            theirs: self.receiver.highest().since(self.local.cumulative) as u32,
        }
    }

    /// The last TSN that the peer has sent.
    pub(super) fn heard(&self) -> Tsn {
        self.receiver.highest()
    }

    /// What must be said for SCTP to go on.
    pub(super) fn catch_up(&self, now: Instant) -> CatchUp {
        CatchUp::new(now, self.header, self.sender.next().minus(1))
    }

    /// What the library's SCTP sends: its SACKs and FORWARD-TSNs are ours to send now.
    pub(super) fn outbound(&self, packet: &[u8]) -> Passage {
        let stays = |chunk: &Chunk<'_>| !matches!(chunk.kind, kind::SACK | kind::FORWARD_TSN);
        if chunks(packet).all(|chunk| stays(&chunk)) {
            return Passage::Pass;
        }
        let mut builder = Builder::new(self.header);
        chunks(packet).filter(stays).for_each(|chunk| builder.copy(&chunk));
        Passage::of(builder)
    }

    /// What the peer sends: data and acknowledgements end here, the rest goes to SCTP.
    pub(super) fn inbound(&mut self, now: Instant, packet: &[u8]) -> Result<Passage, &'static str> {
        let header = Header::parse(packet).ok_or("a packet without a header")?;
        let mut builder = Builder::new(header);
        let (mut has_data, mut speaks) = (false, false);
        for chunk in chunks(packet) {
            has_data |= chunk.kind == kind::DATA;
            speaks |= matches!(chunk.kind, kind::DATA | kind::FORWARD_TSN);
            self.take(now, &chunk, &mut builder)?;
        }
        if has_data {
            let news = self.receiver.packet_done(now);
            self.brake.arrived(now, news, self.receiver.highest());
        }
        if self.reminder.heard(now, speaks) {
            self.receiver.repeat();
        }
        Ok(Passage::of(builder))
    }

    fn take(
        &mut self,
        now: Instant,
        chunk: &Chunk<'_>,
        on: &mut Builder,
    ) -> Result<(), &'static str> {
        match chunk.kind {
            kind::DATA => self.on_data(chunk)?,
            kind::SACK => self.on_sack(now, chunk, on)?,
            kind::FORWARD_TSN => self.on_forward(now, chunk)?,
            kind::RE_CONFIG => self.on_reconfig(chunk, on)?,
            // The answer to a probe, or to a greeting.
            kind::HEARTBEAT_ACK => {
                let told = self.sender.on_heartbeat_ack(now, chunk);
                self.told(now, told);
            }
            // It says up to where the peer has our data, which SCTP knows nothing of.
            kind::SHUTDOWN => on.chunk(chunk.kind, 0, &[&self.local.next.minus(1).0.to_be_bytes()]),
            // Late: the library would close the association for it (RFC 9260 §5.2.2 would not).
            kind::INIT => self.count_reconfig()?,
            kind::COOKIE_ECHO => self.count_reconfig().map(|()| pass(chunk, on))?,
            // The library drops packets with chunks that it does not know.
            kind::PAD => {}
            _ => pass(chunk, on),
        }
        Ok(())
    }

    fn on_data(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(data) = Data::parse(chunk) else { return Ok(()) };
        if data.stream != self.stream {
            return Err("one channel is all a peer may have");
        }
        let message = self.receiver.on_data(&data).map_err(Offence::words)?;
        let is_sign = self.signs && data.protocol == protocol::STRING_EMPTY;
        self.received.extend(message.filter(|_| !is_sign));
        Ok(())
    }

    fn on_sack(
        &mut self,
        now: Instant,
        chunk: &Chunk<'_>,
        on: &mut Builder,
    ) -> Result<(), &'static str> {
        let Some(sack) = Sack::parse(chunk) else { return Ok(()) };
        let before = self.local.next.minus(1);
        if !self.local.acked {
            // SCTP still waits to hear of what it sent itself, and must hear of no more.
            let known = if sack.cumulative < before { sack.cumulative } else { before };
            self.local.acked = known == before;
            on.sack(known, sack.window);
        }
        let told = self.sender.on_sack(now, &sack).map_err(|_| "a SACK for data never sent")?;
        self.told(now, told);
        Ok(())
    }

    fn on_forward(&mut self, now: Instant, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(tsn) = forward_tsn(chunk) else { return Ok(()) };
        let is_new = self.receiver.on_forward(tsn).map_err(Offence::words)?;
        self.receiver.forward_done(now, is_new);
        Ok(())
    }

    /// A request to reset a stream waits until all data up to a TSN is there (RFC 6525 §5.2.2);
    /// SCTP must believe that it is.
    fn on_reconfig(&mut self, chunk: &Chunk<'_>, on: &mut Builder) -> Result<(), &'static str> {
        const OUTGOING_RESET: u16 = 13;
        /// Type, length, request and response number, then the sender's last TSN.
        const LAST_TSN: std::ops::Range<usize> = 12..16;
        self.count_reconfig()?;
        let mut value = chunk.value.to_vec();
        if u16_at(&value, 0) == Some(OUTGOING_RESET)
            && let Some(last) = value.get_mut(LAST_TSN)
        {
            last.copy_from_slice(&self.local.cumulative.0.to_be_bytes());
        }
        on.chunk(chunk.kind, chunk.flags, &[&value]);
        Ok(())
    }

    fn count_reconfig(&mut self) -> Result<(), &'static str> {
        self.reconfigs += 1;
        (self.reconfigs <= RECONFIGS).then_some(()).ok_or("too many reconfigurations")
    }

    fn told(&mut self, now: Instant, told: Told) {
        self.packets_lost += u64::from(told.lost);
        if told != Told::default() {
            let told = Told { spread: self.sender.weather().spread(), ..told };
            self.pace.told(now, &told, self.sender.rtt());
        }
    }

    /// A packet in the making, as long as the path takes it.
    fn draft(&self) -> Draft {
        Draft::new(self.header, self.sender.path_mtu.size())
    }

    /// Finds out how long a packet may be.
    fn probe_length(&mut self, now: Instant) {
        let path_mtu = &mut self.sender.path_mtu;
        if !path_mtu.is_due(now) {
            return;
        }
        if let Err(until) = self.pace.room(now, 0) {
            return path_mtu.postpone(now, until);
        }
        for packet in path_mtu.probes(now, self.header) {
            self.pace.probed(packet.len());
            self.packets.push_back(packet);
        }
    }

    /// Whether the next piece may leave now: in the packet in the making, or in one more.
    fn may_follow(&mut self, now: Instant, draft: &Draft) -> bool {
        let fits = self.following.front().is_some_and(|piece| piece.size() <= draft.room());
        (fits && !draft.is_empty()) || self.pace.follows(now).is_ok()
    }

    /// Puts a piece into this packet, or the next; gives the one that has room left.
    fn add(&mut self, now: Instant, mut draft: Draft, piece: Piece) -> Draft {
        if draft.is_empty() {
            self.control(now, &mut draft.builder, true);
        }
        if piece.size() > draft.room() {
            self.finish(now, draft);
            draft = self.draft();
        }
        let care = if piece.wish == Wish::Never { Care::Once } else { Care::Kept };
        draft.push(self.sender.send(now, piece.size(), care, piece.ends()), piece);
        draft
    }

    /// Adds what is due to be said, or, in a packet that leaves anyway, what may be said.
    fn control(&mut self, now: Instant, builder: &mut Builder, riding: bool) {
        if let Some(tsn) = self.receiver.acknowledge(now, riding) {
            builder.sack(tsn, self.brake.window(now, self.sender.rtt()));
        }
        if let Some(tsn) = self.sender.forward(now, riding) {
            builder.forward_tsn(tsn);
        }
    }

    /// The TSN that we would give next, and the peer's highest that arrived.
    #[cfg(any(test, feature = "odd"))]
    pub(super) fn tsns(&self) -> (Tsn, Tsn) {
        (self.sender.next(), self.receiver.highest())
    }

    fn finish(&mut self, now: Instant, mut draft: Draft) {
        if draft.is_empty() {
            return;
        }
        if draft.has_data() {
            let fresh = draft.size();
            let copies = self.ride_again(now, &mut draft);
            let packet = self.sender.packet();
            let asks = self.sender.end_packet(now, draft.size(), copies);
            for (tsn, piece) in draft.write(self.stream, asks) {
                if piece.wish != Wish::Never {
                    self.copies.keep(now, packet, tsn, piece);
                }
            }
            // What only answers the peer is no load of ours, and has no answer that it waits for.
            self.pace.sent(now, fresh, draft.builder.len());
        }
        self.packets.push_back(draft.builder.finish());
    }

    /// Writes chunks that may have been lost once more, as far as packet and rate have room;
    /// tells whether there were any.
    fn ride_again(&mut self, now: Instant, draft: &mut Draft) -> bool {
        if self.is_held {
            return false;
        }
        let mut room = draft.room().min(self.pace.spare().saturating_sub(draft.size()));
        let before = draft.builder.len();
        let packet = self.sender.packet();
        for (tsn, piece) in self.copies.of(now, packet, self.sender.weather()) {
            if piece.size() <= room && self.sender.copy(now, tsn) {
                room -= piece.size();
                piece.write(tsn, self.stream, 0, &mut draft.builder);
            }
        }
        draft.builder.len() > before
    }
}

fn pass(chunk: &Chunk<'_>, on: &mut Builder) {
    on.chunk(chunk.kind, chunk.flags, &[chunk.value]);
}
