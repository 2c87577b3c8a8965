//! Anti-amplification limit for unvalidated addresses (cf. RFC 9000 §8.1).

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::dtls::HANDSHAKE_MTU;
use crate::event::Transmit;

/// Initial credit of an address, from which one authenticated check has arrived, in datagrams and
/// bytes: three ClientHellos and a reserve.
const INITIAL_DATAGRAMS: u32 = 3;
const INITIAL_BYTES: usize = 3 * 1024;
/// Maximum number of datagrams held back until their address has credit.
const MAX_HELD_DATAGRAMS: usize = 3;

/// Limits the data sent to an unvalidated address. An attacker that has the password can send
/// checks with a spoofed source, and nominate any address, so that a handshake would be sent to a
/// victim. Responses to checks are not limited: they are shorter than the checks.
///
/// ```text
///   Handshake --DTLS connected--> DtlsConnected --active path is the validated one--> Lifted
///                                         '--------- path challenge answered ----------^
/// ```
/// The answerer begins in `Lifted`: it sends to the candidates of the offer.
#[derive(Debug)]
pub(crate) enum AmplificationLimit {
    /// DTLS is not connected. Each further datagram from an address adds credit for one of ours,
    /// and datagrams without credit are held back: if the DTLS records of a browser are lost, only
    /// its checks arrive. DTLS sends few datagrams, because it doubles its retransmission timeout,
    /// and gives up.
    Handshake(AddrCredits, VecDeque<Transmit>),
    /// DTLS is connected. A peer that completes the handshake has received our datagrams, so their
    /// address is validated, if all of them went to one. Other addresses get as many bytes as they
    /// have sent; datagrams without credit are dropped.
    DtlsConnected { validated: Option<SocketAddr>, credits: AddrCredits },
    /// No limit: the active path is validated.
    Lifted,
}

/// Credit of each address. Addresses past the bound have no entry, and are sent nothing.
#[derive(Debug)]
pub(crate) struct AddrCredits {
    by_addr: Vec<AddrCredit>,
    max_addrs: usize,
}

/// Datagrams and bytes that one unvalidated address may still get.
#[derive(Clone, Copy, Debug)]
struct AddrCredit {
    address: SocketAddr,
    datagrams: u32,
    bytes: usize,
    /// Whether anything has been sent there.
    used: bool,
}

impl AmplificationLimit {
    /// A limit with entries for at most this many addresses.
    pub(crate) fn new(most: usize) -> AmplificationLimit {
        AmplificationLimit::Handshake(
            AddrCredits { by_addr: Vec::new(), max_addrs: most },
            VecDeque::new(),
        )
    }

    /// Adds credit for a datagram of the peer from this address; returns a held datagram that it
    /// pays for.
    pub(crate) fn on_recv(&mut self, from: SocketAddr, bytes: usize) -> Option<Transmit> {
        match self {
            AmplificationLimit::Handshake(accounts, held) => {
                accounts.credit(from, bytes.max(HANDSHAKE_MTU));
                let next = held.iter().position(|transmit| accounts.try_debit(transmit))?;
                held.remove(next)
            }
            AmplificationLimit::DtlsConnected { credits: accounts, .. } => {
                accounts.credit(from, bytes);
                None
            }
            AmplificationLimit::Lifted => None,
        }
    }

    /// Returns the datagram if it may be sent now; otherwise holds it or drops it.
    pub(crate) fn try_send(&mut self, transmit: Transmit) -> Option<Transmit> {
        match self {
            AmplificationLimit::Handshake(accounts, held) => {
                if accounts.try_debit(&transmit) {
                    return Some(transmit);
                }
                held.truncate(MAX_HELD_DATAGRAMS - 1);
                held.push_front(transmit);
                None
            }
            AmplificationLimit::DtlsConnected { validated: proven, credits: accounts } => {
                let is_allowed =
                    *proven == Some(transmit.destination) || accounts.try_debit(&transmit);
                is_allowed.then_some(transmit)
            }
            AmplificationLimit::Lifted => Some(transmit),
        }
    }

    /// Handles the completion of the DTLS handshake.
    pub(crate) fn on_dtls_connected(&mut self) {
        if let AmplificationLimit::Handshake(accounts, _) = self {
            let none = AddrCredits { by_addr: Vec::new(), max_addrs: 0 };
            let accounts = std::mem::replace(accounts, none);
            *self = AmplificationLimit::DtlsConnected {
                validated: accounts.sole_destination(),
                credits: accounts,
            };
        }
    }

    /// Handles the open channel, whose data goes to the address `here`.
    pub(crate) fn on_channel_open(&mut self, here: SocketAddr) {
        if matches!(self, AmplificationLimit::DtlsConnected { validated, .. } if *validated == Some(here))
        {
            self.lift();
        }
    }

    /// Lifts the limit: the active path is validated.
    pub(crate) fn lift(&mut self) {
        *self = AmplificationLimit::Lifted;
    }

    pub(crate) fn is_lifted(&self) -> bool {
        matches!(self, AmplificationLimit::Lifted)
    }
}

