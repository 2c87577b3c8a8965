//! A peer moves, or falls silent: what it is heard from, and where its data goes.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use log::debug;

use crate::datagram::{is_binding_request, is_protected, is_stun};
use crate::endpoint::demux::LookupKey;
use crate::peer::amplification::AmplificationLimit;
use crate::peer::path::{FourTuple, Inserted, SeenBy};
use crate::peer::state::State;
use crate::peer::{Peer, PeerOutput};
use crate::sctp::RecvActivity;

/// Without a word from an address for so long it may have become another peer's.
const ADDR_SILENT_AFTER: Duration = Duration::from_millis(250);

/// What a datagram has shown of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatagramOutcome {
    /// Nothing.
    Ignored,
    /// It comes from the peer.
    Authenticated,
    /// It comes from the peer, and the peer is reached where it came from.
    PathValidated,
}

impl Peer {
    /// Takes one datagram that may be of this peer.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        way: FourTuple,
        contents: &[u8],
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        let Some(input) = way.rtc_input(now, contents) else { return DatagramOutcome::Ignored };
        if !self.is_acceptable(way, &input, contents) {
            return DatagramOutcome::Ignored;
        }
        self.idle_timer.on_datagram(now, contents);
        let paid = self.amplification_limit.on_recv(way.remote, contents.len());
        out.extend(paid.map(PeerOutput::Transmit));
        self.handshake_progress.on_datagram(way.remote, contents);
        self.auto_nomination.on_datagram(way, contents);
        let (before, begin) = (self.data_path.lock().recv_activity(), out.len());
        self.handle_rtc_input(now, input, out);
        self.nominate(now, out);
        let taken = match is_stun(contents) {
            true => self.on_check(now, way, contents, begin, out),
            false => self.on_record(now, way, contents.len(), before, out),
        };
        self.update_timeout(now);
        taken
    }

    /// Remembers an address from which the peer was heard; false past the bound.
    pub(crate) fn observe_addr(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sign: SeenBy,
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let here = self.active_path.validated().map(|way| way.remote);
        match self.remote_addrs.observe(now, address, sign, here) {
            Inserted::Kept => true,
            Inserted::Evicted(old) => {
                out.push(PeerOutput::AddrRemoved(old));
                true
            }
            Inserted::Full => false,
        }
    }

    /// An address turned out to be another peer's.
    pub(crate) fn remove_addr(&mut self, address: SocketAddr) {
        self.remote_addrs.remove(address);
    }

    /// Where the peer was heard from.
    pub(crate) fn remote_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.remote_addrs.addrs()
    }

    /// Whether the peer has not been heard from an address lately.
    pub(crate) fn is_silent_at(&self, now: Instant, address: SocketAddr) -> bool {
        self.remote_addrs.last_recv(address).is_none_or(|heard| now >= heard + ADDR_SILENT_AFTER)
    }

    /// How this peer can be found if it moves.
    pub(crate) fn lookup_key(&self) -> LookupKey {
        match self.active_path.validated() {
            Some(way) if !self.is_closed() => LookupKey {
                ip: Some(way.remote.ip()),
                silent_since: self.idle_timer.silent_since(),
            },
            _ => LookupKey::default(),
        }
    }

    /// Whether it has been silent for so long that nothing is sent to it but probes.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        is_open && self.idle_timer.is_quiet(now, self.data_path.lock().recv_activity().last_recv)
    }

    /// Probes a silent peer, if it is time.
    pub(super) fn probe_idle(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        let heard = self.data_path.lock().recv_activity().last_recv;
        if let Some(way) = self.active_path.current()
            && self.idle_timer.poll_probe(now, heard)
        {
            self.send_path_challenge(now, way, out);
        }
    }

    /// Sends what str0m wants to go this way, as far as there is leave. A check is answered where
    /// it came from; all else goes where the peer is.
    pub(super) fn emit(&mut self, way: FourTuple, contents: Vec<u8>, out: &mut Vec<PeerOutput>) {
        if is_stun(&contents) {
            return out.push(PeerOutput::Transmit(way.transmit(contents)));
        }
        let way = self.active_path.route(way);
        self.lift_amplification_limit();
        let allowed = self.amplification_limit.try_send(way.transmit(contents));
        out.extend(allowed.map(PeerOutput::Transmit));
    }

    /// Before the channel is open, a ClientHello from an address that no check has proved must
    /// not reach DTLS. Afterwards nothing must, from elsewhere, that is not encrypted.
    fn is_acceptable(&self, way: FourTuple, input: &str0m::Input<'_>, contents: &[u8]) -> bool {
        match self.active_path.validated() {
            Some(here) if !is_stun(contents) => here.remote == way.remote || is_protected(contents),
            _ => self.rtc.accepts(input),
        }
    }

    /// A check came this way, and what str0m has to say to it is in `out` from `begin` on.
    fn on_check(
        &mut self,
        now: Instant,
        way: FourTuple,
        contents: &[u8],
        begin: usize,
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        if is_binding_request(contents)
            && self.active_path.is_off_path(way)
            && self.remote_addrs.poll_probe(now, way.remote, SeenBy::Check)
        {
            let answered = out.len();
            self.send_path_challenge(now, way, out);
            if !self.remote_addrs.is_validated(way.remote) {
                limit_reply(way, contents.len(), begin, answered, out);
            }
        }
        DatagramOutcome::Ignored
    }

    /// A record came this way. What decrypts was never there before, so it is the peer's; but
    /// whoever is on the path may have sent it on from elsewhere, so it is only suspicious.
    fn on_record(
        &mut self,
        now: Instant,
        way: FourTuple,
        size: usize,
        before: RecvActivity,
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        let mut plane = self.data_path.lock();
        let (heard, nonce) = (plane.recv_activity(), plane.poll_path_response());
        nonce.into_iter().for_each(|_| plane.on_reachable());
        drop(plane);
        if heard.packets == before.packets || self.is_closed() {
            return DatagramOutcome::Ignored;
        }
        self.observe_addr(now, way.remote, SeenBy::Record, out);
        if nonce.is_some_and(|nonce| self.on_path_response(nonce, way)) {
            return DatagramOutcome::PathValidated;
        }
        self.lift_amplification_limit();
        self.remote_addrs.credit(way.remote, size);
        let is_proven = self.amplification_limit.is_lifted() && !self.active_path.is_off_path(way);
        let is_open = matches!(self.state, State::Open(_));
        if is_open && !is_proven && self.remote_addrs.poll_probe(now, way.remote, SeenBy::Record) {
            let begin = out.len();
            self.send_path_challenge(now, way, out);
            let bytes = out[begin..].iter().map(|output| transmit_len(way, output)).sum();
            if !self.remote_addrs.try_debit(way.remote, bytes) {
                drop_outputs(way, begin..out.len(), out);
            }
        }
        DatagramOutcome::Authenticated
    }

    /// An answer to a probe came this way; whether it proves that the peer is there.
    fn on_path_response(&mut self, nonce: u64, way: FourTuple) -> bool {
        let before = self.active_path.validated();
        let proven = self.active_path.on_path_response(nonce, way).is_some();
        if proven {
            self.remote_addrs.validate(way.remote);
            self.amplification_limit.lift();
        }
        if let Some(before) = before.filter(|before| proven && *before != way) {
            debug!("{}: moved from {} to {}", self.credentials.ufrag, before.remote, way.remote);
            self.data_path.lock().on_path_changed();
        }
        proven
    }

    /// Once the channel is open, the peer may be where DTLS went.
    fn lift_amplification_limit(&mut self) {
        if let Some(here) = self.active_path.validated() {
            self.amplification_limit.on_channel_open(here.remote);
        }
    }

    /// Sends a probe this way, and nothing else.
    fn send_path_challenge(&mut self, now: Instant, way: FourTuple, out: &mut Vec<PeerOutput>) {
        let nonce = self.active_path.new_challenge(way);
        if !self.data_path.lock().send_path_challenge(nonce) {
            return;
        }
        let begin = out.len();
        // How much goes there is for `Sources` to say.
        let allowance =
            std::mem::replace(&mut self.amplification_limit, AmplificationLimit::Lifted);
        match self.rtc.handle_input(str0m::Input::Timeout(now)) {
            Ok(()) => self.drain_rtc(out),
            Err(error) => self.on_rtc_error(error, out),
        }
        self.amplification_limit = allowance;
        for output in &mut out[begin..] {
            if let PeerOutput::Transmit(transmit) = output
                && !is_stun(&transmit.contents)
            {
                (transmit.source, transmit.destination) = (way.local, way.remote);
            }
        }
    }
}

/// Nobody is sent more than came from there before it is proven that it reaches the peer. A
/// probe is worth more than an answer, which the next check gets; if it is too long for this
/// check, it is forgotten. In `out` are answers from `begin` and probes from `probes` on.
fn limit_reply(
    way: FourTuple,
    size: usize,
    begin: usize,
    probes: usize,
    out: &mut Vec<PeerOutput>,
) {
    let probe: usize = out[probes..].iter().map(|output| transmit_len(way, output)).sum();
    drop_outputs(way, if probe <= size { begin..probes } else { probes..out.len() }, out);
}

/// Leaves out what would go this way, of these outputs.
fn drop_outputs(way: FourTuple, gone: Range<usize>, out: &mut Vec<PeerOutput>) {
    let mut index = 0;
    out.retain(|output| {
        let keep = !gone.contains(&index) || transmit_len(way, output) == 0;
        index += 1;
        keep
    });
}

/// Bytes of a datagram that goes this way.
fn transmit_len(way: FourTuple, output: &PeerOutput) -> usize {
    match output {
        PeerOutput::Transmit(transmit) if transmit.destination == way.remote => {
            transmit.contents.len()
        }
        _ => 0,
    }
}
