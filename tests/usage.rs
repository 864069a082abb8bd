//! The real program, as far as it goes without a peer: help, usage errors, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Stdio;

use support::*;

/// What it prints with these arguments, in a folder with a file of that name.
#[track_caller]
fn ends(args: &[&str], code: i32) -> (String, String) {
    let sandbox = Sandbox::new();
    make_file(sandbox.path("file"), 1, 1);
    let output = sandbox.me().run(args);
    output.assert_code(code);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["recv", "--help"], &["send", "--help"]] {
        let (out, err) = ends(args, 0);
        assert!(out.contains("Examples:"), "{out}");
        assert!(err.is_empty(), "{err}");
    }
    let (out, _) = ends(&["--version"], 0);
    assert_eq!(out, concat!("xfer ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_is_said_and_has_its_code() {
    for (args, word) in [
        (&[][..], "Usage"),
        (&["fly"], "fly"),
        (&["recv", "--listen", "nowhere"], "PORT"),
        (&["recv", "--listen", "70000"], "invalid port 70000"),
        (&["recv", "--name", ""], "name"),
        (&["recv", "-q", "-v"], "quiet"),
        (&["recv", "extra"], "extra"),
        (&["recv", "--stdout", "--dir", "."], "--dir"),
        (&["recv", "--stdout", "--sums", "list"], "--sums"),
        (&["recv", "--stdout", "--allow-mirror"], "--allow-mirror"),
        (&["send"], "PATH"),
        (&["send", "file"], "the receiver is missing"),
        (&["send", "10.0.0.1"], "nothing to send"),
        (
            &["send", "other", "file"],
            "the receiver seems to be missing",
        ),
        (&["send", "file", "desktop:0"], "port"),
        (&["send", "file", "desktop:../port"], "'..'"),
        (&["send", "file", "desktop:/port"], "desktop:port/"),
        (&["send", "--no-such-option", "file", "desktop"], "no-such"),
        (&["send", "file", "no/such"], "no/such"),
        (
            &["send", "file", "--to", "a@b:1"],
            "xfer needs no user name: use b",
        ),
        (&["send", "file", "desktop:"], "use desktop"),
        (&["send", "--lanes", "0", "file", "desktop"], "lanes"),
        (&["send", "--lanes", "65", "file", "desktop"], "lanes"),
        (&["send", "--hash", "md5", "file", "desktop"], "sha256"),
        (&["send", "--retry", "soon", "file", "desktop"], "retry"),
    ] {
        let (out, err) = ends(args, 2);
        assert!(err.contains(word), "{args:?}\n{err}");
        assert!(out.is_empty(), "{out}");
    }
}

#[test]
fn habits_from_scp_and_rsync_get_one_line() {
    let folders = "is not needed: xfer sends folders as they are";
    for (option, said) in [
        ("-r", format!("-r {folders}")),
        ("-R", format!("-R {folders}")),
        ("-a", format!("-a {folders}")),
        ("-av", format!("-av {folders}")),
        ("-avz", format!("-avz {folders}")),
        ("--recursive", format!("--recursive {folders}")),
        ("--archive", format!("--archive {folders}")),
        (
            "-z",
            "-z is not needed: xfer compresses where that is faster".to_owned(),
        ),
        ("--delete", "--delete is --mirror in xfer".to_owned()),
    ] {
        let (_, err) = ends(&["send", option, "file", "desktop"], 2);
        assert_eq!(err, format!("xfer: {said}\n"));
    }
    for option in ["-p", "-P", "--progress", "--partial"] {
        let (_, err) = ends(&["send", option, "file", "desktop"], 2);
        assert!(err.starts_with(&format!("xfer: {option} is not needed: ")));
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    for target in ["me@desktop", "me@desktop:", "me@desktop:photos"] {
        let (_, err) = ends(&["send", "file", target], 2);
        let said = "xfer: xfer needs no user name: xfer send FILE desktop";
        assert!(err.starts_with(said), "{err}");
    }
}

#[test]
fn a_usage_error_of_a_command_names_its_help() {
    let (_, err) = ends(&["send", "file"], 2);
    assert!(err.contains("Try 'xfer send --help'."), "{err}");
}

#[test]
fn a_folder_that_is_missing_is_not_made() {
    let sandbox = Sandbox::new();
    let output = sandbox.me().run(&["recv", "--dir", "new"]);
    output.assert_code(1);
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "xfer: cannot receive into new: no such file or directory\n      \
         Create it first: mkdir -p new\n"
    );
    assert!(!sandbox.path("new").exists());
    assert_eq!(sandbox.me().home().read_dir().unwrap().count(), 0);
}

#[test]
fn a_file_is_no_folder_to_receive_into() {
    let (_, err) = ends(&["recv", "--dir", "file"], 1);
    assert!(err.contains("--dir DIR"), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_said_is_a_failure() {
    let sandbox = Sandbox::new();
    for command in ["config", "id"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        for (stdout, code) in [(Stdio::from(full.unwrap()), 1), (Stdio::from(writer), 0)] {
            let mut command = sandbox.me().command(&[command]);
            command.stdout(stdout).stderr(Stdio::piped());
            let output = command.spawn().unwrap().wait_with_output().unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{err}");
            assert_eq!(
                err.contains("standard output: no space"),
                code == 1,
                "{err}"
            );
        }
    }
}

#[test]
fn names_cannot_drive_the_terminal() {
    let (_, err) = ends(&["send", "a\x1b[2J\u{202e}b"], 2);
    assert!(err.contains("\\x1b[2J\\u{202e}"), "{err}");
    let (_, err) = ends(&["recv", "--dir", "a\x1b[2J\nb"], 1);
    assert!(err.contains("\\x1b[2J\\nb"), "{err}");
}
