//! A folder that several users of one machine receive into, or write into as they like: each
//! keeps what is theirs, nobody keeps another out, and nobody prepares what another one would take
//! for its own.
//!
//! It takes root to be several users. Without, the tests say so and pass.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::*;
use xfer::model::digest::sha256;
use xfer::model::relpath::RelPath;
use xfer::net::Identity;

const ANNA: u32 = 12_345;
const BERT: u32 = 12_346;

/// Users of one machine, and a folder of theirs.
struct Machine {
    sandbox: Sandbox,
    program: PathBuf,
}

impl Machine {
    /// One whose folder has a mode; none where nobody can become another user.
    fn new(mode: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("it takes root to be another user");
            return None;
        }
        let sandbox = Sandbox::new();
        set_mode(sandbox.path(""), 0o755);
        set_mode(sandbox.dst(), mode);
        // Others may not reach where it was built.
        let program = sandbox.path("xfer");
        let built = sandbox.me().command::<&str>(&[]);
        fs::copy(built.get_program(), &program).unwrap();
        Some(Self { sandbox, program })
    }

    fn by(&self, user: u32, command: &Command) -> Command {
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        let args = [&user, &group, "--clear-groups"].map(OsStr::new);
        let mut own = Command::new(&self.program);
        own.args(command.get_args()).env_clear();
        let envs = command.get_envs();
        own.envs(envs.filter_map(|(name, value)| Some((name, value?))));
        own.current_dir(self.sandbox.path(""));
        run_by("setpriv", &args, &own)
    }

    /// Somebody with this number; what is in their home is theirs.
    fn user(&self, number: u32) -> User {
        let user = self.sandbox.user(&number.to_string());
        chown(user.home(), Some(number), Some(number)).unwrap();
        user
    }

    fn recv_command(&self, user: u32) -> Command {
        let command = self.user(user).recv_command(&self.dst(), &["--open"]);
        self.by(user, &command)
    }

    /// A user's receiver into the folder of all.
    fn recv(&self, user: u32) -> Recv {
        Recv::start(self.recv_command(user))
    }

    /// Sends everything, as root with a key of its own.
    fn send(&self, target: &str) -> Output {
        self.spawn_send(target, &[]).wait()
    }

    fn spawn_send(&self, target: &str, args: &[&str]) -> Process {
        let all = fs::read_dir(self.sandbox.src()).unwrap();
        let mut paths: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut all: Vec<PathBuf> = ["--open"].iter().chain(args).map(PathBuf::from).collect();
        all.append(&mut paths);
        all.push(target.into());
        self.sandbox.user("sender").spawn_send(&all)
    }

    fn src(&self, name: &str) -> PathBuf {
        self.sandbox.src().join(name)
    }

    fn dst(&self) -> PathBuf {
        self.sandbox.dst()
    }

    /// The name of the partial of what the sender calls `path`, where nobody is in the way.
    fn partial(&self, path: &str) -> String {
        let config = self.sandbox.user("sender").home().join(".config/xfer");
        let key = Identity::load_or_create(&config).unwrap().fingerprint();
        let path = RelPath::new(path).unwrap();
        let id = sha256(&[b"xfer partial\0", &key.0, path.as_bytes()]);
        format!(".xfer-{}.partial", &id.to_string()[..32])
    }
}

/// Gives everything in a folder to a user.
fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

/// What has a name, as it is: whose, its mode, and what is in it.
fn what_is(path: &Path) -> (u32, u32, u64, Vec<u8>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = match meta.is_file() {
        true => fs::read(path).unwrap(),
        false => Vec::new(),
    };
    (meta.uid(), meta.mode(), meta.ino(), content)
}

/// Leaves a transfer unfinished, of a user who receives.
fn leave_unfinished(machine: &Machine, user: u32) {
    let recv = machine.recv(user);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(6 * CHUNK);
    let sender = machine.spawn_send(&proxy.target(), &["--retry", "0"]);
    proxy.wait_for_up(6 * CHUNK);
    sender.kill();
    proxy.release();
    recv.interrupt();
}

