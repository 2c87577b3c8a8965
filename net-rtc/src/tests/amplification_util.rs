//! Test scenario: a server, a client, and an attacker that knows the client's signalling.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::config::DtlsVersion;
use str0m::crypto::dtls::DtlsOutput;
use str0m::ice::{StunMessage, TransId};

use crate::datagram::is_stun;
use crate::dtls::sha1_hmac;
use crate::sdp::line_value;
use crate::tests::data_channel::{CLIENT, Pair, SERVER, address, config};
use crate::{Config, HandshakeOptions, OfferOptions};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// The two, with an offer and an answer between them.
pub(crate) struct SpoofScenario {
    pub(crate) pair: Pair,
    local_ufrag: String,
    remote_ufrag: String,
    password: String,
}

impl SpoofScenario {
    pub(crate) fn new(connecting: HandshakeOptions) -> SpoofScenario {
        SpoofScenario::answering(connecting, str::to_owned)
    }

    /// The same with something changed in the answer.
    pub(crate) fn answering(
        connecting: HandshakeOptions,
        change: impl Fn(&str) -> String,
    ) -> SpoofScenario {
        let with = |local| Config { handshake: connecting, ..config(local) };
        let mut pair = Pair::with(with(SERVER), with(CLIENT));
        let remote = Some(address(CLIENT).ip());
        let options = OfferOptions { remote, ..Default::default() };
        let offer = pair.server.endpoint.offer_with(pair.now, 1, options).unwrap().sdp;
        // Who may choose begins, as browsers do.
        let theirs = offer.replace("a=setup:actpass", "a=setup:passive");
        let answer = pair.client.endpoint.accept_offer(pair.now, 1, &theirs).unwrap();
        let answer = change(&answer);
        pair.server.endpoint.accept_answer(pair.now, &1, &answer).unwrap();
        let value = |sdp, name| line_value(sdp, name).unwrap().to_owned();
        let (local_ufrag, remote_ufrag) =
            (value(&offer, "a=ice-ufrag:"), value(&answer, "a=ice-ufrag:"));
        SpoofScenario { pair, local_ufrag, remote_ufrag, password: value(&offer, "a=ice-pwd:") }
    }

    /// One in which nothing of the client arrives.
    pub(crate) fn silent(connecting: HandshakeOptions) -> SpoofScenario {
        let mut scene = SpoofScenario::new(connecting);
        scene.pair.loss = |_, _| true;
        scene
    }

    /// A check with the right password.
    pub(crate) fn check(&self, nominates: bool) -> Vec<u8> {
        self.signed(&self.local_ufrag, &self.password, nominates)
    }

    /// A check of somebody.
    pub(crate) fn signed(&self, ufrag: &str, password: &str, nominates: bool) -> Vec<u8> {
        let username = format!("{ufrag}:{}", self.remote_ufrag);
        let (id, priority) = (TransId::new(), u32::MAX);
        let message = StunMessage::binding_request(&username, id, true, 1, priority, nominates);
        let mut bytes = vec![0; 300];
        let length = message.to_bytes(Some(password.as_bytes()), &mut bytes, sha1_hmac).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// A check that has the right ufrag and not the password.
    pub(crate) fn forged(&self) -> Vec<u8> {
        self.signed(&self.local_ufrag, "not the password that it is", true)
    }

    /// A check with this ufrag of ours, if any is given, or the right one; and so the password.
    pub(crate) fn forged_as(&self, ufrag: &str, password: Option<&str>) -> Vec<u8> {
        let ufrag = if ufrag.is_empty() { &self.local_ufrag } else { ufrag };
        self.signed(ufrag, password.unwrap_or(&self.password), true)
    }

    /// Lengths of what went there, but answers to checks.
    pub(crate) fn flights_to(&self, to: SocketAddr) -> Vec<usize> {
        self.pair.sent_to(to, |contents| !is_stun(contents))
    }

    pub(crate) fn bytes_to(&self, to: SocketAddr) -> usize {
        self.pair.sent_to(to, |_| true).iter().sum()
    }
}

/// The ClientHello of somebody, as it may be caught or made up.
pub(crate) fn client_hello(version: DtlsVersion) -> Vec<u8> {
    let provider = str0m::crypto::from_feature_flags().dtls_provider;
    let (certificate, now) = (provider.generate_certificate().unwrap(), Instant::now());
    let mut dtls = provider.new_dtls(&certificate, now, version, None).unwrap();
    dtls.set_active(true);
    dtls.handle_timeout(now).unwrap();
    let mut buffer = [0; 2_000];
    loop {
        if let DtlsOutput::Packet(hello) = dtls.poll_output(&mut buffer) {
            return hello.to_vec();
        }
    }
}
