//! Settings: where they come from, which comes first, what is said of wrong ones, and what they
//! do; and what shells and `man` are told of the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::*;

/// Writes somebody's settings.
fn set(user: &User, text: &str) {
    let dir = user.home().join(".config/xfer");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
}

/// Runs it with these variables, too.
fn run_in(user: &User, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = user.command(args);
    command.envs(variables.iter().copied());
    Process::spawn(command).wait()
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let folders = ["file", "variable", "line"].map(|name| sandbox.folder(name));
    let [file, variable, line] = folders.map(|path| path.canonicalize().unwrap());
    let settings = format!("listen = \"127.0.0.1:0\"\ndir = {file:?}\n");
    let into = |variables: &[(&str, &Path)], args: &[&str]| {
        let mut command = me.command(&["recv"]);
        command.args(args).envs(variables.iter().copied());
        let recv = Recv::start(command);
        let said = recv.process().printed().text();
        let said = said.lines().next().unwrap();
        let (_, into) = said.split_once(", receiving into ").unwrap();
        into.to_owned()
    };
    set(&me, &settings);
    assert_eq!(into(&[], &[]), file.to_str().unwrap());
    let variables: &[_] = &[("XFER_DIR", &*variable)];
    assert_eq!(into(variables, &[]), variable.to_str().unwrap());
    let args = ["--dir", line.to_str().unwrap()];
    assert_eq!(into(variables, &args), line.to_str().unwrap());
}

#[test]
fn what_is_set_is_shown_with_where() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    set(
        &me,
        "# mine\nname = \"desk\"\ndir = \"~/in\"\nlanes = 2\nretry = 7\n\n\
         [peer.\"Anna's laptop\"]\nmay-update = true\n",
    );
    let config = run_in(&me, &[("XFER_LANES", "3")], &["config"]);
    config.assert_code(0);
    let dir = me.home().join("in");
    let rows: Vec<_> = config.text().lines().map(str::to_owned).collect();
    for (what, from) in [
        ("name = \"desk\"".to_owned(), "line 2"),
        (format!("dir = {dir:?}"), "line 3"),
        ("lanes = 3".to_owned(), "XFER_LANES"),
        ("retry = 7".to_owned(), "line 5"),
        ("# max-sessions: 64".to_owned(), "default"),
        ("[peer.\"Anna's laptop\"]".to_owned(), "line 7"),
        ("may-update = true".to_owned(), "line 8"),
    ] {
        let row = |row: &&String| row.starts_with(&what) && row.ends_with(&format!("# {from}"));
        assert!(rows.iter().any(|r| row(&r)), "no {what} {from}:\n{config}");
    }
    // To show it is what it is for: quiet leaves that.
    for quiet in ["-q", "-v"] {
        me.run(&[quiet, "id"]).assert_code(0).assert_says("desk ");
        me.run(&[quiet, "config"])
            .assert_code(0)
            .assert_says("lanes = 2");
    }

    // What it shows is a file as well.
    set(&me, &config.text());
    let again = me.run(&["config"]);
    again.assert_code(0).assert_says("lanes = 3");
}

#[test]
fn wrong_settings_are_errors_and_never_passed_over() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let file = "~/.config/xfer/config.toml";
    for (text, words) in [
        (
            "name = \"a\"\n\ndirectry = \"/\"\n",
            format!("{file}:3: unknown key 'directry'; did you mean 'dir'?"),
        ),
        ("name = \n", format!("{file}:1: ")),
        (
            "\nlanes = 65\n",
            format!("{file}:2: invalid value '65' for lanes"),
        ),
        (
            "dir = \"here\"\n",
            format!("{file}:1: 'here' must begin with"),
        ),
    ] {
        set(&me, text);
        for command in ["recv", "id", "config"] {
            let output = me.run(&[command]);
            output.assert_code(2).assert_says(&words);
            assert!(output.stdout.is_empty(), "{output}");
        }
    }
    let send = me.run(&["send", "src", "127.0.0.1:1"]);
    send.assert_code(2).assert_says("must begin with");
    me.run(&["send", "--help"]).assert_code(0);
    me.run(&["peers"]).assert_code(0);

    set(&me, "");
    let output = run_in(&me, &[("XFER_RETRY", "soon")], &["recv"]);
    output
        .assert_code(2)
        .assert_says("XFER_RETRY: invalid value 'soon'");

    let path = me.home().join(".config/xfer/config.toml");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let output = me.run(&["recv"]);
    output
        .assert_code(2)
        .assert_says(&format!("cannot read {file}"));
}

