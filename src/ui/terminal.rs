//! The terminal that is standard error, as the library that draws bars wants it.
//!
//! Must not draw by itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

/// The columns and rows of a terminal that does not say how many it has.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// Standard error. What is written shows with the next flush, in one piece.
///
/// The cursor rests at the beginning of the last row and not at its end: the `^C` that a terminal
/// echoes there would begin another row, which nobody knows of who clears them later.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    written: Mutex<String>,
}

/// How many columns and rows standard error has.
pub(crate) fn size() -> (u16, u16) {
    xfer::sys::terminal::size().unwrap_or(DEFAULT_SIZE)
}

/// Gives the terminal back as it was before lines were typed in it.
pub(super) fn give_back() {
    xfer::sys::terminal::give_back_for_good();
}

impl Terminal {
    fn written(&self) -> MutexGuard<'_, String> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) {
        self.written().push_str(text);
    }

    // Moving by nothing is moving by one, for a terminal.
    fn move_cursor(&self, n: usize, way: char) {
        if n > 0 {
            let _ = write!(self.written(), "\x1b[{n}{way}");
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text);
        self.add("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut written = std::mem::take(&mut *self.written());
        if written.is_empty() {
            return Ok(());
        }
        written.push('\r');
        io::stderr().lock().write_all(written.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_by_nothing_writes_nothing() {
        let terminal = Terminal::default();
        terminal.move_cursor_up(0).unwrap();
        terminal.move_cursor_down(2).unwrap();
        terminal.clear_line().unwrap();
        terminal.write_str("a").unwrap();
        assert_eq!(*terminal.written(), "\x1b[2B\r\x1b[2Ka");
    }
}
