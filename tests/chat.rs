//! Chats: each in a terminal of its own, and through pipes; who may be there, who is put out, and
//! what a connection that is lost comes to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use support::*;
use xfer::net::{Known, Peers};

const NOT_LET_IN: i32 = 4;
const INTERRUPTED: i32 = 130;

/// Where a chat says that it is open.
fn opened(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("The chat is open on ")?;
    let (addr, _) = rest.split_once(['\r', '\n'])?;
    addr.trim().parse().ok()
}

fn open_command(user: &User, name: &str, args: &[&str]) -> Command {
    let first = ["chat", "--listen", "127.0.0.1:0", "--name", name];
    user.command(&[&first, args].concat())
}

fn join_command(user: &User, name: &str, addr: SocketAddr, args: &[&str]) -> Command {
    let addr = addr.to_string();
    user.command(&[&["chat", &addr, "--name", name], args].concat())
}

/// Has somebody know by this name whom they are paired with.
fn rename(user: &User, host: &str) {
    let peers = Peers::in_dir(&user.home().join(".local/share/xfer"));
    let change = |all: &mut Vec<Known>| {
        all.iter_mut()
            .for_each(|known| known.name = host.to_owned());
        Ok(())
    };
    peers.update(change).unwrap();
}

/// A room, its host in a terminal.
struct Host {
    sandbox: Sandbox,
    user: User,
    terminal: Terminal,
    addr: SocketAddr,
}

impl Host {
    fn new() -> Self {
        Self::with(80, &[])
    }

    fn with(columns: u16, env: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new();
        let user = sandbox.user("anna");
        let mut command = open_command(&user, "anna", &[]);
        command.envs(env.iter().copied());
        let terminal = Terminal::spawn_whole(command, columns);
        terminal.wait_for("Q leaves", 1);
        let addr = opened(&terminal.screen()).unwrap();
        Self {
            sandbox,
            user,
            terminal,
            addr,
        }
    }

    /// Somebody who is paired with it.
    fn paired(&self, name: &str) -> User {
        let user = self.sandbox.user(name);
        pair(&user, name, &self.user);
        rename(&user, "anna");
        user
    }

    /// Somebody who joins in a terminal, and is there.
    fn join(&self, name: &str) -> Terminal {
        self.join_with(name, 80, &[])
    }

    fn join_with(&self, name: &str, columns: u16, env: &[(&str, &str)]) -> Terminal {
        let mut command = join_command(&self.paired(name), name, self.addr, &[]);
        command.envs(env.iter().copied());
        let terminal = Terminal::spawn_whole(command, columns);
        terminal.wait_for("Q leaves", 1);
        terminal
    }

    /// Somebody who listens through a pipe.
    fn listen(&self, name: &str) -> Process {
        let process = Process::spawn(join_command(&self.paired(name), name, self.addr, &[]));
        process.wait_for_text("You are in the chat");
        process
    }

    /// Somebody who says all this through a pipe, and has left then.
    fn tell(&self, user: &User, name: &str, text: &[u8]) -> Output {
        let mut command = join_command(user, name, self.addr, &[]);
        command.stdin(piped(text));
        Process::spawn(command).wait()
    }
}

/// Standard input that has this, and ends.
fn piped(text: &[u8]) -> Stdio {
    let (from, to) = std::io::pipe().unwrap();
    let text = text.to_vec();
    std::thread::spawn(move || {
        let mut to = to;
        let _ = to.write_all(&text);
    });
    OwnedFd::from(from).into()
}

#[track_caller]
fn ends_with(terminal: Terminal, code: i32) -> String {
    let keyboard_is_back = {
        terminal.process().wait_end();
        terminal.is_by_lines()
    };
    let (ended, screen) = terminal.wait();
    assert_eq!(ended, Some(code), "{screen}");
    assert!(keyboard_is_back, "the terminal is not as it was");
    screen
}

/// How often a row is just this.
fn count(rows: &[String], row: &str) -> usize {
    rows.iter().filter(|other| *other == row).count()
}

