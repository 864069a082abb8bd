//! `xfer recv`: receives files into a folder.
//!
//! Must not receive: it makes plain options of the arguments, and the library does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};
use xfer::Error;
use xfer::model::error::Action;
use xfer::model::outcome::OnConflict;
use xfer::model::progress::Progress;
use xfer::model::surplus::MaxDelete;
use xfer::net::Known;
use xfer::sys::commands::{CommandList, CommandStarter, ListedCommand};
use xfer::sys::confine::{Confined, confine};
use xfer::sys::stream;
use xfer::transfer::{Cancel, Grant, ReceiveOptions, Receiver};

use super::arguments::{Events, Loudness, Wrong, parse_name};
use super::exit::{Code, conclude};
use super::hints::Task;
use super::settings::{Settings, all_commands, parse_run};
use super::{debug, folders, machine, signals, size, target};
use crate::ui::{self, Line, TerminalPrompt, Ui};

const EXAMPLES: &str = "\
Examples:
  xfer recv                           into your Downloads folder, until Ctrl-C
  xfer recv --dir ~/inbox --once      one session, and its exit code
  xfer recv --stdout | tar x          one file, to standard output
  xfer recv --ask                     asks you about each offer
  xfer recv --open                    from anyone on a network that you trust
  xfer recv --listen 127.0.0.1:0      only from this machine, on a free port

You yourself on this same machine are let in, and machines that this one is paired with. Any
other one is paired with when it sends for the first time: a code is shown here, which the
person there types. Nobody needs to know it afterwards. See `xfer peers`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Recv {
    /// The folder to receive into, which must exist [default: your Downloads folder, made if
    /// missing]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Where to listen; port 0 takes a free one [default: 9090, on all addresses]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = target::listen)]
    listen: Option<SocketAddr>,

    /// End with the first session (but for dry runs), and with its exit code. A sender whose
    /// connection is lost has 90 seconds to come back
    #[arg(long)]
    once: bool,

    /// Write what is received to standard output, and end with the first session. It has to be a
    /// single file, or what `xfer send -` sends; every chunk is verified before it is written, and
    /// the exit code says whether it was all. Nothing is stored
    // What the settings say of a folder does not matter then; here it was meant to.
    #[arg(long, conflicts_with_all = ["json", "dir", "sums", "on_conflict", "allow_update", "allow_mirror", "allow_links_outside"])]
    stdout: bool,

    /// Receive from anyone who sends with --open; for networks that you trust
    #[arg(long)]
    open: bool,

    /// Do not tell the network that this machine receives: it is not in anybody's `xfer list`, and
    /// is reached by its address alone
    #[arg(long, conflicts_with = "announce")]
    hidden: bool,

    /// Tell the network this machine's name and where it listens, so that others find it: `xfer
    /// list`. With --open, only where you say so [default: true, without --open]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    announce: Option<bool>,

    /// Ask about each offer, whoever it comes from: yes, no, or always from there
    #[arg(long)]
    ask: bool,

    /// The most that may be done where something else has the name of what comes. To replace it,
    /// other machines need --allow-update as well [default: replace]
    #[arg(long, value_name = "WHAT", value_enum)]
    on_conflict: Option<Conflict>,

    /// Let paired machines replace what is here (xfer send --update). Without this, only you
    /// yourself on this machine can; whoever was let in with --open never can
    #[arg(long)]
    allow_update: bool,

    /// As --allow-update, and let paired machines remove what they do not have (xfer send
    /// --mirror), in the folders that they send
    #[arg(long)]
    allow_mirror: bool,

    /// With --allow-mirror: remove nothing at all where more would go, such as 500, or 25% of what is
    /// there [default: ask where more than ten and more than half would go]
    #[arg(long, value_name = "N", value_parser = size::max_delete)]
    max_delete: Option<MaxDelete>,

    /// Store links that lead out of the folder, too; without this they are refused
    #[arg(long)]
    allow_links_outside: bool,

    /// Leave it to the system when files are brought to disk; faster, but a power loss may take
    /// what was said to be done
    #[arg(long)]
    no_sync: bool,

    /// How many senders may be at work at once; the others are told to come again [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: Option<u16>,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    /// Add the SHA-256 of each file that is received to a list: `sha256sum -c FILE` in the receive
    /// directory checks it. Where a file is received again, its earlier line becomes a comment.
    /// Larger files are read once more for that. Where a line cannot be written, --once ends with 3
    #[arg(long, value_name = "FILE")]
    sums: Option<PathBuf>,

    /// Let machines run a command here that may do that (xfer peers --allow run NAME), by this name:
    /// --run disk='df -h'. Quotes keep words together; no shell sees it. See `xfer config --help`
    /// for arguments and limits
    #[arg(long, value_name = "NAME=COMMAND", value_parser = parse_run)]
    run: Vec<(String, ListedCommand)>,

    /// Run this, by a shell, after each session that stored something: one after the other, for an
    /// hour at most. XFER_PEER, XFER_INTO, XFER_OUTCOME (complete, partial or failed), XFER_STORED,
    /// XFER_FAILED and XFER_BYTES are in its environment, and on its standard input what was stored,
    /// a line of JSON for each. Where it fails, that is said, and changes nothing [default: nothing]
    #[arg(long, value_name = "COMMAND")]
    on_done: Option<String>,

    #[command(flatten)]
    events: Events,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Conflict {
    /// Replace it, if the sender asks for that (send --update) and may; else store beside
    Replace,
    /// Store what comes beside it, as 'name (2).ext'
    Beside,
    /// Leave out what comes
    Skip,
    /// Let what comes fail
    Fail,
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Replace => Self::Replace,
            Conflict::Beside => Self::Beside,
            Conflict::Skip => Self::Skip,
            Conflict::Fail => Self::Fail,
        }
    }
}

