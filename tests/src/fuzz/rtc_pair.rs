//! A server and an honest client, and a network between them that does as the bytes say.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use net_rtc::{CloseReason, Config, Endpoint, Event, Input, Output, Transmit};

use super::chunks::{Numbers, chunks};

pub(super) const SERVER_TSN: u32 = 500_000;
/// Near the wrap.
pub(super) const CLIENT_TSN: u32 = u32::MAX - 20;
const MESSAGE: usize = 4_000;
/// Outputs that one input may have.
const MOST_OUTPUTS: u32 = 400;
/// Timeouts at one and the same time.
const MOST_LOOKS: u32 = 100;
/// A datagram that every path carries.
const LONGEST: usize = 1_400;

pub(super) fn server() -> SocketAddr {
    ([192, 0, 2, 1], 3_000).into()
}

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5_000);

/// Somebody else.
fn stranger(number: u8) -> SocketAddr {
    match number % 4 {
        // Behind the client's NAT.
        0 => ([192, 0, 2, 2], 6_000 + u16::from(number)).into(),
        _ => ([198, 51, 100, number], 7_000).into(),
    }
}

pub(super) fn config(local: SocketAddr) -> Config {
    Config { seed: Some(7), max_message_size: MESSAGE, ..Config::new(vec![local]) }
}

/// One end: what it says is checked as it says it.
pub(super) struct Side {
    pub(super) endpoint: Endpoint<u8>,
    pub(super) is_open: bool,
    pub(super) closed: Option<CloseReason>,
    pub(super) received: Vec<Bytes>,
    /// What it sends, oldest first.
    pub(super) sent: VecDeque<Transmit>,
    pub(super) wake: Option<Instant>,
}

impl Side {
    pub(super) fn new(config: Config) -> Side {
        Side {
            endpoint: Endpoint::new(config),
            is_open: false,
            closed: None,
            received: Vec::new(),
            sent: VecDeque::new(),
            wake: None,
        }
    }

    /// Takes all there is; the events of a peer are `Open? Received* Closed`.
    pub(super) fn drain(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            match self.endpoint.poll_output() {
                Output::Timeout(wake) => return self.wake = wake,
                Output::Transmit(transmit) => {
                    assert!(transmit.contents.len() <= LONGEST, "a long datagram");
                    self.sent.push_back(transmit);
                }
                Output::Event(_, event) => self.follow(event),
            }
        }
        panic!("outputs without end");
    }

    fn follow(&mut self, event: Event) {
        assert_eq!(self.closed, None, "{event:?} after the end");
        match event {
            Event::Open => assert!(!std::mem::replace(&mut self.is_open, true), "opened twice"),
            Event::Received(message) => {
                assert!(self.is_open, "a message before the channel was open");
                assert!(message.len() <= MESSAGE, "a message of {}", message.len());
                self.received.push(message);
            }
            Event::Closed(reason) => {
                assert_ne!(reason, CloseReason::Panicked);
                self.closed = Some(reason);
            }
        }
    }

    fn take(&mut self, now: Instant, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let datagram = Input::Datagram { source, destination, contents: bytes };
        self.endpoint.handle_input(now, datagram);
        self.drain();
    }

    /// Lets time pass; whoever wants to be woken now is, and then no more.
    pub(super) fn wait(&mut self, now: Instant) {
        for _ in 0..MOST_LOOKS {
            self.endpoint.handle_input(now, Input::Timeout);
            self.drain();
            if self.wake.is_none_or(|wake| wake > now) {
                return;
            }
        }
        panic!("an endpoint that never sleeps");
    }
}

/// Two ends.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) server: Side,
    pub(super) client: Side,
    /// Bytes from and to whoever has sent nothing genuine.
    strangers: HashMap<SocketAddr, (usize, usize)>,
    /// Whence something genuine has come, though perhaps as a copy.
    proven: HashSet<SocketAddr>,
    numbered: u64,
}