#[test]
fn four_talk_until_the_host_leaves() {
    let host = Host::new();
    let bert = host.join("bert");
    let carl = host.join("carl");
    let dora = host.join("dora");
    dora.wait_for("You are in the chat on anna, with bert, carl.", 1);
    host.terminal.wait_for("dora joined.", 1);
    bert.wait_for("carl joined.", 1);
    bert.wait_for("dora joined.", 1);

    let all = [&host.terminal, &bert, &carl, &dora];
    for (who, name) in all.iter().zip(["anna", "bert", "carl", "dora"]) {
        who.type_line(&format!("I am {name}."));
        let said = format!("{name}: I am {name}.");
        // Once for everybody, whoever has typed it.
        for other in all {
            other.wait_for_rows(&said, |rows| count(rows, &said) == 1);
        }
    }
    dora.type_line("q");
    ends_with(dora, 0);
    for other in [&host.terminal, &bert, &carl] {
        other.wait_for("dora left.", 1);
    }
    carl.interrupt();
    ends_with(carl, INTERRUPTED);
    bert.wait_for("carl left.", 1);
    // A room outlives its members, and somebody may come back.
    let carl = host.join_again("carl");
    bert.wait_for("carl joined.", 2);
    carl.type_raw("\x04");
    ends_with(carl, 0);
    host.terminal.wait_for("carl left.", 2);
    host.terminal.type_raw("\x04");
    let screen = ends_with(bert, 0);
    assert!(screen.contains("anna closed the chat."), "{screen}");
    ends_with(host.terminal, 0);
}

impl Host {
    fn join_again(&self, name: &str) -> Terminal {
        let command = join_command(&self.sandbox.user(name), name, self.addr, &[]);
        let terminal = Terminal::spawn_whole(command, 80);
        terminal.wait_for("Q leaves", 1);
        terminal
    }
}

#[test]
fn a_line_that_is_being_typed_stays_whole() {
    for columns in [80, 40] {
        let host = Host::with(columns, &[]);
        let bert = host.join_with("bert", columns, &[]);
        let long = "a line that is longer than what forty columns have";
        host.terminal.type_raw(&format!("{long}\x1b[D\x1b[D"));
        let lines: Vec<String> = (0..20).map(|n| format!("line {n} of twenty")).collect();
        for line in &lines {
            bert.type_line(line);
        }
        let shown = match columns {
            80 => format!("> {long}"),
            // The part that the cursor is in.
            _ => format!("> {}", &long[long.len() - 2 - 37..long.len() - 2]),
        };
        host.terminal
            .wait_for_rows("all lines above the typed one", |rows| {
                let said = |line: &String| count(rows, &format!("bert: {line}")) == 1;
                lines.iter().all(said) && rows.last() == Some(&shown)
            });
        // The cursor is where it was.
        host.terminal.type_line("XY");
        let said = format!("anna: {}XYve", &long[..long.len() - 2]);
        // Where it is wrapped, its further rows begin within the edge.
        let without_spaces = |text: &str| text.replace(' ', "");
        bert.wait_for_rows("the whole line", |rows| {
            without_spaces(&rows.concat()).contains(&without_spaces(&said))
        });
        host.terminal.type_line("Q");
        ends_with(bert, 0);
        ends_with(host.terminal, 0);
    }
}

#[test]
fn names_have_colours_only_where_they_are_wanted() {
    let host = Host::new();
    let colours = host.join("bert");
    let none = host.join_with("carl", 40, &[("NO_COLOR", "1")]);
    let dumb = host.join_with("dora", 40, &[("TERM", "vt-none")]);
    host.terminal.type_line("hello");
    for terminal in [&colours, &none, &dumb] {
        terminal.wait_for_rows("hello", |rows| count(rows, "anna: hello") == 1);
    }
    assert!(colours.screen().contains("anna\x1b[0m: hello"));
    assert!(!none.screen().contains('\x1b'), "{:?}", none.screen());
}

#[test]
fn through_pipes_go_lines_and_nothing_else() {
    let host = Host::new();
    let listener = host.listen("log");
    let bert = host.paired("bert");
    let said = host.tell(&bert, "bert", b"one\r\ntwo\n\nlast without an end");
    said.assert_code(0);
    assert_eq!(said.stdout, b"", "{said}");
    host.terminal.type_line("three");
    listener.wait_for("three", |output| {
        output.stdout.ends_with(b"anna: three\n").then_some(())
    });
    host.terminal.type_raw("\x04");
    let heard = listener.wait();
    heard.assert_code(0).assert_says("anna closed the chat");
    let expected = "bert: one\nbert: two\nbert: \nbert: last without an end\nanna: three\n";
    assert_eq!(String::from_utf8_lossy(&heard.stdout), expected);
    ends_with(host.terminal, 0);
}

