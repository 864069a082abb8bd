//! What scripts go by: events in JSON, exit codes, lines in a log, lists of sums, and a limit to
//! the speed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::*;

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
const IN_PART: i32 = 3;
const NOT_LET_IN: i32 = 4;
const INTERRUPTED: i32 = 130;

/// The schema, or a part of it.
struct Schema {
    whole: Value,
}

impl Schema {
    fn read() -> Self {
        let text = include_str!("../assets/events.schema.json");
        Self {
            whole: serde_json::from_str(text).unwrap(),
        }
    }

    /// Why a line is not what the schema says; knows as much of JSON Schema as that uses. Fields
    /// that it does not name count as wrong here.
    fn check(&self, line: &Value) -> Result<(), String> {
        let name = line["event"].as_str().unwrap_or_default();
        let event = format!("#/$defs/{name}");
        let all = self.whole["oneOf"].as_array().unwrap();
        let of_that_name: Vec<_> = all.iter().filter(|one| one["$ref"] == *event).collect();
        let &[one] = of_that_name.as_slice() else {
            return Err(format!("no event {name}"));
        };
        let known = |key: &str| {
            let event = self.resolve(one)["properties"].get(key);
            event
                .or_else(|| self.whole["properties"].get(key))
                .is_some()
        };
        if let Some(key) = line.as_object().unwrap().keys().find(|key| !known(key)) {
            return Err(format!("a field {key}"));
        }
        self.matches(&self.whole, line)?;
        self.matches(one, line)
    }

    fn resolve<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part.get("$ref").and_then(Value::as_str) {
            Some(at) => self.whole.pointer(at.strip_prefix('#').unwrap()).unwrap(),
            None => part,
        }
    }

    fn matches(&self, part: &Value, value: &Value) -> Result<(), String> {
        let wrong = |what: &Value| Err(format!("{value} is not {what}"));
        for (word, what) in part.as_object().unwrap() {
            match word.as_str() {
                "$ref" => self.matches(self.resolve(part), value)?,
                "const" if value != what => return wrong(what),
                "enum" if !what.as_array().unwrap().contains(value) => return wrong(what),
                "minimum" if value.as_f64() < what.as_f64() => return wrong(what),
                "type" => {
                    let is = match what.as_str().unwrap() {
                        "object" => value.is_object(),
                        "array" => value.is_array(),
                        "string" => value.is_string(),
                        "integer" => value.is_u64(),
                        "number" => value.is_number(),
                        "boolean" => value.is_boolean(),
                        other => panic!("type {other}"),
                    };
                    if !is {
                        return wrong(what);
                    }
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.matches(what, item)?;
                    }
                }
                "required" => {
                    for key in what.as_array().unwrap() {
                        if value.get(key.as_str().unwrap()).is_none() {
                            return Err(format!("no {key} in {value}"));
                        }
                    }
                }
                "properties" => {
                    for (key, part) in what.as_object().unwrap() {
                        if let Some(value) = value.get(key) {
                            self.matches(part, value)?;
                        }
                    }
                }
                "const" | "enum" | "minimum" | "description" | "title" | "$schema" | "$defs"
                | "oneOf" => {}
                other => panic!("the schema uses {other}"),
            }
        }
        Ok(())
    }
}

/// The events of a run that has ended, all as the schema has them, with its exit code in the last.
#[track_caller]
fn events(output: &Output) -> Vec<Value> {
    let schema = Schema::read();
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert!(text.ends_with('\n'), "{output}");
    assert!(!text.contains(|c: char| c != '\n' && c.is_control()));
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    for event in &events {
        if let Err(why) = schema.check(event) {
            panic!("{why}: {event}");
        }
    }
    let (last, others) = events.split_last().unwrap();
    assert_eq!(last["event"], "summary", "{output}");
    assert_eq!(last["exit_code"].as_i64(), output.code.map(i64::from));
    assert!(others.iter().all(|event| event["event"] != "summary"));
    events
}

