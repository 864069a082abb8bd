//! The program on Windows and the one on Linux: each sends to the other, and what is there
//! afterwards is the same.
//!
//! `.ci/platforms` runs them, with the program that it has built for Windows, under Wine.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::windows::Windows;
use support::*;
use xfer::net::{Known, Peers};

/// An ordinary time.
const THEN: i64 = 1_600_000_000;
/// What may travel beside the content: names, digests, handshakes.
const TALK: u64 = 1 << 20;
/// What can be between the proxy and the receiver's disk when either is killed: the buffers of
/// two lanes' sockets, and a chunk for each.
const IN_FLIGHT: u64 = 16 << 20;

/// Two machines of two people, one of them with Windows.
struct Two {
    // Windows goes before its folders do.
    windows: Windows,
    linux: User,
    sandbox: Sandbox,
    to_windows: bool,
}

impl Two {
    /// Machines that do not know each other.
    fn strangers(sandbox: Sandbox, to_windows: bool) -> Self {
        println!("to Windows: {to_windows}");
        Self {
            windows: Windows::new(&sandbox, "pc"),
            linux: sandbox.user("linux"),
            sandbox,
            to_windows,
        }
    }

    fn new(to_windows: bool) -> Self {
        Self::paired(Sandbox::new(), to_windows)
    }

    fn paired(sandbox: Sandbox, to_windows: bool) -> Self {
        let two = Self::strangers(sandbox, to_windows);
        pair(two.sender(), "sender", two.receiver());
        two
    }

    fn sender(&self) -> &dyn Machine {
        match self.to_windows {
            true => &self.linux,
            false => &self.windows,
        }
    }

    fn receiver(&self) -> &dyn Machine {
        match self.to_windows {
            true => &self.windows,
            false => &self.linux,
        }
    }

    fn recv(&self, args: &[&str]) -> Recv {
        self.recv_into(&self.sandbox.dst(), args)
    }

    fn recv_into(&self, dir: &Path, args: &[&str]) -> Recv {
        let dir = self.receiver().path(dir);
        let args = [&["recv", "--listen", "127.0.0.1:0", "--dir", &dir], args].concat();
        Recv::start(self.receiver().program(&args))
    }

    /// Sends what is below the source.
    fn spawn_send(&self, args: &[&str], target: &str) -> Process {
        let all = fs::read_dir(self.sandbox.src()).unwrap();
        let mut paths: Vec<String> = all
            .map(|entry| self.sender().path(&entry.unwrap().path()))
            .collect();
        paths.sort();
        let mut words = vec!["send", "--name", "sender"];
        words.extend(args);
        words.extend(paths.iter().map(String::as_str));
        words.push(target);
        Process::spawn(self.sender().program(&words))
    }

    fn send(&self, args: &[&str], target: &str) -> Output {
        self.spawn_send(args, target).wait()
    }

    #[track_caller]
    fn is_same(&self) {
        is_same(&self.sandbox.src(), &self.sandbox.dst());
        no_leftovers(self.sandbox.dst());
    }
}

fn without_modes(root: &Path) -> Tree {
    let mut tree = Tree::read(root);
    for node in tree.0.values_mut() {
        node.mode = 0;
    }
    tree
}

/// Fails unless both have the same in them, but for permissions, of which Windows keeps one.
#[track_caller]
fn is_same(sent: &Path, received: &Path) {
    let [sent, received] = [sent, received].map(without_modes);
    if sent != received {
        let missing: Vec<_> = (sent.0.iter())
            .filter(|(path, node)| received.0.get(*path) != Some(node))
            .map(|(path, node)| (String::from_utf8_lossy(path), node))
            .collect();
        let surplus: Vec<_> = (received.0.iter())
            .filter(|(path, node)| sent.0.get(*path) != Some(node))
            .map(|(path, node)| (String::from_utf8_lossy(path), node))
            .collect();
        panic!("the trees differ:\nsent     {missing:#?}\nreceived {surplus:#?}");
    }
}

