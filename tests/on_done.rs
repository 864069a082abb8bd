//! What a receiver runs behind a session that stored something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;
use serde_json::Value;
use support::*;

/// A shell's line that notes what it is told in files of the sandbox.
fn noting(sandbox: &Sandbox) -> String {
    let (env, list) = (sandbox.path("env"), sandbox.path("list"));
    format!(
        "env | grep ^XFER_ > '{}'; cat > '{}'",
        env.display(),
        list.display()
    )
}

fn told(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let text = fs::read_to_string(sandbox.path("env")).unwrap();
    let lines = text.lines().map(|line| line.split_once('=').unwrap());
    lines
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The lines of the list, by path.
fn listed(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(sandbox.path("list")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| (line["path"].as_str().unwrap().to_owned(), line))
        .collect()
}

/// How many ended well, by what a receiver says.
fn hooks_done(text: &str) -> usize {
    let done = |line: &&str| line.contains("--on-done, for ") && line.ends_with(": done");
    text.lines().filter(done).count()
}

#[test]
fn it_is_told_who_sent_what_and_how_much() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("dir/file"), 1, 2 * CHUNK);
    make_file(sandbox.src().join("same name"), 2, 10);
    make_file(sandbox.dst().join("same name"), 3, 11);
    symlink("file", sandbox.src().join("dir/link")).unwrap();
    let odd = std::ffi::OsString::from_vec(b"caf\xe9\n".to_vec());
    make_file(sandbox.src().join(odd), 4, 5);
    let laptop = sandbox.user("laptop");
    pair(&laptop, "lap'top", &sandbox.me());
    let recv = sandbox.recv_with(&["--once", "--on-done", &noting(&sandbox)]);
    let paths = ["dir", "same name"].map(|name| sandbox.src().join(name));
    let odd = fs::read_dir(sandbox.src())
        .unwrap()
        .map(|e| e.unwrap().path());
    let mut args: Vec<_> = odd.filter(|path| path.to_str().is_none()).collect();
    args.extend(paths);
    args.push(recv.target().into());
    laptop.send(&args).assert_code(0);
    // It ends only when that has.
    recv.wait().assert_code(0);
    let told = told(&sandbox);
    let bytes = (2 * CHUNK + 15).to_string();
    for (name, value) in [
        ("XFER_PEER", "lap'top"),
        (
            "XFER_INTO",
            sandbox.dst().canonicalize().unwrap().to_str().unwrap(),
        ),
        ("XFER_OUTCOME", "complete"),
        ("XFER_STORED", "5"),
        ("XFER_FAILED", "0"),
        ("XFER_BYTES", &bytes),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    assert!(told["XFER_PEER_FINGERPRINT"].len() > 20);
    let listed = listed(&sandbox);
    assert_eq!(listed.len(), 5);
    let file = &listed["dir/file"];
    assert_eq!(
        (&file["kind"], &file["size"]),
        (&"file".into(), &(2 * CHUNK).into())
    );
    assert_eq!(file["outcome"], "stored");
    assert_eq!(listed["dir"]["kind"], "folder");
    assert_eq!(listed["dir/link"]["kind"], "link");
    assert_eq!(listed["same name"]["stored_as"], "same name (2)");
    assert_eq!(listed["same name"]["size"], 10);
    assert_eq!(listed["caf\u{fffd}\n"]["path_bytes"], "636166e90a");
}

#[test]
fn nothing_runs_behind_a_session_that_stored_nothing() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let ran = sandbox.path("ran");
    let line = format!("echo x >> '{}'", ran.display());
    let recv = sandbox.recv_with(&["--on-done", &line]);
    let file = sandbox.src().join("file");
    let args = ["--dry-run".into(), file.clone(), recv.target().into()];
    sandbox.me().send(&args).assert_code(0);
    for _ in 0..3 {
        sandbox.send(&[&file], &recv.target()).assert_code(0);
    }
    make_file(sandbox.src().join("other"), 2, 10);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.interrupt().assert_code(0);
    let text = fs::read_to_string(&ran).unwrap();
    assert!((1..=2).contains(&text.lines().count()), "{text}");
}

