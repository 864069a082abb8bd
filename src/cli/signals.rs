//! Ctrl-C and SIGTERM: the first asks everything to stop in order, the second ends it at once.
//!
//! Must not know what is going on: it raises the flag that reaches everyone.

use std::sync::Arc;

use xfer::sys::signals::{Signal, Signals, exit_now};
use xfer::sys::worker::{self, Worker};
use xfer::transfer::Cancel;

use super::exit::Code;
use crate::ui::{Line, Ui, io_error};

/// Begins to listen to signals. Without it, the system ends the program at the first one, which
/// harms no file either; so a failure here is only said.
pub(crate) fn watch(ui: &Arc<Ui>, cancel: &Cancel) {
    let signals = Signals::new();
    let (on_signal, cancel) = (Arc::clone(ui), cancel.clone());
    let watching = signals.and_then(|signals| {
        let watch = move || {
            for signal in signals {
                if cancel.is_cancelled() {
                    // Nothing may get in the way of this: no lock, no destructor.
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
        let on_panic = |_| exit_now(Code::Interrupted as u8);
        worker::spawn_detached(Worker::Signals, watch, on_panic)
    });
    if let Err(error) = watching {
        ui.say([Line::Talk(format!(
            "Cannot listen to signals: {}",
            io_error(&error)
        ))]);
    }
}
