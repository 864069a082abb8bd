//! What goes wrong is said, in words that help, with an exit code that a script can go by.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use support::*;
use xfer::wire::Preamble;

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
const IN_PART: i32 = 3;
const NOT_LET_IN: i32 = 4;

/// A sandbox with a file to send.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 1000);
    sandbox
}

/// Something that listens and does this with its first connection. Gives its address.
fn listen(then: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || then(listener.accept().unwrap().0));
    addr
}

/// Reads until the other side has enough.
fn drain(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn nobody_listens() {
    let sandbox = sandbox();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let sent = sandbox.send(&[], &port.to_string());
    sent.assert_code(FAILED).assert_says(&port.to_string());
}

#[test]
fn a_host_that_is_not_there() {
    let sent = sandbox().send(&[], "no-such-host.invalid");
    sent.assert_code(FAILED).assert_says("no-such-host.invalid");
}

#[test]
fn a_web_server() {
    let addr = listen(|mut stream| {
        let mut request = [0; 16];
        stream.read_exact(&mut request).unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).unwrap();
        drain(stream);
    });
    let sent = sandbox().send(&[], &addr);
    sent.assert_code(FAILED).assert_says("xfer");
    sent.assert_says(&addr);
}

#[test]
fn something_that_says_nothing() {
    let sandbox = sandbox();
    let end = |stream: TcpStream| {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drain(stream);
    };
    // It may be xfer on a machine that has no time.
    for then in [drain as fn(TcpStream), end] {
        let addr = listen(then);
        let sent = sandbox.send(&[], &addr);
        sent.assert_code(FAILED)
            .assert_says(&format!("{addr} does not answer"));
    }
}

#[test]
fn another_version() {
    let addr = listen(|mut stream| {
        let version = Preamble::OURS.version + 6;
        let preamble = Preamble {
            version,
            features: 0,
        };
        stream.write_all(&preamble.encode()).unwrap();
        drain(stream);
    });
    let sent = sandbox().send(&[], &addr);
    sent.assert_code(FAILED).assert_says("version 7");
}

#[test]
fn a_port_that_is_taken() {
    let sandbox = sandbox();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let dst = sandbox.dst();
    let dst = dst.to_str().unwrap();
    let received = sandbox.me().run(&["recv", "--dir", dst, "--listen", &addr]);
    received.assert_code(FAILED).assert_says(&addr);
}

#[test]
fn a_file_that_is_not_there() {
    let sandbox = sandbox();
    let recv = sandbox.recv();
    let missing = sandbox.path("missing.iso");
    let sent = sandbox.send(&[&sandbox.src().join("file"), &missing], &recv.target());
    sent.assert_code(FAILED).assert_says("missing.iso");
    // A mistyped name among several stops all of it, before anything has moved.
    assert_eq!(Tree::read(sandbox.dst()).names().len(), 0);
}

#[test]
fn two_of_the_same_name() {
    let sandbox = sandbox();
    make_file(sandbox.path("other/file"), 2, 10);
    let recv = sandbox.recv();
    let paths = [sandbox.src().join("file"), sandbox.path("other/file")];
    let sent = sandbox.send(&[&paths[0], &paths[1]], &recv.target());
    sent.assert_code(WRONG_USAGE).assert_says("other/file");
    assert_eq!(Tree::read(sandbox.dst()).names().len(), 0);
}

#[test]
fn a_receive_directory_that_cannot_be_written() {
    let sandbox = sandbox();
    set_mode(sandbox.dst(), 0o555);
    let mut command = sandbox.me().recv_command(&sandbox.dst(), &[]);
    if rustix::process::geteuid().is_root() {
        // Root can write anywhere, unless that is taken away.
        let args = ["--inh-caps=-all", "--bounding-set=-all"].map(OsStr::new);
        let in_place = |command: &Command| run_by("setpriv", &args, command);
        if !can_run(in_place, "root cannot be kept from writing") {
            return;
        }
        command = in_place(&command);
    }
    let received = Process::spawn(command).wait();
    received.assert_code(FAILED).assert_says("dst");
    received.assert_says("Choose a folder that you can write to");
}

#[test]
fn a_receive_directory_that_is_removed_later() {
    let sandbox = sandbox();
    let recv = sandbox.recv();
    fs::remove_dir(sandbox.dst()).unwrap();
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(NOT_LET_IN)
        .assert_says("receive folder was removed");
    recv.interrupt()
        .assert_says("the receive folder was removed");
}

