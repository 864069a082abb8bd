//! `xfer config`: the settings, and where each is set.
//!
//! Must not change anything. Its output is itself a config file.

use std::ffi::OsString;

use clap::{Args, Command};
use toml::Value;

use super::arguments::Loudness;
use super::exit::{Code, written};
use super::machine;
use super::settings::{KEYS, Settings, default};
use crate::ui::{Line, Ui};

/// How many columns what is set gets at least, before where that is.
const COLUMNS: usize = 36;

const MORE: &str = "\
Put defaults in the file ~/.config/xfer/config.toml (XDG_CONFIG_HOME moves it).
A key is the long name of an option:

  name = \"desktop\"
  dir = \"~/Downloads\"
  lanes = 2

  [peer.laptop]           # for a paired machine, by its name
  dir = \"~/from-laptop\"   # store its files here; the folder must exist
  quota = \"100G\"          # limit for everything in that folder
  may-update = true       # it may replace files, even if others may not
  may-mirror = true       # it may also delete files; false: it never may

  [run.disk]              # `xfer run THIS-MACHINE disk` runs this command
  command = \"df -h /srv\"  # quotes keep words together; no shell is involved
  arguments = false       # true: the caller may add arguments
  options = false         # true: arguments may begin with - too
  dir = \"/srv\"            # folder to run in; default: your home
  time-limit = 600        # seconds; 0: no limit
  output-limit = \"64M\"
  at-once = 1             # how many can run at the same time

Environment variables work too: XFER_DIR, XFER_MAX_SESSIONS. The command line
wins over the environment, and the environment over the file. `xfer config`
shows only what the file and the environment can set.";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(crate) struct Config {}

/// Shows all settings.
pub(crate) fn show(loudness: &Loudness, settings: &Settings, program: &Command) -> Code {
    let ui = Ui::new(loudness.settings(|_| None));
    ui.say(lines(settings, program).into_iter().map(Line::Answer));
    ui.finish();
    written(&ui, Code::Done)
}

fn lines(settings: &Settings, program: &Command) -> Vec<String> {
    let head = match (&settings.path, settings.is_there) {
        (Some(path), true) => format!("# {path}, and the environment"),
        (Some(path), false) => format!("# The environment; there is no {path}"),
        (None, _) => "# The environment; there is no home directory".to_owned(),
    };
    let mut rows = vec![(head, String::new())];
    rows.extend(KEYS.iter().map(|key| match settings.get(key) {
        Some(value) => (
            format!("{key} = {}", literal(&value.words)),
            value.from.clone(),
        ),
        None => {
            let value = match *key {
                "name" => machine::name(),
                "dir" => machine::downloads()
                    .map_or_else(|| default(program, key), |dir| dir.display().to_string()),
                key => default(program, key),
            };
            (format!("# {key}: {value}"), "default".to_owned())
        }
    }));
    for peer in &settings.peers {
        rows.push((header(&peer.name), format!("line {}", peer.line)));
        rows.extend(peer.entries.iter().map(|entry| {
            let value = literal(&entry.words);
            (
                format!("{} = {value}", entry.key),
                format!("line {}", entry.line),
            )
        }));
    }
    for run in &settings.runs {
        rows.push((format!("[run.{}]", run.name), format!("line {}", run.line)));
        rows.extend(run.entries.iter().map(|entry| {
            let value = literal(&entry.words);
            (
                format!("{} = {value}", entry.key),
                format!("line {}", entry.line),
            )
        }));
    }
    let rows = rows.into_iter();
    rows.map(|(text, from)| match &*from {
        "" => text,
        from => format!("{text:COLUMNS$}  # {from}"),
    })
    .collect()
}

// A value as it would stand in the file.
fn literal(words: &[OsString]) -> String {
    let literals: Vec<_> = words
        .iter()
        .map(|word| {
            let word = word.to_string_lossy();
            match (word.parse::<bool>(), word.parse::<i64>()) {
                (Ok(_), _) => word.into_owned(),
                (_, Ok(number)) if number.to_string() == word => word.into_owned(),
                _ => Value::String(word.into_owned()).to_string(),
            }
        })
        .collect();
    match &literals[..] {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

// The header of a machine's table.
fn header(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.chars().all(is_bare) {
        format!("[peer.{name}]")
    } else {
        format!("[peer.{}]", Value::String(name.to_owned()))
    }
}
