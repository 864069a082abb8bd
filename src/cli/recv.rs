//! `xfer recv`: receives files into a folder.
//!
//! Must not receive: it turns arguments into options, and the library receives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use xfer::Error;
use xfer::model::error::Action;
use xfer::model::outcome::OnConflict;
use xfer::model::progress::Progress;
use xfer::model::prompt::Prompt as _;
use xfer::model::surplus::MaxDelete;
use xfer::net::Known;
use xfer::sys::commands::{CommandList, CommandStarter, ListedCommand};
use xfer::sys::confine::confine;
use xfer::sys::host::FIREWALL_ASKS;
use xfer::sys::name::canonical;
use xfer::sys::stream;
use xfer::transfer::{Cancel, Grant, ReceiveOptions, Receiver};

use super::announcing::Announcing;
use super::arguments::{AtEnd, Events, Loudness, Wrong, parse_name};
use super::conflict::Conflict;
use super::exit::{Code, conclude};
use super::folders::StoredBy;
use super::hints::Task;
use super::local::{self, AttendedPrompt, LocalHost, LocalService, ReceiverFacts};
use super::settings::{Settings, all_commands, parse_run};
#[cfg(feature = "web")]
use super::web::PageArgs;
use super::welcome::Welcome;
use super::{confined, debug, folders, machine, signals, size, target};
use crate::ui::{self, CodeFor, Line, TerminalPrompt, Ui};

const EXAMPLES: &str = "\
Examples:
  xfer recv                        into your Downloads folder, until Ctrl-C
  xfer recv --dir ~/inbox --once   one transfer, then exit
  xfer recv --ask                  ask before each transfer
  xfer recv --allow-update         let paired machines replace files
  xfer recv --open                 from anyone on a network that you trust
  xfer recv --stdout | tar x       one file, to standard output
  xfer recv --listen 127.0.0.1:0   from this machine only, on a free port

Paired machines can send without a code, and so can you on this machine. Any
other machine pairs when it first sends: a code appears here, and the sender
enters it. `xfer peers` lists the paired machines.";

