//! Fetching what another machine shares: all of it or some, by whom, and how it resumes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::*;

/// `xfer share` on a free port of 127.0.0.1.
fn share_command(user: &User, args: &[&str]) -> Command {
    let mut command = user.command(&["share", "--listen", "127.0.0.1:0"]);
    command.args(args);
    command
}

fn share(user: &User, args: &[&str]) -> Recv {
    Recv::start(share_command(user, args))
}

#[test]
fn a_share_says_what_to_type_and_takes_no_files() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&sandbox.me(), &["src"]);
    let target = share.target();
    let printed = share.process().printed();
    printed.assert_says(&format!("Listening on {target}, sharing src"));
    share.process().wait_for_text(&format!("xfer get {target}"));
    let sent = sandbox.send(&[], &target);
    sent.assert_code(1)
        .assert_says("shares files and takes none")
        .assert_says(&format!("xfer get {target}"));
    share
        .process()
        .wait_for_text("it wants to send, and this is `xfer share`");
    share
        .process()
        .wait_for_text("Run `xfer recv` here to receive.");
    let said = sandbox.me().run(&["say", &target, "hello"]);
    assert_ne!(said.code, Some(0), "{said}");
    share.interrupt().assert_code(0);
}

#[test]
fn a_share_ends_when_its_time_is_over() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&sandbox.me(), &["--for", "1s", "src"]);
    share.wait().assert_code(0).assert_says("Time is up.");
    let wrong = sandbox.me().run(&["share", "--for", "1 year", "src"]);
    wrong
        .assert_code(2)
        .assert_says("such as 90s, 30m, 1h or 2d");
}

#[test]
fn what_cannot_be_shared_is_said_at_once() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let missing = me.run(&["share", "no such folder"]);
    missing
        .assert_code(1)
        .assert_says("cannot share no such folder")
        .assert_says("Check the name.");
    me.run(&["share", "-"])
        .assert_code(2)
        .assert_says("cannot share standard input");
    #[cfg(feature = "web")]
    me.run(&["share", "--pin=1234", "src"])
        .assert_code(2)
        .assert_says("--pin takes no value: xfer makes the PIN itself");
    let none = me.run(&["share"]);
    none.assert_code(2);
}

#[test]
fn a_share_says_what_it_shares_and_if_that_is_the_whole_home() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    for name in ["a", "b", "c"] {
        make_file(me.home().join("in").join(name), 1, 10);
    }
    let warning = "You share your whole home folder";
    let shared = |folder: &str, args: &[&str]| {
        let mut command = share_command(&me, args);
        command.current_dir(me.home().join(folder));
        Recv::start(command).interrupt()
    };
    shared("in", &["."])
        .assert_says(", sharing in\n")
        .assert_does_not_say(warning);
    shared("in", &["a", "b"]).assert_says(", sharing a and b\n");
    shared("in", &["a", "b", "c"]).assert_says(", sharing a and 2 more\n");
    shared("", &["."]).assert_says(warning);
    shared("in", &[".."]).assert_says(warning);
}

#[test]
fn what_a_machine_shares_comes_into_the_home_with_a_warning_alone_where_all_of_it_does() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&me, &["src/file"]);
    let target = share.target();
    let got = |args: &[&str]| {
        let mut command = me.command(&["get"]);
        command.args(args).current_dir(me.home());
        Process::spawn(command).wait()
    };
    let warning = "Storing into your home folder. ";
    for (args, code) in [
        (&["-n", &target][..], 0),
        (&["--list", &target], 0),
        (&["--checksum", &target], 2),
        (&["--retry", "0", "127.0.0.1:1"], 1),
        (&[&target, "file"], 0),
    ] {
        got(args)
            .assert_code(code)
            .assert_does_not_say("your home folder");
    }
    got(&[&target])
        .assert_code(0)
        .assert_says(warning)
        .assert_says("can add files anywhere in it, even in .ssh");
    get(&sandbox, &[&target])
        .assert_code(0)
        .assert_does_not_say("your home folder");
}

/// `xfer get` into [`Sandbox::dst`].
fn get_command(sandbox: &Sandbox, user: &User, args: &[&str]) -> Command {
    let mut command = user.command(&["get", "--dir"]);
    command.arg(sandbox.dst()).args(args);
    command
}

fn get(sandbox: &Sandbox, args: &[&str]) -> Output {
    Process::spawn(get_command(sandbox, &sandbox.me(), args)).wait()
}

