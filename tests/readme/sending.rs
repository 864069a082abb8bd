//! The recipes about what is sent, to where, and who may.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use super::scene::{Scene, between_machines, entries};
use super::support::*;
use super::text::{Part, prompted};

/// README.md's way to send one file to a machine that is known by its name.
pub(crate) fn send_by_name() -> String {
    Part::of("Who is known here").lines.remove(0)
}

pub(crate) fn the_first_file(scene: &Scene) {
    let [receive, send, by_name] = scene.lines();
    let desktop = &scene.desktop;
    // On one machine, into the folder for downloads.
    let [receive_here, .., send_here] = &scene.part.quoted_commands()[..] else {
        panic!("no commands for one machine");
    };
    let receiver = scene.receive(desktop, receive_here);
    scene.send(send_here);
    receiver.stop();
    scene.assert_received(&["file.iso"], &desktop.downloads());

    let receiver = scene.receive_in_terminal(&scene.laptop, &receive);
    let sender = scene.spawn_in_terminal(desktop, &send);
    sender.wait_for("Code on laptop: ", 1);
    sender.type_line(&receiver.code());
    sender.end().assert_code(0);
    scene.assert_received(&["file.iso"], &scene.laptop.downloads());
    // From then on it just sends, and the receiver goes on.
    make_file(desktop.home("file.iso"), 9, 100);
    scene.send(&send);
    let stored = entries(&scene.laptop.downloads());
    assert!(
        stored.iter().any(|name| name == "file (2).iso"),
        "{stored:?}"
    );
    scene.send(&by_name).assert_says("to laptop");
    assert!(!receiver.process().has_ended());
}

