//! What systems tell: types of this program's own, the same on each.
//!
//! Must not name a system.

/// How much was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confined {
    /// All of it.
    Fully,
    /// Not all of it: what is still possible.
    Partly(String),
    /// Nothing: why.
    Not(String),
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To stop, by somebody at the terminal: Ctrl-C.
    Interrupt,
    /// To stop, by another program.
    Terminate,
    /// To stand still until it is told to go on: Ctrl-Z.
    Suspend,
}

/// How much a folder belongs to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfSystem {
    /// Others' files have no place in it: whoever can add some can take the machine over, or have
    /// it not start any more.
    Core,
    /// It does, but there are reasons to receive into it.
    Rather,
}

/// What has become of what a connection was given to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How many bytes of it the other side's system has confirmed.
    pub(crate) confirmed: u64,
    /// Whether some of it is on its way, or asks whether there is room for it, and gets no answer.
    /// A side that has no room for it and says so has answered.
    pub(crate) waits: bool,
}

/// What an error of the system means, beyond [`io::Error::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The file system takes shorter names only.
    NameTooLong,
    /// The file system cannot hold the name.
    InvalidName,
    /// The disk, or what stands for it, failed.
    Io,
    /// Too many files are open.
    TooManyOpenFiles,
    /// Links lead in a circle, or there are too many of them.
    LinkLoop,
}
