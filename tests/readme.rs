//! README.md keeps what it promises: its commands are taken from its own text, and run by a real
//! shell, with the real program.
//!
//! Must not hold a command itself: whoever changes README.md changes what is run here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "readme/browsers.rs"]
mod browsers;
#[path = "readme/network.rs"]
mod network;
#[path = "readme/pipes.rs"]
mod pipes;
#[path = "readme/replacing.rs"]
mod replacing;
#[path = "readme/scene.rs"]
mod scene;
#[path = "readme/sending.rs"]
mod sending;
mod support;
#[path = "readme/telling.rs"]
mod telling;
#[path = "readme/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use scene::Scene;
use support::*;
use text::{Part, prompted};

/// A test for each part of README.md, by its title; all commands in it are run.
macro_rules! parts {
    ($($title:literal: $module:ident::$name:ident,)*) => {
        const RUN: &[&str] = &[$($title),*];

        $(#[test]
        fn $name() {
            Scene::play($title, $module::$name);
        })*
    };
}

parts! {
    "Install": telling::completions_are_printed,
    "Send something": sending::the_first_file,
    "What arrives": sending::what_arrives,
    "Several things at once": sending::several_things,
    "Another name, or another folder": sending::another_name_or_folder,
    "Ports": sending::ports,
    "Who is here": sending::who_is_here,
    "Just one transfer": sending::just_one,
    "Not there yet": sending::what_is_not_there_yet,
    "Who is known here": sending::who_is_known,
    "Say something": sending::something_is_said,
    "What each may do": sending::what_each_may_do,
    "Ask me first": sending::each_offer_is_asked_about,
    "Anyone may send": sending::anyone_may_send,
    "The same each time": telling::the_same_each_time,
    "Not everything": sending::not_everything,
    "Only what has changed": replacing::only_what_has_changed,
    "A mirror": replacing::a_mirror,
    "A mirror that removes too much": replacing::a_mirror_that_removes_too_much,
    "What would happen?": replacing::what_would_happen,
    "What may be replaced": replacing::what_may_be_replaced,
    "What another program writes": pipes::what_another_program_writes,
    "For another program to read": pipes::for_another_program,
    "Not at full speed": sending::not_at_full_speed,
    "A list of sums": telling::a_list_of_sums,
    "Run something there": telling::run_something_there,
    "After each session": telling::after_each_session,
    "Scripts": telling::scripts,
    "To a phone, or anything with a browser": browsers::to_a_browser,
    "From a phone, or anything with a browser": browsers::from_a_browser,
    "From a machine with curl alone": browsers::by_a_script,
    "Who else may": browsers::who_else_may,
    "Fetch instead of send": browsers::fetching,
}

/// What is not run here, by its title or as a line of its own, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("A chat", "it takes two terminals: tests/chat.rs has them"),
    ("./install.sh", "builds for minutes; .ci/run installs by it"),
    (
        concat!(
            "sudo dpkg -i xfer_",
            env!("CARGO_PKG_VERSION"),
            "-1_amd64.deb"
        ),
        "changes this machine; dist/check.sh installs it in another",
    ),
    (
        concat!(
            "sudo rpm -U xfer-",
            env!("CARGO_PKG_VERSION"),
            "-1.x86_64.rpm"
        ),
        "changes this machine; dist/check.sh installs it in another",
    ),
    (
        "powershell -ExecutionPolicy Bypass -File install.ps1",
        "is for Windows",
    ),
    (
        "If a firewall is in the way",
        "changes the firewall of this machine",
    ),
    (
        "Uninstall",
        "deletes what .ci/run has installed, and is run there",
    ),
    (
        "As a service",
        "needs systemd, and somebody who is logged in",
    ),
    ("How safe it is", "names commands that others run"),
    (
        "How fast it is",
        "builds for minutes, and measures for minutes",
    ),
    ("Work on it", "runs all tests"),
    ("Dependencies", "has no commands"),
];

/// Whether this is not run here on purpose.
fn is_excused(what: &str) -> bool {
    NOT_RUN.iter().any(|(excused, _)| *excused == what)
}

#[test]
fn every_command_is_run_or_excused() {
    let parts = Part::all();
    let mut titles = BTreeSet::new();
    for part in &parts {
        let has_commands = !part.lines.is_empty() || !part.quoted_commands().is_empty();
        let is_known = RUN.contains(&&*part.title) || is_excused(&part.title);
        assert!(is_known || !has_commands, "nothing runs: {part:#?}");
        assert!(titles.insert(&part.title), "twice: {}", part.title);
    }
    let lines: Vec<_> = parts.iter().flat_map(|part| &part.lines).collect();
    for name in RUN.iter().chain(NOT_RUN.iter().map(|(name, _)| name)) {
        let is_there = titles.iter().any(|title| title == name);
        let is_line = lines.iter().any(|line| prompted(line).1 == *name);
        assert!(is_there || is_line, "README.md has no {name} any more");
    }
}

#[test]
fn every_option_and_file_that_it_names_is_there() {
    let sandbox = Sandbox::new();
    let help = |command| sandbox.me().run(&[command, "--help"]).text();
    let help: String = [
        "send", "recv", "pair", "say", "peers", "list", "share", "get",
    ]
    .map(help)
    .concat();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in Part::all() {
        let is_ours = |part: &&Part| RUN.contains(&&*part.title) || part.lines.is_empty();
        for option in Some(&part)
            .filter(is_ours)
            .iter()
            .flat_map(|p| p.quoted_options())
        {
            let name = option.split([' ', '=']).next().unwrap();
            let is_there = help
                .split([' ', '=', ',', '[', '\n'])
                .any(|word| word == name);
            assert!(is_there, "no {option} of {}", part.title);
        }
        let words = part.lines.iter().flat_map(|line| line.split_whitespace());
        let words: Vec<_> = words.map(str::to_owned).chain(part.quoted()).collect();
        let links = part.prose.split("](").skip(1);
        let links = links.map(|link| link.split([')', '#']).next().unwrap().to_owned());
        for path in words.into_iter().chain(links) {
            let ours = ["assets/", "benches/", "src/", "tests/", "fuzz/", "./"];
            let path = path.split(' ').next().unwrap();
            if ours.iter().any(|folder| path.starts_with(folder)) {
                assert!(root.join(path).exists(), "no {path} of {}", part.title);
            }
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = Sandbox::new().me().run(&["--help"]).text();
    let help = help.split_once("Exit codes:").unwrap().1;
    let help = help.split("\n\n").next().unwrap().replace('\n', " ");
    let codes: Vec<_> = help
        .split(';')
        .map(|code| code.trim().split_once(' ').unwrap())
        .collect();
    let rows = Part::of("Scripts").rows();
    let rows: Vec<_> = rows.iter().filter(|row| row.len() == 2).collect();
    assert_eq!(rows.len(), codes.len());
    for (row, (code, meaning)) in rows.iter().zip(codes) {
        assert_eq!(row[0], code);
        assert!(
            row[1].starts_with(meaning),
            "{code}: {} but {meaning}",
            row[1]
        );
    }
}

#[test]
fn an_image_with_four_changed_blocks_is_next_to_nothing() {
    replacing::an_image();
}

#[test]
fn a_log_that_grew_is_what_grew() {
    replacing::a_log();
}

#[test]
fn a_long_stream_takes_neither_memory_nor_disk() {
    pipes::a_long_stream(5 << 30);
}
