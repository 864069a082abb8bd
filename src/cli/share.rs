//! `xfer share`: lets other machines fetch files and folders.
//!
//! Must not send: it turns arguments into options, and the library does the rest.

use std::io::{ErrorKind, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use xfer::Error;
use xfer::model::error::Action;
use xfer::model::progress::Progress;
use xfer::sys::confine::confine;
use xfer::sys::name::canonical;
use xfer::transfer::{Cancel, DEFAULT_PORT, ReceiveOptions, Receiver, SharedFiles};

use super::announcing::Announcing;
use super::arguments::{AtEnd, Events, Loudness, Wrong, parse_name};
use super::exit::{Code, conclude};
use super::hints::Task;
use super::local::{self, AttendedPrompt, LocalHost, LocalService, ReceiverFacts};
use super::settings::Settings;
#[cfg(feature = "web")]
use super::web::PageArgs;
use super::{confined, debug, filter, folders, machine, signals, size, target};
use crate::ui::{self, CodeFor, Line, TerminalPrompt, Ui, quoted};

const EXAMPLES: &str = "\
Examples:
  xfer share photos                 until Ctrl-C; on the other machine: xfer get laptop
  xfer share --once film.mkv        exit after the first transfer
  xfer share --for 1h docs notes.txt
  xfer share --exclude '*.tmp' work leave out some of it

Others can only read. Paired machines that may fetch (`xfer peers`) need no code,
and neither do you on this machine. Any other machine pairs when it first
fetches: a code appears here, and the person there enters it. Browsers need the
address that is printed, which has a secret in it, new for each run.";

/// A heading of the help.
const NETWORK: &str = "Network";

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", filter::about_sharing()),
)]
pub(crate) struct ShareArguments {
    /// Files and folders to share
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// Exit after the first transfer, with its exit code
    ///
    /// Dry runs and lists do not count. A machine that loses the connection has 90 seconds to
    /// come back.
    #[arg(long)]
    once: bool,

    /// Exit after this time, such as 30m, 1h or 2d
    ///
    /// Transfers that are running then still end.
    #[arg(long = "for", value_name = "TIME", value_parser = size::duration)]
    lasts: Option<Duration>,

    /// Let anyone fetch who runs `xfer get --open`
    ///
    /// Neither side checks who the other is. Use it only on a network that you trust.
    #[arg(long)]
    open: bool,

    /// Port or address to listen on [default: 9090, or a free port if that is taken]
    #[arg(long, help_heading = NETWORK, value_name = "[ADDR:]PORT", value_parser = target::listen)]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    announcing: Announcing,

    /// Most transfers at once; others have to try again later [default: 64]
    #[arg(long, help_heading = NETWORK, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: Option<u16>,

    #[command(flatten)]
    filter: filter::Choice,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    #[cfg(feature = "web")]
    #[command(flatten)]
    page: PageArgs,

    #[command(flatten)]
    at_end: AtEnd,

    #[command(flatten)]
    events: Events,
}

/// Shares until Ctrl-C, or until it is to end.
pub(crate) fn run(
    args: ShareArguments,
    loudness: &Loudness,
    settings: &Settings,
) -> Result<Code, Wrong> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        let why = "cannot share standard input; name files and folders";
        return Err(Wrong(why.to_owned()));
    }
    let lasts = args.lasts.is_some();
    let words = loudness.settings(Task::Share.hints());
    let ui = Ui::new(args.events.with(words));
    args.at_end.prepare(&ui);
    if loudness.is_very_verbose() {
        debug::show(&ui);
    }
    let cancel = Cancel::new();
    let ready = prepare(args, settings, loudness.is_verbose(), &ui, &cancel);
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
    if lasts && matches!(result, Ok(None)) && !cancel.is_cancelled() {
        ui.say([Line::Talk("Time is up.".to_owned())]);
    }
    Ok(conclude(&ui, Task::Share, result, &cancel))
}

