//! The settings file: its keys with their lines, and what the machines in it may do.
//!
//! Must not skip anything that it does not understand.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use xfer::model::text::Text;
use xfer::net::device_name;
use xfer::sys::commands::ListedCommand;
use xfer::transfer::Grant;

use super::super::size;
use super::commands::{self, RUN, RUN_KEYS, RunTable};
use super::entry::{SettingEntry, path};

/// The keys: long names of options, of any command. The environment variable is `XFER_` and the
/// name in capitals.
///
/// `open` is missing on purpose: letting anyone in has to be said each time.
pub(crate) const KEYS: [&str; 19 + WEB_KEYS] = [
    "name",
    "dir",
    "listen",
    "announce",
    "ask",
    "on-conflict",
    "allow-update",
    "allow-mirror",
    "max-delete",
    "allow-links-outside",
    "rename-unsafe",
    "no-sync",
    "max-sessions",
    "on-done",
    #[cfg(feature = "web")]
    "web",
    #[cfg(feature = "web")]
    "no-qr",
    #[cfg(feature = "web")]
    "pin",
    "hash",
    "compress",
    "lanes",
    "retry",
    "limit",
];
/// How many of them are about pages for browsers.
const WEB_KEYS: usize = if cfg!(feature = "web") { 3 } else { 0 };
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The table that holds a table for each machine.
const PEER: &str = "peer";
/// The keys of such a table.
const PEER_KEYS: [&str; 4] = ["dir", "quota", "may-update", "may-mirror"];
/// From this likeness on, of at most 1, a key is suggested for another.
const LIKENESS: f64 = 0.5;

/// The contents of the file.
#[derive(Debug, Default)]
pub(super) struct FileContents {
    pub(super) entries: Vec<SettingEntry>,
    /// In the order of their lines.
    pub(super) peers: Vec<PeerTable>,
    /// Likewise.
    pub(super) runs: Vec<RunTable>,
}

/// What a machine may do.
#[derive(Debug)]
pub(crate) struct PeerTable {
    /// The name it is known by.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) grant: Grant,
    /// The entries that the grant was read from.
    pub(crate) entries: Vec<SettingEntry>,
}

/// The text of the file; none if there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    // Checked before opening, because opening a fifo would block.
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if !meta.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("too large"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES)
        .read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Parses `text`, the contents of `file`. Errors are in words.
pub(super) fn parse(text: &str, file: &str) -> Result<FileContents, String> {
    let reader = FileReader { text, file };
    let table = DeTable::parse(text).map_err(|e| {
        let line = reader.line(e.span().map_or(0, |span| span.start));
        reader.wrong(line, e.message())
    })?;
    let mut contents = FileContents::default();
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(peers) if key.get_ref() == PEER => {
                for (name, value) in peers {
                    contents.peers.push(reader.peer(name, value)?);
                }
            }
            DeValue::Table(runs) if key.get_ref() == RUN => {
                for (name, value) in runs {
                    contents.runs.push(reader.run(name, value)?);
                }
            }
            value => contents.entries.push(reader.entry("", key, value, &KEYS)?),
        }
    }
    contents.peers.sort_by_key(|peer| peer.line);
    contents.runs.sort_by_key(|run| run.line);
    Ok(contents)
}

struct FileReader<'a> {
    text: &'a str,
    file: &'a str,
}

type Key<'a> = Spanned<Cow<'a, str>>;

impl FileReader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.bytes().take(at);
        before.filter(|&b| b == b'\n').count() + 1
    }

    fn wrong(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.file)
    }

    fn peer(&self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<PeerTable, String> {
        let line = self.line(name.span().start);
        let name = name.get_ref();
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(line, format!("'{PEER}.{name}' must be a table")));
        };
        if device_name(&Text::new(name.as_ref())) != *name {
            return Err(self.wrong(line, format!("invalid machine name '{name}'")));
        }
        let mut peer = PeerTable {
            name: name.to_string(),
            line,
            grant: Grant::default(),
            entries: Vec::new(),
        };
        for (key, value) in table {
            let within = format!("{PEER}.{name}.");
            let mut entry = self.entry(&within, key, value.get_ref(), &PEER_KEYS)?;
            grant(&mut peer.grant, &mut entry, value.get_ref())
                .map_err(|why| self.wrong(entry.line, format!("{within}{}: {why}", entry.key)))?;
            peer.entries.push(entry);
        }
        let quota = peer.entries.iter().find(|entry| entry.key == "quota");
        if let Some(quota) = quota.filter(|_| peer.grant.dir.is_none()) {
            let why = format!("{PEER}.{name}.quota needs a dir in the same table");
            return Err(self.wrong(quota.line, why));
        }
        peer.entries.sort_by_key(|entry| entry.line);
        Ok(peer)
    }

    fn run(&self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<RunTable, String> {
        let line = self.line(name.span().start);
        let name = name.get_ref();
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(line, format!("'{RUN}.{name}' must be a table")));
        };
        commands::check_name(name).map_err(|why| self.wrong(line, why))?;
        let mut run = RunTable {
            name: name.to_string(),
            line,
            command: ListedCommand::default(),
            entries: Vec::new(),
        };
        let within = format!("{RUN}.{name}.");
        for (key, value) in table {
            let mut entry = self.entry(&within, key, value.get_ref(), &RUN_KEYS)?;
            commands::command(&mut run.command, &mut entry, value.get_ref())
                .map_err(|why| self.wrong(entry.line, format!("{within}{}: {why}", entry.key)))?;
            run.entries.push(entry);
        }
        if run.command.words.is_empty() {
            return Err(self.wrong(line, format!("{within}command is missing")));
        }
        if run.command.options && !run.command.arguments {
            return Err(self.wrong(line, format!("{within}options needs arguments = true")));
        }
        run.entries.sort_by_key(|entry| entry.line);
        Ok(run)
    }

    /// An entry whose key must be one of `keys`.
    fn entry(
        &self,
        within: &str,
        name: &Key<'_>,
        value: &DeValue<'_>,
        keys: &[&'static str],
    ) -> Result<SettingEntry, String> {
        let line = self.line(name.span().start);
        let name = name.get_ref();
        let Some(key) = keys.iter().find(|key| *key == name) else {
            let tip = nearest(name, keys).map(|key| format!("; did you mean '{key}'?"));
            return Err(self.wrong(
                line,
                format!("unknown key '{within}{name}'{}", tip.unwrap_or_default()),
            ));
        };
        let words = match value {
            DeValue::Array(values) if !values.is_empty() => {
                values.iter().map(|v| word(v.get_ref())).collect()
            }
            value => word(value).map(|word| vec![word]),
        };
        let words = words.ok_or_else(|| {
            let kind = match value {
                DeValue::Array(_) => "list of such values",
                value => value.type_str(),
            };
            self.wrong(line, format!("{within}{key} cannot be a {kind}"))
        })?;
        Ok(SettingEntry { key, words, line })
    }
}

