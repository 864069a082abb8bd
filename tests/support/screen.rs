//! The screen of a terminal, as a person sees it: a terminal of some size with an emulator behind
//! it, in which a shell or the program runs.
//!
//! Must not compare screens with files: `Story` does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Terminal, User};

/// How long a screen may take to show something. Never reached but by a failure.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a terminal changes what it shows when its width changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reshape {
    /// Breaks lines anew, as most do.
    Reflow,
    /// Cuts them, as xterm does.
    Cut,
}

/// A terminal with a screen.
pub struct Screen {
    terminal: Terminal,
}

/// What is on a screen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    pub columns: u16,
    pub height: u16,
    /// Without blanks at their ends, and without the empty ones at the bottom.
    pub rows: Vec<String>,
    /// Where the next character goes: a row and a column, from 0 on.
    pub cursor: (u16, u16),
    /// What is in colour, bold or dim, from the top left on: how, and what.
    pub styled: Vec<(String, String)>,
}

impl Screen {
    /// Runs the command in a terminal of this size.
    pub fn new(command: Command, columns: u16, rows: u16) -> Self {
        let mut command = command;
        command.env("TERM", "xterm-256color");
        let terminal = Terminal::spawn_sized(command, columns, rows);
        Self { terminal }
    }

    /// A shell of this user, which finds `xfer`, and is at home there. Its prompt is `name$ `.
    ///
    /// `there` says where it runs, as [`super::lan::Host::there`].
    pub fn shell(
        user: &User,
        name: &str,
        (columns, rows): (u16, u16),
        there: impl FnOnce(&Command) -> Command,
    ) -> Self {
        let screen = Self::new(there(&shell_command(user, name)), columns, rows);
        screen.wait_for(&format!("{name}$ "));
        screen
    }

    /// Types a line, and Enter.
    pub fn type_line(&self, line: &str) {
        self.terminal.type_line(line);
    }

    /// Types these keys.
    pub fn type_keys(&self, keys: &str) {
        self.terminal.type_raw(keys);
    }

    /// Types Ctrl-C.
    pub fn interrupt(&self) {
        self.terminal.interrupt();
    }

    /// From now on it has this size.
    pub fn resize(&self, columns: u16, rows: u16, how: Reshape) {
        let reshape = |emulator: &mut vt100::Parser, columns, rows| match how {
            Reshape::Cut => emulator.screen_mut().set_size(rows, columns),
            Reshape::Reflow => *emulator = reflowed(emulator.screen(), columns, rows),
        };
        self.terminal.resize(columns, rows, reshape);
    }

    /// What is on it now.
    pub fn shot(&self) -> Shot {
        self.wait_until("anything", |_| true)
    }

    /// Its rows as one text.
    pub fn text(&self) -> String {
        self.shot().text()
    }

    /// Waits until this is on the screen. Says what is there then.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Shot {
        self.wait_until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Waits until the text of all rows, one to a line, satisfies `ready`.
    #[track_caller]
    pub fn wait_until(&self, what: &str, ready: impl Fn(&str) -> bool) -> Shot {
        let is_there = |shot: &Shot| ready(&shot.text());
        let found = self.wait_for_at_most(PATIENCE, is_there);
        found.unwrap_or_else(|last| panic!("no {what} on the screen:\n{}", last.framed()))
    }

    /// Waits for so long; says what was there last where it did not come.
    pub fn wait_for_at_most(
        &self,
        time: Duration,
        ready: impl Fn(&Shot) -> bool,
    ) -> Result<Shot, Shot> {
        let found = self.terminal.wait_for_emulator(time, |screen| {
            let shot = Shot::of(screen);
            ready(&shot).then_some(shot)
        });
        let now = |screen: &vt100::Screen| Some(Shot::of(screen));
        found.ok_or_else(|| self.terminal.wait_for_emulator(PATIENCE, now).unwrap())
    }

    /// The six digits that are shown last behind this text.
    #[track_caller]
    pub fn code_after(&self, text: &str) -> String {
        let six = |screen: &str| {
            let (_, rest) = screen.rsplit_once(text)?;
            let digits: String = rest.chars().filter(char::is_ascii_digit).take(6).collect();
            (digits.len() == 6).then_some(digits)
        };
        let shot = self.wait_until(&format!("code after {text:?}"), |all| six(all).is_some());
        six(&shot.text()).unwrap()
    }

    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }
}