impl Recv {
    fn into_options(self, grants: BTreeMap<String, Grant>, output: Option<File>) -> ReceiveOptions {
        let default = ReceiveOptions::default();
        ReceiveOptions {
            dir: self.dir.unwrap_or_default(),
            output: output.map(Arc::new),
            grants,
            listen: self.listen.unwrap_or(default.listen),
            name: self.name.unwrap_or_else(machine::name),
            announce: self.announce.unwrap_or(!self.open) && !self.hidden,
            once: self.once || self.stdout,
            open: self.open,
            ask: self.ask,
            on_conflict: self.on_conflict.map(OnConflict::from),
            update: self.allow_update,
            mirror: self.allow_mirror,
            max_delete: self.max_delete,
            links_outside: self.allow_links_outside,
            sync: !self.no_sync,
            max_sessions: self.max_sessions.map_or(default.max_sessions, usize::from),
            sums: self.sums,
            ..default
        }
    }
}

/// Receives, until Ctrl-C or the end of the only session.
pub(crate) fn run(mut args: Recv, loudness: &Loudness, settings: &Settings) -> Result<Code, Wrong> {
    // Before it is confined, and hears anybody.
    let commands = all_commands(&settings.runs, std::mem::take(&mut args.run)).map_err(Wrong)?;
    let starter = starter(CommandList {
        commands,
        // Where nothing is stored it has nothing to do.
        on_done: args.on_done.take().filter(|_| !args.stdout),
    });
    let grants = settings.grants();
    let mut warnings = Vec::new();
    let mut made = Ok(());
    if args.stdout {
        check_stdout()?;
    } else {
        if let Some(dir) = &args.dir {
            warnings.extend(folders::check(
                dir,
                &settings.source("dir", dir.as_os_str()),
            )?);
        } else {
            match folders::downloads()? {
                Ok(dir) => args.dir = Some(dir),
                Err(error) => made = Err(error),
            }
        }
        for (name, grant) in &grants {
            if let Some(dir) = &grant.dir {
                warnings.extend(folders::check(dir, &format!("[peer.{name}]"))?);
            }
        }
    }
    let task = match args.stdout {
        true => Task::ReceiveStream,
        false => Task::Receive,
    };
    let words = ui::OutputOptions {
        only_stderr: args.stdout,
        ..loudness.settings(task.hints())
    };
    let ui = Ui::new(args.events.with(words));
    if loudness.is_very_verbose() {
        debug::show(&ui);
    }
    let cancel = Cancel::new();
    let output = args.stdout.then(stdout).transpose();
    warnings.iter().for_each(|text| ui.warn(text));
    let ready = made.and(output).and_then(|output| {
        let mut options = args.into_options(grants, output);
        options.starter = starter?;
        prepare(options, loudness.is_verbose(), &ui, &cancel)
    });
    // Threads that were there before would not be confined.
    ui.start();
    let watched = signals::watch(&ui, &cancel);
    let result = watched.and(ready).and_then(|(receiver, words)| {
        // Scripts read the first lines.
        ui.say(words);
        ui.tell_times();
        let progress: Arc<dyn Progress> = Arc::clone(&ui) as _;
        receiver.run(&progress, &cancel)
    });
    Ok(conclude(&ui, task, result, &cancel))
}

// None where it would have nothing to start.
fn starter(list: CommandList) -> xfer::Result<Option<Arc<CommandStarter>>> {
    if list.is_empty() {
        return Ok(None);
    }
    let launched = CommandStarter::launch(list);
    let launched = launched.map_err(|source| Error::Starter { source })?;
    Ok(Some(Arc::new(launched)))
}

// What is in files does things to a terminal, and helps nobody there.
fn check_stdout() -> Result<(), Wrong> {
    match std::io::stdout().is_terminal() {
        true => Err(Wrong(
            "standard output is a terminal: add '> FILE', or '| PROGRAM'".to_owned(),
        )),
        false => Ok(()),
    }
}

fn stdout() -> xfer::Result<File> {
    stream::stdout().map_err(|e| Error::file(Action::WriteOutput, "standard output", e))
}