// A listening, confined share, and the lines that announce it.
fn prepare(
    args: ShareArguments,
    settings: &Settings,
    verbose: bool,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<(Receiver, Vec<Line>, Option<LocalHost>)> {
    let default = ReceiveOptions::default();
    let device = machine::device()?;
    let files = SharedFiles::open(&device, &args.paths, &args.filter.into());
    let files = files.map_err(|error| match error {
        Error::File {
            action: Action::Send,
            path,
            source,
        } => Error::file(Action::Share, path, source),
        error => error,
    })?;
    if args.paths.iter().any(|path| folders::is_own_home(path)) {
        ui.warn(
            "You share your whole home folder, even .ssh and .config. To share less, name folders \
             in it.",
        );
    }
    for path in files.roots().left_out() {
        let path = path.to_path_buf();
        ui.warn(&format!(
            "Not shared: {}",
            ui::sentence(&Error::Own { path })
        ));
    }
    let mut options = ReceiveOptions {
        listen: args.listen.unwrap_or(default.listen),
        name: args.name.unwrap_or_else(machine::name),
        announce: args.announcing.is_on(args.open),
        once: args.once,
        lasts: args.lasts,
        open: args.open,
        max_sessions: args.max_sessions.map_or(default.max_sessions, usize::from),
        #[cfg(feature = "web")]
        web: Some(args.page.options()?),
        ..default
    };
    #[cfg(feature = "web")]
    let page = options.web.clone();
    let name = options.announce.then(|| options.name.clone());
    let terminal = TerminalPrompt::of_share(ui, cancel);
    let person = AttendedPrompt::new(terminal, CodeFor::Fetching, cancel);
    let bind = |options| Receiver::of_share(&device, options, Arc::clone(&files), person.clone());
    let mut receiver = bind(options.clone());
    let is_taken = |error: &Error| matches!(error, Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse);
    // The setting is meant for receivers, one of which may be running already.
    let is_chosen = args.listen.is_some() && settings.get("listen").is_none();
    if !is_chosen && receiver.as_ref().is_err_and(is_taken) {
        options.listen.set_port(0);
        receiver = bind(options);
    }
    let receiver = receiver.map_err(local::explained)?;
    let data_dir = machine::data_dir();
    let facts = ReceiverFacts::of_this(receiver.local_addr(), None, LocalService::Share);
    let host = (data_dir.as_ref()).and_then(|dir| LocalHost::bind(dir, &facts));
    let folders: Vec<&Path> = data_dir.iter().map(|dir| &**dir).collect();
    let shared = match &args.paths[..] {
        [one] => shown(one),
        [first, second] => format!("{} and {}", shown(first), shown(second)),
        [first, rest @ ..] => format!("{} and {} more", shown(first), rest.len()),
        [] => String::new(),
    };
    // Once it is confined, it may not ask the system for routes.
    #[cfg(feature = "web")]
    let page_lines = page.map_or_else(Vec::new, |options| {
        let addr = receiver.local_addr();
        PageArgs::tell(ui, &options, addr);
        args.page.lines(&options, addr)
    });
    #[cfg(not(feature = "web"))]
    let page_lines = Vec::new();
    let told = ShareFacts {
        shared: &shared,
        name: name.as_deref(),
        open: args.open,
        page: page_lines,
        verbose,
    };
    let mut words = welcome(receiver.local_addr(), told);
    let how = confine(&folders);
    if let Some(host) = &host {
        host.start(facts, &person);
    }
    if verbose {
        words.push(Line::Talk(confined::describe(&how, &folders)));
    }
    Ok((receiver, words, host))
}

/// A path as it was typed; by the name that others see where that has none, as `.` does.
fn shown(path: &Path) -> String {
    let named = match path.file_name() {
        Some(_) => None,
        None => canonical(path).ok(),
    };
    let name = named.as_deref().and_then(Path::file_name);
    name.map_or(path.as_os_str(), |name| name)
        .display()
        .to_string()
}

/// What a share says of itself when it listens.
struct ShareFacts<'a> {
    shared: &'a str,
    /// What others find it by, if it says that.
    name: Option<&'a str>,
    open: bool,
    /// What is said of its page for browsers.
    page: Vec<Line>,
    verbose: bool,
}

// Scripts read the first line: it stays as it is.
fn welcome(addr: SocketAddr, told: ShareFacts<'_>) -> Vec<Line> {
    let ShareFacts {
        shared,
        name,
        open,
        page,
        verbose,
    } = told;
    let flag = if open { " --open" } else { "" };
    let is_here = addr.ip().is_loopback();
    let mut lines = vec![
        format!("Listening on {addr}, sharing {shared}"),
        match is_here {
            true => "On this machine, run:".to_owned(),
            false => "On the other machine, run:".to_owned(),
        },
    ];
    let addresses = machine::addresses(addr);
    let mut addresses = addresses.iter().map(|ip| address(*ip, addr.port()));
    let first = addresses.next().unwrap_or_default();
    match name.filter(|_| !is_here) {
        Some(name) => {
            lines.push(format!("    xfer get{flag} {}", quoted(name)));
            lines.push(format!("or  xfer get{flag} {first}"));
        }
        None => lines.push(format!("    xfer get{flag} {first}")),
    }
    let others: Vec<_> = addresses.filter(|_| verbose).collect();
    if !others.is_empty() {
        lines.push(format!("Other addresses: {}", others.join(", ")));
    }
    let mut lines: Vec<_> = lines.into_iter().map(Line::Result).collect();
    lines.extend(page);
    if open {
        let text = "Warning: anyone on this network can fetch these files (--open).";
        lines.push(Line::Talk(text.to_owned()));
    }
    if std::io::stderr().is_terminal() {
        lines.push(Line::Talk("Press Ctrl-C to stop.".to_owned()));
    }
    lines
}

/// An address as an argument.
fn address(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) if port == DEFAULT_PORT => ip.to_string(),
        ip => quoted(&SocketAddr::new(ip, port).to_string()),
    }
}
