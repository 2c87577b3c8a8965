//! The receiver of usrsctp, as far as unordered messages go: a model for tests.
//!
//! DATA chunks that are whole messages are delivered at once. Pieces go to one queue for the
//! whole stream, in the order of their TSNs, of which only the first message is put together:
//! whole ones behind it wait until it is, or until a FORWARD-TSN has passed it. That one throws
//! away all pieces up to its TSN, and the message at the head, whatever of it is there.

use crate::sctp::packet::Builder;
use crate::sctp::packet::Data;
use crate::sctp::packet::Header;
use crate::sctp::packet::Tsn;
use crate::sctp::packet::chunks;
use crate::sctp::packet::flag;
use crate::sctp::packet::forward_tsn;
use crate::sctp::packet::kind;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

/// How long it waits for a second packet before it acknowledges the first, as libdatachannel
/// sets it.
const SACK_DELAY: Duration = Duration::from_millis(20);

/// TSNs count from the first that the sender gives, which is 1: 0 is acknowledged before.
#[derive(Debug)]
pub(crate) struct Usrsctp {
    first: Tsn,
    cumulative: u32,
    /// What came beyond it.
    received: BTreeSet<u32>,
    duplicates: Vec<u32>,
    head: Option<Head>,
    delivered: Vec<u32>,
    aborted: bool,
    sack: Owed,
    /// What the HEARTBEATs held that it has not answered.
    heartbeats: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    By(Instant),
    Now,
}

/// The message that is put together, and the pieces behind it.
#[derive(Debug, Default)]
struct Head {
    begin: Option<Begin>,
    pieces: BTreeMap<u32, Piece>,
}

/// What is there of the first message: from its first TSN, if that was not thrown away, up to
/// this one.
#[derive(Clone, Copy, Debug)]
struct Begin {
    first: Option<u32>,
    included: u32,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The message that begins with it.
    begins: Option<u32>,
    ends: bool,
}

impl Usrsctp {
    pub(crate) fn new(first: Tsn) -> Usrsctp {
        Usrsctp {
            first,
            cumulative: 0,
            received: BTreeSet::new(),
            duplicates: Vec::new(),
            head: None,
            delivered: Vec::new(),
            aborted: false,
            sack: Owed::Nothing,
            heartbeats: Vec::new(),
        }
    }

    /// Takes a packet; gives the first TSNs of the messages that it lets out.
    pub(crate) fn inbound(&mut self, now: Instant, packet: &[u8]) -> Vec<Tsn> {
        let had_gap = !self.received.is_empty();
        let (mut has_data, mut asked) = (false, false);
        for chunk in chunks(packet) {
            match chunk.kind {
                kind::DATA => {
                    let data = Data::parse(&chunk).expect("our own chunk");
                    let again = self.on_data(&data);
                    has_data = true;
                    asked |= again || data.flags & flag::IMMEDIATE != 0;
                }
                kind::FORWARD_TSN => {
                    let target = forward_tsn(&chunk).expect("our own chunk");
                    self.on_forward(target.since(self.first) as u32 + 1);
                    asked = true;
                }
                kind::HEARTBEAT => self.heartbeats.push(chunk.value.to_vec()),
                _ => {}
            }
        }
        let at_once = asked || had_gap || !self.received.is_empty();
        self.sack = match self.sack {
            _ if at_once => Owed::Now,
            Owed::Nothing if has_data => Owed::By(now + SACK_DELAY),
            Owed::By(_) if has_data => Owed::Now,
            owed => owed,
        };
        std::mem::take(&mut self.delivered)
            .into_iter()
            .map(|tsn| self.first.plus(tsn - 1))
            .collect()
    }

    /// Its SACK, if it is time.
    pub(crate) fn sack(&mut self, now: Instant, header: Header) -> Option<Vec<u8>> {
        let due = match self.sack {
            Owed::Nothing => false,
            Owed::By(at) => at <= now,
            Owed::Now => true,
        };
        due.then(|| {
            self.sack = Owed::Nothing;
            let mut blocks: Vec<(u32, u32)> = Vec::new();
            for tsn in &self.received {
                match blocks.last_mut() {
                    Some((_, last)) if *last + 1 == *tsn => *last = *tsn,
                    _ => blocks.push((*tsn, *tsn)),
                }
            }
            let offset = |tsn: u32| ((tsn - self.cumulative) as u16).to_be_bytes();
            let mut value = self.first.plus(self.cumulative).minus(1).0.to_be_bytes().to_vec();
            value.extend((1u32 << 20).to_be_bytes());
            value.extend((blocks.len() as u16).to_be_bytes());
            value.extend((self.duplicates.len() as u16).to_be_bytes());
            blocks
                .iter()
                .for_each(|(from, to)| value.extend([offset(*from), offset(*to)].concat()));
            let twice = self.duplicates.drain(..).map(|tsn| self.first.plus(tsn - 1));
            value.extend(twice.flat_map(|tsn| tsn.0.to_be_bytes()));
            let mut builder = Builder::new(header);
            builder.chunk(kind::SACK, 0, &[&value]);
            builder.finish()
        })
    }

