//! `Action`: what was being done with a file or folder when it failed.
//!
//! Must not say why it failed: the system does.

/// What xfer was doing to a file or folder when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Action {
    /// To open it.
    #[error("open")]
    Open,
    /// To make it.
    #[error("create")]
    Create,
    /// To read it.
    #[error("read")]
    Read,
    /// To write it.
    #[error("write")]
    Write,
    /// To find what to send.
    #[error("send")]
    Send,
    /// To find what to share.
    #[error("share")]
    Share,
    /// To read patterns of what to leave out.
    #[error("read patterns from")]
    ReadPatterns,
    /// To open the receive folder.
    #[error("receive into")]
    ReceiveInto,
    /// To write into the receive folder.
    #[error("write into")]
    WriteInto,
    /// To add to the list of sums.
    #[error("add sums to")]
    AddSums,
    /// To record the SHA-256 of a file received.
    #[error("sum")]
    Sum,
    /// To sort the list of sums.
    #[error("sort")]
    SortSums,
    /// To write to standard output.
    #[error("write to")]
    WriteOutput,
    /// To make a pipe for it.
    #[error("make a pipe for")]
    Pipe,
}
