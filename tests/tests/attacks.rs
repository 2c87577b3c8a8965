//! Every kind of attacker against a whole server in virtual time, with honest clients beside it:
//! they notice nothing, and the attacker gets what it deserves.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod besieged;

use std::time::Duration;

use besieged::{Outcome, Siege};
use net::{Config, HandshakeStage};
use net_tests::attack::{Kind, Traffic};
use net_tests::numbers::tell;

const SECOND: Duration = Duration::from_secs(1);

/// What most attackers get of a server with the default settings, in 10 s.
fn besiege(kind: Kind) -> Outcome {
    Siege::new(kind, Config::default()).last(10 * SECOND)
}

#[track_caller]
fn assert_refused(kind: Kind, stage: HandshakeStage, reason: &str) {
    besiege(kind).assert_refused(stage, reason);
}

#[track_caller]
fn assert_closed(kind: Kind, reason: &str) {
    besiege(kind).assert_closed(reason);
}

#[test]
fn t01_who_stays_silent_has_five_seconds() {
    besiege(Kind::Silent).assert_plain();
}

#[test]
fn t02_who_is_slow_has_no_longer() {
    assert_refused(Kind::SlowUpgrade, HandshakeStage::Upgrade, "handshake timeout");
}

#[test]
fn t03_a_header_without_end() {
    assert_refused(Kind::EndlessHeader, HandshakeStage::Upgrade, "limit");
}

#[test]
fn t03_hundreds_of_headers() {
    let outcome = besiege(Kind::ManyHeaders);
    outcome.assert_refused(HandshakeStage::Upgrade, "limit");
    outcome.assert_causes(&["the head has over 124 header lines"]);
    // Four at a time, and none of them gets in and stays.
    assert!(outcome.refusals.len() > 4 * 15, "{}", outcome.refusals.len());
}

#[test]
fn t04_what_is_no_request() {
    let outcome = besiege(Kind::Malformed);
    assert!(outcome.refusals.iter().all(|refusal| refusal.stage == HandshakeStage::Upgrade));
    outcome.assert_causes(&["a TLS hello", "the method must be GET", "HTTP/1.0", "there must be"]);
}

#[test]
fn t05_a_message_with_the_request() {
    let outcome = Siege::new(Kind::Eager, Config::default()).last(12 * SECOND);
    outcome.assert_refused(HandshakeStage::Answer, "handshake timeout");
}

#[test]
fn t07_t08_frames_that_announce_what_nobody_has() {
    assert_refused(Kind::HugeFrames, HandshakeStage::Answer, "too large");
    assert_closed(Kind::PeerHugeFrame, "too large");
}

#[test]
fn t09_messages_in_pieces_without_end() {
    let outcome = besiege(Kind::EndlessFragments);
    assert!(outcome.refusals.iter().all(|refusal| refusal.stage == HandshakeStage::Answer));
    // Pieces of one byte make no long message in the time that there is for an answer.
    let names = ["too large", "protocol", "handshake timeout"];
    assert!(outcome.refusals.iter().all(|refusal| names.contains(&refusal.reason.name())));
    assert!(outcome.refusals.iter().any(|refusal| refusal.reason.name() == "too large"));
    assert!(outcome.refusals.iter().any(|refusal| refusal.reason.name() == "protocol"));
    assert_closed(Kind::PeerEndlessFragments, "too large");
}

#[test]
fn t10_frames_that_are_forbidden() {
    assert_refused(Kind::ForbiddenFrames, HandshakeStage::Answer, "protocol");
    assert_closed(Kind::PeerForbiddenFrames, "protocol");
}

#[test]
fn t11_pings_from_who_never_reads() {
    let outcome = Siege::new(Kind::PingFlood, Config::default()).last(12 * SECOND);
    outcome.assert_refused(HandshakeStage::Answer, "handshake timeout");
}

#[test]
fn t12_messages_as_fast_as_they_go() {
    for kind in [Kind::ReliableFlood, Kind::UnreliableFlood] {
        let outcome = besiege(kind);
        outcome.assert_lives();
        assert!(outcome.received > 10_000, "{}", outcome.received);
    }
}

