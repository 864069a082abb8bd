//! Mirrors that would remove much: they ask first, and keep to the limits of both sides.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use support::*;

/// Exit codes.
const DONE: i32 = 0;
const IN_PART: i32 = 3;

/// A folder of two machines of one person, of which one has some and the other more.
struct Scene {
    sandbox: Sandbox,
}

impl Scene {
    /// So many files are on both sides, and so many more at the receiver.
    fn new(kept: usize, surplus: usize) -> Self {
        let scene = Self {
            sandbox: Sandbox::new(),
        };
        fs::create_dir_all(scene.tree()).unwrap();
        fs::create_dir_all(scene.copy()).unwrap();
        for n in 0..kept {
            for tree in [scene.tree(), scene.copy()] {
                let file = tree.join(format!("kept {n:04}"));
                make_file(&file, 1, 10);
                set_mtime(&file, 1_600_000_000, 0);
            }
        }
        for n in 0..surplus {
            make_file(scene.copy().join(format!("surplus {n:04}")), 1, 10);
        }
        scene
    }

    /// What is sent.
    fn tree(&self) -> PathBuf {
        self.sandbox.src().join("tree")
    }

    /// What is received.
    fn copy(&self) -> PathBuf {
        self.sandbox.dst().join("tree")
    }

    fn recv_command(&self, args: &[&str]) -> Command {
        let args = [&["--once", "--allow-mirror"], args].concat();
        self.sandbox.me().recv_command(&self.sandbox.dst(), &args)
    }

    fn send_command(&self, args: &[&str], target: &str) -> Command {
        let tree = self.tree().display().to_string();
        let args = [&["send", "--mirror"], args, &[&tree, target]].concat();
        self.sandbox.me().command(&args)
    }

    /// Mirrors; says how it ended at the sender and at the receiver.
    fn mirror(&self, send: &[&str], recv: &[&str]) -> [Output; 2] {
        let recv = Recv::start(self.recv_command(recv));
        let sent = Process::spawn(self.send_command(send, &recv.target())).wait();
        [sent, recv.wait()]
    }

    fn assert_mirrored(&self) {
        assert_same_tree(self.sandbox.src(), self.sandbox.dst());
    }

    #[track_caller]
    fn assert_goes(&self, send: &[&str], recv: &[&str]) {
        for output in self.mirror(send, recv) {
            output.assert_code(DONE);
        }
        self.assert_mirrored();
    }

    /// Nothing is removed, and everything else is done. Both sides say these words.
    #[track_caller]
    fn assert_refused(&self, send: &[&str], recv: &[&str], words: &[&str]) -> [Output; 2] {
        let before = Tree::read(self.copy());
        make_file(self.tree().join("new"), 3, 10);
        let outputs = self.mirror(send, recv);
        for output in &outputs {
            output.assert_code(IN_PART);
            for words in words {
                output.assert_says(words);
            }
            assert!(!output.text().contains("because something failed"));
        }
        assert!(self.copy().join("new").exists());
        fs::remove_file(self.copy().join("new")).unwrap();
        assert_eq!(Tree::read(self.copy()), before);
        fs::remove_file(self.tree().join("new")).unwrap();
        outputs
    }
}

#[test]
fn an_emptied_folder_takes_nothing_with_it() {
    let scene = Scene::new(0, 11);
    let before = Tree::read(scene.copy());
    for output in scene.mirror(&[], &[]) {
        output.assert_code(IN_PART);
    }
    assert_eq!(Tree::read(scene.copy()), before);
    let says = ["11 of 11 files and folders would go", "nobody said yes"];
    let [sent, received] = scene.assert_refused(&[], &[], &says);
    sent.assert_says("xfer send --mirror --max-delete 11");
    received.assert_says("xfer recv --allow-mirror --max-delete 11");
    scene.assert_goes(&["--max-delete", "11"], &[]);
}

#[test]
fn ten_of_ten_go_and_half_of_many_do() {
    Scene::new(0, 10).assert_goes(&[], &[]);
    Scene::new(20, 20).assert_goes(&[], &[]);
}

#[test]
fn more_than_half_of_many_needs_a_yes() {
    let scene = Scene::new(19, 21);
    let says = ["21 of 40 files and folders would go"];
    scene.assert_refused(&[], &[], &says);
    // A limit of either side that allows it is one.
    scene.assert_goes(&[], &["--max-delete", "100%"]);
}

