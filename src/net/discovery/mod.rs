//! Announcing and finding receivers: multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
//!
//! Must not be believed: anyone on the network can announce anything. An announcement only says
//! where to ask; a machine's proven key says who it is.

mod announce;
mod beacon;
mod browse;
mod daemon;
mod seen;

pub use announce::{Announcement, Announcer, reaches_others};
pub use beacon::{Beacon, FingerprintStart, Service};
pub use browse::{Browser, BrowserCloser};
pub use seen::Sighting;
