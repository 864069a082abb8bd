//! `xfer say`: sends one message, and waits until it is shown.
//!
//! Must not talk to anyone: it reads the message, and the library sends it.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use xfer::model::talk::MAX_SAID_BYTES;
use xfer::sys::name::from_system;
use xfer::transfer::{MAX_REPLY_TIME, SayOptions};

use super::arguments::{CodeFrom, Events, Loudness, Wrong, parse_name};
use super::dialer::Dialer;
use super::exit::Code;
use super::hints::Task;
use super::target::target;
use super::{machine, names};
use crate::ui::{Line, Ui, is_cut, safe};

const EXAMPLES: &str = "\
Examples:
  xfer say laptop Lunch is ready.
  make 2>&1 | tail -5 | xfer say laptop
  xfer say --ask laptop 'May I restart it?'

`xfer recv` on the other machine shows the message; this command ends once it is
shown. With --ask, it prints the reply to standard output. If nobody replies in
time, or the user declines, the exit code is 4.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SayArguments {
    /// The receiver: a machine's name, HOST, HOST:PORT or '[IPV6]:PORT'
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: String,

    /// The message, up to 1 MiB of UTF-8 text; without it, standard input
    #[arg(value_name = "TEXT")]
    text: Vec<OsString>,

    /// Ask for a reply, and wait for it
    #[arg(long)]
    ask: bool,

    /// With --ask: how long to wait for the reply, at most 300 [default: 300]
    #[arg(long, value_name = "SECONDS", requires = "ask",
          value_parser = clap::value_parser!(u64).range(1..=MAX_REPLY_TIME.as_secs()))]
    reply_within: Option<u64>,

    #[command(flatten)]
    code: CodeFrom,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    #[command(flatten)]
    events: Events,
}

/// Sends the message, and waits until it is shown.
pub(crate) fn run(args: SayArguments, loudness: &Loudness) -> Result<Code, Wrong> {
    let dialer = Dialer::new(Task::Say, loudness, Some(&args.events), &args.code);
    let to =
        target(&args.target).map_err(|why| Wrong(format!("'{}': {why}", safe(&args.target))))?;
    let text = match args.text.is_empty() {
        true => from_stdin(&dialer.ui)?,
        false => from_words(&args.text)?,
    };
    if text.trim().is_empty() {
        return Err(Wrong("the message is empty".to_owned()));
    }
    if text.len() > MAX_SAID_BYTES as usize {
        return Err(Wrong(TOO_LONG.to_owned()));
    }
    let time = args
        .reply_within
        .map_or(MAX_REPLY_TIME, Duration::from_secs);
    let options = SayOptions {
        to,
        name: args.name.unwrap_or_else(machine::name),
        reply: args.ask.then_some(time),
        text,
    };
    let ui = Arc::clone(&dialer.ui);
    Ok(dialer.run(|device, person, progress, cancel| {
        let said = xfer::transfer::say(device, &options, person, progress, cancel);
        if said.is_ok() && is_cut(&options.text) {
            let text = "The message is long: a terminal shows only its beginning. To pass on all \
                        of it, send it as a file with `xfer send`.";
            ui.say([Line::Talk(text.to_owned())]);
        }
        said.map(|_| None)
    }))
}

const TOO_LONG: &str = "the message is larger than 1 MiB: send it as a file\n\n  \
                        tip: COMMAND | xfer send - --as NAME TARGET";

fn from_words(words: &[OsString]) -> Result<String, Wrong> {
    let words: Result<Vec<_>, _> = (1..).zip(words).map(word).collect();
    Ok(words?.join(" "))
}

fn word((number, word): (usize, &OsString)) -> Result<&str, Wrong> {
    std::str::from_utf8(from_system(word)).map_err(|error| {
        Wrong(format!(
            "the message is not UTF-8: word {number}, '{}', at byte {}",
            safe(word),
            error.valid_up_to() + 1
        ))
    })
}

fn from_stdin(ui: &Ui) -> Result<String, Wrong> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let text = "Type the message, then press Ctrl-D on an empty line to send it.";
        ui.say([Line::Talk(text.to_owned())]);
    }
    let mut bytes = Vec::new();
    let most = u64::from(MAX_SAID_BYTES) + 1;
    let read = stdin.lock().take(most).read_to_end(&mut bytes);
    read.map_err(|why| Wrong(format!("cannot read standard input: {why}")))?;
    // Checked first: the cut may split a character.
    if bytes.len() > MAX_SAID_BYTES as usize {
        return Err(Wrong(TOO_LONG.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Wrong(format!(
            "the message is not UTF-8: standard input, byte {}, line {line}",
            at + 1
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfer::sys::name::to_system;

    #[test]
    fn words_are_joined_and_what_is_no_text_is_said() {
        let words = ["Lunch", "is  ready", ""].map(OsString::from);
        assert_eq!(from_words(&words).unwrap(), "Lunch is  ready ");
        let words = [
            OsString::from("a"),
            to_system(b"caf\xed\xa0\x80").into_owned().into(),
        ];
        let wrong = from_words(&words).unwrap_err().0;
        assert!(
            wrong.contains("word 2") && wrong.contains("byte 4"),
            "{wrong}"
        );
    }
}
