//! A real server and real clients over loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::VecDeque;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{CloseReason, Config, Delivery, Event, EventQueue, Message, PeerId, SendError, Server};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};

const SOON: Duration = Duration::from_secs(10);

/// A server, and its events one by one.
struct Served {
    server: Server,
    queue: EventQueue,
    events: VecDeque<Event>,
}

impl Served {
    fn new(config: Config) -> Served {
        let (server, queue) = Server::bind("127.0.0.1:0", config).unwrap();
        Served { server, queue, events: VecDeque::new() }
    }

    fn connect(&self) -> Client {
        Client::connect(self.server.local_addr()).unwrap()
    }

    /// The next event, which must come soon.
    fn next(&mut self) -> Event {
        if self.events.is_empty() {
            self.events.extend(self.queue.wait(SOON));
        }
        self.events.pop_front().expect("an event in time")
    }

    /// Waits until the server has refused a connection, while a client does its part.
    fn refusal(&self, client: &mut Client) -> CloseReason {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            client.next(Duration::from_millis(20));
            if let Some(refusal) = self.server.connect_failures().recent.back() {
                return refusal.reason.clone();
            }
        }
        panic!("no refusal in time");
    }
}

fn served() -> Served {
    Served::new(Config::default())
}

fn id(number: u64) -> PeerId {
    PeerId::from(number)
}

/// What peer 0 sent.
fn received(delivery: Delivery, message: impl Into<Bytes>) -> Event {
    Event::Received(id(0), Message::new(delivery, message))
}

#[test]
fn both_paths_carry_messages_both_ways() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    client.send_reliable("up, reliable");
    assert_eq!(served.next(), received(Delivery::Reliable, "up, reliable"));
    client.send_unreliable("up, unreliable");
    assert_eq!(served.next(), received(Delivery::Unreliable, "up, unreliable"));
    served.server.send_reliable(0, "down, reliable".as_bytes().to_vec());
    assert_eq!(client.recv(SOON), Some((Delivery::Reliable, "down, reliable".into())));
    served.server.send_unreliable(0, "down, unreliable");
    assert_eq!(client.recv(SOON), Some((Delivery::Unreliable, "down, unreliable".into())));
}

#[test]
fn every_size_up_to_the_limit_arrives() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    for size in [0, 1, 125, 126, 1_062, 1_063, 10_000, 65_535, 65_536] {
        let message = Bytes::from(vec![size as u8; size]);
        for delivery in [Delivery::Reliable, Delivery::Unreliable] {
            served.server.try_send(delivery, 0, message.clone()).unwrap();
            assert_eq!(client.recv(SOON), Some((delivery, message.clone())), "{size} down");
            match delivery {
                Delivery::Reliable => client.send_reliable(message.clone()),
                Delivery::Unreliable => client.send_unreliable(message.clone()),
            };
            let event = wait_while(&mut client, &mut served);
            assert_eq!(event, received(delivery, message.clone()), "{size} up");
        }
    }
}

#[test]
fn the_newest_of_a_key_replaces_what_has_not_left() {
    const MANY: u32 = 300;
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    // Longer than what may leave at once, so that what follows waits.
    served.server.send_unreliable(0, vec![0; 65_536]);
    for number in 0..MANY {
        served.server.send_latest(0, u64::from(number % 3), number.to_be_bytes().to_vec());
    }
    let (mut newest, mut arrived) = ([None; 3], 0);
    while newest != [Some(MANY - 3), Some(MANY - 2), Some(MANY - 1)] {
        let (_, message) = client.recv(SOON).expect("the newest of each key");
        if let Ok(number) = message[..].try_into().map(u32::from_be_bytes) {
            newest[number as usize % 3] = Some(number);
            arrived += 1;
        }
    }
    let dropped = served.server.peer(0).unwrap().path_stats.dropped;
    assert!(dropped.superseded > 0, "{arrived} arrived, {dropped:?}");
    assert_eq!(arrived + dropped.total(), u64::from(MANY));
    // The loop counts at the end of its turn.
    let end = Instant::now() + SOON;
    while served.server.stats().unreliable_dropped != dropped {
        assert!(Instant::now() < end, "{:?}", served.server.stats());
    }
}

