//! What to do about errors of `xfer share` and `xfer get`, where that differs.
//!
//! Must not repeat what happened: the error says that.

use std::io::ErrorKind;

use xfer::Error;
use xfer::model::error::Action;
use xfer::model::outcome::Decline;

use super::local::target;

/// When sharing.
pub(super) fn share(error: &Error) -> Option<String> {
    let hint = match error {
        Error::File {
            action: Action::Share,
            source,
            ..
        } if source.kind() == ErrorKind::NotFound => "Check the name.",
        Error::SameName { .. } => "Rename one of them.",
        Error::SameRole { .. } => "Run `xfer recv` here to receive.",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// When fetching.
pub(super) fn get(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Connect { source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
            "Start `xfer share PATH` there, which shows its address."
        }
        Error::Mute { .. } => "If `xfer share` runs there, that machine is very busy. Try again.",
        Error::Resolve { .. } => {
            "Check the name. `xfer share` on the other machine shows its address."
        }
        Error::NotFound(_) => {
            "Is `xfer share` running there, on the same network? `xfer list` shows the machines \
             found. If the network blocks multicast, use the address that `xfer share` shows."
        }
        Error::SameRole { .. } => {
            "That machine runs `xfer recv`. Run `xfer share PATH` there instead."
        }
        Error::Declined { peer, reason } => match reason {
            Decline::NotShared(_) => {
                return Some(format!(
                    "Nothing was fetched. `xfer get --list {}` lists what it shares.",
                    target(*peer)
                ));
            }
            Decline::NotGranted(_) => "To allow it, run there: xfer peers --allow fetch NAME",
            Decline::Unknown => {
                "Start `xfer share` in a terminal on that machine, then fetch again. It shows a \
                 code, only this once. If the two are paired already, run there: xfer peers --allow \
                 fetch NAME"
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(hint.to_owned())
}
