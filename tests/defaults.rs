//! What the receiver does when nobody tells it more, and what it and the sender never do: what
//! others send must not be enough to take over an account.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

/// Writes somebody's settings.
fn set(user: &User, text: &str) {
    let dir = user.home().join(".config/xfer");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
}

#[test]
fn another_machine_replaces_nothing_without_leave() {
    let sandbox = Sandbox::new();
    let [desktop, laptop] = ["desktop", "laptop"].map(|name| sandbox.user(name));
    pair(&desktop, "desktop", &laptop);
    make_file(sandbox.src().join("tree/.bashrc"), 1, 1000);
    let tree = sandbox.src().join("tree").display().to_string();
    let there = sandbox.dst().join("tree/.bashrc");
    let beside = sandbox.dst().join("tree/.bashrc (2)");
    let send = |sender: &User, args: &[&str], recv: &Recv| {
        sender.send(&[args, &[&tree, &recv.target()]].concat())
    };
    let reset = || {
        let _ = fs::remove_file(&beside);
        make_file(&there, 2, 2000);
        Tree::read(sandbox.dst())
    };

    for (settings, args, may) in [
        ("", &[][..], false),
        ("", &["--on-conflict", "replace"], false),
        ("", &["--allow-update"], true),
        ("", &["--allow-mirror"], true),
        ("allow-update = true\n", &[], true),
        ("allow-update = true\n", &["--allow-update=no"], false),
        ("[peer.desktop]\nmay-update = true\n", &[], true),
        ("[peer.desktop]\nmay-mirror = true\n", &[], true),
        (
            "[peer.desktop]\nmay-update = false\n",
            &["--allow-update"],
            false,
        ),
    ] {
        set(&laptop, settings);
        let before = reset();
        let recv = laptop.recv(&sandbox.dst(), args);
        let what = format!("{settings:?} {args:?}");
        if may {
            send(&desktop, &["--update"], &recv).assert_code(0);
            assert_same_tree(sandbox.src(), sandbox.dst());
            continue;
        }
        for update in [&["--update"][..], &["--update", "--dry-run"]] {
            let sent = send(&desktop, update, &recv);
            sent.assert_code(4)
                .assert_says("does not let you replace files")
                .assert_says("xfer recv --allow-update");
            assert_eq!(Tree::read(sandbox.dst()), before, "{what}");
        }
        send(&desktop, &[], &recv).assert_code(0);
        assert_eq!(
            digest_of(&beside),
            digest_of(&sandbox.src().join("tree/.bashrc"))
        );
        recv.interrupt()
            .assert_says("asked to replace files here")
            .assert_says("--allow-update");
        fs::remove_file(&beside).unwrap();
        assert_eq!(Tree::read(sandbox.dst()).names(), before.names(), "{what}");
    }

    // To whom the account belongs, on its machine, may do as before.
    set(&laptop, "");
    reset();
    let recv = laptop.recv(&sandbox.dst(), &[]);
    send(&laptop, &["--update"], &recv).assert_code(0);
    assert_same_tree(sandbox.src(), sandbox.dst());
}

/// A receiver that is told no folder.
fn recv_without_dir(user: &User, args: &[&str]) -> Command {
    let mut command = user.command(&["recv", "--listen", "127.0.0.1:0"]);
    command.args(args);
    command
}

#[test]
fn without_a_folder_downloads_are_received_into_wherever_it_is_started() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    make_file(sandbox.src().join("file"), 1, 1000);
    let file = sandbox.src().join("file").display().to_string();
    let receives_into = |command: Command| {
        let recv = Recv::start(command);
        me.send(&["--update", &file, &recv.target()]).assert_code(0);
        let said = recv.interrupt();
        let (_, rest) = said
            .text()
            .split_once(", receiving into ")
            .map(own)
            .unwrap();
        PathBuf::from(rest.lines().next().unwrap())
    };
    let home = me.home().canonicalize().unwrap();
    // A fresh terminal is at home.
    let mut command = recv_without_dir(&me, &[]);
    command.current_dir(&home);
    assert_eq!(receives_into(command), home.join("Downloads"));
    assert_eq!(Tree::read(home.join("Downloads")).names(), ["file"]);
    assert!(!home.join("file").exists());
    assert!(!home.join(".xfer").exists());
    // It is where the user's system has it.
    let config = home.join(".config");
    fs::create_dir(home.join("Geladenes")).unwrap();
    let at = |place: &str| {
        let line = format!("XDG_DOWNLOAD_DIR=\"{place}\"\n");
        fs::write(config.join("user-dirs.dirs"), line).unwrap();
    };
    at("$HOME/Geladenes");
    let into = receives_into(recv_without_dir(&me, &[]));
    assert_eq!(into, home.join("Geladenes"));
    // That is how they say that there is none.
    at("$HOME/");
    let into = receives_into(recv_without_dir(&me, &[]));
    assert_eq!(into, home.join("Downloads"));
    // A setting comes first.
    set(&me, &format!("dir = {:?}\n", sandbox.dst()));
    let into = receives_into(recv_without_dir(&me, &[]));
    assert_eq!(into, sandbox.dst().canonicalize().unwrap());
}

