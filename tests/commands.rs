//! Commands that one machine offers and others run: what comes back, what is passed on, and that
//! nothing is left behind, whoever goes first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Pid;
use support::*;
use xfer::net::{Known, Peers};

/// A receiver of mine with these commands in its settings.
fn offering(sandbox: &Sandbox, settings: &str) -> Recv {
    offering_with(sandbox, settings, &[])
}

fn offering_with(sandbox: &Sandbox, settings: &str, args: &[&str]) -> Recv {
    let dir = sandbox.me().home().join(".config/xfer");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), settings).unwrap();
    sandbox.recv_with(args)
}

/// `[run.NAME]` for what a shell does.
fn shell(name: &str, script: &str, more: &str) -> String {
    format!("[run.{name}]\ncommand = [\"sh\", \"-c\", '''{script}''', \"sh\"]\n{more}\n")
}

fn args<'a>(recv: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["run", recv].iter().chain(more).copied().collect()
}

fn run(user: &User, recv: &Recv, more: &[&str]) -> Output {
    user.run(&args(&recv.target(), more))
}

fn spawn(user: &User, recv: &Recv, more: &[&str]) -> Process {
    Process::spawn(user.command(&args(&recv.target(), more)))
}

/// The number of the process that says it in its first line.
fn pid_of(process: &Process) -> Pid {
    process.wait_for("a line with a number", |output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (line, _) = text.split_once('\n')?;
        Pid::from_raw(line.parse().unwrap())
    })
}

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((start, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        if rest.split(' ').nth(1) == Some(&pid.as_raw_nonzero().to_string()) {
            let number = start.split(' ').next().unwrap().parse().unwrap();
            found.extend(Pid::from_raw(number));
        }
    }
    found
}

/// Lets a machine that is known to me run commands, or not.
fn let_run(sandbox: &Sandbox, name: &str, may: bool) {
    let peers = Peers::in_dir(&sandbox.me().home().join(".local/share/xfer"));
    let change = |all: &mut Vec<Known>| {
        let known = all.iter_mut().find(|known| known.name == name).unwrap();
        known.may_run = may;
        Ok(())
    };
    peers.update(change).unwrap();
}

#[test]
fn both_outputs_and_the_exit_code_come_back_as_they_are() {
    let sandbox = Sandbox::new();
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let file = sandbox.src().join("binary");
    fs::write(&file, &content).unwrap();
    let script = format!("cat '{}'; echo wrong >&2; exit 7", file.display());
    let recv = offering(&sandbox, &shell("both", &script, ""));
    let output = run(&sandbox.me(), &recv, &["both"]);
    output.assert_code(7);
    // As soon as one has ended, the next may run.
    for _ in 0..20 {
        run(&sandbox.me(), &recv, &["both"]).assert_code(7);
    }
    assert!(output.stdout == content);
    assert_eq!(output.stderr, b"wrong\n");
    recv.process().wait_for_text("runs both");
    recv.process().wait_for_text(": exit code 7");
}

#[test]
fn output_comes_as_it_is_produced() {
    let sandbox = Sandbox::new();
    let recv = offering(&sandbox, &shell("slow", "echo $$; exec sleep 300", ""));
    let client = spawn(&sandbox.me(), &recv, &["slow"]);
    // It has not ended, and its output is there.
    let pid = pid_of(&client);
    client.interrupt();
    client.wait().assert_code(130);
    wait_until_gone(pid);
    recv.process().wait_for_text(": stopped");
}

