//! The recipes that change what is there already: by what differs alone, as far as the receiver
//! lets it, and only said before where that is asked for.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;

use serde_json::Value;

use super::scene::{Scene, THEN, entries, state_of};
use super::support::*;
use super::text::Part;

/// What may travel beside chunks and digests: names, handshakes, the borders of messages.
const TALK: u64 = 64 << 10;
/// How long a digest is.
const DIGEST: u64 = 32;

/// A day's changes to what was sent the night before: something is new, something changed in
/// place, something grew, something is gone.
fn a_day_passes(scene: &Scene) {
    let photos = |name: &str| scene.desktop.home("photos").join(name);
    make_file(photos("2025/new.jpg"), 31, 40_000);
    make_file(photos("a.jpg"), 32, 30_000);
    // What is older replaces as well.
    make_file(photos("2024/d.png"), 33, 20_000);
    set_mtime(photos("2024/d.png"), THEN, 0);
    let mut grown = File::options().append(true).open(photos("b.jpg")).unwrap();
    grown.write_all(&bytes(34, 5000)).unwrap();
    fs::remove_file(photos("2024/c.jpg")).unwrap();
}

/// README.md's nightly update.
fn update() -> String {
    Part::of("Only what has changed").lines.remove(0)
}

/// README.md's option that a receiver has to have for an update.
fn may_replace() -> String {
    let options = Part::of("Only what has changed").quoted_options();
    let mut allowing = options.into_iter().filter(|o| o.contains("allow"));
    allowing.next().unwrap()
}

/// README.md's option that a receiver has to have for a mirror.
fn allowed() -> String {
    Part::of("A mirror").quoted_options().remove(0)
}

pub(crate) fn only_what_has_changed(scene: &Scene) {
    let [update] = scene.lines();
    scene.pair();
    // Without leave it is no before anything travels.
    let receiver = scene.laptop_receives("");
    scene.run(&scene.desktop, &update).assert_code(4);
    receiver.stop();
    assert_eq!(entries(&scene.laptop.downloads()), [""; 0]);
    let _receiver = scene.laptop_receives(&may_replace());
    scene.send(&update);
    let photos = scene.desktop.home("photos");
    let received = scene.laptop.downloads().join("photos");
    assert_same_tree(&photos, &received);
    a_day_passes(scene);
    scene.send(&update);
    let mut there = Tree::read(&received);
    assert!(there.0.remove(&b"2024/c.jpg"[..]).is_some());
    assert_eq!(there.names(), Tree::read(&photos).names());
    assert_eq!(there, Tree::read(&photos));
    no_leftovers(&received);
    // Nothing travels, and no file is touched.
    let files = || {
        let mut files = state_of(&received);
        files.retain(|path, _| !path.is_dir());
        files
    };
    let before = files();
    scene.send(&update).assert_says("Nothing to send");
    assert_eq!(files(), before);
}

pub(crate) fn a_mirror(scene: &Scene) {
    let [mirror] = scene.quoted();
    let night = format!("{mirror} photos/ laptop");
    scene.pair();
    let receiver = scene.laptop_receives(&allowed());
    scene.send(&night);
    let photos = scene.desktop.home("photos");
    let received = scene.laptop.downloads().join("photos");
    assert_same_tree(&photos, &received);
    a_day_passes(scene);
    make_file(received.join("2023/theirs/own.jpg"), 40, 100);
    scene.send(&night);
    assert_same_tree(&photos, &received);
    no_leftovers(scene.laptop.downloads());
    // Without leave it is no before anything travels.
    receiver.stop();
    let _receiver = scene.laptop_receives("");
    let before = state_of(&received);
    make_file(photos.join("a.jpg"), 41, 10);
    scene.run(&scene.desktop, &night).assert_code(4);
    assert_eq!(state_of(&received), before);
}

pub(crate) fn a_mirror_that_removes_too_much(scene: &Scene) {
    let [mirror] = scene.lines();
    scene.pair();
    let _receiver = scene.laptop_receives(&allowed());
    scene.send(&mirror);
    let photos = scene.desktop.home("photos");
    let received = scene.laptop.downloads().join("photos");
    assert_same_tree(&photos, &received);
    let before = Tree::read(&received);
    // As where the disk with the photos is not mounted.
    let elsewhere = scene.desktop.home("elsewhere");
    fs::rename(&photos, &elsewhere).unwrap();
    fs::create_dir(&photos).unwrap();
    scene.run(&scene.desktop, &mirror).assert_code(3);
    assert_eq!(Tree::read(&received).names(), before.names());
    fs::remove_dir(&photos).unwrap();
    fs::rename(&elsewhere, &photos).unwrap();
    fs::remove_file(photos.join("2024/c.jpg")).unwrap();
    scene.send(&mirror);
    assert_same_tree(&photos, &received);
}

/// The last line of a run that tells programs what happens.
#[track_caller]
fn summary(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["event"], "summary");
    summary
}

