//! The console that standard input and standard error are.
//!
//! Must not draw, nor wait for longer than it is told to.

use std::io::{self, IsTerminal as _};
use std::os::windows::io::{AsRawHandle as _, RawHandle};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
use windows_sys::Win32::Globalization::CP_UTF8;
use windows_sys::Win32::Storage::FileSystem::ReadFile;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT,
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
    FlushConsoleInputBuffer, GetConsoleMode, GetConsoleProcessList, GetConsoleScreenBufferInfo,
    INPUT_RECORD, KEY_EVENT, PeekConsoleInputW, ReadConsoleInputW, ReadConsoleW, SetConsoleMode,
    SetConsoleOutputCP,
};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use super::stream::is_pipe;

/// Within how long it comes what is pasted at once, and for how long a paste can take.
const AT_ONCE: Duration = Duration::from_millis(100);
const PASTED: Duration = Duration::from_secs(2);
/// How often a pipe is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How the console was before this program had it by keys, while it does.
static BEFORE: Mutex<Option<u32>> = Mutex::new(None);
/// What was read of the console and not yet given on: it gives UTF-16, and this gives UTF-8.
static READ: Mutex<Typed> = Mutex::new(Typed {
    bytes: Vec::new(),
    half: None,
});

struct Typed {
    bytes: Vec<u8>,
    /// The first half of a pair, whose second half has not come yet.
    half: Option<u16>,
}

fn stdin() -> RawHandle {
    io::stdin().as_raw_handle()
}

/// From now on the consoles that this program writes to take UTF-8, and do what the codes of
/// terminals say. They belong to the program's shell as well, and stay so when it ends, as
/// PowerShell and current shells have them anyway.
pub fn prepare() {
    for handle in [io::stdout().as_raw_handle(), io::stderr().as_raw_handle()] {
        let mut mode = 0;
        // SAFETY: the system writes and takes numbers.
        #[allow(unsafe_code)]
        unsafe {
            if GetConsoleMode(handle, &raw mut mode) != 0 {
                let codes = ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
                SetConsoleMode(handle, mode | codes);
                SetConsoleOutputCP(CP_UTF8);
            }
        }
    }
}

/// Whether the console does what the codes of terminals say, and shows any letter: the environment
/// does not tell here.
#[must_use]
pub fn knows_codes() -> Option<bool> {
    let mut mode = 0;
    // SAFETY: the system writes a number.
    #[allow(unsafe_code)]
    let is_console = unsafe { GetConsoleMode(io::stderr().as_raw_handle(), &raw mut mode) } != 0;
    is_console.then_some(mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0)
}

/// While this lives, the console that is standard input gives each key as it is typed, and shows
/// none of them. Ctrl-C is a signal still.
#[derive(Debug)]
#[must_use]
pub struct ByKeys(());

impl ByKeys {
    /// From now on.
    pub fn begin() -> io::Result<Self> {
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        let now = mode()?;
        let keys = (now & !(ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT))
            | ENABLE_PROCESSED_INPUT
            | ENABLE_VIRTUAL_TERMINAL_INPUT;
        set_mode(keys)?;
        *before = Some(now);
        Ok(Self(()))
    }

    /// Nobody else changes it meanwhile.
    pub fn keep(&self) {}

    /// There is nothing that stops a program for a while.
    pub fn suspend(&self) {}
}

impl Drop for ByKeys {
    fn drop(&mut self) {
        give_back_for_good();
    }
}

/// Gives the console back as it was, where this program has it by keys: it does not take it again.
/// The rest of what was pasted is forgotten, also what comes in a moment: a shell would run it.
pub fn give_back_for_good() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_some() {
        let end = Instant::now() + PASTED;
        while was_typed_within(AT_ONCE) && Instant::now() < end {
            forget_typed();
        }
        give_back(*before);
        forget_typed();
    }
    *before = None;
}

