//! The browser's processes.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::profile::Profile;

/// Which browser to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chromium or Chrome; the variable `CHROMIUM` names another program.
    Chromium,
    /// Firefox or Firefox ESR; the variable `FIREFOX` names another program.
    Firefox,
}

/// A headless browser with a profile of its own. Dropping it ends all of its
/// processes and removes the profile.
#[derive(Debug)]
pub struct Browser {
    guard: Child,
    // Removed after `drop` has ended the processes.
    _profile: Profile,
}

impl Browser {
    /// Starts Chromium on a page.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn chromium(url: &str) -> Self {
        Self::start(Kind::Chromium, url)
    }

    /// Starts Firefox on a page.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn firefox(url: &str) -> Self {
        Self::start(Kind::Firefox, url)
    }

    /// Starts a browser on a page.
    ///
    /// # Panics
    /// When it is not installed, or the profile's folder cannot be made.
    pub fn start(kind: Kind, url: &str) -> Self {
        Self::start_with(kind, url, &[])
    }

    /// The same with further arguments of its program.
    ///
    /// # Panics
    /// As [`start`](Browser::start).
    pub fn start_with(kind: Kind, url: &str, arguments: &[&str]) -> Self {
        let profile = Profile::new().expect("a folder for the browser's profile");
        Self::run(kind, url, arguments, profile, &[])
    }

    /// Starts Firefox with further preferences, name and value as in `user.js`.
    ///
    /// # Panics
    /// As [`start`](Browser::start).
    pub fn firefox_with(url: &str, preferences: &[(&str, &str)]) -> Self {
        let profile = Profile::new().expect("a folder for the browser's profile");
        Self::run(Kind::Firefox, url, &[], profile, preferences)
    }

    fn run(
        kind: Kind,
        url: &str,
        arguments: &[&str],
        profile: Profile,
        preferences: &[(&str, &str)],
    ) -> Self {
        let mut command = guarded(&program(kind));
        match kind {
            Kind::Chromium => chromium_arguments(&mut command, &profile),
            Kind::Firefox => firefox_arguments(&mut command, &profile, preferences),
        }
        let guard = command.args(arguments).arg(url).spawn().expect("sh starts the browser");
        log::info!("{kind:?} opens {url}");
        Self { guard, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The guard kills its group, itself included, when its input ends.
        drop(self.guard.stdin.take());
        if let Err(error) = self.guard.wait() {
            log::warn!("the browser's guard: {error}");
        }
    }
}

/// A shell in a process group of its own that runs the browser, and ends the
/// whole group when its standard input closes: on drop, and also when the test
/// itself is killed.
fn guarded(program: &OsString) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$@\" & read -r _; kill -KILL 0", "browser"])
        .arg(program)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn chromium_arguments(command: &mut Command, profile: &Profile) {
    command.args(CHROMIUM_ARGUMENTS).arg({
        let mut argument = OsString::from("--user-data-dir=");
        argument.push(profile.path());
        argument
    });
}

fn firefox_arguments(command: &mut Command, profile: &Profile, preferences: &[(&str, &str)]) {
    profile.write_firefox_settings(preferences).expect("the profile's folder is ours");
    command
        .args(["--headless", "--no-remote", "--profile"])
        .arg(profile.path())
        .env("MOZ_DISABLE_CONTENT_SANDBOX", "1")
        .env("MOZ_CRASHREPORTER_DISABLE", "1")
        .env("HOME", profile.path());
}

fn program(kind: Kind) -> OsString {
    let (variable, names) = match kind {
        Kind::Chromium => ("CHROMIUM", CHROMIUM_NAMES),
        Kind::Firefox => ("FIREFOX", FIREFOX_NAMES),
    };
    std::env::var_os(variable)
        .or_else(|| names.iter().find_map(|name| on_path(name)))
        .unwrap_or_else(|| panic!("{kind:?} is not installed; {variable} can name its program"))
}

fn on_path(name: &str) -> Option<OsString> {
    let path = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = programs.into_iter().find(|program| program.is_file());
    found.map(PathBuf::into_os_string)
}

const CHROMIUM_NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];
const FIREFOX_NAMES: &[&str] = &["firefox-esr", "firefox"];

// No sandbox: it refuses to run as root, and the pages are our own.
const CHROMIUM_ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-popup-blocking",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
];

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_program_off_the_path_is_not_found() {
        assert_eq!(on_path("no-browser-has-this-name"), None);
    }

    #[test]
    fn the_guard_ends_what_it_started() {
        let mut command = guarded(&OsString::from("sh"));
        command.args(["-c", "echo started; exec sleep 600"]).stdout(Stdio::piped());
        let mut guard = command.spawn().expect("sh starts");
        let mut output = guard.stdout.take().expect("piped above");
        let mut line = [0; 8];
        output.read_exact(&mut line).expect("the program writes");
        drop(guard.stdin.take());
        // The end of the output is the end of all who held it.
        let rest = output.read_to_end(&mut Vec::new()).expect("a pipe");
        assert_eq!((&line, rest), (b"started\n", 0));
        assert!(!guard.wait().expect("our child").success());
    }
}
