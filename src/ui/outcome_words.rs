//! How entries ended, in words for people.
//!
//! Must not say what to do about it, nor make names safe for a terminal (the screen does).

use std::path::Path;

use xfer::model::outcome::{Attribute, LeftOut, NotKept, Why};
use xfer::model::reason::{Limit, Obstacle, ReadError, SystemError};
use xfer::model::relpath::PathError;
use xfer::sys::name::from_path;
use xfer::sys::name_rules::{self, BadName};

use super::removals;
use super::system::system;
use super::words;

/// Why the entry at this path was not stored. It follows the entry's name.
pub(super) fn why(path: &Path, why: &Why) -> String {
    match why {
        Why::System(error @ SystemError::InvalidName) => {
            let rule = broken_rule(path).unwrap_or_else(|| system(error));
            format!("could not be stored: {rule}")
        }
        Why::Unreadable(error) => format!("cannot be read: {}", read_error(error)),
        Why::UnreadableText(what) => format!("cannot be read: {what}"),
        Why::Vanished => "disappeared before being read".to_owned(),
        Why::Changed => "kept changing while being read".to_owned(),
        Why::Special => "is a socket, fifo or device".to_owned(),
        Why::Name(error) => format!("has {}", path_error(*error)),
        Why::NameText(what) => format!("has an invalid name: {what}"),
        Why::Parent => "its folder could not be created".to_owned(),
        Why::InTheWay(obstacle) => in_the_way(obstacle),
        Why::InTheWayText(what) => format!("{what} is in the way"),
        Why::Space { needed, free } => format!(
            "needs {}, but only {} are free",
            words::bytes(*needed),
            words::bytes(*free)
        ),
        Why::Quota { needed, left } => format!(
            "needs {}, but only {} of the quota are left",
            words::bytes(*needed),
            words::bytes(*left)
        ),
        Why::InUse => "is being received in another transfer".to_owned(),
        Why::System(SystemError::NoSpace) => "the disk is full".to_owned(),
        Why::System(error) => format!("could not be stored: {}", system(error)),
        Why::SystemText(what) => format!("could not be stored: {what}"),
        Why::Limit(limit) => match limit {
            Limit::Names => "could not be stored: too many long names at once".to_owned(),
            Limit::Files => "could not be stored: too many files at once".to_owned(),
            Limit::Offered => "is more than the receiver's user agreed to".to_owned(),
            Limit::MirroredNames => "has too many files in it to be mirrored".to_owned(),
        },
        Why::ChangedThere => {
            "could not be stored: the receiver's copy changed meanwhile".to_owned()
        }
        Why::Ended => "could not be stored: the session ended".to_owned(),
        Why::Damaged => "arrived damaged".to_owned(),
        Why::Outside => "is a link that points outside the receive folder".to_owned(),
        Why::NotRemoved(error) => {
            format!("could not delete everything in it: {}", system(error))
        }
        Why::TooManyRemovals { count, objection } => removals::too_many(*count, *objection),
        Why::NotRemovedText(what) => format!("could not delete everything in it: {what}"),
    }
}

/// Whether an entry was refused for a name that Windows does not allow.
pub(super) fn breaks_rule(path: &Path, why: &Why) -> bool {
    matches!(why, Why::System(SystemError::InvalidName)) && broken_rule(path).is_some()
}

/// The rule that a name breaks which a receiver cannot store. Disks that are made for Windows have
/// its rules everywhere.
fn broken_rule(path: &Path) -> Option<String> {
    let name = path.file_name()?;
    Some(match name_rules::check(&from_path(name)).err()? {
        BadName::Encoding => "its name is not valid UTF-8".to_owned(),
        BadName::Character(c) if c.is_control() => {
            "Windows does not allow control characters in a name".to_owned()
        }
        BadName::Character(c) => format!("Windows does not allow '{c}' in a name"),
        BadName::End => "Windows does not allow a dot or space at the end of a name".to_owned(),
        BadName::Device => "Windows reserves the name for a device".to_owned(),
    })
}

/// The same for many entries. It follows their number.
pub(super) fn why_many(why: &Why) -> &'static str {
    match why {
        Why::Unreadable(_) | Why::UnreadableText(_) => "cannot be read",
        Why::Vanished => "disappeared before being read",
        Why::Changed => "kept changing while being read",
        Why::Special => "are sockets, fifos or devices",
        Why::Name(_) | Why::NameText(_) => "have an invalid name",
        Why::Parent => "belong in a folder that could not be created",
        Why::InTheWay(_) | Why::InTheWayText(_) => "have something in the way",
        Why::Space { .. } => "need more space than is free",
        Why::Quota { .. } => "need more than the quota leaves",
        Why::InUse => "are being received in another transfer",
        Why::System(_) | Why::SystemText(_) | Why::ChangedThere | Why::Ended | Why::Limit(_) => {
            "could not be stored"
        }
        Why::Damaged => "arrived damaged",
        Why::Outside => "are links that point outside the receive folder",
        Why::NotRemoved(_) | Why::NotRemovedText(_) | Why::TooManyRemovals { .. } => {
            "still hold something to delete"
        }
    }
}

fn read_error(error: &ReadError) -> String {
    match error {
        ReadError::System(error) => system(error),
        ReadError::DanglingLink => "broken link".to_owned(),
        ReadError::LinkLoop => "link loop".to_owned(),
        ReadError::NotAFile => "it is no longer a file".to_owned(),
        ReadError::WrongSize => "its length is not what the system says".to_owned(),
        ReadError::TooLarge => "it is larger than a file can be".to_owned(),
        ReadError::LinkTarget => "the link's target is empty or too long".to_owned(),
    }
}

fn path_error(error: PathError) -> &'static str {
    match error {
        PathError::Empty | PathError::Dots | PathError::Nul => "an invalid name",
        PathError::Long => "a path that is too long",
        PathError::LongName => "a name that is too long",
        PathError::Deep => "too many folders above it",
        PathError::Reserved => "a name reserved for xfer",
    }
}

fn in_the_way(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::File => "a file is in the way".to_owned(),
        Obstacle::Folder => "a folder is in the way".to_owned(),
        Obstacle::Link => "a link is in the way".to_owned(),
        Obstacle::Special => "a special file is in the way".to_owned(),
        Obstacle::Gone => "something was in the way, and is gone now".to_owned(),
        Obstacle::SameName(other) => {
            format!("{other} has the same name on this file system")
        }
        Obstacle::AllNames(n) => format!("all {n} names to store it beside are taken"),
    }
}

/// Why something was left out on purpose.
pub(super) fn left_out(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Pattern => "by a pattern",
        LeftOut::Size => "too large",
        LeftOut::Link => "a link",
        LeftOut::Mounted => "its contents are on another file system",
        LeftOut::Own => "reserved for xfer",
        LeftOut::Special => "a socket, fifo or device",
    }
}

/// What a file system did not keep.
pub(crate) fn not_kept(not_kept: &NotKept) -> String {
    let NotKept { what, entries, why } = not_kept;
    let why = system(why);
    let entries = words::plural(*entries, "file or folder", "files and folders");
    match what {
        Attribute::Mode => format!("could not keep the permissions of {entries}: {why}"),
        Attribute::Time => format!("could not keep the time of {entries}: {why}"),
        Attribute::Sync => {
            format!("{entries} may not be on disk yet: the file system does not support sync")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_told_in_sizes() {
        let no_space = Why::Space {
            needed: 12_300_000_000,
            free: 4_500_000,
        };
        assert_eq!(
            why(Path::new("a"), &no_space),
            "needs 12.3 GB, but only 4.50 MB are free"
        );
    }
}
