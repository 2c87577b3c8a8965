//! The command line.

use std::net::{IpAddr, Ipv4Addr};

pub(crate) const HELP: &str = "\
A small game: move, catch sparks, talk. Open the printed link in a browser,
then in another one.

Usage: arena [--listen IP] [--http PORT] [--port PORT]

  --listen IP   address of this machine to listen on; 0.0.0.0 for all of them
                (default 127.0.0.1: this machine alone)
  --http PORT   TCP port of the page (default 8080; 0: any free one)
  --port PORT   TCP and UDP port of the game (default 3000; 0: any free one)
  --help        this text

Ctrl-C ends it. RUST_LOG=debug shows more.";

/// What the user wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Run(Settings),
}

/// Where to listen.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: IpAddr,
    pub(crate) http: u16,
    pub(crate) port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: IpAddr::V4(Ipv4Addr::LOCALHOST), http: 8080, port: 3000 }
    }
}

/// Reads the arguments, without the program's name; an error says what to change.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut settings = Settings::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // Both `--http 80` and `--http=80`.
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--listen" => settings.listen = ip(value.or_else(|| args.next()))?,
            "--http" => settings.http = port("--http", value.or_else(|| args.next()))?,
            "--port" => settings.port = port("--port", value.or_else(|| args.next()))?,
            _ => return Err(format!("unknown argument {name:?}; --help lists all of them")),
        }
    }
    settings.checked().map(Command::Run)
}

impl Settings {
    fn checked(self) -> Result<Self, String> {
        if self.http == self.port && self.port != 0 {
            return Err(format!(
                "the page and the game cannot share port {}; change --http or --port",
                self.port
            ));
        }
        Ok(self)
    }
}

fn ip(value: Option<String>) -> Result<IpAddr, String> {
    let value = value.ok_or("--listen needs an IP address, such as --listen 0.0.0.0")?;
    value.parse().map_err(|_| {
        format!("--listen needs an IP address, such as 127.0.0.1 or 0.0.0.0, not {value:?}")
    })
}

fn port(name: &str, value: Option<String>) -> Result<u16, String> {
    let value = value.ok_or_else(|| format!("{name} needs a port, such as {name} 8081"))?;
    value.parse().map_err(|_| format!("{name} needs a port from 0 to 65535, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Result<Command, String> {
        parse(args.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(parsed(""), Ok(Command::Run(Settings::default())));
    }

    #[test]
    fn all_can_be_set_in_both_ways() {
        let listen = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let wanted = Command::Run(Settings { listen, http: 0, port: 4000 });
        assert_eq!(parsed("--listen 0.0.0.0 --http 0 --port 4000").as_ref(), Ok(&wanted));
        assert_eq!(parsed("--listen=0.0.0.0 --http=0 --port=4000"), Ok(wanted));
    }

    #[test]
    fn help_wins_over_what_follows() {
        assert_eq!(parsed("--http 1 --help --nonsense"), Ok(Command::Help));
    }

    #[test]
    fn an_error_names_what_to_change() {
        let cases = [
            ("--listen", "--listen"),
            ("--listen localhost", "\"localhost\""),
            ("--http", "--http"),
            ("--port 65536", "--port"),
            ("--port x", "\"x\""),
            ("--http 3000", "--http or --port"),
            ("--speed 9", "\"--speed\""),
            ("3000", "\"3000\""),
        ];
        for (args, named) in cases {
            let error = parsed(args).expect_err(args);
            assert!(error.contains(named), "{args}: {error}");
        }
    }

    #[test]
    fn two_free_ports_are_no_conflict() {
        assert!(parsed("--http 0 --port 0").is_ok());
    }
}
