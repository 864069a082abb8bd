//! Output for developers on standard error: the library's own events with `-vv`, and panics.
//!
//! Must not print a peer's text unless it was made safe. Events go where all other lines go, above
//! bars and questions.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::thread;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::uptime;
use xfer::sys::terminal::give_back_at_once;

use crate::ui::{Ui, safe};

/// Starts to show the library's events, from sessions down to every wait.
pub(crate) fn show(ui: &Arc<Ui>) {
    let shown = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_ansi(false)
        .with_timer(uptime())
        .with_writer(Lines(Arc::clone(ui)))
        .try_init();
    if let Err(error) = shown {
        ui.debug(&error.to_string());
    }
}

/// Reports a panic in one safe line: its words may come from a peer. The main thread's ends the
/// program, so that the terminal is given back first.
pub(crate) fn tell_panics() {
    panic::set_hook(Box::new(|info| {
        if thread::current().name() == Some("main") {
            give_back_at_once();
        }
        let payload = info.payload();
        let words = (payload.downcast_ref::<&str>().copied())
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = info.location().map(ToString::to_string);
        let thread = thread::current();
        let line = panic_line(
            thread.name().unwrap_or("unnamed"),
            place.as_deref().unwrap_or("an unknown place"),
            words.unwrap_or("no words"),
        );
        let mut stderr = io::stderr().lock();
        // There is nobody to report a failure to.
        let _ = writeln!(stderr, "{line}");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            let _ = writeln!(stderr, "{trace}");
        }
    }));
}

fn panic_line(thread: &str, place: &str, words: &str) -> String {
    format!(
        "xfer: thread '{thread}' panicked at {place}: {}",
        safe(words)
    )
}

/// Makes writers for lines.
struct Lines(Arc<Ui>);

/// The writer of one event, which comes in one piece.
struct OneLine<'a>(&'a Ui);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine<'a>;

    fn make_writer(&'a self) -> OneLine<'a> {
        OneLine(&self.0)
    }
}

impl Write for OneLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.debug(text.trim());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_does_nothing_to_the_terminal() {
        let line = panic_line("lane", "src/x.rs:1:2", "no \u{1b}[2J\n\u{202e}");
        assert_eq!(
            line,
            "xfer: thread 'lane' panicked at src/x.rs:1:2: no \\x1b[2J\\n\\u{202e}"
        );
    }
}
