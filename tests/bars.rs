//! What a person sees of a transfer, in real terminals: bars while it runs, colours, the bell.
//!
//! Must not look at how rows are laid out in general: that is a table in `ui::layout`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::thread;

use support::screen::{Reshape, Shot};
use support::*;

/// A shell of the user who receives, which finds the program.
fn shell(sandbox: &Sandbox, size: (u16, u16)) -> Screen {
    let user = sandbox.me();
    Screen::shell(&user, "desk", size, |command| run_by("env", &[], command))
}

/// The rows with a bar.
fn bars(shot: &Shot) -> Vec<String> {
    let has_bar = |row: &&String| row.contains('━') || row.contains('─');
    shot.rows.iter().filter(has_bar).cloned().collect()
}

/// Waits for a bar with this in it that was drawn for a terminal of so many columns.
#[track_caller]
fn wait_for_bar(screen: &Screen, name: &str, columns: usize) -> String {
    let is_it = |row: &str| {
        let is_bar = row.starts_with(name) && row.contains('─') && row.contains('%');
        let width = row.chars().count();
        is_bar && width < columns && width > columns / 2
    };
    let shot = screen.wait_until("bar", |all| all.lines().any(is_it));
    let bars = bars(&shot);
    assert_eq!(bars.len(), 1, "{}", shot.framed());
    bars[0].clone()
}

/// A file of so many bytes that is to be sent.
fn film(sandbox: &Sandbox, size: u64) -> String {
    let path = sandbox.src().join("film.mkv");
    make_file(&path, 1, size);
    path.display().to_string()
}

#[test]
fn one_bar_survives_keys_new_sizes_and_a_stop() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let send = format!(
        "xfer send --limit 1M {} {}",
        film(&sandbox, 60_000_000),
        recv.target()
    );
    let screen = shell(&sandbox, (80, 24));
    screen.type_line(&send);
    let bar = wait_for_bar(&screen, "film.mkv", 80);
    assert!(!bar.contains("item"), "{bar}");
    // Ctrl-\ would end the program with a terminal that shows nothing.
    screen.type_keys("\r\rx\x1c\r");
    for (columns, how) in [
        (40, Reshape::Reflow),
        (120, Reshape::Reflow),
        (30, Reshape::Cut),
        (80, Reshape::Cut),
    ] {
        screen.resize(columns, 24, how);
        wait_for_bar(&screen, "film.mkv", columns.into());
    }
    screen.type_keys("\x1a");
    let stopped = screen.wait_until("shell", |all| all.contains("Stopped"));
    assert_eq!(bars(&stopped), [""; 0], "{}", stopped.framed());
    screen.type_line("fg");
    wait_for_bar(&screen, "film.mkv", 80);
    screen.interrupt();
    let ended = screen.wait_until("end", |all| {
        all.contains("Interrupted.") && all.ends_with("desk$ ")
    });
    assert_eq!(bars(&ended), [""; 0], "{}", ended.framed());
    screen.type_line("echo code $?");
    screen.wait_for("code 130");

    screen.type_line(&format!(
        "clear; for n in 1 2; do echo run-$n; {send}; done"
    ));
    screen.wait_for("run-1");
    wait_for_bar(&screen, "film.mkv", 80);
    screen.interrupt();
    let ended = screen.wait_until("end of the loop", |all| all.ends_with("desk$ "));
    assert!(!ended.text().contains("run-2"), "{}", ended.framed());
}

#[test]
fn a_lost_connection_keeps_its_bar_and_says_what_it_waits_for() {
    const SIZE: u64 = 40_000_000;
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(SIZE / 2);
    let path = film(&sandbox, SIZE);
    let screen = shell(&sandbox, (80, 24));
    screen.type_line(&format!("xfer send {path} {}", proxy.target()));
    proxy.wait_for_up(SIZE / 2);
    wait_for_bar(&screen, "film.mkv", 80);
    proxy.cut_all();
    let lost = screen.wait_for("reconnecting in 1 s …");
    assert_eq!(bars(&lost).len(), 1, "{}", lost.framed());
    proxy.release();
    let sent = screen.wait_until("end", |all| all.ends_with("desk$ "));
    assert_eq!(bars(&sent), [""; 0], "{}", sent.framed());
    assert!(sent.text().contains("Sent film.mkv (40.0 MB) to "));
    assert!(sent.text().contains("Resumed: "), "{}", sent.framed());
}

