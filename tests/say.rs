//! What people say to each other with `xfer say`: shown as it is and harmless, answered, declined,
//! or left without an answer; and whom what is granted to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::*;

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
const DECLINED: i32 = 4;

/// Two machines that know each other: what `desktop` says, `laptop` shows.
struct Two {
    sandbox: Sandbox,
    laptop: User,
    desktop: User,
}

impl Two {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
        pair(&desktop, "desktop", &laptop);
        Self {
            sandbox,
            laptop,
            desktop,
        }
    }

    fn recv(&self, args: &[&str]) -> Recv {
        self.laptop.recv(&self.sandbox.dst(), args)
    }

    /// A receiver in a terminal that somebody sits at: all it prints comes there.
    fn recv_seen(&self, args: &[&str]) -> (Terminal, String) {
        let inner = self.laptop.recv_command(&self.sandbox.dst(), args);
        let args = ["-c", "exec \"$0\" \"$@\" >&2"].map(std::ffi::OsStr::new);
        let recv = Terminal::spawn(run_by("sh", &args, &inner));
        recv.wait_for(", receiving into", 1);
        let screen = recv.screen();
        let (_, rest) = screen.split_once("Listening on ").unwrap();
        let (addr, _) = rest.split_once(',').unwrap();
        let addr = addr.to_owned();
        (recv, addr)
    }

    fn say_command(&self, args: &[&str]) -> Command {
        let args = [&["say", "--name", "desktop"], args].concat();
        self.desktop.command(&args)
    }

    fn spawn(&self, args: &[&str]) -> Process {
        Process::spawn(self.say_command(args))
    }

    fn say(&self, args: &[&str]) -> Output {
        self.spawn(args).wait()
    }

    /// Says what comes from standard input.
    fn say_input(&self, args: &[&str], input: &[u8]) -> Output {
        let path = self.sandbox.path("input");
        fs::write(&path, input).unwrap();
        let mut command = self.say_command(args);
        command.stdin(Stdio::from(fs::File::open(path).unwrap()));
        Process::spawn(command).wait()
    }
}

/// The lines of text of a receiver's standard output, without the time before each.
fn shown(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (time, rest) = line.split_once(' ')?;
        time.ends_with('Z').then(|| rest.to_owned())
    });
    lines.collect()
}

#[track_caller]
fn shows(recv: &Recv, lines: &[&str]) {
    recv.process().wait_for("what was said", |output| {
        let all = shown(output);
        all.windows(lines.len())
            .any(|some| some == lines)
            .then_some(())
    });
}

#[test]
fn a_message_is_shown_when_say_ends() {
    let two = Two::new();
    let recv = two.recv(&[]);
    let said = two.say(&[&recv.target(), "Lunch", "is ready."]);
    said.assert_code(0)
        .assert_says("receiver shows your message");
    assert!(said.stdout.is_empty(), "{said}");
    // It was there before that, and not only soon.
    let printed = recv.process().printed();
    assert_eq!(shown(&printed), ["desktop: Lunch is ready."]);
    two.say_input(&[&recv.target()], "zwei\n\tZeilen\n".as_bytes())
        .assert_code(0);
    shows(&recv, &["desktop: zwei", "            Zeilen"]);
    // The name does as well as the address.
    two.say(&["receiver", "by name"]).assert_code(0);
    shows(&recv, &["desktop: by name"]);
    let ended = recv.interrupt();
    ended.assert_code(0).assert_harmless();
}

#[test]
fn the_way_back_is_the_same_and_quiet_shows_it_too() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    pair(&laptop, "laptop", &desktop);
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = probe.local_addr().unwrap().to_string();
    drop(probe);
    let mut command = desktop.command(&["recv", "--quiet", "--listen", &addr, "--dir"]);
    command.arg(sandbox.dst());
    let recv = Process::spawn(command);
    // Without its words nobody knows when it listens.
    let end = Instant::now() + PATIENCE;
    while laptop
        .run(&["say", "--name", "laptop", &addr, "hello"])
        .code
        != Some(0)
    {
        assert!(Instant::now() < end, "{}", recv.printed());
    }
    recv.wait_for_text("laptop: hello\n");
}

