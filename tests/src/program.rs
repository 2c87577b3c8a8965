//! Programs that a test starts and that say where they listen.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// What such a program prints before its address, on a line of its own.
const ANNOUNCEMENT: &str = "listening ";

/// A program at work, ended when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts it and waits until it prints `listening ADDRESS`.
    ///
    /// # Errors
    ///
    /// It cannot be started, or ended or said something else instead.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        match announced(&mut child) {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Where it listens, as it said.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn announced(child: &mut Child) -> io::Result<SocketAddr> {
    let Some(output) = child.stdout.take() else {
        return Err(io::Error::other("the program has no output"));
    };
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = line.trim().strip_prefix(ANNOUNCEMENT).and_then(|text| text.parse().ok());
    address.ok_or_else(|| io::Error::other(format!("the program said {line:?}")))
}

fn end(child: &mut Child) {
    let _ended_already = child.kill();
    let _status = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<Program> {
        Program::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_program_that_listens_has_an_address() {
        let program = shell("echo listening '[::1]:4000'; exec sleep 60").unwrap();
        assert_eq!(program.address(), "[::1]:4000".parse().unwrap());
    }

    #[test]
    fn a_program_that_says_something_else_is_an_error() {
        assert!(shell("echo good morning; exec sleep 60").is_err());
        assert!(shell("exit 1").is_err());
    }
}
