//! What a power loss takes, the next run finds and mends.
//!
//! A power loss is played: the receiver is killed before it has brought anything to disk, what it
//! stored is damaged behind its back, and the next one runs on a machine that has just been
//! started, in namespaces with another boot id and a boot time of now. That takes root. Where it
//! cannot be had, the tests say so and pass.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::*;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What may travel beside the content.
const TALK: u64 = 1 << 20;

/// The size of what has only begun to arrive.
const LAST: u64 = 30 * CHUNK;

/// Puts the boot id `$1` in the place of the real one, and becomes the rest.
const REBOOT: &str = r#"mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@""#;

/// The same command on a machine that was started just now.
fn after_reboot(sandbox: &Sandbox, command: &Command) -> Command {
    let id = sandbox.path("boot-id");
    fs::write(&id, "00000000-1111-2222-3333-444444444444\n").unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let seconds = uptime.split('.').next().unwrap();
    let since = format!("--boottime=-{seconds}");
    let args = ["-m", "--time", &since, "sh", "-c", REBOOT, "sh"].map(OsStr::new);
    run_by("unshare", &[&args[..], &[id.as_os_str()]].concat(), command)
}

fn can_reboot(sandbox: &Sandbox) -> bool {
    let what = "no other boot can be played";
    can_run(|command| after_reboot(sandbox, command), what)
}

/// Waits until the clock is past the second in which anything was last changed: a start is known
/// to the second. (It is time itself that is waited for.)
fn let_the_second_pass() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = 1_000_000_000 - now.subsec_nanos();
    std::thread::sleep(Duration::from_nanos(left.into()));
}

/// A receiver that was killed with everything stored and nothing on disk.
struct Loss {
    sandbox: Sandbox,
}

impl Loss {
    /// None where a power loss cannot be played.
    fn new() -> Option<Self> {
        let sandbox = Sandbox::new();
        if !can_reboot(&sandbox) {
            return None;
        }
        for name in ["intact", "zeros", "short", "partly", "gone", "edited"] {
            let seed = name.len() as u64 * 100 + u64::from(name.as_bytes()[0]);
            make_file(sandbox.src().join("dir").join(name), seed, 50_000);
            let large = format!("large {name}");
            make_file(sandbox.src().join("dir").join(large), seed, 2 * CHUNK + 7);
        }
        // Comes last, and does not quite arrive.
        make_file(sandbox.src().join("z"), 7, LAST);
        let recv = sandbox.recv_with(&["-v"]);
        let proxy = Proxy::new(recv.addr());
        let total = 6 * (2 * CHUNK + 50_007);
        proxy.hold_at(total + LAST / 2);
        let sender = sandbox.spawn_send(&[], &proxy.target());
        let loss = Self { sandbox };
        let names = loss.names();
        recv.process().wait_for("all but the last", |output| {
            let text = output.text();
            let stored = |name| text.contains(&format!("dir/{name}\n"));
            names.iter().all(stored).then_some(())
        });
        sender.kill();
        recv.kill();
        assert_eq!(loss.marks().len(), 1);
        Some(loss)
    }

    /// The files that were stored.
    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.sandbox.src().join("dir")).unwrap();
        let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
        files.map(|file| name(file.unwrap())).collect()
    }

    fn dst(&self, name: &str) -> PathBuf {
        self.sandbox.dst().join("dir").join(name)
    }

    fn marks(&self) -> Vec<PathBuf> {
        let marks = fs::read_dir(self.sandbox.dst().join(".xfer/unsynced"));
        let marks = marks.into_iter().flatten();
        marks.map(|mark| mark.unwrap().path()).collect()
    }

    /// Damages what was stored as a power loss can: size and time may be right all the same.
    fn damage(&self) {
        for large in ["", "large "] {
            let file = |name: &str| self.dst(&format!("{large}{name}"));
            keeping_time(&file("zeros"), |path| {
                let len = fs::metadata(path).unwrap().len();
                fs::write(path, vec![0; usize::try_from(len).unwrap()]).unwrap();
            });
            keeping_time(&file("short"), |path| fs::write(path, "").unwrap());
            keeping_time(&file("partly"), |path| {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_all_at(&[0; 4096], 8192).unwrap();
            });
            fs::remove_file(file("gone")).unwrap();
        }
        let_the_second_pass();
    }

    /// A receiver after the power came back.
    fn recv(&self) -> Recv {
        let command = self.sandbox.me().recv_command(&self.sandbox.dst(), &[]);
        Recv::start(after_reboot(&self.sandbox, &command))
    }
}