    /// Its answers to HEARTBEATs, as packets.
    pub(crate) fn heartbeat_acks(&mut self, header: Header) -> Vec<Vec<u8>> {
        let answer = |info: Vec<u8>| {
            let mut builder = Builder::new(header);
            builder.chunk(kind::HEARTBEAT_ACK, 0, &[&info]);
            builder.finish()
        };
        self.heartbeats.drain(..).map(answer).collect()
    }

    /// Whether it has ended the association, as it does for a piece that follows the cumulative
    /// TSN and begins nothing.
    pub(crate) fn has_aborted(&self) -> bool {
        self.aborted
    }

    /// Takes a chunk; tells whether it came before.
    fn on_data(&mut self, data: &Data<'_>) -> bool {
        let tsn = data.tsn.since(self.first) as u32 + 1;
        if tsn <= self.cumulative || !self.received.insert(tsn) {
            self.duplicates.push(tsn);
            return true;
        }
        let follows = tsn == self.cumulative + 1;
        let begins = data.begins().then_some(tsn);
        if data.is_whole() {
            self.delivered.push(tsn);
        } else {
            self.aborted |= follows && self.head.is_none() && begins.is_none();
            let head = self.head.get_or_insert_default();
            head.inject(tsn, Piece { begins, ends: data.ends() });
            self.deliver();
        }
        self.advance();
        false
    }

    fn on_forward(&mut self, target: u32) {
        if target <= self.cumulative {
            return;
        }
        self.cumulative = target;
        self.received = self.received.split_off(&(target + 1));
        if let Some(head) = &mut self.head {
            match head.flush(target) {
                true => self.deliver(),
                false => self.head = None,
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        while self.received.remove(&(self.cumulative + 1)) {
            self.cumulative += 1;
        }
    }

    fn deliver(&mut self) {
        let Some(head) = &mut self.head else { return };
        while let Some(whole) = head.next_whole() {
            self.delivered.extend(whole);
        }
        if head.begin.is_none() && head.pieces.is_empty() {
            self.head = None;
        }
    }
}

impl Head {
    fn inject(&mut self, tsn: u32, piece: Piece) {
        let is_behind = self.pieces.first_key_value().is_some_and(|(first, _)| tsn > *first);
        let Some(first) = piece.begins.filter(|_| !is_behind) else {
            self.pieces.insert(tsn, piece);
            return;
        };
        let new = Begin { first: Some(first), included: tsn };
        match self.begin {
            None => self.begin = Some(new),
            Some(begin) if tsn > begin.included => _ = self.pieces.insert(tsn, piece),
            // The two change places.
            Some(begin) => {
                self.begin = Some(new);
                self.pieces.insert(begin.included, Piece { begins: begin.first, ends: false });
            }
        }
    }

    /// Puts the first message together as far as it goes; gives its first TSN, if that is there,
    /// once it is whole.
    fn next_whole(&mut self) -> Option<Option<u32>> {
        let begin = self.begin.as_mut()?;
        loop {
            let piece = self.pieces.remove(&(begin.included + 1))?;
            begin.included += 1;
            begin.first = begin.first.or(piece.begins);
            if piece.ends {
                break;
            }
        }
        let whole = begin.first;
        let next = self.pieces.first_entry();
        let next =
            next.filter(|piece| piece.get().begins.is_some()).map(|piece| piece.remove_entry());
        self.begin = next.map(|(tsn, piece)| Begin { first: piece.begins, included: tsn });
        Some(whole)
    }

    /// Throws away what a FORWARD-TSN passes; tells whether anything is left.
    fn flush(&mut self, target: u32) -> bool {
        if self.begin.is_some_and(|begin| begin.included > target) {
            return true;
        }
        self.pieces = self.pieces.split_off(&(target + 1));
        let Some(first) = self.pieces.first_entry() else { return false };
        if first.get().begins.is_some() {
            let (tsn, piece) = first.remove_entry();
            self.begin = Some(Begin { first: piece.begins, included: tsn });
        } else if let Some(begin) = &mut self.begin {
            *begin = Begin { first: None, included: target };
        }
        true
    }
}
