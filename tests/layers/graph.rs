//! Which file takes which names from which file.
//!
//! A name belongs to the file that defines it, however many files hand it on. Must not judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Part, Source};
use crate::tokens::{Token, after_group, starts};

/// A path of Rust: `["crate", "model", "error"]`.
type Path = Vec<String>;

/// What is imported: under which name, from where, and whether it is handed on.
struct Import {
    name: String,
    path: Path,
    handed_on: bool,
}

/// A file as a module of its crate.
struct Module<'a> {
    source: &'a Source,
    /// Where it stands: `["net", "tls"]`.
    place: Path,
    defined: BTreeSet<String>,
    imports: Vec<Import>,
    /// Each path that is named outside of imports, and each name.
    named: BTreeSet<Path>,
}

/// The files of a program and its library, by who uses whom.
#[derive(Default)]
pub(crate) struct Graph {
    /// From a file to a file, with the names that are taken.
    pub(crate) edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// What could not be found: the graph would be false without it.
    pub(crate) unknown: BTreeSet<String>,
}

impl Graph {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let modules: Vec<Module<'_>> = sources.iter().map(Module::read).collect();
        let mut graph = Self::default();
        for module in &modules {
            for path in module.taken() {
                graph.take(&modules, module, &path);
            }
        }
        graph
    }

    fn take(&mut self, modules: &[Module<'_>], from: &Module<'_>, path: &Path) {
        // More than one where an import depends on the system.
        for found in find(modules, from, path, 0) {
            self.note(from, path, found);
        }
    }

    fn note(&mut self, from: &Module<'_>, path: &Path, found: Found<'_>) {
        match found {
            Found::Name(owner, name) if owner.source.path != from.source.path => {
                let edges = self.edges.entry(from.source.path.clone()).or_default();
                edges
                    .entry(owner.source.path.clone())
                    .or_default()
                    .insert(name);
            }
            Found::Unknown => {
                let text = format!("{}: {}", from.source.path, path.join("::"));
                self.unknown.insert(text);
            }
            _ => {}
        }
    }

    /// The circles among the nodes that `name` makes of the files, and the imports that tie them.
    /// A file without a name is left out.
    pub(crate) fn circles(&self, name: impl Fn(&str) -> Option<String>) -> Vec<BTreeSet<String>> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, others) in &self.edges {
            for to in others.keys() {
                if let (Some(from), Some(to)) = (name(from), name(to))
                    && from != to
                {
                    edges.entry(from).or_default().insert(to);
                }
            }
        }
        let reached: BTreeMap<&String, BTreeSet<&String>> = edges
            .keys()
            .map(|from| (from, reach(&edges, from)))
            .collect();
        let mut circles = BTreeSet::new();
        for (node, reaches) in &reached {
            if reaches.contains(node) {
                let back = |other: &&&String| reached.get(*other).is_some_and(|r| r.contains(node));
                circles.insert(reaches.iter().filter(back).map(|n| (*n).clone()).collect());
            }
        }
        circles.into_iter().collect()
    }
}

/// All that can be come to from a node.
fn reach<'a>(edges: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = edges.get(from).into_iter().flatten().collect();
    while let Some(node) = next.pop() {
        if reached.insert(node) {
            next.extend(edges.get(node).into_iter().flatten());
        }
    }
    reached
}

/// What a path leads to.
enum Found<'a> {
    /// A name that this module defines.
    Name(&'a Module<'a>, String),
    /// A module itself: nothing is taken from it yet.
    Module,
    /// Another crate, or something in the same file.
    Elsewhere,
    Unknown,
}

/// Through how many imports a name may come.
const MAX_IMPORTS: usize = 10;

fn find<'a>(
    modules: &'a [Module<'a>],
    from: &'a Module<'a>,
    path: &Path,
    depth: usize,
) -> Vec<Found<'a>> {
    let part = from.source.part;
    let mut place = from.place.clone();
    let mut rest = path.as_slice();
    let mut in_part = part;
    match rest[0].as_str() {
        "crate" | "self" | "super" => {
            while let Some(word) = rest.first() {
                match word.as_str() {
                    "crate" => place.clear(),
                    "self" => {}
                    "super" => drop(place.pop()),
                    _ => break,
                }
                rest = &rest[1..];
            }
        }
        "xfer" if part == Part::Program => {
            place.clear();
            in_part = Part::Library;
            rest = &rest[1..];
        }
        first => {
            let is_known = from.child(modules, first)
                || from.defined.contains(first)
                || from
                    .imports
                    .iter()
                    .any(|import| import.name == first && import.path[0] != first);
            if !is_known {
                return vec![Found::Elsewhere];
            }
        }
    }
    let at = |place: &Path| {
        let here = |m: &&Module<'_>| m.source.part == in_part && m.place == *place;
        modules.iter().find(here)
    };
    let Some(mut module) = at(&place) else {
        return vec![Found::Unknown];
    };
    while let Some((word, after)) = rest.split_first() {
        if module.child(modules, word) {
            place.push(word.clone());
            let Some(child) = at(&place) else {
                return vec![Found::Unknown];
            };
            (module, rest) = (child, after);
        } else if module.defined.contains(word) {
            return vec![Found::Name(module, word.clone())];
        } else if depth < MAX_IMPORTS && module.imports.iter().any(|i| i.name == *word) {
            let imports = module.imports.iter().filter(|i| i.name == *word);
            let found = imports.flat_map(|import| {
                let mut path = import.path.clone();
                path.extend_from_slice(after);
                find(modules, module, &path, depth + 1)
            });
            return found.collect();
        } else {
            return vec![Found::Unknown];
        }
    }
    vec![Found::Module]
}

