//! Lines from standard input: typed in a terminal, or written by another program.
//!
//! Must not know what the lines are for.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use xfer::model::talk::MAX_LINE_BYTES;
use xfer::sys::terminal::{self, ByKeys};

use super::line_editor::{LineEditor, Typed};
use super::prompt::is_at_terminal;
use super::safe::width;
use super::typing::MARK;
use super::{Line, Ui, terminal as screen};

/// How often to check whether anyone still listens.
const LOOK: Duration = Duration::from_millis(100);

/// What comes from standard input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// A line typed by a person; the terminal no longer shows it. It may be too long to send, as
    /// may the next one.
    Typed(String),
    /// A line that shows already, or that came from another program.
    Written(String),
    /// A person wants to leave.
    Leave,
    /// The other program has ended its output, after at least one line.
    End,
}

/// Hears standard input until it ends or `over` is true. On a terminal, the line being typed shows
/// below everything that is printed.
pub(crate) fn hear_lines(ui: &Ui, events: bool, over: &dyn Fn() -> bool, hear: &dyn Fn(Spoken)) {
    if !events && is_at_terminal() && typed(ui, over, hear).is_ok() {
        return;
    }
    written(over, hear);
}

/// Fails if the terminal cannot be read key by key.
fn typed(ui: &Ui, over: &dyn Fn() -> bool, hear: &dyn Fn(Spoken)) -> io::Result<()> {
    let keys = ByKeys::begin()?;
    let mut editor = LineEditor::default();
    let show = |editor: &LineEditor| {
        // Filling the last column may start another row.
        let columns = usize::from(screen::size().0).saturating_sub(width(MARK) + 1);
        ui.show_typing(Some(editor.row(columns)));
    };
    ui.say([Line::Talk(
        "Type a line and press Enter to say it; Q leaves.".to_owned(),
    )]);
    let mut columns = 0;
    while !over() {
        if !terminal::is_in_foreground() {
            if terminal::is_gone() {
                hear(Spoken::Leave);
                break;
            }
            std::thread::sleep(LOOK);
            continue;
        }
        keys.keep();
        if columns != screen::size().0 {
            columns = screen::size().0;
            show(&editor);
        }
        if !terminal::was_typed_within(LOOK) {
            continue;
        }
        let Ok(Some(byte)) = terminal::read_byte() else {
            // The terminal is gone.
            hear(Spoken::Leave);
            break;
        };
        match editor.take(byte) {
            Typed::Nothing => {}
            Typed::Line(line) if is_farewell(&line) => {
                hear(Spoken::Leave);
                break;
            }
            Typed::Line(line) if line.trim().is_empty() => {}
            Typed::Line(line) => {
                ui.show_typing(None);
                hear(Spoken::Typed(line));
            }
            Typed::End => {
                hear(Spoken::Leave);
                break;
            }
            Typed::Suspend => {
                ui.show_typing(None);
                keys.suspend();
                // The program may continue in the background; the row shows again in the
                // foreground.
                columns = 0;
                continue;
            }
        }
        // Keys that arrive together are drawn once.
        if !terminal::was_typed_within(Duration::ZERO) {
            show(&editor);
        }
    }
    ui.show_typing(None);
    Ok(())
}

fn is_farewell(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("q")
}

fn written(over: &dyn Fn() -> bool, hear: &dyn Fn(Spoken)) {
    let is_terminal = io::stdin().is_terminal();
    let mut lines = WrittenLines::default();
    let mut bytes = [0; 8192];
    while !over() {
        if !terminal::was_typed_within(LOOK) {
            continue;
        }
        let n = match terminal::read_some(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        for &byte in &bytes[..n] {
            match lines.take(byte) {
                Some(line) if is_terminal && is_farewell(&line) => return hear(Spoken::Leave),
                Some(line) if is_terminal && line.trim().is_empty() => {}
                Some(line) => hear(Spoken::Written(line)),
                None => {}
            }
            if over() {
                return;
            }
        }
    }
    if let Some(line) = lines.end() {
        hear(Spoken::Written(line));
    }
    if is_terminal {
        hear(Spoken::Leave);
    } else if lines.any {
        hear(Spoken::End);
    }
}

/// Splits bytes into lines.
#[derive(Debug, Default)]
struct WrittenLines {
    line: Vec<u8>,
    any: bool,
}

impl WrittenLines {
    /// Takes a byte; returns the line that it ends.
    fn take(&mut self, byte: u8) -> Option<String> {
        self.any = true;
        match byte {
            b'\n' => return Some(self.line()),
            // A line that is too long is kept only as a fact.
            byte if self.line.len() <= MAX_LINE_BYTES => self.line.push(byte),
            _ => {}
        }
        None
    }

    /// What follows the last line break.
    fn end(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.line())
    }

    fn line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        String::from_utf8_lossy(line).replace('\r', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = WrittenLines::default();
        let mut all: Vec<_> = bytes.iter().filter_map(|&byte| lines.take(byte)).collect();
        all.extend(lines.end());
        all
    }

    #[test]
    fn lines_are_what_ends_with_one_and_the_rest() {
        assert_eq!(lines(b"a\r\n\nb\rc\nd"), ["a", "", "b c", "d"]);
        assert_eq!(lines(b"caf\xe9\n"), ["caf\u{fffd}"]);
        assert_eq!(lines(b""), Vec::<String>::new());
        // However long it is, no more than its excess is remembered.
        let long = lines(&[b"a".repeat(10 * MAX_LINE_BYTES), b"\nb\n".to_vec()].concat());
        assert_eq!((long[0].len(), &*long[1]), (MAX_LINE_BYTES + 1, "b"));
    }

    #[test]
    fn q_alone_is_a_farewell() {
        assert!(is_farewell("Q") && is_farewell(" q "));
        assert!(!is_farewell("quit") && !is_farewell(""));
    }
}
