//! A peer moves, or falls silent: what it is heard from, and where its data goes.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use log::debug;

use crate::datagram::{is_check, is_protected, is_request};
use crate::endpoint::demux::Findable;
use crate::peer::amplification::Allowance;
use crate::peer::path::{Learnt, Sign, Way};
use crate::peer::state::State;
use crate::peer::{Peer, PeerOutput};
use crate::sctp::Heard;

/// Without a word from an address for so long it may have become another peer's.
const ABSENT: Duration = Duration::from_millis(250);

/// What a datagram has shown of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing.
    Nothing,
    /// It comes from the peer.
    Heard,
    /// It comes from the peer, and the peer is reached where it came from.
    Proven,
}

impl Peer {
    /// Takes one datagram that may be of this peer.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        way: Way,
        contents: &[u8],
        out: &mut Vec<PeerOutput>,
    ) -> Taken {
        let Some(input) = way.received(now, contents) else { return Taken::Nothing };
        if !self.admits(way, &input, contents) {
            return Taken::Nothing;
        }
        self.silence.note(now, contents);
        let paid = self.allowance.earn(way.remote, contents.len());
        out.extend(paid.map(PeerOutput::Transmit));
        self.evidence.note(way.remote, contents);
        self.nomination.note(way, contents);
        let (before, begin) = (self.plane.lock().heard(), out.len());
        self.feed(now, input, out);
        self.nominate(now, out);
        let taken = match is_check(contents) {
            true => self.after_check(now, way, contents, begin, out),
            false => self.after_record(now, way, contents.len(), before, out),
        };
        self.settle(now);
        taken
    }

    /// Remembers an address from which the peer was heard; false past the bound.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sign: Sign,
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let here = self.whereabouts.here().map(|way| way.remote);
        match self.sources.learn(now, address, sign, here) {
            Learnt::Kept => true,
            Learnt::InPlaceOf(old) => {
                out.push(PeerOutput::Forgot(old));
                true
            }
            Learnt::Refused => false,
        }
    }

    /// An address turned out to be another peer's.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.sources.forget(address);
    }

    /// Where the peer was heard from.
    pub(crate) fn sources(&self) -> impl Iterator<Item = SocketAddr> {
        self.sources.known()
    }

    /// Whether the peer has not been heard from an address lately.
    pub(crate) fn is_absent(&self, now: Instant, address: SocketAddr) -> bool {
        self.sources.heard(address).is_none_or(|heard| now >= heard + ABSENT)
    }

    /// How this peer can be found if it moves.
    pub(crate) fn findable(&self) -> Findable {
        match self.whereabouts.here() {
            Some(way) if !self.is_closed() => {
                Findable { ip: Some(way.remote.ip()), silent: self.silence.missing() }
            }
            _ => Findable::default(),
        }
    }

    /// Whether it has been silent for so long that nothing is sent to it but probes.
    pub(super) fn is_pause(&self, now: Instant) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        is_open && self.silence.is_pause(now, self.plane.lock().heard().last)
    }

    /// Probes a silent peer, if it is time.
    pub(super) fn look_out(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        let heard = self.plane.lock().heard().last;
        if let Some(way) = self.whereabouts.way()
            && self.silence.probe(now, heard)
        {
            self.probe(now, way, out);
        }
    }

    /// Sends what str0m wants to go this way, as far as there is leave. A check is answered where
    /// it came from; all else goes where the peer is.
    pub(super) fn emit(&mut self, way: Way, contents: Vec<u8>, out: &mut Vec<PeerOutput>) {
        if is_check(&contents) {
            return out.push(PeerOutput::Transmit(way.carry(contents)));
        }
        let way = self.whereabouts.lead(way);
        self.settle_allowance();
        let allowed = self.allowance.spend(way.carry(contents));
        out.extend(allowed.map(PeerOutput::Transmit));
    }

    /// Before the channel is open, a ClientHello from an address that no check has proved must
    /// not reach DTLS. Afterwards nothing must, from elsewhere, that is not encrypted.
    fn admits(&self, way: Way, input: &str0m::Input<'_>, contents: &[u8]) -> bool {
        match self.whereabouts.here() {
            Some(here) if !is_check(contents) => {
                here.remote == way.remote || is_protected(contents)
            }
            _ => self.rtc.accepts(input),
        }
    }

    /// A check came this way, and what str0m has to say to it is in `out` from `begin` on.
    fn after_check(
        &mut self,
        now: Instant,
        way: Way,
        contents: &[u8],
        begin: usize,
        out: &mut Vec<PeerOutput>,
    ) -> Taken {
        if is_request(contents)
            && self.whereabouts.is_elsewhere(way)
            && self.sources.probe(now, way.remote, Sign::Check)
        {
            let answered = out.len();
            self.probe(now, way, out);
            if !self.sources.is_proven(way.remote) {
                answer_or_probe(way, contents.len(), begin, answered, out);
            }
        }
        Taken::Nothing
    }

    /// A record came this way. What decrypts was never there before, so it is the peer's; but
    /// whoever is on the path may have sent it on from elsewhere, so it is only suspicious.
    fn after_record(
        &mut self,
        now: Instant,
        way: Way,
        size: usize,
        before: Heard,
        out: &mut Vec<PeerOutput>,
    ) -> Taken {
        let mut plane = self.plane.lock();
        let (heard, nonce) = (plane.heard(), plane.probed());
        nonce.into_iter().for_each(|_| plane.reached());
        drop(plane);
        if heard.packets == before.packets || self.is_closed() {
            return Taken::Nothing;
        }
        self.learn(now, way.remote, Sign::Record, out);
        if nonce.is_some_and(|nonce| self.proves(nonce, way)) {
            return Taken::Proven;
        }
        self.settle_allowance();
        self.sources.earn(way.remote, size);
        let is_proven = self.allowance.is_free() && !self.whereabouts.is_elsewhere(way);
        let is_open = matches!(self.state, State::Open(_));
        if is_open && !is_proven && self.sources.probe(now, way.remote, Sign::Record) {
            let begin = out.len();
            self.probe(now, way, out);
            let bytes = out[begin..].iter().map(|output| length(way, output)).sum();
            if !self.sources.spend(way.remote, bytes) {
                forget(way, begin..out.len(), out);
            }
        }
        Taken::Heard
    }

    /// An answer to a probe came this way; whether it proves that the peer is there.
    fn proves(&mut self, nonce: u64, way: Way) -> bool {
        let before = self.whereabouts.here();
        let proven = self.whereabouts.answered(nonce, way).is_some();
        if proven {
            self.sources.prove(way.remote);
            self.allowance.prove();
        }
        if let Some(before) = before.filter(|before| proven && *before != way) {
            debug!("{}: moved from {} to {}", self.credentials.ufrag, before.remote, way.remote);
            self.plane.lock().moved();
        }
        proven
    }

    /// Once the channel is open, the peer may be where DTLS went.
    fn settle_allowance(&mut self) {
        if let Some(here) = self.whereabouts.here() {
            self.allowance.settle(here.remote);
        }
    }

    /// Sends a probe this way, and nothing else.
    fn probe(&mut self, now: Instant, way: Way, out: &mut Vec<PeerOutput>) {
        let nonce = self.whereabouts.probe(way);
        if !self.plane.lock().probe(nonce) {
            return;
        }
        let begin = out.len();
        // How much goes there is for `Sources` to say.
        let allowance = std::mem::replace(&mut self.allowance, Allowance::Free);
        match self.rtc.handle_input(str0m::Input::Timeout(now)) {
            Ok(()) => self.drain(out),
            Err(error) => self.fail(error, out),
        }
        self.allowance = allowance;
        for output in &mut out[begin..] {
            if let PeerOutput::Transmit(transmit) = output
                && !is_check(&transmit.contents)
            {
                (transmit.source, transmit.destination) = (way.local, way.remote);
            }
        }
    }
}

/// Nobody is sent more than came from there before it is proven that it reaches the peer. A
/// probe is worth more than an answer, which the next check gets; if it is too long for this
/// check, it is forgotten. In `out` are answers from `begin` and probes from `probes` on.
fn answer_or_probe(way: Way, size: usize, begin: usize, probes: usize, out: &mut Vec<PeerOutput>) {
    let probe: usize = out[probes..].iter().map(|output| length(way, output)).sum();
    forget(way, if probe <= size { begin..probes } else { probes..out.len() }, out);
}

/// Leaves out what would go this way, of these outputs.
fn forget(way: Way, gone: Range<usize>, out: &mut Vec<PeerOutput>) {
    let mut index = 0;
    out.retain(|output| {
        let keep = !gone.contains(&index) || length(way, output) == 0;
        index += 1;
        keep
    });
}

/// Bytes of a datagram that goes this way.
fn length(way: Way, output: &PeerOutput) -> usize {
    match output {
        PeerOutput::Transmit(transmit) if transmit.destination == way.remote => {
            transmit.contents.len()
        }
        _ => 0,
    }
}