/// The first event of that name.
#[track_caller]
fn first<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let found = events.iter().find(|event| event["event"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {events:#?}"))
}

/// The event for an entry.
#[track_caller]
fn entry<'a>(events: &'a [Value], path: &str) -> &'a Value {
    let is_it = |event: &&Value| event["event"] == "entry" && event["path"] == path;
    let found = events.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no entry {path}: {events:#?}"))
}

/// My receiver, for programs, and its address.
fn recv(sandbox: &Sandbox, args: &[&str]) -> (Process, String) {
    let args = [&["--json"], args].concat();
    let process = Process::spawn(sandbox.me().recv_command(&sandbox.dst(), &args));
    let addr = wait_for_event(&process, "listening")["address"].clone();
    (process, addr.as_str().unwrap().to_owned())
}

/// Waits until a run tells an event of that name.
#[track_caller]
fn wait_for_event(process: &Process, name: &str) -> Value {
    process.wait_for(name, |output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (whole, _) = text.rsplit_once('\n')?;
        let events = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let mut found = events.filter(|event: &Value| event["event"] == name);
        found.next()
    })
}

fn send_args<'a>(before: &'a [&'a str], file: &'a Path, target: &'a str) -> Vec<&'a OsStr> {
    let before = before.iter().map(OsStr::new);
    before.chain([file.as_os_str(), target.as_ref()]).collect()
}

#[test]
fn both_sides_tell_what_happens() {
    let sandbox = Sandbox::new();
    let src = sandbox.src().join("tree");
    make_file(src.join("plain"), 1, 1000);
    make_file(src.join("large"), 2, 3 * CHUNK);
    make_file(src.join("taken"), 3, 10);
    make_file(sandbox.dst().join("tree/taken"), 4, 20);
    make_file(src.join("odd \x1b[31m\u{202e}\n"), 5, 10);
    make_file(src.join("secret/a"), 6, 10);
    make_fifo(src.join("fifo"));
    fs::create_dir(src.join(".xfer")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", src.join("out")).unwrap();
    let no_text = OsStr::from_bytes(b"caf\xe9");
    if cfg!(target_os = "linux") {
        make_file(src.join(no_text), 6, 10);
    }
    let with_filter = ["--json", "--exclude", "secret"];
    let (receiver, target) = recv(&sandbox, &["--once"]);
    let sent = sandbox.me().send(&send_args(&with_filter, &src, &target));
    let received = receiver.wait();
    sent.assert_code(IN_PART);
    received.assert_code(IN_PART);

    let ours = events(&sent);
    assert_eq!(ours[0]["event"], "connecting");
    assert_eq!(first(&ours, "start")["trust"], "same_user");
    assert_eq!(first(&ours, "start")["role"], "sender");
    assert_eq!(entry(&ours, "tree/large")["outcome"], "stored");
    assert_eq!(entry(&ours, "tree/taken")["stored_as"], "tree/taken (2)");
    assert_eq!(entry(&ours, "tree/out")["reason"], "outside");
    let fifo = src.join("fifo");
    let left_out = |reason: &str| {
        let mut all = ours.iter().filter(|event| event["event"] == "left_out");
        all.find(|event| event["reason"] == reason).unwrap()
    };
    assert_eq!(left_out("special")["path"], fifo.to_str().unwrap());
    assert_eq!(entry(&ours, "tree")["outcome"], "have");
    left_out("own");
    entry(&ours, "tree/odd \x1b[31m\u{202e}\n");
    let theirs = events(&received);
    assert_eq!(theirs[0]["event"], "listening");
    assert_eq!(first(&theirs, "start")["role"], "receiver");
    for events in [&ours, &theirs] {
        let files = if cfg!(target_os = "linux") { 5 } else { 4 };
        let totals = first(events, "totals");
        assert_eq!(totals["entries"].as_u64(), Some(files + 2));
        for name in ["finished", "summary"] {
            let counts = first(events, name);
            assert_eq!(counts["files"].as_u64(), Some(files), "{counts}");
            assert_eq!(counts["failed"].as_u64(), Some(1), "{counts}");
            assert_eq!(counts["renamed"].as_u64(), Some(1), "{counts}");
            assert!(counts["wire_bytes"].as_u64() > Some(3 * CHUNK), "{counts}");
        }
        if cfg!(target_os = "linux") {
            let odd = entry(events, "tree/caf\u{fffd}");
            assert_eq!(odd["path_bytes"], "747265652f636166e9");
        }
    }
    // Only the sender knows what that is, and only how much.
    assert_eq!(first(&ours, "summary")["left_out"].as_u64(), Some(1));
    assert!(first(&theirs, "summary").get("left_out").is_none());
    // People are told what went wrong in a line each, then once what to do, and nothing else.
    let told = String::from_utf8(sent.stderr).unwrap();
    let mut failed: Vec<_> = told.lines().collect();
    let hint = failed.pop().unwrap();
    assert!(hint.starts_with("        To send these links, "), "{told}");
    for line in failed {
        assert!(line.starts_with("Failed: "), "{line}");
    }

    // Once more: all that is there already, and one more session of the same receiver.
    let (receiver, target) = recv(&sandbox, &[]);
    for stored in [0, 1] {
        let args = send_args(&with_filter, &src, &target);
        let ours = events(sandbox.me().send(&args).assert_code(IN_PART));
        assert_eq!(ours.last().unwrap()["stored"].as_u64(), Some(stored));
        make_file(src.join("plain"), 7, 500);
        set_mtime(src.join("plain"), 1_600_000_000, 0);
    }
    receiver.interrupt();
    let theirs = events(receiver.wait().assert_code(0));
    let summary = theirs.last().unwrap();
    assert_eq!(summary["sessions"].as_u64(), Some(2));
    assert_eq!(summary["stored"].as_u64(), Some(1));
}

#[test]
fn the_last_event_has_the_exit_code() {
    let sandbox = Sandbox::new();
    let file = sandbox.src().join("file");
    make_file(&file, 1, 1000);
    let me = sandbox.me();

    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let sent = me.send(&send_args(&["--json"], &file, &nobody));
    let told = events(sent.assert_code(FAILED));
    assert_eq!(first(&told, "error")["kind"], "connect");
    assert!(first(&told, "error")["hint"].is_string());
    let received = me.run(&["recv", "--json", "--dir", "nowhere"]);
    let told = events(received.assert_code(FAILED));
    assert_eq!(first(&told, "error")["kind"], "file");

    let fifo = sandbox.path("fifo");
    make_fifo(&fifo);
    let (receiver, target) = recv(&sandbox, &["--once"]);
    let sent = me.send(&send_args(&["--json"], &fifo, &target));
    for ended in [sent, receiver.wait()] {
        let told = events(ended.assert_code(FAILED));
        assert_eq!(first(&told, "finished")["failed"].as_u64(), Some(1));
    }

    for args in [
        &["send", "--json"][..],
        &["send", "--json", "file"],
        &["recv", "--json", "--listen", "nowhere"],
    ] {
        assert_eq!(events(me.run(args).assert_code(WRONG_USAGE)).len(), 1);
    }

    let (receiver, target) = recv(&sandbox, &[]);
    let stranger = sandbox.user("stranger");
    let sent = stranger.send(&send_args(&["--json"], &file, &target));
    let told = events(sent.assert_code(NOT_LET_IN));
    assert_eq!(first(&told, "error")["kind"], "declined");
    let warning = wait_for_event(&receiver, "warning");
    assert_eq!(warning["kind"], "turned_away");
    let sent = me.send(&send_args(&["--json"], &file, &target));
    assert!(
        !events(sent.assert_code(0))
            .iter()
            .any(|e| e["event"] == "error")
    );
    receiver.interrupt();
    events(receiver.wait().assert_code(0));
}

#[test]
fn an_interrupted_run_tells_so() {
    let sandbox = Sandbox::new();
    let file = sandbox.src().join("file");
    make_file(&file, 1, 50 * CHUNK);
    let slow = ["--json", "--retry", "0", "--limit", "1MB/s"];
    for role in ["sender", "receiver"] {
        let (receiver, target) = recv(&sandbox, &["--once"]);
        let sender = sandbox.me().spawn_send(&send_args(&slow, &file, &target));
        let progress = wait_for_event(&sender, "progress");
        assert_eq!(progress["bytes_total"].as_u64(), Some(50 * CHUNK));
        let (one, other) = match role {
            "sender" => (&sender, &receiver),
            _ => (&receiver, &sender),
        };
        one.interrupt();
        let told = events(one.wait_end().assert_code(INTERRUPTED));
        assert_eq!(first(&told, "error")["kind"], "interrupted");
        assert!(told.last().unwrap()["wire_bytes"].as_u64() > Some(0));
        // The other one is told, and waits for nobody to come back.
        let told = events(other.wait_end().assert_code(FAILED));
        assert_eq!(first(&told, "error")["kind"], "aborted");
    }
}

#[test]
fn a_code_is_still_shown_and_typed() {
    let sandbox = Sandbox::new();
    let file = sandbox.src().join("file");
    make_file(&file, 1, 1000);
    let args = ["--json", "--once", "--ask"];
    let command = sandbox.user("laptop").recv_command(&sandbox.dst(), &args);
    let receiver = Terminal::spawn(command);
    let addr = wait_for_event(receiver.process(), "listening")["address"].clone();
    let mut command = sandbox.user("desktop").command(&["send", "--json"]);
    command.arg(&file).arg(addr.as_str().unwrap());
    let sender = Terminal::spawn(command);
    sender.wait_for("Code on ", 1);
    sender.type_line(&receiver.code());
    receiver.wait_for("Accept?", 1);
    wait_for_event(sender.process(), "waiting");
    receiver.type_line("y");
    for (terminal, role) in [(&sender, "sender"), (&receiver, "receiver")] {
        let told = events(terminal.process().wait_end().assert_code(0));
        assert_eq!(first(&told, "paired")["role"], role);
        assert_eq!(first(&told, "start")["trust"], "paired");
    }
}

#[test]
fn a_limit_is_kept_to() {
    let sandbox = Sandbox::new();
    let src = sandbox.src().join("tree");
    make_file(src.join("large"), 1, 2_000_000);
    for n in 0..200 {
        make_file(src.join(format!("{n}")), n, 2500);
    }
    let (_receiver, target) = recv(&sandbox, &[]);
    let args = ["--json", "--lanes", "4", "--limit", "1MB/s"];
    let sent = sandbox.me().send(&send_args(&args, &src, &target));
    let told = events(sent.assert_code(0));
    let seconds = first(&told, "finished")["seconds"].as_f64().unwrap();
    // A machine that has other things to do may be slower.
    assert!((2.5 / 1.05 - 0.1..30.0).contains(&seconds), "{seconds} s");
    assert_same_tree(sandbox.src(), sandbox.dst());

    // Slow enough for a connection to be lost.
    let proxy = Proxy::new(target.parse().unwrap());
    let file = sandbox.src().join("another");
    make_file(&file, 1, 3 * CHUNK);
    let through = proxy.target();
    let args = send_args(&args, &file, &through);
    let sender = sandbox.me().spawn_send(&args);
    wait_for_event(&sender, "progress");
    proxy.cut_all();
    let told = events(sender.wait().assert_code(0));
    assert_eq!(first(&told, "retrying")["kind"], "lost");
    let summary = told.last().unwrap();
    assert_eq!(summary["sessions"].as_u64(), Some(2), "{summary}");
    assert_eq!(summary["stored"].as_u64(), Some(1), "{summary}");

    let sent = sandbox
        .me()
        .send(&send_args(&["--limit", "8Mbit/s"], &src, &target));
    sent.assert_code(WRONG_USAGE).assert_says("bits");
}

#[test]
fn sums_are_those_of_sha256sum() {
    let sandbox = Sandbox::new();
    let src = sandbox.src().join("tree");
    make_file(src.join("small"), 1, 1000);
    make_file(src.join("empty"), 1, 0);
    make_file(src.join("large"), 2, 2 * CHUNK + 1);
    make_file(src.join("sub/taken"), 3, 10);
    make_file(sandbox.dst().join("tree/sub/taken"), 4, 20);
    for (seed, name) in (5..).zip(["back\\slash", "new\nline", "return\r", "\\"]) {
        make_file(src.join(name), seed, 10);
    }
    let mut files = 8;
    if cfg!(target_os = "linux") {
        make_file(src.join(OsStr::from_bytes(b"caf\xe9")), 9, 10);
        files += 1;
    }
    for hash in ["sha256", "blake3"] {
        let list = sandbox.path(hash);
        let send = |target: &str| {
            let sent = sandbox
                .me()
                .send(&send_args(&["--hash", hash], &src, target));
            sent.assert_code(0);
        };
        let recv = sandbox.recv_with(&["--once", "--sums", list.to_str().unwrap()]);
        send(&recv.target());
        recv.wait().assert_code(0);
        let lines = fs::read(&list).unwrap();
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), files);
        let check = || {
            let mut check = Command::new("sha256sum");
            check.args(["--check", "--strict"]).arg(&list);
            let checked = check.current_dir(sandbox.dst()).output().unwrap();
            assert!(checked.status.success(), "{checked:?}");
            String::from_utf8_lossy(&checked.stdout).lines().count()
        };
        assert_eq!(check(), files);

        // What is there already was not received.
        let recv = sandbox.recv_with(&["--once", "--sums", list.to_str().unwrap()]);
        send(&recv.target());
        recv.wait().assert_code(0);
        assert_eq!(fs::read(&list).unwrap(), lines);

        // What was received again has its last sum.
        for name in ["small", "large", "back\\slash"] {
            make_file(src.join(name), 99, 3 * CHUNK);
            let recv = sandbox.recv_with(&["--once", "--sums", list.to_str().unwrap()]);
            let args = ["--update", "--hash", hash];
            let sent = sandbox.me().send(&send_args(&args, &src, &recv.target()));
            sent.assert_code(0);
            recv.wait().assert_code(0);
        }
        // One of them took the place of what was taken before.
        assert_eq!(check(), files + 1);
        fs::remove_dir_all(sandbox.dst().join("tree")).unwrap();
        make_file(sandbox.dst().join("tree/sub/taken"), 4, 20);
    }
}