/// Changes a file, but not its time of modification.
fn keeping_time(path: &Path, change: impl FnOnce(&Path)) {
    let meta = fs::metadata(path).unwrap();
    change(path);
    set_mtime(path, meta.mtime(), meta.mtime_nsec().try_into().unwrap());
}

#[test]
fn another_boot_can_be_played() {
    let sandbox = Sandbox::new();
    if !can_reboot(&sandbox) {
        return;
    }
    let mut cat = Command::new("cat");
    cat.args([BOOT_ID, "/proc/uptime"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = after_reboot(&sandbox, &cat).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (id, uptime) = text.split_once('\n').unwrap();
    assert_ne!(id, fs::read_to_string(BOOT_ID).unwrap().trim());
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(uptime < 60.0, "{uptime}");
}

#[test]
fn what_a_power_loss_damaged_is_mended() {
    let Some(loss) = Loss::new() else { return };
    loss.damage();
    let intact = fs::metadata(loss.dst("large intact")).unwrap().ino();
    let old = loss.marks();

    let recv = loss.recv();
    let proxy = Proxy::new(recv.addr());
    let sent = loss.sandbox.send(&[], &proxy.target());
    sent.assert_code(0);
    assert_same_tree(loss.sandbox.src(), loss.sandbox.dst());
    // What was whole did not travel again, and is the same file as before.
    let up = proxy.passed().0;
    let damaged = 3 * (2 * CHUNK + 7) + CHUNK + 4 * 50_000;
    assert!(up < LAST + damaged + TALK, "{up} bytes");
    assert_eq!(
        fs::metadata(loss.dst("large intact")).unwrap().ino(),
        intact
    );
    // The mark stays, for other files below the same folder that are not sent now.
    assert_eq!(loss.marks(), old);

    // From now on nothing is suspect any more.
    let before = proxy.passed().0;
    let sent = loss.sandbox.send(&[], &proxy.target());
    sent.assert_code(0).assert_says("already");
    let up = proxy.passed().0 - before;
    assert!(up < 100_000, "{up} bytes");
    assert_same_tree(loss.sandbox.src(), loss.sandbox.dst());
    assert_eq!(loss.marks(), old);
}

#[test]
fn what_was_changed_by_its_owner_since_is_left_alone() {
    let Some(loss) = Loss::new() else { return };
    loss.damage();
    // Somebody here has worked with one of them before the next run: it has a time of its own.
    let edited = loss.dst("edited");
    fs::write(&edited, "my own words").unwrap();
    let recv = loss.recv();
    loss.sandbox.send(&[], &recv.target()).assert_code(0);
    assert_eq!(fs::read_to_string(&edited).unwrap(), "my own words");
    assert_eq!(
        digest_of(&loss.dst("edited (2)")),
        digest_of(&loss.sandbox.src().join("dir/edited"))
    );
    assert_eq!(
        digest_of(&loss.dst("zeros")),
        digest_of(&loss.sandbox.src().join("dir/zeros"))
    );
}

#[test]
fn a_crash_without_a_power_loss_leaves_nothing_suspect() {
    let Some(loss) = Loss::new() else { return };
    // The same machine is still up: all was handed to its system, which has it.
    let recv = loss.sandbox.recv();
    let proxy = Proxy::new(recv.addr());
    loss.sandbox.send(&[], &proxy.target()).assert_code(0);
    let up = proxy.passed().0;
    assert!(up < LAST + TALK, "{up} bytes");
    assert_same_tree(loss.sandbox.src(), loss.sandbox.dst());
    no_leftovers(loss.sandbox.dst());
}
