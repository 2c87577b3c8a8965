//! Before the channel is open: learning, and keeping out what has no business here.

#[cfg(test)]
mod tests;

use std::time::Instant;

use log::debug;

use crate::sctp::Passage;
use crate::sctp::association::{Engaged, Local};
use crate::sctp::filter::{unasked, without_echoes};
use crate::sctp::packet::{
    Builder, Chunk, Data, HEADER, Header, Init, Sack, Tsn, chunks, dcep, flag, forward_tsn, kind,
    protocol,
};
use crate::sctp::quota::Held;
use crate::sctp::reassembly::Assembly;
use crate::sctp::receiver::{Offence, Receiver};
use crate::sctp::settings::Settings;
use crate::sdp::answer::InitChunks;
use crate::{Channels, Config};

/// INIT and COOKIE-ECHO chunks that a peer may send. An honest one repeats them only when they
/// are lost.
const HANDSHAKES: u32 = 32;
/// Gap blocks that a SACK may have. str0m's DTLS layer has no room for the answer to more.
const GAPS: usize = 256;
/// Both ends' port, where nobody says another (RFC 8841 §5.1).
const PORT: u16 = 5_000;

/// What the two ends of an association say of themselves.
#[derive(Debug)]
pub(super) struct Watch {
    settings: Settings,
    /// Of what we send, and of what the peer does.
    header: Option<Header>,
    theirs: Option<Header>,
    next: Option<Tsn>,
    stream: Option<u16>,
    peer: Peer,
    receiver: Option<Receiver>,
    held: Option<Held>,
    handshakes: u32,
    greeting: Greeting,
    twice: Twice,
}

impl Watch {
    pub(super) fn new(config: &Config) -> Watch {
        Watch {
            settings: Settings::of(config),
            header: None,
            theirs: None,
            next: None,
            stream: None,
            peer: Peer::Unknown,
            receiver: None,
            held: None,
            handshakes: 0,
            greeting: Greeting::default(),
            twice: Twice::default(),
        }
    }

    /// The plane for this peer, if all is known that it needs and the peer fits.
    pub(super) fn engage(&mut self, now: Instant, stream: u16) -> Option<Engaged> {
        let (peer, header, next) = (self.peer.init()?, self.header?, self.next?);
        if !peer.forwards {
            debug!("no FORWARD-TSN: this peer goes on as plain SCTP");
            return None;
        }
        let mut receiver = self.receiver.take()?;
        self.held = None;
        if receiver.highest() != peer.first.minus(1) {
            // SCTP has not acknowledged all of it yet, and will not be heard any more.
            receiver.repeat();
        }
        let cumulative = receiver.contiguous_from(peer.first.minus(1));
        let local = Local::new(next, cumulative);
        Some(Engaged::new(now, self.settings, header, stream, receiver, local))
    }

    /// What our packets begin with, once SCTP has sent one.
    pub(super) fn header(&self) -> Option<Header> {
        self.header
    }

    /// From now on an empty text of the other side is a sign of life.
    pub(super) fn expect_signs(&mut self) {
        self.settings.signs = true;
    }

    pub(super) fn expects_signs(&self) -> bool {
        self.settings.signs
    }

    /// Learns of both sides' INIT chunks, which went along with offer and answer. One that
    /// cannot be read is for SCTP to refuse.
    pub(super) fn introduce(&mut self, inits: &InitChunks) {
        let Some((ours, theirs)) = init_of(&inits.local).zip(init_of(&inits.remote)) else {
            return;
        };
        self.next = Some(ours.first);
        self.begin(theirs.first);
        self.peer = Peer::Settled(theirs);
        let header = Header { source: PORT, destination: PORT, tag: theirs.tag };
        self.header = Some(header);
        self.greeting = Greeting::Planned(header);
    }

    /// Prepares a packet that the other side answers, unless SCTP's own handshake does that.
    pub(super) fn greet(&mut self) {
        self.greeting.prepare();
    }