/// A hole hardly travels, but its sum takes its time: nobody who ends the receiver waits for it.
#[test]
fn the_sum_of_a_very_large_hole_is_given_up_with_its_session() {
    const BYTES: u64 = 4 << 30;
    let sandbox = Sandbox::new();
    let hole = sandbox.src().join("hole");
    let file = fs::File::create(&hole).unwrap();
    if file.set_len(BYTES).is_err() {
        return skip("no file can be so large here");
    }
    let list = sandbox.path("sums");
    let recv = sandbox.recv_with(&["--sums", list.to_str().unwrap()]);
    let target = recv.target();
    let args = send_args(&["--hash", "blake3", "--retry", "0"], &hole, &target);
    let sender = sandbox.me().spawn_send(&args);
    let stored = sandbox.dst().join("hole");
    let begun = Instant::now();
    while !stored.exists() {
        assert!(begun.elapsed() < PATIENCE, "it never gets its name");
        thread::sleep(Duration::from_millis(20));
    }
    recv.interrupt().assert_says("the session ended");
    sender.wait();
    assert_eq!(fs::metadata(stored).unwrap().len(), BYTES);
}

#[test]
fn sums_that_cannot_be_written_fail_no_file() {
    let sandbox = Sandbox::new();
    for n in 0..30 {
        make_file(sandbox.src().join(format!("tree/{n}")), n, 10);
    }
    let recv = sandbox.recv_with(&["--once", "--sums", "/dev/full"]);
    sandbox.send(&[], &recv.target()).assert_code(0);
    let received = recv.wait();
    received.assert_code(IN_PART).assert_says("20 more");
    received.assert_says("/dev/full lacks some of the files received");
    assert_same_tree(sandbox.src(), sandbox.dst());

    let (receiver, target) = self::recv(&sandbox, &["--once", "--sums", "/dev/full"]);
    make_file(sandbox.src().join("another"), 1, 10);
    sandbox.send(&[], &target).assert_code(0);
    let told = events(receiver.wait().assert_code(IN_PART));
    assert_eq!(first(&told, "warning")["kind"], "file");

    let dst = sandbox.dst();
    let args = ["recv", "--sums", "no/such", "--dir", dst.to_str().unwrap()];
    let received = sandbox.me().run(&args);
    received.assert_code(FAILED);
    received.assert_says("cannot add sums to no/such");
    received.assert_says("mkdir -p no\n");
}

