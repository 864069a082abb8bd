//! What is sent gets another name at the receiver, or goes into a folder there: one that is made, or
//! one that stays as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::*;

/// An ordinary time.
const THEN: i64 = 1_600_000_000;
const LARGE: u64 = 40 * CHUNK;

fn send(sandbox: &Sandbox, args: &[&str]) -> Output {
    spawn(sandbox, args).wait()
}

/// Sends with the folder of what is sent as the working directory.
fn spawn(sandbox: &Sandbox, args: &[&str]) -> Process {
    let mut command = sandbox.me().command(&["send"]);
    command.args(args).current_dir(sandbox.src());
    Process::spawn(command)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".xfer")
        .collect();
    names.sort();
    names
}

fn photos(sandbox: &Sandbox) -> PathBuf {
    let photos = sandbox.src().join("photos");
    make_file(photos.join("one.jpg"), 1, 5000);
    make_file(photos.join("sub/two.jpg"), 2, 3 * CHUNK);
    photos
}

#[test]
fn a_file_or_folder_gets_the_name_that_is_given() {
    let sandbox = Sandbox::new();
    let photos = photos(&sandbox);
    make_file(sandbox.src().join("film.mkv"), 3, 2 * CHUNK);
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let to = recv.target();
    let dst = sandbox.dst();
    send(&sandbox, &["--dry-run", "--as", "x.mkv", "film.mkv", &to]).assert_code(0);
    assert_eq!(names(&dst), [""; 0]);
    send(&sandbox, &["--as", "x.mkv", "film.mkv", &to]).assert_code(0);
    send(&sandbox, &["--as", "holiday", "photos/", &to]).assert_code(0);
    assert_eq!(names(&dst), ["holiday", "x.mkv"]);
    assert_same_tree(&photos, dst.join("holiday"));
    assert_eq!(
        digest_of(&dst.join("x.mkv")),
        digest_of(&sandbox.src().join("film.mkv"))
    );
    // It is found there, and what differs is replaced or goes.
    make_file(photos.join("one.jpg"), 9, 5000);
    fs::write(dst.join("holiday/surplus"), "surplus").unwrap();
    fs::write(dst.join("other"), "other").unwrap();
    send(&sandbox, &["--mirror", "--as", "holiday", "photos", &to]).assert_code(0);
    assert_same_tree(&photos, dst.join("holiday"));
    assert_eq!(names(&dst), ["holiday", "other", "x.mkv"]);
    // Patterns are about the names here.
    let args = ["--exclude", "/photos", "--as", "none", "photos", &to];
    send(&sandbox, &args);
    assert_eq!(names(&dst), ["holiday", "other", "x.mkv"]);
    send(&sandbox, &["--as", "a", "film.mkv", "photos", &to])
        .assert_code(2)
        .assert_says("--as names one file or folder, and 2 are given");
    send(&sandbox, &["--as", "a/b", "film.mkv", &to])
        .assert_code(2)
        .assert_says("laptop:photos/");
}

#[test]
fn what_was_cut_off_goes_on_under_its_name_and_in_its_folder() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("film.mkv"), 3, LARGE);
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    let to = format!("{}:films/new/", proxy.target());
    let args = ["--as", "x.mkv", "film.mkv", &to];
    proxy.hold_at(LARGE / 2);
    let sender = spawn(&sandbox, &args);
    proxy.wait_for_up(LARGE / 2);
    sender.kill();
    proxy.cut_all();
    let before = proxy.passed().0;
    proxy.release();
    send(&sandbox, &args).assert_code(0);
    let again = proxy.passed().0 - before;
    assert!(again < LARGE - 4 * CHUNK, "{again} of {LARGE} bytes");
    assert_eq!(
        digest_of(&sandbox.dst().join("films/new/x.mkv")),
        digest_of(&sandbox.src().join("film.mkv"))
    );
    no_leftovers(sandbox.dst());
}

