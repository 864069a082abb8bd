//! Ctrl-C and SIGTERM: the first asks everything to stop in order, the second ends it at once.
//!
//! Must not know what is going on: it raises the flag that reaches everyone.

use std::sync::Arc;

use xfer::Error;
use xfer::sys::signals::{Signal, Signals, exit_now};
use xfer::sys::terminal::give_back_at_once;
use xfer::sys::worker::{self, Worker};
use xfer::transfer::Cancel;

use super::exit::Code;
use crate::ui::{Line, Ui, io_error};

/// Begins to listen to signals. Where it cannot, the system ends the program at the first one, which
/// harms no file either; so that is only said. But without a thread to listen in nobody could stop
/// it, and it could do nothing either.
pub(crate) fn watch(ui: &Arc<Ui>, cancel: &Cancel) -> xfer::Result<()> {
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            ui.say([Line::Talk(format!(
                "Cannot listen to signals: {}",
                io_error(&error)
            ))]);
            return Ok(());
        }
    };
    let (on_signal, cancel) = (Arc::clone(ui), cancel.clone());
    let watch = move || {
        for signal in signals {
            if cancel.is_cancelled() {
                // Nothing may get in the way of this: no lock, no destructor.
                give_back_at_once();
                exit_now(Code::Interrupted as u8);
            }
            // Only noted: a terminal that blocks must not keep anything from stopping, nor
            // the next signal from being heard.
            on_signal.stopping(match signal {
                Signal::Interrupt => "Stopping; press Ctrl-C again to stop at once.",
                Signal::Terminate => "Stopping.",
            });
            cancel.cancel();
        }
    };
    // Without this thread nobody could stop it any more.
    let on_panic = |_| {
        give_back_at_once();
        exit_now(Code::Interrupted as u8)
    };
    worker::spawn_detached(Worker::Signals, watch, on_panic)
        .map(drop)
        .map_err(|source| Error::Thread { source })
}
