//! An echo server and a client that talks to it, on blocking TCP streams.

use std::{
    error::Error,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use net_ws::{Config, Message, Output, Socket, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let (stream, peer) = listener.accept().expect("one client comes");
        println!("server: {peer} connected");
        echo(Stream::new(Socket::accept(Instant::now(), Config::default()), patient(stream)));
    });

    let socket = Socket::connect(Instant::now(), Config::default(), &address.to_string(), "/")?;
    talk(Stream::new(socket, patient(TcpStream::connect(address)?)));
    server.join().expect("the server does not panic");
    Ok(())
}

/// Sends back what comes, until the client says goodbye.
fn echo(mut stream: Stream<TcpStream>) {
    loop {
        match next(&mut stream) {
            Output::Message(message) => {
                // Full means that the client does not read what it asked for.
                if stream.socket_mut().send(Instant::now(), message).is_err() {
                    stream.socket_mut().close(Instant::now(), 1008, "read faster");
                }
            }
            Output::Finished => return,
            output => println!("server: {output:?}"),
        }
    }
}

/// Says three things, hears them again, and says goodbye.
fn talk(mut stream: Stream<TcpStream>) {
    let mut left = vec!["three", "two", "one"];
    loop {
        match next(&mut stream) {
            Output::Finished => return,
            Output::Closed(reason) => println!("client: {reason}"),
            output => {
                println!("client: {output:?}");
                match left.pop() {
                    Some(word) => stream
                        .socket_mut()
                        .send(Instant::now(), Message::Text(word.to_owned()))
                        .expect("a word is small"),
                    None => stream.socket_mut().close(Instant::now(), 1000, "done"),
                }
            }
        }
    }
}

/// Moves bytes until something comes of it.
fn next(stream: &mut Stream<TcpStream>) -> Output {
    loop {
        match stream.socket_mut().poll_output() {
            // An error shows as Closed and Finished.
            Output::Timeout(_) => drop(stream.exchange(Instant::now())),
            output => return output,
        }
    }
}

/// A stream whose reads return now and then, so that deadlines are kept.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("the timeout is not zero");
    stream
}
