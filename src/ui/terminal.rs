//! The terminal that is standard error.
//!
//! Must not draw.

/// The columns and rows of a terminal that does not say how many it has.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// How many columns and rows standard error has.
pub(crate) fn size() -> (u16, u16) {
    xfer::sys::terminal::size().unwrap_or(DEFAULT_SIZE)
}

/// Whether bars may be drawn: not over what somebody types in a shell.
pub(super) fn may_draw() -> bool {
    !xfer::sys::terminal::is_in_background()
}

/// Gives the terminal back as it was before lines were typed in it.
pub(super) fn give_back() {
    xfer::sys::terminal::give_back_for_good();
}
