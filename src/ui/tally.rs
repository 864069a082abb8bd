//! `Tally`: the entries of one session that did not end as expected. The first few in full, the
//! rest by reason.
//!
//! Must not print: it says what is to be said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xfer::model::outcome::{Role, Why};
use xfer::sys::name;

use super::safe::safe;
use super::sentences::{breaks_rule, why_many};
use super::words;

/// How many failures are told in full, and how many other things that went wrong.
const IN_FULL: u64 = 10;
/// How many names are remembered for a line about many: new ones, and those of failures for each
/// reason.
const NAMES: usize = 3;

/// What did not end as expected.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    failed: u64,
    warned: u64,
    /// How much the sender's user did not want to be sent.
    pub(crate) left_out: u64,
    /// How much is not sent because it is xfer's own, and the first of it.
    own: Untold,
    /// How many files failed, as far as it is known that they are files.
    pub(crate) failed_files: u64,
    /// Of a dry run: how often a mirror would ask before it deletes much.
    pub(crate) asks_first: u64,
    /// Whether it was said why a mirror removes nothing.
    pub(crate) too_many_removals: bool,
    /// How many were refused for what they are, so that to try again is of no use.
    pub(crate) refused_for_good: u64,
    /// Whether a link was refused because of where it leads.
    links_outside: bool,
    /// Whether a name was refused that Windows does not allow.
    names_of_windows: bool,
    /// Failures beyond the first few, by the words for their reason.
    untold: BTreeMap<&'static str, Untold>,
    /// The first entries that got another name, and these names.
    pub(crate) renamed: Vec<(PathBuf, PathBuf)>,
}

/// Entries that were not told in full, for one reason.
#[derive(Debug, Default)]
struct Untold {
    count: u64,
    /// The first of them.
    names: Vec<PathBuf>,
}

impl Untold {
    fn add(&mut self, path: &Path) {
        self.count += 1;
        if self.names.len() < NAMES {
            self.names.push(path.to_owned());
        }
    }

    fn names(&self) -> String {
        let mut names: Vec<_> = self.names.iter().map(|n| safe(n).to_string()).collect();
        if self.count > names.len() as u64 {
            names.push("…".to_owned());
        }
        names.join(", ")
    }
}

impl Tally {
    /// Counts a failure, and says whether it is one to tell in full.
    pub(crate) fn failure(&mut self, path: &Path, why: &Why) -> bool {
        self.failed += 1;
        self.too_many_removals |= matches!(why, Why::TooManyRemovals { .. });
        self.links_outside |= matches!(why, Why::Outside);
        self.names_of_windows |= breaks_rule(path, why);
        let is_for_good = matches!(
            why,
            Why::Outside | Why::Special | Why::Name(_) | Why::NameText(_)
        );
        self.refused_for_good += u64::from(is_for_good || breaks_rule(path, why));
        let tell = self.failed <= IN_FULL;
        if !tell {
            self.untold.entry(why_many(why)).or_default().add(path);
        }
        tell
    }

    /// Counts something that is not sent because it is xfer's own.
    pub(crate) fn own(&mut self, path: &Path) {
        self.own.add(path);
    }

    /// What is to be said of that.
    pub(crate) fn own_left_out(&self) -> Option<String> {
        let count = words::count(self.own.count);
        let names = self.own.names();
        (self.own.count > 0).then(|| format!("{count} left out: {names} (reserved for xfer)"))
    }

    /// Counts something of which nothing fails, and says whether it is to be told.
    pub(crate) fn warning(&mut self) -> bool {
        self.warned += 1;
        self.warned <= IN_FULL
    }

    /// Notes that an entry got another name, and says whether it is one of the first that did.
    pub(crate) fn renamed(&mut self, path: &Path, to: &Path) -> bool {
        let first = self.renamed.len() < NAMES;
        if first {
            self.renamed.push((path.to_owned(), to.to_owned()));
        }
        first
    }

    /// What can be done about failures of which there can be many.
    /// `dialed` says whether this side did.
    pub(crate) fn hints(
        &self,
        role: Role,
        dialed: bool,
        peer: &str,
    ) -> impl Iterator<Item = String> {
        // Who shares can do nothing about it.
        let is_told = role == Role::Receiver || dialed;
        let allow = "start `xfer recv --allow-links-outside`";
        let links = (self.links_outside && is_told).then(|| match role {
            Role::Sender => format!(
                "To send these links, {allow} on {peer}; or use --links follow or --links skip."
            ),
            Role::Receiver if dialed => {
                "To take these links, add --allow-links-outside.".to_owned()
            }
            Role::Receiver => format!("To take these links, {allow}."),
        });
        let rename = "`xfer recv --rename-unsafe`";
        let names = (self.names_of_windows && is_told).then(|| match role {
            Role::Sender => {
                format!(
                    "If {peer} runs Windows, {rename} there stores such files under other names."
                )
            }
            Role::Receiver if dialed => {
                "To store such files under other names, add --rename-unsafe.".to_owned()
            }
            Role::Receiver => format!("To store such files under other names, start {rename}."),
        });
        // No other system has the option's way out.
        let can_rename = |_: &String| role == Role::Sender || !name::HOLDS_ALL;
        links.into_iter().chain(names.filter(can_rename))
    }

    /// What was not told in full, in a line for each kind: by reason, with the first few names,
    /// and how to learn the others.
    pub(crate) fn untold(&self) -> Vec<String> {
        let mut kinds: Vec<_> = self.untold.iter().collect();
        kinds.sort_by_key(|(_, untold)| std::cmp::Reverse(untold.count));
        let parts = kinds.into_iter().map(|(kind, untold)| {
            format!("{} {kind} ({})", words::count(untold.count), untold.names())
        });
        let parts: Vec<_> = parts.collect();
        let mut lines = Vec::new();
        let failed = self.failed.saturating_sub(IN_FULL);
        if failed > 0 {
            let (n, parts) = (words::count(failed), parts.join("; "));
            lines.push(format!(
                "Failed: {n} more: {parts}. Use -v or --json to see each."
            ));
        }
        let warned = self.warned.saturating_sub(IN_FULL);
        if warned > 0 {
            lines.push(format!("Warning: {} more like these", words::count(warned)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfer::model::reason::SystemError;

    #[test]
    fn ten_are_told_and_the_rest_counted_by_reason() {
        let mut tally = Tally::default();
        for _ in 0..10 {
            assert!(tally.failure(Path::new("a"), &Why::Vanished));
            assert!(tally.warning());
        }
        assert!(tally.untold().is_empty());
        assert!(!tally.failure(Path::new("b\x1b"), &Why::Changed));
        for n in 0..2000 {
            let path = PathBuf::from(format!("c/{n}"));
            assert!(!tally.failure(
                &path,
                &Why::Unreadable(SystemError::PermissionDenied.into())
            ));
            assert!(!tally.warning());
        }
        assert_eq!(
            tally.untold(),
            [
                "Failed: 2,001 more: 2,000 cannot be read (c/0, c/1, c/2, …); 1 kept changing \
                 while being read (b\\x1b). Use -v or --json to see each.",
                "Warning: 2,000 more like these",
            ]
        );
    }
}