#[test]
fn t13_who_never_reads_is_closed_at_the_backlog() {
    let config = Config { reliable_send_buffer: 1024 * 1024, ..Config::default() };
    let mut siege = Siege::new(Kind::NeverReads, config);
    siege.reliable = 20_000;
    siege.last(10 * SECOND).assert_closed("slow consumer");
}

/// However little waits for it.
#[test]
fn t13_who_never_reads_is_closed_in_time() {
    let mut siege = Siege::new(Kind::NeverReads, Config::default());
    siege.reliable = 2_000;
    let outcome = siege.last(45 * SECOND);
    outcome.assert_closed("slow consumer");
    let words: Vec<_> = outcome.closed.iter().map(ToString::to_string).collect();
    assert!(words.iter().all(|words| words.contains("Config::reliable_send_timeout")), "{words:?}");
}

#[test]
fn t14_half_a_connection() {
    assert_refused(Kind::HalfClose, HandshakeStage::Upgrade, "lost");
}

#[test]
fn t15_connections_that_are_torn_down() {
    let outcome = besiege(Kind::Reset);
    let stages = [HandshakeStage::Upgrade, HandshakeStage::Answer];
    assert!(outcome.refusals.iter().all(|refusal| stages.contains(&refusal.stage)));
    assert!(outcome.refusals.iter().all(|refusal| refusal.reason.name() == "lost"));
}

/// Eight at a time, each of which comes again half a second after it is dropped.
#[test]
fn t18_who_does_not_answer_our_close_is_dropped_in_two_seconds() {
    let outcome = besiege(Kind::DeafToClose);
    outcome.assert_refused(HandshakeStage::Answer, "protocol");
    assert!(outcome.refusals.len() >= 8 * 4, "{}", outcome.refusals.len());
}

/// A thousand who ask and then say nothing, on a server that has room for an eighth of them: they
/// give way to one another, and the honest, who come all the time, open. What is held is bounded.
#[track_caller]
fn assert_gives_way(kind: Kind) {
    let config = Config { max_handshakes: 128, ..Config::default() };
    let mut siege = Siege::new(kind, config.clone());
    for _ in 0..8 {
        siege.welcome();
        (0..10).for_each(|_| siege.tick());
        let sizes = siege.world.sizes();
        assert!(sizes.handshakes <= config.max_handshakes, "{sizes:?}");
        assert!(sizes.connections <= 2 * config.max_handshakes + sizes.peers, "{sizes:?}");
    }
    let outcome = siege.last(10 * SECOND);
    assert!(outcome.refusals.len() > 1_000, "{}", outcome.refusals.len());
    outcome.assert_refused(HandshakeStage::Accept, "limit");
}

#[test]
fn t19_a_thousand_from_one_address() {
    assert_gives_way(Kind::CrowdOfOne);
}

#[test]
fn t19_a_thousand_from_sixty_four_addresses() {
    assert_gives_way(Kind::Crowd);
}

#[test]
fn t23_texts_that_cannot_be_read() {
    assert_refused(Kind::GarbageTexts, HandshakeStage::Answer, "webrtc failed");
}

#[test]
fn t24_texts_as_fast_as_they_go() {
    assert_refused(Kind::TextFlood, HandshakeStage::Answer, "limit");
    assert_closed(Kind::PeerTexts, "limit");
}

#[test]
fn t25_session_descriptions_that_are_none() {
    let outcome = besiege(Kind::GarbageSdp);
    outcome.assert_refused(HandshakeStage::Answer, "webrtc failed");
    outcome.assert_causes(&["0 media sections", "2 media", "300 media", "no m=application"]);
}

/// Nothing is sent to those that the candidates name.
#[test]
fn t26_candidates_without_end() {
    let outcome = Siege::new(Kind::Candidates, Config::default()).last(16 * SECOND);
    outcome.assert_refused(HandshakeStage::Ice, "webrtc failed");
}

#[test]
fn t27_what_is_not_its_turn() {
    let outcome = besiege(Kind::OutOfTurn);
    assert_eq!(outcome.opened, 0);
    // An answer that nothing follows; what comes behind it is not read.
    let named = |refusal: &net::ConnectFailure| match refusal.stage {
        HandshakeStage::Answer => refusal.cause.starts_with("unexpected offer"),
        stage => stage == HandshakeStage::Ice,
    };
    assert!(outcome.refusals.iter().all(named), "{:?}", outcome.refusals);
    outcome.assert_causes(&["unexpected offer"]);
}

