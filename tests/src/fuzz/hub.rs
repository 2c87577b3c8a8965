//! The whole server where everything arrives in pieces, late, changed or not at all: bytes of
//! several connections, ends, datagrams, and a clock that jumps.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use net::hub::Input;

use super::rig::{Rig, server};

/// Connections that are made in all.
const MOST_GUESTS: usize = 8;

/// The bytes are what happens.
///
/// # Panics
/// If the server breaks a promise: every life is `Open Received* Closed`, what waits is bounded,
/// nothing is sent to an address that has sent nothing, and it ends in time.
pub fn run(data: &[u8]) {
    let mut rig = Rig::new();
    _ = script(&mut rig, &mut Unstructured::new(data));
    rig.finish();
}

fn script(rig: &mut Rig, u: &mut Unstructured<'_>) -> Result<()> {
    while !u.is_empty() {
        if rig.guests.is_empty() {
            rig.join(u.ratio(3, 4)?);
        }
        let guest = u.choose_index(rig.guests.len())?;
        step(rig, guest, u)?;
        rig.check_bounds();
    }
    Ok(())
}

fn step(rig: &mut Rig, guest: usize, u: &mut Unstructured<'_>) -> Result<()> {
    match u.int_in_range(0..=31_u8)? {
        0..=4 => _ = rig.read(guest, u.arbitrary::<u16>()?.into()),
        5..=7 => _ = rig.write(guest, u.arbitrary::<u16>()?.into()),
        8..=10 => _ = rig.hear(guest, u.arbitrary::<u16>()?.into()),
        11..=13 => _ = rig.datagram_up(guest),
        14..=16 => _ = rig.datagram_down(guest),
        17 => change(rig, guest, u)?,
        18 => _ = rig.guests[guest].datagrams_up.pop_front(),
        19 => datagram(rig, guest, u)?,
        20 => bytes(rig, guest, u)?,
        21 if u.ratio(1, 4)? => end(rig, guest),
        22 if rig.guests.len() < MOST_GUESTS => rig.join(u.ratio(3, 4)?),
        23 => _ = rig.take_events(),
        24 => serve(rig, u)?,
        25 | 26 => rig.calm(Duration::from_millis(u.int_in_range(1..=200)?)),
        27 => rig.wait(Duration::from_millis(u.arbitrary::<u16>()?.into())),
        _ => rig.wait(Duration::from_millis(u.int_in_range(0..=100)?)),
    }
    Ok(())
}

/// A byte of a client's stream, or of its next datagram, is another.
fn change(rig: &mut Rig, guest: usize, u: &mut Unstructured<'_>) -> Result<()> {
    let (at, change, guest) =
        (usize::from(u.arbitrary::<u16>()?), u.arbitrary::<u8>()?, &mut rig.guests[guest]);
    let bytes = match guest.datagrams_up.front_mut() {
        Some(datagram) if u.arbitrary()? => &mut datagram.contents[..],
        _ => guest.up.make_contiguous(),
    };
    if !bytes.is_empty() {
        bytes[at % bytes.len()] ^= change;
    }
    Ok(())
}

/// A datagram that is nobody's, or a copy, from the client's address or elsewhere.
fn datagram(rig: &mut Rig, guest: usize, u: &mut Unstructured<'_>) -> Result<()> {
    let source = match u.int_in_range(0..=3_u8)? {
        0 => ([203, 0, 113, u.arbitrary()?], 9_000).into(),
        _ => rig.guests[guest].address,
    };
    let copy = rig.guests[guest].datagrams_up.front().map(|datagram| datagram.contents.clone());
    let contents = match copy {
        Some(copy) if u.arbitrary()? => copy,
        _ => {
            let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
            u.bytes(size)?.to_vec()
        }
    };
    rig.input(Input::Datagram { source, destination: server(), contents: &contents });
    Ok(())
}

/// Bytes on a connection that nobody honest sends.
fn bytes(rig: &mut Rig, guest: usize, u: &mut Unstructured<'_>) -> Result<()> {
    let size = usize::from(u.arbitrary::<u8>()?).min(u.len());
    let bytes = u.bytes(size)?;
    if let Some(id) = rig.guests[guest].connection {
        rig.input(Input::Bytes(id, bytes));
    }
    Ok(())
}

fn end(rig: &mut Rig, guest: usize) {
    if let Some(id) = rig.guests[guest].connection {
        rig.input(Input::End(id));
    }
}

/// The application does something.
fn serve(rig: &mut Rig, u: &mut Unstructured<'_>) -> Result<()> {
    let (choice, size) = (u.int_in_range(0..=7_u8)?, u.int_in_range(0..=1_000_usize)?);
    let Some(server) = &rig.server else { return Ok(()) };
    match choice {
        0 => server.close(u64::from(u.arbitrary::<u8>()? % 4)),
        1..=3 => server.broadcast_reliable(vec![2; size]),
        _ => server.broadcast_unreliable(vec![3; size]),
    }
    rig.turn();
    Ok(())
}
