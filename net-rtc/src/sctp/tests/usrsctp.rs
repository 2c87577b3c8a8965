//! Model of usrsctp's receiver of unordered messages, for tests.
//!
//! DATA chunks that are whole messages are delivered at once. Pieces go to one queue for the
//! whole stream, in the order of their TSNs, of which only the first message is put together:
//! whole ones behind it wait until it is, or until a FORWARD-TSN has passed it. That one throws
//! away all pieces up to its TSN, and the message at the head, whatever of it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::sctp::packet::{
    CommonHeader, DataChunk, PacketWriter, Tsn, chunk_type, chunks, flag, parse_forward_tsn,
};

/// How long it waits for a second packet before it acknowledges the first, as libdatachannel
/// sets it.
const DELAYED_SACK_TIME: Duration = Duration::from_millis(20);

/// TSNs count from the first that the sender gives, which is 1: 0 is acknowledged before.
#[derive(Debug)]
pub(crate) struct UsrsctpReceiver {
    initial_tsn: Tsn,
    cumulative_tsn: u32,
    /// What came beyond it.
    received: BTreeSet<u32>,
    duplicates: Vec<u32>,
    queue: Option<FragmentQueue>,
    delivered: Vec<u32>,
    aborted: bool,
    pending_sack: PendingSack,
    /// What the HEARTBEATs held that it has not answered.
    pending_heartbeats: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingSack {
    None,
    Delayed(Instant),
    Immediate,
}

/// The message that is put together, and the pieces behind it.
#[derive(Debug, Default)]
struct FragmentQueue {
    partial: Option<PartialMessage>,
    fragments: BTreeMap<u32, QueuedFragment>,
}

/// What is there of the first message: from its first TSN, if that was not thrown away, up to
/// this one.
#[derive(Clone, Copy, Debug)]
struct PartialMessage {
    first_tsn: Option<u32>,
    last_tsn: u32,
}

#[derive(Clone, Copy, Debug)]
struct QueuedFragment {
    /// The message that begins with it.
    first_tsn: Option<u32>,
    is_last_fragment: bool,
}

impl UsrsctpReceiver {
    pub(crate) fn new(initial_tsn: Tsn) -> UsrsctpReceiver {
        UsrsctpReceiver {
            initial_tsn,
            cumulative_tsn: 0,
            received: BTreeSet::new(),
            duplicates: Vec::new(),
            queue: None,
            delivered: Vec::new(),
            aborted: false,
            pending_sack: PendingSack::None,
            pending_heartbeats: Vec::new(),
        }
    }

    /// Takes a packet; gives the first TSNs of the messages that it lets out.
    pub(crate) fn on_packet(&mut self, now: Instant, packet: &[u8]) -> Vec<Tsn> {
        let had_gap = !self.received.is_empty();
        let (mut has_data, mut asked) = (false, false);
        for chunk in chunks(packet) {
            match chunk.chunk_type {
                chunk_type::DATA => {
                    let data = DataChunk::parse(&chunk).expect("our own chunk");
                    let again = self.on_data(&data);
                    has_data = true;
                    asked |= again || data.flags & flag::IMMEDIATE != 0;
                }
                chunk_type::FORWARD_TSN => {
                    let target = parse_forward_tsn(&chunk).expect("our own chunk");
                    self.on_forward_tsn(target.since(self.initial_tsn) as u32 + 1);
                    asked = true;
                }
                chunk_type::HEARTBEAT => self.pending_heartbeats.push(chunk.value.to_vec()),
                _ => {}
            }
        }
        let at_once = asked || had_gap || !self.received.is_empty();
        self.pending_sack = match self.pending_sack {
            _ if at_once => PendingSack::Immediate,
            PendingSack::None if has_data => PendingSack::Delayed(now + DELAYED_SACK_TIME),
            PendingSack::Delayed(_) if has_data => PendingSack::Immediate,
            owed => owed,
        };
        std::mem::take(&mut self.delivered)
            .into_iter()
            .map(|tsn| self.initial_tsn.plus(tsn - 1))
            .collect()
    }

    /// Its SACK, if it is time.
    pub(crate) fn poll_sack(&mut self, now: Instant, header: CommonHeader) -> Option<Vec<u8>> {
        let due = match self.pending_sack {
            PendingSack::None => false,
            PendingSack::Delayed(at) => at <= now,
            PendingSack::Immediate => true,
        };
        due.then(|| {
            self.pending_sack = PendingSack::None;
            let mut blocks: Vec<(u32, u32)> = Vec::new();
            for tsn in &self.received {
                match blocks.last_mut() {
                    Some((_, last)) if *last + 1 == *tsn => *last = *tsn,
                    _ => blocks.push((*tsn, *tsn)),
                }
            }
            let offset = |tsn: u32| ((tsn - self.cumulative_tsn) as u16).to_be_bytes();
            let mut value =
                self.initial_tsn.plus(self.cumulative_tsn).minus(1).0.to_be_bytes().to_vec();
            value.extend((1u32 << 20).to_be_bytes());
            value.extend((blocks.len() as u16).to_be_bytes());
            value.extend((self.duplicates.len() as u16).to_be_bytes());
            blocks
                .iter()
                .for_each(|(from, to)| value.extend([offset(*from), offset(*to)].concat()));
            let twice = self.duplicates.drain(..).map(|tsn| self.initial_tsn.plus(tsn - 1));
            value.extend(twice.flat_map(|tsn| tsn.0.to_be_bytes()));
            let mut builder = PacketWriter::new(header);
            builder.write_chunk(chunk_type::SACK, 0, &[&value]);
            builder.finish()
        })
    }

