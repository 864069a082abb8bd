//! The source keeps to its layers: imports only point down the picture in `src/lib.rs`, and what
//! is to be named in one file alone is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the library, bottom up, and which of those before it each may use.
const LAYERS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("sys", &["model"]),
    ("wire", &["model"]),
    // Its records on disk are encoded as messages are.
    ("store", &["model", "sys", "wire"]),
    ("source", &["model", "sys"]),
    ("net", &["model", "sys", "wire"]),
    (
        "transfer",
        &["model", "sys", "wire", "store", "source", "net"],
    ),
    ("fuzz", &["model", "wire", "store", "net"]),
];

/// What belongs to the program, and not to the library.
const PROGRAM: [&str; 3] = ["main", "cli", "ui"];

/// A file below `src`.
struct Source {
    /// Its path there.
    path: PathBuf,
    /// Its text without whole lines of comment.
    code: String,
}

impl Source {
    /// The top module that it belongs to.
    fn module(&self) -> String {
        let first = self.path.components().next().unwrap().as_os_str();
        Path::new(first)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    fn is_program(&self) -> bool {
        PROGRAM.contains(&&*self.module())
    }

    /// The lines that have a whole word.
    fn naming(&self, word: &str) -> Vec<&str> {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .lines()
            .filter(|line| {
                line.match_indices(word).any(|(at, _)| {
                    let after = &line[at + word.len()..];
                    let goes_on = word.ends_with(part_of_word) && after.starts_with(part_of_word);
                    !line[..at].ends_with(part_of_word) && !goes_on
                })
            })
            .collect()
    }

    /// The lines that reach the top of the crate by `super` alone, past what [`Self::uses`] sees.
    fn climbing(&self) -> Vec<&str> {
        let is_folder = self.path.file_name().unwrap() == "mod.rs";
        let mut depth = self.path.components().count() - usize::from(is_folder);
        let mut found = Vec::new();
        for line in self.code.lines() {
            if line.trim_start().starts_with("mod tests {") {
                depth += 1;
            }
            if line.contains(&"super::".repeat(depth)) {
                found.push(line.trim());
            }
        }
        found
    }

    /// The modules of the same crate that it names from the top.
    fn uses(&self) -> BTreeSet<String> {
        let code = &self.code;
        let uses = code.match_indices("crate::").map(|(at, word)| {
            let rest = &code[at + word.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        uses.collect()
    }
}

/// Every file below `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let is_code = |line: &&str| !line.trim_start().starts_with("//");
                sources.push(Source {
                    path: path.strip_prefix(&root).unwrap().to_path_buf(),
                    code: text.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
                });
            }
        }
    }
    assert!(sources.len() > 50, "where is the source?");
    sources
}

/// Which modules a module may name; itself too.
fn may_use(module: &str) -> Option<BTreeSet<&str>> {
    let (name, others) = LAYERS.iter().find(|(name, _)| *name == module)?;
    Some(others.iter().chain([name]).copied().collect())
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module();
        let path = source.path.display();
        if source.is_program() || module == "lib" {
            continue;
        }
        let Some(allowed) = may_use(&module) else {
            panic!("{path}: give {module} a place among the layers");
        };
        for used in source.uses() {
            // Short names for the crate's one error and its result.
            let used = match used.as_str() {
                "Error" | "Result" => "model",
                other => other,
            };
            if !allowed.contains(used) {
                wrong.push(format!("{path}: crate::{used}"));
            }
        }
        for line in source.climbing() {
            wrong.push(format!("{path}: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_program_stands_on_the_library() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.is_program()) {
        let allowed: &[&str] = match source.module().as_str() {
            "ui" => &["ui"],
            _ => &["cli", "ui"],
        };
        for used in source.uses() {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: crate::{used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fails where a file other than those that `may` names one of `words`.
#[track_caller]
fn only(words: &[&str], may: impl Fn(&Source) -> bool) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !may(source)) {
        for word in words {
            for line in source.naming(word) {
                wrong.push(format!("{}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_file_names_the_codec() {
    only(&["bincode"], |source| {
        source.path == Path::new("wire/codec.rs")
    });
}

#[test]
fn one_file_names_the_hashes() {
    only(&["sha2::", "blake3::"], |source| {
        source.path == Path::new("model/digest.rs")
    });
}

#[test]
fn one_file_names_the_sandbox() {
    only(&["landlock"], |source| {
        source.path == Path::new("sys/confine.rs")
    });
}

#[test]
fn one_file_names_the_matcher_of_patterns() {
    only(&["ignore::"], |source| {
        source.path == Path::new("source/filter.rs")
    });
}

#[test]
fn only_the_command_line_knows_its_parser() {
    only(&["clap"], |source| source.module() == "cli");
}

#[test]
fn the_library_neither_prints_nor_exits() {
    let words = [
        "print!",
        "println!",
        "eprint!",
        "eprintln!",
        "dbg!",
        "stdout",
        "stderr",
        "process::exit",
        "process::abort",
    ];
    only(&words, Source::is_program);
}
