//! `xfer get`: fetches what another machine shares.
//!
//! Must not fetch: it turns arguments into options, and the library does the rest.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use clap::{Args, ValueHint};
use xfer::model::outcome::Wish;
use xfer::model::progress::{Event, Progress};
use xfer::model::relpath::RelPath;
use xfer::model::surplus::MaxDelete;
use xfer::model::text::MAX_TEXT_BYTES;
use xfer::net::Service;
use xfer::source::{FetchFilter, Filter};
use xfer::sys::confine::confine_writing;
use xfer::sys::name::{from_system, with_slashes};
use xfer::transfer::{DialTarget, FetchOptions};
use xfer::wire::{MAX_FETCH_BYTES, MAX_FETCH_PATHS, MAX_FETCH_PATTERNS};

use super::arguments::{AtEnd, CodeFrom, Events, Loudness, Wrong, parse_name};
use super::dialer::Dialer;
use super::exit::Code;
use super::folders::StoredBy;
use super::hints::Task;
use super::settings::Settings;
use super::speed::{SPEED, Speed};
use super::target::target;
use super::{choose, filter, folders, machine, names, recv, size};
use crate::ui::{Line, Ui, plural, quoted, safe, shared_event, shared_line};

const EXAMPLES: &str = "\
Examples:
  desktop$  xfer share photos film.mkv
  laptop$   xfer get desktop                  everything, into this folder
  laptop$   xfer get desktop film.mkv         one file
  laptop$   xfer get desktop photos/2024 --dir ~/Pictures
                                              into ~/Pictures/photos/2024
  laptop$   xfer get --list desktop           list what it shares
  laptop$   xfer get --update desktop         replace what has changed
  laptop$   xfer get -n --mirror desktop photos
                                              show what a mirror would do

If a transfer stops, run the same command again to resume.";

/// Headings of the help.
const EXISTING: &str = "Existing files";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// The machine that shares: its name, HOST, HOST:PORT or '[IPV6]:PORT'
    ///
    /// Without it, in a terminal, xfer lists those it finds.
    #[arg(value_name = "TARGET", add = names::machines())]
    target: Option<String>,

    /// What to fetch, as --list shows it [default: everything]
    ///
    /// xfer stores it under the same path.
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// List what the machine shares, and fetch nothing
    #[arg(short, long, conflicts_with_all = ["dry_run", "update", "mirror"])]
    list: bool,

    /// Folder to store in; it must exist [default: the current folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Wait for the machine to appear
    ///
    /// Press Ctrl-C to stop waiting.
    #[arg(long)]
    wait: bool,

    /// Show what would be done, and change nothing
    ///
    /// Sizes and times decide: where xfer would compare content, the file counts as changed.
    #[arg(short = 'n', long, conflicts_with = "checksum")]
    dry_run: bool,

    /// Fetch from a machine that runs `xfer share --open`
    ///
    /// Neither side checks who the other is. Use it only on a network that you trust.
    #[arg(long)]
    open: bool,

    /// Replace files that differ
    ///
    /// A file of the same size and time counts as the same. Any other is replaced, newer or not.
    /// The old version stays until the new one is complete, and only the parts that differ are
    /// sent.
    #[arg(long, help_heading = EXISTING)]
    update: bool,

    /// Replace files that differ, and delete what the other machine does not have
    ///
    /// Deletes only in the folders fetched, after everything else is stored. What filters leave out
    /// stays.
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

    /// Store links that point outside the folder too
    ///
    /// Without it, xfer refuses them.
    #[arg(long, help_heading = EXISTING)]
    allow_links_outside: bool,

    /// Store files whose names Windows does not allow, under other names (Windows only)
    #[arg(long, help_heading = EXISTING)]
    rename_unsafe: bool,

    #[command(flatten)]
    filter: filter::FetchChoice,

    #[command(flatten)]
    speed: Speed,

    /// Do not wait until files are on disk
    ///
    /// Faster, but a power failure can lose files that xfer reported as received.
    #[arg(long, help_heading = SPEED)]
    no_sync: bool,

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

