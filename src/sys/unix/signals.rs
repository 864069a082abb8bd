//! What the user or the system asks of a running program.
//!
//! Must not decide how to react.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};
use signal_hook::low_level::{emulate_default_handler, exit};
use signal_hook::{flag, iterator};

pub use crate::sys::told::Signal;

/// All that is asked from now on, one after the other, waited for.
#[derive(Debug)]
pub struct Signals(iterator::Signals);

impl Signals {
    /// From now on these end the program no more.
    pub fn new() -> io::Result<Self> {
        iterator::Signals::new([SIGINT, SIGTERM, SIGTSTP]).map(Self)
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        Some(match self.0.forever().next()? {
            SIGINT => Signal::Interrupt,
            SIGTSTP => Signal::Suspend,
            _ => Signal::Terminate,
        })
    }
}

/// From now on a file that grows larger than this process may write (`ulimit -f`) ends nothing: what
/// is written to it fails instead.
pub fn outlive_large_files() -> io::Result<()> {
    // Nobody asks whether it was raised.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Stands still, as a program that knows nothing of Ctrl-Z does. Returns when it is told to go on.
pub fn suspend() {
    let _ = emulate_default_handler(SIGTSTP);
}

/// Ends the process as Ctrl-C ends one that knows nothing of it, so that a shell knows why it ended
/// and ends its loop as well; where that cannot be, with this code.
pub fn end_interrupted(code: u8) -> ! {
    let _ = emulate_default_handler(SIGINT);
    exit(code.into())
}

/// Ends the process at once. Nothing gets in the way of it: no lock, no destructor.
pub fn exit_now(code: u8) -> ! {
    exit(code.into())
}
