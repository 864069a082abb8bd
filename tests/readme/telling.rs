//! The recipes about what is set, and about what is told to people, programs and shells.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::scene::{Scene, between_machines, entries};
use super::support::*;
use super::text::Part;

pub(crate) fn completions_are_printed(scene: &Scene) {
    let [completions] = scene.quoted();
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.part.prose.contains(shell));
        let printed = scene.send(&completions.replace("SHELL", shell));
        printed.assert_says("xfer __complete");
        if shell == "bash" {
            let file = scene.sandbox.path("completions");
            fs::write(&file, &printed.stdout).unwrap();
            let checked = Command::new("bash").arg("-n").arg(&file).status();
            assert!(checked.unwrap().success());
        }
    }
}

pub(crate) fn the_same_each_time(scene: &Scene) {
    let [show, help] = scene.quoted();
    let desktop = &scene.desktop;
    let place = scene.part.quoted();
    let place = place
        .iter()
        .find_map(|text| text.strip_prefix("~/"))
        .unwrap();
    let file = desktop.home(place);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, scene.file()).unwrap();
    let inbox = desktop.home("from-laptop");
    fs::create_dir(&inbox).unwrap();

    let run = |line: &str| {
        let mut command = scene.command(desktop, line);
        command.env_remove("XFER_NAME");
        scene.spawn_command(command)
    };
    let shown = run(&show).end();
    shown.assert_code(0);
    let home = desktop.home("").display().to_string();
    for line in &scene.part.lines {
        let what = line.split("  #").next().unwrap().trim();
        shown.assert_says(&what.replace("~/", &home));
    }
    run(&help).end().assert_code(0).assert_says("XFER_DIR");

    // What the laptop sends goes where its table says, all else where the file says.
    scene.let_send(&scene.laptop, desktop);
    fs::copy(desktop.home("file.iso"), scene.laptop.cwd.join("file.iso")).unwrap();
    let receive = &Part::of("Send something").quoted_commands()[0];
    let send = &between_machines("desktop");
    let mut command = scene.command(desktop, receive);
    command.env_remove("XFER_NAME");
    let _receiver = scene.receive_by(command);
    scene.run(&scene.laptop, send).assert_code(0);
    scene.assert_received(&["file.iso"], &inbox);
    assert_eq!(entries(&desktop.downloads()), [""; 0]);
    scene.send(send);
    scene.assert_received(&["file.iso"], &desktop.downloads());
}

pub(crate) fn a_list_of_sums(scene: &Scene) {
    let [receive, check] = scene.quoted();
    let [several, _] = Part::of("Several things at once").lines.try_into().unwrap();
    scene.pair();
    let receiver = scene.receive(&scene.laptop, &receive);
    scene.send(&several);
    receiver.stop().assert_code(0);
    let checked = scene.run(&scene.laptop, &check);
    checked.assert_code(0);
    let lines = checked.text();
    let right = lines.lines().filter(|line| line.ends_with(": OK")).count();
    assert_eq!(right, 6, "{checked}");
    // And at any later time.
    make_file(scene.laptop.cwd.join("notes.txt"), 99, 1234);
    let checked = scene.run(&scene.laptop, &check);
    checked.assert_code(1).assert_says("notes.txt: FAILED");
}

pub(crate) fn run_something_there(scene: &Scene) {
    let [receive, allow, list, run] = scene.lines();
    let [_, help] = scene.quoted();
    scene.pair();
    let _receiver = scene.receive(&scene.laptop, &receive);
    let refused = scene.run(&scene.desktop, &run);
    refused.assert_code(255).assert_says("peers --allow run");
    scene.run(&scene.laptop, &allow).assert_code(0);
    assert_eq!(scene.send(&list).stdout, b"disk\n");
    scene.send(&run).assert_says("Filesystem");
    scene.send(&help).assert_says("[run.disk]");
}

pub(crate) fn after_each_session(scene: &Scene) {
    let lines: [String; 2] = scene.lines();
    let [several, _] = Part::of("Several things at once").lines.try_into().unwrap();
    scene.pair();
    // What they are given is told, as is what fails.
    for name in ["notify-send", "mail"] {
        scene.program(name, r#"echo "$@" >&2; exit 1"#);
    }
    let words = [" new from desktop", "complete: "];
    for (line, words) in lines.iter().zip(words) {
        let receiver = scene.receive(&scene.laptop, line);
        scene.send(&several);
        receiver.wait_for_text(words);
        receiver.stop().assert_code(0);
        fs::remove_dir_all(scene.laptop.downloads()).unwrap();
        fs::create_dir(scene.laptop.downloads()).unwrap();
    }
}

pub(crate) fn scripts(scene: &Scene) {
    let [send] = scene.lines();
    let found = Command::new("jq")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok(),
        "jq is missing here: a recipe of README.md needs it"
    );
    scene.pair();
    let _receiver = scene.laptop_receives("");
    assert_eq!(scene.send(&send).stdout, b"");
    // One that leads out of the folder is refused.
    symlink("/etc", scene.desktop.home("photos/out")).unwrap();
    assert_eq!(scene.send(&send).stdout, b"photos/out\n");

    let (json, _) = send.split_once(" | ").unwrap();
    let told = scene.run(&scene.desktop, json);
    told.assert_code(3);
    let last: Value = {
        let text = String::from_utf8(told.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    };
    assert_eq!(
        (&last["event"], &last["exit_code"]),
        (&"summary".into(), &3.into())
    );
    let options = scene.part.quoted_options();
    let [quiet, _colours, _bell, json_option] = options.try_into().unwrap();
    let quiet = json.replace(&json_option, &quiet);
    let said = scene.run(&scene.desktop, &quiet).text();
    // One line for what failed; what to do about it comes once, below.
    let failed = said.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(failed.count(), 1, "{said}");
    assert!(said.contains("photos/out"), "{said}");
    fs::remove_file(scene.desktop.home("photos/out")).unwrap();
    assert_eq!(scene.send(&quiet).text(), "");
    for help in scene.part.quoted_commands() {
        scene.send(&help).assert_says("Usage");
    }
}
