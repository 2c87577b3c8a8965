//! Tests of the local addresses: appearing, disappearing, not ready, in use.

use crate::driver::local_addrs::*;

const PORT: u16 = 3000;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Parses `eth0 192.0.2.5`, or `-eth1 10.0.0.1` of an interface that is down.
fn found(text: &str) -> Vec<InterfaceAddr> {
    let mut words = text.split_whitespace();
    let mut found = Vec::new();
    while let (Some(name), Some(address)) = (words.next(), words.next()) {
        let (is_up, name) = (!name.starts_with('-'), name.trim_start_matches('-'));
        let is_bridge = !["lo", "eth0", "eth1", "wlan0"].contains(&name);
        found.push(InterfaceAddr { ip: ip(address), is_up, is_virtual: is_bridge });
    }
    found
}

fn plain(addresses: &[SocketAddr]) -> String {
    let plain = |addr: &SocketAddr| match addr.port() {
        PORT => addr.ip().to_string(),
        _ => addr.to_string(),
    };
    addresses.iter().map(plain).collect::<Vec<_>>().join(" ")
}

/// An address set, and a system that binds all addresses except those it refuses.
struct FakeHost {
    set: AddressSet,
    now: Instant,
    refused: Vec<(IpAddr, io::ErrorKind)>,
    steps: Vec<BindStep>,
    log: Vec<String>,
}

impl FakeHost {
    fn new(listens: &str, max: usize, public: &str) -> FakeHost {
        let public = public.split_whitespace().map(|ip| SocketAddr::new(ip.parse().unwrap(), PORT));
        let set = AddressSet::new(ListenScope::new(ip(listens)), PORT, max, public.collect());
        let (now, refused, steps, log) = (Instant::now(), Vec::new(), Vec::new(), Vec::new());
        FakeHost { set, now, refused, steps, log }
    }

    fn all(interfaces: &str) -> FakeHost {
        let mut machine = FakeHost::new("::", 32, "");
        machine.find(interfaces);
        machine
    }

    fn find(&mut self, interfaces: &str) {
        self.set.set_interface_addrs(found(interfaces));
        self.turn();
    }

    fn arrive(&mut self, ip: IpAddr) {
        self.set.on_local_ip(self.now, ip);
    }

    fn refuse(&mut self, address: &str, cause: io::ErrorKind) {
        self.refused.push((ip(address), cause));
    }

    fn turn(&mut self) {
        while let Some(step) = self.set.next_step(self.now) {
            self.steps.push(step);
            let BindStep::Bind(address) = step else { continue };
            let refused = self.refused.iter().find(|(ip, _)| *ip == address.ip());
            self.log.extend(match refused {
                Some((ip, cause)) => self.set.on_bind_failed(self.now, *ip, &(*cause).into()),
                None => self.set.on_bound(address.ip(), address),
            });
        }
    }

    /// Returns the bound and the advertised addresses, if they have changed.
    fn change(&mut self) -> Option<(String, String)> {
        let ReachableAddrs { local_addrs: local, announced_addrs: announced } =
            self.set.take_change()?;
        Some((plain(&local), plain(&announced)))
    }

    #[track_caller]
    fn assert_told(&mut self, expected: &str) {
        assert_eq!(self.change().map(|(_, announced)| announced).as_deref(), Some(expected));
    }
}

#[test]
fn bridges_come_last_loopback_after_them_and_what_is_down_never() {
    let found = "lo 127.0.0.1 docker0 172.17.0.1 eth0 2001:db8::5 eth0 192.0.2.5 eth0 fe80::1 \
                 wlan0 198.51.100.5 -eth1 10.0.0.1 -kube-ipvs0 10.96.0.1 eth0 169.254.7.7";
    let mut both = FakeHost::all(found);
    both.assert_told("192.0.2.5 198.51.100.5 2001:db8::5 172.17.0.1 169.254.7.7 127.0.0.1");
    let mut ipv4 = FakeHost::new("0.0.0.0", 32, "");
    ipv4.find(found);
    ipv4.assert_told("192.0.2.5 198.51.100.5 172.17.0.1 169.254.7.7 127.0.0.1");
}

