//! The source keeps to its layers and its words: imports only point down the picture in
//! `src/lib.rs` and go in no circle, what is to be named in one place is named there alone, and
//! one name means one thing.
//!
//! What does not yet keep to a rule stands in `exceptions.rs`, and nothing that does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exceptions;
mod graph;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use graph::Graph;
use source::Source;
use tokens::{Token, after_group, starts};

/// The folders of the library, bottom up, and which of those before it each may use.
const LAYERS: [(&str, &[&str]); 7] = [
    ("sys", &[]),
    // The bytes of a name, which only the system knows.
    ("model", &["sys"]),
    ("wire", &["model"]),
    // Its records on disk are encoded as messages are.
    ("store", &["model", "sys", "wire"]),
    ("source", &["model", "sys"]),
    ("net", &["model", "sys", "wire"]),
    (
        "transfer",
        &["model", "sys", "wire", "store", "source", "net"],
    ),
];

/// More lines than this before its tests, and a file is about two things.
const MAX_LINES: usize = 500;

/// Words that would have to be explained, and the plain one for each.
const METAPHORS: [(&str, &str); 11] = [
    ("bell", "wake-up"),
    ("board", "what is shown"),
    ("books", "accounts"),
    ("busy", "in use"),
    ("desk", "pairing attempts"),
    ("door", "admission"),
    ("fate", "outcome"),
    ("guest", "connection, peer"),
    ("hands", "what is handed on"),
    ("knock", "connect"),
    ("twin", "what was there before"),
];