#[test]
fn the_longest_message_arrives_whole_for_programs() {
    let two = Two::new();
    let recv = two.recv_command_json();
    let text = "ä€😀\u{1b}[2J\u{202e}\tx\r\n".repeat((1 << 20) / 17);
    let text = text + &"y".repeat((1 << 20) - (1 << 20) / 17 * 17);
    let text = &text[..text.floor_char_boundary(1 << 20)];
    two.say_input(&[&recv.1], text.as_bytes())
        .assert_code(0)
        .assert_says("only its beginning");
    let event = recv.0.wait_for("an event", |output| {
        let text = String::from_utf8(output.stdout.clone()).ok()?;
        let mut lines = text.lines().filter(|line| line.contains("\"message\""));
        serde_json::from_str::<Value>(lines.next()?).ok()
    });
    assert_eq!(event["event"], "message");
    assert_eq!(event["name"], "desktop");
    assert!(event["text"] == text, "another text");
    assert_eq!(event["asks"], false);
    let long = two.say_input(&[&recv.1], &vec![b'x'; (1 << 20) + 1]);
    long.assert_code(WRONG_USAGE)
        .assert_says("larger than 1 MiB");
}

impl Two {
    /// A receiver that tells programs, and where it listens.
    fn recv_command_json(&self) -> (Process, String) {
        let recv = self.laptop.recv_command(&self.sandbox.dst(), &["--json"]);
        let recv = Process::spawn(recv);
        let addr = recv.wait_for("listening", |output| {
            let text = String::from_utf8(output.stdout.clone()).ok()?;
            let event: Value = serde_json::from_str(text.lines().next()?).ok()?;
            Some(event["address"].as_str()?.to_owned())
        });
        (recv, addr)
    }
}

#[test]
fn what_is_said_does_nothing_but_show() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let tricks = "\u{1b}]0;owned\u{7}\u{1b}[2Ja\u{9b}31m gpj.\u{202e}exe\rover\u{2028}\u{85}\u{0}";
    two.say_input(&[&addr], tricks.as_bytes()).assert_code(0);
    seen.wait_for("gpj.\\u{202e}exe\\rover\\u{2028}", 1);
    let screen = seen.screen();
    assert!(screen.contains("\\x1b]0;owned\\x07\\x1b[2Ja\\u{9b}31m"));
    for bad in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}"] {
        assert!(!screen.contains(bad), "{bad:?} in {screen:?}");
    }
    // The name has a colour, which is over behind it.
    assert!(screen.contains("mdesktop\u{1b}[0m: "), "{screen:?}");
    // A terminal is not filled with one message.
    two.say_input(&[&addr], "line\n".repeat(5000).as_bytes())
        .assert_code(0);
    seen.wait_for("the whole message is 25.0 kB in 5,000 lines", 1);
    assert_eq!(seen.screen().matches("line\r\n").count(), 200);
    seen.wait_and_stop().assert_code(0);
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let two = Two::new();
    let mut inner = two.laptop.recv_command(&two.sandbox.dst(), &[]);
    inner.env("NO_COLOR", "1");
    let args = ["-c", "exec \"$0\" \"$@\" >&2"].map(std::ffi::OsStr::new);
    let seen = Terminal::spawn(run_by("sh", &args, &inner));
    seen.wait_for(", receiving into", 1);
    let screen = seen.screen();
    let (_, rest) = screen.split_once("Listening on ").unwrap();
    let (addr, _) = rest.split_once(',').unwrap();
    two.say(&[addr, "plain"]).assert_code(0);
    seen.wait_for(" desktop: plain", 1);
}

