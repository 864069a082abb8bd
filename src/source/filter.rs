//! Which parts of a tree are sent: the user's filters and the ignore files in the tree.
//!
//! Must not walk, nor match names: the `ignore` crate reads patterns as git does.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::error::{Action, Error, PatternFault, Result};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File};
use crate::sys::own::OwnFolders;

/// The file that lists what not to send from its folder. It always applies, and is sent like any
/// other file.
pub const IGNORE_FILE: &str = ".xferignore";
const GITIGNORE: &str = ".gitignore";
/// Limits for one ignore file, and for all that apply in one folder together. Compiled patterns
/// take up about a hundred times as much memory.
const MOST_IGNORED: PatternWeight = PatternWeight {
    bytes: 1 << 20,
    patterns: 1 << 16,
};
/// Limits for each of the user's own pattern files.
const MOST_OF_USER: PatternWeight = PatternWeight {
    bytes: 16 << 20,
    patterns: 1 << 20,
};

/// What to send and what to leave out. By default, everything is sent except what an
/// [`IGNORE_FILE`] names.
///
/// Patterns work as in a `.gitignore` file in each folder that is named to be sent, and beside each
/// named item. So they match the names of these items as well; ignore files only match what is
/// below their folder. If several match, `include` wins, then `exclude`, then `exclude_from`, then
/// the nearest ignore file; in the same folder [`IGNORE_FILE`] wins over `.gitignore`. Everything
/// in a folder that is left out is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Patterns of what to leave out.
    pub exclude: Vec<String>,
    /// Files with patterns of what to leave out.
    pub exclude_from: Vec<PathBuf>,
    /// Patterns of what to send even if others leave it out.
    pub include: Vec<String>,
    /// Whether `.gitignore` files in the tree apply too.
    pub gitignore: bool,
    /// The largest file to send, in bytes.
    pub max_size: Option<u64>,
    /// What happens to symbolic links.
    pub links: Links,
    /// Whether to leave out what is mounted below a folder. The mount point itself is sent as an
    /// empty folder.
    pub one_file_system: bool,
}

/// What to do with symbolic links below what is named to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Links {
    /// Send them as links.
    #[default]
    Keep,
    /// Send what they lead to instead.
    Follow,
    /// Leave them out.
    Skip,
}

/// What somebody who fetches leaves out, of what the [`Filter`] of the one who shares lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchFilter {
    /// Patterns as in a `.gitignore` file beside each named item. The last one that matches
    /// decides.
    pub lines: Vec<String>,
    /// Whether `.gitignore` files in the tree apply too.
    pub gitignore: bool,
    /// The largest file, in bytes.
    pub max_size: Option<u64>,
}

impl FetchFilter {
    /// The part of a filter that another machine can apply. Fails if a pattern is invalid, or a
    /// pattern file cannot be read.
    pub fn of(filter: &Filter) -> Result<Self> {
        CompiledFilter::new(filter, OwnFolders::default())?;
        let mut lines = Vec::new();
        for path in &filter.exclude_from {
            let failed = |e| Error::file(Action::ReadPatterns, path, e);
            let file = File::open(path).map_err(failed)?;
            let bytes = read_patterns(&file, MOST_OF_USER).map_err(failed)?;
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
            let all = bytes.split(|&byte| byte == b'\n');
            let all = all.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            let all = all.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
            lines.extend(all.map(|line| as_text(line).into_owned()));
        }
        lines.extend(filter.exclude.iter().cloned());
        lines.extend(filter.include.iter().map(|pattern| format!("!{pattern}")));
        Ok(Self {
            lines,
            gitignore: filter.gitignore,
            max_size: filter.max_size,
        })
    }
}