#[test]
fn what_one_user_left_unfinished_keeps_nobody_out() {
    let Some(machine) = Machine::new(0o1777) else {
        return;
    };
    make_file(machine.src("large"), 1, 8 * CHUNK);
    set_mode(machine.src("large"), 0o600);
    leave_unfinished(&machine, ANNA);
    let state = machine.dst().join(".xfer");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    let partial = machine.dst().join(machine.partial("large"));
    let left = what_is(&partial);
    assert_eq!((left.0, left.1 & 0o777), (ANNA, 0o600));

    // Another user, and root, receive the same there, and leave alone what is hers.
    for user in [BERT, 0] {
        leave_unfinished(&machine, user);
        let own = machine.dst().join(format!(".xfer-{user}"));
        assert_eq!(what_is(&own).0, user);
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        let recv = machine.recv(user);
        let proxy = Proxy::new(recv.addr());
        machine.send(&proxy.target()).assert_code(0);
        // What it had was gone on with.
        assert!(proxy.passed().0 < 7 * CHUNK, "{:?}", proxy.passed());
        recv.interrupt().assert_code(0);
        assert!(!own.exists());
        let stored = machine.dst().join("large");
        assert_eq!(digest_of(&stored), digest_of(&machine.src("large")));
        let is = fs::metadata(&stored).unwrap();
        assert_eq!((is.uid(), is.mode() & 0o777), (user, 0o600));
        fs::remove_file(stored).unwrap();
        assert_eq!(what_is(&partial), left);
    }

    // And hers is gone on with.
    let recv = machine.recv(ANNA);
    let proxy = Proxy::new(recv.addr());
    machine.send(&proxy.target()).assert_code(0);
    assert!(proxy.passed().0 < 7 * CHUNK, "{:?}", proxy.passed());
    recv.interrupt().assert_code(0);
    assert_same_tree(machine.sandbox.src(), machine.dst());
    no_leftovers(machine.dst());
}

/// Waits until something has a name. Nothing says when that is, so it looks.
#[track_caller]
fn wait_until_there(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while fs::symlink_metadata(path).is_err() {
        assert!(Instant::now() < end, "{} does not come", path.display());
        thread::sleep(Duration::from_millis(2));
    }
}

/// What another user may prepare under the name of a partial.
fn prepare(path: &Path, how: &str, elsewhere: &Path) {
    match how {
        "file" => fs::write(path, b"theirs").unwrap(),
        "link" => symlink(elsewhere, path).unwrap(),
        "second name" => fs::hard_link(elsewhere, path).unwrap(),
        "fifo" => make_fifo(path),
        "folder" => fs::create_dir(path).unwrap(),
        _ => panic!("{how}"),
    }
    give(path, BERT);
    if how == "file" {
        set_mode(path, 0o666);
    }
}

#[test]
fn a_partial_that_another_user_made_is_not_used() {
    for user in [ANNA, 0] {
        for how in ["file", "link", "second name", "fifo", "folder"] {
            let Some(machine) = Machine::new(0o1777) else {
                return;
            };
            make_file(machine.src("secret"), 1, 3 * CHUNK + 7);
            set_mode(machine.src("secret"), 0o600);
            let theirs = machine.dst().join(machine.partial("secret"));
            let elsewhere = machine.sandbox.path("elsewhere");
            fs::write(&elsewhere, b"theirs").unwrap();
            prepare(&theirs, how, &elsewhere);
            let before = (what_is(&theirs), what_is(&elsewhere));
            let recv = machine.recv(user);
            machine.send(&recv.target()).assert_code(0);
            recv.interrupt().assert_code(0);
            assert_eq!((what_is(&theirs), what_is(&elsewhere)), before, "{how}");
            let stored = machine.dst().join("secret");
            assert_eq!(digest_of(&stored), digest_of(&machine.src("secret")));
            let is = fs::metadata(&stored).unwrap();
            assert_eq!((is.uid(), is.mode() & 0o777), (user, 0o600), "{how}");
        }
    }
}

