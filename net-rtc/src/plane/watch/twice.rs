//! What came twice.

use crate::plane::packet::{Builder, Header, chunks, kind};
use crate::plane::tsn::Tsn;

/// What a SACK tells of at most.
const MOST: usize = 64;

/// What came twice and was not told of; the library itself tells of nothing.
#[derive(Debug, Default)]
pub(super) struct Twice {
    tsns: Vec<Tsn>,
}

impl Twice {
    pub(super) fn note(&mut self, tsn: Tsn) {
        if self.tsns.len() < MOST {
            self.tsns.push(tsn);
        }
    }

    /// The packet with all of it in its SACK (RFC 9260 §3.3.4), if there is both.
    pub(super) fn tell(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
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
