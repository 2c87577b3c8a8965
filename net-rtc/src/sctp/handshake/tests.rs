//! Tests of the handshake tracker: learned state and rejected packets.

use crate::sctp::filter::tests::packet;
use crate::sctp::handshake::*;

const HEADER: CommonHeader =
    CommonHeader { source_port: 1, destination_port: 2, verification_tag: 3 };

#[test]
fn the_deaf_hear_no_wish() {
    let with = |more: u8| {
        let mut builder = PacketWriter::new(HEADER);
        builder.write_sack(Tsn(1), 2);
        let (tsn, payload, protocol) = (Tsn(1), &b"x"[..], ppid::BINARY);
        let flags = flag::BEGIN | flag::END | more;
        builder.write_data(&DataChunk { flags, tsn, stream_id: 0, ppid: protocol, payload });
        builder.finish()
    };
    let mut config = Config::new(Vec::new());
    let pass = HandshakeTracker::new(&config).filter_inbound(&with(flag::IMMEDIATE));
    assert_eq!(pass, Ok(Filtered::Forward));
    config.ignore_immediate_flag = true;
    let heard = HandshakeTracker::new(&config).filter_inbound(&with(flag::IMMEDIATE));
    assert_eq!(heard, Ok(Filtered::Rewrite(with(0))));
}

#[test]
fn a_witness_tells_of_what_came_twice_once() {
    let data = packet(&[ppid::BINARY, ppid::BINARY]);
    let mut builder = PacketWriter::new(HEADER);
    // The first TSN is 0.
    builder.write_chunk(chunk_type::INIT, 0, &[&[0; 16]]);
    let init = builder.finish();
    for witness in [false, true] {
        let mut watch =
            HandshakeTracker::new(&Config { report_dup_tsns: witness, ..Config::new(Vec::new()) });
        for inbound in [&init, &data, &data] {
            assert_eq!(watch.filter_inbound(inbound), Ok(Filtered::Forward));
        }
        let told = watch.add_dup_tsns(&packet(&[])).unwrap_or_else(|| packet(&[]));
        let sack = chunks(&told).next().unwrap();
        let twice: Vec<_> = SackChunk::parse(&sack).unwrap().duplicate_tsns().collect();
        let expected = if witness { vec![Tsn(0), Tsn(1)] } else { Vec::new() };
        assert_eq!(twice, expected);
        assert_eq!(watch.add_dup_tsns(&packet(&[])), None);
    }
}

/// SCTP waits before it acknowledges, and its acknowledgements end where the plane takes over.
#[test]
fn what_sctp_has_not_acknowledged_is_acknowledged_at_once() {
    let chunk = |first: u32| {
        let mut builder = PacketWriter::new(HEADER);
        let forwards = [0xc0, 0, 0, 4];
        builder.write_chunk(chunk_type::INIT, 0, &[&[0; 12], &first.to_be_bytes(), &forwards]);
        builder.finish()[crate::sctp::packet::HEADER_LEN..].to_vec()
    };
    for comes in [false, true] {
        let (now, mut watch) =
            (std::time::Instant::now(), HandshakeTracker::new(&Config::new(Vec::new())));
        watch.set_snap_inits(&InitChunks { local: chunk(70), remote: chunk(0) });
        if comes {
            assert_eq!(watch.filter_inbound(&packet(&[ppid::DCEP])), Ok(Filtered::Forward));
        }
        let mut engaged = watch.activate(now, 0).expect("it fits");
        assert_eq!(engaged.next_timeout(now), Some(now), "and the path MTU is probed");
        engaged.flush(now);
        let packets: Vec<_> = std::iter::from_fn(|| engaged.poll_packet()).collect();
        let said = packets.iter().flat_map(|packet| chunks(packet));
        let sacks = said.filter(|chunk| chunk.chunk_type == chunk_type::SACK);
        let acknowledged: Vec<_> = sacks.filter_map(|chunk| SackChunk::parse(&chunk)).collect();
        let acknowledged: Vec<_> = acknowledged.iter().map(|sack| sack.cumulative_tsn).collect();
        assert_eq!(acknowledged, if comes { vec![Tsn(0)] } else { Vec::new() });
    }
}

#[test]
fn t47_what_waits_behind_a_gap_is_bounded_before_and_without_the_plane() {
    let mut builder = PacketWriter::new(HEADER);
    builder.write_chunk(chunk_type::INIT, 0, &[&[0; 16]]);
    let init = builder.finish();
    let mut watch = HandshakeTracker::new(&Config::new(Vec::new()));
    for resumed in [false, true] {
        match resumed {
            true => watch.reset_quota(Tsn(50_000)),
            false => assert_eq!(watch.filter_inbound(&init), Ok(Filtered::Forward)),
        }
        let first = if resumed { 50_000 } else { 0 };
        let refused = (1..2_000).find(|number| {
            let mut builder = PacketWriter::new(HEADER);
            let (tsn, payload, protocol) = (Tsn(first + number * 2), &b"x"[..], ppid::BINARY);
            builder.write_data(&DataChunk { flags: 7, tsn, stream_id: 0, ppid: protocol, payload });
            watch.filter_inbound(&builder.finish()).is_err()
        });
        assert_eq!(refused, Some(513));
    }
}