#[test]
fn what_is_in_a_folder_that_would_go_counts() {
    let scene = Scene::new(20, 0);
    for n in 0..1000 {
        make_file(scene.copy().join(format!("old/{}/{n}", n % 10)), 1, 10);
    }
    let says = ["1,011 of 1,031 files and folders would go"];
    scene.assert_refused(&[], &[], &says);
    // What a filter keeps is there, and does not go: it is asked about in the folder.
    for n in 0..1000 {
        make_file(scene.copy().join(format!("old/{}/{n}.log", n % 10)), 1, 10);
    }
    let logs = "--exclude=*.log";
    scene.assert_refused(
        &[logs, "--max-delete", "999"],
        &[],
        &["1,000 of 2,031 files"],
    );
    for output in scene.mirror(&[logs], &[]) {
        output.assert_code(DONE);
    }
    assert!(!scene.copy().join("old/7/7").exists());
    assert!(scene.copy().join("old/7/7.log").exists());
    scene.assert_goes(&["--max-delete=100%"], &[]);
}

#[test]
fn an_explicit_limit_of_either_side_holds() {
    let scene = Scene::new(30, 10);
    let says = ["10 of 40 files and folders would go"];
    for limit in ["9", "0", "24%", "0%"] {
        let limit = ["--max-delete", limit];
        let [sent, received] = scene.assert_refused(&limit, &[], &says);
        let allows = format!("the sender allows {}", limit[1]);
        sent.assert_says(&allows);
        received.assert_says(&allows);
        let [sent, _] = scene.assert_refused(&[], &limit, &says);
        sent.assert_says(&format!("the receiver allows {}", limit[1]))
            .assert_says("xfer recv --allow-mirror --max-delete 10");
        // The stricter one wins.
        scene.assert_refused(&["--max-delete=100%"], &limit, &says);
        scene.assert_refused(&limit, &["--max-delete=100%"], &says);
    }
    scene.assert_goes(&["--max-delete", "25%"], &["--max-delete", "10"]);
}

#[test]
fn the_limit_can_be_set_for_good() {
    let scene = Scene::new(30, 10);
    let before = Tree::read(scene.copy());
    let config = scene.sandbox.me().home().join(".config/xfer");
    fs::create_dir_all(&config).unwrap();
    for limit in ["5", "\"5%\""] {
        fs::write(
            config.join("config.toml"),
            format!("max-delete = {limit}\n"),
        )
        .unwrap();
        for output in scene.mirror(&["--max-delete=10"], &[]) {
            output
                .assert_code(IN_PART)
                .assert_says("the receiver allows 5");
        }
        for output in scene.mirror(&[], &["--max-delete=10"]) {
            output
                .assert_code(IN_PART)
                .assert_says("the sender allows 5");
        }
        assert_eq!(Tree::read(scene.copy()), before);
    }
    scene.assert_goes(&["--max-delete=10"], &["--max-delete=25%"]);
}

#[test]
fn very_many_go_where_that_is_allowed() {
    let scene = Scene::new(5, 3000);
    scene.assert_refused(&[], &[], &["3,000 of 3,005 files"]);
    let [sent, _] = scene.mirror(&["--max-delete=3000"], &[]);
    sent.assert_code(DONE).assert_says("3,000 deleted");
    scene.assert_mirrored();
}

#[test]
fn the_sender_is_asked_at_its_terminal() {
    let scene = Scene::new(1, 20);
    let before = Tree::read(scene.copy());
    let ask = |answers: &[&str]| {
        let recv = Recv::start(scene.recv_command(&[]));
        let send = Terminal::spawn(scene.send_command(&[], &recv.target()));
        send.wait_for("would delete 20 of 21 files and folders on ", 1);
        for (n, answer) in answers.iter().enumerate() {
            send.wait_for("Delete them? [y]es, [n]o: ", n + 1);
            send.type_line(answer);
        }
        let (code, screen) = send.wait();
        let received = recv.wait();
        assert_eq!(code, received.code, "{screen}");
        (code, screen + &received.text())
    };
    let (code, said) = ask(&["no"]);
    assert_eq!(code, Some(IN_PART), "{said}");
    assert!(said.contains("the sender's user said no"), "{said}");
    assert_eq!(Tree::read(scene.copy()), before);
    let (code, said) = ask(&["hm", "y"]);
    assert_eq!(code, Some(DONE), "{said}");
    scene.assert_mirrored();
}

