//! A terminal of its own for a run of the program: what it prints there is collected, and what a
//! person would type is written there.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};

use super::{Output, Process, Watched};

/// What came to a terminal, and what a person sees of it.
struct Seen {
    bytes: Vec<u8>,
    emulator: vt100::Parser,
}

/// The program in a terminal. What it prints to standard output goes to its process as always,
/// the rest to the terminal.
pub struct Terminal {
    process: Process,
    keyboard: File,
    screen: Arc<Watched<Seen>>,
    /// Whether nothing more comes.
    ended: Arc<Watched<bool>>,
}

impl Terminal {
    /// Runs the command in a new terminal, which is its controlling one.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_in(command, (80, 24), false)
    }

    /// The same, in so many columns, with standard output in the terminal as well.
    pub fn spawn_whole(command: Command, columns: u16) -> Self {
        Self::spawn_sized(command, columns, 24)
    }

    /// The same, in so many rows.
    pub fn spawn_sized(command: Command, columns: u16, rows: u16) -> Self {
        Self::spawn_in(command, (columns, rows), true)
    }

    fn spawn_in(command: Command, (columns, rows): (u16, u16), whole: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, size(columns, rows)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = |name: &CStr| {
            let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap()
        };
        // `setsid --ctty` makes its standard input the controlling terminal of what it runs.
        let mut outer = super::run_by("setsid", &["--ctty"].map(std::ffi::OsStr::new), &command);
        outer.stdin(Stdio::from(open(&name)));
        if !command
            .get_envs()
            .any(|(name, value)| name == "TERM" && value != Some("dumb".as_ref()))
        {
            outer.env("TERM", "xterm");
        }
        let stdout = match whole {
            true => Stdio::from(open(&name)),
            false => Stdio::piped(),
        };
        let process = Process::spawn_with(outer, stdout, Stdio::from(open(&name)));
        let keyboard = File::from(master);
        let mut from = keyboard.try_clone().unwrap();
        let screen = Arc::new(Watched::new(Seen {
            bytes: Vec::new(),
            emulator: vt100::Parser::new(rows, columns, 0),
        }));
        let ended = Arc::new(Watched::<bool>::default());
        let (collected, all) = (screen.clone(), ended.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails when the program has ended.
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                collected.update(|screen| {
                    screen.bytes.extend_from_slice(&buffer[..n]);
                    screen.emulator.process(&buffer[..n]);
                });
            }
            all.update(|ended| *ended = true);
        });
        Self {
            process,
            keyboard,
            screen,
            ended,
        }
    }

    /// Everything that came to the terminal so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().bytes).into_owned()
    }

    /// The bytes that came to the terminal so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.screen.lock().bytes.clone()
    }

    /// Waits until this has come to the terminal so many times, in one line or folded at words.
    #[track_caller]
    pub fn wait_for(&self, text: &str, times: usize) {
        let came = |screen: &mut Seen| {
            let screen = without_colours(&String::from_utf8_lossy(&screen.bytes));
            let count = screen.matches(text).count();
            let count = count.max(unfolded(&screen).matches(text).count());
            (count >= times).then_some(())
        };
        if self.screen.wait(came).is_none() {
            panic!("no {text:?} in the terminal:\n{}", self.screen());
        }
    }

    /// The code that was shown first, as digits.
    #[track_caller]
    pub fn code(&self) -> String {
        self.nth_code(1)
    }

    /// The code that was shown as the `n`th one, from 1 on.
    #[track_caller]
    pub fn nth_code(&self, n: usize) -> String {
        let found = self.screen.wait(|screen| {
            let screen = String::from_utf8_lossy(&screen.bytes);
            let (_, code) = codes(&screen).into_iter().nth(n - 1)?;
            Some(code)
        });
        found.unwrap_or_else(|| panic!("no code {n}:\n{}", self.screen()))
    }

    /// The code that was shown last for the machine of this name, as digits.
    #[track_caller]
    pub fn code_for(&self, name: &str) -> String {
        let found = self.screen.wait(|screen| {
            let screen = String::from_utf8_lossy(&screen.bytes);
            let mut codes = codes(&screen).into_iter().rev();
            codes.find(|(of, _)| of == name).map(|(_, code)| code)
        });
        found.unwrap_or_else(|| panic!("no code for {name}:\n{}", self.screen()))
    }

    /// How many codes were shown so far.
    pub fn count_codes(&self) -> usize {
        codes(&self.screen()).len()
    }

    /// Types a line.
    pub fn type_line(&self, line: &str) {
        (&self.keyboard)
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Types these keys.
    pub fn type_raw(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// Whether what is typed comes to the program line by line, and shows: as a shell wants it.
    pub fn is_by_lines(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// The terminal as another program has it that reads from it.
    pub fn open_again(&self) -> File {
        let name = ptsname(&self.keyboard, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let mut options = OpenOptions::new();
        let flags = rustix::fs::OFlags::NOCTTY.bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.cast_signed());
        options.read(true).open(path).unwrap()
    }

    /// The rows as a person sees them, without the empty ones at the end.
    pub fn rows(&self) -> Vec<String> {
        rows_of(&self.screen(), self.columns())
    }

    /// Waits until what a person sees satisfies `ready`.
    #[track_caller]
    pub fn wait_for_rows(&self, what: &str, ready: impl Fn(&[String]) -> bool) {
        let columns = self.columns();
        let came = self.screen.wait(|screen| {
            let rows = rows_of(&String::from_utf8_lossy(&screen.bytes), columns);
            ready(&rows).then_some(())
        });
        assert!(came.is_some(), "no {what}:\n{:#?}", self.rows());
    }

    fn columns(&self) -> usize {
        tcgetwinsize(&self.keyboard).unwrap().ws_col.into()
    }

    /// Waits, for so long at most, until the emulator of the terminal has something.
    pub fn wait_for_emulator<R>(
        &self,
        time: Duration,
        mut ready: impl FnMut(&vt100::Screen) -> Option<R>,
    ) -> Option<R> {
        let ready = |seen: &mut Seen| ready(seen.emulator.screen());
        self.screen.wait_for_at_most(time, ready)
    }

    /// Has another size from now on, as what `reshape` makes of the emulator has it.
    pub fn resize(
        &self,
        columns: u16,
        rows: u16,
        reshape: impl FnOnce(&mut vt100::Parser, u16, u16),
    ) {
        // What is printed meanwhile comes to the new one.
        self.screen.update(|seen| {
            reshape(&mut seen.emulator, columns, rows);
            tcsetwinsize(&self.keyboard, size(columns, rows)).unwrap();
        });
    }

    /// As Ctrl-C.
    pub fn interrupt(&self) {
        (&self.keyboard).write_all(b"\x03").unwrap();
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Types Ctrl-C, and waits for its end.
    pub fn wait_and_stop(&self) -> Output {
        self.interrupt();
        self.process.wait_end()
    }

    /// Waits for its end; says its exit code, and all that came to the terminal.
    pub fn wait(self) -> (Option<i32>, String) {
        let output = self.process.wait();
        self.ended.wait(|ended| ended.then_some(())).unwrap();
        let screen = String::from_utf8_lossy(&self.screen.lock().bytes).into_owned();
        (output.code, screen + &output.text())
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// What came to a terminal, with the lines that were folded at words in one piece.
pub fn unfolded(screen: &str) -> String {
    let mut lines = screen.split("\r\n");
    let mut text = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        match line.strip_prefix("    ") {
            Some(rest) => text = format!("{text} {}", rest.trim_start()),
            None => text = format!("{text}\r\n{line}"),
        }
    }
    text
}

/// The codes that were shown, and for whom, as in "enter this code on desk:  123 456".
fn codes(screen: &str) -> Vec<(String, String)> {
    let screen = without_colours(screen);
    let lines = screen.split_inclusive(['\r', '\n']);
    let lines = lines.filter_map(|line| line.strip_suffix(['\r', '\n']));
    let codes = lines.filter_map(|line| {
        let (_, rest) = line.split_once("code on ")?;
        let (name, code) = rest.rsplit_once(": ")?;
        let code: String = code.chars().filter(char::is_ascii_digit).collect();
        (code.len() == 6).then(|| (name.to_owned(), code))
    });
    codes.collect()
}

/// What came to a terminal, without what makes it coloured or bold.
pub fn without_colours(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        words.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        rest = match end.map(|end| after.split_at(end)) {
            Some((_, other)) if other.starts_with('m') => &other[1..],
            _ => {
                words.push_str("\x1b[");
                after
            }
        };
    }
    words + rest
}

/// The rows that a terminal of so many columns shows of what came to it, without the empty ones at
/// the end. It knows no more than what ends rows, and colours.
fn rows_of(text: &str, columns: usize) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let mut at = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => at = 0,
            '\n' => rows.push(Vec::new()),
            '\x1b' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            c => {
                if at == columns {
                    rows.push(Vec::new());
                    at = 0;
                }
                let row = rows.last_mut().unwrap();
                row.resize(row.len().max(at + 1), ' ');
                row[at] = c;
                at += 1;
            }
        }
    }
    let rows = rows.into_iter().map(String::from_iter);
    let mut rows: Vec<String> = rows.map(|row: String| row.trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}