/// Both parts of a text as their own.
fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn without_a_home_it_asks_for_a_folder() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    // One that cannot be made may be there later: a service tries again.
    for (home, code, says) in [
        (sandbox.path("no/such"), 1, "mkdir -p"),
        (PathBuf::from("/"), 2, "--dir DIR"),
    ] {
        let mut command = recv_without_dir(&me, &[]);
        command.env("HOME", &home);
        let ended = Process::spawn(command).wait();
        ended.assert_code(code).assert_says(says);
        assert!(!home.join("Downloads").exists());
    }
    // And where downloads go home.
    symlink(me.home(), me.home().join("Downloads")).unwrap();
    let ended = Process::spawn(recv_without_dir(&me, &[])).wait();
    ended.assert_code(2).assert_says("is a home folder");
}

#[test]
fn folders_of_the_system_are_refused_and_the_home_is_warned_of() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    symlink("/etc", sandbox.path("link")).unwrap();
    let link = sandbox.path("link").display().to_string();
    let refused = ["/", "/etc", "/usr/bin", "/usr/lib", "/boot", "/proc", &link];
    for dir in refused {
        let ended = Process::spawn(me.recv_command(Path::new(dir), &[])).wait();
        ended
            .assert_code(2)
            .assert_says("--dir: ")
            .assert_says("belongs to the system");
    }
    assert!(!Path::new("/.xfer").exists() && !Path::new("/etc/.xfer").exists());
    for (settings, source) in [
        ("\ndir = \"/etc\"\n", "config.toml:2: "),
        ("[peer.anna]\ndir = \"/etc\"\n", "[peer.anna]: "),
    ] {
        set(&me, settings);
        let ended = Process::spawn(recv_without_dir(&me, &[])).wait();
        ended
            .assert_code(2)
            .assert_says(source)
            .assert_says("belongs to the system");
    }
    set(&me, "");
    // Others of the system are received into where somebody says so.
    if let Ok(cache) = tempfile::tempdir_in("/var/cache") {
        let recv = me.recv(cache.path(), &[]);
        let ended = recv.interrupt();
        ended
            .assert_code(0)
            .assert_says("which belongs to the system");
    }

    // The home is received into where somebody says so, and is told what that means.
    let warning = "Receiving into your home folder";
    let recv = me.recv(me.home(), &[]);
    recv.interrupt().assert_code(0).assert_says(warning);
    set(&me, "dir = \"~\"\n");
    let recv = Recv::start(recv_without_dir(&me, &[]));
    recv.interrupt().assert_code(0).assert_says(warning);
    set(&me, "[peer.anna]\ndir = \"~\"\n");
    let recv = me.recv(&sandbox.dst(), &[]);
    recv.interrupt().assert_code(0).assert_says(warning);
    set(&me, "");
    let recv = me.recv(&sandbox.path(""), &[]);
    recv.interrupt().assert_says("which holds your home folder");
    let recv = me.recv(&sandbox.dst(), &[]);
    let said = recv.interrupt().text();
    assert!(!said.contains("home folder"), "{said}");
}

/// Where somebody's xfer keeps its key, its settings, and whom it knows.
const OWN: [&str; 2] = [".config/xfer", ".local/share/xfer"];

/// What is in these folders, but for whom they know: that is written whenever somebody comes.
fn own_files(user: &User) -> (Tree, Vec<String>) {
    let [config, data] = OWN.map(|own| Tree::read(user.home().join(own)));
    let mut names = data.names();
    // Where a receiver that runs hears terminals of its own user.
    names.retain(|name| !name.starts_with("receivers"));
    (config, names)
}