// A receiver that listens and has given up what it does not need, and what is to be said then.
fn prepare(
    options: ReceiveOptions,
    verbose: bool,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<(Receiver, Vec<Line>)> {
    // None where nothing is stored.
    let dir = match options.output {
        Some(_) => None,
        None => Some(check(&options.dir)?),
    };
    let mut of_peers = BTreeMap::new();
    for (name, grant) in options.grants.iter().filter(|_| dir.is_some()) {
        if let Some(dir) = &grant.dir {
            of_peers.insert(name.clone(), check(dir)?);
        }
    }
    let open = options.open;
    let person = TerminalPrompt::at(ui, cancel, None);
    if options.ask && !person.can_decide() {
        let text = "There is no terminal to ask on: with --ask, every offer will be declined.";
        ui.warn(text);
    }
    let may_replace = matches!(options.on_conflict, None | Some(OnConflict::Replace));
    // Nothing is replaced where nothing is stored.
    let stores = options.output.is_none();
    if stores && options.mirror && !may_replace {
        let text = "--allow-mirror does nothing beside this --on-conflict: a mirror replaces what \
                    has changed.";
        ui.warn(text);
    } else if stores && options.update && !may_replace {
        ui.warn("--allow-update does nothing beside this --on-conflict.");
    }
    let mut grants = options.grants.values();
    let may = |grant: &Grant| grant.may_update == Some(true) || grant.may_mirror == Some(true);
    let others_may = options.update || options.mirror || grants.any(may);
    if stores && options.on_conflict == Some(OnConflict::Replace) && !others_may {
        let text = "This --on-conflict lets only you yourself on this machine replace what is \
                    here; for other machines, add --allow-update.";
        ui.warn(text);
    }
    let device = machine::device()?;
    for stranger in strangers(&options.grants, &device.peers.list()?) {
        ui.warn(&stranger);
    }
    let receiver = Receiver::bind(&device, options, person)?;
    let data_dir = machine::data_dir();
    let folders = [dir.as_ref(), data_dir.as_ref()].into_iter().flatten();
    let folders: Vec<&Path> = folders.chain(of_peers.values()).map(|d| &**d).collect();
    let confined = confine(&folders);
    let mut words = welcome(receiver.local_addr(), dir.as_deref(), open);
    words.extend(of_peers.iter().map(|(name, dir)| {
        let text = format!("What {name} sends goes into {}", dir.display());
        Line::Result(text)
    }));
    if verbose {
        words.push(Line::Talk(describe(&confined, &folders)));
    }
    Ok((receiver, words))
}

// Those whom something is granted to in vain, as a mistyped name would have it.
fn strangers(grants: &BTreeMap<String, Grant>, known: &[Known]) -> Vec<String> {
    let is_known = |name: &String| known.iter().any(|k| k.name == *name);
    let strangers = grants.keys().filter(|name| !is_known(name));
    strangers
        .map(|name| {
            format!(
                "Nobody is known here as {name}, of whom the settings speak; `xfer peers` shows \
                 who is."
            )
        })
        .collect()
}

/// What is said of being confined, with those folders to write to.
pub(super) fn describe(confined: &Confined, folders: &[&Path]) -> String {
    let folders = folders.iter().map(|dir| dir.display().to_string());
    let only = folders.collect::<Vec<_>>().join(" and ");
    match confined {
        Confined::Fully => {
            format!("Confined: it can change files only in {only}, and open no connection.")
        }
        Confined::Partly(what) => {
            format!("Confined in part: it can change files only in {only}, but {what}.")
        }
        Confined::Not(why) => format!("Not confined: {why}."),
    }
}

// The whole path of a folder to receive into. Before anything is made or bound, so that a mistake
// leaves nothing behind.
fn check(dir: &Path) -> xfer::Result<PathBuf> {
    let error = |source| Error::file(Action::ReceiveInto, dir, source);
    if dir.metadata().map_err(error)?.is_dir() {
        dir.canonicalize().map_err(error)
    } else {
        Err(error(std::io::ErrorKind::NotADirectory.into()))
    }
}

// Scripts read the first line: it stays as it is.
fn welcome(addr: SocketAddr, dir: Option<&Path>, open: bool) -> Vec<Line> {
    let place = dir.map_or_else(
        || "to standard output".to_owned(),
        |dir| format!("into {}", dir.display()),
    );
    let mut lines = vec![format!("Listening on {addr}, receiving {place}")];
    let flag = if open { " --open" } else { "" };
    lines.push(if addr.ip().is_loopback() {
        "On this machine, run:".to_owned()
    } else {
        "On the other machine, run:".to_owned()
    });
    for ip in machine::addresses(addr) {
        let at = SocketAddr::new(ip, addr.port());
        lines.push(format!("    xfer send{flag} FILE {at}"));
    }
    lines.into_iter().map(Line::Result).collect()
}
