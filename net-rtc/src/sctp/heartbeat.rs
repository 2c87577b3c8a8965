//! Path challenges: SCTP HEARTBEATs with a nonce (RFC 9260 §8.3). Every stack answers them at once.

use std::collections::VecDeque;

use crate::sctp::Filtered;
use crate::sctp::packet::{Chunk, CommonHeader, PacketWriter, chunk_type, chunks};

/// Challenges whose answers are recognized.
const MAX_PENDING_CHALLENGES: usize = 16;
/// Type and length of the parameter that is echoed (RFC 9260 §3.3.5).
const HEARTBEAT_INFO_HEADER: [u8; 4] = [0, 1, 0, 12];

/// Pending challenges and the last answer.
#[derive(Debug, Default)]
pub(super) struct PathChallenges {
    pending_nonces: VecDeque<u64>,
    queued_packet: Option<Vec<u8>>,
    answered_nonce: Option<u64>,
}

impl PathChallenges {
    /// Queues a packet that challenges the peer with this nonce.
    pub(super) fn queue_challenge(&mut self, header: CommonHeader, nonce: u64) {
        self.pending_nonces.truncate(MAX_PENDING_CHALLENGES - 1);
        self.pending_nonces.push_front(nonce);
        let mut builder = PacketWriter::new(header);
        builder.write_heartbeat(&nonce.to_be_bytes());
        self.queued_packet = Some(builder.finish());
    }

    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.queued_packet.take()
    }

    /// Returns the nonce of the last answer, once.
    pub(super) fn poll_response(&mut self) -> Option<u64> {
        self.answered_nonce.take()
    }

    /// Removes answers from a packet: SCTP did not send the challenges.
    pub(super) fn filter_inbound(&mut self, packet: &[u8]) -> Filtered {
        if self.pending_nonces.is_empty()
            || !chunks(packet).any(|chunk| self.matching_nonce(&chunk).is_some())
        {
            return Filtered::Forward;
        }
        Filtered::rewrite_chunks(packet, |builder, chunk| match self.matching_nonce(chunk) {
            Some(nonce) => self.answered_nonce = Some(nonce),
            None => builder.copy_chunk(chunk),
        })
    }

    /// Returns the pending nonce that a chunk echoes.
    fn matching_nonce(&self, chunk: &Chunk<'_>) -> Option<u64> {
        if chunk.chunk_type != chunk_type::HEARTBEAT_ACK {
            return None;
        }
        let info = chunk.value.strip_prefix(&HEARTBEAT_INFO_HEADER)?;
        let nonce = u64::from_be_bytes(info.try_into().ok()?);
        self.pending_nonces.contains(&nonce).then_some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::Tsn;

    const HEADER: CommonHeader =
        CommonHeader { source_port: 1, destination_port: 2, verification_tag: 3 };

    fn packet(infos: &[u64], sack: bool) -> Vec<u8> {
        let mut builder = PacketWriter::new(HEADER);
        for nonce in infos {
            let parts: [&[u8]; 2] = [&HEARTBEAT_INFO_HEADER, &nonce.to_be_bytes()];
            builder.write_chunk(chunk_type::HEARTBEAT_ACK, 0, &parts);
        }
        if sack {
            builder.write_sack(Tsn(1), 2);
        }
        builder.finish()
    }

    #[test]
    fn what_was_asked_is_taken_and_the_rest_goes_on() {
        let mut probes = PathChallenges::default();
        assert_eq!(probes.filter_inbound(&packet(&[7], true)), Filtered::Forward);
        probes.queue_challenge(HEADER, 7);
        let asked = probes.poll_packet().unwrap();
        assert_eq!(chunks(&asked).next().unwrap().chunk_type, chunk_type::HEARTBEAT);
        assert_eq!((probes.poll_packet(), probes.poll_response()), (None, None));
        assert_eq!(probes.filter_inbound(&packet(&[8], true)), Filtered::Forward, "not ours");
        assert_eq!(probes.poll_response(), None);
        let rest = Filtered::Rewrite(packet(&[8], true));
        assert_eq!(probes.filter_inbound(&packet(&[7, 8], true)), rest);
        assert_eq!(probes.poll_response(), Some(7));
        assert_eq!(probes.filter_inbound(&packet(&[7], false)), Filtered::Drop, "nor again");
    }

    #[test]
    fn so_many_of_the_last_are_told_from_others() {
        let mut probes = PathChallenges::default();
        (1..=100).for_each(|nonce| probes.queue_challenge(HEADER, nonce));
        let mut is_ours = |nonce| probes.filter_inbound(&packet(&[nonce], false)) == Filtered::Drop;
        assert_eq!([1, 84, 85, 100].map(&mut is_ours), [false, false, true, true]);
    }

    #[test]
    fn odd_answers_are_none() {
        let mut probes = PathChallenges::default();
        probes.queue_challenge(HEADER, 7);
        for value in [&[][..], &[0, 1, 0, 12], &[0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 7, 0]] {
            let mut builder = PacketWriter::new(HEADER);
            builder.write_chunk(chunk_type::HEARTBEAT_ACK, 0, &[value]);
            assert_eq!(probes.filter_inbound(&builder.finish()), Filtered::Forward);
        }
    }
}
