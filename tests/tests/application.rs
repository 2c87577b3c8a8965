//! What an application does, or does not do, hurts no connection that it did not mean.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{CloseReason, Config, Delivery, Event, EventQueue, Message, PeerId, SendError, Server};
use net_tests::client::{Client, News};

const SOON: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

fn id(number: u64) -> PeerId {
    PeerId::from(number)
}

/// A server with so many open clients, whose `Open`s are taken.
fn open(config: Config, clients: usize) -> (Server, EventQueue, Vec<Client>) {
    let (server, queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let clients = connect(&server, clients);
    let mut opened = Vec::new();
    while opened.len() < clients.len() {
        opened.extend(queue.wait(SOON));
    }
    let expected: Vec<_> =
        (0..clients.len() as u64).map(|number| Event::Open(id(number))).collect();
    assert_eq!(opened, expected);
    (server, queue, clients)
}

fn connect(server: &Server, clients: usize) -> Vec<Client> {
    (0..clients).map(|_| Client::connect(server.local_addr()).unwrap()).collect()
}

/// A message with a number in front.
fn numbered(number: u32, size: usize) -> Bytes {
    [&number.to_be_bytes()[..], &vec![7; size - 4]].concat().into()
}

fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[..4].try_into().unwrap())
}

/// Sends and gets an answer both ways on both paths.
fn assert_alive(server: &Server, queue: &EventQueue, client: &mut Client, id: PeerId) {
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        assert!(match delivery {
            Delivery::Reliable => client.send_reliable("up"),
            Delivery::Unreliable => client.send_unreliable("up"),
        });
        let end = Instant::now() + SOON;
        let up = Event::Received(id, Message::new(delivery, "up"));
        while !queue.pop_all().contains(&up) {
            assert!(Instant::now() < end, "{delivery:?} does not come up");
            client.next(MOMENT);
        }
        server.try_send(delivery, id, "down").unwrap();
        while client.recv(SOON) != Some((delivery, "down".into())) {
            assert!(Instant::now() < end, "{delivery:?} does not come down");
        }
    }
}

/// I8: what arrives is what was accepted, from the first on, without a gap.
#[test]
fn t13_who_never_reads_is_closed_as_slow_and_gets_a_prefix() {
    let (server, queue, mut clients) = open(Config::default(), 2);
    let mut other = clients.pop().unwrap();
    let mut slow = clients.pop().unwrap();
    let mut sent = 0;
    let mut seen = Vec::new();
    while !seen.contains(&Event::Closed(id(0))) {
        assert!(sent < 10_000, "it is never closed");
        server.send_reliable(0, numbered(sent, 10_000));
        sent += 1;
        if sent % 100 == 0 {
            server.send_reliable(1, "others go on");
            assert_eq!(other.recv(SOON), Some((Delivery::Reliable, "others go on".into())));
        }
        seen.extend(queue.pop_all());
    }
    assert_eq!(seen, [Event::Closed(id(0))]);
    let reason = server.close_reason(0).unwrap();
    assert!(matches!(reason, CloseReason::SlowConsumer(_)), "{reason}");
    assert!(server.stats().send_full > 0);
    let mut received = Vec::new();
    loop {
        match slow.next(SOON) {
            Some(News::Received(Delivery::Reliable, message)) => received.push(number(&message)),
            Some(News::Closed(..)) | None => break,
            Some(_) => {}
        }
    }
    let prefix: Vec<_> = (0..received.len() as u32).collect();
    assert_eq!(received, prefix);
    assert!(received.len() * 10_000 > 100_000, "the system's buffers held more than that");
    assert_alive(&server, &queue, &mut other, id(1));
}

/// Four of them, for as long as it takes until every websocket is full up to its client.
#[test]
fn t63_an_application_that_takes_no_events_loses_only_old_unreliable_messages() {
    let config =
        Config { event_queue_len: 1_000, event_queue_bytes: 1024 * 1024, ..Config::default() };
    let (server, queue, mut clients) = open(config, 4);
    let mut sent = [0; 4];
    let mut blocked = [false; 4];
    let end = Instant::now() + 6 * SOON;
    while blocked != [true; 4] || server.stats().events_dropped < 1_000 {
        assert!(Instant::now() < end, "{blocked:?} {:?}", server.stats());
        for (index, client) in clients.iter_mut().enumerate() {
            client.next(Duration::ZERO);
            let taken = client.send_reliable(numbered(sent[index], 60_000));
            sent[index] += u32::from(taken);
            blocked[index] = !taken;
            (0..10).for_each(|_| _ = client.send_unreliable(vec![0; 100]));
        }
    }
    clients[0].close_channel();
    while server.close_reason(0).is_none() {
        assert!(Instant::now() < end, "a closing is heard of");
        clients.iter_mut().for_each(|client| _ = client.next(MOMENT));
    }
    let waiting = queue.pop_all();
    let most = 1_000 + 64;
    assert!(waiting.len() <= most, "{} wait", waiting.len());
    let mut lives = BTreeMap::<PeerId, Vec<Event>>::new();
    waiting.into_iter().for_each(|event| lives.entry(event.peer_id()).or_default().push(event));
    // Everything that was accepted comes, of all who are still there.
    let reliable = |events: &[Event]| {
        let messages = events.iter().filter_map(|event| match event {
            Event::Received(_, message) if message.len() == 60_000 => Some(number(message)),
            _ => None,
        });
        messages.collect::<Vec<_>>()
    };
    while (1..4).any(|peer| reliable(&lives[&id(peer)]).len() < sent[peer as usize] as usize) {
        assert!(Instant::now() < end, "it goes on");
        clients.iter_mut().for_each(|client| _ = client.next(Duration::ZERO));
        for event in queue.wait(MOMENT) {
            lives.entry(event.peer_id()).or_default().push(event);
        }
    }
    for peer in 1..4 {
        assert_eq!(reliable(&lives[&id(peer)]), (0..sent[peer as usize]).collect::<Vec<_>>());
    }
    assert_eq!(lives[&id(0)].last(), Some(&Event::Closed(id(0))));
    assert_alive(&server, &queue, &mut clients[1], id(1));
}

