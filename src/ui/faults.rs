//! What is wrong with a pattern, a file of xfer's own, or a handshake, in words for people.
//!
//! Must not say what to do about it.

use xfer::model::error::{HandshakeFault, PatternFault, StateFault, StateFile};

/// What is wrong with a pattern.
pub(super) fn pattern_fault(fault: &PatternFault) -> String {
    match fault {
        PatternFault::Empty => "it is empty".to_owned(),
        PatternFault::Comment => "write '\\#' for a '#' at the beginning".to_owned(),
        PatternFault::Negated => {
            "write '\\!' for a '!' at the beginning, or use --include".to_owned()
        }
        PatternFault::OpenBracket => "write '\\[' for a '[' that is not closed".to_owned(),
        PatternFault::Syntax(what) => what.clone(),
    }
}

/// What is wrong with a file of xfer's own state. It follows the file's path.
pub(super) fn state_fault(file: StateFile, fault: &StateFault) -> String {
    match (fault, file) {
        (StateFault::NotAFile, _) => "is not a file".to_owned(),
        (StateFault::Exposed, StateFile::Identity) => {
            "is this machine's secret key, and other users can read or change it".to_owned()
        }
        (StateFault::Exposed, StateFile::Peers) => {
            "lists the paired machines, and other users can read or change it".to_owned()
        }
        (StateFault::Damaged, StateFile::Identity) => {
            "is damaged: it should hold this machine's secret key".to_owned()
        }
        (StateFault::Damaged, StateFile::Peers) => "is damaged: it is not text".to_owned(),
        (StateFault::Syntax { line, message }, _) => {
            format!("is damaged: line {line}: {message}")
        }
        (StateFault::Version { found, known }, _) => {
            format!("has format version {found}; this xfer reads version {known}")
        }
        (StateFault::Name(name), _) => format!("is damaged: invalid name {name:?}"),
        (StateFault::Fingerprint(name), _) => {
            format!("is damaged: invalid fingerprint for {name}")
        }
        (StateFault::Twice(name), _) => format!("is damaged: it lists {name} twice"),
    }
}

/// Why a handshake failed.
pub(super) fn handshake_fault(fault: &HandshakeFault) -> &str {
    match fault {
        HandshakeFault::LeftOver => "unexpected data after the handshake",
        HandshakeFault::OtherProtocol => "the other side speaks a different protocol",
        HandshakeFault::NoKey => "the other side showed no key",
        HandshakeFault::TooLong => "the handshake is too long",
        HandshakeFault::BrokenOff => "the other side broke off the handshake",
        HandshakeFault::Tls(what) => what,
    }
}