#[test]
fn its_failure_is_told_and_changes_nothing() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let line = "echo first >&2; printf '\\033[1mbroken\\n' >&2; echo no; exit 3";
    let recv = sandbox.recv_with(&["--once", "--on-done", line]);
    sandbox.send(&[], &recv.target()).assert_code(0);
    let output = recv.wait();
    output.assert_code(0).assert_harmless();
    output
        .assert_says("exit code 3")
        .assert_says("broken")
        .assert_says("first");
    assert_same_tree(sandbox.src(), sandbox.dst());
}

#[test]
fn programs_are_told_of_its_end() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let args = ["--json", "--once", "--on-done", "echo broken >&2; exit 3"];
    let recv = Process::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let target = wait_for_listening(&recv);
    sandbox.send(&[], &target).assert_code(0);
    let output = recv.wait();
    let text = output.assert_code(0).text();
    let event = text
        .lines()
        .find(|line| line.contains("\"on_done\""))
        .unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        (&event["ended"], &event["exit_code"]),
        (&"exited".into(), &3.into())
    );
    assert_eq!(event["stderr"], "broken\n");
}

#[test]
fn what_fails_of_a_session_is_told_as_well() {
    let sandbox = Sandbox::new();
    for name in ["a", "b"] {
        make_file(sandbox.src().join(name), 1, 10);
    }
    make_file(sandbox.dst().join("a"), 2, 11);
    let line = noting(&sandbox);
    let recv = sandbox.recv_with(&["--once", "--on-conflict", "fail", "--on-done", &line]);
    sandbox.send(&[], &recv.target()).assert_code(3);
    recv.wait().assert_code(3);
    let told = told(&sandbox);
    assert_eq!(told["XFER_OUTCOME"], "partial");
    assert_eq!((&*told["XFER_STORED"], &*told["XFER_FAILED"]), ("1", "1"));
    assert_eq!(listed(&sandbox).keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn one_that_hangs_ends_with_the_receiver() {
    for kill in [false, true] {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("file"), 1, 10);
        let line = "echo $$ > pid.new; mv pid.new pid; exec sleep 300";
        let line = format!("cd '{}'; {line}", sandbox.dst().display());
        let recv = sandbox.recv_with(&["-v", "--on-done", &line]);
        let recv = recv.process();
        sandbox
            .send(&[], &wait_for_addr(recv).to_string())
            .assert_code(0);
        let pid = sandbox.dst().join("pid");
        wait_for_file(&pid);
        let number = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        match kill {
            false => recv.interrupt(),
            true => {
                rustix::process::kill_process(recv.pid(), rustix::process::Signal::KILL).unwrap();
            }
        }
        let output = recv.wait_end();
        wait_until_gone(Pid::from_raw(number).unwrap());
        if !kill {
            output.assert_code(0).assert_says(": stopped");
        }
    }
}

#[test]
fn that_it_does_not_run_any_more_is_said() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("first"), 1, 10);
    let ran = sandbox.path("ran");
    let line = format!("touch '{}'", ran.display());
    let recv = sandbox.recv_with(&["--on-done", &line]);
    // Something of it is stored, and it cannot get on.
    make_file(sandbox.src().join("second"), 2, 8 * CHUNK);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(4 * CHUNK);
    let send = sandbox.spawn_send(&[], &proxy.target());
    wait_for_file(&sandbox.dst().join("first"));
    let recv = recv.interrupt();
    recv.assert_says("--on-done, for").assert_says(": stopped");
    drop(send);
    assert!(!ran.exists());
}

#[test]
fn one_that_takes_long_is_in_the_way_of_no_session() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["-v", "--on-done", "exec sleep 300"]);
    let who = sandbox.me();
    for n in 0..67 {
        let file = sandbox.src().join(n.to_string());
        make_file(&file, n, 1);
        who.send(&[file, recv.target().into()]).assert_code(0);
    }
    recv.process()
        .wait_for_text("64 others wait for their turn");
    let output = recv.interrupt();
    assert_eq!(output.text().matches(": stopped").count(), 65);
}

