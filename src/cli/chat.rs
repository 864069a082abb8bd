//! `xfer chat`: opens a room on this machine, or joins one on another.
//!
//! Must not talk to anyone: it turns arguments into options, and the library does the rest.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use xfer::Error;
use xfer::model::progress::Progress;
use xfer::model::talk::{MAX_LINE_BYTES, NoTalkLine, TalkLine};
use xfer::sys::confine::confine;
use xfer::sys::worker::{self, Worker};
use xfer::transfer::{Cancel, JoinOptions, ReceiveOptions, Receiver, Room, RoomInput, join_room};

use super::arguments::{CodeFrom, Events, Loudness, Wrong, parse_name};
use super::dialer::Dialer;
use super::exit::{Code, conclude};
use super::hints::Task;
use super::local::{self, AttendedPrompt, LocalHost, LocalService, ReceiverFacts};
use super::settings::Settings;
use super::target::target;
use super::{confined, debug, machine, names, signals, target as targets};
use crate::ui::{self, CodeFor, Line, Spoken, TerminalPrompt, Ui, hear_lines, safe};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer chat                       open a chat, and show how to join it
  desktop$  xfer chat laptop                join it
  tail -f log | xfer chat laptop            say each line
  xfer chat laptop </dev/null >log          record what others say

Machines paired with the one that opens the chat can join; others pair first,
with a code. The chat ends when that machine leaves. Type a line and press Enter
to say it; Q or Ctrl-D leaves.

If standard input is not a terminal, xfer says each of its lines and then
leaves; with empty input it only listens. What others say goes to standard
output, as 'name: text'.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Chat {
    /// The machine whose chat to join: its name, HOST, HOST:PORT or '[IPV6]:PORT'
    ///
    /// Without it, xfer opens a chat on this machine.
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: Option<String>,

    /// Port or address to listen on [default: 9090, or a free port if that is taken]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = targets::listen, conflicts_with = "target")]
    listen: Option<SocketAddr>,

    /// Do not announce the chat on the network
    ///
    /// Others need the address to join.
    #[arg(long, conflicts_with_all = ["announce", "target"])]
    hidden: bool,

    /// Announce the chat on the network [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true,
        conflicts_with = "target"
    )]
    announce: Option<bool>,

    /// Keep trying for this long after the connection is lost [default: 60]
    #[arg(long, value_name = "SECONDS")]
    retry: Option<u32>,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    #[command(flatten)]
    code: CodeFrom,

    #[command(flatten)]
    events: Events,
}

/// Opens a chat or joins one, until it is left or closed.
pub(crate) fn run(args: Chat, loudness: &Loudness, settings: &Settings) -> Result<Code, Wrong> {
    match args.target.clone() {
        Some(text) => join(&text, args, loudness),
        None => Ok(open(args, loudness, settings)),
    }
}

fn join(text: &str, args: Chat, loudness: &Loudness) -> Result<Code, Wrong> {
    let to = target(text).map_err(|why| Wrong(format!("'{}': {why}", safe(text))))?;
    let dialer = Dialer::new(Task::Chat, loudness, Some(&args.events), &args.code);
    let default = JoinOptions::default();
    let options = JoinOptions {
        to,
        name: args.name.unwrap_or_else(machine::name),
        retry: (args.retry).map_or(default.retry, |seconds| Duration::from_secs(seconds.into())),
    };
    let (ui, events) = (Arc::clone(&dialer.ui), args.events.are_told());
    Ok(dialer.run(|device, person, progress, cancel| {
        let input = Arc::new(RoomInput::new());
        speak(&ui, events, SpokenTo::Joined(Arc::clone(&input)))?;
        join_room(device, &options, &input, person, progress, cancel).map(|()| None)
    }))
}

fn open(args: Chat, loudness: &Loudness, settings: &Settings) -> Code {
    let words = ui::OutputOptions {
        only_stderr: true,
        plain: true,
        ..loudness.settings(Task::OpenChat.hints())
    };
    let events = args.events.are_told();
    let ui = Ui::new(args.events.with(words));
    if loudness.is_very_verbose() {
        debug::show(&ui);
    }
    let cancel = Cancel::new();
    let leave = Cancel::new();
    let leaves = leave.clone();
    let _cancel = cancel.on_cancel(move || leaves.cancel());
    let ready = prepare(args, settings, loudness.is_verbose(), &ui, &cancel);
    // Threads that were there before would not be confined.
    ui.start();
    let watched = signals::watch(&ui, &cancel);
    let result = watched
        .and(ready)
        .and_then(|(receiver, room, words, _host)| {
            ui.say(words);
            speak(&ui, events, SpokenTo::Opened(room, leave.clone()))?;
            let progress: Arc<dyn Progress> = Arc::clone(&ui) as _;
            let ended = receiver.run(&progress, &leave);
            match cancel.is_cancelled() {
                true => Err(Error::Cancelled),
                false => ended,
            }
        });
    conclude(&ui, Task::OpenChat, result, &cancel)
}

