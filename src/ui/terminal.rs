//! The terminal that is standard error.
//!
//! Must not draw.

/// The columns and rows of a terminal that does not say how many it has.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// Whether the terminal does what codes say: it moves the cursor and has colours.
pub(super) fn is_smart() -> bool {
    xfer::sys::terminal::knows_codes().unwrap_or_else(|| {
        std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
    })
}

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
