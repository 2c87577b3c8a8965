//! What is learned and kept out before the channel is open.

use crate::sctp::filter::tests::packet;
use crate::sctp::handshake::*;

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
    config.ignore_immediate_flag = true;
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
        let mut watch = Watch::new(&Config { report_dup_tsns: witness, ..Config::new(Vec::new()) });
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

/// SCTP waits before it acknowledges, and its acknowledgements end where the plane takes over.
#[test]
fn what_sctp_has_not_acknowledged_is_acknowledged_at_once() {
    let chunk = |first: u32| {
        let mut builder = Builder::new(HEADER);
        let forwards = [0xc0, 0, 0, 4];
        builder.chunk(kind::INIT, 0, &[&[0; 12], &first.to_be_bytes(), &forwards]);
        builder.finish()[crate::sctp::packet::HEADER..].to_vec()
    };
    for comes in [false, true] {
        let (now, mut watch) = (std::time::Instant::now(), Watch::new(&Config::new(Vec::new())));
        watch.introduce(&InitChunks { local: chunk(70), remote: chunk(0) });
        if comes {
            assert_eq!(watch.inbound(&packet(&[protocol::DCEP])), Ok(Passage::Pass));
        }
        let mut engaged = watch.engage(now, 0).expect("it fits");
        assert_eq!(engaged.wake(now), Some(now), "and the path MTU is probed");
        engaged.flush(now);
        let packets: Vec<_> = std::iter::from_fn(|| engaged.packet()).collect();
        let said = packets.iter().flat_map(|packet| chunks(packet));
        let sacks = said.filter(|chunk| chunk.kind == kind::SACK);
        let acknowledged: Vec<_> = sacks.filter_map(|chunk| Sack::parse(&chunk)).collect();
        let acknowledged: Vec<_> = acknowledged.iter().map(|sack| sack.cumulative).collect();
        assert_eq!(acknowledged, if comes { vec![Tsn(0)] } else { Vec::new() });
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
            let (tsn, payload, protocol) = (Tsn(first + number * 2), &b"x"[..], protocol::BINARY);
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
