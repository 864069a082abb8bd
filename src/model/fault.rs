//! Details of errors: what is wrong with one of the program's own files, a pattern, or a handshake.
//!
//! Must not make sentences for people.

/// A file with xfer's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateFile {
    /// This machine's secret key.
    #[error("identity")]
    Identity,
    /// The list of known machines.
    #[error("peers")]
    Peers,
}

/// What is wrong with a file of xfer's own state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// It is a folder, or something else that is not a file.
    #[error("not a file")]
    NotAFile,
    /// Other users may read or change it.
    #[error("open to others")]
    Exposed,
    /// It does not hold what it should.
    #[error("damaged")]
    Damaged,
    /// A line is invalid.
    #[error("line {line}: {message}")]
    Syntax {
        /// The number of the line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// Its version is not the one that this program knows.
    #[error("version {found}, not {known}")]
    Version {
        /// The version that it has.
        found: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// It has an invalid name.
    #[error("{0:?} is no name")]
    Name(String),
    /// The fingerprint of this machine is invalid.
    #[error("the fingerprint of {0} is none")]
    Fingerprint(String),
    /// It has this machine twice, by name or fingerprint.
    #[error("{0} is there twice")]
    Twice(String),
}

/// What is wrong with a filter pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is empty.
    #[error("empty")]
    Empty,
    /// It begins with a '#' that is not escaped.
    #[error("begins with '#'")]
    Comment,
    /// It begins with a '!' that is not escaped.
    #[error("begins with '!'")]
    Negated,
    /// It has a '[' that is not closed.
    #[error("unclosed '['")]
    OpenBracket,
    /// Another fault, in the words of the pattern compiler.
    #[error("{0}")]
    Syntax(String),
}

/// Why the encrypted channel could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// Bytes are left over after its end.
    #[error("something is left of the handshake")]
    LeftOver,
    /// The peer speaks another protocol inside of TLS.
    #[error("the other side speaks something else")]
    OtherProtocol,
    /// The peer showed no key.
    #[error("the other side has shown no key")]
    NoKey,
    /// The peer does not come to an end.
    #[error("the handshake is too long")]
    TooLong,
    /// The peer has ended it.
    #[error("the handshake was broken off")]
    BrokenOff,
    /// Something else, in the TLS library's words.
    #[error("{0}")]
    Tls(String),
}

/// What the cryptographic library could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoFault {
    /// Make random numbers.
    #[error("no random numbers")]
    Random,
    /// Make a key.
    #[error("no new key")]
    NewKey,
    /// Set up TLS, in its words.
    #[error("{0}")]
    Tls(String),
}