/// Names that Windows can have, in many scripts.
const NAMES: [&str; 18] = [
    "plain.txt",
    "Übung.txt",
    // The same in two characters.
    "U\u{308}bung 2.txt",
    "日本語.txt",
    "Привет мир",
    "Ελληνικά",
    "עברית",
    "العربية.doc",
    "हिन्दी",
    "ไทย",
    "한국어",
    "😀🎉.png",
    "it's (a) [test] & more; $HOME %PATH% ^ ! {x} = ~ `y` @ # +,",
    ".hidden",
    ".a",
    "- starts like an option",
    "console",
    "nul l",
];

/// A tree of everything that both systems have.
fn make_tree(root: &Path) {
    for (n, name) in (0..).zip(NAMES) {
        make_file(root.join(name), n, 100 + n);
        make_file(root.join("folders").join(name).join(name), n, 10 + n);
        // As fine as both count.
        set_mtime(
            root.join(name),
            THEN + i64::try_from(n).unwrap(),
            123_456_700,
        );
    }
    make_file(root.join("x".repeat(255)), 1, 10);
    make_file(root.join("ä".repeat(127)), 1, 10);
    make_file(root.join("empty"), 1, 0);
    make_file(root.join("a chunk"), 2, CHUNK);
    make_file(root.join("some chunks"), 3, 5 * CHUNK + 1);
    fs::create_dir_all(root.join("empty folder/in it")).unwrap();
    // Longer than the paths of old programs.
    make_file(root.join("deep/".repeat(100)).join("file"), 4, 100);
    make_file(root.join("before 1970"), 5, 10);
    set_mtime(root.join("before 1970"), -100_000, 700);
    set_mtime(root.join("empty folder"), THEN, 0);
    set_mtime(root.join("folders"), THEN + 1, 500);
    make_file(root.join("read-only"), 6, 1000);
    set_mode(root.join("read-only"), 0o444);
    for n in 0..500 {
        make_file(root.join(format!("many/{n}")), n, n % 70);
    }
}

