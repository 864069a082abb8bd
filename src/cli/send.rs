//! `xfer send`: sends files and folders to a receiver.
//!
//! Must not send: it makes plain options of the arguments, and the library does.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use xfer::model::digest::Algorithm;
use xfer::model::outcome::Wish;
use xfer::model::relpath::RelPath;
use xfer::model::surplus::MaxDelete;
use xfer::sys::name::from_system;
use xfer::sys::stream;
use xfer::transfer::{Compress, DialTarget, SendOptions, Stream};
use xfer::wire::limits::MAX_LANES;

use super::arguments::{CodeFrom, Events, Loudness, Wrong, parse_name};
use super::choose;
use super::dialer::Dialer;
use super::exit::Code;
use super::hints::Task;
use super::target::{looks_like_target, target};
use super::{filter, machine, names, size};
use crate::ui::safe;

const EXAMPLES: &str = "\
Examples:
  xfer send file.iso laptop               a file, to a machine of that name
  xfer send file.iso 192.168.0.90:9090    to an address, where a network blocks multicast
  xfer send photos/ notes.txt             lists the receivers that are here, to choose from
  xfer send --update photos desktop       replaces what has changed since
  xfer send --open big.img 192.168.0.90   to a receiver that takes from anyone
  xfer send --exclude target/ code pc     a folder without some of it
  xfer send *.log --to [fe80::1%eth0]     with the receiver apart from the files
  tar c . | xfer send - --as all.tar pc   what another program writes, as one file

If it is interrupted, run the same command again: it goes on where it stopped. Only standard input
cannot be read again: it has to come anew from its beginning.";

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", filter::ABOUT), override_usage = "xfer send [OPTIONS] <PATH>... [TARGET]\n       \
    xfer send [OPTIONS] <PATH>... --to <TARGET>")]
