//! `Entering`: how a folder is entered.
//!
//! Must not enter any folder.

/// How a folder is entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entering {
    /// Opens up a folder whose mode prevents filling it, for that time.
    pub(super) unlock: bool,
    /// Replaces a file or link of that name.
    pub(super) replace: bool,
    /// Only leads to what is sent.
    pub(super) way: bool,
}

impl Entering {
    /// A folder that only leads to what is sent is not opened up, nor does it replace anything.
    pub(super) fn new(unlock: bool, replace: bool, way: bool) -> Self {
        Self {
            unlock: unlock && !way,
            replace: replace && !way,
            way,
        }
    }
}