#[test]
fn a_file_whose_every_partial_is_another_users_fails_and_says_whose() {
    let Some(machine) = Machine::new(0o1777) else {
        return;
    };
    make_file(machine.src("secret"), 1, 3 * CHUNK);
    make_file(machine.src("other"), 2, 3 * CHUNK);
    let config = machine.sandbox.user("sender").home().join(".config/xfer");
    let key = Identity::load_or_create(&config).unwrap().fingerprint();
    let start = b"xfer partial of a user\0";
    let second = sha256(&[start, &ANNA.to_le_bytes(), &key.0, b"secret"]);
    let second = format!(".xfer-{}.partial", &second.to_string()[..32]);
    for name in [machine.partial("secret"), second] {
        prepare(&machine.dst().join(name), "file", Path::new(""));
    }
    let recv = machine.recv(ANNA);
    let sent = machine.send(&recv.target());
    sent.assert_code(3)
        .assert_says("belongs to another user (id 12346)");
    recv.interrupt();
    assert!(machine.dst().join("other").exists());
    assert!(!machine.dst().join("secret").exists());
}

#[test]
fn a_partial_that_others_could_write_to_is_made_anew() {
    let Some(machine) = Machine::new(0o755) else {
        return;
    };
    chown(machine.dst(), Some(ANNA), Some(ANNA)).unwrap();
    make_file(machine.src("secret"), 1, 6 * CHUNK);
    set_mode(machine.src("secret"), 0o600);
    leave_unfinished(&machine, ANNA);
    let partial = machine.dst().join(machine.partial("secret"));
    set_mode(&partial, 0o666);
    let held_open = fs::File::options().read(true).open(&partial).unwrap();
    let recv = machine.recv(ANNA);
    machine.send(&recv.target()).assert_code(0);
    recv.interrupt().assert_code(0);
    let stored = machine.dst().join("secret");
    assert_eq!(digest_of(&stored), digest_of(&machine.src("secret")));
    let inode = |meta: fs::Metadata| meta.ino();
    let is = inode(fs::metadata(stored).unwrap());
    assert_ne!(is, inode(held_open.metadata().unwrap()));
}

#[test]
fn a_state_folder_that_another_user_made_is_not_used() {
    for user in [ANNA, 0] {
        for what in ["folder", "link", "file", "fifo"] {
            let Some(machine) = Machine::new(0o1777) else {
                return;
            };
            make_file(machine.src("dir/large"), 1, 2 * CHUNK);
            make_file(machine.src("small"), 2, 100);
            let state = machine.dst().join(".xfer");
            let theirs = machine.sandbox.path("theirs");
            let in_it = match what {
                "folder" => &state,
                _ => &theirs,
            };
            for sub in ["partials", "unsynced"] {
                fs::create_dir_all(in_it.join(sub)).unwrap();
                set_mode(in_it.join(sub), 0o777);
                make_fifo(in_it.join(sub).join("fifo"));
            }
            set_mode(in_it, 0o777);
            match what {
                "link" => symlink(&theirs, &state).unwrap(),
                "file" => fs::write(&state, "").unwrap(),
                "fifo" => make_fifo(&state),
                _ => {}
            }
            give(in_it, BERT);
            give(&state, BERT);
            let before = Tree::read(in_it).names();
            let recv = machine.recv(user);
            let proxy = Proxy::new(recv.addr());
            proxy.hold_at(CHUNK);
            let sender = machine.spawn_send(&proxy.target(), &[]);
            proxy.wait_for_up(CHUNK);
            assert_eq!(Tree::read(in_it).names(), before, "{what}");
            proxy.release();
            sender.wait().assert_code(0);
            recv.interrupt().assert_code(0);
            assert_eq!(Tree::read(in_it).names(), before, "{what}");
            let stored = machine.dst().join("dir/large");
            assert_eq!(digest_of(&stored), digest_of(&machine.src("dir/large")));
            assert!(!machine.dst().join(format!(".xfer-{user}")).exists());
        }
    }
}