/// What `xfer get --list` says, without the sizes.
fn listed(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let output = sandbox.me().run(&[&["get", "--list"], args].concat());
    output.assert_code(0).assert_harmless();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line[11..].to_owned()).collect()
}

/// Files of every size, and names of every kind.
fn make_tree(root: &Path) {
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7];
    for (seed, size) in (1..).zip(sizes) {
        make_file(root.join(format!("sizes/file-{size}")), seed, size);
    }
    for name in [
        "a b",
        "ä",
        "日本",
        "-n",
        "'q'",
        "*",
        "line\nbreak",
        "\u{1b}[31m",
    ] {
        make_file(root.join("names").join(name), 9, 100);
    }
    std::fs::create_dir_all(root.join("empty/and empty")).unwrap();
    symlink("sizes/file-1", root.join("link")).unwrap();
    set_mode(root.join("sizes/file-1"), 0o640);
    set_mtime(root.join("names"), 1_234_567, 89);
}

#[test]
fn everything_that_is_shared_arrives() {
    let sandbox = Sandbox::new();
    make_tree(&sandbox.src().join("tree"));
    make_file(sandbox.src().join("one.bin"), 3, 3 * CHUNK);
    let share = share(&sandbox.me(), &["src/tree", "src/one.bin"]);
    let got = get(&sandbox, &[&share.target()]);
    got.assert_code(0).assert_says("Received 2 items");
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
    // A second time nothing travels.
    let proxy = Proxy::new(share.addr());
    let again = get(&sandbox, &[&proxy.target()]);
    again.assert_code(0).assert_says("are already here");
    assert!(proxy.passed().1 < CHUNK, "{:?}", proxy.passed());
    assert_same_tree(sandbox.src(), sandbox.dst());
    // Whoever shares is told.
    share.process().wait_for_text("Sent 2 items");
    share.interrupt().assert_code(0);
}

#[test]
fn some_of_it_arrives_where_it_lies_there() {
    let sandbox = Sandbox::new();
    for path in ["t/a/b/1", "t/a/b/2", "t/a/c", "t/z", "u"] {
        make_file(sandbox.src().join(path), 1, 1000);
    }
    let share = share(&sandbox.me(), &["src/t", "src/u"]);
    let target = share.target();
    let all = [
        "t/", "t/a/", "t/a/b/", "t/a/b/1", "t/a/b/2", "t/a/c", "t/z", "u",
    ];
    assert_eq!(listed(&sandbox, &[&target]), all);
    assert_eq!(listed(&sandbox, &[&target, "t/a/b/"]), all[2..5]);
    let json = sandbox.me().run(&["get", "--list", "--json", &target, "u"]);
    json.assert_code(0)
        .assert_says(r#""event":"shared","path":"u","kind":"file","size":1000"#);

    get(&sandbox, &[&target, "t/a/b", "u"]).assert_code(0);
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["t", "t/a", "t/a/b", "t/a/b/1", "t/a/b/2", "u"]);
    let missing = get(&sandbox, &[&target, "t/a/x"]);
    missing
        .assert_code(1)
        .assert_says("does not share t/a/x")
        .assert_says(&format!("Nothing was fetched. `xfer get --list {target}`"));
    for outside in ["../x", "/etc/passwd"] {
        get(&sandbox, &[&target, outside])
            .assert_code(2)
            .assert_says("is not a path in what is shared")
            .assert_says(&format!("xfer get --list {target}"));
    }
    get(&sandbox, &["--exclude", "b/", "--include", "c", &target]).assert_code(0);
    std::fs::remove_dir_all(sandbox.dst().join("t")).unwrap();
    get(
        &sandbox,
        &[
            "--exclude",
            "*",
            "--include",
            "*/",
            "--include",
            "c",
            &target,
        ],
    )
    .assert_code(0);
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["t", "t/a", "t/a/b", "t/a/c", "u"]);
}

