//! Before the channel is open: learning, and keeping out what has no business here.

use std::time::Instant;

use log::debug;

use super::Passage;
use super::engaged::{Engaged, Local};
use super::packet::{
    Builder, Chunk, Data, HEADER, Header, Init, Sack, chunks, dcep, flag, forward_tsn, kind,
    protocol,
};
use super::receiver::{Offence, Receiver};
use super::settings::Settings;
use super::tsn::Tsn;
use crate::snap::Inits;
use crate::{Channels, Config};

/// INIT and COOKIE-ECHO chunks that a peer may send. An honest one repeats them only when they
/// are lost.
const HANDSHAKES: u32 = 32;
/// Gap blocks that a SACK may have. str0m's DTLS layer has no room for the answer to more.
const GAPS: usize = 256;
/// Both ends' port, where nobody says another (RFC 8841 §5.1).
const PORT: u16 = 5_000;
/// What a SACK tells of at most that came twice.
const TWICE: usize = 64;

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
    handshakes: u32,
    /// Whether the SCTP handshake went along with offer and answer.
    is_introduced: bool,
    greeting: Option<Vec<u8>>,
    /// What came twice and was not told of.
    twice: Vec<Tsn>,
}

/// What the peer says of itself.
///
/// ```text
///   Unknown --INIT--> Proposed --COOKIE ECHO--> Settled
///      '--------------- INIT ACK -----------------^
/// ```
#[derive(Clone, Copy, Debug)]
enum Peer {
    Unknown,
    /// Another INIT may still say something else.
    Proposed(Init),
    /// For good. A browser that begins the association too, or repeats what seemed lost, may
    /// say more; the library would close the association for that (RFC 9260 §5.2.2 would not).
    Settled(Init),
}

impl Peer {
    fn init(self) -> Option<Init> {
        match self {
            Peer::Unknown => None,
            Peer::Proposed(init) | Peer::Settled(init) => Some(init),
        }
    }

    fn settled(self) -> Peer {
        self.init().map_or(Peer::Unknown, Peer::Settled)
    }
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
            handshakes: 0,
            is_introduced: false,
            greeting: None,
            twice: Vec::new(),
        }
    }

    /// The plane for this peer, if all is known that it needs and the peer fits.
    pub(super) fn engage(&mut self, now: Instant, stream: u16) -> Option<Engaged> {
        let (peer, header, next) = (self.peer.init()?, self.header?, self.next?);
        if !peer.forwards {
            debug!("no FORWARD-TSN: this peer goes on as plain SCTP");
            return None;
        }
        let receiver = self.receiver.take()?;
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
    pub(super) fn introduce(&mut self, inits: &Inits) {
        let Some((ours, theirs)) = init_of(&inits.ours).zip(init_of(&inits.theirs)) else { return };
        self.next = Some(ours.first);
        self.receiver = Some(Receiver::new(theirs.first.minus(1), self.settings.message_bytes));
        self.peer = Peer::Settled(theirs);
        self.header = Some(Header { source: PORT, destination: PORT, tag: theirs.tag });
        self.is_introduced = true;
    }

    /// Prepares a packet that the other side answers, unless SCTP's own handshake does that.
    pub(super) fn greet(&mut self) {
        if self.is_introduced
            && let Some(header) = self.header
        {
            let mut builder = Builder::new(header);
            builder.heartbeat(b"greeting");
            self.greeting = Some(builder.finish());
        }
    }

    /// A packet of ours for DTLS.
    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.greeting.take()
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
        const COUNT: std::ops::Range<usize> = 10..12;
        if self.twice.is_empty() || !chunks(packet).any(|chunk| chunk.kind == kind::SACK) {
            return None;
        }
        let mut builder = Builder::new(Header::parse(packet)?);
        for chunk in chunks(packet) {
            let mut value = chunk.value.to_vec();
            if chunk.kind == kind::SACK {
                // The library itself tells of none.
                let count = self.twice.len() as u16;
                value.get_mut(COUNT)?.copy_from_slice(&count.to_be_bytes());
                value.extend(self.twice.drain(..).flat_map(|tsn| tsn.0.to_be_bytes()));
            }
            builder.chunk(chunk.kind, chunk.flags, &[&value]);
        }
        Some(builder.finish())
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
            self.receiver = Some(Receiver::new(init.first.minus(1), self.settings.message_bytes));
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
            if !new && self.settings.witness && self.twice.len() < TWICE {
                self.twice.push(data.tsn);
            }
        }
        Ok(())
    }

    fn skips(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        match (forward_tsn(chunk), &mut self.receiver) {
            (Some(tsn), Some(receiver)) => receiver.on_forward(tsn).map_err(Offence::words),
            _ => Ok(()),
        }
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

/// str0m sends nothing for an empty message. So for one the peer writes a byte of *text*,
/// which we never send otherwise, and here that becomes the empty binary message of
/// RFC 8831 §6.6.
pub(super) fn text_to_empty(packet: &[u8]) -> Passage {
    let is_text = |data: &Data<'_>| data.protocol == protocol::STRING;
    if !chunks(packet).any(|chunk| data_of(&chunk).is_some_and(|data| is_text(&data))) {
        return Passage::Pass;
    }
    let Some(header) = Header::parse(packet) else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet) {
        match data_of(&chunk) {
            Some(data) if is_text(&data) => {
                builder.data(&Data { protocol: protocol::BINARY_EMPTY, ..data });
            }
            _ => builder.chunk(chunk.kind, chunk.flags, &[chunk.value]),
        }
    }
    Passage::Replace(builder.finish())
}