#[test]
fn arguments_are_passed_as_they_are() {
    let sandbox = Sandbox::new();
    let settings = shell(
        "all",
        r#"for a; do printf "%s|" "$a"; done"#,
        "arguments = true\noptions = true",
    );
    let recv = offering(&sandbox, &settings);
    let marker = sandbox.path("marker");
    let given = [
        &*format!("$(touch {})", marker.display()),
        &format!("; touch {}", marker.display()),
        "-rf",
        "--help",
        "--",
        "",
        " a  b ",
        "\u{e4}\u{65e5}'\"\\",
        "*",
        "a\nb",
    ];
    let output = run(&sandbox.me(), &recv, &[&["all"][..], &given].concat());
    output.assert_code(0);
    let expected: String = given.iter().map(|a| format!("{a}|")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert!(!marker.exists());
    // What would mean something to xfer in front of the command means nothing behind it.
    for first in ["-v", "--help", "--", "--name", "--raw", "-q"] {
        let output = run(&sandbox.me(), &recv, &["all", first, "x"]);
        output.assert_code(0);
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("{first}|x|")
        );
    }
}

#[test]
fn only_what_the_settings_allow_is_run() {
    let sandbox = Sandbox::new();
    let settings = [
        shell("none", "echo ran", ""),
        shell("some", "echo ran", "arguments = true"),
    ];
    let recv = offering_with(
        &sandbox,
        &settings.concat(),
        &["--run", "given=echo 'a  b' $HOME"],
    );
    let me = sandbox.me();
    run(&me, &recv, &["none"]).assert_code(0).assert_says("ran");
    run(&me, &recv, &["some", "a", "b-"]).assert_code(0);
    let given = run(&me, &recv, &["given"]);
    assert_eq!(given.stdout, b"a  b $HOME\n");
    for (more, words) in [
        (&["none", "a"][..], "arguments"),
        (&["none", ""], "arguments"),
        (&["some", "-a"], "arguments"),
        (&["some", "a", "--", "b"], "arguments"),
        (&["other"], "no command of that name"),
        (&["NONE"], "no command of that name"),
        (&["../none"], "no command of that name"),
    ] {
        let output = run(&me, &recv, more);
        output.assert_code(255).assert_says(words);
        assert_eq!(output.stdout, b"", "{more:?}");
    }
    let list = run(&me, &recv, &[]);
    list.assert_code(0);
    assert_eq!(list.stdout, b"given\nnone\nsome [ARG]...\n");
    let long = "a".repeat(70_000);
    run(&me, &recv, &["some", &long])
        .assert_code(2)
        .assert_says("at most");
}