/// File times of Windows count in tenths of a microsecond.
fn round_times(root: &Path) {
    for (path, node) in Tree::read(root).0 {
        let path = root.join(String::from_utf8(path).unwrap());
        let (seconds, nanos) = node.mtime;
        let nanos = u32::try_from(nanos / 100 * 100).unwrap();
        set_mtime(path, seconds, nanos);
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_tree_goes_to_windows_and_comes_back_the_same() {
    let two = Two::new(true);
    let tree = two.sandbox.src().join("tree");
    make_tree(&tree);
    round_times(&two.sandbox.src());
    let recv = two.recv(&[]);
    two.send(&[], &recv.target()).assert_code(0);
    two.is_same();
    // Once more, and nothing changes.
    let again = two.send(&[], &recv.target());
    again.assert_code(0);
    two.is_same();
    recv.interrupt().assert_code(0);

    let back = two.sandbox.folder("back");
    let recv = two.linux.recv(&back, &[]);
    // The way back is its own.
    for machine in [two.sender(), two.receiver()] {
        let allow = |all: &mut Vec<Known>| {
            for known in all {
                (known.may_send, known.may_receive) = (true, true);
            }
            Ok(())
        };
        Peers::in_dir(&machine.data_dir()).update(allow).unwrap();
    }
    let tree = two.windows.path(&two.sandbox.dst().join("tree"));
    let args = ["send", &tree, &recv.target()];
    for _ in 0..2 {
        let sent = Process::spawn(two.windows.program(&args)).wait();
        sent.assert_code(0);
        is_same(&two.sandbox.src(), &back);
        no_leftovers(&back);
    }
    let mode = |name: &[u8]| Tree::read(back.join("tree")).0[name].mode;
    assert_eq!(mode(b"read-only") & 0o222, 0);
    assert_ne!(mode(b"plain.txt") & 0o200, 0);
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_file_of_more_than_four_gibibytes_arrives() {
    const SIZE: u64 = (4 << 30) + 12_345;
    let two = Two::paired(Sandbox::in_memory(), true);
    let (sent, received) = (two.sandbox.src().join("f"), two.sandbox.dst().join("f"));
    let file = File::create(&sent).unwrap();
    file.set_len(SIZE).unwrap();
    for at in [0, (2 << 30) - 5, (4 << 30) - 5, SIZE - 10] {
        file.write_all_at(b"0123456789", at).unwrap();
    }
    let recv = two.recv(&[]);
    two.send(&[], &recv.target()).assert_code(0);
    assert_eq!(digest_of(&received), digest_of(&sent));
    no_leftovers(two.sandbox.dst());
}

const LARGE: u64 = 40 * CHUNK + 12_345;
const SMALL_FILES: u64 = 300;
const SMALL: u64 = 4000;
/// All that there is to send.
const TOTAL: u64 = LARGE + SMALL_FILES * SMALL;

/// Two machines with a network between them that can be stopped, and something to send.
fn with_proxy(to_windows: bool) -> (Two, Recv, Proxy) {
    let two = Two::new(to_windows);
    let src = two.sandbox.src();
    make_file(src.join("a/large.bin"), 1, LARGE);
    for n in 0..SMALL_FILES {
        make_file(src.join(format!("b/{}/{n}", n % 5)), n, SMALL);
    }
    round_times(&src);
    let recv = two.recv(&[]);
    let proxy = Proxy::new(recv.addr());
    (two, recv, proxy)
}

/// Begins to send, and stops the network when so many bytes have passed.
fn send_until(two: &Two, proxy: &Proxy, bytes: u64) -> Process {
    proxy.hold_at(bytes);
    let sender = two.spawn_send(&["--lanes", "2"], &proxy.target());
    proxy.wait_for_up(bytes);
    sender
}

fn a_killed_sender_goes_on(to_windows: bool) {
    for point in [TOTAL / 20, TOTAL * 2 / 3] {
        let (two, recv, proxy) = with_proxy(to_windows);
        send_until(&two, &proxy, point).kill();
        proxy.release();
        let first = proxy.connections();
        let sent = two.send(&["--lanes", "2"], &proxy.target());
        sent.assert_code(0);
        two.is_same();
        let up = proxy.passed_from(first);
        let most = (TOTAL - point + IN_FLIGHT).min(TOTAL) + TALK;
        assert!(up <= most, "killed at {point}: {up} of {most} bytes");
        assert!(!recv.process().has_ended());
    }
}

fn a_killed_receiver_goes_on(to_windows: bool) {
    for point in [TOTAL / 20, TOTAL * 2 / 3] {
        let (two, recv, proxy) = with_proxy(to_windows);
        let sender = send_until(&two, &proxy, point);
        // The next one stands by already, so that the sender finds it at its first attempt.
        let next = two.recv(&[]);
        proxy.lead_to(next.addr());
        recv.kill();
        let first = proxy.connections();
        proxy.release();
        sender.wait().assert_code(0);
        // The next one cannot know which folders were made by the first, and have no time yet.
        let [sent, received] = [two.sandbox.src(), two.sandbox.dst()].map(|root| {
            let mut tree = without_modes(&root);
            tree.0.retain(|_, node| node.kind != Kind::Dir);
            tree
        });
        assert!(sent == received, "{sent:?}\n{received:?}");
        no_leftovers(two.sandbox.dst());
        let up = proxy.passed_from(first);
        let most = (TOTAL - point + IN_FLIGHT).min(TOTAL) + TALK + IN_FLIGHT;
        assert!(up <= most, "killed at {point}: {up} of {most} bytes");
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn what_a_killed_sender_on_linux_has_sent_does_not_travel_again() {
    a_killed_sender_goes_on(true);
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn what_a_killed_sender_on_windows_has_sent_does_not_travel_again() {
    a_killed_sender_goes_on(false);
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn what_a_killed_receiver_on_windows_has_does_not_travel_again() {
    a_killed_receiver_goes_on(true);
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn what_a_killed_receiver_on_linux_has_does_not_travel_again() {
    a_killed_receiver_goes_on(false);
}

/// As far as this can be seen without a console: Wine makes an interrupt of Ctrl-C's signal.
#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn ctrl_c_ends_a_sender_that_can_go_on() {
    for to_windows in [true, false] {
        let (two, _recv, proxy) = with_proxy(to_windows);
        let sender = send_until(&two, &proxy, TOTAL / 2);
        sender.interrupt();
        proxy.release();
        sender.wait().assert_code(130).assert_says("again");
        let first = proxy.connections();
        two.send(&["--lanes", "2"], &proxy.target()).assert_code(0);
        two.is_same();
        let up = proxy.passed_from(first);
        assert!(up <= TOTAL / 2 + IN_FLIGHT + TALK, "{up} bytes");
    }
}

/// Waits until a person sees something. A console of Windows draws as it likes.
#[track_caller]
fn wait_for_screen<R>(terminal: &Terminal, ready: impl Fn(&str) -> Option<R>) -> R {
    let found = terminal.wait_for_emulator(PATIENCE, |screen| ready(&screen.contents()));
    found.unwrap_or_else(|| panic!("it does not show:\n{}", terminal.screen()))
}

/// The code that the sender's user is to enter, as digits.
#[track_caller]
fn shown_code(terminal: &Terminal) -> String {
    wait_for_screen(terminal, |text| {
        let (_, rest) = text.split_once("enter this code on sender:")?;
        let code: String = rest.chars().filter(char::is_ascii_digit).take(6).collect();
        (code.len() == 6).then_some(code)
    })
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_code_pairs_machines_of_both_systems() {
    for to_windows in [true, false] {
        let two = Two::strangers(Sandbox::new(), to_windows);
        make_file(two.sandbox.src().join("file"), 1, 100);
        round_times(&two.sandbox.src());
        let dir = two.receiver().path(&two.sandbox.dst());
        let args = ["recv", "--listen", "127.0.0.1:0", "--name", "receiver"];
        let args = [&args[..], &["--dir", &dir]].concat();
        let recv = Terminal::spawn(two.receiver().program(&args));
        let target = wait_for_addr(recv.process()).to_string();
        // Nobody is there to be asked for it.
        two.send(&[], &target)
            .assert_code(4)
            .assert_says("XFER_CODE");
        let path = two.sandbox.path("code");
        fs::write(&path, shown_code(&recv)).unwrap();
        let path = two.sender().path(&path);
        two.send(&["--code-file", &path], &target).assert_code(0);
        two.is_same();
        // It is kept.
        make_file(two.sandbox.src().join("another"), 1, 100);
        round_times(&two.sandbox.src());
        two.send(&[], &target).assert_code(0);
        two.is_same();
    }
}

/// Where there is no terminal, codes show in another one: through a way between processes.
#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn codes_of_a_receiver_without_a_console_are_shown_by_another() {
    let two = Two::strangers(Sandbox::new(), true);
    make_file(two.sandbox.src().join("file"), 1, 100);
    round_times(&two.sandbox.src());
    let recv = two.recv(&["--name", "receiver"]);
    let unseen = two.send(&[], &recv.target());
    unseen.assert_code(4).assert_says("xfer recv --pair");
    let attend = Terminal::spawn(two.windows.program(&["recv", "--pair"]));
    wait_for_screen(&attend, |text| {
        text.contains("Codes are shown here").then_some(())
    });
    let args = ["send", "--name", "sender", "src/file", &recv.target()];
    let sender = Terminal::spawn(two.linux.program(&args));
    sender.wait_for("Code on receiver: ", 1);
    sender.type_line(&shown_code(&attend));
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    wait_for_screen(&attend, |text| {
        text.contains("Paired with sender").then_some(())
    });
    two.is_same();
    // It ends with the receiver.
    recv.interrupt().assert_code(0);
    let (code, screen) = attend.wait();
    assert_eq!(code, Some(1), "{screen}");
}

/// A folder that was sent.
fn sent_folder(to_windows: bool, args: &[&str]) -> (Two, Recv, PathBuf) {
    let two = Two::new(to_windows);
    let tree = two.sandbox.src().join("tree");
    make_file(tree.join("image"), 1, 30 * CHUNK + 12_345);
    for n in 0..20 {
        make_file(tree.join(format!("sub/{n}")), 10 + n, 4000);
    }
    round_times(&two.sandbox.src());
    let recv = two.recv(args);
    two.send(&[], &recv.target()).assert_code(0);
    two.is_same();
    (two, recv, tree)
}

/// Changes four chunks of the image, and two small files.
fn change(two: &Two, tree: &Path) {
    let image = OpenOptions::new().write(true).open(tree.join("image"));
    let image = image.unwrap();
    for n in [0, 7, 19, 30] {
        image.write_all_at(b"changed", n * CHUNK + 5000).unwrap();
    }
    drop(image);
    make_file(tree.join("sub/3"), 99, 5000);
    make_file(tree.join("sub/4"), 99, 4000);
    set_mtime(tree.join("sub/4"), THEN, 0);
    round_times(&two.sandbox.src());
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn an_update_replaces_what_differs_alone() {
    for to_windows in [true, false] {
        let (two, recv, tree) = sent_folder(to_windows, &["--allow-update"]);
        change(&two, &tree);
        let proxy = Proxy::new(recv.addr());
        let sent = two.send(&["--update"], &proxy.target());
        sent.assert_code(0).assert_says("3 files replaced");
        two.is_same();
        let (up, _) = proxy.passed();
        assert!(up <= 4 * CHUNK + 9000 + TALK, "{up} bytes");
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn without_it_what_differs_lies_beside() {
    for to_windows in [true, false] {
        let (two, recv, tree) = sent_folder(to_windows, &[]);
        let before = fs::read(tree.join("sub/3")).unwrap();
        make_file(tree.join("sub/3"), 99, 5000);
        for _ in 0..2 {
            two.send(&[], &recv.target()).assert_code(0);
            let copy = two.sandbox.dst().join("tree/sub");
            assert_eq!(fs::read(copy.join("3")).unwrap(), before);
            let beside = fs::read(copy.join("3 (2)")).unwrap();
            assert_eq!(beside, fs::read(tree.join("sub/3")).unwrap());
            assert_eq!(fs::read_dir(&copy).unwrap().count(), 21);
        }
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_mirror_has_no_more_than_its_source() {
    for to_windows in [true, false] {
        let (two, recv, tree) = sent_folder(to_windows, &["--allow-mirror"]);
        change(&two, &tree);
        fs::remove_file(tree.join("sub/5")).unwrap();
        let copy = two.sandbox.dst().join("tree");
        make_file(copy.join("surplus"), 1, 10);
        make_file(copy.join("more/deep/er/file"), 1, 10);
        make_file(copy.join("more/read-only"), 1, 10);
        set_mode(copy.join("more/read-only"), 0o444);
        round_times(&two.sandbox.src());
        let sent = two.send(&["--mirror"], &recv.target());
        sent.assert_code(0).assert_says("7 deleted");
        two.is_same();
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn fifty_thousand_small_files_arrive() {
    for (to_windows, files) in [(true, 50_000_u64), (false, 10_000)] {
        let two = Two::paired(Sandbox::in_memory(), to_windows);
        let src = two.sandbox.src();
        for n in 0..files {
            let folder = src.join(format!("t/{}", n % 50));
            if n < 50 {
                fs::create_dir_all(&folder).unwrap();
            }
            fs::write(folder.join(n.to_string()), n.to_le_bytes()).unwrap();
        }
        round_times(&src);
        let recv = two.recv(&["--no-sync"]);
        let began = Instant::now();
        let sender = two.spawn_send(&[], &recv.target());
        let sent = sender.wait_end_within(Duration::from_secs(600));
        sent.assert_code(0);
        println!("{:?}", began.elapsed());
        // What is not synced stays noted.
        is_same(&src, &two.sandbox.dst());
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_stream_is_sent_and_received() {
    let data = bytes(1, usize::try_from(5 * CHUNK + 777).unwrap());
    for to_windows in [true, false] {
        let two = Two::new(to_windows);
        let recv = two.recv(&[]);
        let args = ["send", "-", "--as", "stream", &recv.target()];
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut command = two.sender().program(&args);
        command.stdin(reader);
        let sender = Process::spawn(command);
        for piece in data.chunks(70_001) {
            writer.write_all(piece).unwrap();
        }
        drop(writer);
        sender.wait().assert_code(0);
        assert!(fs::read(two.sandbox.dst().join("stream")).unwrap() == data);

        fs::write(two.sandbox.src().join("file"), &data).unwrap();
        let args = ["recv", "--stdout", "--listen", "127.0.0.1:0"];
        let recv = Process::spawn(two.receiver().program(&args));
        let target = recv.wait_for("'Listening on'", |output| {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let rest = text.strip_prefix("Listening on ")?;
            let (addr, _) = rest.split_once(", receiving to standard output")?;
            Some(addr.to_owned())
        });
        two.send(&[], &target).assert_code(0);
        let received = recv.wait();
        received.assert_code(0);
        assert!(received.stdout == data);
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn messages_are_shown() {
    for to_windows in [true, false] {
        let two = Two::new(to_windows);
        let recv = two.recv(&[]);
        let args = ["say", "--name", "sender", &recv.target()];
        let args = [&args[..], &["Grüße,", "日本!"]].concat();
        let said = Process::spawn(two.sender().program(&args)).wait();
        said.assert_code(0);
        recv.process().wait_for_text("sender: Grüße, 日本!");
    }
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn a_command_on_windows_runs_for_linux() {
    let two = Two::new(true);
    let dir = two.windows.config_dir();
    fs::create_dir_all(&dir).unwrap();
    // What waits for ever is this program itself, started by a shell.
    let settings = r#"
[run.both]
command = ["cmd", "/c", "echo out& echo wrong>&2& exit 7"]
[run.waits]
command = ["cmd", "/c", "EXE recv --listen 127.0.0.1:0 --dir DIR"]
"#;
    let into = two.windows.path(&two.sandbox.folder("of-command"));
    let settings = settings
        .replace("EXE", &two.windows.exe().replace('\\', "\\\\"))
        .replace("DIR", &into.replace('\\', "\\\\"));
    fs::write(dir.join("config.toml"), settings).unwrap();
    let peers = Peers::in_dir(&two.windows.data_dir());
    let let_run = |all: &mut Vec<Known>| {
        all.iter_mut().for_each(|known| known.may_run = true);
        Ok(())
    };
    peers.update(let_run).unwrap();
    let recv = two.recv(&[]);
    let run = |name: &str| Process::spawn(two.linux.program(&["run", &recv.target(), name]));
    let output = run("both").wait();
    output.assert_code(7);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert_eq!(text(&output.stdout), "out");
    assert_eq!(text(&output.stderr), "wrong");
    recv.process().wait_for_text(": exit code 7");
    // What it started ends with whom it is for.
    let waiting = run("waits");
    let of_command = wait_for_addr(&waiting);
    waiting.interrupt();
    waiting.wait().assert_code(130);
    recv.process().wait_for_text("runs waits");
    // Nothing of it is left: its port is free as soon as it has ended.
    let end = Instant::now() + PATIENCE;
    while std::net::TcpListener::bind(of_command).is_err() {
        assert!(Instant::now() < end, "{}", recv.process().printed());
        std::thread::yield_now();
    }
    recv.interrupt().assert_code(0);
}

#[test]
#[ignore = ".ci/platforms runs it, under Wine"]
fn paired_machines_are_listed() {
    let two = Two::new(true);
    let output = Process::spawn(two.windows.program(&["list", "--json"])).wait();
    output.assert_code(0);
    let peers = Process::spawn(two.windows.program(&["peers"])).wait();
    peers.assert_code(0).assert_says("sender");
}