#[test]
fn what_is_there_is_replaced_and_deleted_only_if_asked_for() {
    let sandbox = Sandbox::new();
    for n in 0..5 {
        make_file(sandbox.src().join(format!("t/{n}")), n, 1000);
    }
    let share = share(&sandbox.me(), &["src/t"]);
    let target = share.target();
    get(&sandbox, &[&target]).assert_code(0);
    make_file(sandbox.src().join("t/0"), 77, 2000);
    make_file(sandbox.dst().join("t/extra"), 78, 10);
    make_file(sandbox.dst().join("mine"), 79, 10);

    let beside = get(&sandbox, &[&target]);
    beside.assert_code(0).assert_says("fetch with --update");
    assert!(sandbox.dst().join("t/0 (2)").exists());
    std::fs::remove_file(sandbox.dst().join("t/0 (2)")).unwrap();

    let before = Tree::read(sandbox.dst());
    let dry = get(&sandbox, &["-n", "--mirror", &target]);
    dry.assert_code(0)
        .assert_says("to replace t/0")
        .assert_says("to delete  t/extra");
    dry.assert_says("Would fetch 1 file")
        .assert_says("nothing changed");
    assert_eq!(Tree::read(sandbox.dst()).names(), before.names());
    share.process().wait_for_text("looked at what you share");

    get(&sandbox, &["--update", &target])
        .assert_code(0)
        .assert_says("1 file replaced");
    assert!(sandbox.dst().join("t/extra").exists());
    let kept = get(&sandbox, &["--mirror", "--max-delete", "0", &target]);
    kept.assert_code(3).assert_says("nothing was deleted");
    kept.assert_says("xfer get --mirror --max-delete 1");
    assert!(sandbox.dst().join("t/extra").exists());
    get(&sandbox, &["--mirror", &target])
        .assert_code(0)
        .assert_says("1 deleted");
    assert_same_tree(sandbox.src().join("t"), sandbox.dst().join("t"));
    assert!(sandbox.dst().join("mine").exists());

    // Nothing is deleted in a folder that only leads to what is fetched.
    make_file(sandbox.src().join("t/sub/x"), 1, 10);
    make_file(sandbox.dst().join("t/extra"), 78, 10);
    get(&sandbox, &["--mirror", &target, "t/sub"]).assert_code(0);
    assert!(sandbox.dst().join("t/extra").exists());

    // Content alone has changed.
    let path = sandbox.src().join("t/1");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    make_file(&path, 88, 1000);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    get(&sandbox, &["--update", "--checksum", &target, "t/1"]).assert_code(0);
    assert_eq!(digest_of(&path), digest_of(&sandbox.dst().join("t/1")));
}

/// A share of one person, and a fetch of another, each in a terminal.
fn fetch_with_code(share: &Terminal, get: Command, shown: &str) {
    let codes = share.count_codes();
    let get = Terminal::spawn(get);
    let code = share.nth_code(codes + 1);
    get.wait_for(&format!("Code on {shown}: "), 1);
    get.type_line(&code);
    let (code, screen) = get.wait();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn a_code_is_typed_once_and_lets_a_machine_fetch_and_nothing_else() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    let share = Terminal::spawn(share_command(&laptop, &["--name", "laptop", "src/file"]));
    let target = wait_for_addr(share.process()).to_string();
    let get = |name| get_command(&sandbox, &desktop, &["--name", name, &target]);
    fetch_with_code(&share, get("desktop"), "laptop");
    share.wait_for("wants to fetch what you share", 1);
    share.wait_for("can now fetch what this machine shares without a code", 1);
    assert_same_tree(sandbox.src(), sandbox.dst());
    // From then on nobody is asked.
    Process::spawn(get("desktop")).wait().assert_code(0);
    laptop.run(&["peers"]).assert_says("may fetch files here");
    desktop
        .run(&["peers"])
        .assert_says("shares with this machine");
    // That lets nobody send here.
    let recv = laptop.recv(&sandbox.folder("in"), &["--name", "laptop"]);
    let sent = desktop.send(&["src/file", &recv.target()]);
    sent.assert_code(4);
    // Until it is taken back; without a terminal there is no new code then.
    laptop
        .run(&["peers", "--deny", "fetch", "desktop"])
        .assert_code(0);
    let denied = Process::spawn(get("desktop")).wait();
    denied.assert_code(4);
    laptop
        .run(&["peers", "--allow", "fetch", "desktop"])
        .assert_code(0);
    Process::spawn(get("desktop")).wait().assert_code(0);
}

#[test]
fn a_machine_that_is_paired_to_send_needs_a_code_to_fetch() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, CHUNK);
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    pair(&desktop, "desktop", &laptop);
    let share = Terminal::spawn(share_command(&laptop, &["--name", "laptop", "src/file"]));
    let target = wait_for_addr(share.process()).to_string();
    let get = get_command(&sandbox, &desktop, &["--name", "desktop", &target]);
    fetch_with_code(&share, get, "laptop");
    assert_same_tree(sandbox.src(), sandbox.dst());
    laptop
        .run(&["peers"])
        .assert_says("may send files and messages and fetch files here");
}

