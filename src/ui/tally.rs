//! `Tally`: the entries of one session that did not end as expected. The first few in full, the
//! rest by reason.
//!
//! Must not print: it says what is to be said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xfer::outcome::Why;

use super::words;

/// How many failures are told in full.
const IN_FULL: u64 = 10;
/// How many new names are remembered for the summary.
const NAMES: usize = 3;

/// What did not end as expected.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    failed: u64,
    /// Those beyond the first few, by the words for their reason.
    untold: BTreeMap<&'static str, u64>,
    /// What the sender's user did not want to be sent.
    pub(crate) left_out: u64,
    /// The first entries that got another name, and these names.
    pub(crate) renamed: Vec<(PathBuf, PathBuf)>,
}

impl Tally {
    /// Counts a failure, and says whether it is one to tell in full.
    pub(crate) fn failure(&mut self, why: &Why) -> bool {
        self.failed += 1;
        let tell = self.failed <= IN_FULL;
        if !tell {
            *self.untold.entry(kind(why)).or_default() += 1;
        }
        tell
    }

    /// Notes that an entry got another name.
    pub(crate) fn renamed(&mut self, path: &Path, to: &Path) {
        if self.renamed.len() < NAMES {
            self.renamed.push((path.to_owned(), to.to_owned()));
        }
    }

    /// The failures that were not told in full, in a line.
    pub(crate) fn untold(&self) -> Option<String> {
        let mut kinds: Vec<_> = self.untold.iter().collect();
        kinds.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
        let parts = kinds.into_iter().map(|(kind, n)| format!("{n} {kind}"));
        let parts: Vec<_> = parts.collect();
        let n = self.untold.values().sum::<u64>();
        (n > 0).then(|| format!("Failed: {} more: {}", words::count(n), parts.join(", ")))
    }
}

/// A reason in words for people.
pub(crate) fn reason(why: &Why) -> String {
    match why {
        Why::Space { needed, free } => format!(
            "needs {} of space, {} are free",
            words::bytes(*needed),
            words::bytes(*free)
        ),
        why => why.to_string(),
    }
}

fn kind(why: &Why) -> &'static str {
    match why {
        Why::Unreadable(_) => "cannot be read",
        Why::Vanished => "were gone when they were to be read",
        Why::Changed => "changed each time they were read",
        Why::Special => "are sockets, fifos or devices",
        Why::Name(_) => "have a name that cannot be sent",
        Why::Parent => "belong into a folder that could not be made",
        Why::InTheWay(_) => "have something in their way",
        Why::Space { .. } => "need more space than is free",
        Why::Busy => "are being received in another session",
        Why::System(_) => "could not be stored",
        Why::Damaged => "arrived damaged",
        Why::Outside => "are links that lead out of the receiver's folder",
        _ => "for another reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_are_told_and_the_rest_counted_by_reason() {
        let mut tally = Tally::default();
        for _ in 0..10 {
            assert!(tally.failure(&Why::Vanished));
        }
        assert_eq!(tally.untold(), None);
        assert!(!tally.failure(&Why::Changed));
        for _ in 0..2 {
            assert!(!tally.failure(&Why::Unreadable("permission denied".into())));
        }
        let line = "Failed: 3 more: 2 cannot be read, 1 changed each time they were read";
        assert_eq!(tally.untold().as_deref(), Some(line));
    }

    #[test]
    fn space_is_told_in_sizes() {
        let why = Why::Space {
            needed: 12_300_000_000,
            free: 4_500_000,
        };
        assert_eq!(reason(&why), "needs 12.3 GB of space, 4.50 MB are free");
    }
}
