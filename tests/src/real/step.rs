//! What is done to a link, step by step.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::Cut;

/// A line of the input of the program `lossy-link`, which does one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Does nothing for so long, in whole milliseconds.
    Wait(Duration),
    /// From then on nothing of this passes.
    Cut(Cut),
    /// A NAT in front of the client forgets all mappings of its datagrams; the next ones come
    /// from this address, and other ports. Before the first time there is no NAT.
    Map(Ipv4Addr),
    /// From then on so many bytes of each packet are told; with 0 nothing of it.
    Record(usize),
}

/// When the link has done a step, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub at: u64,
    /// The step in the words of the link's input.
    pub words: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Wait(time) => write!(f, "wait {}", time.as_millis()),
            Step::Cut(cut) => write!(f, "cut {cut}"),
            Step::Map(public) => write!(f, "map {public}"),
            Step::Record(bytes) => write!(f, "record {bytes}"),
        }
    }
}

impl Done {
    /// What a line of the link's output says of this.
    pub(super) fn of(line: &Value) -> Option<Done> {
        let done = &line["done"];
        Some(Done { at: done[0].as_u64()?, words: done[1].as_str()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line() {
        let steps = [
            Step::Cut(Cut::Everything),
            Step::Wait(Duration::from_millis(1_500)),
            Step::Cut(Cut::Nothing),
            Step::Map(Ipv4Addr::new(192, 0, 2, 9)),
            Step::Record(32),
        ];
        let lines = steps.map(|step| step.to_string());
        let expected = ["cut everything", "wait 1500", "cut nothing", "map 192.0.2.9", "record 32"];
        assert_eq!(lines, expected);
    }
}