#[test]
fn where_no_state_folder_can_be_had_it_is_said_whose_they_are() {
    let Some(machine) = Machine::new(0o1777) else {
        return;
    };
    for name in [".xfer".to_owned(), format!(".xfer-{ANNA}")] {
        fs::create_dir(machine.dst().join(&name)).unwrap();
        give(&machine.dst().join(name), BERT);
    }
    let recv = Process::spawn(machine.recv_command(ANNA)).wait();
    recv.assert_code(1)
        .assert_says(".xfer-12345")
        .assert_says("belongs to another user (id 12346)");
}

#[test]
fn what_another_user_puts_in_the_place_of_a_partial_gets_no_name() {
    // Others may rename everything in it.
    let Some(machine) = Machine::new(0o777) else {
        return;
    };
    make_file(machine.src("secret"), 1, 6 * CHUNK);
    let recv = machine.recv(ANNA);
    let proxy = Proxy::new(recv.addr());
    proxy.hold_at(3 * CHUNK);
    let sender = machine.spawn_send(&proxy.target(), &["--retry", "0"]);
    proxy.wait_for_up(3 * CHUNK);
    let partial = machine.dst().join(machine.partial("secret"));
    wait_until_there(&partial);
    fs::remove_file(&partial).unwrap();
    prepare(&partial, "file", Path::new(""));
    fs::rename(machine.dst().join(".xfer"), machine.dst().join("away")).unwrap();
    proxy.release();
    let sent = sender.wait();
    recv.interrupt();
    assert_ne!(sent.code, Some(0), "{sent}");
    assert!(!machine.dst().join("secret").exists());
    // Sent again, it arrives.
    let recv = machine.recv(ANNA);
    machine.send(&recv.target()).assert_code(0);
    let stored = machine.dst().join("secret");
    assert_eq!(digest_of(&stored), digest_of(&machine.src("secret")));
    assert_eq!(what_is(&stored).0, ANNA);
}

#[test]
fn a_mirror_keeps_what_xfer_keeps_for_any_user() {
    let Some(machine) = Machine::new(0o1777) else {
        return;
    };
    make_file(machine.src("tree/a"), 1, 100);
    let tree = machine.dst().join("tree");
    fs::create_dir_all(tree.join(".xfer-12346/partials")).unwrap();
    fs::write(tree.join("surplus"), "").unwrap();
    let me = machine.sandbox.me();
    let recv = me.recv(&machine.dst(), &["--allow-mirror"]);
    let path = machine.src("tree");
    let args = ["--mirror", path.to_str().unwrap(), &recv.target()];
    me.send(&args).assert_code(0);
    assert!(!tree.join("surplus").exists());
    assert!(tree.join(".xfer-12346/partials").exists());
    // Nor is it sent.
    fs::create_dir(path.join(".xfer-99")).unwrap();
    me.send(&args).assert_code(0);
    assert!(!tree.join(".xfer-99").exists());
}

/// Has another user lock a folder until this is dropped. Where `gone`, the process that did so has
/// ended since.
struct ForeignLock(std::process::Child);

impl ForeignLock {
    fn new(folder: &Path, how: &str, gone: bool) -> Self {
        let wait = "echo locked; read end";
        let script = match gone {
            true => format!("exec 3<\"$0\"; flock {how} 3; {wait}"),
            false => format!("exec flock -F {how} \"$0\" sh -c '{wait}'"),
        };
        let (user, group) = (format!("--reuid={BERT}"), format!("--regid={BERT}"));
        let mut command = Command::new("setpriv");
        command.args([&user, &group, "--clear-groups", "sh", "-c", &script]);
        command.arg(folder).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        assert_eq!(said, "locked\n");
        Self(child)
    }
}