#[test]
fn a_host_without_a_terminal_says_what_it_reads_and_hears_the_rest() {
    let sandbox = Sandbox::new();
    let anna = sandbox.user("anna");
    let host = Process::spawn(open_command(&anna, "anna", &[]));
    let addr = host.wait_for("an address", |output| opened(&output.text()));
    let bert = sandbox.user("bert");
    pair(&bert, "bert", &anna);
    let mut command = join_command(&bert, "bert", addr, &[]);
    command.stdin(piped(&b"many\n".repeat(500)));
    // A whole file at once is slowed, and nobody is put out for it.
    Process::spawn(command).wait().assert_code(0);
    host.wait_for("all lines", |output| {
        (output.stdout.len() == b"bert: many\n".len() * 500).then_some(())
    });
    host.interrupt();
    let output = host.wait();
    output.assert_code(INTERRUPTED).assert_says("bert left.");
}

#[test]
fn what_is_said_harms_no_terminal_and_has_its_limits() {
    let host = Host::new();
    let listener = host.listen("log");
    let bert = host.paired("bert");
    let long = "ä".repeat(8 * 1024);
    let text = format!("\x1b[2J\u{202e}evil\x07\u{9b}\n{long}x\n{long}\nhalf: ");
    let text = [text.as_bytes(), b"\xe6\x97\n"].concat();
    let said = host.tell(&bert, "bert", &text);
    said.assert_code(0).assert_says("at most 16 KiB");
    host.terminal.type_raw("\x04");
    let heard = listener.wait();
    heard.assert_code(0).assert_harmless();
    let shown = "bert: \\x1b[2J\\u{202e}evil\\x07\\u{9b}\n";
    let expected = format!("{shown}bert: {long}\nbert: half: \u{fffd}\n");
    assert_eq!(String::from_utf8_lossy(&heard.stdout), expected);
}

#[test]
fn two_of_one_name_are_told_apart() {
    let host = Host::new();
    // The same user of the same machine is let in without a code, by any name.
    let mut command = join_command(&host.user, "anna", host.addr, &[]);
    command.stdin(piped(b"which one?\n"));
    Process::spawn(command).wait().assert_code(0);
    host.terminal.wait_for_rows("another name", |rows| {
        count(rows, "anna (2): which one?") == 1
    });
}

#[test]
fn a_stranger_pairs_with_a_code_and_tears_no_line() {
    let host = Host::new();
    let bert = host.sandbox.user("bert");
    host.terminal.type_raw("not yet said");
    // Nobody types a code there.
    let unseen = Process::spawn(join_command(&bert, "bert", host.addr, &[])).wait();
    unseen.assert_code(NOT_LET_IN);
    let joined = Terminal::spawn_whole(join_command(&bert, "bert", host.addr, &[]), 80);
    joined.wait_for("Code on anna: ", 1);
    joined.type_line(&host.terminal.code());
    joined.wait_for("You are in the chat on anna.", 1);
    host.terminal
        .wait_for_rows("a whole line below all", |rows| {
            count(rows, "bert joined.") == 1 && rows.last().unwrap() == "> not yet said"
        });
    joined.type_line("here I am");
    host.terminal
        .wait_for_rows("what is said", |rows| count(rows, "bert: here I am") == 1);
    assert!(host.terminal.screen().contains("wants to join this chat"));
}

#[test]
fn whoever_has_no_grant_stays_out_and_loses_it_is_put_out() {
    let host = Host::new();
    let set = |may: bool| {
        let peers = Peers::in_dir(&host.user.home().join(".local/share/xfer"));
        let change = |all: &mut Vec<Known>| {
            for known in all.iter_mut().filter(|known| known.name == "bert") {
                known.may_message = may;
            }
            Ok(())
        };
        peers.update(change).unwrap();
    };
    let user = host.paired("bert");
    set(false);
    let out = Process::spawn(join_command(&user, "bert", host.addr, &[])).wait();
    out.assert_code(NOT_LET_IN)
        .assert_says("does not let this machine send messages");
    set(true);
    let bert = Process::spawn(join_command(&user, "bert", host.addr, &[]));
    bert.wait_for_text("You are in the chat");
    let carl = host.listen("carl");
    set(false);
    bert.wait().assert_code(NOT_LET_IN);
    carl.wait_for_text("bert was removed: it is no longer allowed here.");
    host.terminal.wait_for("bert was removed", 1);
}