#[test]
fn the_path_to_a_peer_is_shown() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let before = served.server.peer(0).unwrap().path_stats;
    assert_eq!((before.rtt, before.send_rate), (None, 0), "nothing has been sent");
    let end = Instant::now() + SOON;
    // Each message is answered, and the answer is followed by the next.
    let link = loop {
        served.server.send_unreliable(0, vec![7; 500]);
        let (_, message) = client.recv(SOON).expect("nothing is lost here");
        client.send_unreliable(message.clone());
        let event = wait_while(&mut client, &mut served);
        assert_eq!(event, received(Delivery::Unreliable, message));
        let link = served.server.peer(0).unwrap().path_stats;
        if link.rtt.is_some() && link.allowed_rate > 0 && link.send_rate > 0 {
            break link;
        }
        assert!(Instant::now() < end, "{link:?}");
    };
    let (rtt, least) = (link.rtt.unwrap(), link.min_rtt.unwrap());
    assert!(least <= rtt && rtt < Duration::from_secs(1), "{link:?}");
    let config = Config::default();
    assert!(link.allowed_rate >= config.min_bitrate.into(), "{link:?}");
    assert!(link.allowed_rate <= config.max_bitrate.into(), "{link:?}");
    assert!((0.0..=1.0).contains(&link.loss), "{link:?}");
    assert_eq!(link.dropped, Default::default());
}

/// The next event, while the client goes on sending what waits.
fn wait_while(client: &mut Client, served: &mut Served) -> Event {
    let end = Instant::now() + SOON;
    loop {
        assert_eq!(client.next(Duration::from_millis(1)), None);
        served.events.extend(served.queue.pop_all());
        if let Some(event) = served.events.pop_front() {
            return event;
        }
        assert!(Instant::now() < end, "no event in time");
    }
}

#[test]
fn too_large_is_told_on_both_sides() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let message = Bytes::from(vec![0; 65_537]);
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        let refused = served.server.try_send(delivery, 0, message.clone());
        assert_eq!(refused, Err(SendError::TooLarge(message.clone())));
    }
    assert_eq!(served.server.stats().send_too_large, 2);
    let mut small = Served::new(Config { max_message_size: 1_000, ..Config::default() });
    let mut too_big = small.connect();
    assert_eq!(small.next(), Event::Open(id(0)));
    too_big.send_reliable(vec![0; 20_000]);
    assert!(matches!(too_big.next(SOON), Some(News::Closed(1009, _))));
    assert_eq!(small.next(), Event::Closed(id(0)));
    assert_eq!(small.server.close_reason(0), Some(CloseReason::TooLarge));
    client.send_reliable("still here");
    assert_eq!(served.next(), received(Delivery::Reliable, "still here"));
}

#[test]
fn ten_thousand_reliable_messages_arrive_in_order() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    for number in 0..10_000u32 {
        served.server.send_reliable(0, number.to_le_bytes().to_vec());
    }
    for number in 0..10_000u32 {
        let expected = Bytes::from(number.to_le_bytes().to_vec());
        assert_eq!(client.recv(SOON), Some((Delivery::Reliable, expected)));
    }
}

#[test]
fn messages_before_open_are_delivered_after_it() {
    let mut served = served();
    let mut client = Client::begin(served.server.local_addr(), Manners::Good).unwrap();
    while !client.send_reliable("early") {
        assert_eq!(client.next(Duration::ZERO), None);
    }
    assert_eq!(client.next(SOON), Some(News::Open));
    assert_eq!(served.next(), Event::Open(id(0)));
    assert_eq!(served.next(), received(Delivery::Reliable, "early"));
}

#[test]
fn too_many_messages_before_open_are_refused() {
    let served = Served::new(Config { max_preopen_messages: 2, ..Config::default() });
    let mut client = Client::begin(served.server.local_addr(), Manners::Silent).unwrap();
    while !client.send_reliable("1") {
        assert_eq!(client.next(Duration::from_millis(1)), None);
    }
    client.send_reliable("2");
    client.send_reliable("3");
    assert!(matches!(client.next(SOON), Some(News::Closed(1008, _))));
    assert!(matches!(served.refusal(&mut client), CloseReason::Limit(_)));
}

#[test]
fn a_burst_while_the_channel_opens_waits_and_loses_nothing() {
    let config = Config { max_preopen_messages: 2, ..Config::default() };
    let mut served = Served::new(config);
    let mut client = Client::begin(served.server.local_addr(), Manners::Good).unwrap();
    // The client's end opens first: what it sends then may come before ours is open.
    assert_eq!(client.next(SOON), Some(News::Open));
    for number in 0..1_000u32 {
        client.send_reliable(number.to_le_bytes().to_vec());
    }
    assert_eq!(wait_while(&mut client, &mut served), Event::Open(id(0)));
    for number in 0..1_000u32 {
        let expected = Bytes::from(number.to_le_bytes().to_vec());
        let event = wait_while(&mut client, &mut served);
        assert_eq!(event, received(Delivery::Reliable, expected));
    }
}

