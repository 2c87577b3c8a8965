//! Admission of a connection: from its complete request to the offer.

use std::time::Instant;

use log::{debug, warn};
use net_rtc::OfferOptions;
use net_signal::{Candidate, Offerer};
use net_ws::BadRequest;

use crate::admission::{Accepted, Decision, HookError};
use crate::hub::client_addr::{ClientAddr, ProxyHeaderProgress};
use crate::hub::close_cause::CloseCause;
use crate::hub::connection::{Connection, Phase, ProxyHeader};
use crate::hub::context::Context;
use crate::hub::handshake::{Handshaking, OfferProfile, PendingRequest};
use crate::hub::limits::{Awaiting, ClientKey};
use crate::hub::{Output, connection};
use crate::{PeerInfo, Request};

impl Connection {
    /// Handles a complete request, which awaits its response.
    pub(super) fn on_request(&mut self, now: Instant, head: net_ws::Request, core: &mut Context) {
        if matches!(self.phase, Phase::OverLimit { .. }) {
            return self.close_over_limit(now);
        }
        let client = self.resolve_client(&head, core);
        self.local_ip = self.local_ip.filter(|_| matches!(client, ClientAddr::Direct(_)));
        let origin = core.origin_policy.check(&head);
        let (form, query) = OfferProfile::from_query(head.query());
        let request = Request::new(self.remote, query, head);
        self.client_key = ClientKey::from_client(client);
        core.conn_limits.assign(self.id, self.client_key);
        self.set_phase(Phase::AwaitingDecision(Box::new(PendingRequest {
            request,
            offer_profile: form,
        })));
        if let Err(bad) = origin {
            return self.close(now, bad, core);
        }
        if let Err(full) = core.check_peer_limit(self.client_key) {
            return self.close(now, full, core);
        }
        match core.config.accept {
            Some(_) => core.queue_accept_request(self.id, self.client_key),
            None => self.on_accepted(now, Accepted::default(), core),
        }
    }

    /// Passes the request to the admission hook.
    pub(in crate::hub) fn emit_accept_request(&mut self, core: &mut Context) {
        if let Phase::AwaitingDecision(asked) = &self.phase {
            core.outputs.push_back(Output::AcceptRequest(asked.to_accept_request(self.id)));
        }
    }

    /// Responds to a plain HTTP request.
    pub(super) fn respond_plain_http(
        &mut self,
        now: Instant,
        head: &net_ws::Request,
        core: &mut Context,
    ) {
        self.resolve_client(head, core);
        debug!("{} asks for {} in plain HTTP", self.remote, head.path());
        self.close_plain_http(core);
        let (status, text) = connection::plain_http_response(head);
        self.websocket.respond(now, status, text);
    }

    /// Refuses a request over a limit: a browser on the websocket, all others in HTTP.
    pub(super) fn on_oversized_request(
        &mut self,
        now: Instant,
        head: &net_ws::Request,
        why: BadRequest,
        core: &mut Context,
    ) {
        self.resolve_client(head, core);
        // Over the limit it is refused already, and gets that response.
        self.close(now, net_ws::CloseReason::BadRequest(why), core);
    }