#[test]
fn a_misspelled_variable_is_told_of() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let shown = |variables: &[(&str, &str)]| run_in(&me, variables, &["config"]);
    shown(&[("XFER_DIRR", "/tmp")])
        .assert_code(0)
        .assert_says("xfer: unknown XFER_DIRR; did you mean XFER_DIR?");
    // Those of other programs are none of its business.
    let others = [
        ("XFER_DIR", "/tmp"),
        ("XFER_BLESS", "0"),
        ("XFER_KEYRING", "x"),
    ];
    shown(&others)
        .assert_code(0)
        .assert_does_not_say("did you mean");
}

#[test]
fn a_flag_that_is_set_can_be_taken_back() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    set(&me, "ask = true\n");
    let words = "xfer declines every transfer";
    let asks = |args: &[&str]| {
        let recv = me.recv(&sandbox.dst(), args);
        recv.interrupt().text().contains(words)
    };
    assert!(asks(&[]));
    assert!(!asks(&["--ask=no"]));
    set(&me, "ask = false\n");
    assert!(asks(&["--ask"]));

    // What is set for folders is no mistake where there is none.
    set(&me, "allow-mirror = true\non-conflict = \"skip\"\n");
    let recv = me.command(&["recv", "--stdout", "--listen", "127.0.0.1:0"]);
    Process::spawn(recv).wait_for_text("receiving to standard output");
}

#[test]
fn what_a_peer_sends_goes_into_its_own_folder() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 2 * CHUNK);
    let (me, anna, bert) = (sandbox.me(), sandbox.user("anna"), sandbox.user("bert"));
    pair(&anna, "anna", &me);
    pair(&bert, "bert", &me);
    let from_anna = sandbox.folder("from-anna");
    set(
        &me,
        &format!("[peer.anna]\ndir = {from_anna:?}\n[peer.nobody]\n"),
    );
    let list = sandbox.path("sums");
    let recv = me.recv(&sandbox.dst(), &["--sums", list.to_str().unwrap()]);
    recv.process().wait_for_text("Files from anna go into ");
    recv.process().wait_for_text("The settings name nobody");

    // It is the name that she has here which counts, not what she says.
    let args = ["--name", "bert's friend", "src/file", &recv.target()];
    anna.send(&args).assert_code(0);
    assert_same_tree(sandbox.src(), &from_anna);
    assert!(!sandbox.dst().join("file").exists());

    make_file(sandbox.src().join("file"), 2, 2 * CHUNK);
    bert.send(&["src/file", &recv.target()]).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    make_file(sandbox.src().join("mine"), 3, 100);
    me.send(&["src/mine", &recv.target()]).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
    assert!(!from_anna.join("mine").exists());
    recv.interrupt().assert_code(0);
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict"]).arg(&list);
    let checked = check.current_dir(sandbox.dst()).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(checked.stdout.iter().filter(|&&b| b == b'\n').count(), 3);

    // Programs are told of such a mistake as well.
    let recv = Process::spawn(me.recv_command(&sandbox.dst(), &["--json"]));
    recv.wait_for_text("The settings name nobody");
    recv.wait_for_text(r#""event":"listening""#);
    recv.interrupt();
    let told = String::from_utf8(recv.wait().stdout).unwrap();
    let is_told =
        |line: &str| line.contains("warning") && line.contains("The settings name nobody");
    assert!(told.lines().any(is_told), "{told}");

    fs::remove_dir_all(&from_anna).unwrap();
    let output = Process::spawn(me.recv_command(&sandbox.dst(), &[])).wait();
    output.assert_code(1).assert_says("cannot receive into");
}