#[test]
fn a_sender_does_not_send_its_own_key() {
    let sandbox = Sandbox::new();
    let (desktop, laptop) = (sandbox.user("desktop"), sandbox.user("laptop"));
    pair(&desktop, "desktop", &laptop);
    let home = desktop.home();
    make_file(home.join(".config/other/settings"), 1, 100);
    make_file(home.join("notes"), 2, 100);
    set(&desktop, "name = \"desktop\"\n");
    let key = fs::read_dir(home.join(OWN[0])).unwrap().next().unwrap();
    let key = key.unwrap().path();
    symlink(home.join(OWN[0]), home.join("to them")).unwrap();
    symlink(&key, home.join("to the key")).unwrap();
    let recv = laptop.recv(&sandbox.dst(), &["--allow-links-outside"]);
    let target = recv.target();
    for links in ["keep", "follow"] {
        let mut command = desktop.command(&["send", "-v", "--links", links, ".", &target]);
        command.current_dir(home);
        let sent = Process::spawn(command).wait();
        sent.assert_code(0).assert_says("reserved for xfer");
        let into = sandbox.dst().join(home.file_name().unwrap());
        let names = Tree::read(&into).names();
        let mut expected = vec![
            ".config",
            ".config/other",
            ".config/other/settings",
            ".local",
            ".local/share",
            "notes",
        ];
        if links == "keep" {
            expected.extend(["to the key", "to them"]);
        }
        assert_eq!(names, expected, "{links}");
        fs::remove_dir_all(into).unwrap();
    }
    // Nor by hard links, by links to a folder in one, or where one is elsewhere by a link.
    let kept = fs::read(&key).unwrap();
    make_file(home.join(OWN[0]).join("sub/file"), 5, 100);
    fs::create_dir(home.join("dotfiles")).unwrap();
    fs::rename(
        home.join(OWN[0]).join("config.toml"),
        home.join("dotfiles/settings"),
    )
    .unwrap();
    symlink(
        home.join("dotfiles/settings"),
        home.join(OWN[0]).join("config.toml"),
    )
    .unwrap();
    make_file(home.join("t/fine"), 6, 100);
    fs::hard_link(&key, home.join("t/x")).unwrap();
    fs::hard_link(home.join("dotfiles/settings"), home.join("t/settings")).unwrap();
    fs::write(home.join("t/copy"), &kept).unwrap();
    symlink(home.join(OWN[0]).join("sub"), home.join("t/sub")).unwrap();
    let (t, dotfiles) = (home.join("t"), home.join("dotfiles"));
    let named = [t.to_str().unwrap(), dotfiles.to_str().unwrap()];
    let sent = desktop.send(&[&["--links", "follow"], &named[..], &[&target]].concat());
    sent.assert_code(0);
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["dotfiles", "t", "t/fine"]);
    for folder in ["t", "dotfiles"] {
        fs::remove_dir_all(sandbox.dst().join(folder)).unwrap();
    }
    // What is named itself is left out, or an error where there is nothing else.
    let fine = t.join("fine").display().to_string();
    let own = home.join(OWN[0]).display().to_string();
    let sent = desktop.send(&[&fine, &own, &target]);
    sent.assert_code(0)
        .assert_says("Warning: ")
        .assert_says("xfer keeps its keys");
    assert_eq!(Tree::read(sandbox.dst()).names(), ["fine"]);
    fs::remove_file(sandbox.dst().join("fine")).unwrap();
    let named = [
        &home.join(OWN[0]),
        &key,
        &home.join("to the key"),
        &home.join("to them"),
        &home.join("t/x"),
        &home.join("t/copy"),
    ];
    for path in named {
        let sent = desktop.send(&[path.to_str().unwrap(), &target]);
        sent.assert_code(2).assert_says("xfer keeps its keys");
    }
    assert_eq!(Tree::read(sandbox.dst()).names(), [""; 0]);
    recv.interrupt().assert_code(0);
}

#[test]
fn a_key_is_not_sent_by_another_mount_of_its_folder() {
    let in_place = |command: &Command| run_by("unshare", &["-m"].map(OsStr::new), command);
    if !can_run(in_place, "nothing can be mounted") {
        return;
    }
    let sandbox = Sandbox::new();
    let (desktop, laptop) = (sandbox.user("desktop"), sandbox.user("laptop"));
    pair(&desktop, "desktop", &laptop);
    make_file(sandbox.src().join("tree/file"), 1, 100);
    let mounted = sandbox.folder("src/tree/mounted");
    let recv = laptop.recv(&sandbox.dst(), &[]);
    let own = desktop.home().join(OWN[0]);
    let script = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
    let args = ["-m", "sh", "-c", script].map(OsStr::new);
    let args = [&args[..], &[own.as_os_str(), mounted.as_os_str()]].concat();
    let tree = sandbox.src().join("tree").display().to_string();
    let command = desktop.command(&["send", "-v", &tree, &recv.target()]);
    let sent = Process::spawn(run_by("unshare", &args, &command)).wait();
    sent.assert_code(0).assert_says("reserved for xfer");
    let names = Tree::read(sandbox.dst()).names();
    assert_eq!(names, ["tree", "tree/file"]);
}