#[test]
fn what_is_no_message_is_wrong_usage_and_goes_nowhere() {
    let two = Two::new();
    // Nobody listens there, and nobody is asked.
    let nowhere = "127.0.0.1:1";
    two.say_input(&[nowhere], b"")
        .assert_code(WRONG_USAGE)
        .assert_says("empty");
    two.say_input(&[nowhere], b" \n\t\n")
        .assert_code(WRONG_USAGE);
    two.say(&[nowhere, ""]).assert_code(WRONG_USAGE);
    two.say_input(&[nowhere], b"one\ntw\xc3")
        .assert_code(WRONG_USAGE)
        .assert_says("byte 7, line 2");
    let mut command = two.say_command(&[nowhere, "caf"]);
    command.arg(OsString::from_vec(b"\xe9".to_vec()));
    Process::spawn(command)
        .wait()
        .assert_code(WRONG_USAGE)
        .assert_says("word 2")
        .assert_harmless();
    two.say(&["--reply-within", "5", nowhere, "x"])
        .assert_code(WRONG_USAGE);
    two.say(&[nowhere, "x"]).assert_code(FAILED);
}

#[test]
fn a_question_is_answered_with_a_line() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let asker = two.spawn(&["--ask", &addr, "May I?"]);
    seen.wait_for("Reply to desktop", 1);
    seen.type_line(" yes, du d\u{e4}rfst\t");
    let answered = asker.wait();
    answered.assert_code(0);
    assert_eq!(answered.stdout, "yes, du d\u{e4}rfst\n".as_bytes());
    // An empty line is none, and so is the end of input.
    for end in ["\n", "\x04"] {
        let asker = two.spawn(&["--ask", &addr, "And now?"]);
        let asked = if end == "\n" { 2 } else { 3 };
        seen.wait_for("Reply to desktop", asked);
        seen.type_raw(end);
        let declined = asker.wait();
        declined
            .assert_code(DECLINED)
            .assert_says("showed the message, but nobody replied");
        assert!(declined.stdout.is_empty(), "{declined}");
    }
    seen.wait_and_stop().assert_code(0);
}

#[test]
fn without_a_terminal_nobody_replies() {
    let two = Two::new();
    let recv = two.recv(&[]);
    two.say(&["--ask", &recv.target(), "Anybody?"])
        .assert_code(DECLINED)
        .assert_says("but nobody replied");
    shows(&recv, &["desktop: Anybody?"]);
}

#[test]
fn a_question_is_withdrawn_when_nobody_waits_for_its_answer() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let asker = two.spawn(&["--ask", &addr, "first?"]);
    seen.wait_for("Reply to desktop", 1);
    // The second waits for its turn, and is asked once the first has gone.
    let second = two.spawn(&["--ask", &addr, "second?"]);
    seen.wait_for("second?", 1);
    asker.interrupt();
    asker.wait().assert_code(130);
    seen.wait_for("no longer waits for a reply", 1);
    seen.wait_for("Reply to desktop", 3);
    seen.type_line("to the second");
    second.wait().assert_code(0).assert_says("to the second");
    // So it is where the time is over.
    two.say(&["--ask", "--reply-within", "1", &addr, "quick?"])
        .assert_code(DECLINED);
    seen.wait_for("no longer waits for a reply", 2);
    // And where the other side ends.
    let asker = two.spawn(&["--ask", &addr, "last?"]);
    seen.wait_for("last?", 1);
    asker.wait_for_text("shows your message");
    seen.wait_and_stop();
    asker
        .wait()
        .assert_code(FAILED)
        .assert_says("`xfer recv` was stopped on receiver");
}

#[test]
fn a_message_cannot_write_what_the_program_says() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    // Spaces up to the edge, and what would begin the next row.
    for before in 40..80 {
        let text = format!("x{}Paired with evil.", " ".repeat(before));
        two.say(&[&addr, &text]).assert_code(0);
    }
    two.say(&[&addr, "the last"]).assert_code(0);
    seen.wait_for("the last", 1);
    let rows = seen.rows();
    let forged = rows.iter().find(|row| row.starts_with("Paired"));
    assert_eq!(forged, None, "{rows:#?}");
}

