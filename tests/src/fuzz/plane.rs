//! Plain SCTP packets into the data plane: before the channel is open, once it is, and on the
//! way back to SCTP, with what the application sends meanwhile.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use net_rtc::Config;
use net_rtc::testing::{BareDataPath, write_checksum};

use super::chunks::{Numbers, chunks};

const OURS: u32 = 500_000;
/// Near the wrap.
const THEIRS: u32 = u32::MAX - 20;
const OUR_TAG: u32 = 0xaaaa_aaaa;
const THEIR_TAG: u32 = 0xbbbb_bbbb;
const STREAM: u16 = 1;
const MESSAGE: usize = 4_000;
/// DTLS and UDP around it, and every path carries it.
const LONGEST: usize = 1_150;
/// Packets that one flush may make: a message of the longest kind, and what must be said.
const MOST_PACKETS: usize = 64;
/// Looks at one and the same time.
const MOST_LOOKS: u32 = 16;

const SACK: u8 = 3;
const FORWARDS: [u8; 4] = [0xc0, 0, 0, 4];

/// The first byte chooses how the association began.
///
/// # Panics
/// If the plane breaks a promise: what it sends is well-formed and acknowledges only what came,
/// no message is longer than allowed, and it does not ask for the present time without end.
pub fn run(data: &[u8]) {
    let Some((beginning, rest)) = data.split_first() else { return };
    let mut bench = Bench::new();
    bench.begin(*beginning);
    _ = bench.script(&mut Unstructured::new(rest));
}

struct Bench {
    now: Instant,
    carrier: BareDataPath,
    is_over: bool,
    /// Every TSN of the peer that was ever named to us.
    named: HashSet<u32>,
    acknowledged: Option<u32>,
    /// DATA and FORWARD-TSN chunks that came.
    came: usize,
    received: usize,
}

fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend_from_slice(chunks);
    write_checksum(&mut packet);
    packet
}