impl Shot {
    pub fn of(screen: &vt100::Screen) -> Self {
        let (height, columns) = screen.size();
        let rows = screen.rows(0, columns);
        let mut rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        let mut styled: Vec<(String, String)> = Vec::new();
        for row in 0..height {
            // What is styled in one way without a gap is one piece.
            let mut open = false;
            for column in 0..columns {
                let Some(cell) = screen.cell(row, column) else {
                    continue;
                };
                let style = style_of(cell);
                match styled.last_mut() {
                    Some((same, text)) if open && *same == style => text.push_str(shown(cell)),
                    _ if style.is_empty() => {}
                    _ => styled.push((style.clone(), shown(cell).to_owned())),
                }
                open = !style.is_empty();
            }
        }
        styled.retain_mut(|(_, text)| {
            *text = text.trim().to_owned();
            !text.is_empty()
        });
        Self {
            columns,
            height,
            rows,
            cursor: screen.cursor_position(),
            styled,
        }
    }

    /// Its rows, one to a line, with blanks up to the cursor in its row.
    pub fn text(&self) -> String {
        let (row, column) = self.cursor;
        let mut rows = self.rows.clone();
        if let Some(row) = rows.get_mut(usize::from(row)) {
            let gap = usize::from(column).saturating_sub(width_of(row));
            row.push_str(&" ".repeat(gap));
        }
        rows.join("\n")
    }

    /// How this is shown, where it is in colour, bold or dim.
    pub fn style_of(&self, text: &str) -> Option<&str> {
        let found = self.styled.iter().find(|(_, piece)| piece.contains(text));
        found.map(|(style, _)| style.as_str())
    }

    /// As a picture of it, with its edges.
    pub fn framed(&self) -> String {
        let edge = format!("+{}+\n", "-".repeat(self.columns.into()));
        let row = |row: &String| {
            let gap = usize::from(self.columns).saturating_sub(width_of(row));
            format!("|{row}{}|\n", " ".repeat(gap))
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("{edge}{rows}{edge}")
    }
}

fn width_of(row: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(row)
}

fn shown(cell: &vt100::Cell) -> &str {
    match cell.contents() {
        "" if cell.is_wide_continuation() => "",
        "" => " ",
        text => text,
    }
}

/// In words, such as `bold green`.
fn style_of(cell: &vt100::Cell) -> String {
    const NAMES: [&str; 8] = [
        "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    ];
    let mut words = Vec::new();
    for (has, word) in [
        (cell.bold(), "bold"),
        (cell.dim(), "dim"),
        (cell.underline(), "underlined"),
        (cell.inverse(), "inverse"),
    ] {
        words.extend(has.then_some(word.to_owned()));
    }
    match cell.fgcolor() {
        vt100::Color::Default => {}
        vt100::Color::Idx(n) => words.push(match NAMES.get(usize::from(n % 8)) {
            Some(name) if n < 16 => (*name).to_owned(),
            _ => format!("colour {n}"),
        }),
        vt100::Color::Rgb(r, g, b) => words.push(format!("#{r:02x}{g:02x}{b:02x}")),
    }
    words.join(" ")
}

/// The same lines, broken anew. The cursor stays where it is among them.
pub fn reflowed(old: &vt100::Screen, columns: u16, rows: u16) -> vt100::Parser {
    let mut new = vt100::Parser::new(rows, columns, 0);
    let (_, old_columns) = old.size();
    let (cursor_row, cursor_column) = old.cursor_position();
    let last = old.rows(0, old_columns).enumerate();
    let last = last.filter(|(_, row)| !row.is_empty()).map(|(n, _)| n);
    let last = last.max().unwrap_or(0).max(cursor_row.into());
    let above: Vec<Vec<u8>> = old.rows_formatted(0, old_columns).collect();
    let left: Vec<Vec<u8>> = old.rows_formatted(0, cursor_column).collect();
    let mut cursor = (0, 0);
    for n in 0..=last {
        new.process(b"\x1b[m");
        if n == usize::from(cursor_row) {
            let mut probe = vt100::Parser::new(rows, columns, 0);
            probe.process(&new.screen().state_formatted());
            probe.process(&left[n]);
            cursor = probe.screen().cursor_position();
        }
        new.process(&above[n]);
        let wraps = old.row_wrapped(u16::try_from(n).unwrap());
        if n < last && !wraps {
            new.process(b"\x1b[m\r\n");
        }
    }
    let (row, column) = cursor;
    new.process(format!("\x1b[m\x1b[{};{}H", row + 1, column + 1).as_bytes());
    new
}

fn shell_command(user: &User, name: &str) -> Command {
    let program = user.command::<&str>(&[]);
    let bin = user.home().join(".local/bin");
    let xfer = bin.join("xfer");
    if !xfer.exists() {
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(program.get_program(), &xfer).unwrap();
    }
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile", "--noediting", "-i"])
        .env_clear()
        .current_dir(user.home());
    for (variable, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(variable, value);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("PS1", format!("{name}$ "))
        .env("HISTFILE", Path::new("/dev/null"));
    command
}