#[test]
fn a_sack_has_so_many_gap_blocks() {
    let with = |gaps: u16| {
        let mut builder = PacketWriter::new(HEADER);
        let fields = [&[0; 8][..], &gaps.to_be_bytes(), &[0; 2]].concat();
        let blocks = [0, 2, 0, 2].repeat(usize::from(gaps));
        builder.write_chunk(chunk_type::SACK, 0, &[&fields, &blocks]);
        HandshakeTracker::new(&Config::new(Vec::new())).filter_inbound(&builder.finish())
    };
    assert!(with(MAX_GAP_BLOCKS as u16).is_ok());
    assert!(with(MAX_GAP_BLOCKS as u16 + 1).is_err());
}

#[test]
fn a_second_stream_is_an_offence_unless_asked_for() {
    let on = |stream| {
        let mut builder = PacketWriter::new(HEADER);
        let (tsn, payload, protocol) = (Tsn(1), &b"x"[..], ppid::BINARY);
        builder.write_data(&DataChunk {
            flags: 7,
            tsn,
            stream_id: stream,
            ppid: protocol,
            payload,
        });
        builder.finish()
    };
    let mut config = Config::new(Vec::new());
    let mut watch = HandshakeTracker::new(&config);
    watch.on_outbound(&on(1));
    assert_eq!(watch.filter_inbound(&on(1)), Ok(Filtered::Forward));
    assert!(watch.filter_inbound(&on(3)).is_err());
    config.channels = Channels::Several;
    let mut watch = HandshakeTracker::new(&config);
    watch.on_outbound(&on(1));
    assert_eq!(watch.filter_inbound(&on(3)), Ok(Filtered::Forward));
}

/// An INIT or an INIT ACK whose sender begins with this TSN.
fn init(kind: u8, first: u32) -> Vec<u8> {
    let mut builder = PacketWriter::new(HEADER);
    builder.write_chunk(kind, 0, &[&[0; 12], &first.to_be_bytes()]);
    builder.finish()
}

#[test]
fn what_the_library_goes_by_is_what_counts() {
    let mut watch = HandshakeTracker::new(&Config::new(Vec::new()));
    for (kind, first, passage, counts) in [
        (chunk_type::INIT, 7, Filtered::Forward, 7),
        (chunk_type::INIT, 8, Filtered::Forward, 8),
        (chunk_type::INIT_ACK, 9, Filtered::Forward, 9),
        (chunk_type::INIT_ACK, 10, Filtered::Drop, 9),
        (chunk_type::INIT, 11, Filtered::Drop, 9),
    ] {
        assert_eq!(watch.filter_inbound(&init(kind, first)), Ok(passage));
        assert_eq!(watch.remote_init.init().map(|init| init.initial_tsn), Some(Tsn(counts)));
    }
}

#[test]
fn an_init_after_the_cookie_is_late() {
    let mut echo = PacketWriter::new(HEADER);
    echo.write_chunk(chunk_type::COOKIE_ECHO, 0, &[b"cookie"]);
    let mut watch = HandshakeTracker::new(&Config::new(Vec::new()));
    let expected = [Filtered::Forward, Filtered::Forward, Filtered::Drop];
    for (packet, passage) in
        [init(chunk_type::INIT, 7), echo.finish(), init(chunk_type::INIT, 7)].iter().zip(expected)
    {
        assert_eq!(watch.filter_inbound(packet), Ok(passage));
    }
}

#[test]
fn a_lost_acknowledgement_is_the_first_that_the_peer_sends() {
    let mut watch = HandshakeTracker::new(&Config::new(Vec::new()));
    watch.stream_id = Some(1);
    assert_eq!(watch.implied_channel_ack(), None);
    assert_eq!(watch.filter_inbound(&init(chunk_type::INIT_ACK, 7)), Ok(Filtered::Forward));
    let packet = watch.implied_channel_ack().expect("all is known");
    let chunk = chunks(&packet).next().expect("one chunk");
    let (flags, tsn, payload) = (flag::BEGIN | flag::END, Tsn(7), &[dcep::ACK][..]);
    let ack = DataChunk { flags, tsn, stream_id: 1, ppid: ppid::DCEP, payload };
    assert_eq!((CommonHeader::parse(&packet), DataChunk::parse(&chunk)), (Some(HEADER), Some(ack)));
    assert_eq!(watch.filter_inbound(&packet), Ok(Filtered::Forward));
    assert_eq!(watch.implied_channel_ack(), None, "it came");
}

#[test]
fn handshakes_are_bounded() {
    let mut builder = PacketWriter::new(HEADER);
    builder.write_chunk(chunk_type::INIT, 0, &[&[0; 16]]);
    let init = builder.finish();
    let mut watch = HandshakeTracker::new(&Config::new(Vec::new()));
    let passed = (0..1_000).take_while(|_| watch.filter_inbound(&init).is_ok()).count();
    assert_eq!(passed, MAX_HANDSHAKE_CHUNKS as usize);
}