/// Headings of the help.
const EXISTING: &str = "Existing files";
const AFTER: &str = "After a transfer";
const NETWORK: &str = "Network";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Recv {
    /// Folder to receive into; it must exist [default: your Downloads folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Port or address to listen on [default: 9090, on all addresses]
    ///
    /// Port 0 takes a free port.
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = target::listen)]
    listen: Option<SocketAddr>,

    /// Exit after the first transfer, with its exit code
    ///
    /// Dry runs do not count. A sender that loses the connection has 90 seconds to come back.
    #[arg(long)]
    once: bool,

    /// Write one file to standard output, then exit
    ///
    /// Takes a single file, or what `xfer send -` sends, and stores nothing. Every chunk is
    /// verified before it is written; the exit code says whether the file is complete.
    // A folder in the settings does not conflict: it is meant for other runs.
    #[arg(long, conflicts_with_all = ["json", "dir", "sums", "on_conflict", "allow_update", "allow_mirror", "allow_links_outside", "rename_unsafe"])]
    stdout: bool,

    /// Receive from anyone who sends with --open
    ///
    /// Neither side checks who the other is. Use it only on a network that you trust. Nothing is
    /// ever replaced.
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    announcing: Announcing,

    /// Ask before each transfer
    #[arg(long)]
    ask: bool,

    /// What to do when a file of that name exists [default: replace]
    ///
    /// To replace files, other machines also need --allow-update.
    #[arg(long, help_heading = EXISTING, value_name = "WHAT", value_enum)]
    on_conflict: Option<Conflict>,

    /// Let paired machines replace files (xfer send --update)
    ///
    /// Without it, only you on this machine can. Machines let in by --open never can.
    #[arg(long, help_heading = EXISTING)]
    allow_update: bool,

    /// Let paired machines replace and delete files (xfer send --mirror)
    ///
    /// They can delete only in the folders that they send.
    #[arg(long, help_heading = EXISTING)]
    allow_mirror: bool,

    /// With --allow-mirror: delete nothing if more would go, such as 500 or 25%
    /// [default: ask if more than 10 and more than half would go]
    #[arg(long, help_heading = EXISTING, value_name = "N", value_parser = size::max_delete)]
    max_delete: Option<MaxDelete>,

    /// Store links that point outside the folder too
    ///
    /// Without it, xfer refuses them.
    #[arg(long, help_heading = EXISTING)]
    allow_links_outside: bool,

    /// Store files whose names Windows does not allow, under other names (Windows only)
    ///
    /// Such as 'a:b.txt', 'aux.c', or a name that ends with a dot. Without it, xfer refuses them.
    /// Sent back, they have their own names again.
    #[arg(long, help_heading = EXISTING)]
    rename_unsafe: bool,

    /// Do not wait until files are on disk
    ///
    /// Faster, but a power failure can lose files that xfer reported as received.
    #[arg(long)]
    no_sync: bool,

    /// Most transfers at once; others have to try again later [default: 64]
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: Option<u16>,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    /// Append the SHA-256 of each file received to FILE
    ///
    /// `sha256sum -c FILE` in the receive folder checks them. If a file is received again, its
    /// earlier line becomes a comment. Larger files are read once more for this. If a line cannot
    /// be written, --once exits with 3.
    #[arg(long, help_heading = AFTER, value_name = "FILE")]
    sums: Option<PathBuf>,

    /// Offer a command to other machines, such as disk='df -h'
    ///
    /// Machines that you allow (`xfer peers --allow run NAME`) can run it with `xfer run`. Quotes
    /// keep words together; no shell is involved. `xfer config --help` shows how to allow
    /// arguments and set limits.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = parse_run)]
    run: Vec<(String, ListedCommand)>,

    /// Run a shell command after each transfer that stored something [default: nothing]
    ///
    /// Runs one at a time, for up to an hour each. The environment has XFER_PEER, XFER_INTO,
    /// XFER_OUTCOME (complete, partial or failed), XFER_STORED, XFER_FAILED and XFER_BYTES.
    /// Standard input has a line of JSON for each file stored. If the command fails, xfer prints a
    /// warning and goes on.
    #[arg(long, help_heading = AFTER, value_name = "COMMAND")]
    on_done: Option<String>,

    /// Pair a new machine with the receiver that is running on this machine
    ///
    /// For a receiver without a terminal, such as a service: its codes appear in this terminal
    /// until you press Ctrl-C. The receiver keeps running. If several are running, --listen PORT
    /// says which.
    #[arg(long, help_heading = NETWORK, conflicts_with_all = ["dir", "once", "stdout", "open", "hidden", "ask", "sums", "run", "on_done"])]
    pair: bool,

    /// Also take files from browsers, on a page whose address it prints
    ///
    /// For phones and machines without xfer. The address has a secret in it, new for each run;
    /// anyone who knows it can send files, and can neither see nor replace what is there. Browsers
    /// use plain HTTP: others on the network can read along.
    #[cfg(feature = "web")]
    #[arg(long, help_heading = NETWORK, conflicts_with = "stdout")]
    web: bool,

    #[cfg(feature = "web")]
    #[command(flatten)]
    page: PageArgs,

    #[command(flatten)]
    at_end: AtEnd,

    #[command(flatten)]
    events: Events,
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
            announce: self.announcing.is_on(self.open),
            once: self.once || self.stdout,
            open: self.open,
            ask: self.ask,
            on_conflict: self.on_conflict.map(OnConflict::from),
            update: self.allow_update,
            mirror: self.allow_mirror,
            max_delete: self.max_delete,
            links_outside: self.allow_links_outside,
            rename_unsafe: self.rename_unsafe,
            sync: !self.no_sync,
            max_sessions: self.max_sessions.map_or(default.max_sessions, usize::from),
            sums: self.sums,
            ..default
        }
    }
}