impl Get {
    /// The options, but for the machine where none is named.
    fn into_options(self) -> Result<(FetchOptions, Option<DialTarget>), Wrong> {
        if self.checksum && !self.update && !self.mirror {
            return Err(Wrong("--checksum needs --update or --mirror".to_owned()));
        }
        let to = match &self.target {
            Some(text) => {
                let wrong = |why| Wrong(format!("'{}': {why}", safe(text)));
                Some(target(text).map_err(wrong)?)
            }
            None if choose::can_choose() && !self.events.are_told() => None,
            None => {
                return Err(Wrong(
                    "name the machine that shares: xfer get TARGET".to_owned(),
                ));
            }
        };
        let paths: Result<Vec<_>, _> = self
            .paths
            .iter()
            .map(|path| shared_path(path, self.target.as_deref().unwrap_or_default()))
            .collect();
        let paths = paths?;
        if paths.len() > MAX_FETCH_PATHS {
            return Err(Wrong(format!(
                "too many paths: at most {MAX_FETCH_PATHS}. Fetch their folder instead, with \
                 --include and --exclude"
            )));
        }
        let default = FetchOptions::default();
        let options = FetchOptions {
            wait: self.wait,
            name: self.name.unwrap_or_else(machine::name),
            open: self.open,
            paths,
            dir: self.dir.unwrap_or(default.dir),
            wish: Wish {
                update: self.update || self.mirror,
                checksum: self.checksum,
                mirror: self.mirror,
                dry_run: self.dry_run,
            },
            max_delete: self.max_delete,
            algorithm: self.speed.algorithm(),
            lanes: self.speed.lanes.unwrap_or(default.lanes),
            retry: self.speed.retry().unwrap_or(default.retry),
            limit: self.speed.limit,
            sync: !self.no_sync,
            links_outside: self.allow_links_outside,
            rename_unsafe: self.rename_unsafe,
            ..default
        };
        Ok((options, to))
    }
}

/// A path in what is shared.
fn shared_path(typed: &OsStr, target: &str) -> Result<RelPath, Wrong> {
    let text = typed.to_str().map(with_slashes);
    let bytes = text.as_deref().map_or(from_system(typed), str::as_bytes);
    let bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
    let end = bytes.iter().rposition(|&byte| byte != b'/');
    let path = RelPath::new(&bytes[..end.map_or(0, |end| end + 1)]);
    path.map_err(|why| {
        Wrong(format!(
            "'{}' is not a path in what is shared: {why}\n\n  tip: xfer get --list {} shows the paths",
            safe(typed),
            quoted(target)
        ))
    })
}

/// What is left out, if another machine can be told that.
fn fetch_filter(choice: &Filter) -> Result<xfer::Result<FetchFilter>, Wrong> {
    let filter = match FetchFilter::of(choice) {
        Ok(filter) => filter,
        Err(error) => return Ok(Err(error)),
    };
    if filter.lines.len() > MAX_FETCH_PATTERNS {
        return Err(Wrong(format!(
            "too many patterns: at most {MAX_FETCH_PATTERNS}"
        )));
    }
    if let Some(odd) = filter.lines.iter().find(|line| line.contains(['\n', '\0'])) {
        return Err(Wrong(format!(
            "a pattern cannot have several lines: {}",
            quoted(odd)
        )));
    }
    if let Some(long) = filter.lines.iter().find(|line| line.len() > MAX_TEXT_BYTES) {
        let begin: String = long.chars().take(40).collect();
        return Err(Wrong(format!(
            "a pattern can have at most {MAX_TEXT_BYTES} bytes: {} …",
            quoted(&begin)
        )));
    }
    Ok(Ok(filter))
}

