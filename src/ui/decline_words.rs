//! Why one side does not take part, or stopped, in words for people.
//!
//! Must not say what to do about it (`cli/hints` does).

use xfer::model::outcome::Decline;
use xfer::model::reason::{AbortReason, StoreFault, Unsupported};

use super::system::system;

/// Why the other side does not take part. `peer` is its name or address.
pub(super) fn declined(peer: &str, reason: &Decline) -> String {
    match reason {
        Decline::Unknown => {
            format!("{peer} is not paired with this machine, and has no terminal to show a code on")
        }
        Decline::NotOpen => format!("{peer} runs with --open, and this machine does not"),
        Decline::TooManySessions => format!("{peer} is busy with other transfers"),
        Decline::Unsupported(what) => format!("{peer} does not support {}", unsupported(*what)),
        Decline::UnsupportedText(what) => format!("{peer} does not support {what}"),
        Decline::Store(fault) => format!("{peer} cannot store files: {}", store_fault(fault)),
        Decline::StoreText(what) => format!("{peer} cannot store files: {what}"),
        Decline::Locked => {
            format!("{peer} pairs with no new machines after too many wrong codes")
        }
        Decline::Crowded => format!("{peer} is busy: too many machines are waiting there"),
        Decline::NameTaken => {
            format!("{peer} knows another machine by this machine's name, with a different key")
        }
        Decline::Refused => format!("{peer} declined the transfer"),
        Decline::Unattended => {
            format!("{peer} asks before each transfer, and nobody is there to answer")
        }
        Decline::NoUpdate => format!("{peer} does not let you replace files"),
        Decline::NoMirror => format!("{peer} does not let you delete files"),
        Decline::NotGranted(ability) => format!("{peer} does not let this machine {ability}"),
        Decline::NoRoom => format!("no chat is open on {peer}"),
        Decline::OnlyRoom => format!("{peer} has a chat open, and receives nothing else"),
        Decline::Full => format!("{peer} is full at the moment"),
        Decline::NoCommand => format!("{peer} offers no command of that name"),
        Decline::NoArguments => format!("{peer} does not allow these arguments"),
        Decline::NotShared(path) => format!("{peer} does not share {}", path.as_str()),
        Decline::OnlyShare => format!("{peer} shares files, and does nothing else"),
        Decline::NoShare => format!("{peer} shares no files"),
    }
}

/// Why this side turned the other side away. `peer` is its name.
pub(super) fn turned_away(peer: &str, reason: &Decline) -> String {
    match reason {
        Decline::Unknown => format!(
            "{peer} is not paired with this machine, and there is no terminal to show a code on"
        ),
        Decline::NotOpen => {
            format!("{peer} is not paired with this machine, and does not send with --open")
        }
        Decline::TooManySessions => format!("{peer} has to wait: too many transfers are running"),
        Decline::Unsupported(what) => {
            format!(
                "{peer} asked for {}, which is not supported",
                unsupported(*what)
            )
        }
        Decline::UnsupportedText(what) => {
            format!("{peer} asked for {what}, which is not supported")
        }
        Decline::Store(fault) => match fault {
            StoreFault::System(error) => {
                format!("cannot store files from {peer}: {}", system(error))
            }
            StoreFault::FolderRemoved => format!(
                "cannot store files from {peer}: the receive folder was removed; start `xfer \
                 recv` again"
            ),
            StoreFault::PeersUnreadable => {
                format!("cannot let {peer} in: the list of paired machines cannot be read")
            }
            StoreFault::PeersUnwritable => {
                format!("cannot let {peer} in: the list of paired machines cannot be written")
            }
        },
        Decline::StoreText(what) => format!("cannot store files from {peer}: {what}"),
        Decline::Locked => format!("{peer} cannot pair: there were too many wrong codes"),
        Decline::Crowded => format!("{peer} has to wait: too many machines are waiting"),
        Decline::NameTaken => {
            format!("{peer} has the name of a machine you know, but a different key")
        }
        Decline::Refused => format!("you declined the transfer from {peer}"),
        Decline::Unattended => {
            format!("{peer} was declined: there is no terminal to ask you on")
        }
        Decline::NoUpdate => format!("{peer} asked to replace files here"),
        Decline::NoMirror => format!("{peer} asked to delete files here"),
        Decline::NotGranted(ability) => format!("{peer} may not {ability} here"),
        Decline::NoRoom => format!("{peer} asked for a chat, and none is open"),
        Decline::OnlyRoom => format!("{peer} asked for more than a chat, and only that is open"),
        Decline::Full => format!("{peer} has to wait: too many are here already"),
        Decline::NoCommand => format!("{peer} asked for a command that you do not offer"),
        Decline::NoArguments => {
            format!("{peer} gave arguments that the command does not allow")
        }
        Decline::NotShared(path) => {
            format!("{peer} asked for {}, which you do not share", path.as_str())
        }
        Decline::OnlyShare => format!("{peer} asked for something else than shared files"),
        Decline::NoShare => format!("{peer} asked for files, and you share none"),
    }
}

/// Why the other side ended the session. `peer` is its name or address.
pub(super) fn aborted(peer: &str, reason: &AbortReason) -> String {
    match reason {
        AbortReason::Stopped => format!("{peer} cancelled the transfer"),
        AbortReason::Protocol(what) => {
            format!("{peer} says that this machine broke the protocol: {what}")
        }
        AbortReason::NotOneFile => format!(
            "{peer} writes to standard output, which takes one file, not a folder or several files"
        ),
        AbortReason::NameTaken => format!("{peer} knows another machine by this machine's name"),
        AbortReason::CodeTimeout => "nobody entered the code in time".to_owned(),
        AbortReason::NoSession => format!("{peer} does not know this session"),
        AbortReason::File(error) => {
            format!("{peer} failed on a file or folder: {}", system(error))
        }
        AbortReason::Sync(error) => format!(
            "{peer} cannot write what it received to disk: {}",
            system(error)
        ),
        AbortReason::Thread(error) => {
            format!("{peer} cannot start a thread: {}", system(error))
        }
        AbortReason::Other(words) => format!("{peer} stopped: {words}"),
        AbortReason::Unpaired => format!("{peer} no longer lets this machine do that"),
        AbortReason::Idle => {
            format!("{peer} stopped the transfer: nothing came for a long time, and others waited")
        }
    }
}

fn unsupported(what: Unsupported) -> String {
    match what {
        Unsupported::ChunkSize(bytes) => format!("chunks of {bytes} bytes"),
        Unsupported::NoLanes => "a transfer without a data connection".to_owned(),
        Unsupported::DryRunToOutput => "a dry run to standard output".to_owned(),
    }
}

fn store_fault(fault: &StoreFault) -> String {
    match fault {
        StoreFault::System(error) => system(error),
        StoreFault::FolderRemoved => {
            "its receive folder was removed, and `xfer recv` must be started again".to_owned()
        }
        StoreFault::PeersUnreadable => "its list of paired machines cannot be read".to_owned(),
        StoreFault::PeersUnwritable => "its list of paired machines cannot be written".to_owned(),
    }
}
