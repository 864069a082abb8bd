//! `-vv`: what developers are told of a transfer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;

use support::*;

/// What each line of it has.
const DEBUG: &str = "DEBUG xfer::";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn very_verbose_tells_of_sessions_and_lanes_on_both_sides_harmlessly() {
    let sandbox = Sandbox::new();
    // Large enough to be told of by its name, which would clear a terminal.
    let name = "\u{1b}[2J\u{202e}evil\nDEBUG xfer::forged";
    make_file(sandbox.src().join(name), 1, 3 * CHUNK);
    let recv = sandbox.recv_with(&["-vv"]);
    let path = sandbox.src().join(name);
    let target = recv.target();
    let args = [OsStr::new("-vv"), path.as_os_str(), OsStr::new(&target)];
    let sent = sandbox.me().send(&args);
    sent.assert_code(0).assert_harmless();
    let received = recv.interrupt();
    received.assert_code(0).assert_harmless();
    for (output, words) in [
        (
            &sent,
            &["connected", "as sender", "lane joined", "wanted"][..],
        ),
        (
            &received,
            &[
                "connection accepted",
                "as receiver",
                "lane joined",
                "all is on disk",
            ][..],
        ),
    ] {
        let text = stderr(output);
        for word in words.iter().chain(&["session ends well"]) {
            let told = |line: &str| line.contains(DEBUG) && line.contains(word);
            assert!(text.lines().any(told), "no {word:?}: {output}");
        }
        let forged = |line: &str| line.starts_with("DEBUG xfer::forged");
        assert!(!text.lines().any(forged), "{output}");
        // The file's own name has these words, and begins no line with them.
        let stdout = String::from_utf8_lossy(&output.stdout);
        let is_told = |line: &str| {
            line.split_once("s ")
                .is_some_and(|(_, rest)| rest.starts_with(DEBUG))
        };
        assert!(!stdout.lines().any(is_told), "{output}");
    }
}

#[test]
fn once_verbose_tells_nothing_of_that() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    let recv = sandbox.recv_with(&["-v"]);
    let path = sandbox.src().join("file");
    let target = recv.target();
    let sent = sandbox
        .me()
        .send(&[OsStr::new("-v"), path.as_os_str(), OsStr::new(&target)]);
    sent.assert_code(0).assert_says("Stored: file");
    let received = recv.interrupt();
    assert!(!stderr(&sent).contains(DEBUG), "{sent}");
    assert!(!stderr(&received).contains(DEBUG), "{received}");
}

#[test]
fn a_session_that_is_lost_is_told_with_its_retry() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    let path = sandbox.src().join("file");
    let args = [
        OsStr::new("-vv"),
        OsStr::new("--retry=0"),
        path.as_os_str(),
        OsStr::new("127.0.0.1:1"),
    ];
    let sent = sandbox.me().send(&args);
    sent.assert_code(1).assert_says("session failed");
}