fn init(kind: u8, tag: u32, tsn: u32, parameters: &[u8]) -> Vec<u8> {
    let length = 20 + parameters.len() as u16;
    let mut chunk = vec![kind, 0];
    chunk.extend(length.to_be_bytes());
    chunk.extend(tag.to_be_bytes());
    chunk.extend([0, 16, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    chunk.extend(tsn.to_be_bytes());
    chunk.extend_from_slice(parameters);
    chunk
}

/// What opens the channel, and what says that it is (RFC 8832 §5).
fn dcep(tsn: u32, payload: &[u8]) -> Vec<u8> {
    let mut chunk = vec![0, 3];
    chunk.extend((16 + payload.len() as u16).to_be_bytes());
    chunk.extend(tsn.to_be_bytes());
    chunk.extend(STREAM.to_be_bytes());
    chunk.extend([0, 0, 0, 0, 0, 50]);
    chunk.extend_from_slice(payload);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

impl Bench {
    fn new() -> Bench {
        let now = Instant::now();
        let config = Config {
            max_message_size: MESSAGE,
            ..Config::new(vec![([192, 0, 2, 1], 3_000).into()])
        };
        Bench {
            now,
            carrier: BareDataPath::new(now, &config),
            is_over: false,
            named: HashSet::from([THEIRS.wrapping_sub(1)]),
            acknowledged: None,
            came: 0,
            received: 0,
        }
    }

    /// An honest beginning, or a part of one.
    fn begin(&mut self, beginning: u8) {
        let parameters: &[u8] = if beginning & 4 == 0 { &FORWARDS } else { &[] };
        let (ours, theirs) = match beginning & 1 {
            0 => (1, 2),
            _ => (2, 1),
        };
        let our_init = packet(THEIR_TAG, &init(ours, OUR_TAG, OURS, &FORWARDS));
        let their_init = packet(OUR_TAG, &init(theirs, THEIR_TAG, THEIRS, parameters));
        if beginning & 8 == 0 {
            self.carrier.on_dtls_connected();
            self.carrier.filter_outbound(&our_init);
            self.inbound(&their_init);
            self.inbound(&packet(OUR_TAG, &[10, 0, 0, 8, 1, 2, 3, 4]));
            self.carrier.filter_outbound(&packet(THEIR_TAG, &[11, 0, 0, 4]));
            self.carrier.filter_outbound(&packet(THEIR_TAG, &dcep(OURS, &[3; 20])));
            self.inbound(&packet(OUR_TAG, &dcep(THEIRS, &[2])));
        }
        if beginning & 2 == 0 {
            self.carrier.activate(STREAM);
        }
        self.look();
    }

    fn script(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let numbers = Numbers { own: THEIRS.wrapping_add(1), other: OURS.wrapping_add(1) };
        let mut grown = 0;
        while !u.is_empty() && !self.is_over {
            match u.int_in_range(0..=15_u8)? {
                0..=6 => {
                    let own = numbers.own.wrapping_add(grown);
                    let chunks = chunks(u, Numbers { own, ..numbers })?;
                    self.inbound(&packet(OUR_TAG, &chunks));
                    grown = grown.wrapping_add(u.int_in_range(0..=3_u32)?);
                }
                7..=9 => self.send(u)?,
                10 | 11 => self.wait(Duration::from_millis(u.int_in_range(0..=3_000)?)),
                12 => self.wake(),
                13 => {
                    let back = Numbers { own: OURS, other: THEIRS };
                    let packet = packet(THEIR_TAG, &chunks(u, back)?);
                    // Our own SCTP sends nothing else, and what it says is said again.
                    if whole(&packet) == packet.len() {
                        self.carrier.filter_outbound(&packet);
                    }
                }
                14 => self.carrier.send_path_challenge(u.arbitrary()?),
                _ if !self.carrier.is_active() && u.ratio(1, 8)? => self.carrier.activate(STREAM),
                _ => {
                    let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
                    self.inbound(u.bytes(size)?);
                }
            }
            self.look();
        }
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let size = match u.int_in_range(0..=3_u8)? {
            0 => u.int_in_range(0..=MESSAGE)?,
            _ => u.int_in_range(0..=200_usize)?,
        };
        self.carrier.send(vec![1; size].into(), u.arbitrary()?);
        self.carrier.flush();
        Ok(())
    }

    fn inbound(&mut self, packet: &[u8]) {
        each_chunk(packet, |kind, value| {
            self.came += usize::from(matches!(kind, 0 | 192));
            let named = match kind {
                0 | 192 => number(value, 0),
                // The number before the first that it promises.
                1 | 2 => number(value, 12).map(|first| first.wrapping_sub(1)),
                _ => None,
            };
            self.named.extend(named);
        });
        self.carrier.filter_inbound(packet);
        _ = self.carrier.poll_path_response();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.carrier.set_now(self.now);
        self.carrier.flush();
    }

    fn wake(&mut self) {
        if let Some(at) = self.carrier.next_timeout() {
            self.wait(at.saturating_duration_since(self.now));
        }
    }

    /// Takes what there is, and checks it; whoever wants to be woken now is, and then no more.
    fn look(&mut self) {
        for _ in 0..MOST_LOOKS {
            self.carrier.flush();
            _ = self.carrier.poll_synthetic();
            let mut packets = 0;
            while let Some(packet) = self.carrier.poll_packet() {
                packets += 1;
                assert!(packets <= MOST_PACKETS, "packets without end");
                self.check(&packet);
            }
            while let Some(message) = self.carrier.poll_message() {
                self.received += 1;
                assert!(message.len() <= MESSAGE, "a message of {}", message.len());
                assert!(self.received <= self.came, "more messages than came");
            }
            self.is_over |= self.carrier.has_failed();
            if self.is_over || self.carrier.next_timeout().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("a plane that never sleeps");
    }

    fn check(&mut self, packet: &[u8]) {
        assert!(packet.len() <= LONGEST && packet.len() >= 16, "{} bytes", packet.len());
        let mut sealed = packet.to_vec();
        write_checksum(&mut sealed);
        assert_eq!(sealed, packet, "its checksum is right");
        assert_eq!(whole(packet), packet.len(), "nothing but whole chunks");
        if !self.carrier.is_active() {
            // What SCTP said, once more.
            return;
        }
        each_chunk(packet, |kind, value| {
            if let (SACK, Some(tsn)) = (kind, number(value, 0)) {
                assert!(self.named.contains(&tsn), "{tsn} never came");
                let before = self.acknowledged.replace(tsn).unwrap_or(tsn);
                assert!(ahead(tsn, before) >= 0, "acknowledgements never go back");
            }
        });
    }
}

/// How far a packet is header and whole chunks.
fn whole(packet: &[u8]) -> usize {
    let mut whole = 12;
    each_chunk(packet, |_, value| whole += (4 + value.len()).next_multiple_of(4));
    whole
}

/// How far a number is ahead of another (RFC 1982).
fn ahead(tsn: u32, of: u32) -> i32 {
    tsn.wrapping_sub(of) as i32
}

fn number(value: &[u8], at: usize) -> Option<u32> {
    value.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn each_chunk(packet: &[u8], mut look: impl FnMut(u8, &[u8])) {
    let mut rest = packet.get(12..).unwrap_or_default();
    while let [kind, _, high, low, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(value) = rest.get(4..length) else { return };
        look(*kind, value);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}
