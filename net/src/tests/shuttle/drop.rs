//! Models of dropping the last handle.

use shuttle::thread;

use crate::tests::shuttle::turn::{TestLoop, shared};
use crate::tests::shuttle::{check, entry, id, word};
use crate::{CloseReason, Config, Delivery, EventQueue, Server};

/// Clones are made, used and dropped on other threads: the loop ends after the last of them and has
/// by then taken all accepted messages.
#[test]
fn the_loop_ends_after_the_last_handle_and_has_everything() {
    check(|| {
        let config = Config::default();
        let (shared, bell) = shared(&config);
        shared.on_open(id(0), entry(&config));
        let server = Server::without_loop(shared.clone(), ([127, 0, 0, 1], 1).into());
        let threads: Vec<_> = (0..2)
            .map(|sender| {
                let server = server.clone();
                thread::spawn(move || {
                    let again = server.clone();
                    drop(server);
                    again.try_send(Delivery::Reliable, id(0), word(sender, 0)).is_ok()
                })
            })
            .collect();
        server.send_reliable(id(0), word(2, 0));
        drop(server);
        let mut taken = TestLoop::default();
        while !taken.is_over {
            bell.wait();
            taken.turn(&shared);
        }
        let threads = threads.into_iter().map(|thread| thread.join().expect("a sender"));
        assert_eq!(threads.filter(|sent| *sent).count(), 2);
        assert_eq!(taken.messages.len(), 3, "what was accepted before the last drop is taken");
    });
}

/// A reader that waits for events while the last handle is dropped is notified of the end.
#[test]
fn a_reader_hears_of_the_end() {
    check(|| {
        let (shared, bell) = shared(&Config::default());
        shared.on_open(id(0), entry(&Config::default()));
        let queue = EventQueue::new(shared.clone());
        let server = Server::without_loop(shared.clone(), ([127, 0, 0, 1], 1).into());
        let reader = thread::spawn(move || {
            let mut events = 0;
            while !queue.is_finished() {
                events += queue.wait(std::time::Duration::MAX).len();
            }
            events
        });
        let dropper = thread::spawn(move || drop(server));
        let mut taken = TestLoop::default();
        while !taken.is_over {
            bell.wait();
            taken.turn(&shared);
        }
        shared.on_closed(id(0), CloseReason::Shutdown);
        shared.on_loop_stopped();
        assert_eq!(reader.join().expect("a reader"), 2, "Open and Closed");
        dropper.join().expect("a dropper");
    });
}
