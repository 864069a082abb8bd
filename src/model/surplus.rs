//! What a mirror would delete, and what the sender and the users answer.
//!
//! Must not decide: only the sender knows what it has and hides, and only the receiver knows what
//! it holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;

/// Something that is in a folder of the receiver, and was not announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surplus {
    /// Its path in the manifest.
    pub path: RelPath,
    /// What it is.
    pub kind: SurplusKind,
}

/// What something is that was not announced. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SurplusKind {
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A file of so many bytes, or what is none of these.
    File(u64),
}

/// What to do with something that was not announced. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It stays: the sender has it, or it is of what the sender's user does not want sent.
    Keep,
    /// It goes, with all that is in it.
    Remove,
    /// It goes where nothing stays of what is in it, which is to be asked about.
    AskInside,
}

/// What a mirror would remove, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemovalCount {
    /// How many files, links and folders would go.
    pub would_go: u64,
    /// How many are there in the folders that are mirrored, with what is in surplus folders.
    pub there: u64,
}

impl RemovalCount {
    /// How many may go of so many without anybody being asked.
    const FEW: u64 = 10;

    /// The most that may go without a word about it: ten, or half of all that is there.
    #[must_use]
    pub fn most_unasked(self) -> u64 {
        Self::FEW.max(self.there / 2)
    }

    /// Whether so many would go that it may be a mistake.
    #[must_use]
    pub fn is_doubtful(self) -> bool {
        self.would_go > self.most_unasked()
    }
}

/// The most that a mirror may remove. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxDelete {
    /// So many files, links and folders.
    Count(u64),
    /// So many of a hundred that are there.
    Percent(u8),
}

impl MaxDelete {
    /// How many may go where so many are there.
    #[must_use]
    pub fn of(self, there: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let part = u128::from(there) * u128::from(percent) / 100;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }

    /// Whether more would go than that.
    #[must_use]
    pub fn is_passed_by(self, count: RemovalCount) -> bool {
        count.would_go > self.of(count.there)
    }
}

impl fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What a receiver asks before it removes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalQuestion {
    /// How many would be deleted, of how many.
    pub count: RemovalCount,
    /// Whether a person has to decide, because neither side set a limit.
    pub needs_yes: bool,
}

/// What a sender says to that. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovalAnswer {
    /// At most this many may be deleted.
    AtMost(u64),
    /// It exceeds the limit that its user set.
    Limit(MaxDelete),
    /// Its user said no.
    No,
    /// It has no limit, and nobody is there to ask.
    Nobody,
}

/// Why a mirror deletes nothing because it would delete too much. Variants are appended, never
/// reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objection {
    /// It exceeds the receiver's limit.
    ReceiverLimit(MaxDelete),
    /// It exceeds the sender's limit.
    SenderLimit(MaxDelete),
    /// The receiver's user said no.
    ReceiverNo,
    /// The sender's user said no.
    SenderNo,
    /// Nobody was there to say yes.
    Nobody,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReceiverLimit(limit) => {
                write!(f, "the receiver's limit is {limit} (recv --max-delete)")
            }
            Self::SenderLimit(limit) => {
                write!(f, "the sender's limit is {limit} (send --max-delete)")
            }
            Self::ReceiverNo => f.write_str("the receiver's user said no"),
            Self::SenderNo => f.write_str("the sender's user said no"),
            Self::Nobody => f.write_str("nobody said yes (--max-delete allows it)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(would_go: u64, there: u64) -> RemovalCount {
        RemovalCount { would_go, there }
    }

    #[test]
    fn more_than_ten_and_more_than_half_is_doubtful() {
        for (would_go, there) in [(11, 11), (11, 21), (21, 40), (u64::MAX, u64::MAX)] {
            assert!(count(would_go, there).is_doubtful(), "{would_go} {there}");
        }
        for (would_go, there) in [(0, 0), (10, 10), (11, 22), (20, 40), (50, 1000)] {
            assert!(!count(would_go, there).is_doubtful(), "{would_go} {there}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_a_part_of_what_is_there() {
        let (number, part) = (MaxDelete::Count(5), MaxDelete::Percent(25));
        assert!(!number.is_passed_by(count(5, 5)) && number.is_passed_by(count(6, 1000)));
        assert!(!part.is_passed_by(count(10, 40)) && part.is_passed_by(count(11, 40)));
        assert!(part.is_passed_by(count(1, 3)));
        assert!(!MaxDelete::Percent(100).is_passed_by(count(u64::MAX, u64::MAX)));
        assert!(MaxDelete::Percent(0).is_passed_by(count(1, 1000)));
        assert_eq!(format!("{number} {part}"), "5 25%");
    }
}