/// Whether a line begins with a time.
fn has_time(line: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shape: String = line.chars().take(25).map(shape).collect();
    shape == "0000-00-00T00:00:00.000Z "
}

#[test]
fn a_receiver_without_a_terminal_says_when() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let recv = sandbox.recv();
    let stranger = sandbox.user("stranger");
    let file = sandbox.src().join("file");
    let sent = stranger.send(&send_args(&[], &file, &recv.target()));
    sent.assert_code(NOT_LET_IN);
    sandbox.send(&[], &recv.target()).assert_code(0);
    recv.process().wait_for_text("Received file (10 B) from ");
    let received = recv.interrupt();
    let (out, err) = (&received.stdout, &received.stderr);
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    // The first ones are for scripts, and for people to copy.
    let printed = lines(out);
    let (first, later) = printed.split_at(3);
    assert!(first[0].starts_with("Listening on "), "{received}");
    assert_eq!(first.iter().filter(|line| has_time(line)).count(), 0);
    let log = [later.to_vec(), lines(err)].concat();
    assert!(log.len() >= 3, "{received}");
    assert!(log.iter().all(|line| has_time(line)), "{received}");
    assert!(!lines(&sent.stderr).iter().any(|line| has_time(line)));

    // systemd's journal adds the time itself, and says that it is the journal.
    let journal = fs::File::create(sandbox.path("journal")).unwrap();
    let meta = journal.metadata().unwrap();
    let mut command = sandbox.me().recv_command(&sandbox.dst(), &["--once"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
    let receiver = Process::spawn_with_stderr(command, journal.into());
    let addr = wait_for_addr(&receiver).to_string();
    sandbox.send(&[], &addr).assert_code(0);
    let received = receiver.wait();
    let log = fs::read(sandbox.path("journal")).unwrap();
    for line in [lines(&received.stdout), lines(&log)].concat() {
        assert!(!has_time(&line), "{line}");
    }
    assert!(!log.is_empty());
}

#[test]
fn many_failures_take_few_lines() {
    let sandbox = Sandbox::new();
    let tree = sandbox.folder("src/tree");
    for n in 0..3000 {
        std::os::unix::fs::symlink("/etc/passwd", tree.join(format!("{n:04}"))).unwrap();
    }
    make_file(tree.join("file"), 1, 10);
    let recv = sandbox.recv_with(&["--once"]);
    let sent = sandbox.send(&[], &recv.target());
    let received = recv.wait();
    for output in [&sent, &received] {
        output.assert_code(IN_PART);
        let text = output.text();
        assert!(text.lines().count() < 20, "{output}");
        assert!(
            text.contains("2,990 more: 2,990 are links that point outside"),
            "{output}"
        );
        assert!(
            text.contains("(tree/0010, tree/0011, tree/0012, …)"),
            "{output}"
        );
        assert!(text.contains("--json"), "{output}");
    }
}

#[test]
fn what_is_said_is_told_to_programs() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    pair(&desktop, "desktop", &laptop);
    let recv = Terminal::spawn(laptop.recv_command(&sandbox.dst(), &["--json"]));
    let addr = recv.process().wait_for("an address", |output| {
        let text = String::from_utf8(output.stdout.clone()).ok()?;
        let event: Value = serde_json::from_str(text.lines().next()?).ok()?;
        Some(event["address"].as_str()?.to_owned())
    });
    let say = [
        "say",
        "--json",
        "--name",
        "desktop",
        "--ask",
        &addr,
        "What\n\x1b[1m?",
    ];
    let asker = Process::spawn(desktop.command(&say));
    // Whoever is asked sees what about, though the message itself goes to a program.
    recv.wait_for("\\x1b[1m?", 1);
    recv.wait_for("Reply to desktop", 1);
    recv.type_line("This.");
    let told = events(asker.wait().assert_code(0));
    assert_eq!(first(&told, "shown")["name"], "receiver");
    assert_eq!(first(&told, "reply")["text"], "This.");
    let asker = Process::spawn(desktop.command(&say));
    recv.wait_for("Reply to desktop", 2);
    recv.type_line("");
    let told = events(asker.wait().assert_code(NOT_LET_IN));
    assert_eq!(first(&told, "error")["kind"], "no_reply");
    let told = events(recv.wait_and_stop().assert_code(0));
    let message = first(&told, "message");
    assert_eq!(message["text"], "What\n\x1b[1m?");
    assert_eq!(message["name"], "desktop");
    assert_eq!(message["asks"], true);
}

