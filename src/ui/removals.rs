//! The words for mirrors that would remove much.
//!
//! Must not decide whether that is too much.

use xfer::model::outcome::Role;
use xfer::model::prompt::ProposedRemoval;
use xfer::model::surplus::{Objection, RemovalCount};

use super::words;

/// What a person is asked about.
pub(super) fn proposed(removal: &ProposedRemoval) -> String {
    let ProposedRemoval {
        role,
        is_wished_here,
        peer,
        count,
    } = removal;
    let much = of_there(*count);
    match (role, is_wished_here) {
        (Role::Sender, _) => {
            format!("This would delete {much} on {peer} that this machine does not have.")
        }
        (Role::Receiver, true) => {
            format!("This would delete {much} on this machine that {peer} does not have.")
        }
        (Role::Receiver, false) => {
            format!("{peer} asks to delete {much} here that it does not have.")
        }
    }
}

/// What a dry run says of that.
pub(super) fn planned(count: RemovalCount, objection: Objection) -> String {
    match objection {
        Objection::Nobody => format!(
            "to delete {}, xfer asks first, or needs --max-delete {}",
            of_there(count),
            count.would_go
        ),
        _ => too_many(count, objection),
    }
}

/// What can be done about that, where something can.
pub(super) fn hint(
    role: Role,
    dialed: bool,
    would_go: u64,
    objection: Objection,
) -> Option<String> {
    // Only the one who fetches decides what is deleted where they are.
    match (role, dialed) {
        (Role::Sender, false) => return None,
        (Role::Receiver, true) if !matches!(objection, Objection::ReceiverNo) => {
            return Some(format!(
                "To delete them: xfer get --mirror --max-delete {would_go}"
            ));
        }
        _ => {}
    }
    let send = format!("xfer send --mirror --max-delete {would_go}");
    let recv = format!("xfer recv --allow-mirror --max-delete {would_go}");
    let run = match (objection, role) {
        (Objection::ReceiverNo | Objection::SenderNo, _) => return None,
        (Objection::ReceiverLimit(_), _) => recv,
        (Objection::SenderLimit(_), _) | (Objection::Nobody, Role::Sender) => send,
        (Objection::Nobody, Role::Receiver) => format!("{recv}, or on the sender: {send}"),
    };
    Some(format!("To delete them: {run}"))
}

/// Why a mirror removes nothing.
pub(super) fn too_many(count: RemovalCount, objection: Objection) -> String {
    let would_go = format!("nothing was deleted: {} would go", of_there(count));
    match objection {
        Objection::ReceiverLimit(limit) => {
            format!("{would_go}, but the receiver allows {limit} (--max-delete)")
        }
        Objection::SenderLimit(limit) => {
            format!("{would_go}, but the sender allows {limit} (--max-delete)")
        }
        Objection::ReceiverNo => format!("{would_go}, but the receiver's user said no"),
        Objection::SenderNo => format!("{would_go}, but the sender's user said no"),
        Objection::Nobody => format!("{would_go}, but nobody said yes"),
    }
}

/// What a mirror would remove, of how many.
fn of_there(removal: RemovalCount) -> String {
    let would_go = words::count(removal.would_go);
    format!(
        "{would_go} of {}",
        words::plural(removal.there, "file or folder", "files and folders")
    )
}
