//! Before the channel is open: learning, and keeping out what has no business here.

mod greeting;
mod peer;
mod twice;

use std::time::Instant;

use log::debug;

use self::greeting::Greeting;
use self::peer::Peer;
use self::twice::Twice;
use super::Passage;
use super::assembly::Assembly;
use super::engaged::{Engaged, Local};
use super::held::Held;
use super::packet::{
    Builder, Chunk, Data, HEADER, Header, Init, Sack, chunks, dcep, flag, forward_tsn, kind,
    protocol,
};
use super::receiver::{Offence, Receiver};
use super::rewrite::{unasked, without_echoes};
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
        let receiver = self.receiver.take()?;
        self.held = None;
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

#[cfg(test)]
mod tests {
    use super::super::rewrite::tests::packet;
    use super::*;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

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
    fn t47_what_waits_behind_a_gap_is_bounded_before_and_without_the_plane() {
        let mut builder = Builder::new(HEADER);
        builder.chunk(kind::INIT, 0, &[&[0; 16]]);
        let init = builder.finish();
        let mut watch = Watch::new(&Config::new(Vec::new()));
        for resumed in [false, true] {
            match resumed {
                true => watch.resume(Tsn(50_000)),
                false => assert_eq!(watch.inbound(&init), Ok(Passage::Pass)),
            }
            let first = if resumed { 50_000 } else { 0 };
            let refused = (1..2_000).find(|number| {
                let mut builder = Builder::new(HEADER);
                let (tsn, payload, protocol) =
                    (Tsn(first + number * 2), &b"x"[..], protocol::BINARY);
                builder.data(&Data { flags: 7, tsn, stream: 0, protocol, payload });
                watch.inbound(&builder.finish()).is_err()
            });
            assert_eq!(refused, Some(513));
        }
    }

    #[test]
    fn a_sack_has_so_many_gap_blocks() {
        let with = |gaps: u16| {
            let mut builder = Builder::new(HEADER);
            let fields = [&[0; 8][..], &gaps.to_be_bytes(), &[0; 2]].concat();
            let blocks = [0, 2, 0, 2].repeat(usize::from(gaps));
            builder.chunk(kind::SACK, 0, &[&fields, &blocks]);
            Watch::new(&Config::new(Vec::new())).inbound(&builder.finish())
        };
        assert!(with(GAPS as u16).is_ok());
        assert!(with(GAPS as u16 + 1).is_err());
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
