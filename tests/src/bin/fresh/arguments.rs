//! What the user wants.

use std::time::Duration;

pub(crate) const HELP: &str = "\
Measures the unreliable path in virtual time: a whole server and unmodified clients
over bad networks. Markdown goes to stdout, progress to stderr; the exit status is 0
only if every target was reached.

Usage: fresh [TABLE...] [--seconds N] [--only TEXT] [--seed N] [--seeds N] [--trace]
             [--count N] [--profile N] [--long]

Tables (default: latency):
  latency    80 cells of load, delay, loss and direction, beside plain SCTP
  overload   twice and ten times what the path carries
  share      two clients through one bottleneck
  tcp        beside a CUBIC download
  lift       a limit that is lifted, or appears
  slow       1 to 20 messages a second for ten minutes
  repair     what it brings and costs under loss
  connect    how long connections take, by switch: --seeds connections a row (200)
  bounds     constant loss, cap, floor and circuit breaker
  profiles   the default congestion control against the simple one over random links
  hunt       what must never happen, over random networks: --count runs
  all        all of them

  --seconds N   virtual seconds of each row (at least 4, because in the first 3 a
                client's own SCTP may still be opening its window); the default is
                the table's own, mostly 60
  --only TEXT   only rows whose name has TEXT in it, for example \"600/s\",
                \"20 ms, 5 %\", \"up\"; for profiles \"alone\" or \"bursts of cross\",
                for a hunt \"#12:\"
  --seed N      what chance follows from (default 1)
  --seeds N     each row by this seed and the N - 1 after it: how often a target is missed
  --trace       one row after the other, with a line for every 100 ms
  --count N     how many profiles, or runs of a hunt (default 1000)
  --profile N   only this profile, in detail
  --long        instead of tables, half an hour at 5 % loss in both directions:
                does latency or memory creep up?
  --help        this text";

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Latency,
    Overload,
    Share,
    Tcp,
    Lift,
    Slow,
    Repair,
    Profiles,
    Bounds,
    Connect,
    Hunt,
}

const NAMES: [(&str, Name); 11] = [
    ("latency", Name::Latency),
    ("overload", Name::Overload),
    ("share", Name::Share),
    ("tcp", Name::Tcp),
    ("lift", Name::Lift),
    ("slow", Name::Slow),
    ("repair", Name::Repair),
    ("profiles", Name::Profiles),
    ("bounds", Name::Bounds),
    ("connect", Name::Connect),
    ("hunt", Name::Hunt),
];

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Long(Settings),
    Tables(Vec<Name>, Settings),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) time: Option<Duration>,
    pub(crate) only: String,
    pub(crate) seed: u64,
    pub(crate) seeds: u64,
    pub(crate) trace: bool,
    pub(crate) count: u64,
    pub(crate) profile: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        let (time, only, trace) = (None, String::new(), false);
        Settings { time, only, seed: 1, seeds: 1, trace, count: 1_000, profile: None }
    }
}

impl Settings {
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// How long a row takes that otherwise takes a minute.
    pub(crate) fn minute(&self) -> Duration {
        self.time.unwrap_or(Duration::from_secs(60))
    }
}

pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let (mut settings, mut names, mut long) = (Settings::default(), Vec::new(), false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // Both `--seed 2` and `--seed=2`.
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || value.clone().or_else(|| args.next());
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--long" => long = true,
            "--trace" => settings.trace = true,
            "--only" => settings.only = value().ok_or("--only needs a text, such as 600/s")?,
            "--seed" => settings.seed = number("--seed", value())?,
            "--seeds" => settings.seeds = number("--seeds", value())?.max(1),
            "--count" => settings.count = number("--count", value())?.max(1),
            "--profile" => settings.profile = Some(number("--profile", value())?),
            "--seconds" => match number("--seconds", value())? {
                seconds @ 4..=86_400 => settings.time = Some(Duration::from_secs(seconds)),
                other => return Err(format!("--seconds goes from 4 to 86400, not to {other}")),
            },
            "all" => names.extend(NAMES.map(|(_, name)| name)),
            other => names.push(table(other)?),
        }
    }
    if settings.profile.is_some() {
        names = vec![Name::Profiles];
    }
    if names.is_empty() {
        names.push(Name::Latency);
    }
    Ok(if long { Command::Long(settings) } else { Command::Tables(names, settings) })
}

fn table(word: &str) -> Result<Name, String> {
    let name = NAMES.iter().find(|(name, _)| *name == word).map(|(_, name)| *name);
    name.ok_or_else(|| format!("unknown argument {word:?}; --help lists all of them"))
}

fn number(name: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number, such as {name} 10"))?;
    value.parse().map_err(|_| format!("{name} needs a whole number, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        let command = Command::Tables(vec![Name::Latency], Settings::default());
        assert_eq!(parsed(&[]), Ok(command));
    }

    #[test]
    fn all_can_be_set_in_both_ways() {
        let wanted = Settings {
            time: Some(Duration::from_secs(5)),
            only: "20 ms, 5 %".to_owned(),
            seed: 9,
            seeds: 1,
            trace: true,
            count: 20,
            profile: None,
        };
        let apart = "overload,--seconds,5,--only,20 ms, 5 %,--seed,9,--trace,--count,20";
        let apart = apart.replace("ms, 5", "ms; 5");
        let apart: Vec<_> = apart.split(',').map(|word| word.replace(';', ",")).collect();
        let command = Command::Tables(vec![Name::Overload], wanted);
        assert_eq!(parse(apart), Ok(command));
        let joined = ["overload", "--seconds=5", "--only=20 ms, 5 %", "--seed=9", "--trace"];
        let joined: Vec<_> = joined.into_iter().chain(["--count=20"]).collect();
        assert!(matches!(parsed(&joined), Ok(Command::Tables(_, settings)) if settings.seed == 9));
    }

    #[test]
    fn a_single_profile_needs_no_table() {
        let Ok(Command::Tables(names, settings)) = parsed(&["--profile", "17"]) else {
            panic!("no tables");
        };
        assert_eq!((names, settings.profile), (vec![Name::Profiles], Some(17)));
    }

    #[test]
    fn an_error_names_what_to_change() {
        let cases: [(&[&str], &str); 5] = [
            (&["--seconds"], "--seconds"),
            (&["--seconds", "0"], "from 4"),
            (&["--seed", "x"], "\"x\""),
            (&["--only"], "--only"),
            (&["fast"], "\"fast\""),
        ];
        for (args, named) in cases {
            let error = parsed(args).expect_err(named);
            assert!(error.contains(named), "{args:?}: {error}");
        }
    }
}