impl Pair {
    /// With offer and answer exchanged. TSNs are known in advance where they are `fixed`.
    pub(super) fn signalled(fixed: bool) -> Pair {
        let now = Instant::now();
        let tsn = |tsn| fixed.then_some(tsn);
        let here = Config { initial_tsn: tsn(SERVER_TSN), ..config(server()) };
        let there = Config { initial_tsn: tsn(CLIENT_TSN), ..config(CLIENT) };
        let (server, client) = (Side::new(here), Side::new(there));
        let mut pair = Pair {
            now,
            server,
            client,
            strangers: HashMap::new(),
            proven: HashSet::from([CLIENT]),
            numbered: 0,
        };
        let offer = pair.server.endpoint.offer(now, 0).expect("a free key");
        let answer = pair.client.endpoint.accept_offer(now, 0, &offer.sdp).expect("a good offer");
        pair.server.endpoint.accept_answer(now, &0, &answer).expect("a good answer");
        pair.look();
        pair
    }

    /// Both open.
    pub(super) fn opened(fixed: bool) -> Pair {
        let mut pair = Pair::signalled(fixed);
        pair.run(Duration::from_secs(2));
        assert!(pair.server.is_open && pair.client.is_open, "an honest pair opens");
        pair
    }

    fn look(&mut self) {
        self.server.drain();
        self.client.drain();
        self.account();
    }

