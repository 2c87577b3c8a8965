//! A server that sends back what it receives, on blocking TCP streams with a thread for each:
//! `cargo run -p net-ws --example ws_echo -- 127.0.0.1:9001`. Ctrl-C ends it.
//!
//! A second argument is the longest message in bytes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{io, thread};

use net_ws::{Config, Message, Output, Socket, Stream};

/// Longest wait for a stream that neither gives nor takes bytes.
const WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let Ok(config) = arguments.next().map_or(Ok(Config::default()), |bytes| config(&bytes)) else {
        eprintln!("usage: echo [ADDRESS:PORT [BYTES OF THE LONGEST MESSAGE]]");
        return ExitCode::from(2);
    };
    match TcpListener::bind(&address) {
        Ok(listener) => serve(&listener, &config),
        Err(error) => eprintln!("cannot listen on {address}: {error}"),
    }
    ExitCode::FAILURE
}

fn config(bytes: &str) -> Result<Config, std::num::ParseIntError> {
    let message_bytes = bytes.parse()?;
    Ok(Config { max_message_size: message_bytes, ..Config::default() })
}

/// Takes connections for ever, or until the system gives none.
pub(crate) fn serve(listener: &TcpListener, config: &Config) {
    match listener.local_addr() {
        Ok(address) => println!("listening on ws://{address}"),
        Err(error) => return eprintln!("the listener has no address: {error}"),
    }
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let config = config.clone();
                thread::spawn(move || match echo(stream, peer, config) {
                    Ok(()) => {}
                    Err(error) => eprintln!("{peer}: {error}"),
                });
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                thread::sleep(WAIT);
            }
        }
    }
}

/// Sends back what comes until one side says goodbye.
fn echo(stream: TcpStream, peer: SocketAddr, config: Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WAIT))?;
    let mut stream = Stream::new(Socket::accept(Instant::now(), config), stream);
    loop {
        match stream.socket_mut().poll_output() {
            Output::PlainHttp(_) | Output::Oversized(..) => {} // with `hold_upgrade` only
            Output::Upgraded(request) => println!("{peer} asked for {}", request.path()),
            Output::Message(message) => send_back(stream.socket_mut(), message),
            Output::SlowConsumer(slow) => println!("{peer} {slow}"),
            Output::Closed(reason) => println!("{peer}: {reason}"),
            Output::Finished => return Ok(()),
            Output::Timeout(at) => {
                stream.stream().set_read_timeout(Some(until(at)))?;
                stream.exchange(Instant::now())?;
            }
        }
    }
}

fn send_back(socket: &mut Socket, message: Message) {
    if let Err(net_ws::SendError::Full(_)) = socket.send(Instant::now(), message) {
        socket.close(Instant::now(), 1008, "read what you asked for");
    }
}

/// How long to wait for bytes; a stream takes no wait of zero.
fn until(at: Option<Instant>) -> Duration {
    let wait = at.map_or(WAIT, |at| at.saturating_duration_since(Instant::now()));
    wait.clamp(Duration::from_millis(1), WAIT)
}
