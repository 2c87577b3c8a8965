//! Which processor a program runs on, and with what right.

// Where it is allowed, the server and the honest come before all other programs of the machine:
// what these do is not what is measured. `nice` says if it is not allowed, and goes on.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

/// Before other programs; the kernel's numbers go from -20 to 19.
const PRIORITY: &str = "-10";

/// Where a process of a soak runs. On a machine with one processor all share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the first processor: the server's, nobody else's.
    Server,
    /// On the last.
    Honest,
    /// On the last, when nobody else wants it (SCHED_IDLE).
    Idle,
}

impl Place {
    /// A command that will run there, in a process group of its own: what is typed at the
    /// terminal ends only who listens to it.
    ///
    /// It needs the programs `taskset` and `chrt` (util-linux), and `nice` (coreutils).
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.processor().to_string()]);
        match self {
            Place::Idle => command.args(["chrt", "--idle", "0"]),
            Place::Server | Place::Honest => command.args(["nice", "-n", PRIORITY]),
        };
        command.arg(program).process_group(0);
        command
    }

    /// Moves this process there, with all its threads.
    pub fn enter(self) {
        let (processor, process) = (self.processor().to_string(), std::process::id().to_string());
        let words = ["--all-tasks", "--cpu-list", "--pid", &processor, &process];
        let moved = Command::new("taskset").args(words).output();
        if !moved.is_ok_and(|output| output.status.success()) {
            log::warn!("the honest run on any processor: taskset did not work");
        }
        // Only root may; it does not matter to whoever is alone on the machine.
        _ = Command::new("renice").args(["-n", PRIORITY, "-p", &process]).output();
    }

    fn processor(self) -> usize {
        let all = thread::available_parallelism().map_or(1, usize::from);
        match self {
            Place::Server => 0,
            Place::Honest | Place::Idle => all - 1,
        }
    }
}