#[test]
fn what_a_peer_sends_takes_up_no_more_than_its_quota() {
    let sandbox = Sandbox::new();
    let (me, anna) = (sandbox.me(), sandbox.user("anna"));
    pair(&anna, "anna", &me);
    let own = sandbox.folder("from-anna");
    set(
        &me,
        &format!("[peer.anna]\ndir = {own:?}\nquota = \"10MB\"\n"),
    );
    let recv = me.recv(&sandbox.dst(), &[]);
    for (name, chunks) in [("a", 4), ("b", 4), ("c", 4)] {
        make_file(sandbox.src().join(name), 1, chunks * CHUNK);
    }
    let send = |args: &[&str]| anna.send(&[args, &[&recv.target()]].concat());
    send(&["src/a", "src/b"]).assert_code(0);
    send(&["src/c"])
        .assert_code(1)
        .assert_says("of the quota are left");
    send(&["--dry-run", "src/c"]).assert_says("does not fit");
    // A stream is stopped where it is too much, and nothing of it stays.
    let mut command = anna.command(&["send", "-", "--as", "stream", &recv.target()]);
    command.stdin(fs::File::open(sandbox.src().join("c")).unwrap());
    let sent = Process::spawn(command).wait();
    sent.assert_code(1).assert_says("of the quota are left");
    assert!(!own.join("stream").exists());
    // What is there already needs nothing, what is removed makes room.
    send(&["src/a"]).assert_code(0);
    fs::remove_file(own.join("b")).unwrap();
    send(&["src/c"]).assert_code(0);
    no_leftovers(&own);
    // It is that of one folder.
    recv.interrupt().assert_code(0);
    let config = format!("[peer.anna]\ndir = {:?}\nquota = \"1G\"\n", sandbox.dst());
    set(&me, &config);
    let recv = Process::spawn(me.recv_command(&sandbox.dst(), &[])).wait();
    recv.assert_code(1)
        .assert_says("other machines store files there too");
    set(&me, "[peer.anna]\nquota = \"1G\"\n");
    me.run(&["config"])
        .assert_code(2)
        .assert_says("needs a dir");
}

#[test]
fn shells_and_the_manual_know_all_commands() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    for shell in ["bash", "zsh", "fish"] {
        let script = me.run(&["completions", shell]);
        script.assert_code(0);
        script.assert_says("xfer __complete");
        if shell == "bash" {
            let path = sandbox.path("completions");
            fs::write(&path, &script.stdout).unwrap();
            let checked = Command::new("bash").arg("-n").arg(path).status();
            assert!(checked.is_err() || checked.unwrap().success());
        }
    }
    let pages = sandbox.folder("man");
    me.run(&["man", pages.to_str().unwrap()]).assert_code(0);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("xfer.1").contains("Exit codes:"));
    assert!(page("xfer-recv.1").contains("\\-\\-max\\-sessions"));
    assert_eq!(me.run(&["man"]).stdout, page("xfer.1").as_bytes());
    let mut names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let commands = [
        "chat",
        "completions",
        "config",
        "get",
        "id",
        "list",
        "pair",
        "peers",
        "recv",
        "run",
        "say",
        "send",
        "share",
        "unpair",
    ];
    let mut expected: Vec<_> = commands.iter().map(|c| format!("xfer-{c}.1")).collect();
    expected.push("xfer.1".to_owned());
    assert_eq!(names, expected);
}

/// What `xfer config` says, without where each value is set.
fn values(user: &User, variables: &[(&str, &str)]) -> Vec<String> {
    let config = run_in(user, variables, &["config"]);
    config.assert_code(0).assert_harmless();
    let rows = config.text();
    // The first line names the file.
    let rows = rows.lines().skip(1);
    rows.map(|row| {
        let (value, from) = row.rsplit_once("  # ").unwrap();
        assert!(!from.is_empty(), "{row}");
        value.trim_end().to_owned()
    })
    .collect()
}

/// Saves what `xfer config` prints, and expects another user of it to have the same values.
#[track_caller]
fn assert_config_can_be_saved(user: &User, variables: &[(&str, &str)], other: &User) -> String {
    let saved = run_in(user, variables, &["config"]);
    set(other, saved.assert_code(0).text().as_str());
    let (before, after) = (values(user, variables), values(other, &[]));
    assert_eq!(after, before, "{saved}");
    saved.text()
}