#[test]
fn anyone_fetches_where_both_say_open() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, CHUNK);
    let share = share(&sandbox.user("laptop"), &["--open", "src/file"]);
    share.process().wait_for_text("anyone on this network");
    get(&sandbox, &[&share.target()]).assert_code(4);
    get(&sandbox, &["--open", &share.target()]).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

/// A fetch of [`LARGE`] bytes, of which some have come.
const LARGE: u64 = 40 * CHUNK + 12_345;

fn fetch_some(sandbox: &Sandbox, target: &str) -> Process {
    let args = ["--json", "--limit", "8MB/s", "--lanes", "2", target];
    let fetching = Process::spawn(get_command(sandbox, &sandbox.me(), &args));
    fetching.wait_for("progress", |output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let far = text.lines().any(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            value["bytes_done"]
                .as_u64()
                .is_some_and(|done| done > 8 * CHUNK)
        });
        far.then_some(())
    });
    fetching
}

#[test]
fn a_fetch_that_is_killed_resumes() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, LARGE);
    let share = share(&sandbox.me(), &["src/large"]);
    let proxy = Proxy::new(share.addr());
    fetch_some(&sandbox, &proxy.target()).kill();
    let before = proxy.passed().1;
    let again = get(&sandbox, &[&proxy.target()]);
    again.assert_code(0).assert_says("Resumed: ");
    let travelled = proxy.passed().1 - before;
    assert!(travelled < LARGE - 4 * CHUNK, "{travelled}");
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn a_share_that_is_killed_is_dialed_again() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, LARGE);
    let first = share(&sandbox.me(), &["src/large"]);
    let proxy = Proxy::new(first.addr());
    let fetching = fetch_some(&sandbox, &proxy.target());
    let next = share(&sandbox.me(), &["src/large"]);
    proxy.lead_to(next.addr());
    first.kill();
    let fetched = fetching.wait();
    fetched.assert_code(0).assert_says(r#""event":"retrying""#);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
}

#[test]
fn a_cut_connection_is_made_anew() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, LARGE);
    for n in 0..200 {
        make_file(sandbox.src().join(format!("small/{n}")), n, 4000);
    }
    let share = share(&sandbox.me(), &["src/large", "src/small"]);
    let proxy = Proxy::new(share.addr());
    let fetching = fetch_some(&sandbox, &proxy.target());
    proxy.cut_all();
    fetching
        .wait()
        .assert_code(0)
        .assert_says(r#""event":"retrying""#);
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
    assert!(!share.process().has_ended());
}

#[test]
fn a_share_that_is_stopped_says_so_and_ends_the_fetch() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("large"), 1, LARGE);
    let share = share(&sandbox.me(), &["src/large"]);
    let fetching = fetch_some(&sandbox, &share.target());
    share.interrupt().assert_code(130);
    fetching
        .wait()
        .assert_code(1)
        .assert_says("stopped sharing");
}

#[test]
fn several_fetch_at_once_and_one_alone_where_that_is_said() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("t/a"), 1, 4 * CHUNK);
    make_file(sandbox.src().join("t/b"), 2, 100);
    let all = share(&sandbox.me(), &["src/t"]);
    let (me, target) = (sandbox.me(), all.target());
    let dirs: Vec<_> = (0..4)
        .map(|n| sandbox.folder(&format!("dst-{n}")))
        .collect();
    let fetching: Vec<_> = dirs
        .iter()
        .map(|dir| {
            let mut command = me.command(&["get", &target, "--dir"]);
            command.arg(dir);
            Process::spawn(command)
        })
        .collect();
    for (process, dir) in fetching.into_iter().zip(&dirs) {
        process.wait().assert_code(0);
        assert_same_tree(sandbox.src(), dir);
    }
    let once = share(&sandbox.me(), &["--once", "src/t"]);
    let target = once.target();
    // Neither of these is what it waits for.
    get(&sandbox, &["-n", &target]).assert_code(0);
    listed(&sandbox, &[&target]);
    get(&sandbox, &[&target, "no"]).assert_code(1);
    get(&sandbox, &[&target]).assert_code(0);
    once.wait().assert_code(0);
}