#[test]
fn addresses_come_go_and_are_replaced() {
    let mut machine = FakeHost::all("lo 127.0.0.1");
    machine.assert_told("127.0.0.1");
    machine.find("lo 127.0.0.1 eth0 192.0.2.5");
    machine.assert_told("192.0.2.5 127.0.0.1");
    machine.steps.clear();
    machine.find("lo 127.0.0.1 eth0 192.0.2.5");
    assert_eq!((machine.change(), &machine.steps[..]), (None, &[][..]), "nothing is new");
    machine.find("lo 127.0.0.1 eth0 192.0.2.6");
    machine.assert_told("192.0.2.6 127.0.0.1");
    let at = |ip| (self::ip(ip), PORT).into();
    assert_eq!(machine.steps, [BindStep::Close(at("192.0.2.5")), BindStep::Bind(at("192.0.2.6"))]);
    machine.find("");
    machine.assert_told("");
    assert_eq!(machine.set.next_timeout(machine.now), None);
}

#[test]
fn an_interface_that_goes_down_keeps_its_socket_and_is_not_told() {
    let mut machine = FakeHost::all("eth0 192.0.2.5 eth1 10.0.0.1");
    machine.assert_told("192.0.2.5 10.0.0.1");
    machine.steps.clear();
    machine.find("-eth0 192.0.2.5 eth1 10.0.0.1");
    let change = Some(("192.0.2.5 10.0.0.1".into(), "10.0.0.1".into()));
    assert_eq!((machine.change(), &machine.steps[..]), (change, &[][..]));
    machine.find("eth0 192.0.2.5 eth1 10.0.0.1");
    machine.assert_told("192.0.2.5 10.0.0.1");
}

#[test]
fn what_cannot_be_bound_is_left_out_with_its_reason_and_taken_once_it_can() {
    let mut machine = FakeHost::new("::", 32, "");
    machine.refuse("2001:db8::5", io::ErrorKind::AddrNotAvailable);
    machine.refuse("172.17.0.1", io::ErrorKind::AddrInUse);
    machine.find("eth0 192.0.2.5 eth0 2001:db8::5 docker0 172.17.0.1");
    machine.assert_told("192.0.2.5");
    assert!(!machine.set.is_unusable() && machine.set.has_port_conflict());
    let said = machine.log.join("\n");
    for words in
        ["UDP [2001:db8::5]:3000 is left out", "or not yet", "172.17.0.1:3000", "another program"]
    {
        assert!(said.contains(words), "{said}");
    }
    for _ in 0..5 {
        assert_eq!(machine.set.next_timeout(machine.now), Some(machine.now + BIND_RETRY_DELAY));
        machine.now += BIND_RETRY_DELAY;
        machine.turn();
    }
    assert_eq!((machine.log.len(), machine.change()), (2, None), "each is named once");
    machine.refused.clear();
    machine.arrive(ip("172.17.0.1"));
    machine.turn();
    machine.assert_told("192.0.2.5 172.17.0.1");
    machine.now += BIND_RETRY_DELAY;
    machine.turn();
    machine.assert_told("192.0.2.5 2001:db8::5 172.17.0.1");
    assert_eq!(
        machine.log[2..],
        ["UDP 172.17.0.1:3000 is bound now", "UDP [2001:db8::5]:3000 is bound now"]
    );
}

#[test]
fn a_server_without_any_port_of_use_is_hopeless_and_one_that_waits_is_not() {
    let is_hopeless = |listens: &str, refused: &[(&str, io::ErrorKind)]| {
        let mut machine = FakeHost::new(listens, 32, "");
        refused.iter().for_each(|(ip, cause)| machine.refuse(ip, *cause));
        machine.find("lo 127.0.0.1 eth0 192.0.2.5");
        machine.set.is_unusable()
    };
    let (taken, not_yet) = (io::ErrorKind::AddrInUse, io::ErrorKind::AddrNotAvailable);
    assert!(is_hopeless("0.0.0.0", &[("192.0.2.5", taken)]), "loopback is for this machine alone");
    assert!(!is_hopeless("0.0.0.0", &[("192.0.2.5", not_yet)]));
    assert!(!is_hopeless("0.0.0.0", &[("127.0.0.1", taken)]));
    assert!(is_hopeless("127.0.0.1", &[("127.0.0.1", taken)]));
    assert!(!is_hopeless("127.0.0.1", &[("192.0.2.5", taken)]));
    assert!(is_hopeless("192.0.2.5", &[("192.0.2.5", taken)]));
    assert!(!FakeHost::all("").set.is_unusable(), "a network may come");
}

