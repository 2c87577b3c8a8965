//! A peer of the attacker's own: it gets in honestly, and then is no good.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::kit::{Kit, Plan};
use super::{Input, Tcp};
use crate::agent::{self, Agent, Manners};
use crate::plane::Plane;

/// From the end of a peer to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// How such peers behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conduct {
    /// How many there are at once.
    pub(super) most: usize,
    /// What they ask for.
    pub(super) path: &'static str,
    /// Whether all have one address and one ufrag.
    pub(super) twins: bool,
    /// Which of their own datagrams leave.
    pub(super) lets: fn(&Insider, &[u8]) -> bool,
    /// What they do again and again once they are open.
    pub(super) act: fn(&mut Insider, Instant, &mut Kit),
    /// From one time to the next.
    pub(super) pause: Duration,
}

impl Conduct {
    /// Two peers that do this 100 times a second.
    pub(super) fn new(act: fn(&mut Insider, Instant, &mut Kit)) -> Conduct {
        let pause = Duration::from_millis(10);
        Conduct { most: 2, path: "/", twins: false, lets: |_, _| true, act, pause }
    }
}

/// One peer.
#[derive(Debug)]
pub(super) struct Insider {
    pub(super) agent: Agent,
    pub(super) tcp: Tcp,
    /// Where its datagrams come from.
    pub(super) udp: SocketAddr,
    /// Whether its cable is plugged in: else nothing arrives or leaves.
    pub(super) plugged: bool,
    /// How often it has done what it does.
    pub(super) round: u32,
    /// The last datagrams that it wanted to send.
    pub(super) said: Vec<Vec<u8>>,
    /// Which address is next, for who changes it.
    pub(super) number: u32,
    /// The TSN that is next, and the server's highest, as far as known.
    pub(super) tsns: (u32, u32),
    state: State,
    wake: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Over,
}

/// Datagrams that are remembered.
const MEMORY: usize = 16;

/// Such peers at work.
#[derive(Debug)]
pub(super) struct Insiders {
    conduct: Conduct,
    members: Vec<Insider>,
    again: Vec<Instant>,
    joined: u32,
}

impl Insider {
    fn join(now: Instant, number: u32, conduct: &Conduct, kit: &mut Kit) -> Insider {
        let own = if conduct.twins { 0 } else { number };
        let udp = kit.means.udp(own);
        let tcp = kit.connect_from(SocketAddr::new(udp.ip(), 0));
        let drawn = kit.random.random();
        let seed = if conduct.twins { 1 } else { drawn };
        let rtc = Plane::Ours.client(udp, Some(seed));
        let agent = Agent::with(now, conduct.path, Manners::Good, rtc);
        let (state, said) = (State::Opening, Vec::new());
        let mut insider = Insider {
            agent,
            tcp,
            udp,
            plugged: true,
            round: 0,
            said,
            number,
            tsns: (0, 0),
            state,
            wake: None,
        };
        insider.flush(now, conduct, kit);
        insider
    }

    fn handle(&mut self, now: Instant, input: agent::Input<'_>, conduct: &Conduct, kit: &mut Kit) {
        if self.plugged {
            self.agent.handle_input(now, input);
            self.flush(now, conduct, kit);
        }
    }

    fn act(&mut self, now: Instant, conduct: &Conduct, kit: &mut Kit) {
        if self.state == State::Open {
            (conduct.act)(self, now, kit);
            self.round += 1;
            self.flush(now, conduct, kit);
        }
    }

    fn flush(&mut self, now: Instant, conduct: &Conduct, kit: &mut Kit) {
        while !self.agent.outgoing().is_empty() {
            let bytes = self.agent.outgoing().to_vec();
            self.agent.advance(now, bytes.len());
            if self.plugged {
                kit.write(self.tcp, bytes);
            }
        }
        loop {
            match self.agent.poll_output() {
                agent::Output::Timeout(wake) => return self.wake = wake,
                agent::Output::Open => {
                    self.state = State::Open;
                    self.agent.meddle(now, |endpoint| endpoint.ignore_violations(&()));
                }
                agent::Output::Closed(..) => self.state = State::Over,
                agent::Output::Received(..) => {}
                agent::Output::Transmit(transmit) => self.transmit(transmit.contents, conduct, kit),
            }
        }
    }

    fn transmit(&mut self, contents: Vec<u8>, conduct: &Conduct, kit: &mut Kit) {
        if self.plugged && (conduct.lets)(self, &contents) {
            kit.send(self.udp, contents.clone());
        }
        self.said.truncate(MEMORY - 1);
        self.said.insert(0, contents);
    }
}

impl Insiders {
    pub(super) fn new(conduct: Conduct) -> Insiders {
        Insiders { conduct, members: Vec::new(), again: Vec::new(), joined: 0 }
    }

    fn join(&mut self, now: Instant, kit: &mut Kit) {
        let member = Insider::join(now, self.joined, &self.conduct, kit);
        self.members.push(member);
        self.joined += 1;
    }

    /// Those that are over go, and others come in their place.
    fn replace(&mut self, now: Instant, kit: &mut Kit) {
        for gone in self.members.extract_if(.., |member| member.state == State::Over) {
            kit.end(gone.tcp);
            self.again.push(now + AGAIN);
        }
        let due = self.again.extract_if(.., |at| *at <= now).count();
        (0..due).for_each(|_| self.join(now, kit));
    }
}

impl Plan for Insiders {
    fn act(&mut self, now: Instant, kit: &mut Kit) {
        if self.members.len() + self.again.len() < self.conduct.most {
            self.join(now, kit);
        }
        self.members.iter_mut().for_each(|member| member.act(now, &self.conduct, kit));
        self.replace(now, kit);
    }

    fn pause(&self) -> Duration {
        self.conduct.pause
    }

    fn hear(&mut self, now: Instant, input: &Input<'_>, kit: &mut Kit) {
        for member in &mut self.members {
            let input = match *input {
                Input::Bytes(tcp, bytes) if tcp == member.tcp => agent::Input::Bytes(bytes),
                Input::End(tcp) if tcp == member.tcp => {
                    member.state = State::Over;
                    agent::Input::End
                }
                Input::Datagram { destination, contents } if destination == member.udp => {
                    agent::Input::Datagram(kit.server(), contents)
                }
                Input::Timeout if member.wake.is_some_and(|at| at <= now) => agent::Input::Timeout,
                _ => continue,
            };
            member.handle(now, input, &self.conduct, kit);
        }
        self.replace(now, kit);
    }

    fn wake(&self) -> Option<Instant> {
        let members = self.members.iter().filter(|member| member.plugged);
        members.filter_map(|member| member.wake).chain(self.again.iter().copied()).min()
    }
}
