//! Frames, good and bad, into a websocket that is open, on either side, with what the
//! application does meanwhile.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use net_ws::{Config, Message, Socket};

use super::socket_life::{Life, Stage};

const REQUEST: &[u8] = b"GET /p?q=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const MASK: [u8; 4] = [1, 2, 3, 4];

/// The first byte chooses the side and whether there is more than bytes.
///
/// # Panics
/// If the socket breaks a promise.
pub fn run(data: &[u8]) {
    let Some((manners, rest)) = data.split_first() else { return };
    let is_server = manners & 1 == 0;
    // A script that ends early has said all it wanted.
    _ = match manners & 2 {
        0 => bytes_only(&mut Unstructured::new(rest), is_server),
        _ => anything(&mut Unstructured::new(rest), is_server),
    };
}

fn config() -> Config {
    Config { max_message_size: 2_000, send_buffer: 5_000, ..Config::default() }
}

/// An open socket, as another one or a good request made it.
fn open(is_server: bool) -> Life {
    let now = Instant::now();
    let mut server = Socket::accept(now, config());
    if is_server {
        let mut life = Life::new(now, server, config(), true);
        life.feed(REQUEST);
        life.write_all();
        return life;
    }
    let client = Socket::connect(now, config(), "h", "/").expect("a good address");
    let mut life = Life::new(now, client, config(), false);
    life.write_all();
    server.handle_input(now, net_ws::Input::Bytes(&life.written));
    life.feed(server.outgoing());
    life
}

/// However the bytes are cut, the same comes of them.
fn bytes_only(u: &mut Unstructured<'_>, is_server: bool) -> Result<()> {
    let step = 1 + usize::from(u.arbitrary::<u8>()?);
    let mut bytes = Vec::new();
    while !u.is_empty() && bytes.len() < 20_000 {
        frame(u, is_server, &mut bytes)?;
    }
    let outcome = |step| {
        let mut life = open(is_server);
        assert_eq!(life.stage, Stage::Upgraded);
        life.written.clear();
        bytes.chunks(step).for_each(|part| life.feed(part));
        life.write_all();
        life.finish();
        let written = if is_server { life.written } else { unmasked(&life.written) };
        (life.messages, life.reason, written)
    };
    assert!(outcome(usize::MAX) == outcome(step), "it matters how the bytes are cut");
    Ok(())
}

/// A frame, honest or not, or something that is none.
fn frame(u: &mut Unstructured<'_>, is_server: bool, bytes: &mut Vec<u8>) -> Result<()> {
    let first: u8 = u.arbitrary()?;
    let size = match u.int_in_range(0..=7_u8)? {
        0 => return raw(u, bytes),
        1..=4 => usize::from(u.arbitrary::<u8>()?),
        5 | 6 => usize::from(u.arbitrary::<u16>()?) % 3_000,
        _ => return announcing(u, is_server, first, bytes),
    };
    let masked = is_server != u.ratio(1, 16)?;
    let fill = u.arbitrary::<u8>()?;
    let payload: Vec<u8> = match u.ratio(1, 2)? {
        true => u.bytes(size.min(u.len()))?.to_vec(),
        false => vec![fill; size],
    };
    head(first, payload.len() as u64, masked, bytes);
    let mask = if masked { MASK } else { [0; 4] };
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(())
}

fn raw(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
    bytes.extend_from_slice(u.bytes(size)?);
    Ok(())
}

/// A frame that is longer, or says that it is, than it turns out.
fn announcing(
    u: &mut Unstructured<'_>,
    is_server: bool,
    first: u8,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    head(first, u.arbitrary()?, is_server, bytes);
    raw(u, bytes)
}

fn head(first: u8, size: u64, masked: bool, bytes: &mut Vec<u8>) {
    let bit = if masked { 0x80 } else { 0 };
    bytes.push(first);
    match size {
        0..126 => bytes.push(bit | size as u8),
        126..65_536 => {
            bytes.push(bit | 126);
            bytes.extend((size as u16).to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend(size.to_be_bytes());
        }
    }
    bytes.extend(&MASK[..if masked { 4 } else { 0 }]);
}

/// A client's control frames with their masks, drawn by chance, taken off.
fn unmasked(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let [first, size, mask @ ..] = bytes {
        let size = usize::from(size & 0x7f);
        let (mask, rest) = mask.split_first_chunk::<4>().expect("a client masks");
        let payload = rest[..size].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        all.push(*first);
        all.extend(payload);
        bytes = &rest[size..];
    }
    all
}

/// Bytes, calls and time in any order.
fn anything(u: &mut Unstructured<'_>, is_server: bool) -> Result<()> {
    let mut life = open(is_server);
    let result = script(u, &mut life, is_server);
    life.close(1000, "");
    life.finish();
    result
}

fn script(u: &mut Unstructured<'_>, life: &mut Life, is_server: bool) -> Result<()> {
    while !u.is_empty() {
        match u.int_in_range(0..=15_u8)? {
            0 if u.ratio(1, 4)? => life.end(),
            1 if u.ratio(1, 4)? => life.close(u.arbitrary()?, "a reason"),
            2 => life.wait(Duration::from_millis(u.int_in_range(0..=20_000)?)),
            3 => life.socket.reset_idle_timer(life.now),
            4 => life.socket.accept_upgrade(life.now, Some("x")),
            5..=7 => life.write(u.int_in_range(0..=4_000)?),
            8 => life.send(Message::Text("text".repeat(u.int_in_range(0..=600)?))),
            9 => life.send(Message::Binary(vec![7; u.int_in_range(0..=2_500)?].into())),
            _ => {
                let mut bytes = Vec::new();
                frame(u, is_server, &mut bytes)?;
                let step = 1 + u.int_in_range(0..=300_usize)?;
                bytes.chunks(step).for_each(|part| life.feed(part));
            }
        }
        life.look();
    }
    Ok(())
}