/// A [`Filter`] with compiled patterns.
#[derive(Debug, Clone)]
pub(super) struct CompiledFilter {
    patterns: Gitignore,
    /// Those of somebody who fetches: what either leaves out is left out.
    fetching: Gitignore,
    gitignore: bool,
    /// Whether those who fetch leave out what `.gitignore` files do, where the share does not.
    fetching_gitignore: bool,
    max_size: u64,
    pub(super) links: Links,
    pub(super) one_file_system: bool,
    /// Folders that are never sent.
    pub(super) own: OwnFolders,
}

impl CompiledFilter {
    /// Fails if a pattern is invalid, or a pattern file cannot be read.
    pub(super) fn new(filter: &Filter, own: OwnFolders) -> Result<Self> {
        // If several match, the last one decides.
        let mut patterns = GitignoreBuilder::new("");
        for path in &filter.exclude_from {
            File::open(path)
                .and_then(|file| read_patterns(&file, MOST_OF_USER))
                .and_then(|bytes| add_lines(&mut patterns, &bytes))
                .map_err(|e| Error::file(Action::ReadPatterns, path, e))?;
        }
        for pattern in &filter.exclude {
            add(&mut patterns, pattern, pattern)?;
        }
        for pattern in &filter.include {
            add(&mut patterns, pattern, &format!("!{pattern}"))?;
        }
        let patterns = patterns.build().map_err(|e| Error::Pattern {
            pattern: None,
            fault: PatternFault::Syntax(what(e)),
        })?;
        Ok(Self {
            patterns,
            fetching: Gitignore::empty(),
            gitignore: filter.gitignore,
            fetching_gitignore: false,
            max_size: filter.max_size.unwrap_or(u64::MAX),
            links: filter.links,
            one_file_system: filter.one_file_system,
            own,
        })
    }

    /// The same, with what somebody who fetches leaves out. Fails if a pattern is invalid.
    pub(super) fn with(&self, fetching: &FetchFilter) -> Result<Self> {
        let mut patterns = GitignoreBuilder::new("");
        for line in &fetching.lines {
            let wrong = |error| Error::Pattern {
                pattern: Some(line.clone()),
                fault: PatternFault::Syntax(what(error)),
            };
            patterns.add_line(None, line).map_err(wrong)?;
        }
        let patterns = patterns.build().map_err(|e| Error::Pattern {
            pattern: None,
            fault: PatternFault::Syntax(what(e)),
        })?;
        Ok(Self {
            fetching: patterns,
            fetching_gitignore: fetching.gitignore && !self.gitignore,
            max_size: self.max_size.min(fetching.max_size.unwrap_or(u64::MAX)),
            ..self.clone()
        })
    }

    /// Whether a file is larger than the limit.
    pub(super) fn is_too_large(&self, size: u64) -> bool {
        size > self.max_size
    }

    /// Whether anything may be left out anywhere, ignore files aside.
    pub(super) fn may_hide(&self) -> bool {
        self.patterns.num_ignores() > 0
            || self.fetching.num_ignores() > 0
            || self.max_size < u64::MAX
            || self.links == Links::Skip
    }

