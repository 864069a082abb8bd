//! The terminal that standard input and standard error are.
//!
//! Must not draw, nor wait for longer than it is told to.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

/// What a key is set to that does nothing special.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_KEY: u8 = 0;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_KEY: u8 = 0xff;

/// Within how long it comes what is pasted at once, and for how long a paste can take.
const AT_ONCE: Duration = Duration::from_millis(100);
const PASTED: Duration = Duration::from_secs(2);

/// How the terminal was before this program had it by keys, while it does.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The key that quits, of a terminal that showed what was typed before this program stopped that,
/// while it does.
static ECHOED: Mutex<Option<u8>> = Mutex::new(None);

/// Terminals are as they should be.
pub fn prepare() {}

/// Whether the terminal does what codes say, and shows any letter: the environment tells here.
#[must_use]
pub fn knows_codes() -> Option<bool> {
    None
}

/// While this lives, the terminal that is standard input gives each key as it is typed, and shows
/// none of them. Ctrl-C is a signal still; Ctrl-Z and Ctrl-\ are keys.
#[derive(Debug)]
#[must_use]
pub struct ByKeys(());

impl ByKeys {
    /// From now on.
    pub fn begin() -> io::Result<Self> {
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tcgetattr(io::stdin())?;
        let keys = by_keys(&now);
        *before = Some(now);
        tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        Ok(Self(()))
    }

    /// Sees to it that it still is so, for one that has the terminal's foreground: a shell that has stopped this program and has it go on gives
    /// it the terminal as the shell likes it.
    pub fn keep(&self) {
        let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_some()
            && let Ok(now) = tcgetattr(io::stdin())
            && now.local_modes.contains(LocalModes::ICANON)
        {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &by_keys(&now));
        }
    }

    /// Stops this program and those that run with it, as Ctrl-Z does, with the terminal as it was.
    /// Returns when it goes on, perhaps in the background.
    pub fn suspend(&self) {
        give_back(&BEFORE.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = kill_current_process_group(Signal::TSTP);
        // Another thread may be the first that it stops.
        std::thread::sleep(AT_ONCE);
    }
}

impl Drop for ByKeys {
    fn drop(&mut self) {
        give_back_for_good();
    }
}

/// Gives the terminal back as it was, where this program has it by keys: it does not take it again.
/// The rest of what was pasted is forgotten, also what comes in a moment: a shell would run it.
pub fn give_back_for_good() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_some() && is_in_foreground() {
        let end = Instant::now() + PASTED;
        while was_typed_within(AT_ONCE) && Instant::now() < end {
            forget_typed();
        }
        give_back(&before);
        forget_typed();
    }
    *before = None;
}

/// From now on the terminal does not show what is typed, if it is this program's: it would stand
/// amid what the program draws. Ctrl-C and Ctrl-Z are signals still; Ctrl-\ does nothing, as it
/// would end the program before it can give the terminal back. Where standard output is none, what
/// reads it may have the terminal, such as a pager.
pub fn stop_echo() {
    let mut echoed = ECHOED.lock().unwrap_or_else(PoisonError::into_inner);
    let by_keys = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_ours = io::stdout().is_terminal() && io::stderr().is_terminal() && is_in_foreground();
    if echoed.is_some() || by_keys.is_some() || !is_ours {
        return;
    }
    if let Ok(mut modes) = tcgetattr(io::stdin())
        && modes.local_modes.contains(LocalModes::ECHO)
    {
        let quits = modes.special_codes[SpecialCodeIndex::VQUIT];
        modes.local_modes -= LocalModes::ECHO;
        modes.special_codes[SpecialCodeIndex::VQUIT] = NO_KEY;
        let done = tcsetattr(io::stdin(), OptionalActions::Now, &modes).is_ok();
        *echoed = done.then_some(quits);
    }
}

/// From now on it shows that again, if it did before. What was typed is there for whoever reads it.
pub fn resume_echo() {
    echo_again(&mut ECHOED.lock().unwrap_or_else(PoisonError::into_inner));
}

/// In the background the terminal is the shell's: it is still to be done in the foreground.
fn echo_again(echoed: &mut Option<u8>) {
    if echoed.is_some()
        && is_in_foreground()
        && let Some(quits) = echoed.take()
        && let Ok(mut modes) = tcgetattr(io::stdin())
    {
        modes.local_modes |= LocalModes::ECHO;
        modes.special_codes[SpecialCodeIndex::VQUIT] = quits;
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
    }
}

/// Gives the terminal back as it was, where this program has it by keys or lets nothing show: for one
/// that ends without more ado.
pub fn give_back_at_once() {
    if let Ok(mut echoed) = ECHOED.try_lock() {
        echo_again(&mut echoed);
    }
    // Whoever holds it is about to do the same, or hangs.
    if let Ok(before) = BEFORE.try_lock() {
        give_back(&before);
    }
}

/// Only from the foreground: in the background the terminal is the shell's, and the system stops
/// whoever changes it.
fn give_back(before: &Option<Termios>) {
    if let Some(before) = before
        && is_in_foreground()
    {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
}

fn by_keys(now: &Termios) -> Termios {
    let mut keys = now.clone();
    keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
    keys.local_modes |= LocalModes::ISIG;
    keys.input_modes |= InputModes::ICRNL;
    keys.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
    keys.special_codes[SpecialCodeIndex::VQUIT] = NO_KEY;
    keys.special_codes[SpecialCodeIndex::VMIN] = 1;
    keys.special_codes[SpecialCodeIndex::VTIME] = 0;
    keys
}

/// How many columns and rows standard error has, where it is a terminal that knows.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether the terminal's window is this program's own, and goes away with it: terminals are those
/// of shells.
#[must_use]
pub fn is_window_own() -> bool {
    false
}

/// Whether this program may read from the terminal that standard input is: whoever does so from
/// its background is stopped by the system.
#[must_use]
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// Whether the terminal that standard error is belongs to another program at the moment, such as a
/// shell.
#[must_use]
pub fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group != getpgrp())
}

/// Whether the terminal that standard input was is gone.
#[must_use]
pub fn is_gone() -> bool {
    tcgetpgrp(io::stdin()).is_err()
}

/// Forgets what was typed and not yet read.
pub fn forget_typed() {
    // What is no terminal keeps nothing.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// Whether something was typed, or the terminal is gone. Waits for it as long as `time`.
#[must_use]
pub fn was_typed_within(time: Duration) -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let time = Timespec::try_from(time).ok();
    matches!(poll(&mut fds, time.as_ref()), Ok(n) if n > 0)
}

/// What was typed, or comes from elsewhere, as much of it as fits and is there; 0 at the end.
pub fn read_some(bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(io::stdin(), &mut *bytes) {
            Err(Errno::INTR) => {}
            read => return read.map_err(Into::into),
        }
    }
}

/// The next byte that was typed, without a buffer in between that would hide what comes behind
/// it; none at the end.
pub fn read_byte() -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
