//! Tests of the association: SACKs, FORWARD-TSN, filters and their cost.

use std::time::Duration;

use crate::Config;
use crate::sctp::association::*;
use crate::sctp::packet::{flag, ppid};
use crate::sctp::reassembly::Reassembly;

const MS: Duration = Duration::from_millis(1);
const HEADER: CommonHeader =
    CommonHeader { source_port: 5_000, destination_port: 5_000, verification_tag: 7 };
const LOCAL_TSN: Tsn = Tsn(1_000);
const REMOTE_TSN: Tsn = Tsn(u32::MAX - 5);

fn new_association(now: Instant) -> Association {
    let config = Config::new(Vec::new());
    let receiver = Receiver::new(REMOTE_TSN.minus(1), Reassembly::new(1_000, 2));
    let local = SctpView::new(LOCAL_TSN, REMOTE_TSN.minus(1));
    Association::new(now, DataPathSettings::from_config(&config), HEADER, 0, receiver, local)
}

fn packet(write: impl FnOnce(&mut PacketWriter)) -> Vec<u8> {
    let mut builder = PacketWriter::new(HEADER);
    write(&mut builder);
    builder.finish()
}

fn data(number: u32) -> Vec<u8> {
    let flags = flag::BEGIN | flag::END | flag::UNORDERED;
    let (tsn, protocol, payload) = (REMOTE_TSN.plus(number), ppid::BINARY, &[7; 100][..]);
    packet(|builder| {
        builder.write_data(&DataChunk { flags, tsn, stream_id: 0, ppid: protocol, payload })
    })
}

/// What leaves now: the kinds of all chunks.
fn sent_chunk_types(engaged: &mut Association, now: Instant) -> Vec<u8> {
    engaged.flush(now);
    let packets = std::iter::from_fn(|| engaged.poll_packet());
    packets
        .flat_map(|packet| chunks(&packet).map(|chunk| chunk.chunk_type).collect::<Vec<_>>())
        .collect()
}

/// Pion sends a FORWARD-TSN for each SACK as long as anything of its is out.
#[test]
fn a_peer_that_answers_each_sack_with_a_forward_tsn_starts_no_storm() {
    let start = Instant::now();
    let mut engaged = new_association(start);
    let mut answers = VecDeque::new();
    let mut sacks = 0;
    for step in 0..10_000u32 {
        let now = start + MS * step;
        let out = step / 10;
        let forward = packet(|builder| builder.write_forward_tsn(REMOTE_TSN.plus(out)));
        let due = answers.iter().take_while(|at| **at <= now).count();
        answers.drain(..due);
        let heard = std::iter::repeat_n(forward, due);
        for packet in heard.chain((step % 10 == 0).then(|| data(out))) {
            assert!(engaged.filter_inbound(now, &packet).is_ok());
            let all = sent_chunk_types(&mut engaged, now);
            let new = all.iter().filter(|kind| **kind == chunk_type::SACK).count();
            answers.extend((0..new).map(|_| now + 40 * MS));
            sacks += new;
        }
    }
    // One for each second of a thousand packets, and as many again at most.
    assert!((400..=1_000).contains(&sacks), "{sacks}");
}

#[test]
fn a_forward_tsn_that_tells_something_is_answered_at_once() {
    let now = Instant::now();
    let mut engaged = new_association(now);
    for (forward, at_once) in [(3, true), (3, false), (2, false), (4, true)] {
        let forward = packet(|builder| builder.write_forward_tsn(REMOTE_TSN.plus(forward)));
        engaged.filter_inbound(now, &forward).expect("it is honest");
        assert_eq!(!sent_chunk_types(&mut engaged, now).is_empty(), at_once);
        sent_chunk_types(&mut engaged, now + 20 * MS);
    }
}

/// A server may listen for long before it speaks.
#[test]
fn acknowledgements_take_nothing_of_what_may_be_sent() {
    let mut now = Instant::now();
    let mut engaged = new_association(now);
    let mut sacks = 0;
    for number in 0..600 * 30 {
        now += MS * 5 / 3;
        assert!(engaged.filter_inbound(now, &data(number)).is_ok());
        sacks += sent_chunk_types(&mut engaged, now).len();
    }
    assert!(sacks >= 600 * 15, "{sacks}");
    for _ in 0..10 {
        assert_eq!(engaged.poll_ready(now), Ok(()));
        engaged.send(Bytes::from(vec![7; 1_000]), None);
        assert!(sent_chunk_types(&mut engaged, now).contains(&chunk_type::DATA));
    }
    assert!(
        engaged.rate_controller.allowed_rate(now) > 400_000.0,
        "{}",
        engaged.rate_controller.allowed_rate(now)
    );
}