/// Receives until Ctrl-C, or until the only session ends.
pub(crate) fn run(mut args: Recv, loudness: &Loudness, settings: &Settings) -> Result<Code, Wrong> {
    if args.pair {
        return local::attend(args.listen.map(|addr| addr.port()), loudness);
    }
    // Started before this process is confined and listens.
    let commands = all_commands(&settings.runs, std::mem::take(&mut args.run)).map_err(Wrong)?;
    let names = commands.keys().cloned().collect::<Vec<_>>();
    let starter = starter(CommandList {
        commands,
        // It runs only after something was stored.
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
                StoredBy::Senders,
            )?);
        } else {
            match folders::downloads()? {
                Ok(dir) => args.dir = Some(dir),
                Err(error) => made = Err(error),
            }
        }
        for (name, grant) in &grants {
            if let Some(dir) = &grant.dir {
                warnings.extend(folders::check(
                    dir,
                    &format!("[peer.{name}]"),
                    StoredBy::Senders,
                )?);
            }
        }
    }
    let (task, stream) = match args.stdout {
        true => (Task::ReceiveStream, Task::ReceiveStream),
        false => (Task::Receive, Task::ReceivedStream),
    };
    let words = ui::OutputOptions {
        only_stderr: args.stdout,
        stream_hint: stream.hints(),
        ..loudness.settings(task.hints())
    };
    let ui = Ui::new(args.events.with(words));
    args.at_end.prepare(&ui);
    if loudness.is_very_verbose() {
        debug::show(&ui);
    }
    let cancel = Cancel::new();
    let output = args.stdout.then(stdout).transpose();
    warnings.iter().for_each(|text| ui.warn(text));
    #[cfg(feature = "web")]
    let page = args.web.then(|| std::mem::take(&mut args.page));
    let ready = made.and(output).and_then(|output| {
        let mut options = args.into_options(grants, output);
        options.starter = starter?;
        #[cfg(feature = "web")]
        let page = match page {
            Some(page) => {
                options.web = Some(page.options()?);
                Some(page)
            }
            None => None,
        };
        let shown = ShownFacts {
            commands: &names,
            verbose: loudness.is_verbose(),
            #[cfg(feature = "web")]
            page,
        };
        prepare(options, shown, &ui, &cancel)
    });
    // Threads started before confinement would not be confined.
    ui.start();
    let watched = signals::watch(&ui, &cancel);
    let result = watched.and(ready).and_then(|(receiver, words, _host)| {
        // Scripts read the first lines.
        ui.say(words);
        ui.tell_times();
        let progress: Arc<dyn Progress> = Arc::clone(&ui) as _;
        receiver.run(&progress, &cancel)
    });
    Ok(conclude(&ui, task, result, &cancel))
}

// None if there is nothing to start.
fn starter(list: CommandList) -> xfer::Result<Option<Arc<CommandStarter>>> {
    if list.is_empty() {
        return Ok(None);
    }
    let launched = CommandStarter::launch(list);
    let launched = launched.map_err(|source| Error::Starter { source })?;
    Ok(Some(Arc::new(launched)))
}

// A file's bytes would control the terminal.
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

// What is said of a receiver beside its options.
struct ShownFacts<'a> {
    commands: &'a [String],
    verbose: bool,
    #[cfg(feature = "web")]
    page: Option<PageArgs>,
}