#[test]
fn what_it_starts_goes_on_when_it_has_ended() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let (gate, done) = (sandbox.path("gate"), sandbox.folder("notes").join("done"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, 0o600.into()).unwrap();
    let line = format!(
        "(setsid sh -c 'read x < {}; (echo x && touch {}) &' </dev/null 2>/dev/null &)",
        gate.display(),
        done.display()
    );
    let recv = sandbox.recv_with(&["-v", "--on-done", &line]);
    for n in 0..2 {
        make_file(sandbox.src().join("file"), n, 10 + n);
        sandbox.send(&[], &recv.target()).assert_code(0);
    }
    recv.process().wait_for("two ends", |output| {
        let text = output.text();
        (hooks_done(&text) == 2).then_some(())
    });
    recv.interrupt().assert_code(0);
    // Nobody waits for it, and nobody has ended it.
    fs::write(&gate, "x\nx\n").unwrap();
    wait_for_file(&done);
}

#[test]
fn they_run_one_after_the_other() {
    let sandbox = Sandbox::new();
    let dir = sandbox.folder("notes");
    let line = format!(
        "cd '{}' && mkdir lock && cat >> all && sleep 0.05 && rmdir lock || touch overlap",
        dir.display()
    );
    let recv = sandbox.recv_with(&["-v", "--on-done", &line]);
    let target = recv.target();
    let files: Vec<_> = (0..6).map(|n| sandbox.src().join(n.to_string())).collect();
    let begin = |file: &std::path::PathBuf| {
        make_file(file, 1, 10);
        sandbox.spawn_send(&[file], &target)
    };
    let sends: Vec<_> = files.iter().map(begin).collect();
    for send in sends {
        send.wait().assert_code(0);
    }
    recv.process().wait_for("six ends", |output| {
        let text = output.text();
        (hooks_done(&text) == 6).then_some(())
    });
    assert!(!dir.join("overlap").exists());
    let all = fs::read_to_string(dir.join("all")).unwrap();
    assert_eq!(all.lines().count(), 6);
}

#[test]
fn a_list_of_many_files_takes_no_memory_and_comes_whole() {
    let sandbox = Sandbox::in_memory();
    for n in 0..5000 {
        make_file(sandbox.src().join(format!("dir/{n}")), n, 1);
    }
    let line = noting(&sandbox);
    let recv = sandbox.recv_with(&["--once", "--on-done", &line]);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.wait().assert_code(0);
    assert_eq!(listed(&sandbox).len(), 5001);
    // Nothing of it is left beside the list of peers, nor a socket of a receiver that has ended.
    let data = sandbox.me().home().join(".local/share/xfer");
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let mut left = names(&data);
    left.retain(|name| !name.starts_with("peers"));
    assert_eq!(left, ["receivers"]);
    assert_eq!(names(&data.join("receivers")), Vec::<String>::new());
}

fn wait_for_listening(process: &Process) -> String {
    process.wait_for("an event that says where it listens", |output| {
        let text = output.text();
        let event = text.lines().find(|line| line.contains("\"listening\""))?;
        let event: Value = serde_json::from_str(event).ok()?;
        Some(event["address"].as_str()?.to_owned())
    })
}

/// Waits until there is a file, by its folder's notifications.
fn wait_for_file(path: &Path) {
    use rustix::fs::inotify;
    let watch = inotify::init(inotify::CreateFlags::empty()).unwrap();
    let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, path.parent().unwrap(), flags).unwrap();
    while !path.exists() {
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        let time = PATIENCE.try_into().unwrap();
        assert_eq!(poll(&mut fds, Some(&time)).unwrap(), 1, "no {path:?}");
        let _ = rustix::io::read(&watch, &mut [0; 4096]);
    }
}
