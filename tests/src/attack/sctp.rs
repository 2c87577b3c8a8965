//! What a peer can do wrong inside of DTLS: rows 46-53.

use std::time::Instant;

use rand::RngExt;

use super::chunk::{
    ABORT, BEGIN, COOKIE_ECHO, DATA, DCEP, END, FORWARD_TSN, PIECE_OF_BINARY, SACK, SHUTDOWN,
    UNORDERED, chunk, data, forward_tsn, init, reset, sack,
};
use super::insider::Insider;
use super::kit::Kit;

/// The stream of the channel that the server, as DTLS client, opens.
const CHANNEL: u16 = 0;
/// How far a TSN jumps.
const FAR: u32 = 1 << 20;

impl Insider {
    /// Sends a packet with these bytes in place of its chunks.
    fn inject(&mut self, now: Instant, chunks: &[u8]) {
        self.agent.meddle(now, |endpoint| endpoint.inject_chunks(now, &(), chunks));
    }

    /// The TSN that is next, and the server's highest.
    fn tsns(&mut self, now: Instant) -> (u32, u32) {
        let known = self.agent.meddle(now, |endpoint| endpoint.tsns(&()));
        self.tsns = known.unwrap_or(self.tsns);
        self.tsns
    }

    /// The TSN that is next, if each round has used so many.
    fn tsn(&mut self, now: Instant, each: u32) -> u32 {
        self.tsns(now).0.wrapping_add(self.round.wrapping_mul(each))
    }
}

/// Associations that begin anew, again and again.
pub(super) fn inits(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    for _ in 0..50 {
        let begin = match kit.random.random() {
            true => init(kit.random.random(), kit.random.random()),
            false => chunk(COOKIE_ECHO, 0, &kit.random.random::<[u8; 32]>()),
        };
        insider.inject(now, &begin);
    }
}

/// One message in more and more pieces.
pub(super) fn endless_message(insider: &mut Insider, now: Instant, _: &mut Kit) {
    let begin = if insider.round == 0 { BEGIN } else { 0 };
    let piece = data(UNORDERED | begin, insider.tsn(now, 1), CHANNEL, PIECE_OF_BINARY, &[7; 1_000]);
    insider.inject(now, &piece);
}

/// Messages that begin and never end, with holes between them.
pub(super) fn begun_messages(insider: &mut Insider, now: Instant, _: &mut Kit) {
    let tsn = insider.tsn(now, 2);
    let piece = data(UNORDERED | BEGIN, tsn, CHANNEL, PIECE_OF_BINARY, &[7; 1_000]);
    insider.inject(now, &piece);
}

/// Pieces on one stream after the other.
pub(super) fn pieces_everywhere(insider: &mut Insider, now: Instant, _: &mut Kit) {
    let (tsn, stream) = (insider.tsn(now, 1), insider.round as u16 + 2);
    insider.inject(now, &data(UNORDERED, tsn, stream, PIECE_OF_BINARY, &[7; 500]));
}

/// Forward, by far.
pub(super) fn jump(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let by = if kit.random.random() { FAR } else { kit.random.random_range(FAR..1 << 31) };
    let to = insider.tsns(now).0.wrapping_add(by);
    insider.inject(now, &forward_tsn(to));
}

/// Acknowledges what was never sent.
pub(super) fn false_sacks(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let ahead = kit.random.random_range(1_000..1 << 30);
    let cumulative = insider.tsns(now).1.wrapping_add(ahead);
    insider.inject(now, &sack(cumulative, 1 << 20, 0));
}

/// Acknowledges with more gaps than a packet needs, about what was never sent.
pub(super) fn gap_storm(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let cumulative = insider.tsns(now).1;
    insider.inject(now, &sack(cumulative, 0, kit.random.random_range(250..280)));
}

