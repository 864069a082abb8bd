//! `xfer send`: sends files and folders to a receiver.
//!
//! Must not send: it makes plain options of the arguments, and the library does.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum, ValueHint};
use xfer::model::outcome::Wish;
use xfer::model::relpath::RelPath;
use xfer::model::surplus::MaxDelete;
use xfer::net::Service;
use xfer::source::SentNames;
use xfer::sys::name::{SHELLS_EXPAND, from_system, with_slashes};
use xfer::sys::stream;
use xfer::transfer::{Compress, DialTarget, SendOptions, Stream};

use super::arguments::{AtEnd, CodeFrom, Events, Loudness, Wrong, parse_name};
use super::choose;
use super::dialer::Dialer;
use super::exit::Code;
use super::hints::Task;
use super::speed::{SPEED, Speed};
use super::target::{Place, looks_like_target, place, without_user};
use super::{filter, globs, machine, names, size};
use crate::ui::{quoted, safe};

const EXAMPLES: &str = "\
Examples:
  xfer send film.mkv laptop                 a file, to the machine named laptop
  xfer send photos notes.txt laptop         a folder and a file
  xfer send photos 192.168.0.90:9090        to an address
  xfer send photos laptop:2024/             into a folder there
  xfer send --as holiday photos laptop      under another name
  xfer send photos                          choose from the receivers found
  xfer send --update photos laptop          replace what has changed
  xfer send -n --mirror photos laptop       show what a mirror would do
  xfer send --exclude target/ code laptop   leave out some of it
  xfer send *.log --to '[fe80::1%eth0]'     name the receiver first or last
  tar c . | xfer send - --as all.tar laptop
                                            send standard input as one file

If a transfer stops, run the same command again to resume. A stream from
standard input cannot resume.";

/// Headings of the help.
const EXISTING: &str = "Existing files";

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", filter::ABOUT),
    override_usage = "xfer send [OPTIONS] <PATH>... [TARGET]\n       \
    xfer send [OPTIONS] <PATH>... --to <TARGET>"
)]
pub(crate) struct Send {
    /// Files and folders to send, then the receiver
    ///
    /// The receiver is a machine's name, HOST, HOST:PORT or '[IPV6]:PORT'. A folder below its
    /// receive folder can follow, as in laptop:photos/ or 192.168.0.90:9090:photos/; xfer makes it
    /// if it is missing. Digits alone are a port: laptop:2024/ is a folder, laptop:2024 is not.
    /// Without a receiver, in a terminal, xfer lists those it finds. A single - sends standard
    /// input.
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath, add = names::files_and_receivers())]
    paths: Vec<OsString>,

    /// The receiver: a machine's name, HOST:PORT or '[IPV6]:PORT'; :FOLDER can follow
    #[arg(long, value_name = "TARGET", add = names::receivers())]
    to: Option<String>,

    /// Wait for the receiver to appear
    ///
    /// Press Ctrl-C to stop waiting.
    #[arg(long)]
    wait: bool,

    /// Show what would be done, and change nothing
    ///
    /// Sizes and times decide: where xfer would compare content, the file counts as changed.
    #[arg(short = 'n', long, conflicts_with = "checksum")]
    dry_run: bool,

    /// Name of the single file or folder on the receiver; standard input (-) needs one
    #[arg(long = "as", value_name = "NAME")]
    as_name: Option<OsString>,

    /// Send to a receiver that runs with --open
    ///
    /// Neither side checks who the other is. Use it only on a network that you trust.
    #[arg(long)]
    open: bool,

    /// Replace files that differ
    ///
    /// A file of the same size and time counts as the same. Any other is replaced, newer or not.
    /// The old version stays until the new one is complete, and only the parts that differ are
    /// sent. The receiver must allow it: `xfer recv --allow-update`.
    #[arg(long, help_heading = EXISTING)]
    update: bool,

    /// Replace files that differ, and delete what this machine does not have
    ///
    /// Deletes only in the folders sent, after everything else is stored. What filters leave out
    /// stays. The receiver must allow it: `xfer recv --allow-mirror`.
    #[arg(long, help_heading = EXISTING)]
    mirror: bool,

    /// With --mirror: delete nothing if more would go, such as 500 or 25%
    /// [default: ask if more than 10 and more than half would go]
    #[arg(long, help_heading = EXISTING, value_name = "N", value_parser = size::max_delete)]
    max_delete: Option<MaxDelete>,

    /// Compare content even if size and time are the same
    ///
    /// Needs --update or --mirror.
    #[arg(long, help_heading = EXISTING)]
    checksum: bool,

    #[command(flatten)]
    filter: filter::Choice,

    #[command(flatten)]
    speed: Speed,

    /// Compress data on the way; auto does it where that is faster
    #[arg(long, help_heading = SPEED, value_name = "HOW", value_enum, default_value = "auto")]
    compress: Packing,

    #[command(flatten)]
    code: CodeFrom,

    /// Name of this machine, as others see it [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    #[command(flatten)]
    at_end: AtEnd,

    #[command(flatten)]
    events: Events,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Packing {
    Auto,
    Zstd,
    None,
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
        if !SHELLS_EXPAND {
            self.paths = globs::expanded(self.paths)?;
        }
        let to = match self.to.take() {
            Some(text) => {
                let wrong = |why| Wrong(format!("--to '{}': {why}", safe(&text)));
                Some(place(&text).map_err(wrong)?)
            }
            None if self.is_without_target() => None,
            None => Some(last_as_target(&mut self.paths)?),
        };
        let (to, folder) = match to {
            Some(Place { to, folder }) => (Some(to), folder),
            None => (None, None),
        };
        let name = self.as_name.as_deref().map(as_name).transpose()?;
        let stream = stream(&mut self.paths, name.as_ref(), folder.as_ref())?;
        if name.is_some() && self.paths.len() > 1 {
            return Err(Wrong(format!(
                "--as names one file or folder, and {} are given",
                self.paths.len()
            )));
        }
        if stream.is_some() && (self.mirror || self.dry_run) {
            return Err(Wrong(
                "--mirror and --dry-run say nothing of standard input (-)".to_owned(),
            ));
        }
        let default = SendOptions::default();
        let options = SendOptions {
            paths: self.paths.into_iter().map(PathBuf::from).collect(),
            naming: SentNames {
                name,
                place: folder,
            },
            stream,
            wait: self.wait,
            name: self.name.unwrap_or_else(machine::name),
            open: self.open,
            algorithm: self.speed.algorithm(),
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
            lanes: self.speed.lanes.unwrap_or(default.lanes),
            retry: self.speed.retry().unwrap_or(default.retry),
            filter: self.filter.into(),
            limit: self.speed.limit,
            ..default
        };
        Ok((options, to))
    }
}