/// Whether whatever another machine shares comes into the home folder.
fn stores_all_at_home(options: &FetchOptions) -> bool {
    let is_all = options.paths.is_empty() && !options.wish.dry_run;
    is_all && folders::is_own_home(&options.dir)
}

/// Says where files go once it is known from whom.
#[derive(Debug)]
struct WarningProgress {
    ui: Arc<Ui>,
    warned: Once,
}

impl Progress for WarningProgress {
    fn event(&self, event: &Event<'_>) {
        if let Event::Started { peer, .. } = event {
            self.warned
                .call_once(|| self.ui.warn(&folders::fetched_into_home(&peer.name)));
        }
        self.ui.event(event);
    }

    fn wants_every_entry(&self) -> bool {
        self.ui.wants_every_entry()
    }
}

/// Fetches, and tries again for a while when the connection is lost; or lists what there is.
pub(crate) fn run(mut args: Get, loudness: &Loudness, settings: &Settings) -> Result<Code, Wrong> {
    let dialer = Dialer::new(Task::Get, loudness, Some(&args.events), &args.code);
    args.at_end.prepare(&dialer.ui);
    let ui = Arc::clone(&dialer.ui);
    let (lists, is_json) = (args.list, args.events.are_told());
    if !lists {
        let dir = args.dir.get_or_insert_with(|| PathBuf::from("."));
        let source = settings.source("dir", dir.as_os_str());
        folders::check(dir, &source, StoredBy::Get)?;
    }
    let choice = std::mem::take(&mut args.filter);
    let filter = fetch_filter(&choice.into())?;
    let (mut options, to) = args.into_options()?;
    if let Ok(filter) = &filter {
        let lines = filter.lines.iter().map(String::len);
        let paths = options.paths.iter().map(|path| path.as_bytes().len());
        if lines.chain(paths).sum::<usize>() > MAX_FETCH_BYTES {
            return Err(Wrong(format!(
                "paths and patterns can have at most {MAX_FETCH_BYTES} bytes together"
            )));
        }
    }
    Ok(dialer.run(|device, person, progress, cancel| {
        options.filter = filter?;
        if !lists {
            options.dir = recv::check(&options.dir)?;
            // What another machine sends cannot make it write elsewhere.
            let data_dir = machine::data_dir();
            let folders = [Some(&options.dir), data_dir.as_ref()]
                .into_iter()
                .flatten();
            let folders: Vec<&Path> = folders.map(|dir| &**dir).collect();
            let _ = confine_writing(&folders);
        }
        options.to = match to {
            Some(to) => to,
            None => choose::machine(&ui, cancel, &device.peers, Service::Share)?,
        };
        if !lists {
            let progress: &Arc<dyn Progress> = &match stores_all_at_home(&options) {
                true => Arc::new(WarningProgress {
                    ui: Arc::clone(&ui),
                    warned: Once::new(),
                }),
                false => Arc::clone(progress),
            };
            let fetched = xfer::transfer::fetch(device, &options, person, progress, cancel);
            return fetched.map(Some);
        }
        xfer::transfer::list_shared(device, &options, person, progress, cancel, &mut |entry| {
            ui.say(match is_json {
                true => shared_event(entry).map(Line::Event),
                false => Some(Line::Answer(shared_line(entry))),
            });
        })
        .map(|unread| {
            if unread > 0 {
                let them = plural(unread, "file or folder", "files and folders");
                ui.warn(&format!("the other machine could not read {them}"));
            }
            None
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_in_what_is_shared() {
        let path = |text: &str| shared_path(OsStr::new(text), "lap").map_err(|wrong| wrong.0);
        for (text, meant) in [("a", "a"), ("a/b/", "a/b"), ("./a//", "a")] {
            assert_eq!(path(text).unwrap(), RelPath::new(meant).unwrap());
        }
        for text in ["", "/", "..", "a/../b", "/etc/passwd", "~/x/./y"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