/// Acknowledges everything, and has no room ever.
pub(super) fn no_window(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    never_sacks(insider, now, kit);
    let highest = insider.tsns(now).1;
    insider.inject(now, &sack(highest, 0, 0));
}

/// Acknowledges nothing.
pub(super) fn never_sacks(insider: &mut Insider, now: Instant, _: &mut Kit) {
    if insider.round == 0 {
        insider.agent.meddle(now, |endpoint| endpoint.suppress_chunk_type(&(), SACK));
    }
}

/// A message of a megabyte.
pub(super) fn megabyte(insider: &mut Insider, now: Instant, _: &mut Kit) {
    for piece in insider.round * 50..(insider.round + 1) * 50 {
        let flags = match piece % 1_000 {
            0 => BEGIN,
            999 => END,
            _ => 0,
        };
        let tsn = insider.tsns(now).0.wrapping_add(piece);
        let bytes = data(UNORDERED | flags, tsn, CHANNEL, PIECE_OF_BINARY, &[7; 1_050]);
        insider.inject(now, &bytes);
    }
}

/// Opens one channel after the other (RFC 8832 §5.1).
pub(super) fn channels(insider: &mut Insider, now: Instant, _: &mut Kit) {
    let open = [&[3, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0][..], b"x"].concat();
    let (tsn, stream) = (insider.tsn(now, 1), insider.round as u16 * 2 + 2);
    insider.inject(now, &data(BEGIN | END, tsn, stream, DCEP, &open));
}

/// Asks for stream after stream to be reset.
pub(super) fn resets(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let number = insider.tsn(now, 1);
    insider.inject(now, &reset(number, kit.random.random()));
}

/// Ends the association, without or with a word.
pub(super) fn abort(insider: &mut Insider, now: Instant, _: &mut Kit) {
    insider.inject(now, &chunk(ABORT, 0, &[]));
}

/// The same with a handshake.
pub(super) fn shutdown(insider: &mut Insider, now: Instant, _: &mut Kit) {
    let highest = insider.tsns(now).1;
    insider.inject(now, &chunk(SHUTDOWN, 0, &highest.to_be_bytes()));
}

/// Says goodbye through DTLS.
pub(super) fn goodbye(insider: &mut Insider, now: Instant, _: &mut Kit) {
    insider.agent.close_channel(now);
}

/// One TSN again and again, and others that are long over.
pub(super) fn duplicates(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let first = insider.tsns(now).0;
    for _ in 0..20 {
        let tsn = first.wrapping_sub(kit.random.random_range(0..1_000)).wrapping_add(1);
        insider
            .inject(now, &data(UNORDERED | BEGIN | END, tsn, CHANNEL, PIECE_OF_BINARY, b"again"));
    }
}

/// Chunks whose lengths lie, of types that nobody knows.
pub(super) fn malformed(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let kind: u8 = kit.random.random();
    let length: u16 = match kit.random.random_range(0..4) {
        0 => 0,
        1 => kit.random.random_range(0..4),
        2 => kit.random.random(),
        _ => 12,
    };
    let mut bytes = vec![kind, kit.random.random()];
    bytes.extend(length.to_be_bytes());
    // Any number, but a TSN so far from the next as the seed says: where counting begins it
    // does not.
    let (ours, theirs) = insider.tsns(now);
    let base = match kind {
        DATA | FORWARD_TSN => ours,
        SACK | SHUTDOWN => theirs,
        _ => 0,
    };
    let number = base.wrapping_add(kit.random.random());
    bytes.extend(number.to_be_bytes());
    bytes.extend((0..kit.random.random_range(0..64)).map(|_| kit.random.random::<u8>()));
    bytes.truncate(4 + kit.random.random_range(0..64));
    insider.inject(now, &bytes);
}

/// A thousand bytes of empty chunks of one type.
pub(super) fn empty_chunks(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    let kind: u8 = kit.random.random();
    insider.inject(now, &chunk(kind, 0, &[]).repeat(250));
}
