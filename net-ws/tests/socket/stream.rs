use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use net_ws::{CloseReason, Config, Output, Socket, Stream};

use crate::common::*;

type Tcp = Stream<TcpStream>;

/// Two ends of a loopback connection that do not block for ever.
fn pair() -> (Tcp, Tcp) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (here, _) = listener.accept().unwrap();
    for stream in [&there, &here] {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let now = Instant::now();
    let client = Socket::connect(now, Config::default(), "h", "/").unwrap();
    (Stream::new(client, there), Stream::new(Socket::accept(now, Config::default()), here))
}

/// Exchanges on both sides until this one says something.
fn next(one: &mut Tcp, other: &mut Tcp) -> Output {
    for _ in 0..5000 {
        match one.socket_mut().poll_output() {
            Output::Timeout(_) => {}
            output => return output,
        }
        let _ = one.exchange(Instant::now());
        let _ = other.exchange(Instant::now());
    }
    panic!("nothing came");
}

#[test]
fn over_loopback() {
    let (mut client, mut server) = pair();
    assert!(matches!(next(&mut client, &mut server), Output::Upgraded(_)));
    assert!(matches!(next(&mut server, &mut client), Output::Upgraded(_)));
    client.socket_mut().send(Instant::now(), binary(65_536)).unwrap();
    assert_eq!(next(&mut server, &mut client), Output::Message(binary(65_536)));
    server.socket_mut().close(Instant::now(), 1001, "bye");
    let closed = CloseReason::Remote { code: 1001, reason: "bye".into() };
    assert_eq!(next(&mut client, &mut server), Output::Closed(closed));
    assert_eq!(next(&mut server, &mut client), Output::Closed(CloseReason::Local));
    assert_eq!(next(&mut server, &mut client), Output::Finished);
    drop(server);
    client.exchange(Instant::now()).unwrap();
    assert_eq!(client.socket_mut().poll_output(), Output::Finished);
}

/// A stream on which nothing works.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_is_the_streams_end() {
    let now = Instant::now();
    let mut stream = Stream::new(Socket::accept(now, Config::default()), Broken);
    assert_eq!(stream.exchange(now).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let outputs = drain(stream.socket_mut()).0;
    assert_eq!(outputs, [Output::Closed(CloseReason::Eof), Output::Finished]);
    stream.exchange(now).expect("a finished socket leaves the stream alone");
}
