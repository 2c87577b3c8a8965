//! Real browsers in tests: a [`Site`] serves the pages of `tests/pages`, a
//! [`Browser`] opens one, an [`Answerer`] is the server it talks to, and the
//! page posts back what it found.

mod answerer;
mod process;
mod profile;
mod site;
mod stage;

pub use answerer::{Answerer, Life};
pub use process::{Browser, Kind};
pub use site::Site;
pub use stage::{Stage, closed_port};
