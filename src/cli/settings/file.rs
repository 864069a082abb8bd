//! The file with the settings: which keys it has, in which lines, and what the machines in it
//! may do.
//!
//! Must not pass over anything that it does not understand.

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

/// What can be set: the long names of options, of whichever commands have them. In the
/// environment it is `XFER_` and the name in capitals.
///
/// `open` is missing on purpose: to let anyone in is to be said each time.
pub(crate) const KEYS: [&str; 18] = [
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
    "no-sync",
    "max-sessions",
    "on-done",
    "hash",
    "compress",
    "lanes",
    "retry",
    "limit",
];
/// The most bytes that the file may have.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The table that has a table for each machine.
const PEER: &str = "peer";
/// What can be set for a machine.
const PEER_KEYS: [&str; 4] = ["dir", "quota", "may-update", "may-mirror"];
/// How much alike two keys are that may be meant for each other, of 1.
const LIKENESS: f64 = 0.5;

/// What is in the file.
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
    /// What it is known by here.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) grant: Grant,
    /// What the grant was made of.
    pub(crate) entries: Vec<SettingEntry>,
}

/// The text of the file; none where there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    // Looked at before it is opened, because opening a fifo would wait for ever.
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if !meta.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES)
        .read_to_string(&mut text)?;
    Ok(Some(text))
}

/// What `text` says, which is that of `file`. What is wrong with it is said in words.
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
        format!("{} line {line}: {what}", self.file)
    }

    fn peer(&self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<PeerTable, String> {
        let line = self.line(name.span().start);
        let name = name.get_ref();
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(line, format!("'{PEER}.{name}' is no table")));
        };
        if device_name(&Text::new(name.as_ref())) != *name {
            return Err(self.wrong(line, format!("no machine is called '{name}'")));
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
            let why = format!("{PEER}.{name}.quota: it needs a dir of its own to be kept of");
            return Err(self.wrong(quota.line, why));
        }
        peer.entries.sort_by_key(|entry| entry.line);
        Ok(peer)
    }

    fn run(&self, name: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<RunTable, String> {
        let line = self.line(name.span().start);
        let name = name.get_ref();
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(line, format!("'{RUN}.{name}' is no table")));
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

    /// A key that must be one of `keys`, and its value.
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
            return Err(format!(
                "unknown key '{within}{name}' in {} line {line}{}",
                self.file,
                tip.unwrap_or_default()
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
                DeValue::Array(_) => "list like this",
                value => value.type_str(),
            };
            self.wrong(line, format!("{within}{key}: it cannot be a {kind}"))
        })?;
        Ok(SettingEntry { key, words, line })
    }
}

/// Makes an entry part of a grant.
fn grant(
    grant: &mut Grant,
    entry: &mut SettingEntry,
    value: &DeValue<'_>,
) -> Result<(), &'static str> {
    let flag = || value.as_bool().ok_or("it is true or false");
    match entry.key {
        "may-update" => grant.may_update = Some(flag()?),
        "may-mirror" => grant.may_mirror = Some(flag()?),
        "quota" => {
            let bytes = value.as_str().and_then(|text| size::bytes(text).ok());
            grant.quota = Some(bytes.ok_or("it is a size, such as \"100G\"")?);
        }
        _ => {
            let dir = value.as_str().and_then(|dir| path(OsStr::new(dir)).ok());
            let dir = dir.ok_or("it is a path that begins with / or ~/")?;
            entry.words = vec![dir.clone()];
            grant.dir = Some(PathBuf::from(dir));
        }
    }
    Ok(())
}

/// A value as it would stand on the command line.
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
                "unknown key 'directry' in F line 3; did you mean 'dir'?",
            ),
            ("open = true", "unknown key 'open' in F line 1"),
            ("[recv]\ndir = \"/\"", "unknown key 'recv' in F line 1"),
            (
                "[peer.a]\nlanes = 2",
                "unknown key 'peer.a.lanes' in F line 2",
            ),
            (
                "[peer.a]\nmay_update = true",
                "unknown key 'peer.a.may_update' in F line 2; did you mean 'may-update'?",
            ),
            (
                "[peer.a]\nmay-update = 1",
                "F line 2: peer.a.may-update: it is true or false",
            ),
            (
                "[peer.a]\ndir = \"b\"",
                "F line 2: peer.a.dir: it is a path that begins with / or ~/",
            ),
            ("dir = []", "F line 1: dir: it cannot be a list like this"),
            ("[name]\na = 1", "F line 1: name: it cannot be a table"),
            ("[peer.\" a\"]", "F line 1: no machine is called ' a'"),
        ] {
            assert_eq!(wrong(text), words);
        }
        for (text, line) in [("\nname =", 2), ("name = \"a\"\nname = \"b\"", 2)] {
            assert!(
                wrong(text).starts_with(&format!("F line {line}: ")),
                "{}",
                wrong(text)
            );
        }
    }
}