#[test]
fn closing_either_path_closes_the_peer() {
    let mut served = served();
    for (number, close) in [Client::close_websocket, Client::close_channel].iter().enumerate() {
        let number = number as u64;
        let mut client = served.connect();
        assert_eq!(served.next(), Event::Open(id(number)));
        close(&mut client);
        assert!(matches!(client.next(SOON), Some(News::Closed(..))));
        assert_eq!(served.next(), Event::Closed(id(number)));
        assert_eq!(served.server.close_reason(number), Some(CloseReason::ClosedByPeer));
    }
    drop(served.connect());
    assert_eq!(served.next(), Event::Open(id(2)));
    assert_eq!(served.next(), Event::Closed(id(2)));
    assert_eq!(served.server.close_reason(2), Some(CloseReason::Lost));
}

#[test]
fn the_server_closes_after_what_it_sent() {
    let mut served = served();
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    served.server.send_reliable(0, "last words");
    served.server.close(0);
    assert_eq!(client.next(SOON), Some(News::Received(Delivery::Reliable, "last words".into())));
    assert!(matches!(client.next(SOON), Some(News::Closed(1000, _))));
    assert_eq!(served.next(), Event::Closed(id(0)));
    assert_eq!(served.server.close_reason(0), Some(CloseReason::ClosedByServer));
    let late = served.server.try_send(Delivery::Reliable, 0, "too late");
    assert_eq!(late, Err(SendError::NoSuchPeer("too late".into())));
}

#[test]
fn who_never_answers_is_refused_and_never_seen() {
    let config = Config { answer_timeout: Duration::from_millis(200), ..Config::default() };
    let served = Served::new(config);
    let mut client = Client::begin(served.server.local_addr(), Manners::Silent).unwrap();
    assert!(matches!(client.next(SOON), Some(News::Closed(1008, _))));
    assert_eq!(served.refusal(&mut client), CloseReason::HandshakeTimeout);
    assert_eq!(served.queue.pop(), None);
}

#[test]
fn whose_datagrams_never_arrive_is_refused_and_never_seen() {
    let config = Config { connect_timeout: Duration::from_millis(200), ..Config::default() };
    let served = Served::new(config);
    let mut client = Client::begin(served.server.local_addr(), Manners::Unreachable).unwrap();
    let Some(News::Closed(code, words)) = client.next(SOON) else { panic!("not closed") };
    assert_eq!((code, words.contains("ice")), (1008, true), "{words}");
    assert!(matches!(served.refusal(&mut client), CloseReason::WebRtcFailed(..)));
    assert_eq!(served.queue.pop(), None);
    assert_eq!(served.server.stats().connect_failures, 1);
}

#[test]
fn the_last_handle_ends_everything() {
    let mut served = served();
    let mut clients = [served.connect(), served.connect()];
    assert_eq!((served.next(), served.next()), (Event::Open(id(0)), Event::Open(id(1))));
    let address = served.server.local_addr();
    let clone = served.server.clone();
    drop(served.server);
    clone.send_reliable(0, "one handle is enough");
    let expected = Some((Delivery::Reliable, "one handle is enough".into()));
    assert_eq!(clients[0].recv(SOON), expected);

    let began = Instant::now();
    drop(clone);
    let mut events = Vec::new();
    while !served.queue.is_finished() {
        for client in &mut clients {
            client.next(Duration::from_millis(1));
        }
        events.extend(served.queue.wait(Duration::from_millis(1)));
        assert!(began.elapsed() < Duration::from_secs(2), "the server does not end");
    }
    events.sort_by_key(Event::peer_id);
    assert_eq!(events, [Event::Closed(id(0)), Event::Closed(id(1))]);
    TcpListener::bind(address).expect("the port is free");
    assert_eq!(served.queue.wait(Duration::MAX), []);
}