#[test]
fn t28_answers_that_lack_something() {
    let outcome = Siege::new(Kind::BadAnswers, Config::default()).last(16 * SECOND);
    assert_eq!(outcome.opened, 0);
    for refusal in &outcome.refusals {
        let expected = matches!(refusal.stage, HandshakeStage::Answer | HandshakeStage::Ice);
        assert!(expected && refusal.reason.name() == "webrtc failed", "{refusal:?}");
    }
    for cause in
        ["no a=fingerprint", "a=fingerprint: ", "no a=ice-ufrag", "no a=ice-pwd", "a=ice-lite"]
    {
        let named = outcome.refusals.iter().any(|refusal| refusal.cause.starts_with(cause));
        assert!(named, "{cause}");
    }
}

#[test]
fn t30_who_never_answers_has_ten_seconds() {
    let outcome = Siege::new(Kind::NeverAnswers, Config::default()).last(12 * SECOND);
    outcome.assert_refused(HandshakeStage::Answer, "handshake timeout");
}

#[test]
fn t31_who_sends_no_datagram_has_fifteen_seconds() {
    let outcome = Siege::new(Kind::NoUdp, Config::default()).last(16 * SECOND);
    outcome.assert_refused(HandshakeStage::Ice, "webrtc failed");
}

/// The first has the address, the second cannot be told from it.
#[test]
fn t32_two_with_one_ufrag_from_one_address() {
    let outcome = Siege::new(Kind::Twins, Config::default()).last(16 * SECOND);
    assert_eq!((outcome.opened, outcome.closed.len()), (1, 0));
    assert_eq!(outcome.refusals.len(), 1);
}

#[test]
fn t33_garbage() {
    besiege(Kind::Garbage).assert_nobody();
}

#[test]
fn t34_checks_for_nobody() {
    let outcome = besiege(Kind::UnknownUfrag);
    outcome.assert_nobody();
    assert!(outcome.tally.traffic.values().all(|traffic| traffic.heard == 0));
}

#[test]
fn t35_client_hellos_from_elsewhere() {
    besiege(Kind::ForeignHello).assert_nobody();
}

#[test]
fn t36_unencrypted_records_in_the_name_of_clients() {
    besiege(Kind::Impostor).assert_nobody();
}

#[test]
fn t37_the_wrong_password() {
    let outcome = besiege(Kind::ForgedChecks);
    outcome.assert_nobody();
    assert!(outcome.tally.traffic.values().all(|traffic| traffic.heard == 0));
}

#[test]
fn t38_what_was_said_once_more() {
    let outcome = besiege(Kind::ReplayElsewhere);
    outcome.assert_nobody();
    let answered = outcome.tally.traffic.values().filter(|traffic| traffic.heard > 0).count();
    assert!((1..=3 * 16).contains(&answered), "{answered}");
    besiege(Kind::ReplayInPlace).assert_nobody();
}

/// At most 16 addresses of a peer are answered.
#[test]
fn t39_valid_checks_from_one_port_after_the_other() {
    let outcome = besiege(Kind::ManyPorts);
    outcome.assert_lives();
    outcome.assert_no_amplification(|address| address.port() > 1_024 + 10);
    let answered = outcome.tally.traffic.values().filter(|traffic| traffic.heard > 0);
    assert!(outcome.tally.traffic.len() > 10_000 && answered.count() <= 2 * 16);
}

#[test]
fn t40_what_one_says_from_where_another_is() {
    let outcome = besiege(Kind::CrossTalk);
    outcome.assert_lives();
    assert!(outcome.received > 1_500, "{}", outcome.received);
}

/// Whoever has shown nothing, or only what it overheard, is sent no more than came from there.
#[test]
fn t42_bytes_out_for_bytes_in() {
    let stranger = |kind| (kind, besiege(kind).amplification());
    let worst = [
        Kind::Garbage,
        Kind::UnknownUfrag,
        Kind::ForeignHello,
        Kind::ForgedChecks,
        Kind::ReplayElsewhere,
    ]
    .map(stranger);
    tell(format_args!("bytes out for each byte in, of addresses that nobody proved: {worst:.2?}"));
    assert!(worst.iter().all(|(_, share)| *share <= 1.0), "{worst:?}");
    assert!(worst.iter().any(|(_, share)| *share > 0.0), "somebody was answered");
}