// A listening, confined receiver, and the lines that announce it.
fn prepare(
    options: ReceiveOptions,
    shown: ShownFacts<'_>,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<(Receiver, Vec<Line>, Option<LocalHost>)> {
    // None if nothing is stored.
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
    let name = options.announce.then(|| options.name.clone());
    let person = AttendedPrompt::new(
        TerminalPrompt::at(ui, cancel, None),
        CodeFor::Sending,
        cancel,
    );
    if options.ask && !person.can_decide() {
        let text = "--ask needs a terminal to ask on. Without one, xfer declines every transfer.";
        ui.warn(text);
    }
    let may_replace = matches!(options.on_conflict, None | Some(OnConflict::Replace));
    // Nothing is replaced if nothing is stored.
    let stores = options.output.is_none();
    if stores && options.mirror && !may_replace {
        let text = "--allow-mirror has no effect with this --on-conflict: a mirror has to \
                    replace files.";
        ui.warn(text);
    } else if stores && options.update && !may_replace {
        ui.warn("--allow-update has no effect with this --on-conflict.");
    }
    let mut grants = options.grants.values();
    let may = |grant: &Grant| grant.may_update == Some(true) || grant.may_mirror == Some(true);
    let others_may = options.update || options.mirror || grants.any(may);
    if stores && options.on_conflict == Some(OnConflict::Replace) && !others_may {
        let text = "With this --on-conflict, only you on this machine can replace files. To let \
                    paired machines do it, add --allow-update.";
        ui.warn(text);
    }
    let device = machine::device()?;
    for stranger in strangers(&options.grants, &device.peers.list()?) {
        ui.warn(&stranger);
    }
    #[cfg(feature = "web")]
    let page = shown.page.zip(options.web.clone());
    let receiver = Receiver::bind(&device, options, person.clone()).map_err(local::explained)?;
    let data_dir = machine::data_dir();
    let facts = ReceiverFacts::of_this(
        receiver.local_addr(),
        dir.as_deref(),
        LocalService::Receiver,
    );
    let host = (data_dir.as_ref()).and_then(|dir| LocalHost::bind(dir, &facts));
    let folders = [dir.as_ref(), data_dir.as_ref()].into_iter().flatten();
    let folders: Vec<&Path> = folders.chain(of_peers.values()).map(|d| &**d).collect();
    #[cfg(feature = "web")]
    let page = page.map(|(page, options)| {
        let addr = receiver.local_addr();
        PageArgs::tell(ui, &options, addr);
        page.lines(&options, addr)
    });
    let verbose = shown.verbose;
    let welcome = Welcome {
        addr: receiver.local_addr(),
        dir: dir.as_deref(),
        open,
        name: name.as_deref(),
        commands: shown.commands,
        #[cfg(feature = "web")]
        page: page.unwrap_or_default(),
        verbose,
    };
    // Once it is confined, it may not ask the system for routes.
    let mut words = welcome.lines();
    let how = confine(&folders);
    if let Some(host) = &host {
        host.start(facts, &person);
    }
    words.extend(of_peers.iter().map(|(name, dir)| {
        let text = format!("Files from {name} go into {}", dir.display());
        Line::Result(text)
    }));
    // Windows asks once. Who has paired machines has answered.
    let is_first = device.peers.list().is_ok_and(|known| known.is_empty());
    if FIREWALL_ASKS && is_first && !receiver.local_addr().ip().is_loopback() {
        let text = "If Windows asks, allow xfer on private networks.";
        words.push(Line::Talk(text.to_owned()));
    }
    if verbose {
        words.push(Line::Talk(confined::describe(&how, &folders)));
    }
    Ok((receiver, words, host))
}

// Warnings about machines in the settings that are not paired, as after a typo.
fn strangers(grants: &BTreeMap<String, Grant>, known: &[Known]) -> Vec<String> {
    let is_known = |name: &String| known.iter().any(|k| k.name == *name);
    let strangers = grants.keys().filter(|name| !is_known(name));
    strangers
        .map(|name| {
            format!(
                "The settings name {name}, which is not a paired machine. `xfer peers` lists \
                 those."
            )
        })
        .collect()
}

// The absolute path of a receive folder. Checked before anything is created or bound, so that a
// mistake leaves nothing behind.
pub(super) fn check(dir: &Path) -> xfer::Result<PathBuf> {
    let error = |source| Error::file(Action::ReceiveInto, dir, source);
    if dir.metadata().map_err(error)?.is_dir() {
        canonical(dir).map_err(error)
    } else {
        Err(error(std::io::ErrorKind::NotADirectory.into()))
    }
}
