//! Commands run for peers, on either side: how they ended, in words, and their output.
//!
//! Must not let output control the terminal, unless the user asked for it (`--raw`).

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use xfer::model::command::{CommandEnd, OutputStream};
use xfer::sys::stream;
use xfer::transfer::CommandSink;

use super::safe::is_unsafe;
use super::system::system;
use super::words;

/// How a command ended.
pub(crate) fn command_end(end: &CommandEnd) -> String {
    match end {
        CommandEnd::Exited(0) => "done".to_owned(),
        CommandEnd::Exited(code) => format!("exit code {code}"),
        CommandEnd::Signalled(signal) => format!("killed by signal {signal}"),
        CommandEnd::TimeLimit(seconds) => format!(
            "stopped at its time limit of {}",
            words::duration(Duration::from_secs(*seconds))
        ),
        CommandEnd::OutputLimit(bytes) => {
            format!("stopped at its output limit of {}", words::bytes(*bytes))
        }
        CommandEnd::NotStarted(error) => format!("could not start: {}", system(error)),
        CommandEnd::Stopped => "stopped".to_owned(),
        _ => "ended".to_owned(),
    }
}

fn command_end_name(end: &CommandEnd) -> &'static str {
    match end {
        CommandEnd::Exited(_) => "exited",
        CommandEnd::Signalled(_) => "signalled",
        CommandEnd::TimeLimit(_) => "time_limit",
        CommandEnd::OutputLimit(_) => "output_limit",
        CommandEnd::NotStarted(_) => "not_started",
        _ => "stopped",
    }
}

/// How a command ended, for programs.
#[derive(Debug, Serialize)]
pub(super) struct CommandEnding {
    ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    message: String,
}

impl From<&CommandEnd> for CommandEnding {
    fn from(end: &CommandEnd) -> Self {
        let (exit_code, signal) = match end {
            CommandEnd::Exited(code) => (Some(*code), None),
            CommandEnd::Signalled(signal) => (None, Some(*signal)),
            _ => (None, None),
        };
        Self {
            ended: command_end_name(end),
            exit_code,
            signal,
            message: command_end(end),
        }
    }
}

/// The line for a command that ended on this machine.
pub(super) fn ended(
    peer: &str,
    name: &str,
    end: &CommandEnd,
    bytes: u64,
    time: Duration,
) -> String {
    format!(
        "{peer} ran {name}: {} ({}, {} of output)",
        command_end(end),
        words::duration(time),
        words::bytes(bytes)
    )
}

/// Standard output and standard error, for the output of a command on another machine.
#[derive(Debug)]
pub(crate) struct CommandOutputs {
    streams: [CommandStream; 2],
}

#[derive(Debug)]
struct CommandStream {
    file: File,
    /// Makes output safe, if this is a terminal.
    fit: Option<Mutex<FitText>>,
}

impl CommandOutputs {
    /// With `raw`, terminals get the output unchanged too.
    pub(crate) fn new(raw: bool) -> io::Result<Self> {
        let of = |file: File| {
            let fit = (io::IsTerminal::is_terminal(&file) && !raw).then(Mutex::default);
            CommandStream { file, fit }
        };
        Ok(Self {
            streams: [of(stream::stdout()?), of(stream::stderr()?)],
        })
    }
}

impl CommandSink for CommandOutputs {
    fn write(&self, stream: OutputStream, bytes: &[u8]) -> io::Result<()> {
        let at = usize::from(stream == OutputStream::Error);
        let CommandStream { file, fit } = &self.streams[at];
        let written = match fit {
            None => (&*file).write_all(bytes),
            Some(fit) => {
                let mut fit = fit.lock().unwrap_or_else(PoisonError::into_inner);
                (&*file).write_all(fit.take(bytes).as_bytes())
            }
        };
        match (written, stream) {
            // A closed standard error must not end standard output.
            (Err(_), OutputStream::Error) => Ok(()),
            (written, _) => written,
        }
    }

    fn output(&self) -> &File {
        &self.streams[0].file
    }
}

/// Makes text that comes in pieces safe for a terminal: lines and tabs stay, other controls are
/// escaped.
#[derive(Debug, Default)]
struct FitText {
    /// The first bytes of a character that is not complete yet.
    begun: Vec<u8>,
    /// Whether the last character was a carriage return: it may begin a line end.
    returned: bool,
}

impl FitText {
    fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|c| self.show(c, &mut shown));
            let rest = chunk.invalid();
            let may_go_on = std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_none());
            if may_go_on && chunks.peek().is_none() {
                self.begun = rest.to_vec();
                break;
            }
            for byte in rest {
                shown.push_str(&format!("\\x{byte:02x}"));
            }
        }
        shown
    }

    fn show(&mut self, c: char, shown: &mut String) {
        // A progress bar overwrites its line; each version gets a line of its own.
        if std::mem::take(&mut self.returned) && c != '\n' {
            shown.push('\n');
        }
        match c {
            '\r' => self.returned = true,
            '\n' | '\t' => shown.push(c),
            c if !is_unsafe(c) => shown.push(c),
            c if c.is_ascii() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_and_does_nothing_else() {
        for (parts, shown) in [
            (&[&b"a\tb\n"[..]][..], "a\tb\n"),
            (
                &[b"caf\xc3", b"\xa9 \xe6\x97", b"\xa5"],
                "caf\u{e9} \u{65e5}",
            ),
            (&[b"\xc3", b"a", b"\xff\n"], "\\xc3a\\xff\n"),
            (&[b"\x1b]0;x\x07", b"\x1b[31m"], "\\x1b]0;x\\x07\\x1b[31m"),
            (&[b"a\r\nb\r", b"\nc"], "a\nb\nc"),
            (&[b" 1%\r 2%\r", b" 3%\n"], " 1%\n 2%\n 3%\n"),
            (&["\u{202e}\u{9b}1m".as_bytes()], "\\u{202e}\\u{9b}1m"),
        ] {
            let mut fit = FitText::default();
            let text: String = parts.iter().map(|part| fit.take(part)).collect();
            assert_eq!(text, shown);
        }
    }
}