    /// Its answers to HEARTBEATs, as packets.
    pub(crate) fn poll_heartbeat_acks(&mut self, header: CommonHeader) -> Vec<Vec<u8>> {
        let answer = |info: Vec<u8>| {
            let mut builder = PacketWriter::new(header);
            builder.write_chunk(chunk_type::HEARTBEAT_ACK, 0, &[&info]);
            builder.finish()
        };
        self.pending_heartbeats.drain(..).map(answer).collect()
    }

    /// Whether it has ended the association, as it does for a piece that follows the cumulative
    /// TSN and begins nothing.
    pub(crate) fn has_aborted(&self) -> bool {
        self.aborted
    }

    /// Takes a chunk; tells whether it came before.
    fn on_data(&mut self, data: &DataChunk<'_>) -> bool {
        let tsn = data.tsn.since(self.initial_tsn) as u32 + 1;
        if tsn <= self.cumulative_tsn || !self.received.insert(tsn) {
            self.duplicates.push(tsn);
            return true;
        }
        let follows = tsn == self.cumulative_tsn + 1;
        let begins = data.is_first_fragment().then_some(tsn);
        if data.is_unfragmented() {
            self.delivered.push(tsn);
        } else {
            self.aborted |= follows && self.queue.is_none() && begins.is_none();
            let head = self.queue.get_or_insert_default();
            head.insert(
                tsn,
                QueuedFragment { first_tsn: begins, is_last_fragment: data.is_last_fragment() },
            );
            self.deliver();
        }
        self.advance_cumulative();
        false
    }

    fn on_forward_tsn(&mut self, target: u32) {
        if target <= self.cumulative_tsn {
            return;
        }
        self.cumulative_tsn = target;
        self.received = self.received.split_off(&(target + 1));
        if let Some(head) = &mut self.queue {
            match head.discard_through(target) {
                true => self.deliver(),
                false => self.queue = None,
            }
        }
        self.advance_cumulative();
    }

    fn advance_cumulative(&mut self) {
        while self.received.remove(&(self.cumulative_tsn + 1)) {
            self.cumulative_tsn += 1;
        }
    }

    fn deliver(&mut self) {
        let Some(head) = &mut self.queue else { return };
        while let Some(whole) = head.next_complete() {
            self.delivered.extend(whole);
        }
        if head.partial.is_none() && head.fragments.is_empty() {
            self.queue = None;
        }
    }
}

impl FragmentQueue {
    fn insert(&mut self, tsn: u32, piece: QueuedFragment) {
        let is_behind = self.fragments.first_key_value().is_some_and(|(first, _)| tsn > *first);
        let Some(first) = piece.first_tsn.filter(|_| !is_behind) else {
            self.fragments.insert(tsn, piece);
            return;
        };
        let new = PartialMessage { first_tsn: Some(first), last_tsn: tsn };
        match self.partial {
            None => self.partial = Some(new),
            Some(begin) if tsn > begin.last_tsn => _ = self.fragments.insert(tsn, piece),
            // The two change places.
            Some(begin) => {
                self.partial = Some(new);
                self.fragments.insert(
                    begin.last_tsn,
                    QueuedFragment { first_tsn: begin.first_tsn, is_last_fragment: false },
                );
            }
        }
    }

    /// Puts the first message together as far as it goes; gives its first TSN, if that is there,
    /// once it is whole.
    fn next_complete(&mut self) -> Option<Option<u32>> {
        let begin = self.partial.as_mut()?;
        loop {
            let piece = self.fragments.remove(&(begin.last_tsn + 1))?;
            begin.last_tsn += 1;
            begin.first_tsn = begin.first_tsn.or(piece.first_tsn);
            if piece.is_last_fragment {
                break;
            }
        }
        let whole = begin.first_tsn;
        let next = self.fragments.first_entry();
        let next =
            next.filter(|piece| piece.get().first_tsn.is_some()).map(|piece| piece.remove_entry());
        self.partial =
            next.map(|(tsn, piece)| PartialMessage { first_tsn: piece.first_tsn, last_tsn: tsn });
        Some(whole)
    }

    /// Throws away what a FORWARD-TSN passes; tells whether anything is left.
    fn discard_through(&mut self, target: u32) -> bool {
        if self.partial.is_some_and(|begin| begin.last_tsn > target) {
            return true;
        }
        self.fragments = self.fragments.split_off(&(target + 1));
        let Some(first) = self.fragments.first_entry() else { return false };
        if first.get().first_tsn.is_some() {
            let (tsn, piece) = first.remove_entry();
            self.partial = Some(PartialMessage { first_tsn: piece.first_tsn, last_tsn: tsn });
        } else if let Some(begin) = &mut self.partial {
            *begin = PartialMessage { first_tsn: None, last_tsn: target };
        }
        true
    }
}