    /// A packet of ours for DTLS.
    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.greeting.packet()
    }

    /// Learns from what SCTP sends.
    pub(super) fn outbound(&mut self, packet: &[u8]) {
        for chunk in chunks(packet) {
            match chunk.kind {
                kind::INIT | kind::INIT_ACK => {
                    self.next = Init::parse(&chunk).map(|init| init.first).or(self.next);
                }
                kind::DATA => self.sends(&chunk),
                _ => {}
            }
            // The tag of an INIT is none yet (RFC 9260 §8.5.1).
            if chunk.kind != kind::INIT {
                self.header = Header::parse(packet);
            }
        }
    }

    /// The packet with what came twice in its SACK, if there is both.
    pub(super) fn tell(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.twice.tell(packet)
    }

    /// The peer's acknowledgement of our channel (RFC 8832 §5.2) as it must have sent it, if
    /// nothing of its data has come yet that could be it: it is the first that a peer sends.
    pub(super) fn acknowledgement(&self) -> Option<Vec<u8>> {
        let (peer, header, stream) = (self.peer.init()?, self.theirs?, self.stream?);
        let before = peer.first.minus(1);
        if self.receiver.as_ref()?.contiguous_from(before) != before {
            return None;
        }
        let (flags, tsn, protocol) = (flag::BEGIN | flag::END, peer.first, protocol::DCEP);
        let mut builder = Builder::new(header);
        builder.data(&Data { flags, tsn, stream, protocol, payload: &[dcep::ACK] });
        Some(builder.finish())
    }

    /// Learns from what the peer sends, and tells what no honest one does.
    pub(super) fn inbound(&mut self, packet: &[u8]) -> Result<Passage, &'static str> {
        self.theirs = Header::parse(packet).or(self.theirs);
        for chunk in chunks(packet) {
            match chunk.kind {
                // Alone in its packet (RFC 9260 §4.3).
                kind::INIT | kind::INIT_ACK => return self.meets(&chunk),
                kind::COOKIE_ECHO => self.is_echoed()?,
                kind::DATA => self.takes(&chunk)?,
                kind::SACK => modest(&chunk)?,
                kind::FORWARD_TSN => self.skips(&chunk)?,
                _ => {}
            }
        }
        Ok(match self.settings.deaf {
            true => unasked(packet),
            false => without_echoes(packet),
        })
    }

    /// The peer begins with this TSN.
    fn begin(&mut self, first: Tsn) {
        let before = first.minus(1);
        let Settings { message_bytes, partial_messages, .. } = self.settings;
        let assembly = Assembly::new(message_bytes, partial_messages);
        self.receiver = Some(Receiver::new(before, assembly));
        self.resume(before);
    }

    /// SCTP has everything up to there.
    pub(super) fn resume(&mut self, before: Tsn) {
        self.held = Some(Held::new(self.settings.room, before));
    }

    fn sends(&mut self, chunk: &Chunk<'_>) {
        let Some(data) = Data::parse(chunk) else { return };
        let after = data.tsn.plus(1);
        self.next = Some(self.next.map_or(after, |next| next.max(after)));
        self.stream.get_or_insert(data.stream);
    }

    fn meets(&mut self, chunk: &Chunk<'_>) -> Result<Passage, &'static str> {
        self.count_handshake()?;
        let before = match self.peer {
            Peer::Settled(_) => return Ok(Passage::Swallow),
            Peer::Unknown | Peer::Proposed(_) => self.peer.init(),
        };
        let Some(init) = Init::parse(chunk) else { return Ok(Passage::Pass) };
        if before != Some(init) {
            self.begin(init.first);
        }
        self.peer = match chunk.kind {
            kind::INIT_ACK => Peer::Settled(init),
            _ => Peer::Proposed(init),
        };
        Ok(Passage::Pass)
    }

    fn is_echoed(&mut self) -> Result<(), &'static str> {
        self.peer = self.peer.settled();
        self.count_handshake()
    }

    fn takes(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(data) = Data::parse(chunk) else { return Ok(()) };
        let ours = *self.stream.get_or_insert(data.stream);
        if self.settings.channels == Channels::One && data.stream != ours {
            return Err("one channel is all a peer may have");
        }
        if let Some(receiver) = &mut self.receiver {
            let new = receiver.note(data.tsn).map_err(Offence::words)?;
            if !new && self.settings.witness {
                self.twice.note(data.tsn);
            }
        }
        self.held.as_mut().map_or(Ok(()), |held| held.insert(&data))
    }

    fn skips(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        let Some(tsn) = forward_tsn(chunk) else { return Ok(()) };
        if let Some(receiver) = &mut self.receiver {
            receiver.on_forward(tsn).map_err(Offence::words)?;
        }
        if let Some(held) = &mut self.held {
            held.forward(tsn);
        }
        Ok(())
    }

    fn count_handshake(&mut self) -> Result<(), &'static str> {
        self.handshakes += 1;
        (self.handshakes <= HANDSHAKES).then_some(()).ok_or("too many SCTP handshakes")
    }
}

