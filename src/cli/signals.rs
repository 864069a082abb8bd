//! Ctrl-C and SIGTERM: the first one stops everything in order, the second one at once.
//!
//! Must not know what is running: it only raises the flag that everyone checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xfer::Error;
use xfer::sys::signals::{Signal, Signals, end_interrupted, exit_now, suspend};
use xfer::sys::terminal::give_back_at_once;
use xfer::sys::worker::{self, Worker};
use xfer::transfer::Cancel;

use super::exit::Code;
use crate::ui::{Line, Ui, io_error};

/// Whether Ctrl-C was pressed.
static WAS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the process for a user who has interrupted it.
pub(crate) fn end_if_interrupted(code: Code) {
    if code == Code::Interrupted && WAS_INTERRUPTED.load(Ordering::Relaxed) {
        end_interrupted(code as u8);
    }
}

/// Starts to listen for signals. If that fails, the system's default applies and ends the program,
/// which harms no file, so this is only reported. Without a thread to listen, nothing could stop
/// the program, so that is an error.
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
            if signal == Signal::Suspend {
                on_signal.while_away(suspend);
                continue;
            }
            if cancel.is_cancelled() {
                // No lock and no destructor may delay this.
                give_back_at_once();
                match signal {
                    Signal::Interrupt => end_interrupted(Code::Interrupted as u8),
                    _ => exit_now(Code::Interrupted as u8),
                }
            }
            if signal == Signal::Interrupt {
                WAS_INTERRUPTED.store(true, Ordering::Relaxed);
            }
            // Only noted: a blocked terminal must not delay stopping, nor hearing the next signal.
            on_signal.stopping(match signal {
                Signal::Interrupt => "Stopping … Press Ctrl-C again to stop at once.",
                _ => "Stopping …",
            });
            cancel.cancel();
        }
    };
    // Without this thread nothing could stop the program.
    let on_panic = |_| {
        give_back_at_once();
        exit_now(Code::Interrupted as u8)
    };
    worker::spawn_detached(Worker::Signals, watch, on_panic)
        .map(drop)
        .map_err(|source| Error::Thread { source })
}
