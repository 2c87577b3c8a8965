//! Assumptions about str0m, dimpl and sctp-proto beyond what their documentation promises. A test
//! that fails after an upgrade names the assumption to review.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelId, SctpInitData};
use str0m::config::{DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};
use str0m::ice::{StunMessage, TransId};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, DATAGRAM_MTU_TARGET, IceCreds, Input, Output, Rtc, RtcConfig};

use crate::dtls::sha1_hmac;
use crate::sdp::channel_config;

const HERE: &str = "192.0.2.1:3000";
const THERE: &str = "192.0.2.2:5000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn credentials(name: &str) -> IceCreds {
    IceCreds { ufrag: name.into(), pass: "0123456789012345678901".into() }
}

/// An ICE-lite agent that has not heard of the other side.
fn lite(now: Instant) -> Rtc {
    let config = RtcConfig::new().set_ice_lite(true).clear_codecs();
    let mut rtc = config.set_local_ice_credentials(credentials("ours")).build(now);
    rtc.add_local_candidate(Candidate::host(address(HERE), Protocol::Udp).unwrap());
    rtc.handle_input(Input::Timeout(now)).unwrap();
    drain(&mut rtc);
    rtc
}

fn answered(rtc: &mut Rtc) {
    rtc.direct_api().set_remote_ice_credentials(credentials("theirs"));
}

/// A check from there to here, as a browser makes it.
fn check(nominates: bool) -> Vec<u8> {
    let message =
        StunMessage::binding_request("ours:theirs", TransId::new(), true, 7, 99, nominates);
    let mut bytes = vec![0; 200];
    let pass = credentials("ours").pass;
    let length = message.to_bytes(Some(pass.as_bytes()), &mut bytes, sha1_hmac).unwrap();
    bytes.truncate(length);
    bytes
}

fn from_there(now: Instant, datagram: &[u8]) -> Input<'_> {
    let (there, here) = (address(THERE), address(HERE));
    Input::Receive(now, Receive::new(Protocol::Udp, there, here, datagram).unwrap())
}

/// How many datagrams leave, whether ICE connects, and what channels open.
fn drain(rtc: &mut Rtc) -> (usize, bool, Vec<ChannelId>) {
    let (mut sent, mut connected, mut open) = (0, false, Vec::new());
    loop {
        match rtc.poll_output().unwrap() {
            Output::Timeout(_) => return (sent, connected, open),
            Output::Transmit(_) => sent += 1,
            Output::Event(str0m::Event::IceConnectionStateChange(state)) => {
                connected |= state.is_connected();
            }
            Output::Event(str0m::Event::ChannelOpen(channel, _)) => open.push(channel),
            Output::Event(_) => {}
        }
    }
}

thread_local! {
    static ASKED: Cell<(usize, Option<usize>)> = const { Cell::new((0, None)) };
}

/// Notes how it is asked for DTLS.
#[derive(Debug)]
struct CountingProvider;

impl DtlsProvider for CountingProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        ASKED.set((ASKED.get().0 + 1, mtu));
        let stock = str0m::crypto::from_feature_flags().dtls_provider;
        stock.new_dtls(certificate, now, version, mtu)
    }
}

#[test]
fn str0m_asks_for_dtls_once_on_the_thread_that_builds_and_with_its_own_mtu() {
    let mut provider = str0m::crypto::from_feature_flags();
    provider.dtls_provider = &CountingProvider;
    let _ = RtcConfig::new().set_crypto_provider(Arc::new(provider)).build(Instant::now());
    assert_eq!(ASKED.get(), (1, Some(DATAGRAM_MTU_TARGET)));
}

#[test]
fn a_nomination_is_followed_at_once_and_nothing_less() {
    let now = Instant::now();
    for nominates in [true, false] {
        let mut rtc = lite(now);
        answered(&mut rtc);
        rtc.handle_input(from_there(now, &check(nominates))).unwrap();
        let (sent, connected, _) = drain(&mut rtc);
        assert_eq!((sent, connected), (1, nominates));
    }
}