fn last_as_target(paths: &mut Vec<OsString>) -> Result<Place, Wrong> {
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
    if let Some(place) = without_user(text) {
        return Err(Wrong(format!(
            "xfer needs no user name: xfer send FILE {}",
            quoted(place)
        )));
    }
    place(text).map_err(|why| {
        Wrong(format!(
            "the last argument, '{shown}', is neither a receiver nor a file here: {why}"
        ))
    })
}

/// What --as says.
fn as_name(name: &OsStr) -> Result<RelPath, Wrong> {
    let wrong = |why: &dyn Display| Wrong(format!("--as '{}': {why}", safe(name)));
    let typed = name.to_str().map(with_slashes);
    let bytes = typed.as_deref().map_or(from_system(name), str::as_bytes);
    let path = RelPath::new(bytes).map_err(|why| wrong(&why))?;
    match path.depth() {
        1 => Ok(path),
        _ => Err(wrong(
            &"use one name without '/'; a folder belongs behind the receiver, as in laptop:photos/",
        )),
    }
}

/// Standard input, where that is what is to be sent. It is no path any more then.
fn stream(
    paths: &mut Vec<OsString>,
    name: Option<&RelPath>,
    folder: Option<&RelPath>,
) -> Result<Option<Stream>, Wrong> {
    if !paths.iter().any(|path| path == "-") {
        return Ok(None);
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
    let path = folder.map_or_else(|| Ok(name.clone()), |folder| name.in_folder(folder));
    let path = path.map_err(|why| Wrong(format!("the folder's path cannot be used: {why}")))?;
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
        path,
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
    args.at_end.prepare(&dialer.ui);
    let (mut options, to) = args.into_options()?;
    let ui = Arc::clone(&dialer.ui);
    Ok(dialer.run(|device, person, progress, cancel| {
        options.to = match to {
            Some(to) => to,
            None => choose::machine(&ui, cancel, &device.peers, Service::Receiver)?,
        };
        xfer::transfer::send(device, &options, person, progress, cancel).map(Some)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(paths: &[&str]) -> Result<(Vec<OsString>, DialTarget), String> {
        let mut paths: Vec<_> = paths.iter().map(OsString::from).collect();
        let place = last_as_target(&mut paths).map_err(|wrong| wrong.0)?;
        Ok((paths, place.to))
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
            let name = name.map(|name| RelPath::new(name).unwrap());
            stream(&mut paths, name.as_ref(), None).unwrap_err().0
        };
        assert!(wrong(&["-"], None).contains("--as NAME"));
        assert!(wrong(&["-", "a"], Some("x")).contains("alone"));
        for name in ["", "a/b", "..", ".xfer"] {
            let wrong = as_name(OsStr::new(name)).unwrap_err().0;
            assert!(wrong.starts_with("--as '"), "{name}");
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