impl<'a> Module<'a> {
    fn read(source: &'a Source) -> Self {
        let mut module = Self {
            source,
            place: source.place(),
            defined: BTreeSet::new(),
            imports: Vec::new(),
            named: BTreeSet::new(),
        };
        let tokens = &source.tokens;
        let (mut at, mut depth, mut handed_on) = (0, 0usize, false);
        // At which depth each module inside of the file began.
        let mut inner: Vec<usize> = Vec::new();
        while at < tokens.len() {
            let token = tokens[at].as_str();
            let next = tokens.get(at + 1).map_or("", String::as_str);
            match token {
                "pub" => {
                    handed_on = true;
                    at += 1;
                    if next == "(" {
                        at = after_group(tokens, at);
                    }
                    continue;
                }
                "use" if next != "<" => {
                    let end = at + tokens[at..].iter().position(|t| t == ";").unwrap_or(0);
                    module.import(&tokens[at + 1..end], &[], inner.len(), handed_on);
                    at = end;
                }
                "mod" if starts(&tokens[at + 2..], &["{"]) => {
                    inner.push(depth);
                    depth += 1;
                    at += 2;
                }
                "mod" => at += 1,
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inner.last() == Some(&depth) {
                        inner.pop();
                    }
                }
                _ if is_type(token) || is_definition(token) && depth == inner.len() => {
                    let name = tokens[at + 1..]
                        .iter()
                        .find(|t| *t != "unsafe" && *t != "!");
                    module.defined.extend(name.cloned());
                }
                _ if is_name(token)
                    && (at == 0 || tokens[at - 1] != "::" && tokens[at - 1] != ".") =>
                {
                    let (path, end) = path(tokens, at);
                    module.named.insert(outside(path, inner.len()));
                    at = end - 1;
                }
                _ => {}
            }
            handed_on = false;
            at += 1;
        }
        module
    }

    /// Takes in what stands behind `use`, or between braces there.
    fn import(&mut self, tree: &[Token], before: &[String], inner: usize, handed_on: bool) {
        let mut at = 0;
        let mut so_far = before.to_vec();
        while at < tree.len() {
            match tree[at].as_str() {
                "::" => at += 1,
                "," => {
                    so_far = before.to_vec();
                    at += 1;
                }
                "{" => {
                    let end = after_group(tree, at);
                    self.import(&tree[at + 1..end - 1], &so_far, inner, handed_on);
                    at = end;
                }
                word => {
                    so_far.push(word.to_owned());
                    at += 1;
                    let goes_on = tree.get(at).is_some_and(|t| t == "::");
                    if goes_on {
                        continue;
                    }
                    let mut path = so_far.clone();
                    if path.len() > 1 && word == "self" {
                        path.pop();
                    }
                    let mut name = path.last().cloned().unwrap_or_default();
                    if starts(&tree[at..], &["as"]) {
                        name.clone_from(&tree[at + 1]);
                        at += 2;
                    }
                    self.imports.push(Import {
                        name,
                        path: outside(path, inner),
                        handed_on,
                    });
                }
            }
        }
    }

    /// All paths whose end this file takes from somewhere.
    fn taken(&self) -> BTreeSet<Path> {
        let mut taken = BTreeSet::new();
        for import in &self.imports {
            let used = || self.named.iter().any(|path| path[0] == import.name);
            // The face of a folder shows what others have made.
            if !(import.handed_on && self.source.is_face()) || used() {
                taken.insert(import.path.clone());
            }
        }
        taken.extend(self.named.iter().filter(|path| path.len() > 1).cloned());
        taken
    }

    fn child(&self, modules: &[Module<'_>], name: &str) -> bool {
        modules.iter().any(|module| {
            let (last, parent) = module.place.split_last().unzip();
            module.source.part == self.source.part
                && last.is_some_and(|last| last == name)
                && parent.is_some_and(|parent| parent == self.place)
        })
    }
}

/// A path as it is seen from the file, where it stands in so many modules within.
fn outside(path: Path, inner: usize) -> Path {
    let up = path
        .iter()
        .take_while(|word| *word == "super")
        .count()
        .min(inner);
    let mut rest = path[up..].to_vec();
    if up > 0 && rest.first().is_none_or(|word| word != "super") {
        rest.insert(0, "self".to_owned());
    }
    rest
}

/// The path that begins at `at`, and where it ends.
fn path(tokens: &[Token], mut at: usize) -> (Path, usize) {
    let mut path = vec![tokens[at].clone()];
    at += 1;
    while starts(&tokens[at..], &["::"]) && tokens.get(at + 1).is_some_and(|t| is_name(t)) {
        path.push(tokens[at + 1].clone());
        at += 2;
    }
    (path, at)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// What defines a type, also within a macro that adds to it.
fn is_type(token: &str) -> bool {
    matches!(token, "struct" | "enum" | "trait" | "union")
}

fn is_definition(token: &str) -> bool {
    matches!(token, "type" | "fn" | "const" | "static" | "macro_rules")
}
