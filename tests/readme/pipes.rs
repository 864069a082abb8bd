//! The recipes about other programs: what they write is sent, and what is received they read.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Pid;

use super::scene::{Scene, THEN, entries, state_of};
use super::sending::send_by_name;
use super::support::*;
use super::text::Part;

/// The most memory that either side may take, in bytes.
const MOST_MEMORY: u64 = 64 << 20;

pub(crate) fn what_another_program_writes(scene: &Scene) {
    let [archive, dump] = scene.lines();
    let_tar_keep_times(scene);
    scene.pair();
    let _receiver = scene.laptop_receives("");
    let downloads = scene.laptop.downloads();
    scene.send(&archive);
    let unpacked = scene.sandbox.folder("unpacked");
    let [name] = entries(&downloads).try_into().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xf")
        .arg(downloads.join(&name))
        .current_dir(&unpacked);
    assert!(tar.status().unwrap().success());
    assert_same_tree(scene.desktop.home("photos"), unpacked.join("photos"));
    fs::remove_file(downloads.join(&name)).unwrap();

    // What is a database elsewhere, and what makes it small.
    scene.program("pg_dump", r#"seq 300000 | sed "s/^/$1 /""#);
    scene.program("zstd", "exec tr 0-9 a-j");
    let dumped = scene.send(&dump);
    assert!(!dumped.text().contains("failed"), "{dumped}");
    let [name] = entries(&downloads).try_into().unwrap();
    let both = scene.run(&scene.desktop, "pg_dump shop | zstd").stdout;
    assert!(both.len() > 3_000_000);
    assert!(fs::read(downloads.join(name)).unwrap() == both);
    // One that fails is noticed.
    scene.program("pg_dump", "echo half; exit 1");
    scene.send(&dump).assert_says("failed");
}

pub(crate) fn for_another_program(scene: &Scene) {
    let [unpack, to_file] = scene.lines();
    let (_, there) = unpack.split_once("# sender: ").unwrap();
    let_tar_keep_times(scene);
    scene.pair();
    let downloads = scene.laptop.downloads();
    let receiver = scene.receive(&scene.laptop, &unpack);
    scene.send(there);
    receiver.end().assert_code(0);
    scene.assert_received(&["photos"], &downloads);
    fs::remove_dir_all(downloads.join("photos")).unwrap();

    let receiver = scene.receive(&scene.laptop, &to_file);
    scene.send(&send_by_name());
    receiver.end().assert_code(0);
    let [name] = entries(&downloads).try_into().unwrap();
    let sent = scene.desktop.home("file.iso");
    assert_eq!(digest_of(&downloads.join(name)), digest_of(&sent));
}

/// Gives the photos times of whole seconds: tar knows no others.
fn let_tar_keep_times(scene: &Scene) {
    for path in state_of(&scene.desktop.home("photos")).into_keys() {
        set_mtime(path, THEN, 0);
    }
}

/// Sends so many bytes from one program to another, and looks at what both sides of xfer take.
pub(crate) fn a_long_stream(len: u64) {
    let scene = Scene::new("For another program to read");
    let (receive, send) = {
        let mut quoted = Part::of("For another program to read").quoted_commands();
        (quoted.remove(0), quoted.remove(0))
    };
    scene.pair();
    // Both wait for a word before their end, so that they can be looked at.
    let fifo = scene.sandbox.path("fifo");
    make_fifo(&fifo);
    let receiver = scene.receive(
        &scene.laptop,
        &format!("{receive} | (cmp -n {len} - /dev/zero && echo all the same; cat)"),
    );
    let word = fifo.display();
    let sender = scene.spawn(
        &scene.desktop,
        &format!("(head -c {len} /dev/zero; cat {word}) | {send} --as zeros laptop"),
    );
    receiver.wait_for_text("all the same");
    for group in [sender.group(), receiver.group()] {
        let peaks = peaks(group);
        assert_eq!(peaks.len(), usize::from(cfg!(target_os = "linux")));
        assert!(peaks.iter().all(|&peak| peak < MOST_MEMORY), "{peaks:?}");
    }
    let mut fifo = fs::File::options().write(true).open(&fifo).unwrap();
    fifo.write_all(b"the end").unwrap();
    drop(fifo);
    sender.end().assert_code(0);
    let received = receiver.end();
    received.assert_code(0);
    assert!(received.stdout.ends_with(b"the end"), "{received}");
    for who in [&scene.laptop, &scene.desktop] {
        let largest = size_of_largest(who.user.home());
        assert!(largest < 4 * CHUNK, "{largest} bytes");
    }
    assert_eq!(entries(&scene.laptop.downloads()), [""; 0]);
}

/// How large the largest file in a folder is.
fn size_of_largest(folder: &Path) -> u64 {
    let files = state_of(folder).into_values();
    files.map(|(_, size, ..)| size).max().unwrap()
}

/// The most memory that each run of the program in a group of processes had so far. None where the
/// system does not say.
fn peaks(group: Pid) -> Vec<u64> {
    let mut peaks = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten() {
        // Others may end at any time.
        let Ok(status) = fs::read_to_string(process.unwrap().path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim()
        };
        let group = group.as_raw_nonzero().to_string();
        if field("Name:") == "xfer" && field("NSpgid:") == group {
            let kib = field("VmHWM:").trim_end_matches(" kB");
            peaks.push(kib.parse::<u64>().unwrap() * 1024);
        }
    }
    peaks
}
