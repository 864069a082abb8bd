//! The words for mirrors that would remove much.
//!
//! Must not decide whether that is too much.

use xfer::model::outcome::Role;
use xfer::model::prompt::ProposedRemoval;
use xfer::model::surplus::{Objection, RemovalCount};

use super::words;

/// What a person is asked about.
pub(super) fn proposed(removal: &ProposedRemoval) -> String {
    let ProposedRemoval { role, peer, count } = removal;
    let much = of_there(*count);
    match role {
        Role::Sender => {
            format!("This would remove {much} on {peer}, because this machine does not have them.")
        }
        Role::Receiver => {
            format!("{peer} would remove {much} here, because it does not have them.")
        }
    }
}

/// What a dry run says of that.
pub(super) fn planned(count: RemovalCount, objection: Objection) -> String {
    match objection {
        Objection::Nobody => format!(
            "to remove {}, xfer asks first, or needs --max-delete {}",
            of_there(count),
            count.would_go
        ),
        _ => too_many(count, objection),
    }
}

/// What can be done about that, where something can.
pub(super) fn hint(role: Role, would_go: u64, objection: Objection) -> Option<String> {
    let send = format!("xfer send --mirror --max-delete {would_go}");
    let recv = format!("xfer recv --allow-mirror --max-delete {would_go}");
    let run = match (objection, role) {
        (Objection::ReceiverNo | Objection::SenderNo, _) => return None,
        (Objection::ReceiverLimit(_), _) => recv,
        (Objection::SenderLimit(_), _) | (Objection::Nobody, Role::Sender) => send,
        (Objection::Nobody, Role::Receiver) => format!("{recv}, or at the sender: {send}"),
    };
    Some(format!("If they are to go: {run}"))
}

/// Why a mirror removes nothing.
pub(super) fn too_many(count: RemovalCount, objection: Objection) -> String {
    let would_go = format!("nothing is removed: {} would go", of_there(count));
    match objection {
        Objection::ReceiverLimit(limit) => {
            format!("{would_go}, and the receiver allows {limit} (--max-delete)")
        }
        Objection::SenderLimit(limit) => {
            format!("{would_go}, and the sender allows {limit} (--max-delete)")
        }
        Objection::ReceiverNo => format!("{would_go}, and the receiver's user said no"),
        Objection::SenderNo => format!("{would_go}, and the sender's user said no"),
        Objection::Nobody => format!("{would_go}, and nobody said yes"),
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