    /// A network without faults for a while.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while self.up() || self.down() {}
            let next = [self.server.wake, self.client.wake].into_iter().flatten().min();
            self.wait(next.unwrap_or(end).clamp(self.now, end));
        }
    }

    pub(super) fn wait(&mut self, now: Instant) {
        self.now = now;
        self.server.wait(now);
        self.client.wait(now);
        self.account();
    }

    /// One datagram to the server, as it was sent.
    fn up(&mut self) -> bool {
        let Some(datagram) = self.client.sent.pop_front() else { return false };
        self.genuine(CLIENT, &datagram);
        true
    }

    fn genuine(&mut self, source: SocketAddr, datagram: &Transmit) {
        // From now on nobody can tell who the client is but by its password.
        self.strangers.remove(&source);
        self.proven.insert(source);
        self.server.take(self.now, source, datagram.destination, &datagram.contents);
        self.account();
    }

    /// One datagram to the client, if it is for the client.
    fn down(&mut self) -> bool {
        let Some(datagram) = self.server.sent.pop_front() else { return false };
        if datagram.destination == CLIENT {
            self.client.take(self.now, datagram.source, CLIENT, &datagram.contents);
        }
        true
    }

    /// Notes what the server has sent to strangers: never more than came from there.
    fn account(&mut self) {
        for datagram in &mut self.server.sent {
            if let Some((came, went)) = self.strangers.get_mut(&datagram.destination) {
                *went += datagram.contents.len();
                assert!(*went <= *came, "{went} bytes to a stranger who sent {came}");
            }
        }
        self.server.sent.retain(|datagram| !self.strangers.contains_key(&datagram.destination));
    }

    /// Bytes that are nobody's, from anywhere.
    fn forged(&mut self, source: SocketAddr, bytes: &[u8]) {
        if !self.proven.contains(&source) {
            self.strangers.entry(source).or_default().0 += bytes.len();
        }
        self.server.take(self.now, source, server(), bytes);
        self.account();
    }

    /// Whatever the bytes say.
    pub(super) fn script(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while !u.is_empty() && (self.server.closed.is_none() || self.client.closed.is_none()) {
            self.step(u)?;
            assert!(self.server.endpoint.len() <= 1);
        }
        Ok(())
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31_u8)? {
            0..=4 => _ = self.up(),
            5..=8 => _ = self.down(),
            9 => _ = self.client.sent.pop_front(),
            10 => _ = self.server.sent.pop_front(),
            11 | 12 => self.corrupt(u)?,
            13 => self.twice(u)?,
            14 => self.client.sent.rotate_left(self.client.sent.len().min(1)),
            15..=17 => self.raw(u)?,
            18 => self.stun(u)?,
            19 | 20 => {
                let time = u.int_in_range(0..=400)?;
                self.wait(self.now + Duration::from_millis(time));
            }
            21 => self.wait(self.now + Duration::from_millis(u.arbitrary::<u16>()?.into())),
            22 => self.run(Duration::from_millis(u.int_in_range(0..=300)?)),
            23 if u.ratio(1, 4)? => {
                self.server.endpoint.close(self.now, &0);
                self.look();
            }
            24 if u.ratio(1, 4)? => {
                self.client.endpoint.close(self.now, &0);
                self.look();
            }
            23..=25 => self.say(u)?,
            _ => self.odd(u)?,
        }
        Ok(())
    }

    /// One datagram with a byte changed, or its end cut off.
    fn corrupt(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(mut datagram) = self.client.sent.pop_front() else { return Ok(()) };
        let at = usize::from(u.arbitrary::<u16>()?) % datagram.contents.len().max(1);
        match u.arbitrary::<u8>()? {
            0 => datagram.contents.truncate(at),
            change => datagram.contents[at] ^= change,
        }
        self.forged(CLIENT, &datagram.contents);
        Ok(())
    }

    /// One datagram and a copy of it, from there or from elsewhere.
    fn twice(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(datagram) = self.client.sent.front().cloned() else { return Ok(()) };
        let source = match u.arbitrary::<u8>()? {
            0..128 => CLIENT,
            number => stranger(number),
        };
        self.genuine(source, &datagram);
        Ok(())
    }

    fn raw(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let source = match u.arbitrary::<u8>()? {
            0..128 => CLIENT,
            number => stranger(number),
        };
        let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
        self.forged(source, u.bytes(size)?);
        Ok(())
    }

    /// A binding request (RFC 8489 §5) to a user that is there, and with any other attributes.
    fn stun(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let attributes = {
            let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
            u.bytes(size)?
        };
        let mut bytes = vec![0, 1];
        bytes.extend((attributes.len() as u16).to_be_bytes());
        bytes.extend([0x21, 0x12, 0xa4, 0x42]);
        bytes.extend([9; 12]);
        bytes.extend_from_slice(attributes);
        let source = stranger(u.arbitrary()?);
        self.forged(source, &bytes);
        Ok(())
    }

    /// A message on either side.
    fn say(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let size = match u.int_in_range(0..=7_u8)? {
            0 => u.int_in_range(0..=MESSAGE - 8)?,
            _ => u.int_in_range(0..=100_usize)?,
        };
        self.numbered += 1;
        let message = [&self.numbered.to_be_bytes()[..], &vec![0; size]].concat();
        let side = if u.arbitrary()? { &mut self.server } else { &mut self.client };
        let sent = side.endpoint.send(self.now, &0, message).is_ok();
        assert!(side.is_open || !sent, "sent before it was open");
        self.look();
        Ok(())
    }

    /// What decrypts, and is not what an honest client says.
    fn odd(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let numbers = Numbers {
            own: CLIENT_TSN.wrapping_add(self.numbered as u32),
            other: SERVER_TSN.wrapping_add(self.numbered as u32),
        };
        let chunks = chunks(u, numbers)?;
        self.client.endpoint.inject_chunks(self.now, &0, &chunks);
        self.look();
        if u.arbitrary()? {
            self.up();
        }
        Ok(())
    }

    /// What must be true at the end, whatever happened.
    pub(super) fn finish(&mut self) {
        let mut numbered: Vec<_> =
            self.server.received.iter().filter(|m| m.len() >= 8 && m[..4] == [0; 4]).collect();
        let all = numbered.len();
        numbered.sort();
        numbered.dedup();
        assert_eq!(all, numbered.len(), "a message came twice");
        // Nobody speaks any more: within half a minute the server is alone.
        self.client.sent.clear();
        for _ in 0..60 {
            self.server.sent.clear();
            self.now += Duration::from_millis(500);
            self.server.wait(self.now);
        }
        assert!(self.server.closed.is_some() && self.server.endpoint.is_empty(), "it stays");
        assert_eq!(self.server.wake, None, "nobody is left to be woken for");
    }
}