pub(crate) fn what_arrives(scene: &Scene) {
    let lines: [String; 4] = scene.lines();
    scene.pair();
    for line in &lines {
        let receiver = scene.laptop_receives("");
        scene.send(line);
        receiver.stop();
        let downloads = scene.laptop.downloads();
        let (_, becomes) = line.split_once("# ").unwrap();
        match becomes.strip_prefix("photos/") {
            Some(_) => scene.assert_received(&["photos"], &downloads),
            None => scene.assert_received(
                &[
                    "photos/2024",
                    "photos/a.jpg",
                    "photos/b.jpg",
                    "photos/best",
                    "photos/empty",
                ],
                &downloads,
            ),
        }
        for name in entries(&downloads) {
            let path = downloads.join(name);
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
    }
}

pub(crate) fn what_is_not_there_yet(scene: &Scene) {
    let [send] = scene.quoted();
    scene.pair();
    // Where the laptop was before.
    scene.laptop_receives("").stop();
    let sender = scene.spawn(&scene.desktop, &send);
    sender.wait_for_text("laptop is not there yet");
    let at = format!("--listen {}", scene.address());
    let _receiver = scene.laptop_receives(&at);
    sender.end().assert_code(0);
    scene.assert_received(&["file.iso"], &scene.laptop.downloads());
}

pub(crate) fn several_things(scene: &Scene) {
    let [several, pattern] = scene.lines();
    scene.pair();
    let _receiver = scene.laptop_receives("");
    scene.send(&several);
    let all = ["photos", "notes.txt", "film.mkv"];
    scene.assert_received(&all, &scene.laptop.downloads());
    scene.send(&pattern);
    let all = [&all[..], &["photos/a.jpg", "photos/b.jpg"]].concat();
    scene.assert_received(&all, &scene.laptop.downloads());
}

pub(crate) fn another_name_or_folder(scene: &Scene) {
    let [renamed, into_folder, by_address] = scene.lines();
    scene.pair();
    let _receiver = scene.laptop_receives("");
    scene.send(&renamed);
    let downloads = scene.laptop.downloads();
    assert_same_tree(scene.desktop.home("photos"), downloads.join("holiday"));
    scene.send(&into_folder);
    scene.assert_received(&["film.mkv"], &downloads.join("films/new"));
    scene.send(&by_address);
    let film = |folder: &str| digest_of(&downloads.join(folder).join("film.mkv"));
    assert_eq!(film("films"), film("films/new"));
}

pub(crate) fn ports(scene: &Scene) {
    let [one_port, any_port, to_v4, to_v6] = scene.lines();
    scene.pair();
    for send in [&to_v4, &to_v6] {
        let receiver = scene.receive(&scene.laptop, &one_port);
        scene.send(send);
        receiver.stop();
        scene.assert_received(&["file.iso"], &scene.laptop.downloads());
        fs::remove_file(scene.laptop.downloads().join("file.iso")).unwrap();
    }
    let receivers = [(); 2].map(|()| {
        let receiver = scene.receive(&scene.laptop, &any_port);
        (receiver, scene.address())
    });
    assert_ne!(receivers[0].1, receivers[1].1);
    for (receiver, addr) in receivers {
        scene.laptop_is_at(addr);
        scene.send(&send_by_name());
        receiver.stop().assert_says("file");
    }
}

pub(crate) fn just_one(scene: &Scene) {
    let [receive] = scene.quoted();
    scene.pair();
    let receiver = scene.receive(&scene.laptop, &receive);
    scene.send(&send_by_name());
    receiver.end().assert_code(0);
    // A link that leads out is not stored.
    let receiver = scene.receive(&scene.laptop, &receive);
    let file = scene.desktop.home("file.iso");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc", &file).unwrap();
    let sent = scene.run(&scene.desktop, &send_by_name());
    assert_ne!(sent.code, Some(0));
    assert_eq!(receiver.end().code, sent.code);
}

pub(crate) fn who_is_here(scene: &Scene) {
    let [list, watch] = scene.lines();
    let [_, hidden] = scene.quoted();
    let receiver = scene.receive(&scene.laptop, &hidden);
    assert!(!scene.send(&list).text().contains("laptop"));
    receiver.stop().assert_code(0);
    // tests/finding.rs has networks on which there is something to see.
    scene.send(&list);
    let watching = scene.spawn_in_terminal(&scene.desktop, &watch);
    watching.wait_for("Watching", 1);
    watching.wait_and_stop().assert_code(0);
}

pub(crate) fn who_is_known(scene: &Scene) {
    let [send, pair, list, rename, forget, id] = scene.lines();
    let receiver = scene.receive_in_terminal(&scene.laptop, &between_machines("laptop"));
    let pairing = scene.spawn_in_terminal(&scene.desktop, &pair);
    pairing.wait_for("Code on laptop: ", 1);
    pairing.type_line(&receiver.code());
    pairing.end().assert_code(0);
    assert_eq!(entries(&scene.laptop.downloads()), [""; 0]);
    scene.send(&send);
    scene.assert_received(&["file.iso"], &scene.laptop.downloads());

    let shown = scene.run(&scene.laptop, &id);
    let text = shown.assert_code(0).text();
    let (name, fingerprint) = text.trim().split_once(' ').unwrap();
    let known = scene.send(&list);
    known.assert_says(name).assert_says(fingerprint.trim());
    known.assert_says("receives from here");
    let theirs = scene.run(&scene.laptop, &list);
    theirs
        .assert_code(0)
        .assert_says("may send files and messages here");

    scene.send(&rename).assert_says("Renamed laptop to lap");
    scene.send(&rename.replace("laptop lap", "lap laptop"));
    scene.send(&forget);
    assert!(!scene.send(&list).text().contains(fingerprint.trim()));
    assert_ne!(scene.run(&scene.desktop, &send).code, Some(0));
}

pub(crate) fn something_is_said(scene: &Scene) {
    let [words, piped, asked] = scene.lines();
    scene.pair();
    let receiver = scene.receive_in_terminal(&scene.laptop, "xfer recv");
    scene.send(&words);
    // There is nothing to make, which is something to tell.
    scene.send(&piped);
    let asker = scene.spawn(&scene.desktop, &asked);
    receiver.wait_for("Reply to desktop", 1);
    receiver.type_line("Go on.");
    let answered = asker.end();
    answered.assert_code(0);
    assert_eq!(answered.stdout, b"Go on.\n");
    let shown = receiver.stop().text();
    for words in [
        "desktop: Lunch is ready.",
        "make",
        "desktop: May I restart it?",
    ] {
        assert!(shown.contains(words), "no {words}: {shown}");
    }
}

pub(crate) fn what_each_may_do(scene: &Scene) {
    let [deny, allow] = scene.lines();
    scene.pair();
    let say = "xfer say laptop hello";
    let _receiver = scene.receive(&scene.laptop, &between_machines("laptop"));
    scene.send(say);
    let denied = scene.run(&scene.laptop, &deny);
    denied.assert_code(0).assert_says("may send files here");
    scene.run(&scene.desktop, say).assert_code(4);
    scene.run(&scene.laptop, &allow).assert_code(0);
    scene.send(say);
}

pub(crate) fn each_offer_is_asked_about(scene: &Scene) {
    let [receive] = scene.quoted();
    scene.pair();
    let receiver = scene.receive_in_terminal(&scene.laptop, &receive);
    let send = send_by_name();
    for (answer, code, n) in [("no", 4, 1), ("yes", 0, 2), ("always", 0, 3)] {
        let sender = scene.spawn(&scene.desktop, &send);
        receiver.wait_for("[a]lways", n);
        let screen = receiver.screen();
        for words in ["desktop", "1 file", "2.10 MB", "free"] {
            assert!(screen.contains(words), "no {words}: {screen}");
        }
        receiver.type_line(answer);
        sender.end().assert_code(code);
    }
    scene.assert_received(&["file.iso"], &scene.laptop.downloads());
    scene.send(&send);
    assert_eq!(receiver.screen().matches("[a]lways").count(), 3);
}

pub(crate) fn anyone_may_send(scene: &Scene) {
    let [receive, send] = scene.quoted();
    let _receiver = scene.receive(&scene.laptop, &receive);
    let closed = between_machines("desktop");
    scene.run(&scene.desktop, &closed).assert_code(4);
    let (_, closed) = prompted(&closed);
    let arguments: Vec<_> = closed.split(' ').skip(2).collect();
    scene.send(&format!("{send} {}", arguments.join(" ")));
    scene.assert_received(&["file.iso"], &scene.laptop.downloads());
}

pub(crate) fn not_everything(scene: &Scene) {
    let [excluded, only, ignored] = scene.lines();
    let home = |name: &str| scene.desktop.home(name);
    let make = |names: &[&str]| {
        for (seed, name) in (20..).zip(names) {
            make_file(home(name), seed, 2000);
        }
    };
    make(&[
        "code/main.rs",
        "code/run.log",
        "code/keep.log",
        "code/target/main",
        "code/sub/target/main",
        "code/sub/run.log",
        "code/sub/lib.rs",
        "code/secret.key",
        "projects/one/main.rs",
        "projects/one/build/main",
        "projects/two/notes",
        "projects/two/large",
    ]);
    fs::write(home("code/.xferignore"), "*.key\n").unwrap();
    fs::write(home("projects/one/.gitignore"), "build/\n").unwrap();
    let large = File::options().write(true).open(home("projects/two/large"));
    large.unwrap().set_len(100_000_001).unwrap();
    scene.pair();
    let _receiver = scene.laptop_receives("");

    scene.send(&excluded).assert_says("left out");
    let stay = [
        "run.log",
        "target",
        "sub/target",
        "sub/run.log",
        "secret.key",
    ];
    assert_all_but(scene, "code", &stay);
    let named = scene.send(&format!("{excluded} -v"));
    named.assert_says("secret.key").assert_says("code/target");
    scene.send(&only).assert_says("left out");
    assert_all_but(scene, "photos", &["2024/d.png", "best"]);
    scene.send(&ignored).assert_says("left out");
    assert_all_but(scene, "projects", &["one/build", "two/large"]);
}

/// Fails unless the laptop has all of a folder but these, which the desktop has no more then.
#[track_caller]
fn assert_all_but(scene: &Scene, folder: &str, names: &[&str]) {
    let received = scene.laptop.downloads().join(folder);
    let mut sent = Tree::read(scene.desktop.home(folder));
    let before = sent.0.len();
    sent.0.retain(|path, _| {
        let path = Path::new(std::str::from_utf8(path).unwrap());
        !names.iter().any(|name| path.starts_with(name))
    });
    assert!(sent.0.len() + names.len() <= before);
    let received = Tree::read(received);
    assert_eq!(sent.names(), received.names());
    assert_eq!(sent, received);
}

pub(crate) fn not_at_full_speed(scene: &Scene) {
    let [send] = scene.quoted();
    let rate = send.split_once("--limit ").unwrap().1;
    let megabytes: u64 = rate.split_once("MB/s").unwrap().0.parse().unwrap();
    // One second's worth.
    make_file(scene.desktop.home("film.mkv"), 2, megabytes * 1_000_000);
    scene.pair();
    let _receiver = scene.laptop_receives("");
    let begun = Instant::now();
    scene.send(&send);
    let seconds = begun.elapsed().as_secs_f64();
    assert!(seconds > 0.85, "{seconds} s");
    scene.assert_received(&["film.mkv"], &scene.laptop.downloads());
}
