//! Commands that run for others, here or there: in words, and what they put out.
//!
//! Must not let a command's output do anything to a terminal but show, unless that was asked for.

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
        CommandEnd::Exited(code) => format!("it ended with exit code {code}"),
        CommandEnd::Signalled(signal) => format!("signal {signal} ended it"),
        CommandEnd::TimeLimit(seconds) => format!(
            "it was ended after {}, which is as long as it may take",
            words::duration(Duration::from_secs(*seconds))
        ),
        CommandEnd::OutputLimit(bytes) => format!(
            "it was ended after {} of output, which is as much as it may put out",
            words::bytes(*bytes)
        ),
        CommandEnd::NotStarted(error) => format!("it could not be started: {}", system(error)),
        CommandEnd::Stopped => "it was stopped".to_owned(),
        _ => "it ended".to_owned(),
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

/// The line for a command that has ended here.
pub(super) fn ended(
    peer: &str,
    name: &str,
    end: &CommandEnd,
    bytes: u64,
    time: Duration,
) -> String {
    format!(
        "{name}, run by {peer}: {} ({}, {} of output)",
        command_end(end),
        words::duration(time),
        words::bytes(bytes)
    )
}

/// Standard output and standard error, for what a command puts out somewhere else.
#[derive(Debug)]
pub(crate) struct CommandOutputs {
    streams: [CommandStream; 2],
}

#[derive(Debug)]
struct CommandStream {
    file: File,
    /// What makes it fit for a terminal, where it is one.
    fit: Option<Mutex<FitText>>,
}

impl CommandOutputs {
    /// With `raw`, terminals get what comes as well.
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
            // Whoever does not want to see what went wrong wants the rest.
            (Err(_), OutputStream::Error) => Ok(()),
            (written, _) => written,
        }
    }

    fn output(&self) -> &File {
        &self.streams[0].file
    }
}

/// Makes text that comes in pieces fit for a terminal: lines and tabs stay, all else that does more
/// than show is escaped.
#[derive(Debug, Default)]
struct FitText {
    /// The beginning of a character whose rest has not come.
    begun: Vec<u8>,
    /// Whether a carriage return came last, of which it is not known yet what it means.
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
        // What writes one line over another, as bars do, gets a line for each.
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
