//! `-vv`: what the library tells developers, as lines of standard error.
//!
//! Must not print by itself: lines go where all others do, above bars and questions, and are made
//! safe there.

use std::io::{self, Write};
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::uptime;

use crate::ui::Ui;

/// Begins to show the library's events, from its sessions down to what makes somebody wait.
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

/// Where lines go.
struct Lines(Arc<Ui>);

/// One that is being written. An event is written at once.
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