#[test]
fn t64_a_thread_that_panics_with_handles_takes_only_itself() {
    let (server, queue, mut clients) = open(Config::default(), 2);
    for _ in 0..4 {
        let (server, queue) = (server.clone(), queue.clone());
        let fallen = thread::spawn(move || {
            server.send_reliable(0, "a last word");
            let _events = queue.pop_all();
            panic!("as this test wants it");
        });
        assert!(fallen.join().is_err());
        assert_eq!(clients[0].recv(SOON), Some((Delivery::Reliable, "a last word".into())));
    }
    assert_alive(&server, &queue, &mut clients[1], id(1));
    let fallen = catch_unwind(AssertUnwindSafe(move || {
        let _last = server;
        panic!("as this test wants it");
    }));
    assert!(fallen.is_err());
    let end = Instant::now() + SOON;
    let mut events = Vec::new();
    while !queue.is_finished() {
        assert!(Instant::now() < end, "the last handle has ended the server");
        clients.iter_mut().for_each(|client| _ = client.next(MOMENT));
        events.extend(queue.pop_all());
    }
    events.sort_by_key(Event::peer_id);
    assert_eq!(events, [Event::Closed(id(0)), Event::Closed(id(1))]);
}

/// Forty here, 1,024 in the program `turns`.
#[test]
fn t65_the_handles_go_with_many_peers_open() {
    const PEERS: usize = 40;
    let (server, queue, mut clients) = open(Config::default(), PEERS);
    let address = server.local_addr();
    let began = Instant::now();
    drop(server);
    let mut events = Vec::new();
    while !queue.is_finished() {
        clients.iter_mut().for_each(|client| _ = client.next(Duration::ZERO));
        events.extend(queue.pop_all());
        assert!(began.elapsed() < SOON, "the server does not end");
    }
    events.sort_by_key(Event::peer_id);
    let expected: Vec<_> = (0..PEERS as u64).map(|number| Event::Closed(id(number))).collect();
    assert_eq!(events, expected);
    assert_eq!(queue.clone().pop(), None);
    std::net::TcpListener::bind(address).expect("the port is free");
    for client in &mut clients {
        let mut last = client.next(MOMENT);
        while let Some(News::Open | News::Received(..)) = last {
            last = client.next(MOMENT);
        }
        assert!(matches!(last, None | Some(News::Closed(1001, _))), "{last:?}");
    }
}

#[test]
fn t66_sixteen_threads_may_send_anything_to_anyone() {
    const THREADS: u64 = 16;
    const ROUNDS: u64 = 200;
    let (server, queue, mut clients) = open(Config::default(), 2);
    let (unknown, closed) = (id(1_000_000), id(0));
    server.close(closed);
    while server.close_reason(closed).is_none() {
        clients[0].next(MOMENT);
    }
    assert_eq!(queue.wait(SOON), [Event::Closed(closed)]);
    assert_eq!(queue.pop(), None);
    let before = server.stats();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    for id in [unknown, closed, id(u64::MAX)] {
                        for delivery in [Delivery::Reliable, Delivery::Unreliable] {
                            let error = server.try_send(delivery, id, "who?").unwrap_err();
                            assert_eq!(error, SendError::NoSuchPeer("who?".into()));
                        }
                        server.close(id);
                        assert!(server.peer(id).is_none());
                    }
                    let error = server.try_send(Delivery::Unreliable, 1, vec![0; 65_537]);
                    assert!(matches!(error, Err(SendError::TooLarge(_))));
                    server.send_unreliable(1, "");
                    server.send_reliable(1, "");
                    server.broadcast_reliable("");
                }
            })
        })
        .collect();
    let mut empty = 0;
    let end = Instant::now() + 3 * SOON;
    while empty < 2 * THREADS * ROUNDS {
        assert!(Instant::now() < end, "{empty} empty messages");
        match clients[1].recv(MOMENT) {
            Some((Delivery::Reliable, message)) => {
                assert!(message.is_empty());
                empty += 1;
            }
            Some((Delivery::Unreliable, message)) => assert!(message.is_empty()),
            None => {}
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let stats = server.stats();
    assert_eq!(stats.send_no_such_peer - before.send_no_such_peer, THREADS * ROUNDS * 6);
    assert_eq!(stats.send_too_large - before.send_too_large, THREADS * ROUNDS);
    assert_alive(&server, &queue, &mut clients[1], id(1));
}
