//! Where a recipe is tried: a laptop that receives and a desktop that sends, with what README.md
//! names in their homes, and a network in which its addresses are true.
//!
//! Must not change a command, but for its addresses where there is no such network.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};

use super::network;
use super::support::*;
use super::text::{Part, prompted};
use xfer::net::{Identity, Known, Peers};

/// An ordinary time, long ago.
pub(crate) const THEN: i64 = 1_600_000_000;

/// A recipe, and those who try it.
pub(crate) struct Scene {
    pub(crate) part: Part,
    pub(crate) sandbox: Sandbox,
    pub(crate) laptop: Person,
    pub(crate) desktop: Person,
    /// Whether the addresses in README.md are true here.
    literal: bool,
    /// Where the last receiver listens.
    last: Cell<Option<SocketAddr>>,
    /// Every command of README.md that was run.
    ran: RefCell<Vec<String>>,
}

/// Somebody with a machine, or what passes for one.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) user: User,
    /// Where they are when they type.
    pub(crate) cwd: PathBuf,
}

impl Person {
    /// Their home, or something in it.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.user.home().join(name)
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.home("Downloads")
    }
}

impl Scene {
    /// Tries the recipe of this title, and fails unless all of its commands were run.
    pub(crate) fn play(title: &str, play: impl FnOnce(&Self)) {
        let scene = Self::new(title);
        play(&scene);
        let ran = scene.ran.take();
        for line in &scene.part.lines {
            let was_run = ran.iter().any(|text| text == prompted(line).1);
            assert!(was_run || super::is_excused(line), "not run: {line}");
        }
        for quoted in scene.part.quoted_commands() {
            // The rest of it may be for the reader to say.
            let is_fixed = |word: &&str| !word.chars().all(char::is_uppercase);
            let fixed: Vec<_> = quoted.split(' ').take_while(is_fixed).collect();
            let was_run = ran.iter().any(|text| text.contains(&fixed.join(" ")));
            assert!(was_run, "not run: {quoted}");
        }
    }

    pub(crate) fn new(title: &str) -> Self {
        let literal = network::enter();
        let sandbox = Sandbox::new();
        let bin = sandbox.folder("bin");
        symlink(env!("CARGO_BIN_EXE_xfer"), bin.join("xfer")).unwrap();
        let person = |name| {
            let user = sandbox.user(name);
            fs::create_dir(user.home().join("Downloads")).unwrap();
            let cwd = user.home().to_path_buf();
            Person { name, user, cwd }
        };
        let (mut laptop, desktop) = (person("laptop"), person("desktop"));
        laptop.cwd = laptop.downloads();
        let home = &desktop.cwd;
        make_file(home.join("file.iso"), 1, 2 * CHUNK + 77);
        make_file(home.join("film.mkv"), 2, CHUNK + 1);
        make_file(home.join("notes.txt"), 3, 1234);
        for (seed, name) in (4..).zip(["a.jpg", "b.jpg", "2024/c.jpg", "2024/d.png"]) {
            make_file(home.join("photos").join(name), seed, 30_000);
        }
        fs::create_dir(home.join("photos/empty")).unwrap();
        symlink("2024/c.jpg", home.join("photos/best")).unwrap();
        Self {
            part: Part::of(title),
            sandbox,
            laptop,
            desktop,
            literal,
            last: Cell::default(),
            ran: RefCell::default(),
        }
    }

    /// The recipe's lines, which have to be so many.
    #[track_caller]
    pub(crate) fn lines<const N: usize>(&self) -> [String; N] {
        counted(&self.part.lines)
    }

    /// The commands in its words, which have to be so many.
    #[track_caller]
    pub(crate) fn quoted<const N: usize>(&self) -> [String; N] {
        counted(&self.part.quoted_commands())
    }

    /// The recipe's lines, which are a file for once, and are used as that.
    pub(crate) fn file(&self) -> String {
        self.ran
            .borrow_mut()
            .extend(self.part.lines.iter().cloned());
        self.part.lines.join("\n")
    }

