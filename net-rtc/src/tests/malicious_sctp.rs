//! SCTP protocol violations inside DTLS: each closes its own peer at once, and no other.

use std::cell::Cell;
use std::time::Duration;

use crate::sctp::packet::{DataChunk, PacketWriter, Tsn, chunk_type, flag, ppid};
use crate::tests::data_channel::{CLIENT, Pair, SERVER, config};
use crate::{CloseReason, Config, DataPathMode, Event, WebRtcStage};

/// The channel's, when the server begins DTLS.
const STREAM: u16 = 0;
const FAR: u32 = 1 << 20;

/// The peer's first TSN, and the server's.
const FIRST: u32 = 1_000;
const OURS: u32 = 500_000;

/// Lets a client send the same odd packet up to so often; gives what became of it.
fn suffer(
    data_plane: DataPathMode,
    times: u32,
    write: impl Fn(u32, &mut PacketWriter),
) -> Option<CloseReason> {
    suffer_from(data_plane, false, times, write)
}

/// The same from a client that hears nothing, or it would find its own acknowledgements odd.
fn suffer_deaf(
    data_plane: DataPathMode,
    times: u32,
    write: impl Fn(u32, &mut PacketWriter),
) -> Option<CloseReason> {
    suffer_from(data_plane, true, times, write)
}

fn suffer_from(
    data_plane: DataPathMode,
    is_deaf: bool,
    times: u32,
    write: impl Fn(u32, &mut PacketWriter),
) -> Option<CloseReason> {
    let first_tsn = Some(OURS);
    let server = Config {
        data_path: data_plane,
        max_message_size: 5_000,
        initial_tsn: first_tsn,
        ..config(SERVER)
    };
    let client = Config { initial_tsn: Some(FIRST), ..config(CLIENT) };
    let mut pair = Pair::with(server, client).signal().opened();
    pair.is_client_unreachable = is_deaf;
    for number in 0..times {
        if pair.client.endpoint.is_empty() || pair.server.endpoint.is_empty() {
            break;
        }
        pair.client.endpoint.inject_packet(pair.now, &1, |builder| write(number, builder));
        pair.run(Duration::from_millis(1));
    }
    pair.run(Duration::from_secs(1));
    if !pair.server.events.iter().all(|event| matches!(event, Event::Received(_))) {
        assert!(is_deaf || pair.client.endpoint.is_empty(), "it is told goodbye");
    }
    pair.server.events.iter().find_map(|event| match event {
        Event::Closed(reason) => Some(reason.clone()),
        _ => None,
    })
}

fn assert_limit(times: u32, write: impl Fn(u32, &mut PacketWriter) + Copy) {
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        let end = suffer(data_plane, times, write);
        assert!(matches!(end, Some(CloseReason::Limit(_))), "{data_plane:?}: {end:?}");
    }
}

fn data(builder: &mut PacketWriter, stream: u16, tsn: u32, flags: u8) {
    let payload = &[7; 500];
    let flags = flags | flag::UNORDERED;
    builder.write_data(&DataChunk {
        flags,
        tsn: Tsn(tsn),
        stream_id: stream,
        ppid: ppid::BINARY,
        payload,
    });
}

fn init(_: u32, builder: &mut PacketWriter) {
    builder.write_chunk(
        chunk_type::INIT,
        0,
        &[&[1; 4], &[0; 4], &[0, 1, 0, 1], &FIRST.to_be_bytes()],
    );
}

#[test]
fn t46_five_thousand_inits() {
    assert_limit(5_000, init);
}

/// Honest ones repeat theirs, and the network may bring the first after the second.
#[test]
fn t46_a_late_init_ends_nobody() {
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        assert_eq!(suffer(data_plane, 20, init), None, "{data_plane:?}");
    }
}

#[test]
fn t47_fragments_without_end_on_one_stream() {
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        // Of one message; of messages that never begin; of messages that never end.
        for (step, flags) in [(1, 0), (2, flag::END), (2, flag::BEGIN)] {
            let end = suffer_deaf(data_plane, 5_000, |number, builder| {
                data(builder, STREAM, FIRST + 10 + number * step, flags);
            });
            let stays = data_plane == DataPathMode::LowLatency && step == 2;
            // The plane forgets the oldest pieces by itself; SCTP may give up before we do.
            assert!(end.is_none() == stays, "{data_plane:?} {step} {flags}: {end:?}");
        }
    }
}

#[test]
fn t47_fragments_without_end_on_six_thousand_streams() {
    let stream = |number: u32| 7 + number as u16;
    assert_limit(6_000, |n, builder| data(builder, stream(n), FIRST + 10 + n, 0));
}

/// Plain SCTP waits for what is missing, and keeps what is behind it.
#[test]
fn t47_gaps_without_end() {
    let whole = flag::BEGIN | flag::END;
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        let end = suffer_deaf(data_plane, 6_000, |n, builder| {
            data(builder, STREAM, FIRST + 10 + n * 2, whole);
        });
        assert_eq!(end.is_some(), data_plane == DataPathMode::PlainSctp, "{data_plane:?}: {end:?}");
    }
}

#[test]
fn t48_forward_tsn_with_a_huge_jump() {
    assert_limit(1, |_, builder| builder.write_forward_tsn(Tsn(FIRST + FAR)));
}

#[test]
fn t49_acknowledgements_for_what_was_never_sent() {
    let end =
        suffer(DataPathMode::LowLatency, 1, |_, builder| builder.write_sack(Tsn(OURS + 1_000), 9));
    assert!(matches!(end, Some(CloseReason::Limit(_))), "{end:?}");
}

