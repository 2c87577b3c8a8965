//! Programs that tell things line by line.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// A program at work and the lines that it prints, ended when dropped.
#[derive(Debug)]
pub struct Lines {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Lines {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Lines> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || io::Error::other("no pipe");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let all = BufReader::new(output).lines().map_while(Result::ok);
            // Nobody may be left to hear the rest.
            all.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Lines { child, input, lines })
    }

    /// The next line.
    ///
    /// # Errors
    /// None within the time, or the program is over.
    pub fn next(&self, timeout: Duration) -> io::Result<String> {
        self.lines.recv_timeout(timeout).map_err(io::Error::other)
    }

    /// The lines that are there already.
    ///
    /// # Errors
    /// The program is over.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            match self.lines.try_recv() {
                Ok(line) => lines.push(line),
                Err(TryRecvError::Empty) => return Ok(lines),
                Err(TryRecvError::Disconnected) if !lines.is_empty() => return Ok(lines),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Gives the program a line.
    ///
    /// # Errors
    /// It does not listen any more.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input, "{line}")
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_program_hears_and_tells() {
        let mut echo = Lines::start(&mut Command::new("cat")).unwrap();
        echo.tell("one").unwrap();
        assert_eq!(echo.next(SOON).unwrap(), "one");
        assert_eq!(echo.waiting().unwrap(), [""; 0]);
    }

    #[test]
    fn the_end_of_a_program_is_an_error() {
        let ended = Lines::start(Command::new("echo").arg("last")).unwrap();
        assert_eq!(ended.next(SOON).unwrap(), "last");
        assert!(ended.next(SOON).is_err());
        assert!(ended.waiting().is_err());
    }
}