/// The packet without the wish to be acknowledged at once (RFC 7053).
fn unasked(packet: &[u8]) -> Passage {
    let Some(header) = Header::parse(packet) else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet) {
        let wish = if chunk.kind == kind::DATA { flag::IMMEDIATE } else { 0 };
        builder.chunk(chunk.kind, chunk.flags & !wish, &[chunk.value]);
    }
    Passage::Replace(builder.finish())
}

/// The packet without answers to greetings, which the library does not know of.
fn without_echoes(packet: &[u8]) -> Passage {
    let is_echo = |chunk: &Chunk<'_>| chunk.kind == kind::HEARTBEAT_ACK;
    let header = Header::parse(packet).filter(|_| chunks(packet).any(|chunk| is_echo(&chunk)));
    let Some(header) = header else { return Passage::Pass };
    let mut builder = Builder::new(header);
    for chunk in chunks(packet).filter(|chunk| !is_echo(chunk)) {
        builder.chunk(chunk.kind, chunk.flags, &[chunk.value]);
    }
    if builder.is_empty() { Passage::Swallow } else { Passage::Replace(builder.finish()) }
}

fn data_of<'a>(chunk: &Chunk<'a>) -> Option<Data<'a>> {
    (chunk.kind == kind::DATA).then(|| Data::parse(chunk)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    fn packet(protocols: &[u32]) -> Vec<u8> {
        let mut builder = Builder::new(HEADER);
        builder.sack(Tsn(1), 2);
        for (index, protocol) in protocols.iter().enumerate() {
            let (tsn, payload) = (Tsn(index as u32), &b"x"[..]);
            let flags = flag::BEGIN | flag::END | flag::UNORDERED;
            builder.data(&Data { flags, tsn, stream: 0, protocol: *protocol, payload });
        }
        builder.finish()
    }

    #[test]
    fn text_becomes_empty_and_the_rest_stays() {
        let expected = Passage::Replace(packet(&[protocol::BINARY, protocol::BINARY_EMPTY]));
        assert_eq!(text_to_empty(&packet(&[protocol::BINARY, protocol::STRING])), expected);
        assert_eq!(text_to_empty(&packet(&[protocol::BINARY, 50])), Passage::Pass);
        assert_eq!(text_to_empty(&[]), Passage::Pass);
    }

    #[test]
    fn the_deaf_hear_no_wish() {
        let with = |more: u8| {
            let mut builder = Builder::new(HEADER);
            builder.sack(Tsn(1), 2);
            let (tsn, payload, protocol) = (Tsn(1), &b"x"[..], protocol::BINARY);
            let flags = flag::BEGIN | flag::END | more;
            builder.data(&Data { flags, tsn, stream: 0, protocol, payload });
            builder.finish()
        };
        let mut config = Config::new(Vec::new());
        let pass = Watch::new(&config).inbound(&with(flag::IMMEDIATE));
        assert_eq!(pass, Ok(Passage::Pass));
        config.deaf = true;
        let heard = Watch::new(&config).inbound(&with(flag::IMMEDIATE));
        assert_eq!(heard, Ok(Passage::Replace(with(0))));
    }

    #[test]
    fn a_witness_tells_of_what_came_twice_once() {
        let data = packet(&[protocol::BINARY, protocol::BINARY]);
        let mut builder = Builder::new(HEADER);
        // The first TSN is 0.
        builder.chunk(kind::INIT, 0, &[&[0; 16]]);
        let init = builder.finish();
        for witness in [false, true] {
            let mut watch = Watch::new(&Config { witness, ..Config::new(Vec::new()) });
            for inbound in [&init, &data, &data] {
                assert_eq!(watch.inbound(inbound), Ok(Passage::Pass));
            }
            let told = watch.tell(&packet(&[])).unwrap_or_else(|| packet(&[]));
            let sack = chunks(&told).next().unwrap();
            let twice: Vec<_> = Sack::parse(&sack).unwrap().duplicates().collect();
            let expected = if witness { vec![Tsn(0), Tsn(1)] } else { Vec::new() };
            assert_eq!(twice, expected);
            assert_eq!(watch.tell(&packet(&[])), None);
        }
    }

    #[test]
    fn a_second_stream_is_an_offence_unless_asked_for() {
        let on = |stream| {
            let mut builder = Builder::new(HEADER);
            let (tsn, payload, protocol) = (Tsn(1), &b"x"[..], protocol::BINARY);
            builder.data(&Data { flags: 7, tsn, stream, protocol, payload });
            builder.finish()
        };
        let mut config = Config::new(Vec::new());
        let mut watch = Watch::new(&config);
        watch.outbound(&on(1));
        assert_eq!(watch.inbound(&on(1)), Ok(Passage::Pass));
        assert!(watch.inbound(&on(3)).is_err());
        config.channels = Channels::Several;
        let mut watch = Watch::new(&config);
        watch.outbound(&on(1));
        assert_eq!(watch.inbound(&on(3)), Ok(Passage::Pass));
    }

    /// An INIT or an INIT ACK whose sender begins with this TSN.
    fn init(kind: u8, first: u32) -> Vec<u8> {
        let mut builder = Builder::new(HEADER);
        builder.chunk(kind, 0, &[&[0; 12], &first.to_be_bytes()]);
        builder.finish()
    }

    #[test]
    fn what_the_library_goes_by_is_what_counts() {
        let mut watch = Watch::new(&Config::new(Vec::new()));
        for (kind, first, passage, counts) in [
            (kind::INIT, 7, Passage::Pass, 7),
            (kind::INIT, 8, Passage::Pass, 8),
            (kind::INIT_ACK, 9, Passage::Pass, 9),
            (kind::INIT_ACK, 10, Passage::Swallow, 9),
            (kind::INIT, 11, Passage::Swallow, 9),
        ] {
            assert_eq!(watch.inbound(&init(kind, first)), Ok(passage));
            assert_eq!(watch.peer.init().map(|init| init.first), Some(Tsn(counts)));
        }
    }

    #[test]
    fn an_init_after_the_cookie_is_late() {
        let mut echo = Builder::new(HEADER);
        echo.chunk(kind::COOKIE_ECHO, 0, &[b"cookie"]);
        let mut watch = Watch::new(&Config::new(Vec::new()));
        let expected = [Passage::Pass, Passage::Pass, Passage::Swallow];
        for (packet, passage) in
            [init(kind::INIT, 7), echo.finish(), init(kind::INIT, 7)].iter().zip(expected)
        {
            assert_eq!(watch.inbound(packet), Ok(passage));
        }
    }

    #[test]
    fn a_lost_acknowledgement_is_the_first_that_the_peer_sends() {
        let mut watch = Watch::new(&Config::new(Vec::new()));
        watch.stream = Some(1);
        assert_eq!(watch.acknowledgement(), None);
        assert_eq!(watch.inbound(&init(kind::INIT_ACK, 7)), Ok(Passage::Pass));
        let packet = watch.acknowledgement().expect("all is known");
        let chunk = chunks(&packet).next().expect("one chunk");
        let (flags, tsn, payload) = (flag::BEGIN | flag::END, Tsn(7), &[dcep::ACK][..]);
        let ack = Data { flags, tsn, stream: 1, protocol: protocol::DCEP, payload };
        assert_eq!((Header::parse(&packet), Data::parse(&chunk)), (Some(HEADER), Some(ack)));
        assert_eq!(watch.inbound(&packet), Ok(Passage::Pass));
        assert_eq!(watch.acknowledgement(), None, "it came");
    }

    #[test]
    fn handshakes_are_bounded() {
        let mut builder = Builder::new(HEADER);
        builder.chunk(kind::INIT, 0, &[&[0; 16]]);
        let init = builder.finish();
        let mut watch = Watch::new(&Config::new(Vec::new()));
        let passed = (0..1_000).take_while(|_| watch.inbound(&init).is_ok()).count();
        assert_eq!(passed, HANDSHAKES as usize);
    }
}
