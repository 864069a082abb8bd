//! What the user or the system asks a running program to do.
//!
//! Must not decide what becomes of it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::TRUE;
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};

use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

pub use crate::sys::told::Signal;

/// How long the system waits, where it closes the console or this user logs off, before it ends
/// the program: five seconds.
const GRACE: Duration = Duration::from_millis(4900);

/// Where what is asked goes.
static ASKED: OnceLock<Mutex<Sender<Signal>>> = OnceLock::new();

/// All that is asked from now on, one after the other, waited for.
#[derive(Debug)]
pub struct Signals(Receiver<Signal>);

impl Signals {
    /// From now on these end the program no more.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = channel();
        if ASKED.set(Mutex::new(sender)).is_err() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // SAFETY: the handler is there for as long as the program is.
        #[allow(unsafe_code)]
        match unsafe { SetConsoleCtrlHandler(Some(handler), TRUE) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(Self(receiver)),
        }
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.0.recv().ok()
    }
}

/// The system calls it in a thread of its own.
#[allow(unsafe_code)]
unsafe extern "system" fn handler(event: u32) -> i32 {
    let signal = match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT => Signal::Interrupt,
        _ => Signal::Terminate,
    };
    if let Some(asked) = ASKED.get() {
        let _ = asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(signal);
    }
    if signal == Signal::Terminate {
        // The program ends when this returns.
        thread::sleep(GRACE);
    }
    TRUE
}

/// No file is too large for a process here.
pub fn outlive_large_files() -> io::Result<()> {
    Ok(())
}

/// There is no Ctrl-Z here that would have a program stand still.
pub fn suspend() {}

/// Ends the process after Ctrl-C, with this code: no shell asks why it ended.
pub fn end_interrupted(code: u8) -> ! {
    exit_now(code)
}

/// Ends the process at once. Nothing gets in the way of it: no lock, no destructor.
pub fn exit_now(code: u8) -> ! {
    loop {
        // SAFETY: it takes a number, and a handle that stands for this process.
        #[allow(unsafe_code)]
        unsafe {
            TerminateProcess(GetCurrentProcess(), code.into());
        }
    }
}