/// Fails unless what was found is just what is excepted.
#[track_caller]
fn only_excepted(found: impl IntoIterator<Item = String>, excepted: &[&str]) {
    let found: BTreeSet<String> = found.into_iter().collect();
    let excepted: BTreeSet<String> = excepted.iter().map(|&text| text.to_owned()).collect();
    let list = |texts: Vec<&String>| {
        let lines = texts.iter().map(|text| format!("    {text:?},"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let wrong = list(found.difference(&excepted).collect());
    assert!(wrong.is_empty(), "against the rules:\n{wrong}");
    let mended = list(excepted.difference(&found).collect());
    assert!(
        mended.is_empty(),
        "no longer excepted (take these lines out of tests/layers/exceptions.rs):\n{mended}"
    );
}

/// Fails where there is something wrong.
#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    let sources = source::all();
    let graph = Graph::of(&sources);
    let module = |path: &str| Source::new(path, "").module().to_owned();
    for source in sources.iter().filter(|source| !source.is_program()) {
        let name = source.module();
        if name == "lib" {
            continue;
        }
        let Some((_, others)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            panic!("{}: give {name} a place among the layers", source.path);
        };
        for (to, names) in graph.edges.get(&source.path).into_iter().flatten() {
            let used = module(to);
            if used != name && !others.contains(&used.as_str()) {
                wrong.push(format!("{} -> {to}: {names:?}", source.path));
            }
        }
    }
    none(wrong);
}

#[test]
fn the_program_stands_on_the_library() {
    let mut wrong = Vec::new();
    for (from, others) in graphs().flat_map(|graph| graph.edges) {
        for to in others.keys() {
            if from.starts_with("ui/") && (to.starts_with("cli/") || to == "main.rs") {
                wrong.push(format!("{from} -> {to}"));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_name_is_found() {
    only_excepted(graphs().flat_map(|graph| graph.unknown), &[]);
}

#[test]
fn no_files_import_each_other() {
    let circles = graphs().flat_map(|graph| file_circles(&graph));
    only_excepted(circles.flatten(), exceptions::CIRCLES);
}

#[test]
fn no_folders_import_each_other() {
    let circles = graphs().flat_map(|graph| folder_circles(&graph));
    only_excepted(circles, exceptions::FOLDER_CIRCLES);
}

/// Who uses whom, on each kind of system.
fn graphs() -> impl Iterator<Item = Graph> {
    let systems = [source::System::Unix, source::System::Windows];
    systems
        .into_iter()
        .map(|system| Graph::of(&source::on(system)))
}

fn file_circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    graph.circles(|path| Some(path.to_owned()))
}

/// The circles that show once all that is in a folder is taken as one: in each folder, those of
/// what is in it that go through another folder.
fn folder_circles(graph: &Graph) -> Vec<String> {
    let paths = || {
        graph
            .edges
            .iter()
            .flat_map(|(from, to)| to.keys().chain([from]))
    };
    let folders = paths().flat_map(|path| {
        let ends = path.match_indices('/').map(|(at, _)| at + 1).chain([0]);
        ends.map(|end| path[..end].to_owned())
    });
    let folders: BTreeSet<String> = folders.collect();
    let mut found = Vec::new();
    for folder in folders {
        let circles = graph.circles(|path| {
            let rest = path.strip_prefix(&folder)?;
            let end = rest.find('/').map_or(rest.len(), |at| at + 1);
            Some(rest[..end].to_owned())
        });
        for circle in circles {
            if circle.iter().any(|node| node.ends_with('/')) {
                let nodes: Vec<String> = circle.into_iter().collect();
                found.push(format!("src/{folder}: {}", nodes.join(" ")));
            }
        }
    }
    found
}

#[test]
fn files_are_short() {
    let long = source::all().into_iter().filter_map(|source| {
        let lines = source.lines_before_tests();
        (lines > MAX_LINES).then_some(source.path)
    });
    only_excepted(long, exceptions::LONG);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = source::all().into_iter().filter_map(|source| {
        let says = source.text.starts_with("//!");
        (!says).then_some(source.path)
    });
    only_excepted(silent, exceptions::SILENT);
}

#[test]
fn only_sys_knows_the_system() {
    let mut found = Vec::new();
    for source in source::all() {
        if source.module() == "sys" {
            continue;
        }
        let tokens = &source.tokens;
        for at in 0..tokens.len() {
            if let Some(what) = of_the_system(&tokens[at..]) {
                found.push(format!("{}: {what}", source.path));
            }
        }
    }
    only_excepted(found, exceptions::SYSTEM);
}

/// What a line begins with that only one kind of system has.
fn of_the_system(tokens: &[Token]) -> Option<String> {
    const PREDICATES: [&str; 6] = [
        "unix",
        "windows",
        "target_os",
        "target_family",
        "target_vendor",
        "target_env",
    ];
    if ["rustix", "libc", "windows_sys"]
        .iter()
        .any(|system| starts(tokens, &[system]))
    {
        return Some(tokens[0].clone());
    }
    for system in ["unix", "fd", "linux", "windows"] {
        if starts(tokens, &["os", "::", system]) {
            return Some(format!("std::os::{system}"));
        }
    }
    let group = match tokens {
        [cfg, bang, ..] if cfg == "cfg" && bang == "!" => 2,
        [cfg, ..] if cfg == "cfg" || cfg == "cfg_attr" => 1,
        _ => return None,
    };
    let inside = &tokens[..after_group(tokens, group)];
    let of_system = |token: &&Token| PREDICATES.contains(&token.as_str());
    inside
        .iter()
        .find(of_system)
        .map(|word| format!("cfg({word})"))
}

#[test]
fn a_type_has_a_name_of_its_own() {
    let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in source::all() {
        // What one system has, the other has by the same name.
        if source.path.starts_with("sys/windows/") {
            continue;
        }
        for name in types(&source.tokens) {
            homes.entry(name).or_default().insert(source.path.clone());
        }
    }
    let shared = homes.iter().filter(|(_, files)| files.len() > 1);
    let found = shared.flat_map(|(name, files)| {
        let at = |file: &String| format!("{name} in {file}");
        files.iter().map(at).collect::<Vec<_>>()
    });
    only_excepted(found, exceptions::SHARED_TYPES);
}

/// The types that a file defines, but for those that belong to a trait.
fn types(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    for pair in tokens.windows(2) {
        match pair[0].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "struct" | "enum" | "trait" | "union" => found.push(pair[1].clone()),
            "type" if depth == 0 => found.push(pair[1].clone()),
            _ => {}
        }
    }
    found
}

#[test]
fn names_say_what_they_mean() {
    let mut found = Vec::new();
    for source in source::all() {
        let path = [source.path.replace(['/', '.'], "_")];
        for name in of_our_own(&source.tokens).chain(&path) {
            for word in words(name) {
                let is = |plain: &&(&str, &str)| word == plain.0 || word == format!("{}s", plain.0);
                if let Some((metaphor, plain)) = METAPHORS.iter().find(is) {
                    found.push(format!("{}: {metaphor} ({plain}?)", source.path));
                }
            }
        }
    }
    only_excepted(found, exceptions::METAPHORS);
}

/// The tokens that are no names of the system's errors.
fn of_our_own(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let are_errors = |at: usize| {
        at >= 2 && tokens[at - 1] == "::" && ["Errno", "ErrorKind"].contains(&&*tokens[at - 2])
    };
    let all = tokens.iter().enumerate();
    all.filter(move |(at, _)| !are_errors(*at))
        .map(|(_, token)| token)
}

/// The words of a name, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if c == '_' || (was_small && c.is_uppercase()) {
            words.push(String::new());
        }
        was_small = c.is_lowercase();
        if let Some(word) = words.last_mut()
            && c != '_'
        {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// Fails where a file other than those that `may` names one of `words`.
#[track_caller]
fn only(words: &[&str], may: impl Fn(&Source) -> bool) {
    let mut wrong = Vec::new();
    for source in source::all().iter().filter(|source| !may(source)) {
        for word in words {
            for line in source.naming(word) {
                wrong.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    none(wrong);
}

#[test]
fn one_file_names_the_codec() {
    only(&["bincode"], |source| source.path == "wire/codec.rs");
}

#[test]
fn one_file_names_the_hashes() {
    only(&["sha2::", "blake3::"], |source| {
        source.path == "model/digest.rs"
    });
}

#[test]
fn one_file_names_the_sandbox() {
    only(&["landlock"], |source| source.path == "sys/unix/confine.rs");
}

#[test]
fn one_file_names_the_matcher_of_patterns() {
    only(&["ignore::"], |source| source.path == "source/filter.rs");
}

#[test]
fn one_folder_names_the_http_server_and_its_runtime() {
    let words = [
        "hyper::",
        "hyper_util::",
        "tokio::",
        "tokio_rustls::",
        "crc32fast",
        "base64::",
    ];
    only(&words, |source| source.path.starts_with("transfer/web/"));
}

#[test]
fn one_file_starts_threads() {
    only(&["thread::Builder"], |source| {
        source.path == "sys/worker.rs"
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
        "process::exit",
        "process::abort",
    ];
    only(&words, Source::is_program);
    // What the program knows of these streams, it knows from there.
    // Those of other processes are made there.
    let may_open = [
        "sys/unix/stream.rs",
        "sys/unix/terminal.rs",
        "sys/unix/commands/process.rs",
        "sys/windows/stream.rs",
        "sys/windows/terminal.rs",
        "sys/windows/commands.rs",
    ];
    only(&["stdout", "stderr"], |source| {
        source.is_program() || may_open.contains(&&*source.path)
    });
}

/// A crate made of these files.
fn crate_of(files: &[(&str, &str)]) -> Graph {
    let source = |(path, text): &(&str, &str)| Source::new(path, text);
    Graph::of(&files.iter().map(source).collect::<Vec<_>>())
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let ways = [
        ("use super::b::B;", "use super::a::A;"),
        (
            "use crate::d::{self, b::{B as X}};",
            "use crate::d::a; fn f() -> a::A {}",
        ),
        (
            "fn f() { super::b::B::new() }",
            "fn g() { matches!(x, crate::d::a::A::X) }",
        ),
        // Through the face of the folder, and from there through that of the crate.
        ("use super::B;", "use crate::A;"),
        (
            "#[cfg(x)] use super::c as s; #[cfg(y)] use super::b as s; fn f() -> s::B {}",
            "use super::a::A;",
        ),
        (
            "mod inner { use super::super::b::B; }",
            "use super::a::{A,};",
        ),
    ];
    for (in_a, in_b) in ways {
        let a = format!("{in_a} pub struct A;");
        let b = format!("{in_b} pub enum B {{ X }}");
        let graph = crate_of(&[
            ("lib.rs", "mod d; pub use d::A;"),
            (
                "d/mod.rs",
                "mod a; mod b; mod c; pub use a::A; pub use b::B;",
            ),
            ("d/c.rs", "pub struct B;"),
            ("d/a.rs", &a),
            ("d/b.rs", &b),
        ]);
        let circles = file_circles(&graph);
        assert_eq!(graph.unknown.len(), 0, "{:?}", graph.unknown);
        assert_eq!(circles.len(), 1, "{in_a} {in_b}: {:?}", graph.edges);
        assert!(circles[0].iter().eq(["d/a.rs", "d/b.rs"]), "{circles:?}");
    }
}

#[test]
fn what_is_no_circle_is_not_seen_as_one() {
    let ways = [
        // Only for tests, in a comment, in a string.
        "#[cfg(test)] mod tests { use super::super::a::A; } pub struct B;",
        "// use super::a::A;\n/* use super::a::A; */ const B: &str = \"super::a::A\";",
        "#[cfg(any(test, feature = \"testing\"))] use super::a::A; pub struct B;",
        "#[cfg(test)] pub(crate) fn f() { super::a::A; } pub struct B;",
        // Its own, by the same name, and a module that nothing is taken from.
        "use super::a; struct A; fn f(a: A) { A::a(a) } pub struct B;",
    ];
    for in_b in ways {
        let graph = crate_of(&[
            ("lib.rs", "mod d;"),
            ("d/mod.rs", "mod a; mod b; pub use a::A;"),
            ("d/a.rs", "use super::b::B; pub struct A;"),
            ("d/b.rs", in_b),
        ]);
        assert_eq!(graph.unknown.len(), 0, "{:?}", graph.unknown);
        assert_eq!(file_circles(&graph).len(), 0, "{in_b}: {:?}", graph.edges);
    }
}

#[test]
fn a_circle_of_folders_is_seen_where_its_files_make_none() {
    let graph = crate_of(&[
        ("lib.rs", "mod d;"),
        ("d/mod.rs", "mod e; mod f;"),
        ("d/e/mod.rs", "mod a; mod b;"),
        ("d/e/a.rs", "use crate::d::f::C; pub struct A;"),
        ("d/e/b.rs", "pub struct B;"),
        ("d/f.rs", "use super::e::b::B; pub struct C;"),
    ]);
    assert_eq!(file_circles(&graph).len(), 0);
    assert_eq!(folder_circles(&graph), ["src/d/: e/ f.rs"]);
}

#[test]
fn an_exception_has_to_be_needed() {
    only_excepted(["a".to_owned()], &["a"]);
    let fails = |found: &[&str], excepted: &'static [&str]| {
        let found: Vec<String> = found.iter().map(|&text| text.to_owned()).collect();
        std::panic::catch_unwind(move || only_excepted(found, excepted)).is_err()
    };
    assert!(fails(&["a", "b"], &["a"]));
    assert!(fails(&["a"], &["a", "b"]));
}