#[test]
fn a_stranger_is_not_let_in() {
    let sandbox = sandbox();
    let recv = sandbox.recv();
    let file = sandbox.src().join("file");
    let stranger = sandbox.user("stranger");
    let args = [file.as_os_str(), recv.target().as_ref()].map(ToOwned::to_owned);
    let sent = stranger.send(&args);
    // It is told what could be done.
    sent.assert_code(NOT_LET_IN).assert_says("in a terminal");
    assert_eq!(Tree::read(sandbox.dst()).names().len(), 0);
    // So is the receiver's user; and it goes on.
    recv.process().wait_for_text("127.0.0.1");
    sandbox.send(&[], &recv.target()).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn open_on_both_sides_lets_anyone_in() {
    let sandbox = sandbox();
    let recv = sandbox.recv_with(&["--open"]);
    let file = sandbox.src().join("file");
    let stranger = sandbox.user("stranger");
    let target = recv.target();
    let open = ["--open".as_ref(), file.as_os_str(), target.as_ref()];
    stranger.send(&open).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());

    // Nothing that is there is replaced.
    make_file(&file, 2, 1000);
    set_mtime(&file, 1_600_000_000, 0);
    stranger.send(&open).assert_code(0);
    assert_eq!(
        fs::read(sandbox.dst().join("file")).unwrap(),
        bytes(1, 1000)
    );
    assert_eq!(
        fs::read(sandbox.dst().join("file (2)")).unwrap(),
        bytes(2, 1000)
    );
}

#[test]
fn open_on_one_side_is_not_enough() {
    for (recv_args, send_args, hint) in [
        (&["--open"][..], &[][..], "--open"),
        (&[], &["--open"], "in a terminal"),
    ] {
        let sandbox = sandbox();
        let recv = sandbox.recv_with(recv_args);
        let mut args: Vec<std::ffi::OsString> = send_args.iter().map(Into::into).collect();
        args.push(sandbox.src().join("file").into());
        args.push(recv.target().into());
        let sent = sandbox.user("stranger").send(&args);
        sent.assert_code(NOT_LET_IN).assert_says(hint);
        assert_eq!(Tree::read(sandbox.dst()).names().len(), 0);
    }
}

#[test]
fn one_entry_that_fails_leaves_the_rest_alone() {
    let sandbox = Sandbox::new();
    for name in ["a", "b/x", "c"] {
        make_file(sandbox.src().join(name), 1, 1000);
    }
    make_file(sandbox.dst().join("b"), 2, 10);
    let recv = sandbox.recv_with(&["--once"]);
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(IN_PART).assert_says("b");
    recv.wait().assert_code(IN_PART);
    assert_eq!(Tree::read(sandbox.dst()).names(), ["a", "b", "c"]);
    assert_eq!(fs::read(sandbox.dst().join("b")).unwrap(), bytes(2, 10));
}

#[test]
fn names_do_nothing_to_a_terminal() {
    let sandbox = Sandbox::new();
    let mut names: Vec<Vec<u8>> = [
        "\x1b[31mred",
        "\x1b]0;title\x07",
        "back\rslash",
        "new\nline",
        "right \u{202e}to left",
        "isolate \u{2066}x",
        "del \x7f",
        "csi \u{9b}31m",
    ]
    .map(|name| name.as_bytes().to_vec())
    .to_vec();
    if cfg!(target_os = "linux") {
        names.push(b"raw csi \x9b31m".to_vec());
    }
    for (seed, name) in (1..).zip(&names) {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(name);
        // In messages of all kinds: stored beside, large enough for a bar, special.
        make_file(sandbox.src().join("taken").join(name), seed, 10);
        make_file(sandbox.dst().join("taken").join(name), seed + 100, 20);
        make_file(sandbox.src().join("large").join(name), seed, CHUNK + 1);
        fs::create_dir_all(sandbox.src().join("special")).unwrap();
        make_fifo(sandbox.src().join("special").join(name));
    }
    let recv = sandbox.recv_with(&["--once", "-v"]);
    let verbose = Path::new("-v");
    let mut paths = vec![verbose.to_path_buf()];
    paths.extend(["taken", "large", "special"].map(|name| sandbox.src().join(name)));
    let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
    let sent = sandbox.send(&paths, &recv.target());
    sent.assert_code(0);
    let received = recv.wait();
    sent.assert_harmless();
    received.assert_harmless();
    sent.assert_says("red");

    // A name that is given by hand as well.
    let missing = Path::new("\x1b[31mmissing");
    let sent = sandbox.send(&[missing], "127.0.0.1:1");
    sent.assert_harmless().assert_says("missing");
}

#[test]
fn the_key_is_nobody_elses_business() {
    let sandbox = sandbox();
    let recv = sandbox.recv();
    sandbox.send(&[], &recv.target()).assert_code(0);
    let mut files = Vec::new();
    let mut folders = vec![sandbox.me().home().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    assert!(!files.is_empty(), "there is no key");
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", file.display());
    }
}
