//! `xfer recv`: receives files into a folder.
//!
//! Must not receive: it makes plain options of the arguments, and the library does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use xfer::Error;
use xfer::engine::{Cancel, ReceiveOptions, Receiver};
use xfer::outcome::{Role, Summary};
use xfer::progress::Progress;

use super::exit::{Code, conclude};
use super::{Loudness, here, hints, parse_name, signals, target};
use crate::ui::{Line, Ui};

const EXAMPLES: &str = "\
Examples:
  xfer recv                           into the current folder, until Ctrl-C
  xfer recv --dir ~/Downloads --once  one session, and its exit code
  xfer recv --open                    from anyone on a network that you trust
  xfer recv --listen 127.0.0.1:0      only from this machine, on a free port

Without --open, only you yourself on this same machine are let in.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Recv {
    /// The folder to receive into; it must exist
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Where to listen; port 0 takes a free one [default: 9090, on all addresses]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = target::listen)]
    listen: Option<SocketAddr>,

    /// End with the first session, and with its exit code
    #[arg(long)]
    once: bool,

    /// Receive from anyone who sends with --open; for networks that you trust
    #[arg(long)]
    open: bool,

    /// Store links that lead out of the folder, too; without this they are refused
    #[arg(long)]
    allow_links_outside: bool,

    /// Leave it to the system when files are brought to disk; faster, but a power loss may take
    /// what was said to be done
    #[arg(long)]
    no_sync: bool,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
}

impl Recv {
    fn into_options(self) -> ReceiveOptions {
        let default = ReceiveOptions::default();
        ReceiveOptions {
            dir: self.dir,
            listen: self.listen.unwrap_or(default.listen),
            name: self.name.unwrap_or_else(here::name),
            once: self.once,
            open: self.open,
            links_outside: self.allow_links_outside,
            sync: !self.no_sync,
            ..default
        }
    }
}

/// Receives, until Ctrl-C or the end of the only session.
pub(crate) fn run(args: Recv, loudness: &Loudness) -> Code {
    let ui = Ui::start(loudness.settings(|error| hints::for_error(error, Role::Receiver)));
    let cancel = Cancel::new();
    signals::watch(&ui, &cancel);
    let result = receive(args.into_options(), &ui, &cancel);
    conclude(&ui, Role::Receiver, result, &cancel)
}

fn receive(
    options: ReceiveOptions,
    ui: &Arc<Ui>,
    cancel: &Cancel,
) -> xfer::Result<Option<Summary>> {
    check(&options.dir)?;
    let (dir, open) = (options.dir.clone(), options.open);
    let receiver = Receiver::bind(&here::identity()?, options)?;
    ui.say(welcome(receiver.local_addr(), &dir, open));
    let progress: Arc<dyn Progress> = Arc::clone(ui) as _;
    receiver.run(&progress, cancel)
}

// Before anything is made or bound, so that a mistake leaves nothing behind.
fn check(dir: &Path) -> xfer::Result<()> {
    let error = |source| Error::file("receive into", dir, source);
    if dir.metadata().map_err(error)?.is_dir() {
        Ok(())
    } else {
        Err(error(std::io::ErrorKind::NotADirectory.into()))
    }
}

// Scripts read the first line: it stays as it is.
fn welcome(addr: SocketAddr, dir: &Path, open: bool) -> Vec<Line> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mut lines = vec![format!(
        "Listening on {addr}, receiving into {}",
        dir.display()
    )];
    let flag = if open { " --open" } else { "" };
    lines.push(match (open, addr.ip().is_loopback()) {
        (true, false) => "On the other machine, run:".to_owned(),
        (true, true) => "On this machine, run:".to_owned(),
        (false, _) => "On this machine, as the same user, run:".to_owned(),
    });
    for ip in here::addresses(addr) {
        let at = SocketAddr::new(ip, addr.port());
        lines.push(format!("    xfer send{flag} FILE {at}"));
    }
    if !open {
        let text = "To receive from other machines, on a network that you trust: xfer recv --open";
        lines.push(text.to_owned());
    }
    lines.into_iter().map(Line::Result).collect()
}
