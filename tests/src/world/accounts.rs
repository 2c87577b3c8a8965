//! Who was sent more than came from there: what a server is misused for that answers anyone.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Bytes of datagrams from and to one address, as the server sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes that came from there.
    pub received: u64,
    /// Bytes that were sent there.
    pub sent: u64,
    /// How far it is shown that what is sent there reaches whoever sends from there.
    proof: Proof,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Proof {
    #[default]
    None,
    /// A check came from there, by who is there.
    Checked,
    /// Something of the server's arrived there.
    Reached,
    /// The check was answered with success: its password is right. Or something came back from
    /// there after something had arrived there: it may answer a nonce.
    Shown,
}

/// More was sent somewhere than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Where.
    pub address: SocketAddr,
    /// What came from there, and what was sent.
    pub account: Account,
}

/// One for each address.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_address: BTreeMap<SocketAddr, Account>,
    excess: Vec<Excess>,
}

impl Accounts {
    /// A datagram came; `genuine` if its source is where its sender is.
    pub(super) fn receive(&mut self, source: SocketAddr, contents: &[u8], genuine: bool) {
        let account = self.by_address.entry(source).or_default();
        account.received += contents.len() as u64;
        let is_check = is_binding(contents, REQUEST);
        match account.proof {
            Proof::None if genuine && is_check => account.proof = Proof::Checked,
            Proof::Reached if genuine && !is_check => account.proof = Proof::Shown,
            _ => {}
        }
    }

    /// A datagram has arrived at who is there.
    pub(super) fn reach(&mut self, address: SocketAddr) {
        let account = self.by_address.entry(address).or_default();
        if account.proof != Proof::Shown {
            account.proof = Proof::Reached;
        }
    }

    /// A datagram was sent.
    pub(super) fn send(&mut self, address: SocketAddr, contents: &[u8]) {
        let account = self.by_address.entry(address).or_default();
        account.sent += contents.len() as u64;
        if is_binding(contents, SUCCESS) && account.proof == Proof::Checked {
            account.proof = Proof::Shown;
        }
        if account.proof != Proof::Shown && account.sent > account.received {
            self.excess.push(Excess { address, account: *account });
        }
    }

    pub(super) fn take_excess(&mut self) -> Vec<Excess> {
        std::mem::take(&mut self.excess)
    }
}

/// Types of messages (RFC 8489 §5).
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];

fn is_binding(contents: &[u8], kind: [u8; 2]) -> bool {
    contents.starts_with(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_shown_a_password_gets_no_more_than_came() {
        let here = ([192, 0, 2, 7], 7).into();
        let mut accounts = Accounts::default();
        accounts.receive(here, &[0, 1, 0, 0], false);
        accounts.send(here, &[1, 1, 0, 0]);
        assert_eq!(accounts.take_excess(), []);
        accounts.send(here, &[22]);
        assert_eq!(accounts.take_excess().len(), 1, "a forged source proves nothing");
        accounts.receive(here, &[0, 1, 0, 0, 0], true);
        accounts.send(here, &[22]);
        assert_eq!(accounts.take_excess(), [], "it came from there");
        accounts.send(here, &[1, 1, 0, 0, 0, 0, 0, 0]);
        accounts.send(here, &[22; 9_000]);
        assert_eq!(accounts.take_excess(), [], "it has the password");
    }

    #[test]
    fn who_answers_is_there() {
        let here = ([192, 0, 2, 7], 7).into();
        let mut accounts = Accounts::default();
        accounts.receive(here, &[23; 40], true);
        accounts.send(here, &[23; 40]);
        accounts.reach(here);
        accounts.send(here, &[23]);
        assert_eq!(accounts.take_excess().len(), 1, "it has not answered");
        accounts.receive(here, &[23], true);
        accounts.send(here, &[23; 40]);
        assert_eq!(accounts.take_excess(), []);
    }
}