    /// Strips a proxy's header, where one is required; `None` while it is incomplete, or if it is
    /// invalid.
    pub(super) fn strip_proxy_header<'a>(
        &mut self,
        now: Instant,
        bytes: &'a [u8],
        core: &mut Context,
    ) -> Option<&'a [u8]> {
        let ProxyHeader::Pending(header) = &mut self.proxy_header else { return Some(bytes) };
        match header.parse(bytes) {
            ProxyHeaderProgress::Partial => None,
            ProxyHeaderProgress::Complete(client, rest) => {
                self.proxy_header = client.map_or(ProxyHeader::None, |_| ProxyHeader::Parsed);
                self.remote = client.unwrap_or(self.remote);
                Some(rest)
            }
            ProxyHeaderProgress::Invalid => {
                self.close(now, CloseCause::ProxyHeader, core);
                None
            }
        }
    }

    /// Returns the client's address, as far as trusted proxies name it.
    fn resolve_client(&mut self, head: &net_ws::Request, core: &Context) -> ClientAddr {
        let client = ClientAddr::from_request(self.remote, head, &core.config.trusted_proxies);
        self.remote = client.addr();
        match self.proxy_header {
            ProxyHeader::Parsed => ClientAddr::Forwarded(self.remote),
            ProxyHeader::None | ProxyHeader::Pending(_) => client,
        }
    }

    /// Handles the decision of the admission hook, or its error.
    pub(in crate::hub) fn on_decision(
        &mut self,
        now: Instant,
        verdict: &Result<Decision, HookError>,
        core: &mut Context,
    ) {
        if !matches!(self.phase, Phase::AwaitingDecision(_)) {
            return;
        }
        match verdict {
            Ok(Decision::Accept(admission)) => self.on_accepted(now, admission.clone(), core),
            Ok(Decision::Reject { status, reason }) => {
                let unwanted = CloseCause::Rejected { status: *status, reason: reason.clone() };
                self.close(now, unwanted, core);
            }
            Err(none) => self.close(now, *none, core),
        }
        self.drain(now, core);
    }

    /// Handles a decision that did not arrive in time.
    pub(super) fn check_decision_timeout(&mut self, now: Instant, core: &mut Context) {
        // The held upgrade's deadline is the only one of this phase.
        let is_late = self.next_timeout.is_some_and(|wake| wake <= now);
        if is_late && matches!(self.phase, Phase::AwaitingDecision(_)) {
            self.close(now, HookError::TimedOut, core);
        }
    }

    /// Accepts the upgrade and sends the offer, if the limits still allow it.
    fn on_accepted(&mut self, now: Instant, mut admission: Accepted, core: &mut Context) {
        if let Err(full) = core.check_peer_limit(self.client_key) {
            return self.close(now, full, core);
        }
        let Phase::AwaitingDecision(asked) = std::mem::replace(&mut self.phase, Phase::Upgrading)
        else {
            return;
        };
        let offered = |chosen: &String| asked.request.subprotocols().any(|one| one == chosen);
        if let Some(unknown) = admission.subprotocol.take_if(|chosen| !offered(chosen)) {
            warn!("{} did not offer the subprotocol {unknown:?}", self.remote);
        }
        self.websocket.accept_upgrade(now, admission.subprotocol.as_deref());
        core.conn_limits.set_awaiting(self.id, Awaiting::Client(now));
        let info = PeerInfo::new(&asked.request, admission);
        let negotiation = self.create_offer(now, asked.offer_profile, core);
        self.set_phase(Phase::Handshaking(Box::new(Handshaking::new(info, negotiation))));
    }

    /// Starts the closing handshake with a client that was refused over a limit.
    pub(super) fn close_over_limit(&mut self, now: Instant) {
        if let Phase::OverLimit { code, reason: words } = &self.phase {
            self.websocket.close(now, *code, words);
            self.phase = Phase::Closing;
        }
    }

    /// Creates the offer and the offerer.
    fn create_offer(&mut self, now: Instant, form: OfferProfile, core: &mut Context) -> Offerer {
        let connecting = form.handshake_options(&core.config);
        let remote = self.remote.ip();
        self.offered_addrs = core.candidates(remote, self.local_ip);
        let options = OfferOptions {
            remote: Some(remote),
            candidates: self.offered_addrs.clone(),
            handshake: Some(connecting),
        };
        let offer = core.endpoint.offer_with(now, self.id, options);
        let offer = offer.expect("connection ids are never reused");
        let candidates = offer.candidates.iter().map(|candidate| Candidate {
            candidate: candidate.clone(),
            sdp_mid: offer.mid.clone(),
            sdp_m_line_index: 0,
            username_fragment: offer.ufrag.clone(),
        });
        let offer_in = match connecting.negotiated {
            true => Offerer::offer_negotiated,
            false => Offerer::offer,
        };
        offer_in(now, core.config.signal_limits(), offer.sdp, candidates.collect())
    }
}
