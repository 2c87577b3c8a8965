//! The bodies of the fuzz targets, for about a second each, with inputs that a seed chooses.
//! `tests/fuzz/run` is the search that goes on for as long as one likes.

use net_tests::fuzz::exercise::exercise;
use net_tests::fuzz::{
    first_datagram, frames, hub, open_datagram, plane, script, sdp_answer, signalling, upgrade,
};

#[test]
fn any_bytes_may_come_before_the_upgrade() {
    exercise("upgrade", upgrade::run, 40_000);
}

#[test]
fn any_frames_may_come_after_it() {
    exercise("frames", frames::run, 30_000);
}

#[test]
fn any_texts_may_come_as_signalling() {
    exercise("signalling", signalling::run, 40_000);
}

#[test]
fn any_answer_may_come() {
    exercise("sdp_answer", sdp_answer::run, 700);
}

#[test]
fn any_datagram_may_come_to_who_is_on_the_way() {
    exercise("first_datagram", first_datagram::run, 200);
}

#[test]
fn any_datagram_may_come_to_who_is_open() {
    exercise("open_datagram", open_datagram::run, 200);
}

#[test]
fn any_packet_may_come_to_the_plane() {
    exercise("plane", plane::run, 30_000);
}

#[test]
fn any_calls_may_be_made_in_any_order() {
    exercise("script", script::run, 150);
}

#[test]
fn anything_may_come_to_a_whole_server() {
    exercise("hub", hub::run, 200);
}
