//! `xfer chat`: opens a room here, or joins that of another machine.
//!
//! Must not talk to anyone: it makes plain options of the arguments, and the library does.

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
use super::settings::Settings;
use super::target::target;
use super::{debug, machine, names, recv, signals, target as targets};
use crate::ui::{self, Line, Spoken, TerminalPrompt, Ui, hear_lines, safe};

const EXAMPLES: &str = "\
Examples:
  laptop$   xfer chat                     opens a chat, and shows how others join
  desktop$  xfer chat laptop              joins it
  tail -f log | xfer chat laptop          says each line there
  xfer chat laptop </dev/null >log        keeps what is said, and says nothing

Everybody who is paired with the machine that opens the chat may join; whoever is not is paired
with first, with a code. It lasts until that machine leaves. Type a line and press Enter to say it;
Q or Ctrl-D leaves.

Where standard input is no terminal, each of its lines is said, and its end leaves, once all is
said; an input that is empty only listens. Standard output has what others say, as 'name: text'.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Chat {
    /// The machine whose chat to join: its name, HOST, HOST:PORT or [IPV6]:PORT; without it, a chat
    /// is opened here
    #[arg(value_name = "TARGET", add = names::receivers())]
    target: Option<String>,

    /// Where to listen; port 0 takes a free one [default: 9090, or a free one where that is taken]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = targets::listen, conflicts_with = "target")]
    listen: Option<SocketAddr>,

    /// Do not tell the network that a chat is open here: it is reached by its address alone
    #[arg(long, conflicts_with_all = ["announce", "target"])]
    hidden: bool,

    /// Tell the network this machine's name and where the chat is, so that others find it
    /// [default: true]
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

    /// How long to try to come back after a connection is lost [default: 60]
    #[arg(long, value_name = "SECONDS")]
    retry: Option<u32>,

    /// What this machine calls itself [default: its host name]
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
    let result = watched.and(ready).and_then(|(receiver, room, words)| {
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

/// A room that listens, confined, and what is to be said of it.
fn prepare(
    args: Chat,
    settings: &Settings,
    verbose: bool,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<(Receiver, Arc<Room>, Vec<Line>)> {
    let default = ReceiveOptions::default();
    let name = args.name.unwrap_or_else(machine::name);
    let room = Arc::new(Room::new(&name));
    // What the settings say of it is about receivers, one of which may be there already.
    let is_set = settings.get("listen").is_some();
    let mut options = ReceiveOptions {
        listen: args.listen.unwrap_or(default.listen),
        name,
        announce: args.announce.unwrap_or(true) && !args.hidden,
        ..default
    };
    let device = machine::device()?;
    let person = TerminalPrompt::of_room(ui, cancel);
    let bind =
        |options| Receiver::of_room(&device, options, Arc::clone(&room), Arc::clone(&person));
    let mut receiver = bind(options.clone());
    let is_taken = |error: &Error| matches!(error, Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse);
    if (args.listen.is_none() || is_set) && receiver.as_ref().is_err_and(is_taken) {
        options.listen.set_port(0);
        receiver = bind(options);
    }
    let receiver = receiver?;
    let data_dir = machine::data_dir();
    let folders: Vec<&Path> = data_dir.iter().map(|dir| &**dir).collect();
    let confined = confine(&folders);
    let mut words = welcome(receiver.local_addr());
    if verbose {
        words.push(Line::Talk(recv::describe(&confined, &folders)));
    }
    Ok((receiver, room, words))
}

fn welcome(addr: SocketAddr) -> Vec<Line> {
    let place = match addr.ip().is_loopback() {
        true => "this machine",
        false => "other machines",
    };
    let mut lines = vec![
        format!("The chat is open on {addr}"),
        format!("To join it, run on {place}:"),
    ];
    for ip in machine::addresses(addr) {
        lines.push(format!(
            "    xfer chat {}",
            SocketAddr::new(ip, addr.port())
        ));
    }
    lines.into_iter().map(Line::Result).collect()
}

/// Where what is typed goes.
#[derive(Clone)]
enum SpokenTo {
    /// The room that is open here, and what closes it.
    Opened(Arc<Room>, Cancel),
    Joined(Arc<RoomInput>),
}

impl SpokenTo {
    /// What this machine's user is called there, once they are there; none where they will not be.
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

    /// Leaves once all is said.
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

/// Begins to say in a room what comes from standard input, in a thread that ends soon after the
/// room does. Programs that want `events` do not type.
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
            "A line has at most {} KiB: this one was not sent.",
            MAX_LINE_BYTES / 1024
        )),
        // Whoever reads lines gives one.
        Err(NoTalkLine::Several) => {}
    }
}