/// A listening room, the lines that announce it, and where others on this machine find it.
type OpenRoom = (Receiver, Arc<Room>, Vec<Line>, Option<LocalHost>);

/// A listening, confined room, and the lines that announce it.
fn prepare(
    args: Chat,
    settings: &Settings,
    verbose: bool,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<OpenRoom> {
    let default = ReceiveOptions::default();
    let name = args.name.unwrap_or_else(machine::name);
    let room = Arc::new(Room::new(&name));
    // The setting is meant for receivers, one of which may be running already.
    let is_set = settings.get("listen").is_some();
    let mut options = ReceiveOptions {
        listen: args.listen.unwrap_or(default.listen),
        name,
        announce: args.announce.unwrap_or(true) && !args.hidden,
        ..default
    };
    let device = machine::device()?;
    let person = AttendedPrompt::new(TerminalPrompt::of_room(ui, cancel), CodeFor::Chat, cancel);
    let bind = |options| Receiver::of_room(&device, options, Arc::clone(&room), person.clone());
    let mut receiver = bind(options.clone());
    let is_taken = |error: &Error| matches!(error, Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse);
    if (args.listen.is_none() || is_set) && receiver.as_ref().is_err_and(is_taken) {
        options.listen.set_port(0);
        receiver = bind(options);
    }
    let receiver = receiver.map_err(local::explained)?;
    let data_dir = machine::data_dir();
    let facts = ReceiverFacts::of_this(receiver.local_addr(), None, LocalService::Chat);
    let host = (data_dir.as_ref()).and_then(|dir| LocalHost::bind(dir, &facts));
    let folders: Vec<&Path> = data_dir.iter().map(|dir| &**dir).collect();
    let how = confine(&folders);
    if let Some(host) = &host {
        host.start(facts, &person);
    }
    let mut words = welcome(receiver.local_addr());
    if verbose {
        words.push(Line::Talk(confined::describe(&how, &folders)));
    }
    Ok((receiver, room, words, host))
}

fn welcome(addr: SocketAddr) -> Vec<Line> {
    let place = match addr.ip().is_loopback() {
        true => "this machine",
        false => "other machines",
    };
    let mut lines = vec![
        format!("The chat is open on {addr}"),
        format!("To join, run on {place}:"),
    ];
    for ip in machine::addresses(addr) {
        lines.push(format!(
            "    xfer chat {}",
            SocketAddr::new(ip, addr.port())
        ));
    }
    lines.into_iter().map(Line::Result).collect()
}

/// Where typed lines go.
#[derive(Clone)]
enum SpokenTo {
    /// The room on this machine, and what closes it.
    Opened(Arc<Room>, Cancel),
    Joined(Arc<RoomInput>),
}

impl SpokenTo {
    /// Waits until this machine has joined, and gives its name there; none if it never joins.
    fn wait_for_name(&self) -> Option<String> {
        match self {
            Self::Opened(room, _) => Some(room.host()),
            Self::Joined(input) => input.wait_until_open(),
        }
    }

    fn say(&self, line: TalkLine) {
        match self {
            Self::Opened(room, _) => room.say(line),
            Self::Joined(input) => input.push(line),
        };
    }

    fn leave(&self) {
        match self {
            Self::Opened(_, leave) => leave.cancel(),
            Self::Joined(input) => input.leave(),
        }
    }

    /// Leaves once everything is sent.
    fn end(&self) {
        match self {
            Self::Opened(_, leave) => leave.cancel(),
            Self::Joined(input) => input.end(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Opened(_, leave) => leave.is_cancelled(),
            Self::Joined(input) => input.is_over(),
        }
    }
}

/// Starts a thread that says what comes from standard input, until the room ends. With `events`,
/// standard input is not a keyboard.
fn speak(ui: &Arc<Ui>, events: bool, to: SpokenTo) -> xfer::Result<()> {
    let (ui, leaves) = (Arc::clone(ui), to.clone());
    let run = move || {
        if let Some(name) = to.wait_for_name() {
            hear_lines(&ui, events, &|| to.is_over(), &|spoken| {
                hear(&ui, &name, &to, spoken);
            });
        }
    };
    worker::spawn_detached(Worker::Input, run, move |_| leaves.leave())
        .map(drop)
        .map_err(|source| Error::Thread { source })
}

fn hear(ui: &Ui, name: &str, to: &SpokenTo, spoken: Spoken) {
    let (text, shown) = match spoken {
        Spoken::Leave => return to.leave(),
        Spoken::End => return to.end(),
        Spoken::Typed(text) => (text, true),
        Spoken::Written(text) => (text, false),
    };
    match TalkLine::new(text) {
        Ok(line) => {
            if shown {
                ui.say([Line::Own {
                    name: name.to_owned(),
                    text: line.as_str().to_owned(),
                }]);
            }
            to.say(line);
        }
        Err(NoTalkLine::Long) => ui.warn(&format!(
            "Not sent: a line can have at most {} KiB.",
            MAX_LINE_BYTES / 1024
        )),
        // The reader splits lines.
        Err(NoTalkLine::Several) => {}
    }
}
