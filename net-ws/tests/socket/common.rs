//! Two sockets and a wire between them.

use std::time::{Duration, Instant};

use net_ws::{CloseReason, Config, Input, Message, Output, Request, Socket};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Seconds, for virtual time.
pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A good request, with a known key.
pub(crate) fn request() -> String {
    format!(
        "GET /p?q=1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nOrigin: https://o\r\n\r\n"
    )
}

/// A masked frame with an honest length.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_announcing(first, payload.len() as u64, payload)
}

/// A masked frame that announces `len` bytes.
pub(crate) fn frame_announcing(first: u8, len: u64, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(0x80 | len as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]));
    bytes
}

/// A masked close frame.
pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// All outputs up to the next `Timeout`, which is given apart.
pub(crate) fn drain(socket: &mut Socket) -> (Vec<Output>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match socket.poll_output() {
            Output::Timeout(at) => return (outputs, at),
            output => outputs.push(output),
        }
    }
}

/// Everything there is to write, written in steps of at most `step` bytes.
pub(crate) fn written(now: Instant, socket: &mut Socket, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while !socket.outgoing().is_empty() {
        let count = socket.outgoing().len().min(step);
        all.extend_from_slice(&socket.outgoing()[..count]);
        socket.advance(now, count);
    }
    all
}

/// An open server whose 101 is written and whose outputs are drained.
pub(crate) fn open_server(now: Instant, config: Config) -> Socket {
    let mut server = Socket::accept(now, config);
    server.handle_input(now, Input::Bytes(request().as_bytes()));
    assert!(matches!(drain(&mut server).0[..], [Output::Upgraded(_)]));
    assert!(written(now, &mut server, usize::MAX).starts_with(b"HTTP/1.1 101 "));
    server
}

/// The unmasked frames in `bytes`: first byte and payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        all.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    all
}

/// The code and reason of the one close frame that ends `bytes`.
pub(crate) fn goodbye(bytes: &[u8]) -> (u16, String) {
    let frames = frames(bytes);
    let (first, payload) = frames.last().expect("a close frame");
    assert_eq!(*first, 0x88);
    assert_eq!(frames.iter().filter(|(first, _)| *first == 0x88).count(), 1);
    (
        u16::from_be_bytes([payload[0], payload[1]]),
        String::from_utf8(payload[2..].to_vec()).unwrap(),
    )
}

/// The reason in `Closed`, which must be there once.
pub(crate) fn reason(outputs: &[Output]) -> CloseReason {
    let mut reasons = outputs.iter().filter_map(|output| match output {
        Output::Closed(reason) => Some(reason.clone()),
        _ => None,
    });
    let reason = reasons.next().expect("a Closed");
    assert_eq!(reasons.next(), None);
    reason
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

pub(crate) fn binary(len: usize) -> Message {
    Message::Binary((0..len).map(|i| (i % 251) as u8).collect::<Vec<_>>().into())
}

/// A client and a server with a wire that carries `step` bytes at a time.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: Socket,
    pub(crate) server: Socket,
    pub(crate) from_client: Vec<Output>,
    pub(crate) from_server: Vec<Output>,
    step: usize,
}

impl Pair {
    /// Not yet upgraded.
    pub(crate) fn new(config: Config, step: usize) -> Pair {
        let now = Instant::now();
        let client = Socket::connect(now, config.clone(), "h:1", "/p?q=1").unwrap();
        let server = Socket::accept(now, config);
        Pair { now, client, server, from_client: vec![], from_server: vec![], step }
    }

    /// Upgraded, with the outputs of that removed.
    pub(crate) fn open(config: Config, step: usize) -> Pair {
        let mut pair = Pair::new(config, step);
        pair.run();
        assert!(matches!(pair.take_client()[..], [Output::Upgraded(_)]));
        assert!(matches!(pair.take_server()[..], [Output::Upgraded(_)]));
        pair
    }

    /// Carries bytes until there are none; a finished socket's stream ends.
    pub(crate) fn run(&mut self) {
        loop {
            let there = carry(self.now, &mut self.client, &mut self.server, self.step);
            let back = carry(self.now, &mut self.server, &mut self.client, self.step);
            self.from_client.extend(drain(&mut self.client).0);
            self.from_server.extend(drain(&mut self.server).0);
            if !there && !back && !self.hang_up() {
                return;
            }
        }
    }

    pub(crate) fn take_client(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.from_client)
    }

    pub(crate) fn take_server(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.from_server)
    }

    /// The end of the stream, where one side is finished and the other is not.
    fn hang_up(&mut self) -> bool {
        let done = |outputs: &[Output]| outputs.contains(&Output::Finished);
        match (done(&self.from_client), done(&self.from_server)) {
            (true, false) => self.server.handle_input(self.now, Input::End),
            (false, true) => self.client.handle_input(self.now, Input::End),
            _ => return false,
        }
        true
    }
}

/// Whether anything was carried.
fn carry(now: Instant, from: &mut Socket, to: &mut Socket, step: usize) -> bool {
    let bytes = written(now, from, step);
    bytes.chunks(step).for_each(|part| to.handle_input(now, Input::Bytes(part)));
    !bytes.is_empty()
}

/// The request in the one `Upgraded`.
pub(crate) fn upgraded(outputs: &[Output]) -> &Request {
    match outputs {
        [Output::Upgraded(request), ..] => request,
        _ => panic!("no Upgraded: {outputs:?}"),
    }
}