    /// Whether the user's patterns may leave something out or take it back in.
    pub(super) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty() || !self.fetching.is_empty()
    }

    /// The names of the ignore files that apply, to somebody.
    pub(super) fn ignore_files(&self) -> impl Iterator<Item = &'static str> {
        let more = (self.gitignore || self.fetching_gitignore).then_some(GITIGNORE);
        more.into_iter().chain([IGNORE_FILE])
    }

    /// The patterns of the ignore files in a folder, which is at `path` on this machine; `None` if
    /// there are none. Fails, with the path of the file or the folder, if an ignore file cannot be
    /// read: what it excludes must not be sent.
    pub(super) fn ignores(
        &self,
        folder: &Dir,
        path: &Path,
    ) -> Result<Option<IgnorePatterns>, (PathBuf, io::Error)> {
        let mut patterns = GitignoreBuilder::new(path);
        let mut fetching = (self.fetching_gitignore).then(|| GitignoreBuilder::new(path));
        let mut weight = PatternWeight::default();
        for name in self.ignore_files() {
            let bytes = read_regular(folder, name.as_bytes(), self.links);
            let is_ours = name == IGNORE_FILE || self.gitignore;
            let mut add = |bytes: &[u8], to: &mut GitignoreBuilder| {
                weight = weight.plus(PatternWeight::of(bytes));
                add_lines(to, bytes)
            };
            let added = bytes.and_then(|bytes| {
                let Some(bytes) = bytes else {
                    return Ok(());
                };
                if let Some(fetching) = &mut fetching {
                    add(&bytes, fetching)?;
                }
                match is_ours {
                    true => add(&bytes, &mut patterns),
                    false => Ok(()),
                }
            });
            added.map_err(|e| match folder.stat_at(name.as_bytes()) {
                Ok(Some(_)) => (path.join(name), e),
                Ok(None) | Err(_) => (path.to_path_buf(), e),
            })?;
        }
        let built = patterns.build().and_then(|patterns| {
            let fetching = fetching.map(|fetching| fetching.build()).transpose()?;
            Ok(IgnorePatterns {
                patterns,
                fetching,
                weight,
            })
        });
        match built {
            Ok(patterns) => Ok((!patterns.is_empty()).then_some(patterns)),
            Err(e) => Err((path.join(IGNORE_FILE), io::Error::other(what(e)))),
        }
    }
}

/// The patterns of the ignore files in one folder.
#[derive(Debug)]
pub(super) struct IgnorePatterns {
    patterns: Gitignore,
    /// All of them as somebody who fetches has them, where that is something else.
    fetching: Option<Gitignore>,
    weight: PatternWeight,
}

/// The size of patterns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PatternWeight {
    bytes: usize,
    patterns: usize,
}

impl PatternWeight {
    fn of(lines: &[u8]) -> Self {
        let lines_of = lines.split(|&byte| byte == b'\n');
        Self {
            bytes: lines.len(),
            patterns: lines_of.filter(|line| !line.is_empty()).count(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            patterns: self.patterns + other.patterns,
        }
    }

    /// The size of all together; fails if it exceeds [`MOST_IGNORED`], which limits the memory
    /// used.
    pub(super) fn of_all<'a>(all: impl Iterator<Item = &'a IgnorePatterns>) -> io::Result<Self> {
        let sum = all.fold(Self::default(), |sum, one| sum.plus(one.weight));
        sum.check("the ignore files that hold here have", MOST_IGNORED)
            .map(|()| sum)
    }

    fn check(self, what: &str, most: Self) -> io::Result<()> {
        let error = |most: String| Err(io::Error::other(format!("{what} more than {most}")));
        if self.bytes > most.bytes {
            return error(format!("{} MiB of patterns", most.bytes >> 20));
        }
        if self.patterns > most.patterns {
            return error(format!("{} patterns", most.patterns));
        }
        Ok(())
    }
}

impl IgnorePatterns {
    fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.fetching.as_ref().is_none_or(Gitignore::is_empty)
    }
}

/// Whether patterns leave out what is at `path` on this machine, and at `below` in the root called
/// `root`. `ignores` are those of the folders that it is in, the nearest first.
///
/// What this side leaves out, nobody who fetches can take back: each side's rules are asked for
/// themselves, and one that leaves it out is enough.
pub(super) fn is_ignored<'a>(
    filter: &CompiledFilter,
    ignores: impl Iterator<Item = &'a IgnorePatterns>,
    root: &RelPath,
    below: &Path,
    path: &Path,
    is_dir: bool,
) -> bool {
    let root = root.as_path();
    let below = match below.as_os_str().is_empty() {
        true => &*root,
        false => below,
    };
    let mut ours = leaves_out(&filter.patterns, below, is_dir);
    let mut theirs = leaves_out(&filter.fetching, below, is_dir);
    for nearest in ignores {
        ours = ours.or_else(|| leaves_out(&nearest.patterns, path, is_dir));
        let fetching = nearest.fetching.as_ref();
        theirs = theirs.or_else(|| leaves_out(fetching?, path, is_dir));
        if ours.is_some() && (theirs.is_some() || !filter.fetching_gitignore) {
            break;
        }
    }
    ours == Some(true) || theirs == Some(true)
}