#[test]
fn the_receiver_is_asked_where_nobody_is_at_the_sender() {
    let scene = Scene::new(1, 20);
    let before = Tree::read(scene.copy());
    let ask = |answer: &str| {
        let recv = Terminal::spawn(scene.recv_command(&[]));
        let target = wait_for_addr(recv.process()).to_string();
        let send = Process::spawn(scene.send_command(&[], &target));
        recv.wait_for("asks to delete 20 of 21 files and folders here", 1);
        recv.type_line(answer);
        let sent = send.wait();
        let (code, screen) = recv.wait();
        assert_eq!(code, sent.code, "{screen}");
        (code, screen + &sent.text())
    };
    let (code, said) = ask("n");
    assert_eq!(code, Some(IN_PART), "{said}");
    assert!(said.contains("the receiver's user said no"), "{said}");
    assert_eq!(Tree::read(scene.copy()), before);
    let (code, said) = ask("yes");
    assert_eq!(code, Some(DONE), "{said}");
    scene.assert_mirrored();
}

#[test]
fn nobody_is_asked_about_what_a_limit_decides() {
    let scene = Scene::new(1, 20);
    let recv = Terminal::spawn(scene.recv_command(&[]));
    let target = wait_for_addr(recv.process()).to_string();
    let send = Terminal::spawn(scene.send_command(&["--max-delete=20"], &target));
    for (code, screen) in [send.wait(), recv.wait()] {
        assert_eq!(code, Some(DONE), "{screen}");
        assert!(!screen.contains("Delete them?"), "{screen}");
    }
    scene.assert_mirrored();
}

#[test]
fn a_dry_run_says_what_the_real_one_would_need() {
    let scene = Scene::new(1, 200);
    let before = Tree::read(scene.copy());
    let recv = scene.sandbox.recv_with(&["--allow-mirror"]);
    let dry = |args: &[&str]| {
        let args = [&["--dry-run"], args].concat();
        Process::spawn(scene.send_command(&args, &recv.target())).wait()
    };
    dry(&[])
        .assert_code(IN_PART)
        .assert_says("to delete  tree: 200 items")
        .assert_says("200 would be deleted (xfer asks first)")
        .assert_does_not_say("refused")
        .assert_says(
            "to delete 200 of 201 files and folders, xfer asks first, or needs --max-delete 200",
        );
    dry(&["--max-delete=5%"])
        .assert_code(IN_PART)
        .assert_says("to delete  tree: 200 items")
        .assert_says("1 refused")
        .assert_says("the sender allows 5%");
    dry(&["--max-delete=200"])
        .assert_code(DONE)
        .assert_says("200 would be deleted");
    assert_eq!(Tree::read(scene.copy()), before);
}

#[test]
fn programs_are_told_that_it_is_the_limit() {
    let scene = Scene::new(0, 11);
    let [sent, _] = scene.mirror(&["--json"], &[]);
    sent.assert_code(IN_PART)
        .assert_says("\"reason\":\"max_delete\"");
}

#[test]
fn what_is_in_a_folder_that_its_mode_closes_counts() {
    for (limit, goes) in [("30", false), ("31", true)] {
        let scene = Scene::new(3, 0);
        let closed = scene.copy().join("closed");
        for n in 0..30 {
            make_file(closed.join(format!("{n}")), 1, 10);
        }
        set_mode(&closed, 0o300);
        let command = scene.recv_command(&["--max-delete", limit]);
        let recv = Recv::start(without_privileges(&command));
        let sent = Process::spawn(scene.send_command(&[], &recv.target())).wait();
        let code = if goes { DONE } else { IN_PART };
        sent.assert_code(code);
        recv.wait().assert_code(code);
        if goes {
            scene.assert_mirrored();
            continue;
        }
        let mode = fs::metadata(&closed).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o300);
        set_mode(&closed, 0o700);
        assert_eq!(fs::read_dir(&closed).unwrap().count(), 30);
    }
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let scene = Scene::new(0, 0);
    for limit in ["-1", "101%", "5k", "all"] {
        let limit = format!("--max-delete={limit}");
        let sent = Process::spawn(scene.send_command(&[&limit], "127.0.0.1:9")).wait();
        sent.assert_code(2).assert_says("25%");
        let recv = Process::spawn(scene.recv_command(&[&limit])).wait();
        recv.assert_code(2).assert_says("25%");
    }
}