#[test]
fn a_check_before_the_answer_is_answered_in_the_first_round_and_seen_in_the_second() {
    let now = Instant::now();
    let mut rtc = lite(now);
    rtc.handle_input(from_there(now, &check(true))).unwrap();
    assert_eq!(drain(&mut rtc).0, 0);
    answered(&mut rtc);
    rtc.handle_input(Input::Timeout(now)).unwrap();
    let first = drain(&mut rtc);
    rtc.handle_input(Input::Timeout(now)).unwrap();
    let second = drain(&mut rtc);
    assert_eq!((first.0, first.1, second.1), (1, false, true), "one round may do now");
}

#[test]
fn only_a_check_opens_the_gate_for_dtls() {
    let now = Instant::now();
    let mut rtc = lite(now);
    answered(&mut rtc);
    let hello = [22; 50];
    assert!(!rtc.accepts(&from_there(now, &hello)));
    rtc.handle_input(from_there(now, &check(false))).unwrap();
    drain(&mut rtc);
    assert!(rtc.accepts(&from_there(now, &hello)));
}

#[test]
fn dtls_begins_late_and_only_once() {
    let now = Instant::now();
    let mut rtc = lite(now);
    answered(&mut rtc);
    rtc.direct_api().start_sctp(true);
    rtc.handle_input(from_there(now, &check(true))).unwrap();
    assert_eq!(drain(&mut rtc).0, 1, "SCTP does not send without DTLS");
    rtc.direct_api().start_dtls(true).unwrap();
    rtc.direct_api().start_dtls(true).unwrap();
    rtc.direct_api().start_dtls(false).unwrap();
    assert_eq!(drain(&mut rtc).0, 1, "one ClientHello");
}

#[test]
fn a_channel_made_directly_has_the_stream_that_was_agreed_or_the_first_of_its_side() {
    let now = Instant::now();
    for (negotiated, active, expected) in
        [(true, true, 0), (true, false, 0), (false, true, 0), (false, false, 1)]
    {
        let mut rtc = lite(now);
        rtc.direct_api().start_sctp(active);
        let channel = rtc.direct_api().create_data_channel(channel_config(negotiated));
        rtc.handle_input(Input::Timeout(now)).unwrap();
        drain(&mut rtc);
        let stream = rtc.direct_api().sctp_stream_id_by_channel_id(channel);
        assert_eq!(stream, Some(expected), "{negotiated} {active}");
    }
}

/// One to which both SCTP handshakes are known, and its channel.
fn with_both_handshakes() -> (Rtc, ChannelId) {
    let now = Instant::now();
    let mut rtc = lite(now);
    let mut init = SctpInitData::new();
    init.local_init_chunk().unwrap();
    init.set_remote_init_chunk(SctpInitData::new().local_init_chunk().unwrap());
    rtc.direct_api().start_sctp_with_snap(true, init).unwrap();
    let channel = rtc.direct_api().create_data_channel(channel_config(true));
    rtc.handle_input(Input::Timeout(now)).unwrap();
    (rtc, channel)
}

#[test]
fn with_both_handshakes_known_a_channel_opens_before_there_is_any_path() {
    let (mut rtc, channel) = with_both_handshakes();
    assert_eq!(drain(&mut rtc).2, [channel]);
}

#[test]
fn an_empty_message_is_taken_and_vanishes() {
    let (mut rtc, channel) = with_both_handshakes();
    drain(&mut rtc);
    let mut channel = rtc.channel(channel).unwrap();
    assert!(channel.write(true, &[]).unwrap());
    assert_eq!(channel.buffered_amount(), 0);
    assert!(channel.write(true, &[1]).unwrap());
    assert_eq!(channel.buffered_amount(), 1);
}

#[test]
fn str0m_wants_to_be_called_again_about_an_idle_agent_every_few_seconds() {
    let now = Instant::now();
    let mut rtc = lite(now);
    answered(&mut rtc);
    rtc.handle_input(from_there(now, &check(true))).unwrap();
    drain(&mut rtc);
    let Output::Timeout(wake) = rtc.poll_output().unwrap() else { panic!("drained") };
    assert!(wake > now && wake < now + Duration::from_secs(10), "{:?}", wake - now);
}