#[test]
fn a_folder_that_is_named_behind_the_receiver_is_made_or_stays_as_it_is() {
    let sandbox = Sandbox::new();
    let photos = photos(&sandbox);
    make_file(sandbox.src().join("film.mkv"), 3, 2 * CHUNK);
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let dst = sandbox.dst();
    let at = |folder: &str| format!("{}:{folder}", recv.target());
    send(&sandbox, &["--dry-run", "film.mkv", &at("films/new")]).assert_code(0);
    assert_eq!(names(&dst), [""; 0]);
    send(&sandbox, &["film.mkv", "photos", &at("films/new")]).assert_code(0);
    assert_eq!(names(&dst.join("films/new")), ["film.mkv", "photos"]);
    assert_same_tree(&photos, dst.join("films/new/photos"));
    // One that is there keeps its mode and time, whatever the sender may.
    fs::write(dst.join("films/mine"), "mine").unwrap();
    fs::write(dst.join("films/new/mine"), "mine").unwrap();
    fs::write(dst.join("films/new/photos/surplus"), "surplus").unwrap();
    make_file(photos.join("one.jpg"), 9, 5000);
    set_mode(dst.join("films"), 0o751);
    set_mode(dst.join("films/new"), 0o710);
    set_mtime(dst.join("films"), THEN, 0);
    set_mtime(dst.join("films/new"), THEN, 0);
    send(&sandbox, &["--mirror", "photos", &at("films/new/")]).assert_code(0);
    let state = |path: &str| {
        let meta = fs::metadata(dst.join(path)).unwrap();
        (meta.permissions().mode() & 0o7777, meta.mtime())
    };
    assert_eq!(state("films"), (0o751, THEN));
    assert_eq!(state("films/new"), (0o710, THEN));
    assert_same_tree(&photos, dst.join("films/new/photos"));
    // A mirror touches nothing but what was named.
    assert_eq!(names(&dst.join("films")), ["mine", "new"]);
    assert_eq!(
        names(&dst.join("films/new")),
        ["film.mkv", "mine", "photos"]
    );
    // And it counts nothing else when it asks how much may go.
    for n in 0..20 {
        fs::write(dst.join(format!("films/new/{n}")), "mine").unwrap();
    }
    fs::remove_dir_all(&photos).unwrap();
    make_file(photos.join("three.jpg"), 4, 10);
    let args = [
        "--mirror",
        "--max-delete",
        "50%",
        "photos",
        &at("films/new"),
    ];
    send(&sandbox, &args).assert_code(3);
    assert!(dst.join("films/new/photos/one.jpg").exists());
    no_leftovers(&dst);
}

#[test]
fn what_is_in_the_way_of_a_folder_stays() {
    let sandbox = Sandbox::new();
    photos(&sandbox);
    let recv = sandbox.recv_with(&["--allow-mirror"]);
    let dst = sandbox.dst();
    fs::write(dst.join("a"), "mine").unwrap();
    std::os::unix::fs::symlink(sandbox.path("src"), dst.join("link")).unwrap();
    for folder in ["a/", "a/b/", "link/", "link/photos"] {
        for flag in ["--compress=none", "--update", "--mirror"] {
            let to = format!("{}:{folder}", recv.target());
            let sent = send(&sandbox, &[flag, "photos", &to]);
            assert_ne!(sent.code, Some(0), "{flag} {folder}: {}", sent.text());
        }
    }
    assert_eq!(fs::read(dst.join("a")).unwrap(), b"mine");
    assert_eq!(names(&sandbox.src()), ["photos"]);
    assert_eq!(names(&sandbox.src().join("photos")), ["one.jpg", "sub"]);
    for folder in [
        "..",
        "../x",
        "/tmp",
        "a/../../b",
        ".",
        ".xfer",
        "~/x",
        "a//b",
    ] {
        let to = format!("{}:{folder}", recv.target());
        send(&sandbox, &["photos", &to]).assert_code(2);
    }
    assert_eq!(names(&dst), ["a", "link"]);
}

#[test]
fn a_stream_goes_into_a_folder_as_well() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let to = format!("{}:logs/today", recv.target());
    let mut command = sandbox.me().command(&["send", "-", "--as", "log", &to]);
    make_file(sandbox.path("input"), 1, 3 * CHUNK + 5);
    command.stdin(Stdio::from(fs::File::open(sandbox.path("input")).unwrap()));
    Process::spawn(command).wait().assert_code(0);
    assert_eq!(
        digest_of(&sandbox.dst().join("logs/today/log")),
        digest_of(&sandbox.path("input"))
    );
    no_leftovers(sandbox.dst());
}