/// SCTP must not see them; the plane takes them, for under overload honest peers send many.
#[test]
fn t49_acknowledgements_with_many_gaps() {
    let gaps = |_, builder: &mut PacketWriter| {
        let mut value = [FIRST.to_be_bytes(), [0; 4], [1, 0x2c, 0, 0]].concat();
        value.extend([0, 1, 0, 1].repeat(300));
        builder.write_chunk(chunk_type::SACK, 0, &[&value]);
    };
    let end = suffer(DataPathMode::PlainSctp, 1, gaps);
    assert!(matches!(end, Some(CloseReason::Limit(_))), "{end:?}");
    assert_eq!(suffer(DataPathMode::LowLatency, 1, gaps), None);
}

#[test]
fn t52_other_streams() {
    assert_limit(1, |_, builder| data(builder, 4_000, FIRST + 1, flag::BEGIN | flag::END));
}

#[test]
fn t53_reconfigurations_without_end() {
    let end = suffer(DataPathMode::LowLatency, 1_000, |number, builder| {
        let request = [&[0, 13, 0, 16][..], &number.to_be_bytes(), &[0; 8]].concat();
        builder.write_chunk(chunk_type::RE_CONFIG, 0, &[&request]);
    });
    assert!(matches!(end, Some(CloseReason::Limit(_) | CloseReason::Remote)), "{end:?}");
}

/// A message of a megabyte, in pieces as SCTP makes them.
#[test]
fn t51_a_message_of_a_megabyte() {
    let end = |data_plane| {
        suffer_deaf(data_plane, 1 << 11, |number, builder| {
            let flags = if number == 0 { flag::BEGIN } else { 0 };
            data(builder, STREAM, FIRST + 10 + number, flags);
        })
    };
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        let end = end(data_plane);
        let is_limit = matches!(end, Some(CloseReason::Limit(_)));
        assert!(is_limit || data_plane == DataPathMode::PlainSctp && end.is_some(), "{end:?}");
    }
}

/// Counts the errors that are logged, each thread its own.
struct ErrorCounter;

thread_local! {
    static ERRORS: Cell<u32> = const { Cell::new(0) };
}

impl log::Log for ErrorCounter {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            ERRORS.set(ERRORS.get() + 1);
        }
    }

    fn flush(&self) {}
}

/// Clients on aiortc, usrsctp and Pion leave with an ABORT: with and without a cause of the
/// user's (RFC 9260 §3.3.10.12).
#[test]
fn t53_a_client_that_leaves_with_an_abort_is_no_error_in_the_log() {
    if log::set_logger(&ErrorCounter).is_ok() {
        log::set_max_level(log::LevelFilter::Error);
    }
    for cause in [&[][..], &[0, 12, 0, 4], &[0, 13, 0, 4]] {
        for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
            let end = suffer(data_plane, 1, |_, builder| {
                builder.write_chunk(chunk_type::ABORT, 0, &[cause])
            });
            assert_eq!(end, Some(CloseReason::Remote));
        }
    }
    assert_eq!(ERRORS.get(), 0);
}

#[test]
fn t53_goodbyes_of_every_kind_end_the_peer_that_says_them() {
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        let aborted =
            suffer(data_plane, 1, |_, builder| builder.write_chunk(chunk_type::ABORT, 0, &[]));
        let shut = suffer(data_plane, 1, |_, builder| {
            builder.write_chunk(chunk_type::SHUTDOWN, 0, &[&(OURS - 1).to_be_bytes()]);
        });
        assert_eq!([aborted, shut], [const { Some(CloseReason::Remote) }; 2], "{data_plane:?}");
        for notify in [true, false] {
            let mut pair =
                Pair::with(Config { data_path: data_plane, ..config(SERVER) }, config(CLIENT));
            pair = pair.signal().opened();
            match notify {
                true => pair.client.endpoint.close(pair.now, &1),
                false => pair.client.endpoint.close_channel(pair.now, &1),
            }
            pair.run(Duration::from_secs(1));
            let ended = [Event::Closed(CloseReason::Remote)];
            assert_eq!(pair.server.events, ended, "{data_plane:?} {notify}");
        }
    }
}

#[test]
fn t50_a_peer_that_never_acknowledges_is_sent_to_and_costs_little() {
    let mut pair = Pair::with(config(SERVER), config(CLIENT)).signal().opened();
    pair.loss = |_, _| true;
    for _ in 0..600 {
        pair.server.endpoint.send(pair.now, &1, vec![0; 200]).expect("it is open");
        pair.run(Duration::from_millis(16));
    }
    // Everything left at once: nothing waits, nothing was dropped here.
    assert_eq!(pair.server.endpoint.stats().dropped.total(), 0);
    assert_eq!(pair.server.events, []);
}

#[test]
fn t68_a_panic_in_one_peers_machine_ends_that_peer_only() {
    let mut pair = Pair::open();
    pair.server.endpoint.offer(pair.now, 2).unwrap();
    pair.server.endpoint.inject_packet(pair.now, &1, |_| panic!("as this test wants it"));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.server.events, [Event::Closed(CloseReason::Panicked)]);
    assert_eq!(pair.server.endpoint.stage(&1), None);
    assert_eq!(pair.server.endpoint.stage(&2), Some(WebRtcStage::Answer));
    assert_eq!(pair.server.endpoint.len(), 1);
    pair.server.endpoint.offer(pair.now, 1).expect("the key is free again");
}

#[test]
fn t68_nothing_is_routed_to_who_has_panicked() {
    let mut pair = Pair::open();
    pair.server.endpoint.forget_and_panic(&1);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.server.events, [Event::Closed(CloseReason::Panicked)]);
    let unrouted = pair.server.endpoint.stats().unrouted;
    pair.client.endpoint.send(pair.now, &1, "to nobody").unwrap();
    pair.run(Duration::from_secs(1));
    assert!(pair.server.endpoint.stats().unrouted > unrouted);
}