#[test]
fn settings_that_make_no_sense_are_said() {
    let sandbox = Sandbox::new();
    let dir = sandbox.me().home().join(".config/xfer");
    fs::create_dir_all(&dir).unwrap();
    for (settings, words) in [
        ("[run.a]", "run.a.command is missing"),
        ("[run.a]\ncommand = \"\"", "must name a program"),
        ("[run.a]\ncommand = \"a 'b\"", "unclosed quote"),
        ("[run.\"a b\"]\ncommand = \"a\"", "invalid command name"),
        (
            "[run.a]\ncommand = \"a\"\noptions = true",
            "needs arguments",
        ),
        (
            "[run.a]\ncommand = \"a\"\ntimelimit = 1",
            "did you mean 'time-limit'",
        ),
        (
            "[run.a]\ncommand = \"a\"\ntime-limit = \"x\"",
            "number of seconds",
        ),
        ("run = 1", "unknown key 'run'"),
    ] {
        fs::write(dir.join("config.toml"), settings).unwrap();
        let output = sandbox.me().run(&["recv"]);
        output.assert_code(2).assert_says(words);
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let sandbox = Sandbox::new();
    let settings = shell(
        "long",
        "trap '' TERM; echo $$; sleep 300; sleep 300",
        "time-limit = 1",
    );
    let recv = offering(&sandbox, &settings);
    let client = spawn(&sandbox.me(), &recv, &["long"]);
    let pid = pid_of(&client);
    client
        .wait()
        .assert_code(124)
        .assert_says("its time limit of");
    wait_until_gone(pid);
}

#[test]
fn a_command_that_floods_is_ended_and_slows_nothing() {
    let sandbox = Sandbox::new();
    let settings = shell(
        "flood",
        "echo $$; exec cat /dev/zero",
        "output-limit = \"200M\"",
    );
    let recv = offering(&sandbox, &settings);
    let client = spawn(&sandbox.me(), &recv, &["flood"]);
    let pid = pid_of(&client);
    // Nobody takes its output: it waits, and takes no memory.
    client.pause();
    make_file(sandbox.src().join("file"), 1, 4 * CHUNK);
    sandbox.send(&[], &recv.target()).assert_code(0);
    let peak = recv.process().peak_memory().unwrap();
    assert!(peak < 100 << 20, "{peak}");
    drop(client);
    wait_until_gone(pid);
    recv.process().wait_for_text(": stopped");
    let output = run(&sandbox.me(), &recv, &["flood"]);
    output.assert_code(125).assert_says("its output limit of");
    assert_eq!(output.stdout.len(), 200_000_000);
    let peak = recv.process().peak_memory().unwrap();
    assert!(peak < 100 << 20, "{peak}");
}

#[test]
fn a_command_whose_peer_does_not_read_makes_room() {
    let sandbox = Sandbox::new();
    let mark = sandbox.path("mark");
    let script = format!(
        "mkdir '{}' || exit 5; echo $$; exec cat /dev/zero",
        mark.display()
    );
    let recv = offering(&sandbox, &shell("flood", &script, "time-limit = 1"));
    let client = spawn(&sandbox.me(), &recv, &["flood"]);
    let pid = pid_of(&client);
    client.pause();
    let starter = children(recv.process().pid())[0];
    let supervisor = children(starter)[0];
    wait_until_gone(pid);
    wait_until_gone(supervisor);
    // What it has put out is still unread; another one can run.
    assert!(!recv.process().printed().text().contains("it took"));
    run(&sandbox.me(), &recv, &["flood"]).assert_code(5);
    // Nor is its connection kept for ever.
    recv.process().wait_for_text("its time limit of");
    drop(client);
}

#[test]
fn what_a_command_leaves_behind_is_ended() {
    let sandbox = Sandbox::new();
    let script = "sleep 300 & echo $!; setsid sleep 300 & echo $!; \
                  (setsid sh -c 'sleep 300 & echo $!; exit' </dev/null); exit 3";
    let recv = offering(&sandbox, &shell("forks", script, ""));
    let output = run(&sandbox.me(), &recv, &["forks"]);
    output.assert_code(3);
    let text = String::from_utf8(output.stdout).unwrap();
    let pids: Vec<_> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    for pid in pids {
        wait_until_gone(Pid::from_raw(pid).unwrap());
    }
}

#[test]
fn a_signal_that_ends_a_command_is_told() {
    let sandbox = Sandbox::new();
    let recv = offering(&sandbox, &shell("dies", "kill -9 $$", ""));
    let output = run(&sandbox.me(), &recv, &["dies"]);
    output.assert_code(137).assert_says("signal 9");
}

#[test]
fn what_cannot_be_started_is_told() {
    let sandbox = Sandbox::new();
    let settings = "[run.a]\ncommand = \"/no/such/program\"\n[run.b]\ncommand = \"true\"\n\
                    dir = \"/no/such/dir\"";
    let recv = offering(&sandbox, settings);
    for name in ["a", "b"] {
        let output = run(&sandbox.me(), &recv, &[name]);
        output.assert_code(255).assert_says("no such file");
    }
}

#[test]
fn only_so_many_run_at_once() {
    let sandbox = Sandbox::new();
    let settings = [
        shell("one", "echo $$; exec sleep 300", ""),
        shell("two", "echo $$; exec sleep 300", "at-once = 2"),
    ];
    let recv = offering(&sandbox, &settings.concat());
    let me = sandbox.me();
    let first = spawn(&me, &recv, &["one"]);
    let pid = pid_of(&first);
    let second = run(&me, &recv, &["one"]);
    second.assert_code(255).assert_says("is full at the moment");
    let twos = [spawn(&me, &recv, &["two"]), spawn(&me, &recv, &["two"])];
    for two in &twos {
        pid_of(two);
    }
    run(&me, &recv, &["two"]).assert_code(255);
    // As soon as it has ended, the next one may.
    first.interrupt();
    first.wait().assert_code(130);
    wait_until_gone(pid);
    recv.process().wait_for_text(": stopped");
    pid_of(&spawn(&me, &recv, &["one"]));
}

#[test]
fn only_whoever_was_granted_it_runs_commands_and_for_as_long() {
    let sandbox = Sandbox::new();
    let recv = offering(
        &sandbox,
        &shell("long", "echo $$; echo $XFER_PEER; exec sleep 300", ""),
    );
    let laptop = sandbox.user("laptop");
    pair(&laptop, "lap top", &sandbox.me());
    let refused = run(&laptop, &recv, &["long"]);
    refused.assert_code(255).assert_says("run commands");
    run(&laptop, &recv, &[])
        .assert_code(4)
        .assert_says("run commands");
    let_run(&sandbox, "lap top", true);
    let client = spawn(&laptop, &recv, &["long"]);
    let pid = pid_of(&client);
    client.wait_for_text("lap top\n");
    let_run(&sandbox, "lap top", false);
    client.wait().assert_code(255);
    wait_until_gone(pid);
    // A stranger is shown a code first, which nobody is there to show.
    let stranger = run(&sandbox.user("stranger"), &recv, &["long"]);
    stranger.assert_code(255);
}

#[test]
fn a_command_dies_with_the_receiver() {
    let sandbox = Sandbox::new();
    for kill in [true, false] {
        let recv = offering(&sandbox, &shell("long", "echo $$; exec sleep 300", ""));
        let client = spawn(&sandbox.me(), &recv, &["long"]);
        let pid = pid_of(&client);
        let starters = children(recv.process().pid());
        assert_eq!(starters.len(), 1);
        match kill {
            true => drop(recv.kill()),
            false => drop(recv.interrupt()),
        }
        wait_until_gone(pid);
        wait_until_gone(starters[0]);
        client.wait().assert_code(255);
    }
}

#[test]
fn a_command_dies_with_whoever_asked_for_it() {
    let sandbox = Sandbox::new();
    let recv = offering(&sandbox, &shell("long", "echo $$; exec sleep 300", ""));
    let client = spawn(&sandbox.me(), &recv, &["long"]);
    let pid = pid_of(&client);
    client.kill();
    wait_until_gone(pid);
    // Nothing is left to be reaped, either.
    let starter = children(recv.process().pid())[0];
    run(&sandbox.me(), &recv, &["other"]).assert_code(255);
    assert!(children(starter).len() <= 1);
}

#[test]
fn a_command_dies_with_its_supervisor() {
    let sandbox = Sandbox::new();
    let recv = offering(
        &sandbox,
        &shell("long", "setsid sleep 300 & echo $!; wait", ""),
    );
    let client = spawn(&sandbox.me(), &recv, &["long"]);
    let pid = pid_of(&client);
    let starter = children(recv.process().pid())[0];
    let supervisor = children(starter)[0];
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    wait_until_gone(pid);
    client.wait().assert_code(255).assert_says("stopped");
    // The next one is served.
    pid_of(&spawn(&sandbox.me(), &recv, &["long"]));
}

#[test]
fn a_command_dies_when_nobody_reads_its_output() {
    let sandbox = Sandbox::new();
    let recv = offering(&sandbox, &shell("long", "echo $$; exec sleep 300", ""));
    let mut command = sandbox.me().command(&args(&recv.target(), &["long"]));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    drop(output);
    wait_until_gone(pid);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn a_cut_cable_ends_it_on_both_sides_does_not_notice() {
    let sandbox = Sandbox::new();
    let recv = offering(&sandbox, &shell("long", "echo $$; exec sleep 300", ""));
    let proxy = Proxy::new(recv.addr());
    let client = Process::spawn(sandbox.me().command(&args(&proxy.target(), &["long"])));
    let pid = pid_of(&client);
    proxy.stall();
    wait_until_gone(pid);
    client
        .wait()
        .assert_code(255)
        .assert_says("has not responded");
}

#[test]
fn a_starter_is_there_only_where_it_has_something_to_start() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    assert_eq!(children(recv.process().pid()), []);
    let me = sandbox.me();
    run(&me, &recv, &[])
        .assert_code(0)
        .assert_says("no commands");
    run(&me, &recv, &["a"]).assert_code(255);
}

#[test]
fn a_command_is_free_of_what_confines_the_receiver() {
    let sandbox = Sandbox::new();
    let outside = sandbox.path("outside");
    let script = format!(
        "echo made > '{}' && grep NoNewPrivs /proc/self/status",
        outside.display()
    );
    let recv = offering_with(&sandbox, &shell("writes", &script, ""), &["-v"]);
    recv.process().wait_for_text("onfined");
    let output = run(&sandbox.me(), &recv, &["writes"]);
    output.assert_code(0);
    assert_eq!(output.stdout, b"NoNewPrivs:\t0\n");
    assert!(outside.exists());
    let confined = |pid: Pid| {
        let status = format!("/proc/{}/status", pid.as_raw_nonzero());
        fs::read_to_string(status)
            .unwrap()
            .contains("NoNewPrivs:\t1")
    };
    if recv.process().printed().text().contains("Confined") {
        assert!(confined(recv.process().pid()));
    }
}

#[test]
fn a_command_gets_nothing_that_is_open_here() {
    let sandbox = Sandbox::new();
    let dir = sandbox.me().home().join(".config/xfer");
    fs::create_dir_all(&dir).unwrap();
    fs::write(
        dir.join("config.toml"),
        shell("open", "ls /proc/$$/fd; ulimit -n", ""),
    )
    .unwrap();
    let inner = sandbox.me().recv_command(&sandbox.dst(), &[]);
    let args =
        ["-c", "ulimit -Sn 500; exec 7</dev/null; exec \"$0\" \"$@\""].map(std::ffi::OsStr::new);
    let recv = Process::spawn(run_by("sh", &args, &inner));
    let target = wait_for_addr(&recv).to_string();
    let output = sandbox.me().run(&["run", &target, "open"]);
    output.assert_code(0);
    assert_eq!(output.stdout, b"0\n1\n2\n500\n");
}

#[test]
fn a_command_gets_little_of_the_environment_and_no_terminal() {
    let sandbox = Sandbox::new();
    let settings = shell(
        "env",
        "env; pwd; cat; (: < /dev/tty) 2>/dev/null || echo none",
        "",
    );
    let recv = offering(&sandbox, &settings);
    let output = run(&sandbox.me(), &recv, &["env"]);
    let text = output.assert_code(0).text();
    for words in ["XFER_PEER=", "XFER_PEER_FINGERPRINT=", "PATH=", "none\n"] {
        assert!(text.contains(words), "{text}");
    }
    let home = sandbox.me().home().display().to_string();
    assert!(text.contains(&format!("HOME={home}\n")), "{text}");
    assert!(
        text.lines().any(|line| Path::new(line) == Path::new(&home)),
        "{text}"
    );
    assert!(!text.contains("RUST_BACKTRACE"), "{text}");
}

#[test]
fn what_only_the_program_itself_says_means_nothing_to_users() {
    let sandbox = Sandbox::new();
    for words in [
        &["start-commands"][..],
        &["supervise-command", "0", "0", "0", "/", "true"],
    ] {
        sandbox
            .me()
            .run(words)
            .assert_code(2)
            .assert_says("unknown command");
    }
}
