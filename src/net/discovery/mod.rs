//! How receivers announce themselves on the network, and are found: multicast DNS (RFC 6762) and
//! DNS-SD (RFC 6763).
//!
//! Must not be believed: anybody on the network can announce anything. What is found says where to
//! ask; who is there, the key shows that they prove to have.

mod announce;
mod beacon;
mod browse;
mod daemon;
mod seen;

pub use announce::{Announcement, Announcer, reaches_others};
pub use beacon::{Beacon, FingerprintStart, Service};
pub use browse::{Browser, BrowserCloser};
pub use seen::Sighting;