#[test]
fn a_receiver_lets_nobody_write_to_its_own_folders() {
    let sandbox = Sandbox::new();
    let (desktop, laptop) = (sandbox.user("desktop"), sandbox.user("laptop"));
    pair(&desktop, "desktop", &laptop);
    set(&laptop, "name = \"laptop\"\n");
    let home = laptop.home();
    // One of its folders is behind a link, as with those who keep such files elsewhere.
    fs::create_dir(home.join("dots")).unwrap();
    fs::rename(home.join(".config"), home.join("dots/config")).unwrap();
    symlink("dots/config", home.join(".config")).unwrap();
    let before = own_files(&laptop);
    let links =
        || [".config", "dots/config"].map(|name| fs::canonicalize(home.join(name)).unwrap());
    let leads_to = links();
    let attack = sandbox.folder("attack");
    for name in [
        ".config/xfer/config.toml",
        "dots/config/xfer/config.toml",
        "dots/config/xfer/new",
        ".local/share/xfer/peers",
        ".local/share/fine",
    ] {
        make_file(attack.join(name), 3, 50);
    }
    let recv = laptop.recv(
        home,
        &["--allow-mirror", "--allow-links-outside", "--no-sync"],
    );
    let send = |args: &[&str], names: &[&str]| {
        let mut command = desktop.command(&["send"]);
        command.args(args).args(names).arg(recv.target());
        command.current_dir(&attack);
        Process::spawn(command).wait()
    };
    let is_whole = || {
        assert_eq!(own_files(&laptop), before);
        assert_eq!(links(), leads_to);
    };
    let all = [".config", "dots", ".local"];
    for args in [&[][..], &["--update"], &["--update", "--dry-run"]] {
        let sent = send(args, &all);
        sent.assert_code(3).assert_says("a name reserved for xfer");
        is_whole();
    }
    assert!(home.join(".local/share/fine").exists());

    // Nor is anything of them removed or put in another's place.
    fs::remove_dir_all(&attack).unwrap();
    make_file(attack.join(".local/other"), 4, 50);
    make_file(attack.join("dots/other"), 4, 50);
    let all = ["--mirror", "--max-delete", "100%"];
    send(&all, &["dots", ".local"]).assert_code(0);
    is_whole();
    assert!(!home.join(".local/share/fine").exists());
    recv.interrupt();

    // Links are sent as such below what is named.
    let recv = laptop.recv(
        &sandbox.path(""),
        &["--allow-mirror", "--allow-links-outside", "--no-sync"],
    );
    fs::remove_dir_all(&attack).unwrap();
    fs::create_dir_all(attack.join("home-laptop/.local/share")).unwrap();
    for name in [".config", "dots", ".local/share/xfer"] {
        symlink("/nowhere", attack.join("home-laptop").join(name)).unwrap();
    }
    for args in [&[][..], &["--update"], &["--mirror"]] {
        let mut command = desktop.command(&["send"]);
        command.args(args).args(["home-laptop", &recv.target()]);
        command.current_dir(&attack);
        let sent = Process::spawn(command).wait();
        sent.assert_code(3).assert_says("a name reserved for xfer");
        is_whole();
    }
    recv.interrupt();
    // And they are no place to receive into.
    for own in OWN {
        let ended = Process::spawn(laptop.recv_command(&home.join(own), &[])).wait();
        ended
            .assert_code(2)
            .assert_says("xfer keeps its keys")
            .assert_says("--dir DIR");
    }
    is_whole();
}

#[test]
fn a_receiver_knows_its_own_folders_when_they_are_made_anew() {
    let sandbox = Sandbox::new();
    let (desktop, laptop) = (sandbox.user("desktop"), sandbox.user("laptop"));
    pair(&desktop, "desktop", &laptop);
    let home = laptop.home();
    // The settings are elsewhere, by a link.
    fs::create_dir(home.join("dotfiles")).unwrap();
    fs::write(home.join("dotfiles/settings"), "name = \"laptop\"\n").unwrap();
    let config = home.join(OWN[0]);
    symlink(home.join("dotfiles/settings"), config.join("config.toml")).unwrap();
    let attack = sandbox.folder("attack");
    make_file(attack.join(".config/xfer/config.toml"), 3, 50);
    make_file(attack.join("dotfiles/settings"), 4, 50);
    let recv = laptop.recv(home, &["--allow-update", "--no-sync"]);
    let send = || {
        let mut command = desktop.command(&["send", "--update", ".config", "dotfiles"]);
        command.arg(recv.target()).current_dir(&attack);
        let sent = Process::spawn(command).wait();
        assert_ne!(sent.code, Some(0));
        sent.assert_says("a name reserved for xfer");
        let settings = fs::read_to_string(config.join("config.toml")).unwrap();
        assert_eq!(settings, "name = \"laptop\"\n");
    };
    send();
    // As where it is restored from elsewhere.
    let other = home.join("other");
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(home.join(".config")).arg(&other);
    assert!(copy.status().unwrap().success());
    fs::remove_dir_all(home.join(".config")).unwrap();
    fs::rename(&other, home.join(".config")).unwrap();
    send();
    recv.interrupt();
}
