//! The browser's own folder: fresh for each start, removed at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A temporary folder, removed on drop.
#[derive(Debug)]
pub(crate) struct Profile {
    path: PathBuf,
}

impl Profile {
    /// Processes of different PID namespaces may have one id and still share the folder above.
    pub(crate) fn new() -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("net-browser-{}-{number}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the settings that keep Firefox from talking to anyone but us, and `more`.
    pub(crate) fn write_firefox_settings(&self, more: &[(&str, &str)]) -> io::Result<()> {
        let lines = FIREFOX_SETTINGS
            .iter()
            .chain(more)
            .map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
        fs::write(self.path.join("user.js"), lines.collect::<String>())
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // The last processes of a killed browser may still be writing.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::yield_now();
        }
        log::warn!("could not remove {}", self.path.display());
    }
}

const FIREFOX_SETTINGS: &[(&str, &str)] = &[
    ("app.normandy.enabled", "false"),
    ("app.update.auto", "false"),
    ("app.update.enabled", "false"),
    ("app.update.disabledForTesting", "true"),
    ("browser.aboutConfig.showWarning", "false"),
    ("browser.newtabpage.activity-stream.feeds.topsites", "false"),
    ("browser.newtabpage.enabled", "false"),
    ("browser.ping-centre.telemetry", "false"),
    ("browser.region.network.url", "\"\""),
    ("browser.region.update.enabled", "false"),
    ("browser.safebrowsing.blockedURIs.enabled", "false"),
    ("browser.safebrowsing.downloads.enabled", "false"),
    ("browser.safebrowsing.malware.enabled", "false"),
    ("browser.safebrowsing.phishing.enabled", "false"),
    ("browser.search.update", "false"),
    ("browser.sessionstore.resume_from_crash", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.startup.homepage_override.mstone", "\"ignore\""),
    ("browser.startup.page", "0"),
    ("browser.tabs.warnOnClose", "false"),
    ("datareporting.healthreport.uploadEnabled", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("dom.disable_open_during_load", "false"),
    ("dom.push.enabled", "false"),
    ("extensions.blocklist.enabled", "false"),
    ("extensions.getAddons.cache.enabled", "false"),
    ("extensions.systemAddon.update.enabled", "false"),
    ("extensions.update.enabled", "false"),
    ("media.gmp-manager.updateEnabled", "false"),
    ("media.gmp-manager.url", "\"\""),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("network.dns.disablePrefetch", "true"),
    ("network.prefetch-next", "false"),
    ("network.trr.mode", "5"),
    ("services.settings.server", "\"data:,#remote-settings-dummy/v1\""),
    ("signon.autofillForms", "false"),
    ("startup.homepage_welcome_url", "\"\""),
    ("toolkit.telemetry.enabled", "false"),
    ("toolkit.telemetry.server", "\"\""),
    ("toolkit.telemetry.unified", "false"),
    ("trailhead.firstrun.didSeeAboutWelcome", "true"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_exists_is_left_alone() {
        let first = Profile::new().expect("a temporary folder");
        NEXT.store(0, Ordering::Relaxed);
        let second = Profile::new().expect("a temporary folder");
        assert_ne!(first.path(), second.path());
        drop(second);
        assert!(first.path().exists());
    }
}
