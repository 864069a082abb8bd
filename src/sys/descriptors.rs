//! How many files, folders and connections this process may have open at once.
//!
//! Must not open anything.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is counted on where there is no limit, or none that would be of use.
const MANY: u64 = 65_536;

/// Has the limit raised as far as the user may. What is open is kept few in any case; but many
/// systems begin with a limit that is lower than a few busy sessions need.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Some systems have a lower limit of their own than the one they tell.
    for wanted in [MANY, 10_240] {
        let wanted = limit.maximum.map_or(wanted, |most| most.min(wanted));
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        let enough = limit.current.is_none_or(|now| now >= wanted);
        if enough || setrlimit(Resource::Nofile, raised).is_ok() {
            return;
        }
    }
}

/// The limit.
#[must_use]
pub fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MANY);
    usize::try_from(limit.min(MANY)).unwrap_or(usize::MAX)
}
