//! However much happens, the log stays readable.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use net::Config;
use net::hub::{Hub, Input, Output};

/// Lines that were written, at the levels that a server in service has.
static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Memory;

impl Log for Memory {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

fn take() -> Vec<String> {
    LINES.lock().unwrap().drain(..).map(|(_, line)| line).collect()
}

/// Does what is to be done; gives how many were refused.
fn drain(hub: &mut Hub, now: Instant) -> usize {
    let mut refused = 0;
    loop {
        match hub.poll_output() {
            Output::Timeout(_) => return refused,
            Output::ConnectFailed(_) => refused += 1,
            Output::Write(id) => {
                while !hub.outgoing(id).is_empty() {
                    hub.advance(now, id, hub.outgoing(id).len());
                }
            }
            _ => {}
        }
    }
}

/// A hundred thousand bad requests, and as many connections with a fault of ours, in a second.
#[test]
fn t72_ten_lines_a_second_of_a_kind_and_the_rest_is_counted() {
    const EVENTS: u32 = 100_000;
    const BAD: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    log::set_boxed_logger(Box::new(Memory)).unwrap();
    log::set_max_level(LevelFilter::Trace);
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let local = ([192, 0, 2, 1], 3_000).into();
    let mut hub = Hub::new(Config::default(), vec![local], vec![local], Some(72));
    for panics in [false, true] {
        let mut refused = 0;
        let mut once = |hub: &mut Hub, now: Instant| {
            let id = hub.accept(now, ([198, 51, 100, 1], 5_000).into()).unwrap();
            match panics {
                true => hub.inject_panic(now, id, false),
                false => hub.handle_input(now, Input::Bytes(id, BAD)),
            }
            refused += drain(hub, now);
        };
        let second = start + Duration::from_secs(if panics { 10 } else { 0 });
        (0..EVENTS).for_each(|number| once(&mut hub, second + Duration::from_micros(9) * number));
        let lines = take();
        assert!((5..=20).contains(&lines.len()), "{} lines, such as {}", lines.len(), lines[0]);
        let unwritten = format!("{}", EVENTS - 10);
        once(&mut hub, second + Duration::from_secs(2));
        let counted = take();
        assert!(counted.iter().any(|line| line.contains(&unwritten)), "{counted:?}");
        assert_eq!(refused, EVENTS as usize + 1);
        assert!(hub.is_empty() || !panics);
    }
}
