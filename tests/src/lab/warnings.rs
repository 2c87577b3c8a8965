//! What our own crates warn of: in a lab nothing should give them cause.

use std::cell::RefCell;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Hears the log of this process from now on, on every thread, and shows what `RUST_LOG` asks
/// for. Does nothing if somebody else hears it.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = env_logger::Logger::from_default_env();
        let most = shown.filter().max(LevelFilter::Warn);
        if log::set_boxed_logger(Box::new(Listener { shown })).is_ok() {
            log::set_max_level(most);
        }
    });
}

/// What was warned of on this thread since the last time.
pub fn take() -> Vec<String> {
    WARNINGS.take()
}

struct Listener {
    shown: env_logger::Logger,
}

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata) || self.shown.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_ours(record.metadata()) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }
        self.shown.log(record);
    }

    fn flush(&self) {
        self.shown.flush();
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.level() <= Level::Warn && metadata.target().starts_with("net")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_our_own_crates_are_kept() {
        listen();
        log::warn!(target: "net_rtc::plane", "one");
        log::error!(target: "net::hub", "two");
        log::warn!(target: "str0m", "not ours");
        log::info!(target: "net_rtc", "no warning");
        assert_eq!(take(), ["one", "two"]);
        assert!(take().is_empty());
    }
}
