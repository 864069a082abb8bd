//! Details of errors: what is wrong with one of the program's own files, a pattern, or a handshake.
//!
//! Must not make sentences for people.

/// A file of this program's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateFile {
    /// This machine's secret key.
    #[error("identity")]
    Identity,
    /// The list of known machines.
    #[error("peers")]
    Peers,
}

/// What is wrong with a file of this program's own state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// It is a folder, or something else that is no file.
    #[error("not a file")]
    NotAFile,
    /// Others on this machine may read or change it.
    #[error("open to others")]
    Exposed,
    /// It does not hold what it should.
    #[error("damaged")]
    Damaged,
    /// A line of it means nothing.
    #[error("line {line}: {message}")]
    Syntax {
        /// The number of the line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// It is of another version than this program knows.
    #[error("version {found}, not {known}")]
    Version {
        /// The version that it has.
        found: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// A name in it is none.
    #[error("{0:?} is no name")]
    Name(String),
    /// The fingerprint of this one in it is none.
    #[error("the fingerprint of {0} is none")]
    Fingerprint(String),
    /// This one is in it twice, by its name or its fingerprint.
    #[error("{0} is there twice")]
    Twice(String),
}

/// What is wrong with a pattern of what is to be sent.
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
    /// Something else, in the words of what compiles it.
    #[error("{0}")]
    Syntax(String),
}

/// Why the encrypted channel could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// Bytes are left over behind its end.
    #[error("something is left of the handshake")]
    LeftOver,
    /// The peer speaks another protocol inside of TLS.
    #[error("the other side speaks something else")]
    OtherProtocol,
    /// The peer has shown no key.
    #[error("the other side has shown no key")]
    NoKey,
    /// The peer goes on and on.
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