pub(crate) fn what_would_happen(scene: &Scene) {
    let [dry] = scene.lines();
    let dry_run = &Part::of("What would happen?").quoted_options()[0];
    let real = dry.replace(&format!(" {dry_run}"), "");
    assert_ne!(real, dry);
    scene.pair();
    let _receiver = scene.laptop_receives(&allowed());
    let downloads = scene.laptop.downloads();
    // Of what is not there at all, and of what was changed.
    for day in 0..2 {
        let before = state_of(&downloads);
        scene.send(&dry).assert_says("It fits");
        let dry = summary(&scene.send(&format!("{dry} --json")));
        assert_eq!(state_of(&downloads), before);
        let real = summary(&scene.send(&format!("{real} --json")));
        for count in [
            "stored", "have", "failed", "renamed", "replaced", "kept", "removed",
        ] {
            assert_eq!(dry[count], real[count], "{count}: {dry:#} {real:#}");
        }
        assert_eq!(dry["files"], real["files"], "{dry:#} {real:#}");
        assert_eq!(real["removed"], day, "{real:#}");
        assert!(
            dry["bytes"].as_u64() >= real["bytes"].as_u64(),
            "{dry:#} {real:#}"
        );
        assert_same_tree(scene.desktop.home("photos"), downloads.join("photos"));
        if day == 0 {
            a_day_passes(scene);
        }
    }
}

pub(crate) fn what_may_be_replaced(scene: &Scene) {
    let [beside] = scene.quoted();
    let quoted = scene.part.quoted();
    let (command, _) = beside.rsplit_once(' ').unwrap();
    scene.pair();
    let old = scene.laptop.downloads().join("photos/a.jpg");
    let stored_beside = scene.laptop.downloads().join("photos/a (2).jpg");
    for (n, how) in (50..).zip(["beside", "skip", "fail"]) {
        assert!(
            how == "beside" || quoted.iter().any(|word| word == how),
            "{how}"
        );
        make_file(&old, 1, 1000);
        let photo = scene.desktop.home("photos/a.jpg");
        make_file(&photo, n, 2000);
        let receiver = scene.receive(&scene.laptop, &format!("{command} {how}"));
        let sent = scene.run(&scene.desktop, &update());
        receiver.stop();
        sent.assert_code(if how == "fail" { 3 } else { 0 });
        assert_eq!(fs::read(&old).unwrap(), bytes(1, 1000), "{how}");
        match how {
            "beside" => {
                assert_eq!(digest_of(&stored_beside), digest_of(&photo));
                sent.assert_says("exists already");
                fs::remove_file(&stored_beside).unwrap();
            }
            _ => {
                assert!(!stored_beside.exists(), "{how}");
                sent.assert_says("a.jpg");
            }
        }
    }
    // Where nothing is said it replaces nothing either, but where it may.
    let receiver = scene.laptop_receives("");
    scene.run(&scene.desktop, &update()).assert_code(4);
    assert_eq!(fs::read(&old).unwrap(), bytes(1, 1000));
    receiver.stop();
    assert!(quoted.contains(&may_replace()) && quoted.contains(&allowed()));
    let _receiver = scene.laptop_receives(&may_replace());
    scene.send(&update());
    assert_eq!(
        digest_of(&old),
        digest_of(&scene.desktop.home("photos/a.jpg"))
    );
    assert_eq!(entries(&scene.laptop.downloads()), ["photos"]);
}

/// Sends a file, lets it be changed, and sends it as an update. Says how many bytes went over the
/// line for that, both ways.
fn travels_for(len: u64, change: impl FnOnce(&File)) -> u64 {
    let scene = Scene::new("Only what has changed");
    let [update] = scene.quoted();
    let send = format!("{update} large laptop");
    let large = scene.desktop.home("large");
    make_file(&large, 1, len);
    set_mtime(&large, THEN, 0);
    scene.pair();
    let _receiver = scene.laptop_receives(&may_replace());
    scene.send(&send);
    change(&File::options().write(true).open(&large).unwrap());
    let proxy = Proxy::new(scene.address());
    scene.laptop_is_at(proxy.target().parse::<SocketAddr>().unwrap());
    scene.send(&send);
    scene.assert_received(&["large"], &scene.laptop.downloads());
    let (up, down) = proxy.passed();
    up + down
}

pub(crate) fn an_image() {
    const CHUNKS: u64 = 64;
    const CHANGED: [u64; 4] = [0, 20, 41, 63];
    let travelled = travels_for(CHUNKS * CHUNK, |image| {
        for n in CHANGED {
            image
                .write_all_at(&bytes(n + 2, 4096), n * CHUNK + 8192)
                .unwrap();
        }
    });
    let most = CHANGED.len() as u64 * CHUNK + CHUNKS * DIGEST + TALK;
    assert!(travelled <= most, "{travelled} of {most}");
}

pub(crate) fn a_log() {
    const BEFORE: u64 = 20 * CHUNK + 1000;
    const GROWN: u64 = 100_000;
    let travelled = travels_for(BEFORE, |log| {
        let grown = bytes(2, usize::try_from(GROWN).unwrap());
        log.write_all_at(&grown, BEFORE).unwrap();
    });
    // All from the beginning of the chunk that it ended in.
    let most = BEFORE % CHUNK + GROWN + BEFORE / CHUNK * DIGEST + TALK;
    assert!(travelled <= most, "{travelled} of {most}");
}
