//! Bytes as fast as TCP can: somebody else's traffic.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{Series, micros};

/// A buffer's bytes, either end.
const CHUNK: usize = 16 * 1024;

/// Sends everybody who connects bytes for ever.
///
/// # Errors
/// The address cannot be bound.
pub fn serve_downloads(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || pour(stream));
        }
    });
    Ok(())
}

/// Until the other side has enough.
fn pour(mut stream: TcpStream) {
    while stream.write_all(&[0x5A; CHUNK]).is_ok() {}
}

/// A download, ended when dropped.
#[derive(Debug)]
pub struct Download {
    stream: TcpStream,
    received: Arc<Mutex<Series>>,
    thread: Option<JoinHandle<()>>,
}

impl Download {
    /// Connects and takes whatever comes.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn start(address: SocketAddr) -> io::Result<Download> {
        let stream = TcpStream::connect(address)?;
        let received = Arc::default();
        let (reader, series) = (stream.try_clone()?, Arc::clone(&received));
        let thread = Some(thread::spawn(move || drain(reader, &series)));
        Ok(Download { stream, received, thread })
    }

    /// Bytes that arrived each second between these times, in microseconds since 1970; without
    /// headers, and each once.
    pub fn per_second(&self, from: u64, until: u64) -> f64 {
        self.received.lock().expect("no holder panics").per_second(from, until)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ended_already = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn drain(mut stream: TcpStream, received: &Mutex<Series>) {
    let (mut buffer, mut total) = ([0; CHUNK], 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        total += length as u64;
        received.lock().expect("no holder panics").push(micros(), total);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_download_goes_on_until_it_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let download = Download::start(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        // A window that was closed when the other side went is tried again only after long.
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let sender = thread::spawn(move || pour(stream));
        while download.per_second(0, u64::MAX) == 0.0 {
            thread::yield_now();
        }
        assert!(!sender.is_finished());
        drop(download);
        sender.join().unwrap();
    }
}