    /// Puts a program where the recipe finds it. It stands in for another one, never for xfer.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.sandbox.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        set_mode(path, 0o755);
    }

    /// What bash makes of a line.
    pub(crate) fn command(&self, who: &Person, line: &str) -> Command {
        let (_, text) = prompted(line);
        self.ran.borrow_mut().push(text.to_owned());
        let text = match self.literal {
            true => text.to_owned(),
            false => with_address(text, self.last.get()),
        };
        let args = ["-c".as_ref(), text.as_ref()];
        let mut command = run_by("bash", &args, &who.user.command::<&str>(&[]));
        let mut path = self.sandbox.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .current_dir(&who.cwd)
            .env("PATH", path)
            .env("XFER_NAME", who.name);
        if !self.literal {
            command.env("XFER_LISTEN", "127.0.0.1:0");
        }
        command
    }

    /// Begins to run a line.
    pub(crate) fn spawn(&self, who: &Person, line: &str) -> Running<Process> {
        self.spawn_command(self.command(who, line))
    }

    pub(crate) fn spawn_command(&self, mut command: Command) -> Running<Process> {
        command.process_group(0);
        Running(Process::spawn(command))
    }

    /// The same in a terminal.
    pub(crate) fn spawn_in_terminal(&self, who: &Person, line: &str) -> Running<Terminal> {
        Running(Terminal::spawn(self.command(who, line)))
    }

    /// Runs a line to its end.
    pub(crate) fn run(&self, who: &Person, line: &str) -> Output {
        self.spawn(who, line).end()
    }

    /// Runs a line at the desktop, which has to end well.
    #[track_caller]
    pub(crate) fn send(&self, line: &str) -> Output {
        let sent = self.run(&self.desktop, line);
        sent.assert_code(0);
        sent
    }

    /// Starts a receiver, and waits until it listens.
    pub(crate) fn receive(&self, who: &Person, line: &str) -> Running<Process> {
        self.receive_by(self.command(who, line))
    }

    pub(crate) fn receive_by(&self, command: Command) -> Running<Process> {
        let receiver = self.spawn_command(command);
        self.listens(&receiver);
        receiver
    }

    pub(crate) fn receive_in_terminal(&self, who: &Person, line: &str) -> Running<Terminal> {
        let receiver = self.spawn_in_terminal(who, line);
        self.listens(receiver.process());
        receiver
    }

    /// Starts the laptop's receiver, as README.md does between two machines, with further words.
    pub(crate) fn laptop_receives(&self, words: &str) -> Running<Process> {
        let line = format!("{} {words}", between_machines("laptop"));
        self.receive(&self.laptop, line.trim_end())
    }

    /// Where the last receiver can be reached.
    pub(crate) fn address(&self) -> SocketAddr {
        self.last.get().unwrap()
    }

    fn listens(&self, receiver: &Process) {
        let addr: SocketAddr = receiver.wait_for("'Listening on'", |output| {
            let text = output.text();
            let rest = text.split_once("Listening on ")?.1;
            rest.split_once(", receiving ")?.0.parse().ok()
        });
        let ip = match addr.ip().is_unspecified() {
            true => IpAddr::from(network::LAPTOP),
            false => addr.ip(),
        };
        let addr = SocketAddr::new(ip, addr.port());
        self.last.set(Some(addr));
        self.laptop_is_at(addr);
    }

    /// Lets the desktop's name for the laptop lead somewhere, if it has one.
    pub(crate) fn laptop_is_at(&self, addr: SocketAddr) {
        let change = |all: &mut Vec<Known>| {
            let mut known = all.iter_mut();
            if let Some(known) = known.find(|known| known.may_receive) {
                known.address = Some(addr.into());
            }
            Ok(())
        };
        peers(&self.desktop.user).update(change).unwrap();
    }

    /// Lets the laptop take what the desktop sends, as pairing does.
    pub(crate) fn pair(&self) {
        self.let_send(&self.desktop, &self.laptop);
    }

    pub(crate) fn let_send(&self, sender: &Person, receiver: &Person) {
        let know = |who: &Person, other: &Person, sends: bool| {
            let identity = Identity::load_or_create(&other.home(".config/xfer")).unwrap();
            let mut known = Known::new(other.name, identity.fingerprint());
            (known.may_send, known.may_receive) = (sends, !sends);
            known.may_message = sends;
            let add = |all: &mut Vec<Known>| {
                all.push(known);
                Ok(())
            };
            peers(&who.user).update(add).unwrap();
        };
        know(sender, receiver, false);
        know(receiver, sender, true);
    }

    /// Fails unless these things of the desktop's home, and nothing else, are in a folder.
    #[track_caller]
    pub(crate) fn assert_received(&self, names: &[&str], into: &Path) {
        let expected = tempfile::tempdir().unwrap();
        for name in names {
            let to = expected.path().join(Path::new(name).file_name().unwrap());
            symlink(self.desktop.home(name), to).unwrap();
        }
        let mut there: Vec<_> = entries(into);
        there.retain(|name| name != ".xfer");
        assert_eq!(there, entries(expected.path()));
        for name in there {
            let (sent, received) = (expected.path().join(&name), into.join(&name));
            match sent.is_dir() {
                true => assert_same_tree(sent, received),
                false => assert_eq!(digest_of(&sent), digest_of(&received), "{name}"),
            }
        }
        no_leftovers(into);
    }
}

