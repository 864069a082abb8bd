//! What is wrong with a pattern, a file of xfer's own, or a handshake, in words for people.
//!
//! Must not say what can be done about it.

use xfer::model::error::{HandshakeFault, PatternFault, StateFault, StateFile};

/// What is wrong with a pattern.
pub(super) fn pattern_fault(fault: &PatternFault) -> String {
    match fault {
        PatternFault::Empty => "it is empty".to_owned(),
        PatternFault::Comment => "a '#' at its beginning must be written '\\#'".to_owned(),
        PatternFault::Negated => "a '!' at its beginning must be written '\\!'; what to send all \
                                  the same, --include says"
            .to_owned(),
        PatternFault::OpenBracket => "a '[' that is not closed must be written '\\['".to_owned(),
        PatternFault::Syntax(what) => what.clone(),
    }
}

/// What is wrong with a file of this program's own state, as what follows its path.
pub(super) fn state_fault(file: StateFile, fault: &StateFault) -> String {
    match (fault, file) {
        (StateFault::NotAFile, _) => "is not a file".to_owned(),
        (StateFault::Exposed, StateFile::Identity) => {
            "is this device's secret key, and others on this machine may read or change it; \
             `chmod 600` keeps it to you"
                .to_owned()
        }
        (StateFault::Exposed, StateFile::Peers) => {
            "says who is let in, and others on this machine may read or change it".to_owned()
        }
        (StateFault::Damaged, StateFile::Identity) => {
            "is damaged: it should hold this device's secret key".to_owned()
        }
        (StateFault::Damaged, StateFile::Peers) => "is damaged: it is no text".to_owned(),
        (StateFault::Syntax { line, message }, _) => {
            format!("is damaged: line {line}: {message}")
        }
        (StateFault::Version { found, known }, _) => {
            format!("is damaged: it has version {found}, and this program knows version {known}")
        }
        (StateFault::Name(name), _) => format!("is damaged: {name:?} is no name"),
        (StateFault::Fingerprint(name), _) => {
            format!("is damaged: the fingerprint of {name} is none")
        }
        (StateFault::Twice(name), _) => format!("is damaged: {name} is there twice"),
    }
}

/// Why there is no channel.
pub(super) fn handshake_fault(fault: &HandshakeFault) -> &str {
    match fault {
        HandshakeFault::LeftOver => "something is left of the handshake",
        HandshakeFault::OtherProtocol => "the other side speaks something else",
        HandshakeFault::NoKey => "the other side has shown no key",
        HandshakeFault::TooLong => "the handshake is too long",
        HandshakeFault::BrokenOff => "the other side broke off the handshake",
        HandshakeFault::Tls(what) => what,
    }
}
