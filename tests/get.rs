//! Fetching what another machine shares: all of it or some, by whom, and how it resumes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;

use support::*;

/// `xfer share` on a free port of 127.0.0.1.
fn share_command(user: &User, args: &[&str]) -> Command {
    let mut command = user.command(&["share", "--listen", "127.0.0.1:0"]);
    command.args(args);
    command
}

fn share(user: &User, args: &[&str]) -> Recv {
    Recv::start(share_command(user, args))
}

#[test]
fn a_share_says_what_to_type_and_takes_no_files() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&sandbox.me(), &["src"]);
    let target = share.target();
    let printed = share.process().printed();
    printed.assert_says(&format!("Listening on {target}, sharing src"));
    share.process().wait_for_text(&format!("xfer get {target}"));
    let sent = sandbox.send(&[], &target);
    sent.assert_code(1).assert_says("xfer get NAME");
    let said = sandbox.me().run(&["say", &target, "hello"]);
    assert_ne!(said.code, Some(0), "{said}");
    share.interrupt().assert_code(0);
}

#[test]
fn a_share_ends_when_its_time_is_over() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&sandbox.me(), &["--for", "1s", "src"]);
    share.wait().assert_code(0);
    let wrong = sandbox.me().run(&["share", "--for", "1 year", "src"]);
    wrong
        .assert_code(2)
        .assert_says("such as 90s, 30m, 1h or 2d");
}

#[test]
fn what_cannot_be_shared_is_said_at_once() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let missing = me.run(&["share", "no such folder"]);
    missing.assert_code(1).assert_says("Check the name.");
    let none = me.run(&["share"]);
    none.assert_code(2);
}
