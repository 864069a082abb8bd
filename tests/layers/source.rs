//! The files below `src`, as text and as tokens.
//!
//! Must not know the rules that they keep to.

use std::fs;
use std::path::Path;

use crate::tokens::{self, Token, starts};

/// The two crates that are in `src`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Library,
    Program,
}

/// What belongs to the program, and not to the library.
const PROGRAM: [&str; 3] = ["main", "cli", "ui"];

/// A file below `src`.
pub(crate) struct Source {
    /// Its path there, with `/`.
    pub(crate) path: String,
    pub(crate) part: Part,
    /// Its text.
    pub(crate) text: String,
    /// Its text without whole lines of comment.
    pub(crate) code: String,
    /// Its tokens, without those that are only for tests.
    pub(crate) tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let top = top(path);
        Self {
            path: path.to_owned(),
            part: match PROGRAM.contains(&top) {
                true => Part::Program,
                false => Part::Library,
            },
            text: text.to_owned(),
            code: text.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
            tokens: tokens::without_tests(&tokens::tokens(text)),
        }
    }

    /// The top module that it belongs to.
    pub(crate) fn module(&self) -> &str {
        top(&self.path)
    }

    pub(crate) fn is_program(&self) -> bool {
        self.part == Part::Program
    }

    /// Where it stands in its crate: `["net", "tls"]`.
    pub(crate) fn place(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let mut place: Vec<String> = path.split('/').map(str::to_owned).collect();
        if self.is_face() {
            place.pop();
        }
        place
    }

    /// Whether it is what its folder shows to others.
    pub(crate) fn is_face(&self) -> bool {
        let name = self.path.rsplit('/').next();
        matches!(name, Some("mod.rs" | "lib.rs" | "main.rs"))
    }

    /// How many lines come before its tests.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let is_test = |line: &str| line.starts_with("#[cfg(test)]");
        let lines = self.text.lines().take_while(|line| !is_test(line));
        lines.count()
    }

    /// The lines that have a whole word.
    pub(crate) fn naming(&self, word: &str) -> Vec<&str> {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let has = |line: &&str| {
            line.match_indices(word).any(|(at, _)| {
                let after = &line[at + word.len()..];
                let goes_on = word.ends_with(part_of_word) && after.starts_with(part_of_word);
                !line[..at].ends_with(part_of_word) && !goes_on
            })
        };
        self.code.lines().filter(has).collect()
    }
}

/// Every file below `src` that is part of the program that is shipped.
pub(crate) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                sources.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "where is the source?");
    // Whole files that no release has.
    sources.retain(|source| !source.path.ends_with("/tests.rs") && source.path != "fuzz.rs");
    sources
}

/// The kinds of systems.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Unix,
    Windows,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Windows => "windows",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Unix => Self::Windows,
            Self::Windows => Self::Unix,
        }
    }
}

/// What of it is compiled on a kind of system.
pub(crate) fn on(system: System) -> Vec<Source> {
    let other = system.other().name();
    let mut sources = all();
    let folder = format!("sys/{other}/");
    sources.retain(|source| !source.path.starts_with(&folder));
    for source in &mut sources {
        source.tokens = tokens::without(&source.tokens, |tokens| {
            starts(tokens, &["#", "[", "cfg", "(", other, ")", "]"])
        });
    }
    sources
}

fn top(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.trim_end_matches(".rs")
}