/// A flight of the handshake answers it, which is not repeated for as long as it is waited.
#[test]
fn t41_one_record_and_silence() {
    let outcome = Siege::new(Kind::OneRecord, Config::default()).last(16 * SECOND);
    assert_eq!(outcome.opened, 0);
    assert!(outcome.refusals.len() >= 8, "{}", outcome.refusals.len());
    assert!(outcome.refusals.iter().all(|refusal| refusal.stage == HandshakeStage::Dtls));
    // And answers to three checks at most.
    let bound = 3 * 1_024 + 3 * 120;
    for (address, Traffic { heard, .. }) in &outcome.tally.traffic {
        assert!(*heard <= bound, "{address}: {heard} bytes");
    }
}

#[test]
fn t44_a_handshake_that_never_becomes_whole() {
    let outcome = Siege::new(Kind::HalfHandshake, Config::default()).last(16 * SECOND);
    assert_eq!(outcome.opened, 0);
    assert!(outcome.refusals.iter().all(|refusal| refusal.stage == HandshakeStage::Dtls));
}

#[test]
fn t44_records_that_belong_nowhere() {
    besiege(Kind::Epochs).assert_lives();
    besiege(Kind::Pieces).assert_lives();
}

#[test]
fn t46_handshakes_once_more() {
    assert_closed(Kind::Inits, "limit");
}

#[test]
fn t47_pieces_without_end() {
    assert_closed(Kind::EndlessMessage, "limit");
    assert_closed(Kind::PiecesEverywhere, "limit");
    besiege(Kind::BegunMessages).assert_lives();
}

#[test]
fn t48_a_jump() {
    assert_closed(Kind::Jump, "limit");
}

#[test]
fn t49_acknowledgements_for_what_was_never_sent() {
    assert_closed(Kind::FalseSacks, "limit");
    assert_closed(Kind::GapStorm, "limit");
}

#[test]
fn t50_no_window_and_no_acknowledgement() {
    besiege(Kind::NoWindow).assert_lives();
    besiege(Kind::NeverSacks).assert_lives();
}

#[test]
fn t51_a_message_that_is_too_long() {
    assert_closed(Kind::Megabyte, "limit");
    assert_closed(Kind::PeerTooLong, "too large");
}

#[test]
fn t52_one_channel_after_the_other() {
    assert_closed(Kind::Channels, "limit");
}

#[test]
fn t53_resets_without_end() {
    assert_closed(Kind::Resets, "limit");
}

#[test]
fn t53_every_way_to_end() {
    for kind in [Kind::Abort, Kind::Shutdown, Kind::Goodbye] {
        assert_closed(kind, "closed by peer");
    }
}

#[test]
fn t55_who_vanishes_is_lost_after_twenty_seconds() {
    let outcome = Siege::new(Kind::Vanishes, Config::default()).last(28 * SECOND);
    outcome.assert_closed("lost");
}

#[test]
fn t55_who_comes_back_in_time_goes_on() {
    let outcome = Siege::new(Kind::ComesAndGoes, Config::default()).last(28 * SECOND);
    outcome.assert_lives();
}

#[test]
fn t56_whose_address_changes_goes_on() {
    let outcome = besiege(Kind::Rebinds);
    outcome.assert_lives();
    assert!(outcome.received > 180, "{}", outcome.received);
}

/// What may be harmless.
#[test]
fn t57_duplicates_are_one_message() {
    let outcome = besiege(Kind::Duplicates);
    outcome.assert_lives();
    assert!(outcome.received <= 2 * 2, "{}", outcome.received);
}

#[test]
fn t47_chunks_that_lie() {
    for kind in [Kind::MalformedChunks, Kind::EmptyChunks] {
        let outcome = besiege(kind);
        assert!(outcome.opened > 0);
        let names = ["limit", "closed by peer"];
        assert!(outcome.closed.iter().all(|closed| names.contains(&closed.name())));
    }
}
