//! From the line of mailboxes to the hub.

use std::time::Instant;

use crate::Delivery;
use crate::hub::Hub;
use crate::mailbox::Left;
use crate::shared::Shared;

impl Shared {
    /// Hands the hub a part of what waits in the first mailbox in line; what is left goes behind
    /// the others. False if none is in line.
    pub(crate) fn hand_over(&self, now: Instant, hub: &mut Hub) -> bool {
        let Some(id) = self.next_post() else { return false };
        let Some(entry) = self.find(id) else { return true };
        let left = entry.mailbox.take_part(|part| {
            for message in part.reliable {
                hub.send(now, id, Delivery::Reliable, message);
            }
            for (message, options) in part.fresh {
                hub.send_unreliable(now, id, message, options);
            }
            if let Some(reason) = part.close {
                hub.close(now, id, reason);
            }
            hub.unwritten(id)
        });
        if left == Left::Something {
            self.post_again(id);
        }
        true
    }
}
