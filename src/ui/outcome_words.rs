//! What became of entries, in words for people.
//!
//! Must not say what can be done about it, nor make names fit for a terminal (whoever prints does).

use xfer::model::outcome::{Attribute, LeftOut, NotKept, Why};
use xfer::model::reason::{Limit, Obstacle, ReadError};
use xfer::model::relpath::PathError;

use super::removals;
use super::system::system;
use super::words;

/// Why an entry was not stored, as what follows its name.
pub(super) fn why(why: &Why) -> String {
    match why {
        Why::Unreadable(error) => format!("cannot be read: {}", read_error(error)),
        Why::UnreadableText(what) => format!("cannot be read: {what}"),
        Why::Vanished => "was gone when it was to be read".to_owned(),
        Why::Changed => "changed each time it was read".to_owned(),
        Why::Special => "is a socket, fifo or device".to_owned(),
        Why::Name(error) => format!("has {}", path_error(*error)),
        Why::NameText(what) => format!("has a name that cannot be sent: {what}"),
        Why::Parent => "its folder could not be made".to_owned(),
        Why::InTheWay(obstacle) => in_the_way(obstacle),
        Why::InTheWayText(what) => format!("{what} is in its way"),
        Why::Space { needed, free } => format!(
            "needs {} of space, {} are free",
            words::bytes(*needed),
            words::bytes(*free)
        ),
        Why::Quota { needed, left } => format!(
            "needs {}, but only {} of the quota are left",
            words::bytes(*needed),
            words::bytes(*left)
        ),
        Why::InUse => "is being received in another session".to_owned(),
        Why::System(error) => format!("could not be stored: {}", system(error)),
        Why::SystemText(what) => format!("could not be stored: {what}"),
        Why::Limit(limit) => match limit {
            Limit::Names => "could not be stored: too many long names at once".to_owned(),
            Limit::Files => "could not be stored: too many files at once".to_owned(),
            Limit::Offered => "is more than the receiver's user was asked about".to_owned(),
            Limit::MirroredNames => "has too many names in it to be mirrored".to_owned(),
        },
        Why::ChangedThere => {
            "could not be stored: the receiver's file changed while it was compared".to_owned()
        }
        Why::Ended => "could not be stored: the session is over".to_owned(),
        Why::Damaged => "arrived damaged".to_owned(),
        Why::Outside => "is a link that leads out of the receiver's folder".to_owned(),
        Why::NotRemoved(error) => {
            format!("not all that was to go could be removed: {}", system(error))
        }
        Why::TooManyRemovals { count, objection } => removals::too_many(*count, *objection),
        Why::NotRemovedText(what) => format!("not all that was to go could be removed: {what}"),
    }
}

/// The same of many entries: what follows their number.
pub(super) fn why_many(why: &Why) -> &'static str {
    match why {
        Why::Unreadable(_) | Why::UnreadableText(_) => "cannot be read",
        Why::Vanished => "were gone when they were to be read",
        Why::Changed => "changed each time they were read",
        Why::Special => "are sockets, fifos or devices",
        Why::Name(_) | Why::NameText(_) => "have a name that cannot be sent",
        Why::Parent => "belong into a folder that could not be made",
        Why::InTheWay(_) | Why::InTheWayText(_) => "have something in their way",
        Why::Space { .. } => "need more space than is free",
        Why::Quota { .. } => "need more than is left of the quota",
        Why::InUse => "are being received in another session",
        Why::System(_) | Why::SystemText(_) | Why::ChangedThere | Why::Ended | Why::Limit(_) => {
            "could not be stored"
        }
        Why::Damaged => "arrived damaged",
        Why::Outside => "are links that lead out of the receiver's folder",
        Why::NotRemoved(_) | Why::NotRemovedText(_) | Why::TooManyRemovals { .. } => {
            "still have something that was to go"
        }
    }
}

fn read_error(error: &ReadError) -> String {
    match error {
        ReadError::System(error) => system(error),
        ReadError::DanglingLink => "a link that leads nowhere".to_owned(),
        ReadError::LinkLoop => "a loop of links".to_owned(),
        ReadError::NotAFile => "it is no file any more".to_owned(),
        ReadError::WrongSize => "it is not as long as the system says".to_owned(),
        ReadError::TooLarge => "it is larger than a file can be".to_owned(),
        ReadError::LinkTarget => "its target is empty or too long".to_owned(),
    }
}

fn path_error(error: PathError) -> &'static str {
    match error {
        PathError::Empty | PathError::Dots | PathError::Nul => "a name that cannot be sent",
        PathError::Long => "a path that is too long to be sent",
        PathError::LongName => "a name that is too long to be sent",
        PathError::Deep => "too many folders above it to be sent",
        PathError::Reserved => "a name that xfer keeps for itself",
    }
}

fn in_the_way(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::File => "a file is in its way".to_owned(),
        Obstacle::Folder => "a folder is in its way".to_owned(),
        Obstacle::Link => "a link is in its way".to_owned(),
        Obstacle::Special => "a special file is in its way".to_owned(),
        Obstacle::Gone => "something was in its way that is gone now".to_owned(),
        Obstacle::SameName(other) => {
            format!("{other}, which is the same name here, is in its way")
        }
        Obstacle::AllNames(n) => format!("each of {n} files of that name is in its way"),
    }
}

/// Why something was not sent that was not to be.
pub(super) fn left_out(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Pattern => "by a pattern",
        LeftOut::Size => "too large",
        LeftOut::Link => "a link",
        LeftOut::Mounted => "what is in it, on another file system",
        LeftOut::Own => "what xfer keeps for itself",
        LeftOut::Special => "a socket, fifo or device",
    }
}

/// What a file system did not keep.
pub(crate) fn not_kept(not_kept: &NotKept) -> String {
    let NotKept { what, entries, why } = not_kept;
    let why = system(why);
    let (are, their) = match entries {
        1 => ("is", "its"),
        _ => ("are", "their"),
    };
    let entries = words::plural(*entries, "entry", "entries");
    match what {
        Attribute::Mode => format!("{entries} {are} stored without {their} permissions: {why}"),
        Attribute::Time => format!("{entries} {are} stored without {their} time: {why}"),
        Attribute::Sync => {
            let them = if are == "is" { "it" } else { "them" };
            format!(
                "{entries} may not be on disk yet: {their} file system cannot be told to write \
                 {them} out"
            )
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
        assert_eq!(why(&no_space), "needs 12.3 GB of space, 4.50 MB are free");
    }
}