/// The line of README.md for one of two machines.
pub(crate) fn between_machines(who: &str) -> String {
    let mut lines = Part::of("Send something").lines;
    lines.retain(|line| prompted(line).0 == Some(who));
    lines.remove(0)
}

/// The names in a folder, sorted.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = all
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What changes when anything is done to a file: its number, size, and the times of its content
/// and of itself.
pub(crate) type State = (u64, u64, (i64, i64), (i64, i64));

/// A folder and everything in it, by path.
pub(crate) fn state_of(folder: &Path) -> BTreeMap<PathBuf, State> {
    let mut state = BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let content = (meta.mtime(), meta.mtime_nsec());
        let itself = (meta.ctime(), meta.ctime_nsec());
        state.insert(path, (meta.ino(), meta.len(), content, itself));
    }
    state
}

fn peers(user: &User) -> Peers {
    Peers::in_dir(&user.home().join(".local/share/xfer"))
}

#[track_caller]
fn counted<const N: usize>(all: &[String]) -> [String; N] {
    let counted = all.to_vec().try_into();
    counted.unwrap_or_else(|_| panic!("README.md has other than {N} of these: {all:#?}"))
}

/// The same line for a network without README.md's addresses: they all become that of the receiver.
fn with_address(line: &str, receiver: Option<SocketAddr>) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let replaced = words.iter().enumerate().map(|(n, word)| {
        let bare = word.trim_matches('\'');
        let is_v4 = bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<SocketAddr>().is_ok();
        match (n.checked_sub(1).map(|before| words[before]), receiver) {
            (Some("--listen"), _) => "127.0.0.1:0".to_owned(),
            (_, Some(addr)) if is_v4 || bare.starts_with('[') => addr.to_string(),
            _ => (*word).to_owned(),
        }
    });
    replaced.collect::<Vec<_>>().join(" ")
}

/// What runs a line, with all that the line has started. Killed when dropped.
pub(crate) struct Running<T: Run>(T);

/// A process, or what has one.
pub(crate) trait Run {
    fn leader(&self) -> &Process;
}

impl Run for Process {
    fn leader(&self) -> &Process {
        self
    }
}

impl Run for Terminal {
    fn leader(&self) -> &Process {
        self.process()
    }
}

impl<T: Run> Running<T> {
    fn signal(&self, signal: Signal) {
        // As long as it runs, the group is its own.
        if !self.leader().has_ended() {
            let _ = kill_process_group(self.group(), signal);
        }
    }

    /// The group of processes of which it is the first.
    pub(crate) fn group(&self) -> Pid {
        self.leader().pid()
    }

    /// As Ctrl-C, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(self) -> Output {
        self.signal(Signal::INT);
        self.leader().wait_end()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(self) -> Output {
        self.leader().wait_end()
    }
}

impl<T: Run> Deref for Running<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Run> Drop for Running<T> {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