fn leaves_out(patterns: &Gitignore, path: &Path, is_dir: bool) -> Option<bool> {
    match patterns.matched(path, is_dir) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

fn add(patterns: &mut GitignoreBuilder, given: &str, line: &str) -> Result<()> {
    let wrong = |fault| Error::Pattern {
        pattern: Some(given.to_owned()),
        fault,
    };
    // In a file these would be an empty line and a comment; here the user meant them to match.
    if given.trim().is_empty() {
        return Err(wrong(PatternFault::Empty));
    }
    if given.starts_with('#') {
        return Err(wrong(PatternFault::Comment));
    }
    // In a file this would cancel other patterns.
    if given.starts_with('!') {
        return Err(wrong(PatternFault::Negated));
    }
    // Git never matches these, while this library would take the bracket literally.
    if has_open_bracket(given) {
        return Err(wrong(PatternFault::OpenBracket));
    }
    let added = patterns.add_line(None, line);
    added
        .map(|_| ())
        .map_err(|e| wrong(PatternFault::Syntax(what(e))))
}

/// Whether a pattern contains a character class that is not closed.
fn has_open_bracket(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            '[' => {
                let class = rest.as_str();
                let class = class.strip_prefix(['!', '^']).unwrap_or(class);
                // A bracket in the first place stands for itself.
                let mut inner = class.chars();
                inner.next();
                match inner.as_str().find(']') {
                    Some(end) => rest = inner.as_str()[end + 1..].chars(),
                    None => return true,
                }
            }
            _ => {}
        }
    }
    false
}

fn add_lines(patterns: &mut GitignoreBuilder, bytes: &[u8]) -> io::Result<()> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let added = patterns.add_line(None, &as_text(line));
        added.map_err(|e| io::Error::other(format!("line {number}: {}", what(e))))?;
    }
    Ok(())
}

/// A line as text, which need not be UTF-8. An invalid byte in a pattern matches any byte, so that
/// too much is left out rather than too little; in a negated pattern it matches nothing.
fn as_text(line: &[u8]) -> Cow<'_, str> {
    if line.starts_with(b"!") {
        return String::from_utf8_lossy(line);
    }
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text.into()
}

fn what(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    }
}

/// The content of a regular file; `None` if there is none. If links are not followed, a link is an
/// error: it may lead to a file that must not influence what is sent.
fn read_regular(dir: &Dir, name: &[u8], links: Links) -> io::Result<Option<Vec<u8>>> {
    // Opening does not wait for the other end of a FIFO.
    let file = match open_file(dir, name, links) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if fs::is_no_file(&e) => match dir.stat_at(name)? {
            Some(found) if found.is_link() => {
                return Err(io::Error::other(
                    "it is a link, and xfer does not follow links here",
                ));
            }
            _ => return Ok(None),
        },
        Err(e) => return Err(e),
    };
    if !fs::stat(&file)?.is_file() {
        return Ok(None);
    }
    read_patterns(&file, MOST_IGNORED).map(Some)
}

/// The content of a pattern file; fails if it exceeds `most`, which limits the memory used.
fn read_patterns(file: &File, most: PatternWeight) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.bytes as u64 + 1).read_to_end(&mut bytes)?;
    PatternWeight::of(&bytes).check("it has", most)?;
    Ok(bytes)
}

/// Opens a file, or whatever has its name, for reading.
pub(super) fn open_file(dir: &Dir, name: &[u8], links: Links) -> io::Result<File> {
    match links {
        Links::Follow => dir.open_file_following(name),
        Links::Keep | Links::Skip => dir.open_file(name),
    }
}