#[test]
fn what_is_not_seen_any_more_is_no_reply() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let asker = two.spawn(&["--ask", &addr, "Shall I?"]);
    seen.wait_for("Reply to desktop", 1);
    seen.type_raw("rm it ");
    seen.wait_for("rm it", 1);
    two.say(&[&addr, "by the way"]).assert_code(0);
    seen.wait_for("Reply to desktop", 2);
    seen.type_line("no");
    let asked = asker.wait();
    assert_eq!(asked.assert_code(0).stdout, b"no\n");
}

#[test]
fn no_more_questions_wait_than_somebody_can_answer() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let askers: Vec<_> = (0..4)
        .map(|_| two.spawn(&["--ask", &addr, "question?"]))
        .collect();
    seen.wait_for("question?", 4);
    // They are in the way of no message.
    two.say(&[&addr, "by the way"]).assert_code(0);
    let more = two.say(&["--ask", &addr, "one more?"]);
    more.assert_code(DECLINED)
        .assert_says("is full at the moment");
    assert!(!seen.screen().contains("one more?"));
    drop(askers);
    two.say(&[&addr, "still there"]).assert_code(0);
}

#[test]
fn a_lost_connection_ends_the_wait_on_both_sides() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let proxy = Proxy::new(addr.parse().unwrap());
    let asker = two.spawn(&["--ask", &proxy.target(), "there?"]);
    seen.wait_for("Reply to desktop", 1);
    asker.wait_for_text("shows your message");
    let begun = Instant::now();
    proxy.stall();
    asker.wait().assert_code(FAILED);
    seen.wait_for("no longer waits for a reply", 1);
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(20), "{took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn whoever_is_not_known_is_paired_with_first() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    let command = laptop.recv_command(&sandbox.dst(), &["--name", "laptop"]);
    let recv = Terminal::spawn(command);
    let addr = wait_for_addr(recv.process()).to_string();
    let args = ["say", "--name", "desktop", &addr, "hello"];
    let say = Terminal::spawn(desktop.command(&args));
    let code = recv.code();
    say.wait_for("Code on laptop: ", 1);
    say.type_line(&code);
    let (code, screen) = say.wait();
    assert_eq!(code, Some(0), "{screen}");
    recv.process().wait_for_text("desktop: hello");
    // Without a code nothing is said.
    let stranger = sandbox.user("stranger");
    let args = ["say", "--name", "stranger", &addr, "psst"];
    stranger.run(&args).assert_code(DECLINED);
    assert!(!recv.process().printed().text().contains("psst"));
}

#[test]
fn what_a_machine_may_do_is_given_and_taken() {
    let two = Two::new();
    let recv = two.recv(&[]);
    let file = two.sandbox.src().join("file");
    make_file(&file, 1, 10);
    let send = || {
        let path = file.as_os_str().to_owned();
        two.desktop.send(&[path, recv.target().into()])
    };
    let peers = |args: &[&str]| {
        let args = [&["peers"], args].concat();
        two.laptop.run(&args)
    };
    peers(&["--deny", "messages", "desktop"])
        .assert_code(0)
        .assert_says("may send files here");
    let declined = two.say(&[&recv.target(), "hello"]);
    declined
        .assert_code(DECLINED)
        .assert_says("does not let this machine send messages")
        .assert_says("xfer peers --allow messages NAME");
    recv.process()
        .wait_for_text("xfer peers --allow messages desktop");
    send().assert_code(0);
    peers(&["--allow", "messages,run", "--deny", "files", "desktop"])
        .assert_code(0)
        .assert_says("may send messages and run commands here");
    two.say(&[&recv.target(), "hello"]).assert_code(0);
    send()
        .assert_code(DECLINED)
        .assert_says("does not let this machine send files");
    peers(&["--deny", "messages", "--deny", "run", "desktop"]).assert_says("may do nothing here");
    two.say(&[&recv.target(), "hello"]).assert_code(DECLINED);
    peers(&["--allow", "files,messages", "desktop"])
        .assert_says("may send files and messages here");
    // What is as pairing makes it stands in the file as earlier versions write it.
    let list = two.laptop.home().join(".local/share/xfer/peers");
    let text = fs::read_to_string(&list).unwrap();
    assert!(
        !text.contains("may-message") && !text.contains("may-run"),
        "{text}"
    );
    two.say(&[&recv.target(), "hello"]).assert_code(0);
    peers(&["--allow", "files", "nobody"])
        .assert_code(FAILED)
        .assert_says("no paired machine is called 'nobody'");
    peers(&["--allow", "files", "--deny", "files", "desktop"]).assert_code(WRONG_USAGE);
    peers(&["--allow", "files"]).assert_code(WRONG_USAGE);
    two.laptop.run(&["unpair", "desktop"]).assert_code(0);
    two.say(&[&recv.target(), "hello"]).assert_code(DECLINED);
}