#[test]
fn whoever_is_killed_is_gone_for_all_at_once() {
    let host = Host::new();
    let bert = host.listen("bert");
    let carl = host.listen("carl");
    bert.kill();
    carl.wait_for_text("bert is gone: connection lost.");
    host.terminal.wait_for("bert is gone", 1);
}

#[test]
fn a_member_that_says_nothing_more_is_gone_in_a_while_and_others_go_on() {
    let host = Host::new();
    let bert = host.join("bert");
    let carl = host.listen("carl");
    bert.process().pause();
    for n in 0..100 {
        let line = format!("line {n}");
        host.terminal.type_line(&line);
        carl.wait_for_text(&format!("anna: {line}\n"));
    }
    carl.wait_for_text("bert is gone");
    // It comes back by itself once it goes on.
    bert.process().go_on();
    carl.wait_for_text("bert joined.");
    bert.wait_for("You are in the chat", 2);
}

#[test]
fn a_lost_connection_is_made_anew() {
    let host = Host::new();
    let proxy = Proxy::new(host.addr);
    let user = host.paired("bert");
    let addr = proxy.target().parse().unwrap();
    let bert = Terminal::spawn_whole(join_command(&user, "bert", addr, &[]), 80);
    bert.wait_for("Q leaves", 1);
    bert.type_raw("unsaid");
    proxy.cut_all();
    bert.wait_for("Reconnecting", 1);
    bert.wait_for("You are in the chat", 2);
    host.terminal.wait_for("bert joined.", 2);
    bert.type_line(" so far");
    host.terminal.wait_for("unsaid so far", 1);
    // Where it does not come back, it says so, and the terminal is as it was.
    let quick = Terminal::spawn_whole(join_command(&user, "bert", addr, &["--retry", "1"]), 80);
    quick.wait_for("Q leaves", 1);
    let Host { terminal, .. } = host;
    terminal.process().interrupt();
    ends_with(terminal, INTERRUPTED);
    ends_with(bert, 0);
    ends_with(quick, 0);
}

#[test]
fn a_host_that_is_gone_is_waited_for_as_long_as_was_said() {
    let host = Host::new();
    let user = host.paired("bert");
    let args = ["--retry", "1"];
    let bert = Terminal::spawn_whole(join_command(&user, "bert", host.addr, &args), 80);
    bert.wait_for("Q leaves", 1);
    let Host { terminal, .. } = host;
    drop(terminal);
    let screen = ends_with(bert, 1);
    assert!(screen.contains("Reconnecting"), "{screen}");
}

#[test]
fn a_chat_takes_no_files_and_a_receiver_has_no_chat() {
    let host = Host::new();
    let bert = host.paired("bert");
    make_file(host.sandbox.src().join("file"), 1, 10);
    let file = host.sandbox.src().join("file").display().to_string();
    let sent = bert.send(&[&*file, &host.addr.to_string()]);
    sent.assert_code(NOT_LET_IN)
        .assert_says("has a chat open, and receives nothing else");
    let recv = host.sandbox.recv();
    let me = host.sandbox.me();
    let joined = Process::spawn(join_command(&me, "me", recv.addr(), &[])).wait();
    joined
        .assert_code(NOT_LET_IN)
        .assert_says("no chat is open on");
    recv.interrupt().assert_code(0);
}

#[test]
fn a_port_that_is_taken_is_left_to_whoever_has_it() {
    let host = Host::new();
    let other = host.sandbox.user("bert");
    let taken = host.addr.to_string();
    let told = other.run(&["chat", "--listen", &taken]);
    told.assert_code(1).assert_says("in use");
    // The settings say where to receive.
    let mut command = other.command(&["chat", "--name", "bert"]);
    command.env("XFER_LISTEN", &taken);
    let process = Process::spawn(command);
    let addr = process.wait_for("an address", |output| opened(&output.text()));
    assert!(addr.port() != host.addr.port() && addr.ip() == host.addr.ip());
    process.interrupt();
    process.wait().assert_code(INTERRUPTED);
}

