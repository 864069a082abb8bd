//! Codes for what went wrong, which pages translate.
//!
//! Must not make sentences: the texts of the page have them.

use super::language::Language;
use crate::model::outcome::{Decline, Why};
use crate::model::reason::{Limit, SystemError};
use crate::model::relpath::PathError;

/// What stands for the name of this machine in the texts.
const MACHINE: &str = "{machine}";

/// What a code says, in English.
pub(super) fn message(code: &str) -> String {
    let text = |key: String| Some(Language::English.text(&key)).filter(|text| !text.is_empty());
    let text = text(format!("err.{code}")).or_else(|| text(format!("error.{code}.words")));
    let text = text.unwrap_or_default();
    match text.strip_prefix(MACHINE) {
        Some(rest) => format!("The other machine{}", rest.replace(MACHINE, "it")),
        None => text.replace(MACHINE, "the other machine"),
    }
}

/// Why a file was not stored.
pub(super) fn of_why(why: &Why) -> &'static str {
    match why {
        Why::Name(PathError::Reserved) => "reserved",
        Why::Name(PathError::Long | PathError::LongName | PathError::Deep)
        | Why::System(SystemError::NameTooLong) => "name_too_long",
        Why::Name(_) | Why::NameText(_) | Why::System(SystemError::InvalidName) => "name",
        Why::Quota { .. } | Why::System(SystemError::QuotaExceeded) => "quota",
        Why::Space { .. } | Why::System(SystemError::NoSpace | SystemError::NoFilesLeft) => {
            "no_space"
        }
        Why::System(SystemError::FileTooLarge) => "too_large",
        Why::System(SystemError::PermissionDenied) => "permission",
        Why::System(SystemError::ReadOnly) => "read_only",
        Why::InUse => "in_use",
        Why::InTheWay(_) | Why::InTheWayText(_) | Why::Parent => "clash",
        Why::Limit(Limit::Offered) => "too_much",
        Why::Damaged => "digest",
        Why::Changed | Why::ChangedThere => "changed",
        Why::Ended => "cancelled",
        _ => "io",
    }
}

/// Why a batch did not begin.
pub(super) fn of_decline(decline: &Decline) -> &'static str {
    match decline {
        Decline::Refused => "declined",
        Decline::Unattended => "no_answer",
        Decline::TooManySessions | Decline::Crowded => "busy",
        _ => "io",
    }
}
