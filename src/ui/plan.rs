//! `DryRunPlan`: what a dry run has found that sending would do. What may be lost comes first; what is
//! much is counted by folder.
//!
//! Must not print, nor keep more than so much of a tree of any size.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use xfer::model::outcome::Outcome;

use super::outcome_words::{why, why_many};
use super::safe::safe;
use super::words;

/// How many entries of a kind are named each. More are counted by folder.
const MAX_NAMED: usize = 20;
/// How many folders of a kind are kept apart, and how many are shown.
const MAX_FOLDERS: usize = 500;
const MAX_SHOWN: usize = 40;

/// What would become of an entry, what is to be looked at first before all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PlannedKind {
    Refused,
    Deleted,
    Replaced,
    Renamed,
    Skipped,
    New,
    Same,
}

/// What is planned so far.
#[derive(Debug, Default)]
pub(super) struct DryRunPlan(BTreeMap<PlannedKind, PlannedEntries>);

#[derive(Debug, Default)]
struct PlannedEntries {
    count: u64,
    /// The first of them, as lines.
    named: Vec<String>,
    folders: BTreeMap<FolderKey, Much>,
    /// How many components of a folder's path are told apart, once they are too many.
    depth: Option<usize>,
    /// What is in further folders, once there are too many beside each other.
    others: Much,
}

/// A folder, and why what is in it is refused.
type FolderKey = (String, &'static str);

#[derive(Debug, Default, Clone, Copy)]
struct Much {
    count: u64,
    bytes: u64,
}

impl PlannedKind {
    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Deleted => "to delete",
            Self::Replaced => "to replace",
            Self::Renamed => "to rename",
            Self::Skipped => "to skip",
            Self::New => "new",
            Self::Same => "same",
        }
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Stored(None) => Self::New,
            Outcome::Stored(Some(_)) => Self::Renamed,
            Outcome::Replaced => Self::Replaced,
            Outcome::Kept => Self::Skipped,
            Outcome::Failed(_) => Self::Refused,
            Outcome::Have(_) => Self::Same,
        }
    }
}

/// A line for an entry, and of which kind it is.
pub(super) fn entry(path: &Path, outcome: &Outcome) -> (PlannedKind, String) {
    let shown = safe(path);
    let kind = PlannedKind::of(outcome);
    let text = match outcome {
        Outcome::Stored(Some(other)) => format!("{shown} as {}", safe(&*other.as_path())),
        Outcome::Kept => format!("{shown}: something has that name"),
        Outcome::Failed(reason) => format!("{shown}: {}", why(path, reason)),
        _ => shown.to_string(),
    };
    (kind, line(kind, &text))
}

/// A line for something that would be deleted.
pub(super) fn deleted(path: &Path) -> String {
    line(PlannedKind::Deleted, &safe(path).to_string())
}

fn line(kind: PlannedKind, text: &str) -> String {
    format!("{:<10} {text}", kind.word())
}

impl DryRunPlan {
    /// Takes note of an entry. What stays as it is needs no word.
    pub(super) fn entry(&mut self, path: &Path, size: u64, outcome: &Outcome) {
        let (kind, line) = entry(path, outcome);
        let reason = match outcome {
            Outcome::Failed(reason) => why_many(reason),
            _ => "",
        };
        if kind != PlannedKind::Same {
            self.add(kind, path, size, reason, line);
        }
    }

    /// Takes note of something that would be deleted.
    pub(super) fn deleted(&mut self, path: &Path) {
        self.add(PlannedKind::Deleted, path, 0, "", deleted(path));
    }

    fn add(
        &mut self,
        kind: PlannedKind,
        path: &Path,
        size: u64,
        reason: &'static str,
        line: String,
    ) {
        let planned = self.0.entry(kind).or_default();
        planned.count += 1;
        if planned.named.len() < MAX_NAMED {
            planned.named.push(line);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = safe(folder).to_string();
        let folder = match planned.depth {
            Some(depth) => cut(&folder, depth).to_owned(),
            None => folder,
        };
        let key = (folder, reason);
        let is_full = planned.depth == Some(1) && planned.folders.len() >= MAX_FOLDERS;
        let much = match is_full && !planned.folders.contains_key(&key) {
            true => &mut planned.others,
            false => planned.folders.entry(key).or_default(),
        };
        much.add(Much {
            count: 1,
            bytes: size,
        });
        if planned.folders.len() > MAX_FOLDERS {
            planned.merge(MAX_FOLDERS / 2);
        }
    }

    /// The lines for all of it.
    pub(super) fn lines(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, planned) in &mut self.0 {
            if planned.count <= MAX_NAMED as u64 {
                lines.append(&mut planned.named);
                continue;
            }
            planned.merge(MAX_SHOWN);
            let shown = match planned.folders.len() {
                ..=MAX_SHOWN => MAX_SHOWN,
                _ => MAX_SHOWN - 1,
            };
            let folders = planned.folders.iter().take(shown);
            let folders = folders.map(|((folder, reason), much)| {
                let place = match folder.as_str() {
                    "" => "not in a folder",
                    folder => folder,
                };
                let reason = match *reason {
                    "" => String::new(),
                    reason => format!(", which {reason}"),
                };
                line(*kind, &format!("{place}: {}{reason}", much.words()))
            });
            lines.extend(folders);
            lines.extend(planned.rest(shown).map(|rest| line(*kind, &rest)));
        }
        lines
    }
}