/// From now on the console does not show what is typed: it would stand amid what the program
/// draws. Nothing is to do: a console shows it only to a program that reads a line.
pub fn stop_echo() {}

/// From now on it shows that again.
pub fn resume_echo() {}

/// Gives the console back as it was, where this program has it by keys: for one that ends without
/// more ado.
pub fn give_back_at_once() {
    // Whoever holds it is about to do the same, or hangs.
    if let Ok(before) = BEFORE.try_lock() {
        give_back(*before);
    }
}

fn give_back(before: Option<u32>) {
    if let Some(before) = before {
        let _ = set_mode(before);
    }
}

fn mode() -> io::Result<u32> {
    let mut mode = 0;
    // SAFETY: the system writes a number.
    #[allow(unsafe_code)]
    match unsafe { GetConsoleMode(stdin(), &raw mut mode) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(mode),
    }
}

fn set_mode(mode: u32) -> io::Result<()> {
    // SAFETY: it takes a number.
    #[allow(unsafe_code)]
    match unsafe { SetConsoleMode(stdin(), mode) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// How many columns and rows standard error has, where it is a console.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the system writes the structure.
    #[allow(unsafe_code)]
    let found = unsafe { GetConsoleScreenBufferInfo(io::stderr().as_raw_handle(), &raw mut info) };
    let window = info.srWindow;
    let count = |first: i16, last: i16| u16::try_from(i32::from(last) - i32::from(first) + 1).ok();
    let columns = count(window.Left, window.Right).filter(|n| *n > 0);
    let rows = count(window.Top, window.Bottom).filter(|n| *n > 0);
    columns.zip(rows).filter(|_| found != 0)
}

/// Whether the console's window is this program's own, and goes away with it: it was started in the
/// file manager.
#[must_use]
pub fn is_window_own() -> bool {
    let mut ids = [0; 2];
    // SAFETY: the system writes no more numbers than there is room for, and says how many there are.
    #[allow(unsafe_code)]
    let processes = unsafe { GetConsoleProcessList(ids.as_mut_ptr(), 2) };
    processes == 1
}

/// Whether this program may read from the console that standard input is: there is no background.
#[must_use]
pub fn is_in_foreground() -> bool {
    io::stdin().is_terminal()
}

/// Whether the console belongs to another program at the moment: there is no background.
#[must_use]
pub fn is_in_background() -> bool {
    false
}

/// Whether the console that standard input was is gone.
#[must_use]
pub fn is_gone() -> bool {
    mode().is_err()
}

/// Forgets what was typed and not yet read.
pub fn forget_typed() {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    read.bytes.clear();
    read.half = None;
    // SAFETY: it takes a handle. What is no console keeps nothing.
    #[allow(unsafe_code)]
    unsafe {
        FlushConsoleInputBuffer(stdin());
    }
}

/// Whether something can be read of what is no pipe: a file always; a console where a key was
/// pressed that stands for something.
pub(super) fn has_input(handle: RawHandle) -> bool {
    let mut mode = 0;
    // SAFETY: the system writes a number.
    #[allow(unsafe_code)]
    let is_console = unsafe { GetConsoleMode(handle, &raw mut mode) } != 0;
    !is_console || has_key(handle)
}

/// Whether a key waits. What else waits, such as that the window has another size, is forgotten.
fn has_key(handle: RawHandle) -> bool {
    loop {
        let mut record = INPUT_RECORD::default();
        let mut count = 0;
        // SAFETY: the system writes one structure, of which the part is read that its kind says.
        #[allow(unsafe_code)]
        unsafe {
            if PeekConsoleInputW(handle, &raw mut record, 1, &raw mut count) == 0 {
                // It is gone, which can be read.
                return true;
            }
            if count == 0 {
                return false;
            }
            let is_key = u32::from(record.EventType) == KEY_EVENT && {
                let key = record.Event.KeyEvent;
                key.bKeyDown != 0 && key.uChar.UnicodeChar != 0
            };
            if is_key {
                return true;
            }
            ReadConsoleInputW(handle, &raw mut record, 1, &raw mut count);
        }
    }
}

/// Whether something was typed, or the console is gone. Waits for it as long as `time`.
#[must_use]
pub fn was_typed_within(time: Duration) -> bool {
    if !READ
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .bytes
        .is_empty()
    {
        return true;
    }
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let ready = match is_pipe(stdin()) {
            true => {
                let ready = pipe_has_input();
                if !ready {
                    std::thread::sleep(left.min(LOOK));
                }
                ready
            }
            false => is_signalled(left) && has_input(stdin()),
        };
        if ready || left.is_zero() {
            return ready;
        }
    }
}