pub(crate) struct Send {
    /// Files and folders, or - for standard input alone; the last one is the target, unless --to
    /// names it: a name, HOST:PORT, or an IPv6 address, in brackets where a port follows. Without a
    /// target, in a terminal, the receivers that are here are listed
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath, add = names::files_and_receivers())]
    paths: Vec<OsString>,

    /// The receiver: the name of a machine, wherever it is now, or HOST:PORT or [IPV6]:PORT
    #[arg(long, value_name = "TARGET", add = names::receivers())]
    to: Option<String>,

    /// Wait for a receiver that is not there yet, until you press Ctrl-C
    #[arg(long)]
    wait: bool,

    /// The name of the file that standard input (-) becomes on the other side
    #[arg(long = "as", value_name = "NAME")]
    as_name: Option<OsString>,

    /// Send to whoever receives with --open; for networks that you trust
    #[arg(long)]
    open: bool,

    /// Replace files that the receiver has in another version: same size and time counts as the
    /// same, anything else is replaced, newer or not. The old version stands until the new one is
    /// whole, and only what differs travels. Takes `xfer recv --allow-update` on another machine;
    /// without it, the receiver declines before anything travels
    #[arg(long)]
    update: bool,

    /// As --update, and remove what is not here: when all else has been stored, in folders that are
    /// sent and could be read, but for what filters leave out. Takes `xfer recv --allow-mirror`
    #[arg(long)]
    mirror: bool,

    /// With --mirror: remove nothing at all where more would go, such as 500, or 25% of what is there
    /// [default: ask where more than ten and more than half would go]
    #[arg(long, value_name = "N", value_parser = size::max_delete)]
    max_delete: Option<MaxDelete>,

    /// Only say what would be done; nothing is made, changed or removed. Sizes and times decide:
    /// where content would be compared, it counts as another one
    #[arg(short = 'n', long, conflicts_with = "checksum")]
    dry_run: bool,

    /// With --update or --mirror: compare content where size and time are the same, too
    #[arg(long)]
    checksum: bool,

    /// What the content is verified with [default: sha256 where both processors have
    /// instructions for it, else blake3]
    #[arg(long, value_name = "HASH", value_enum)]
    hash: Option<Hash>,

    /// Whether to compress on the way: auto does where that makes it faster, by trial
    #[arg(long, value_name = "HOW", value_enum, default_value = "auto")]
    compress: Packing,

    /// How many connections carry data [default: one per core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    lanes: Option<u16>,

    /// How long to keep trying after a connection is lost [default: 60]
    #[arg(long, value_name = "SECONDS")]
    retry: Option<u32>,

    /// How much to send in a second at most, such as 20MB/s, 1.5M or 800KiB: K, M and G are powers
    /// of 1000, Ki, Mi and Gi of 1024 [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = size::rate)]
    limit: Option<u64>,

    #[command(flatten)]
    filter: filter::Choice,

    #[command(flatten)]
    code: CodeFrom,

    /// What this machine calls itself [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    #[command(flatten)]
    events: Events,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Packing {
    Auto,
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hash {
    Sha256,
    Blake3,
}

impl Send {
    /// Whether all that is named is to be sent, and somebody is there who can say where to.
    fn is_without_target(&self) -> bool {
        let is_file = |path: &OsString| {
            let is_target = path.to_str().is_some_and(looks_like_target);
            path != "-" && !is_target && Path::new(path).symlink_metadata().is_ok()
        };
        !self.events.are_told() && choose::can_choose() && self.paths.iter().all(is_file)
    }

    /// The options, but for the receiver where none is named.
    fn into_options(mut self) -> Result<(SendOptions, Option<DialTarget>), Wrong> {
        if self.checksum && !self.update && !self.mirror {
            return Err(Wrong("--checksum needs --update or --mirror".to_owned()));
        }
        let to = match self.to.take() {
            Some(text) => {
                let wrong = |why| Wrong(format!("--to '{}': {why}", safe(&text)));
                Some(target(&text).map_err(wrong)?)
            }
            None if self.is_without_target() => None,
            None => Some(last_as_target(&mut self.paths)?),
        };
        let stream = stream(&mut self.paths, self.as_name.as_deref())?;
        if stream.is_some() && (self.mirror || self.dry_run) {
            return Err(Wrong(
                "--mirror and --dry-run say nothing of standard input (-)".to_owned(),
            ));
        }
        let default = SendOptions::default();
        let options = SendOptions {
            paths: self.paths.into_iter().map(PathBuf::from).collect(),
            stream,
            wait: self.wait,
            name: self.name.unwrap_or_else(machine::name),
            open: self.open,
            algorithm: self.hash.map(|hash| match hash {
                Hash::Sha256 => Algorithm::Sha256,
                Hash::Blake3 => Algorithm::Blake3,
            }),
            wish: Wish {
                update: self.update || self.mirror,
                checksum: self.checksum,
                mirror: self.mirror,
                dry_run: self.dry_run,
            },
            max_delete: self.max_delete,
            compress: match self.compress {
                Packing::Auto => Compress::Auto,
                Packing::Zstd => Compress::Zstd,
                Packing::None => Compress::Never,
            },
            lanes: self.lanes.unwrap_or(default.lanes),
            retry: self
                .retry
                .map_or(default.retry, |seconds| Duration::from_secs(seconds.into())),
            filter: self.filter.into(),
            limit: self.limit,
            ..default
        };
        Ok((options, to))
    }
}

fn last_as_target(paths: &mut Vec<OsString>) -> Result<DialTarget, Wrong> {
    let last = paths.pop().unwrap_or_default();
    let shown = safe(&last);
    let text = last.to_str().unwrap_or_default();
    let is_target = looks_like_target(text);
    let is_file = !is_target && Path::new(&last).symlink_metadata().is_ok();
    if paths.is_empty() && is_target {
        return Err(Wrong(format!(
            "there is nothing to send to '{shown}': name a file or folder"
        )));
    }
    if paths.is_empty() {
        return Err(Wrong(format!(
            "the receiver is missing: where is '{shown}' to be sent?\n\n  \
             tip: xfer send '{shown}' NAME; in a terminal, xfer lists the receivers that are here"
        )));
    }
    if is_file {
        return Err(Wrong(format!(
            "the receiver seems to be missing: '{shown}' is a file or folder here\n\n  \
             tip: if it is the receiver's name as well, use --to '{shown}'"
        )));
    }
    target(text).map_err(|why| {
        Wrong(format!(
            "the last argument, '{shown}', is neither a receiver nor a file here: {why}"
        ))
    })
}

/// Standard input, where that is what is to be sent. It is no path any more then.
fn stream(paths: &mut Vec<OsString>, name: Option<&OsStr>) -> Result<Option<Stream>, Wrong> {
    if !paths.iter().any(|path| path == "-") {
        return match name {
            Some(_) => Err(Wrong(
                "--as names what comes from standard input: - is missing".to_owned(),
            )),
            None => Ok(None),
        };
    }
    if paths.len() > 1 {
        return Err(Wrong(
            "standard input (-) is sent alone: send the rest by another command\n\n  \
             tip: a file that is called '-' is './-'"
                .to_owned(),
        ));
    }
    let name = name.ok_or_else(|| {
        Wrong(
            "standard input (-) has no name to give it there: add --as NAME\n\n  \
             tip: a file that is called '-' is './-'"
                .to_owned(),
        )
    })?;
    let wrong = |why: &dyn Display| Wrong(format!("--as '{}': {why}", safe(name)));
    let path = RelPath::new(from_system(name)).map_err(|why| wrong(&why))?;
    if path.depth() != 1 {
        return Err(wrong(&"it is to be one name, without '/'"));
    }
    if std::io::stdin().is_terminal() {
        return Err(Wrong(
            "standard input is a terminal: - sends what another program writes to it".to_owned(),
        ));
    }
    let from = stream::stdin();
    let from = from.map_err(|why| Wrong(format!("standard input cannot be read: {why}")))?;
    if stream::is_closed(&from) {
        return Err(Wrong(
            "standard input is closed: - sends what another program writes to it".to_owned(),
        ));
    }
    paths.clear();
    Ok(Some(Stream {
        name: path,
        from: Arc::new(from),
    }))
}

/// Sends, and tries again for a while when the connection is lost.
pub(crate) fn run(args: Send, loudness: &Loudness) -> Result<Code, Wrong> {
    let task = match args.paths.iter().any(|path| path == "-") {
        true => Task::SendStream,
        false => Task::Send,
    };
    let dialer = Dialer::new(task, loudness, Some(&args.events), &args.code);
    let (mut options, to) = args.into_options()?;
    let ui = Arc::clone(&dialer.ui);
    Ok(dialer.run(|device, person, progress, cancel| {
        options.to = match to {
            Some(to) => to,
            None => choose::receiver(&ui, cancel, &device.peers)?,
        };
        xfer::transfer::send(device, &options, person, progress, cancel).map(Some)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(paths: &[&str]) -> Result<(Vec<OsString>, DialTarget), String> {
        let mut paths: Vec<_> = paths.iter().map(OsString::from).collect();
        let target = last_as_target(&mut paths).map_err(|wrong| wrong.0)?;
        Ok((paths, target))
    }

    #[test]
    fn the_last_argument_is_the_target() {
        let (paths, target) = split(&["a", "b", "desktop:9091"]).unwrap();
        assert_eq!(paths, ["a", "b"]);
        let host = "desktop".to_owned();
        assert_eq!(target, DialTarget::Host { host, port: 9091 });
    }

    #[test]
    fn standard_input_goes_alone_and_has_a_name() {
        let wrong = |paths: &[&str], name: Option<&str>| {
            let mut paths = paths.iter().map(OsString::from).collect();
            stream(&mut paths, name.map(OsStr::new)).unwrap_err().0
        };
        assert!(wrong(&["-"], None).contains("--as NAME"));
        assert!(wrong(&["-", "a"], Some("x")).contains("alone"));
        assert!(wrong(&["a"], Some("x")).contains("- is missing"));
        for name in ["", "a/b", "..", ".xfer"] {
            assert!(wrong(&["-"], Some(name)).starts_with("--as '"), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let wrong = |paths| split(paths).unwrap_err();
        assert!(wrong(&["Cargo.toml"]).starts_with("the receiver is missing"));
        assert!(wrong(&["10.0.0.1"]).starts_with("there is nothing to send"));
        assert!(wrong(&["src", "Cargo.toml"]).starts_with("the receiver seems to be missing"));
        assert!(wrong(&["src", "no/such"]).contains("neither"));
        assert!(wrong(&["src", "\x1b"]).contains("'\\x1b'"));
    }
}