#[test]
fn clients_that_are_gone_do_not_hold_up_the_end() {
    let mut served = served();
    let client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let began = Instant::now();
    drop(served.server);
    while !served.queue.is_finished() {
        drop(served.queue.wait(SOON));
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(client);
}

#[test]
fn without_a_queue_connections_go_on() {
    let Served { server, queue, .. } = served();
    drop(queue);
    let mut client = Client::connect(server.local_addr()).unwrap();
    while server.stats().open_peers == 0 {
        client.next(Duration::from_millis(1));
    }
    server.broadcast_unreliable("to all");
    assert_eq!(client.recv(SOON), Some((Delivery::Unreliable, "to all".into())));
}

#[test]
fn a_slow_reader_is_told_full_and_then_closed() {
    let mut served = Served::new(Config { reliable_send_buffer: 100_000, ..Config::default() });
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let message = Bytes::from(vec![7; 60_000]);
    let mut accepted = 0;
    let full = loop {
        match served.server.try_send(Delivery::Reliable, 0, message.clone()) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 10_000, "never full");
    };
    assert_eq!(full, SendError::Full(message.clone()));
    for _ in 0..accepted {
        assert_eq!(client.recv(SOON), Some((Delivery::Reliable, message.clone())));
    }
    while served.server.stats().send_full < 2 {
        served.server.send_reliable(0, message.clone());
    }
    assert_eq!(served.next(), Event::Closed(id(0)));
    let words = served.server.close_reason(0).expect("it is closed").to_string();
    assert!(words.contains("100000 at most (Config::reliable_send_buffer)"), "{words}");
}

#[test]
fn broadcasts_reach_everyone() {
    let mut served = served();
    let mut clients: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for number in 0..5 {
        assert_eq!(served.next(), Event::Open(id(number)));
    }
    served.server.broadcast_reliable("reliable");
    served.server.broadcast_unreliable("unreliable");
    for client in &mut clients {
        let mut both = [client.recv(SOON).unwrap().1, client.recv(SOON).unwrap().1];
        both.sort();
        assert_eq!(both, ["reliable", "unreliable"]);
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let first = served();
    let error = Server::bind(first.server.local_addr(), Config::default()).unwrap_err();
    let words = error.to_string();
    assert!(words.contains(&first.server.local_addr().to_string()), "{words}");
    assert!(words.contains("another program has this port"), "{words}");
    let unresolved = Server::bind("no such address", Config::default()).unwrap_err();
    assert!(unresolved.to_string().contains("no such address"), "{unresolved}");
}

#[test]
fn public_addresses_are_announced_beside_the_bound_ones() {
    let public_addrs = ["203.0.113.5", "[2001:db8::5]:4000"].map(|addr| addr.parse().unwrap());
    let config = Config { public_addrs: public_addrs.to_vec(), ..Config::default() };
    let (server, _queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let public = format!("203.0.113.5:{}", server.local_addr().port()).parse().unwrap();
    let expected = [public, "[2001:db8::5]:4000".parse().unwrap(), server.local_addr()];
    assert_eq!(server.announced_addrs()[..3], expected, "and the bound ones beside them");
}

#[test]
fn look_ups_know_a_peer_while_it_lives_and_while_its_end_is_handled() {
    let mut served = served();
    let client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let info = served.server.peer(0).unwrap();
    assert_eq!((info.uri_path.as_str(), info.query), ("/", None));
    drop(client);
    assert_eq!(served.next(), Event::Closed(id(0)));
    assert_eq!(served.server.peer(0).unwrap().remote, info.remote);
    let other = served.queue.clone();
    assert_eq!(other.pop(), None);
    assert!(served.server.peer(0).is_some(), "another handle's events are another's business");
    served.server.send_reliable(0, "nobody reads it");
    let sent = served.server.try_send(Delivery::Reliable, 0, "nobody");
    assert_eq!(sent, Err(SendError::NoSuchPeer("nobody".into())), "it is closed all the same");
    assert_eq!(served.queue.pop(), None);
    assert_eq!(served.server.peer(0), None);
}

/// What its peer has read makes room again, though nothing else happens meanwhile.
#[test]
fn who_was_told_full_may_send_again_when_the_peer_has_read() {
    let mut served = Served::new(Config { reliable_send_buffer: 100_000, ..Config::default() });
    let mut client = served.connect();
    assert_eq!(served.next(), Event::Open(id(0)));
    let message = Bytes::from(vec![7; 60_000]);
    let send = |served: &Served| served.server.try_send(Delivery::Reliable, 0, message.clone());
    let accepted = (0..10_000).take_while(|_| send(&served).is_ok()).count();
    for _ in 0..accepted {
        assert_eq!(client.recv(SOON), Some((Delivery::Reliable, message.clone())));
    }
    let end = Instant::now() + SOON;
    while send(&served).is_err() {
        assert!(Instant::now() < end, "what is written still counts");
        thread::yield_now();
    }
    assert_eq!(client.recv(SOON), Some((Delivery::Reliable, message.clone())));
}