impl Much {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn words(self) -> String {
        let items = words::plural(self.count, "item", "items");
        match self.bytes {
            0 => items,
            bytes => format!("{items} ({})", words::bytes(bytes)),
        }
    }
}

impl PlannedEntries {
    /// What is in the folders behind the first ones.
    fn rest(&self, shown: usize) -> Option<String> {
        let folders: BTreeSet<_> = (self.folders.keys().skip(shown))
            .map(|(folder, _)| folder)
            .collect();
        let mut rest = self.others;
        for much in self.folders.values().skip(shown) {
            rest.add(*much);
        }
        let over = if self.others.count > 0 { "over " } else { "" };
        let count = words::plural(folders.len() as u64, "more folder", "more folders");
        (rest.count > 0).then(|| format!("and {over}{count}: {}", rest.words()))
    }

    /// Counts what is deep in the tree with what is above it, until there are so few folders, or
    /// only those at the top.
    fn merge(&mut self, most: usize) {
        while self.folders.len() > most && self.depth != Some(1) {
            let deepest = self.folders.keys().map(|(folder, _)| depth(folder)).max();
            let depth = deepest.unwrap_or(0).saturating_sub(1).max(1);
            self.depth = Some(depth);
            for ((folder, reason), much) in std::mem::take(&mut self.folders) {
                let key = (cut(&folder, depth).to_owned(), reason);
                self.folders.entry(key).or_default().add(much);
            }
        }
    }
}

fn depth(folder: &str) -> usize {
    match folder {
        "" => 0,
        folder => folder.split('/').count(),
    }
}

/// So many components of a path.
fn cut(folder: &str, depth: usize) -> &str {
    let end = folder.match_indices('/').nth(depth.saturating_sub(1));
    match (depth, end) {
        (0, _) => "",
        (_, Some((end, _))) => &folder[..end],
        (_, None) => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfer::model::outcome::Why;

    #[test]
    fn what_may_be_lost_comes_first_and_much_is_counted_by_folder() {
        let mut plan = DryRunPlan::default();
        for n in 0..312 {
            let path = format!("photos/2024/{n}.jpg");
            plan.entry(Path::new(&path), 4_000_000, &Outcome::Stored(None));
        }
        plan.entry(Path::new("photos/old"), 9, &Outcome::Have(None));
        plan.entry(Path::new("photos/new.txt"), 5, &Outcome::Stored(None));
        plan.entry(Path::new("photos/b"), 5, &Outcome::Replaced);
        plan.deleted(Path::new("photos/gone\x1b"));
        plan.entry(Path::new("photos/pipe"), 0, &Outcome::Failed(Why::Special));
        assert_eq!(
            plan.lines(),
            [
                &format!(
                    "refused    photos/pipe: {}",
                    why(Path::new(""), &Why::Special)
                ),
                "to delete  photos/gone\\x1b",
                "to replace photos/b",
                "new        photos: 1 item (5 B)",
                "new        photos/2024: 312 items (1.25 GB)",
            ]
        );
    }

    #[test]
    fn folders_beside_each_other_are_named_or_counted_as_folders() {
        for (count, rest) in [
            (100, "and 61 more folders: 3,050 items"),
            (5_000, "and over "),
        ] {
            let mut plan = DryRunPlan::default();
            for n in 0..count {
                for file in 0..50 {
                    let path = format!("top-{n:04}/{file}");
                    plan.entry(Path::new(&path), 0, &Outcome::Stored(None));
                }
            }
            assert!(plan.0[&PlannedKind::New].folders.len() <= MAX_FOLDERS + 1);
            let lines = plan.lines();
            assert_eq!(lines.len(), MAX_SHOWN);
            assert_eq!(lines[0], "new        top-0000: 50 items");
            let last = &lines[MAX_SHOWN - 1];
            assert!(last.contains(rest), "{last}");
        }
    }

    #[test]
    fn a_tree_of_any_size_takes_so_much_and_no_more() {
        let mut plan = DryRunPlan::default();
        for n in 0..20_000 {
            let path = format!("top/{}/{}/{n}", n % 30, n % 7000);
            plan.entry(Path::new(&path), 1, &Outcome::Stored(None));
        }
        assert!(plan.0[&PlannedKind::New].folders.len() <= MAX_FOLDERS);
        let lines = plan.lines();
        assert!(lines.len() <= MAX_SHOWN, "{}", lines.len());
        assert_eq!(lines.len(), 30);
        assert_eq!(lines[0], "new        top/0: 667 items (667 B)");
    }
}
