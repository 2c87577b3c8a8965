//! Calls on the real handles in any order, over a network that does as it should, with clients
//! that stop reading now and then.

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use net::{Delivery, PeerId, SendError, SendOptions};

use super::rig::{Life, MESSAGE, Rig};

const CLIENTS: usize = 2;

/// The bytes are the calls.
///
/// # Panics
/// If the server breaks a promise: what is refused comes back and is refused for a true reason,
/// what was accepted reliably arrives whole and in order or as a prefix, nothing unreliable
/// arrives twice, ids that nobody has are no error, every life is `Open Received* Closed`.
pub fn run(data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut play = Play { rig: Rig::new(), accepted: HashMap::new(), numbered: 0 };
    play.rig.open(CLIENTS);
    _ = play.script(&mut Unstructured::new(data));
    play.finish();
}

struct Play {
    rig: Rig,
    /// What was accepted for whom, reliably, as far as the caller was told.
    accepted: HashMap<PeerId, Vec<Bytes>>,
    numbered: u64,
}

/// Mostly somebody who is there; sometimes nobody.
fn target(u: &mut Unstructured<'_>) -> Result<PeerId> {
    Ok(PeerId::from(match u.int_in_range(0..=7_u8)? {
        0 => u.arbitrary()?,
        number => u64::from(number % 3),
    }))
}

impl Play {
    fn script(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while !u.is_empty() {
            self.step(u)?;
            self.rig.check_bounds();
        }
        Ok(())
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31_u8)? {
            0..=7 => return self.try_send(u),
            8..=11 => return self.broadcast(u),
            12 | 13 => return self.send_latest(u),
            14 => return self.look(u),
            15 | 16 => {
                let (id, is_meant) = (target(u)?, u.ratio(1, 4)?);
                if let Some(server) = self.rig.server.as_ref().filter(|_| is_meant) {
                    server.close(id);
                }
            }
            17 => self.pop(),
            18 => _ = self.rig.take_events(),
            19 if u.ratio(1, 16)? => self.rig.queue = None,
            20 if u.ratio(1, 16)? => self.rig.server = None,
            19..=21 => self.rig.turn(),
            22 if self.rig.guests.len() < 5 && u.ratio(1, 8)? => self.rig.join(true),
            22..=24 => {
                let (guest, most) = (u.choose_index(self.rig.guests.len())?, u.arbitrary::<u16>()?);
                self.rig.write(guest, most.into());
                self.rig.hear(guest, usize::MAX);
            }
            25 | 26 => return self.speak(u),
            27 | 28 => self.rig.calm(Duration::from_millis(u.int_in_range(1..=60)?)),
            29 if u.ratio(1, 16)? => self.rig.wait(Duration::from_secs(u.int_in_range(0..=40)?)),
            _ => self.rig.wait(Duration::from_millis(u.int_in_range(0..=300)?)),
        }
        Ok(())
    }

    fn message(&mut self, u: &mut Unstructured<'_>) -> Result<Bytes> {
        let size = match u.int_in_range(0..=7_u8)? {
            0 => u.int_in_range(0..=MESSAGE + 10)?,
            _ => u.int_in_range(0..=100_usize)?,
        };
        self.numbered += 1;
        Ok([&self.numbered.to_be_bytes()[..], &vec![0; size]].concat().into())
    }

    fn try_send(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (id, message) = (target(u)?, self.message(u)?);
        let Some(server) = &self.rig.server else { return Ok(()) };
        let delivery = if u.arbitrary()? { Delivery::Reliable } else { Delivery::Unreliable };
        let is_there = server.peer(id).is_some();
        let sent = server.try_send(delivery, id, message.clone());
        match &sent {
            Ok(()) => assert!(is_there && message.len() <= MESSAGE),
            Err(SendError::TooLarge(_)) => assert!(message.len() > MESSAGE),
            Err(SendError::NoSuchPeer(_)) => {}
            Err(SendError::Full(_)) => assert_eq!((delivery, is_there), (Delivery::Reliable, true)),
            Err(other) => panic!("{other} from a server that runs"),
        }
        match sent {
            Ok(()) if delivery == Delivery::Reliable => {
                self.accepted.entry(id).or_default().push(message);
            }
            Ok(()) => {}
            Err(error) => assert_eq!(error.into_message(), message, "it comes back"),
        }
        Ok(())
    }

    fn broadcast(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let message = self.message(u)?;
        let (kind, key) = (u.int_in_range(0..=2_u8)?, u.int_in_range(0..=3)?);
        let Some(server) = &self.rig.server else { return Ok(()) };
        match kind {
            0 => server.broadcast_unreliable(message),
            1 => server.broadcast_latest(key, message),
            _ => server.broadcast_unreliable_with(message, SendOptions::default().repair(true)),
        }
        Ok(())
    }

    fn send_latest(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (id, key, message) = (target(u)?, u.int_in_range(0..=3)?, self.message(u)?);
        let Some(server) = &self.rig.server else { return Ok(()) };
        server.send_latest(id, key, message);
        Ok(())
    }

    /// What only looks changes nothing and agrees with itself.
    fn look(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let id = target(u)?;
        let Some(server) = &self.rig.server else { return Ok(()) };
        let stats = server.stats();
        assert_eq!(stats, server.clone().stats());
        assert!(stats.open_peers <= stats.peers_opened && stats.peers_opened <= stats.tcp_accepted);
        if server.peer(id).is_some() {
            assert_eq!(server.close_reason(id), None, "it lives");
        }
        _ = server.connect_failures();
        Ok(())
    }

    fn pop(&mut self) {
        if let Some(event) = self.rig.queue.as_ref().and_then(net::EventQueue::pop) {
            self.rig.follow(&event);
        }
    }

    /// A client says something, or leaves.
    fn speak(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let guest = u.choose_index(self.rig.guests.len())?;
        let (choice, size, now) =
            (u.arbitrary::<u8>()?, u.int_in_range(0..=MESSAGE)?, self.rig.now);
        if let Some(agent) = &mut self.rig.guests[guest].agent {
            match choice {
                0 => agent.close_websocket(now),
                1 => agent.close_channel(now),
                2..128 => _ = agent.send(now, Delivery::Reliable, vec![1; size].into()),
                _ => _ = agent.send(now, Delivery::Unreliable, vec![1; size].into()),
            }
        }
        self.rig.drain();
        Ok(())
    }

    fn finish(mut self) {
        self.rig.calm(Duration::from_millis(300));
        self.rig.take_events();
        self.check_streams();
        self.rig.finish();
    }

    /// Reliable messages arrive as they were accepted, up to where the peer ended; unreliable
    /// ones at most once.
    fn check_streams(&self) {
        for (number, guest) in self.rig.guests.iter().take(CLIENTS).enumerate() {
            let id = PeerId::from(number as u64);
            let accepted = self.accepted.get(&id).map_or(&[][..], Vec::as_slice);
            assert!(accepted.starts_with(&guest.reliable), "not a prefix of what was accepted");
            if self.rig.lives.get(&id) == Some(&Life::Open) && self.rig.queue.is_some() {
                assert_eq!(accepted.len(), guest.reliable.len(), "it lives, and something is lost");
            }
            let mut unreliable = guest.unreliable.clone();
            unreliable.sort();
            unreliable.dedup();
            assert_eq!(unreliable.len(), guest.unreliable.len(), "something came twice");
        }
    }
}