#[test]
fn whoever_may_not_any_more_is_asked_about_no_more() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let asker = two.spawn(&["--ask", &addr, "still?"]);
    seen.wait_for("Reply to desktop", 1);
    let args = ["peers", "--deny", "messages", "desktop"];
    two.laptop.run(&args).assert_code(0);
    asker.wait().assert_code(DECLINED);
    seen.wait_for("no longer waits for a reply", 1);
}

#[test]
fn a_message_tears_no_bars_and_goes_beside_the_data() {
    let two = Two::new();
    let (seen, addr) = two.recv_seen(&[]);
    let large = two.sandbox.src().join("large");
    make_file(&large, 1, 64 * CHUNK);
    let args = [
        "--limit".into(),
        "4M".into(),
        large.into_os_string(),
        addr.clone().into(),
    ];
    let send = two.desktop.spawn_send::<OsString>(&args);
    seen.wait_for("from desktop", 1);
    for n in 0..5 {
        two.say(&[&addr, &format!("message number {n}.")])
            .assert_code(0);
    }
    for n in 0..5 {
        seen.wait_for(&format!("desktop: message number {n}.\r\n"), 1);
        let end = format!("\u{1b}[0m: message number {n}.\r\n");
        let screen = seen.screen();
        let (before, _) = screen.split_once(&end).unwrap();
        let line = before.rsplit(['\n', '\r']).next().unwrap();
        // The bars were cleared before, and the row holds nothing but the time and the name.
        let line = line.trim_start_matches("\u{1b}[J");
        let (time, name) = line.split_at(6);
        assert!(
            time.ends_with(' ') && time.as_bytes()[2] == b':',
            "{line:?}"
        );
        assert!(
            name.starts_with("\u{1b}[") && name.ends_with("mdesktop"),
            "{line:?}"
        );
    }
    send.kill();
    seen.wait_and_stop();
    // Where standard output is the file's, what is said goes elsewhere.
    let mut command = two
        .laptop
        .command(&["recv", "--listen", "127.0.0.1:0", "--stdout"]);
    command.stdin(Stdio::null());
    let recv = Process::spawn(command);
    let addr = recv.wait_for("an address", |output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, rest) = text.split_once("Listening on ")?;
        Some(rest.split_once(',')?.0.to_owned())
    });
    two.say(&[&addr, "not the file"]).assert_code(0);
    // Nor is it what a receiver waits for that ends with its first session.
    let small = two.sandbox.src().join("small");
    fs::File::create(&small)
        .unwrap()
        .write_all(b"the file")
        .unwrap();
    let args = [small.into_os_string(), addr.into()];
    two.desktop.send(&args).assert_code(0);
    let output = recv.wait();
    output.assert_code(0);
    assert_eq!(output.stdout, b"the file");
    assert!(String::from_utf8_lossy(&output.stderr).contains("desktop: not the file\n"));
}