#[test]
fn a_chat_is_told_of_in_events() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let args = [
        "chat",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--name",
        "host",
    ];
    let host = Process::spawn(me.command(&args));
    let addr = host.wait_for("an address", |output| {
        let line = output.stdout.split(|&b| b == b'\n').next()?;
        let event: Value = serde_json::from_slice(line).ok()?;
        Some(event["address"].as_str()?.to_owned())
    });
    let args = ["chat", "--json", &addr, "--name", "listener"];
    let listener = Process::spawn(me.command(&args));
    listener.wait_for_text("room_joined");
    let (from, mut to) = std::io::pipe().unwrap();
    let mut command = me.command(&["chat", &addr, "--name", "speaker"]);
    command.stdin(std::os::fd::OwnedFd::from(from));
    let speaker = Process::spawn(command);
    std::io::Write::write_all(&mut to, "two \u{202e}words\n".as_bytes()).unwrap();
    drop(to);
    speaker.wait().assert_code(0);
    host.wait_for_text("room_left");
    listener.wait_for_text("room_left");
    host.interrupt();
    let of_listener = events(&listener.wait());
    let of_host = events(&host.wait());
    let names = |events: &[Value]| -> Vec<String> {
        let names = events.iter().map(|event| event["event"].as_str().unwrap());
        let names = names.filter(|name| name.starts_with("room"));
        names.map(str::to_owned).collect()
    };
    let talk = ["room_came", "room_said", "room_left"];
    assert_eq!(
        names(&of_host),
        [&["room_opened", "room_came"], &talk[..]].concat()
    );
    assert_eq!(
        names(&of_listener),
        [&["room_joined"], &talk[..], &["room_closed"]].concat()
    );
    let said = of_host.iter().find(|e| e["event"] == "room_said").unwrap();
    assert_eq!(said["text"], "two \u{202e}words");
    assert_eq!(said["name"], "speaker");
    let left = of_host.iter().find(|e| e["event"] == "room_left").unwrap();
    assert_eq!(
        (&left["number"], &left["reason"]),
        (&said["number"], &Value::from("left"))
    );
}