#[test]
fn what_a_websocket_came_in_on_is_bound_at_once_and_goes_with_its_address() {
    let mut machine = FakeHost::all("eth0 192.0.2.5");
    machine.assert_told("192.0.2.5");
    // Before the next interface scan.
    machine.arrive(ip("198.51.100.5"));
    machine.turn();
    let own = |local: &str| Some((local.to_owned(), "192.0.2.5".to_owned()));
    assert_eq!(machine.change(), own("192.0.2.5 198.51.100.5"), "known to its own client");
    machine.find("eth0 192.0.2.5");
    assert_eq!(machine.change(), None);
    machine.find("eth0 192.0.2.5 eth0 198.51.100.5");
    machine.assert_told("192.0.2.5 198.51.100.5");
    machine.find("eth0 192.0.2.5");
    machine.assert_told("192.0.2.5");
    machine.arrive(ip("fe80::1"));
    assert_eq!(machine.set.next_timeout(machine.now), None, "of no use in a candidate");
}

#[test]
fn a_cut_list_keeps_what_is_of_use() {
    let mut machine = FakeHost::new("::", 4, "");
    let cluster: Vec<_> = (1..13).map(|n| format!("kube-ipvs0 10.96.0.{n}")).collect();
    let interfaces =
        format!("{} eth0 192.168.1.5 eth1 203.0.113.5 eth0 fd00::5", cluster.join(" "));
    machine.find(&interfaces);
    machine.assert_told("192.168.1.5 203.0.113.5 fd00::5 10.96.0.1");
    machine.arrive(ip("10.96.0.12"));
    machine.turn();
    machine.assert_told("192.168.1.5 203.0.113.5 fd00::5 10.96.0.12");
    (0..100).for_each(|n| machine.arrive([10, 97, 0, n].into()));
    machine.turn();
    assert_eq!(machine.set.slots.len(), 4, "never more than so many");
}

#[test]
fn public_addresses_stand_before_the_bound_ones() {
    let mut machine = FakeHost::new("0.0.0.0", 32, "203.0.113.5 203.0.113.6");
    machine.find("lo 127.0.0.1 eth0 10.0.0.3 eth1 203.0.113.6");
    let (local, announced) = machine.change().unwrap();
    assert_eq!(local, "10.0.0.3 203.0.113.6 127.0.0.1");
    assert_eq!(announced, "203.0.113.5 203.0.113.6 10.0.0.3 127.0.0.1");
}

#[test]
fn beside_loopback_stands_one_other_as_long_as_it_is_there() {
    let mut machine = FakeHost::new("127.0.0.1", 32, "");
    machine.find("lo 127.0.0.1");
    machine.assert_told("127.0.0.1");
    machine.find("lo 127.0.0.1 wlan0 192.0.2.5");
    machine.assert_told("127.0.0.1 192.0.2.5");
    machine.find("lo 127.0.0.1 eth0 198.51.100.5 wlan0 192.0.2.5");
    assert_eq!(machine.change(), None, "what is there stays");
    machine.find("lo 127.0.0.1 eth0 198.51.100.5");
    machine.assert_told("127.0.0.1 198.51.100.5");
    machine.arrive(ip("198.51.100.7"));
    assert_eq!(machine.set.next_timeout(machine.now), None);
}

#[test]
fn one_address_is_what_it_is() {
    let mut machine = FakeHost::new("192.0.2.5", 32, "203.0.113.5");
    machine.turn();
    machine.assert_told("203.0.113.5 192.0.2.5");
    assert!(!ListenScope::new(ip("192.0.2.5")).follows_interfaces());
}