#[test]
fn no_link_that_is_swapped_in_leads_out_of_what_is_shared() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("t/sub/file"), 1, 1000);
    make_file(sandbox.path("hidden/file"), 2, 1000);
    symlink("../../../hidden", sandbox.src().join("t/out")).unwrap();
    let share = share(&sandbox.me(), &["src/t"]);
    std::fs::rename(sandbox.src().join("t/sub"), sandbox.path("moved")).unwrap();
    symlink("../../hidden", sandbox.src().join("t/sub")).unwrap();
    let target = share.target();
    for path in ["t/sub/file", "t/out/file"] {
        get(&sandbox, &[&target, path]).assert_code(1);
    }
    // Links are links, and those that lead out are not stored.
    let got = get(&sandbox, &[&target]);
    got.assert_says("--allow-links-outside")
        .assert_says(" failed\n")
        .assert_does_not_say("again to retry");
    let names = Tree::read(sandbox.dst()).names();
    assert!(
        !names.iter().any(|name| name.ends_with("file")),
        "{names:?}"
    );
    // What is shared itself was swapped.
    std::fs::rename(sandbox.src().join("t"), sandbox.path("t-moved")).unwrap();
    symlink("../hidden", sandbox.src().join("t")).unwrap();
    get(&sandbox, &[&target, "t/file"]).assert_code(1);
}

#[test]
fn a_share_can_write_nowhere() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 10);
    let share = share(&sandbox.me(), &["-v", "src/file"]);
    let said = share.process().printed().text();
    if said.contains("Not confined") {
        return skip("no Landlock here");
    }
    share.process().wait_for_text("Confined");
    let said = share.process().printed();
    said.assert_says("home-me")
        .assert_does_not_say("can write only to src");
    get(&sandbox, &[&share.target()]).assert_code(0);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", share.process().pid())).unwrap();
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status"));
        let status = status.unwrap_or_else(|_| "NoNewPrivs:\t1".to_owned());
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
}

#[test]
fn wrong_roles_are_said_with_what_to_do() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let got = get(&sandbox, &[&recv.target()]);
    got.assert_code(1)
        .assert_says("receives files and shares none")
        .assert_says("xfer share PATH");
    recv.process()
        .wait_for_text("it wants to fetch, and this is `xfer recv`");
    recv.process()
        .wait_for_text("Run `xfer share PATH` here to share.");
    let none = get(&sandbox, &[]);
    none.assert_code(2).assert_says("xfer get TARGET");
    let nowhere = sandbox.path("none");
    let args = ["get", "--dir", nowhere.to_str().unwrap(), &recv.target()];
    sandbox
        .me()
        .run(&args)
        .assert_code(1)
        .assert_says("mkdir -p");
}

#[cfg(target_os = "linux")]
#[test]
fn a_share_is_found_by_its_name_and_listed() {
    use support::lan::{Family, Lan};
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
    let (laptop, desktop) = (
        lan.host("laptop", 1, Family::Both),
        lan.host("desktop", 2, Family::Both),
    );
    let (owner, user) = (sandbox.user("laptop"), sandbox.me());
    let file = sandbox.src().join("file");
    let shared = ["share", "-v", file.to_str().unwrap()];
    let share = Terminal::spawn(laptop.command(&owner, &shared));
    share.process().wait_for_text("sharing ");
    share.wait_for("Announced on the network as laptop", 1);
    let list = desktop.spawn(&user, &["list"]).wait();
    list.assert_says("shares files; new; needs a code the first time");
    let list = desktop.spawn(&user, &["list", "--json"]).wait();
    list.assert_says(r#""service":"share""#);
    let into = sandbox.dst();
    let args = ["get", "--dir", into.to_str().unwrap(), "laptop"];
    fetch_with_code(&share, desktop.command(&user, &args), "laptop");
    assert_same_tree(sandbox.src(), sandbox.dst());
    let list = desktop.spawn(&user, &["list"]).wait();
    list.assert_says("paired; shares files: xfer get laptop");
    // Wherever it listens, it is found by its name; and it is no receiver.
    desktop.spawn(&user, &args).wait().assert_code(0);
    let sent = desktop
        .spawn(&user, &["send", file.to_str().unwrap(), "laptop"])
        .wait();
    assert_ne!(sent.code, Some(0), "{sent}");
}

#[test]
fn nothing_is_refused_of_whoever_has_seen_enough() {
    let sandbox = Sandbox::new();
    for n in 0..500 {
        make_file(sandbox.src().join(format!("file {n}")), n, 1);
    }
    let share = share(&sandbox.me(), &["--open", "src"]);
    let target = share.target();
    for _ in 0..3 {
        // Nobody reads it, as behind `| head -1`.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let command = sandbox.me().command(&["get", "--open", "--list", &target]);
        Process::spawn_with(command, writer.into(), std::process::Stdio::null()).wait();
    }
    let all = sandbox
        .me()
        .run(&["get", "--open", "--list", &target, "src"]);
    all.assert_code(0).assert_says("file 499");
    share.interrupt().assert_does_not_say("Refused");
}
