//! `xfer config`: the settings, and where each is set.
//!
//! Must not change anything. Its output is itself a config file.

use std::ffi::{OsStr, OsString};

use clap::{Args, Command};

use super::arguments::Loudness;
use super::exit::{Code, written};
use super::machine;
use super::settings::{KEYS, Settings, default, split_words};
use crate::ui::{Line, Ui, safe};

/// Keys whose values are text even where they look like a number or a flag.
const TEXTS: [&str; 5] = ["name", "on-done", "command", "quota", "output-limit"];
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
        Some(value) => (assigned(key, &value.words), value.from.clone()),
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
            (
                assigned(entry.key, &entry.words),
                format!("line {}", entry.line),
            )
        }));
    }
    for run in &settings.runs {
        rows.push((format!("[run.{}]", run.name), format!("line {}", run.line)));
        rows.extend(run.entries.iter().map(|entry| {
            let text = match &entry.words[..] {
                // A list of one word. As text, it would be split.
                [word] if entry.key == "command" && !splits_into(word, &run.command.words) => {
                    format!("command = [{}]", string(&word.to_string_lossy()))
                }
                words => assigned(entry.key, words),
            };
            (text, format!("line {}", entry.line))
        }));
    }
    let rows = rows.into_iter();
    rows.map(|(text, from)| match &*from {
        "" => text,
        from => format!("{text:COLUMNS$}  # {from}"),
    })
    .collect()
}

fn splits_into(line: &OsStr, words: &[String]) -> bool {
    split_words(&line.to_string_lossy()).is_ok_and(|split| split == words)
}

// A key and its value as they stand in a file. A comment if no file can hold the value.
fn assigned(key: &str, words: &[OsString]) -> String {
    let literals: Option<Vec<_>> = words
        .iter()
        .map(|word| Some(literal(key, word.to_str()?)))
        .collect();
    match literals.as_deref() {
        None => {
            let shown: Vec<_> = words.iter().map(|word| safe(word).to_string()).collect();
            format!("# {key}: {} (not UTF-8)", shown.join(", "))
        }
        Some([one]) => format!("{key} = {one}"),
        Some(all) => format!("{key} = [{}]", all.join(", ")),
    }
}

fn literal(key: &str, word: &str) -> String {
    let is_plain = match (word.parse::<bool>(), word.parse::<i64>()) {
        (Ok(_), _) => true,
        (_, Ok(number)) => number.to_string() == word,
        _ => false,
    };
    match is_plain && !TEXTS.contains(&key) {
        true => word.to_owned(),
        false => string(word),
    }
}

// A string of TOML. What the screen cannot show is escaped as TOML does it, so that printing
// changes nothing.
fn string(text: &str) -> String {
    let mut literal = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("\\t"),
            c if safe(&c.to_string()).to_string() != c.to_string() => {
                literal.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// The header of a machine's table.
pub(super) fn header(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.chars().all(is_bare) {
        format!("[peer.{name}]")
    } else {
        format!("[peer.{}]", string(name))
    }
}