impl Drop for ForeignLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_another_user_locks_stops_nobody() {
    for gone in [false, true] {
        let Some(machine) = Machine::new(0o1777) else {
            return;
        };
        let start = Instant::now();
        make_file(machine.src("tree/sub/a"), 1, 100);
        let tree = machine.dst().join("tree");
        let lock = ForeignLock::new(&machine.dst(), "-x", gone);
        let recv = machine.recv(ANNA);
        machine.send(&recv.target()).assert_code(0);
        recv.interrupt().assert_code(0);
        assert_same_tree(machine.sandbox.src(), machine.dst());
        drop(lock);
        // Nothing is removed where they are, and that is said.
        make_file(machine.src("tree/new"), 2, 100);
        fs::write(tree.join("surplus"), "").unwrap();
        fs::write(tree.join("sub/surplus"), "").unwrap();
        let me = machine.sandbox.me();
        let recv = me.recv(&machine.dst(), &["--allow-mirror"]);
        let path = machine.src("tree");
        let mirror = || me.send(&["--mirror", path.to_str().unwrap(), &recv.target()]);
        for locked in ["tree", "tree/sub"] {
            let folder = machine.dst().join(locked);
            let _lock = ForeignLock::new(&folder, "-s", gone);
            fs::write(tree.join("surplus"), "").unwrap();
            fs::write(tree.join("sub/surplus"), "").unwrap();
            let sent = mirror();
            sent.assert_code(3).assert_says("1 deleted");
            sent.assert_says(&format!(
                "{locked}: could not delete everything in it: another transfer stores into \
                 it, or another program has locked it"
            ));
            assert!(folder.join("surplus").exists());
        }
        mirror().assert_code(0);
        assert_same_tree(machine.sandbox.src(), machine.dst());
        assert!(start.elapsed() < Duration::from_secs(30), "it waited");
    }
}

/// A file system that gives everything to one user, whoever makes it.
struct Mount {
    at: PathBuf,
    device: Option<String>,
}

impl Mount {
    fn exfat(machine: &Machine, user: u32) -> Option<Self> {
        let image = machine.sandbox.path("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.exfat", &[image.as_os_str()])?;
        let device = run("losetup", &["-f", "--show", image.to_str()?])?;
        let device = device.trim().to_owned();
        let options = format!("uid={user},gid={user},umask=000,allow_other");
        let at = machine.dst();
        let mount = Self {
            at: at.clone(),
            device: Some(device.clone()),
        };
        run("mount.exfat-fuse", &["-o", &options, &device, at.to_str()?])?;
        Some(mount)
    }

    fn bindfs(machine: &Machine, user: u32) -> Option<Self> {
        let (below, at) = (machine.sandbox.folder("below"), machine.dst());
        let user = user.to_string();
        let options = ["-u", &user, "-o", "allow_other"];
        let folders = [below.to_str()?, at.to_str()?];
        run("bindfs", &[&options[..], &folders].concat())?;
        Some(Self { at, device: None })
    }
}

/// What a program says that runs to its end, and well.
fn run<A: AsRef<OsStr>>(program: &str, args: &[A]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(said)
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[OsStr::new("-l"), self.at.as_os_str()]);
        if let Some(device) = &self.device {
            run("losetup", &["-d", device]);
        }
    }
}

#[test]
fn where_everything_belongs_to_one_user_others_receive_as_well() {
    for which in ["exfat", "bindfs"] {
        let user = 0;
        let Some(machine) = Machine::new(0o777) else {
            return;
        };
        let mounted = match which {
            "exfat" => Mount::exfat(&machine, BERT),
            _ => Mount::bindfs(&machine, BERT),
        };
        let Some(_mount) = mounted else {
            skip(&format!("no {which} can be mounted here"));
            continue;
        };
        make_file(machine.src("large"), 1, 8 * CHUNK);
        make_file(machine.src("small"), 2, 100);
        leave_unfinished(&machine, user);
        assert!(machine.dst().join(".xfer").exists());
        let recv = machine.recv(user);
        let proxy = Proxy::new(recv.addr());
        machine.send(&proxy.target()).assert_code(0);
        assert!(
            proxy.passed().0 < 7 * CHUNK,
            "{which}: {:?}",
            proxy.passed()
        );
        recv.interrupt().assert_code(0);
        for name in ["large", "small"] {
            let stored = digest_of(&machine.dst().join(name));
            assert_eq!(stored, digest_of(&machine.src(name)));
        }
        assert!(!machine.dst().join(".xfer").exists());
        assert!(!machine.dst().join(".xfer-0").exists());
    }
}