/// Adds an entry to a grant.
fn grant(
    grant: &mut Grant,
    entry: &mut SettingEntry,
    value: &DeValue<'_>,
) -> Result<(), &'static str> {
    let flag = || value.as_bool().ok_or("must be true or false");
    match entry.key {
        "may-update" => grant.may_update = Some(flag()?),
        "may-mirror" => grant.may_mirror = Some(flag()?),
        "quota" => {
            let bytes = value.as_str().and_then(|text| size::bytes(text).ok());
            grant.quota = Some(bytes.ok_or("must be a size such as \"100G\"")?);
        }
        _ => {
            let dir = value.as_str().and_then(|dir| path(OsStr::new(dir)).ok());
            let dir = dir.ok_or("must be a path that begins with / or ~/")?;
            entry.words = vec![dir.clone()];
            grant.dir = Some(PathBuf::from(dir));
        }
    }
    Ok(())
}

/// A value as it would be given on the command line.
fn word(value: &DeValue<'_>) -> Option<OsString> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(yes) => yes.to_string().into(),
        DeValue::Float(number) => number.as_str().into(),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            number.to_string().into()
        }
        _ => return None,
    })
}

fn nearest(name: &str, keys: &[&'static str]) -> Option<&'static str> {
    let likeness = |key: &str| match name.starts_with(key) || key.starts_with(name) {
        true => 1.0,
        false => strsim::normalized_damerau_levenshtein(name, key),
    };
    let alike = keys.iter().map(|key| (likeness(key), *key));
    let alike = alike.filter(|(likeness, _)| *likeness > LIKENESS);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        parse(text, "F").map(|_| ()).unwrap_err()
    }

    #[test]
    fn keys_are_read_with_their_lines() {
        let text = "# mine\nname = \"desk\"\nlanes = 0x2\nask = true\n\n\
                    [peer.laptop]\nmay-update = true\ndir = \"/in\"\n[peer.\"Anna's\"]\n";
        let contents = parse(text, "F").unwrap();
        let mut entries: Vec<_> = contents.entries.iter().map(|e| (e.line, e.key)).collect();
        entries.sort_unstable();
        assert_eq!(entries, [(2, "name"), (3, "lanes"), (4, "ask")]);
        let [laptop, anna] = &contents.peers[..] else {
            panic!("{contents:?}");
        };
        assert_eq!((&*laptop.name, laptop.line), ("laptop", 6));
        let grant = Grant {
            dir: Some("/in".into()),
            quota: None,
            may_update: Some(true),
            may_mirror: None,
        };
        assert_eq!(laptop.grant, grant);
        assert_eq!((&*anna.name, &anna.grant), ("Anna's", &Grant::default()));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, words) in [
            (
                "\n\ndirectry = \"/\"",
                "F:3: unknown key 'directry'; did you mean 'dir'?",
            ),
            ("open = true", "F:1: unknown key 'open'"),
            ("[recv]\ndir = \"/\"", "F:1: unknown key 'recv'"),
            ("[peer.a]\nlanes = 2", "F:2: unknown key 'peer.a.lanes'"),
            (
                "[peer.a]\nmay_update = true",
                "F:2: unknown key 'peer.a.may_update'; did you mean 'may-update'?",
            ),
            (
                "[peer.a]\nmay-update = 1",
                "F:2: peer.a.may-update: must be true or false",
            ),
            (
                "[peer.a]\ndir = \"b\"",
                "F:2: peer.a.dir: must be a path that begins with / or ~/",
            ),
            ("dir = []", "F:1: dir cannot be a list of such values"),
            ("[name]\na = 1", "F:1: name cannot be a table"),
            ("[peer.\" a\"]", "F:1: invalid machine name ' a'"),
        ] {
            assert_eq!(wrong(text), words);
        }
        for (text, line) in [("\nname =", 2), ("name = \"a\"\nname = \"b\"", 2)] {
            assert!(
                wrong(text).starts_with(&format!("F:{line}: ")),
                "{}",
                wrong(text)
            );
        }
    }
}