impl AddrCredits {
    fn credit(&mut self, from: SocketAddr, bytes: usize) {
        let has_room = self.by_addr.len() < self.max_addrs;
        match self.by_addr.iter_mut().find(|account| account.address == from) {
            Some(account) => {
                account.datagrams = account.datagrams.saturating_add(1);
                account.bytes = account.bytes.saturating_add(bytes);
            }
            None if has_room => {
                let (datagrams, bytes) = (INITIAL_DATAGRAMS, INITIAL_BYTES);
                self.by_addr.push(AddrCredit { address: from, datagrams, bytes, used: false });
            }
            None => {}
        }
    }

    fn try_debit(&mut self, transmit: &Transmit) -> bool {
        let Transmit { destination, contents, .. } = transmit;
        let account = self.by_addr.iter_mut().find(|account| {
            account.address == *destination
                && account.datagrams > 0
                && account.bytes >= contents.len()
        });
        account.is_some_and(|account| {
            account.datagrams -= 1;
            account.bytes -= contents.len();
            account.used = true;
            true
        })
    }

    /// Returns the address that all datagrams went to, if it is only one.
    fn sole_destination(&self) -> Option<SocketAddr> {
        let mut used = self.by_addr.iter().filter(|account| account.used);
        used.next().filter(|_| used.next().is_none()).map(|account| account.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    fn flight(port: u16, size: usize) -> Transmit {
        let source = ([192, 0, 2, 1], 3_000).into();
        Transmit { source, destination: address(port), contents: vec![22; size] }
    }

    #[test]
    fn three_datagrams_go_out_for_one_check_and_one_for_each_further() {
        let mut allowance = AmplificationLimit::new(16);
        let allowed = |allowance: &mut AmplificationLimit| {
            (0..10).filter(|_| allowance.try_send(flight(1, HANDSHAKE_MTU)).is_some()).count()
        };
        allowance.on_recv(address(1), 120);
        assert_eq!(allowed(&mut allowance), 3);
        // Held datagrams come first.
        let released = (0..5).map(|_| allowance.on_recv(address(1), 120).is_some());
        assert_eq!(released.collect::<Vec<_>>(), [true, true, true, false, false]);
        assert_eq!(allowed(&mut allowance), 2);
    }

    #[test]
    fn three_kilobytes_are_the_bound_whatever_the_datagrams() {
        let mut allowance = AmplificationLimit::new(16);
        allowance.on_recv(address(1), 120);
        let sizes = [1_200, 1_200, 1_200, 600];
        let sent = sizes.map(|size| allowance.try_send(flight(1, size)).is_some());
        assert_eq!(sent, [true, true, false, true]);
        assert!(allowance.try_send(flight(1, 1)).is_none());
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_kept() {
        let mut allowance = AmplificationLimit::new(16);
        let nothing_came = |size| allowance.try_send(flight(1, size)).is_none();
        assert!((1..100).all(nothing_came));
        let came = (0..10).filter_map(|_| allowance.on_recv(address(1), 2_000));
        let sizes: Vec<_> = came.map(|transmit| transmit.contents.len()).collect();
        assert_eq!(sizes, [99, 98, 97]);
    }

    #[test]
    fn so_many_addresses_have_accounts_and_each_its_own() {
        let mut allowance = AmplificationLimit::new(2);
        (1..=3).for_each(|port| _ = allowance.on_recv(address(port), 120));
        let sent = [1, 2, 3, 2].map(|port| allowance.try_send(flight(port, 1_100)).is_some());
        assert_eq!(sent, [true, true, false, true]);
    }

    #[test]
    fn dtls_proves_the_one_address_that_it_went_to() {
        let mut allowance = AmplificationLimit::new(16);
        (1..=2).for_each(|port| _ = allowance.on_recv(address(port), 120));
        assert!(allowance.try_send(flight(1, 1_000)).is_some());
        allowance.on_dtls_connected();
        let sent = |allowance: &mut AmplificationLimit, port| {
            (0..10).filter(|_| allowance.try_send(flight(port, 1_000)).is_some()).count()
        };
        assert_eq!((sent(&mut allowance, 1), sent(&mut allowance, 2)), (10, 3));
        (0..25).for_each(|_| _ = allowance.on_recv(address(2), 120));
        assert_eq!(sent(&mut allowance, 2), 3, "72 bytes were left");
        allowance.on_channel_open(address(2));
        assert!(!allowance.is_lifted(), "nothing says that the peer is there");
        allowance.on_channel_open(address(1));
        assert!(allowance.is_lifted());
    }

    #[test]
    fn dtls_that_went_to_two_addresses_proves_neither() {
        let mut allowance = AmplificationLimit::new(16);
        for port in 1..=2 {
            allowance.on_recv(address(port), 120);
            assert!(allowance.try_send(flight(port, 500)).is_some());
        }
        allowance.on_dtls_connected();
        (1..=2).for_each(|port| allowance.on_channel_open(address(port)));
        assert!(!allowance.is_lifted());
        assert_eq!((0..9).filter(|_| allowance.try_send(flight(1, 100)).is_some()).count(), 2);
        allowance.lift();
        assert!(allowance.try_send(flight(1, 9_000)).is_some());
    }
}