/// What a lone INIT chunk says.
fn init_of(chunk: &[u8]) -> Option<Init> {
    let packet = [&[0; HEADER], chunk].concat();
    chunks(&packet).next().filter(|chunk| chunk.kind == kind::INIT).and_then(|c| Init::parse(&c))
}

/// The first TSN that a packet's INIT or INIT-ACK announces.
pub(super) fn first_tsn(packet: &[u8]) -> Option<Tsn> {
    let mut inits = chunks(packet).filter(|c| matches!(c.kind, kind::INIT | kind::INIT_ACK));
    inits.next().and_then(|chunk| Init::parse(&chunk)).map(|init| init.first)
}

fn modest(chunk: &Chunk<'_>) -> Result<(), &'static str> {
    match Sack::parse(chunk) {
        Some(sack) if sack.gap_count() > GAPS => Err("a SACK with too many gap blocks"),
        _ => Ok(()),
    }
}

/// SCTP's own handshake makes the other side speak. Where that went along with offer and
/// answer, a HEARTBEAT does, once DTLS is up.
///
/// ```text
///   Needless --introduced--> Planned --prepare--> Ready --packet--> Needless
/// ```
#[derive(Debug, Default)]
pub(crate) enum Greeting {
    #[default]
    Needless,
    Planned(Header),
    Ready(Vec<u8>),
}

impl Greeting {
    /// DTLS is up.
    pub(crate) fn prepare(&mut self) {
        if let Greeting::Planned(header) = *self {
            let mut builder = Builder::new(header);
            builder.heartbeat(b"greeting");
            *self = Greeting::Ready(builder.finish());
        }
    }

    pub(crate) fn packet(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(self) {
            Greeting::Ready(packet) => Some(packet),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// What the peer says of itself.
///
/// ```text
///   Unknown --INIT--> Proposed --COOKIE ECHO--> Settled
///      '--------------- INIT ACK -----------------^
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Unknown,
    /// Another INIT may still say something else.
    Proposed(Init),
    /// For good. A browser that begins the association too, or repeats what seemed lost, may
    /// say more; the library would close the association for that (RFC 9260 §5.2.2 would not).
    Settled(Init),
}

impl Peer {
    pub(crate) fn init(self) -> Option<Init> {
        match self {
            Peer::Unknown => None,
            Peer::Proposed(init) | Peer::Settled(init) => Some(init),
        }
    }

    pub(crate) fn settled(self) -> Peer {
        self.init().map_or(Peer::Unknown, Peer::Settled)
    }
}

/// What a SACK tells of at most.
const MOST: usize = 64;

/// What came twice and was not told of; the library itself tells of nothing.
#[derive(Debug, Default)]
pub(crate) struct Twice {
    tsns: Vec<Tsn>,
}

impl Twice {
    pub(crate) fn note(&mut self, tsn: Tsn) {
        if self.tsns.len() < MOST {
            self.tsns.push(tsn);
        }
    }

    /// The packet with all of it in its SACK (RFC 9260 §3.3.4), if there is both.
    pub(crate) fn tell(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        const COUNT: std::ops::Range<usize> = 10..12;
        if self.tsns.is_empty() || !chunks(packet).any(|chunk| chunk.kind == kind::SACK) {
            return None;
        }
        let mut builder = Builder::new(Header::parse(packet)?);
        for chunk in chunks(packet) {
            let mut value = chunk.value.to_vec();
            if chunk.kind == kind::SACK {
                let count = self.tsns.len() as u16;
                value.get_mut(COUNT)?.copy_from_slice(&count.to_be_bytes());
                value.extend(self.tsns.drain(..).flat_map(|tsn| tsn.0.to_be_bytes()));
            }
            builder.chunk(chunk.kind, chunk.flags, &[&value]);
        }
        Some(builder.finish())
    }
}
