//! Probes: SCTP HEARTBEATs with a nonce (RFC 9260 §8.3). Every stack answers them at once.

use std::collections::VecDeque;

use crate::sctp::Passage;
use crate::sctp::packet::{Builder, Chunk, Header, chunks, kind};

/// Probes whose answers are told from others'.
const PROBES: usize = 16;
/// The parameter that comes back as it was sent, and its length (RFC 9260 §3.3.5).
const HEARTBEAT_INFO: [u8; 4] = [0, 1, 0, 12];

/// What was asked, and what was answered.
#[derive(Debug, Default)]
pub(super) struct Probes {
    sent: VecDeque<u64>,
    packet: Option<Vec<u8>>,
    answered: Option<u64>,
}

impl Probes {
    /// Makes a packet that asks for this nonce.
    pub(super) fn send(&mut self, header: Header, nonce: u64) {
        self.sent.truncate(PROBES - 1);
        self.sent.push_front(nonce);
        let mut builder = Builder::new(header);
        builder.heartbeat(&nonce.to_be_bytes());
        self.packet = Some(builder.finish());
    }

    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        self.packet.take()
    }

    /// The nonce that came back last.
    pub(super) fn answered(&mut self) -> Option<u64> {
        self.answered.take()
    }

    /// Takes answers out of a packet. SCTP did not ask, so it must not see them.
    pub(super) fn inbound(&mut self, packet: &[u8]) -> Passage {
        if self.sent.is_empty() || !chunks(packet).any(|chunk| self.takes(&chunk).is_some()) {
            return Passage::Pass;
        }
        Passage::rewrite(packet, |builder, chunk| match self.takes(chunk) {
            Some(nonce) => self.answered = Some(nonce),
            None => builder.copy(chunk),
        })
    }

    /// The nonce of ours that a chunk brings back.
    fn takes(&self, chunk: &Chunk<'_>) -> Option<u64> {
        if chunk.kind != kind::HEARTBEAT_ACK {
            return None;
        }
        let info = chunk.value.strip_prefix(&HEARTBEAT_INFO)?;
        let nonce = u64::from_be_bytes(info.try_into().ok()?);
        self.sent.contains(&nonce).then_some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::Tsn;

    const HEADER: Header = Header { source: 1, destination: 2, tag: 3 };

    fn packet(infos: &[u64], sack: bool) -> Vec<u8> {
        let mut builder = Builder::new(HEADER);
        for nonce in infos {
            let parts: [&[u8]; 2] = [&HEARTBEAT_INFO, &nonce.to_be_bytes()];
            builder.chunk(kind::HEARTBEAT_ACK, 0, &parts);
        }
        if sack {
            builder.sack(Tsn(1), 2);
        }
        builder.finish()
    }

    #[test]
    fn what_was_asked_is_taken_and_the_rest_goes_on() {
        let mut probes = Probes::default();
        assert_eq!(probes.inbound(&packet(&[7], true)), Passage::Pass);
        probes.send(HEADER, 7);
        let asked = probes.packet().unwrap();
        assert_eq!(chunks(&asked).next().unwrap().kind, kind::HEARTBEAT);
        assert_eq!((probes.packet(), probes.answered()), (None, None));
        assert_eq!(probes.inbound(&packet(&[8], true)), Passage::Pass, "not ours");
        assert_eq!(probes.answered(), None);
        let rest = Passage::Replace(packet(&[8], true));
        assert_eq!(probes.inbound(&packet(&[7, 8], true)), rest);
        assert_eq!(probes.answered(), Some(7));
        assert_eq!(probes.inbound(&packet(&[7], false)), Passage::Swallow, "nor again");
    }

    #[test]
    fn so_many_of_the_last_are_told_from_others() {
        let mut probes = Probes::default();
        (1..=100).for_each(|nonce| probes.send(HEADER, nonce));
        let mut is_ours = |nonce| probes.inbound(&packet(&[nonce], false)) == Passage::Swallow;
        assert_eq!([1, 84, 85, 100].map(&mut is_ours), [false, false, true, true]);
    }

    #[test]
    fn odd_answers_are_none() {
        let mut probes = Probes::default();
        probes.send(HEADER, 7);
        for value in [&[][..], &[0, 1, 0, 12], &[0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 7, 0]] {
            let mut builder = Builder::new(HEADER);
            builder.chunk(kind::HEARTBEAT_ACK, 0, &[value]);
            assert_eq!(probes.inbound(&builder.finish()), Passage::Pass);
        }
    }
}