#[test]
fn the_printed_settings_can_be_saved_and_mean_the_same() {
    let sandbox = Sandbox::new();
    let (file, variables, saved) = (
        sandbox.user("file"),
        sandbox.user("env"),
        sandbox.user("new"),
    );
    let odd = "echo 'a \"b\"' \\ $X\n# \u{1b}[31m\t\u{202e}";
    let all = [
        ("name", "7"),
        ("dir", "here/in \"this\" # folder"),
        ("listen", "127.0.0.1:9191"),
        ("announce", "no"),
        ("ask", "yes"),
        ("on-conflict", "beside"),
        ("allow-update", "true"),
        ("allow-mirror", "1"),
        ("max-delete", "25%"),
        ("allow-links-outside", "on"),
        ("rename-unsafe", "on"),
        ("no-sync", "true"),
        ("max-sessions", "8"),
        ("on-done", odd),
        ("web", "yes"),
        ("no-qr", "on"),
        ("pin", "yes"),
        ("hash", "blake3"),
        ("compress", "zstd"),
        ("lanes", "3"),
        ("retry", "9"),
        ("limit", "20MB/s"),
    ];
    // Each key is set to something else than its default.
    let defaults = values(&saved, &[]);
    let named: Vec<_> = defaults
        .iter()
        .map(|row| row.trim_start_matches("# ").split(": ").next().unwrap())
        .collect();
    assert_eq!(named, all.map(|(key, _)| key));

    let names = all.map(|(key, _)| format!("XFER_{}", key.to_uppercase().replace('-', "_")));
    let mut set_variables: Vec<_> = names.iter().map(|name| &**name).collect();
    let mut set_variables: Vec<_> = set_variables.drain(..).zip(all.map(|(_, v)| v)).collect();
    set_variables.push(("XFER_CODE", "123 456"));
    let text = assert_config_can_be_saved(&variables, &set_variables, &saved);
    assert!(!text.contains("123 456"), "{text}");
    assert!(!text.contains("  # default"), "{text}");
    // A folder keeps its place.
    let cwd = sandbox.path("here").display().to_string();
    assert!(text.contains(&cwd), "{text}");

    let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let top: String = all
        .iter()
        .map(|(key, value)| match *key {
            "dir" => "dir = '~/in \"this\" # folder'\n".to_owned(),
            key => format!("{key} = {}\n", quoted(value)),
        })
        .collect();
    let tables = "\
        [peer.\"Anna's \\\"lap\\\\top\\\" 1.2\"]\n\
        may-update = true\nmay-mirror = false\ndir = '/a # b'\nquota = '1000'\n\
        [peer.desk-2_]\n[peer.a.b]\n"
        .replace("[peer.a.b]", "[peer.'a.b']");
    let runs = "\
        [run.1]\ncommand = 'true'\n\
        [run.disk-free]\ncommand = ['my program']\narguments = true\noptions = true\n\
        dir = '~/x'\ntime-limit = '600'\noutput-limit = '64'\nat-once = 2\n\
        [run.list]\ncommand = ['a b', \"c\\n'd'\", '7', 'true']\n\
        [run.text]\ncommand = \"df -h '/my disk'\"\n";
    set(&file, &format!("{top}{tables}{runs}"));
    let text = assert_config_can_be_saved(&file, &[], &saved);
    for row in [
        "command = [\"my program\"]",
        "quota = \"1000\"",
        "[peer.\"a.b\"]",
    ] {
        assert!(text.contains(row), "no {row}:\n{text}");
    }
    // A program is still one program after that.
    set(&file, "[run.a]\ncommand = ['']\n");
    let config = file.run(&["config"]);
    config.assert_code(2).assert_says("must name a program");
}

#[test]
fn a_value_that_no_file_can_hold_is_a_comment() {
    use std::os::unix::ffi::OsStrExt as _;

    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let mut command = me.command(&["config"]);
    command.env("XFER_DIR", std::ffi::OsStr::from_bytes(b"/in\xff"));
    let config = Process::spawn(command).wait();
    config
        .assert_code(0)
        .assert_says("# dir: /in\\xff (not UTF-8)");
    set(&me, &config.text());
    me.run(&["config"]).assert_code(0).assert_says("# dir: ");
}