fn is_signalled(time: Duration) -> bool {
    let wait = u32::try_from(time.as_millis()).unwrap_or(u32::MAX - 1);
    // SAFETY: it takes a handle and a number.
    #[allow(unsafe_code)]
    unsafe {
        WaitForSingleObject(stdin(), wait) == WAIT_OBJECT_0
    }
}

fn pipe_has_input() -> bool {
    let mut bytes = 0;
    let null = ptr::null_mut();
    // SAFETY: the system writes a number alone.
    #[allow(unsafe_code)]
    let open = unsafe {
        PeekNamedPipe(
            stdin(),
            null,
            0,
            ptr::null_mut(),
            &raw mut bytes,
            ptr::null_mut(),
        )
    };
    open == 0 || bytes > 0
}

/// What was typed, or comes from elsewhere, as much of it as fits and is there; 0 at the end.
pub fn read_some(bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if read.bytes.is_empty() && mode().is_err() {
        drop(read);
        return read_file(bytes);
    }
    while read.bytes.is_empty() {
        if !read.fill()? {
            return Ok(0);
        }
    }
    let n = read.bytes.len().min(bytes.len());
    bytes[..n].copy_from_slice(&read.bytes[..n]);
    read.bytes.drain(..n);
    Ok(n)
}

/// The next byte that was typed, without a buffer in between that would hide what comes behind
/// it; none at the end.
pub fn read_byte() -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match read_some(&mut byte)? {
            0 => return Ok(None),
            // Lines end in two here.
            _ if byte == *b"\r" && !is_by_keys() => {}
            _ => return Ok(Some(byte[0])),
        }
    }
}

fn is_by_keys() -> bool {
    BEFORE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some()
}

fn read_file(bytes: &mut [u8]) -> io::Result<usize> {
    let room = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut n = 0;
    // SAFETY: the system writes no more than `room` bytes, and a number.
    #[allow(unsafe_code)]
    let done = unsafe {
        ReadFile(
            stdin(),
            bytes.as_mut_ptr(),
            room,
            &raw mut n,
            ptr::null_mut(),
        )
    };
    match done {
        0 => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            e => Err(e),
        },
        _ => Ok(n as usize),
    }
}

impl Typed {
    /// Reads more of the console. Says whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let mut units = [0_u16; 512];
        let room = u32::try_from(units.len()).unwrap_or_default();
        let mut n = 0;
        // SAFETY: the system writes no more than `room` units, and a number.
        #[allow(unsafe_code)]
        let done = unsafe {
            ReadConsoleW(
                stdin(),
                units.as_mut_ptr().cast(),
                room,
                &raw mut n,
                ptr::null(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        let Some(units) = units.get(..n as usize).filter(|units| !units.is_empty()) else {
            return Ok(false);
        };
        // Ctrl-Z at the beginning of a line is the end.
        if units[0] == 0x1a {
            return Ok(false);
        }
        let mut all: Vec<u16> = self.half.take().into_iter().collect();
        all.extend(units);
        if let Some(last) = all.pop_if(|last| (0xd800..0xdc00).contains(last)) {
            self.half = Some(last);
        }
        self.bytes
            .extend(String::from_utf16_lossy(&all).into_bytes());
        Ok(true)
    }
}
