//! What a sender can ask of one message.

/// How one message is sent. The default is what [`Endpoint::send`](crate::Endpoint::send) does:
/// no key, and repaired as [`Config::repair`](crate::Config::repair) says.
///
/// ```
/// use net_rtc::SendOptions;
///
/// let snapshot = SendOptions::latest(7);                // the newest state of entity 7
/// let input = SendOptions::default().repair(true);      // something that happens once
/// assert_eq!((snapshot.key, input.repair), (Some(7), Some(true)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SendOptions {
    /// A newer message with the same key takes the place of an older one that has not left.
    /// Default `None`: nothing takes its place.
    pub key: Option<u64>,

    /// Whether the message rides again in later packets, in case it was lost. Default `None`:
    /// with a key it does not, because a newer message makes good for it; without one
    /// [`Config::repair`](crate::Config::repair) decides.
    pub repair: Option<bool>,
}

impl SendOptions {
    /// A message of which only the newest matters, among those with the same key.
    #[must_use]
    pub const fn latest(key: u64) -> SendOptions {
        SendOptions { key: Some(key), repair: None }
    }

    /// The same with this said about repair, whatever the key and the configuration say: `true`
    /// for what happens once, as events and inputs, `false` for what is soon out of date.
    #[must_use = "it gives the changed options, and leaves these as they are"]
    pub const fn repair(self, repair: bool) -> SendOptions {
        SendOptions { repair: Some(repair), ..self }
    }

    /// What the plane is told; `None` leaves it to the configuration.
    pub(crate) fn wanted_repair(self) -> Option<bool> {
        self.repair.or(self.key.map(|_| false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_asks_for_no_repair_unless_told() {
        let wanted = SendOptions::wanted_repair;
        assert_eq!(wanted(SendOptions::default()), None);
        assert_eq!(wanted(SendOptions::latest(1)), Some(false));
        assert_eq!(wanted(SendOptions::latest(1).repair(true)), Some(true));
        assert_eq!(wanted(SendOptions::default().repair(false)), Some(false));
    }
}