#[test]
fn a_mirror_counts_what_it_deletes_on_both_sides() {
    const FILES: usize = 40_000;
    let sandbox = Sandbox::in_memory();
    let (tree, copy) = (sandbox.src().join("tree"), sandbox.dst().join("tree"));
    for dir in [&tree, &copy] {
        fs::create_dir_all(dir).unwrap();
        make_file(dir.join("kept"), 1, 10);
        set_mtime(dir.join("kept"), 1_600_000_000, 0);
    }
    for n in 0..FILES {
        fs::File::create(copy.join(format!("gone {n}"))).unwrap();
    }
    let user = sandbox.me();
    let command = user.recv_command(&sandbox.dst(), &["--allow-mirror"]);
    let recv = Screen::new(command, 80, 24);
    let listens = recv.wait_for(", receiving into");
    let text = listens.text();
    let (_, rest) = text.split_once("Listening on ").unwrap();
    let (target, _) = rest.split_once(',').unwrap();
    let args = ["send", "--mirror", "--max-delete=100%"].map(Path::new);
    let args = [&args[..], &[&tree, Path::new(target)]].concat();
    let send = Screen::new(user.command(&args), 80, 24);
    thread::scope(|scope| {
        for screen in [&recv, &send] {
            scope.spawn(|| screen.wait_for(" of 40,000 "));
        }
    });
    send.wait_for("Mirrored tree to ");
    send.wait_for("nothing new, 40,000 deleted");
    recv.wait_for("Mirrored tree from ");
}

#[test]
fn a_terminal_that_is_too_narrow_has_no_bars() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let path = film(&sandbox, 3_000_000);
    let args = ["send", "--limit=1M", &path, &recv.target()];
    let screen = Screen::new(sandbox.me().command(&args), 15, 24);
    screen.wait_for("Sent film.mkv");
    let text = screen.terminal().screen();
    assert!(!text.contains('─') && !text.contains("\x1b[J"), "{text:?}");
}

#[test]
fn the_bell_rings_once_on_a_terminal() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let path = film(&sandbox, 1000);
    let args = ["send", "--bell", &path, &recv.target()];
    let (code, text) = Terminal::spawn(sandbox.me().command(&args)).wait();
    assert_eq!(
        (code, text.matches('\x07').count()),
        (Some(0), 1),
        "{text:?}"
    );
    let sent = sandbox.me().run(&args);
    sent.assert_code(0);
    assert!(!sent.text().contains('\x07'), "{sent}");
    let args = ["send", "--bell", &path, "127.0.0.1:1"];
    let (code, text) = Terminal::spawn(sandbox.me().command(&args)).wait();
    assert_eq!(
        (code, text.matches('\x07').count()),
        (Some(1), 1),
        "{text:?}"
    );
}

#[test]
fn colours_keep_to_what_the_user_wants() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let (path, target) = (film(&sandbox, 1000), recv.target());
    let sent = |args: &[&str], set: &[(&str, &str)]| {
        let args = [&["send", path.as_str(), target.as_str()][..], args].concat();
        let mut command = sandbox.me().command(&args);
        command.envs(set.iter().copied());
        Process::spawn(command).wait().text().contains('\x1b')
    };
    let colours = |args: &[&str], set: &[(&str, &str)]| {
        let has = sent(args, set);
        let _ = fs::remove_file(sandbox.dst().join("film.mkv"));
        has
    };
    assert!(!colours(&[], &[]));
    assert!(colours(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[], &[("CLICOLOR_FORCE", "0")]));
    assert!(!colours(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(colours(&["--color=always"], &[("NO_COLOR", "1")]));
    assert!(!colours(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}
