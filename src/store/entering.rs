//! `Entering`: how a folder is entered.
//!
//! Must not enter any.

/// How a folder is entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entering {
    /// One that its mode locks is opened up while it is being filled.
    pub(super) unlock: bool,
    /// A file or link of that name makes way for it.
    pub(super) replace: bool,
    /// It only leads to what is sent.
    pub(super) way: bool,
}

impl Entering {
    /// What only leads to what is sent is neither opened up nor replaces anything.
    pub(super) fn new(unlock: bool, replace: bool, way: bool) -> Self {
        Self {
            unlock: unlock && !way,
            replace: replace && !way,
            way,
        }
    }
}
