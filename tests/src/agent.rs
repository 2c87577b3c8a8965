//! A client as one machine without IO: a websocket and an answering WebRTC endpoint. Tests
//! drive it in virtual time or, as [`Client`](crate::client::Client), over real sockets.

mod pipe;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::Delivery;
use net_rtc::{Endpoint, Transmit};
use net_signal::Answerer;
use net_ws::{Message, Socket};

use crate::plane::Plane;

/// How a client behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// As it should.
    #[default]
    Good,
    /// It never answers the offer.
    Silent,
    /// It answers, and none of its datagrams leaves.
    Unreachable,
    /// Asked to acknowledge at once (RFC 7053) it waits all the same: 200 ms, or for a second
    /// packet. This is for plain SCTP.
    Deaf,
    /// It does not tell of what came twice (RFC 9260 §6.2), as browsers do. This is for plain
    /// SCTP.
    Terse,
}

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes were read from the TCP connection.
    Bytes(&'a [u8]),
    /// The TCP connection ended.
    End,
    /// A datagram was received.
    Datagram(SocketAddr, &'a [u8]),
    /// Time has passed.
    Timeout,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Both paths are up.
    Open,
    /// A message arrived.
    Received(Delivery, Bytes),
    /// It is over, with the websocket's close code and words if there were any.
    Closed(u16, String),
    /// Send this datagram.
    Transmit(Transmit),
    /// Nothing more; wake me then.
    Timeout(Option<Instant>),
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct Agent {
    websocket: Socket,
    answering: Answerer,
    endpoint: Endpoint<()>,
    local: SocketAddr,
    manners: Manners,
    outputs: VecDeque<Output>,
    over: bool,
    wake: Option<Instant>,
}

impl Agent {
    /// A client like an unmodified browser, whose datagrams leave from `local`; `seed` makes it
    /// repeat itself.
    ///
    /// # Panics
    /// If `path` is no path.
    pub fn new(
        now: Instant,
        local: SocketAddr,
        path: &str,
        manners: Manners,
        seed: Option<u64>,
    ) -> Agent {
        Agent::with(now, path, manners, Plane::Stock.client(local, seed))
    }

    /// A client with these settings, whose datagrams leave from the first address of
    /// `rtc.local`.
    ///
    /// # Panics
    /// If `path` is no path, or there is no such address.
    pub fn with(now: Instant, path: &str, manners: Manners, rtc: net_rtc::Config) -> Agent {
        Agent::asking(now, path, &[], manners, rtc)
    }

    /// The same with these headers in its request.
    ///
    /// # Panics
    /// If they cannot stand in a request.
    pub fn asking(
        now: Instant,
        path: &str,
        headers: &[(&str, &str)],
        manners: Manners,
        rtc: net_rtc::Config,
    ) -> Agent {
        let config = net_ws::Config::default();
        let websocket = Socket::connect_with(now, config, "server.test", path, headers)
            .expect("a good request");
        let local = rtc.local_addrs[0];
        let (deaf, witness) = (manners == Manners::Deaf, manners != Manners::Terse);
        let rtc = net_rtc::Config { ignore_immediate_flag: deaf, report_dup_tsns: witness, ..rtc };
        let mut agent = Agent {
            websocket,
            answering: Answerer::new(net_signal::Limits::default()),
            endpoint: Endpoint::new(rtc),
            local,
            manners,
            outputs: VecDeque::new(),
            over: false,
            wake: None,
        };
        agent.drain(now);
        agent
    }

    /// Feeds what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.websocket.handle_input(now, net_ws::Input::Bytes(bytes)),
            Input::End => self.websocket.handle_input(now, net_ws::Input::End),
            Input::Datagram(source, contents) => {
                let destination = self.local;
                let datagram = net_rtc::Input::Datagram { source, destination, contents };
                self.endpoint.handle_input(now, datagram);
            }
            Input::Timeout => {
                self.websocket.handle_input(now, net_ws::Input::Timeout);
                self.endpoint.handle_input(now, net_rtc::Input::Timeout);
            }
        }
        self.drain(now);
    }

    /// Sends a message; false if that path takes none now.
    pub fn send(&mut self, now: Instant, delivery: Delivery, message: Bytes) -> bool {
        let sent = match delivery {
            Delivery::Reliable => self.websocket.send(now, Message::Binary(message)).is_ok(),
            Delivery::Unreliable => self.endpoint.send(now, &(), message).is_ok(),
        };
        self.drain(now);
        sent
    }

    /// Sends a text, as signalling does.
    pub fn send_text(&mut self, now: Instant, text: &str) -> bool {
        let sent = self.websocket.send(now, Message::Text(text.into())).is_ok();
        self.drain(now);
        sent
    }

    /// Closes the websocket, as `ws.close()` does.
    pub fn close_websocket(&mut self, now: Instant) {
        self.websocket.close(now, 1000, "");
        self.drain(now);
    }

    /// Closes the peer connection, as `pc.close()` does.
    pub fn close_channel(&mut self, now: Instant) {
        self.endpoint.close(now, &());
        self.drain(now);
    }

    /// Does not blame the server for a time in which both were asleep.
    pub fn excuse(&mut self, now: Instant, away: Duration) {
        self.websocket.extend_deadlines(now, away);
        self.endpoint.extend_deadlines(now, away);
        self.drain(now);
    }

    /// Does with the WebRTC side what an honest client does not.
    pub fn meddle<T>(&mut self, now: Instant, meddle: impl FnOnce(&mut Endpoint<()>) -> T) -> T {
        let result = meddle(&mut self.endpoint);
        self.drain(now);
        result
    }

    /// Bytes to write to the TCP connection.
    pub fn outgoing(&self) -> &[u8] {
        self.websocket.outgoing()
    }

    /// That many of them are written.
    pub fn advance(&mut self, now: Instant, written: usize) {
        self.websocket.advance(now, written);
        self.drain(now);
    }

    /// What there is to do or to tell.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Timeout(self.wake))
    }

    fn drain(&mut self, now: Instant) {
        let websocket = self.drain_websocket(now);
        let endpoint = self.drain_endpoint();
        self.wake = websocket.into_iter().chain(endpoint).min();
    }

    fn drain_websocket(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.websocket.poll_output() {
                net_ws::Output::Timeout(wake) => return wake,
                net_ws::Output::Message(Message::Text(text)) => self.signalled(now, &text),
                net_ws::Output::Message(Message::Binary(message)) => {
                    self.outputs.push_back(Output::Received(Delivery::Reliable, message));
                }
                net_ws::Output::Closed(reason) => self.finish(now, reason),
                net_ws::Output::Finished => self.endpoint.close(now, &()),
                net_ws::Output::Upgraded(_) | net_ws::Output::SlowConsumer(_) => {}
                // A server's.
                net_ws::Output::PlainHttp(_) | net_ws::Output::Oversized(..) => {}
            }
        }
    }

    fn signalled(&mut self, now: Instant, text: &str) {
        self.answering.handle_input(now, net_signal::Input::Text(text));
        loop {
            match self.answering.poll_output() {
                net_signal::answerer::Output::Offer { sdp, .. }
                    if self.manners != Manners::Silent =>
                {
                    // Who may choose begins DTLS, as browsers do.
                    let sdp = sdp.replace("a=setup:actpass", "a=setup:passive");
                    let answer = self.endpoint.accept_offer(now, (), &sdp).expect("a good offer");
                    self.answering.answer(now, answer).expect("an offer is open");
                }
                net_signal::answerer::Output::Send(text) => {
                    // The server may have closed it behind the offer.
                    _ = self.websocket.send(now, Message::Text(text));
                }
                net_signal::answerer::Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    fn drain_endpoint(&mut self) -> Option<Instant> {
        loop {
            match self.endpoint.poll_output() {
                net_rtc::Output::Timeout(wake) => return wake,
                net_rtc::Output::Transmit(_) if self.manners == Manners::Unreachable => {}
                net_rtc::Output::Transmit(transmit) => {
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                net_rtc::Output::Event((), net_rtc::Event::Open) => {
                    self.outputs.push_back(Output::Open);
                }
                net_rtc::Output::Event((), net_rtc::Event::Received(message)) => {
                    self.outputs.push_back(Output::Received(Delivery::Unreliable, message));
                }
                // The server closes the websocket too; that tells why.
                net_rtc::Output::Event((), net_rtc::Event::Closed(_)) => {}
            }
        }
    }

    fn finish(&mut self, now: Instant, reason: net_ws::CloseReason) {
        if !std::mem::replace(&mut self.over, true) {
            // A page that closes its websocket waits for the other's goodbye.
            if reason != net_ws::CloseReason::Local {
                self.endpoint.close(now, &());
            }
            let (code, words) = match reason {
                net_ws::CloseReason::Remote { code, reason } => (code, reason),
                other => (0, other.to_string()),
            };
            self.outputs.push_back(Output::Closed(code, words));
        }
    }
}