#[test]
fn what_stops_a_person_leaves_the_terminal_as_it_was() {
    let host = Host::new();
    assert!(!host.terminal.is_by_lines());
    // Keys that a shell would take for itself are keys like any other.
    host.terminal.type_raw("\x1c\x1b[200~abc\x1b[A\x15");
    host.terminal.type_line("still here");
    host.terminal.wait_for("still here", 1);
    host.terminal.process().interrupt();
    ends_with(host.terminal, INTERRUPTED);
}

/// Somebody who says through a pipe what is put into it, and is in the room.
fn speaker(command: Command) -> (Process, std::io::PipeWriter) {
    let (from, to) = std::io::pipe().unwrap();
    let mut command = command;
    command.stdin(OwnedFd::from(from));
    let process = Process::spawn(command);
    process.wait_for_text("You are in the chat");
    (process, to)
}

#[test]
fn a_host_that_is_away_for_longer_than_a_search_is_found_again_by_its_name() {
    let host = Host::new();
    let user = host.paired("bert");
    let peers = Peers::in_dir(&user.home().join(".local/share/xfer"));
    let addr = host.addr;
    let set = |all: &mut Vec<Known>| {
        all[0].address = Some(addr.to_string().parse().unwrap());
        Ok(())
    };
    peers.update(set).unwrap();
    let args = ["chat", "anna", "--name", "bert"];
    let bert = Terminal::spawn_whole(user.command(&args), 80);
    bert.wait_for("Q leaves", 1);
    let Host {
        sandbox,
        user: anna,
        terminal,
        ..
    } = host;
    drop(terminal);
    bert.wait_for("Reconnecting", 2);
    let at = addr.to_string();
    let again = ["chat", "--listen", &at, "--name", "anna"];
    let host = Terminal::spawn_whole(anna.command(&again), 80);
    host.wait_for("bert joined.", 1);
    bert.type_line("back again");
    host.wait_for("back again", 1);
    bert.type_line("q");
    ends_with(bert, 0);
    drop(sandbox);
}

#[test]
fn a_program_hears_that_its_lines_were_not_delivered() {
    let host = Host::new();
    let user = host.paired("bert");
    let proxy = Proxy::new(host.addr);
    let addr = proxy.target().parse().unwrap();
    let args = ["--retry", "1"];
    let (bert, mut to) = speaker(join_command(&user, "bert", addr, &args));
    // What it says does not arrive, and neither does that it leaves.
    proxy.hold();
    let before = bert.printed();
    to.write_all(b"made\n").unwrap();
    drop(to);
    host.terminal.type_line("still here");
    bert.wait_for("a line", |output| {
        (output.stdout.len() > before.stdout.len()).then_some(())
    });
    proxy.cut_all();
    bert.wait().assert_code(1);
    assert!(!host.terminal.screen().contains("made"));
}

#[test]
fn a_line_that_may_not_have_arrived_is_told_of_and_q_leaves_a_dead_connection_soon() {
    let host = Host::new();
    let user = host.paired("bert");
    let proxy = Proxy::new(host.addr);
    let addr = proxy.target().parse().unwrap();
    let bert = Terminal::spawn_whole(join_command(&user, "bert", addr, &[]), 80);
    bert.wait_for("Q leaves", 1);
    bert.type_line("heard");
    host.terminal.wait_for("heard", 1);
    let quick = Terminal::spawn_whole(join_command(&host.paired("carl"), "carl", addr, &[]), 80);
    quick.wait_for("Q leaves", 1);
    proxy.stall();
    bert.type_line("lost");
    bert.wait_for_rows("the line", |rows| count(rows, "bert: lost") == 1);
    let began = std::time::Instant::now();
    quick.type_line("q");
    ends_with(quick, 0);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    proxy.cut_all();
    bert.wait_for("may be lost", 1);
    bert.type_line("q");
    ends_with(bert, 0);
}

#[test]
fn the_rest_of_a_paste_is_not_left_to_the_shell() {
    let host = Host::new();
    let bert = host.join("bert");
    let shell = bert.open_again();
    bert.type_raw("one line\nq\nrm -rf important\nmore\n");
    bert.process().wait_end();
    let left = rustix::io::ioctl_fionread(&shell).unwrap();
    assert_eq!(left, 0);
    drop(shell);
    ends_with(bert, 0);
}
