//! How machines pair where there is no terminal: by fingerprints that are brought by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::process::Command;

use support::*;

/// A receiver that is a service: in a session of its own, without a terminal.
struct Service {
    sandbox: Sandbox,
    laptop: User,
    recv: Recv,
}

impl Service {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("file"), 1, 1000);
        let laptop = sandbox.user("laptop");
        let command = laptop.recv_command(&sandbox.dst(), &["--name", "laptop"]);
        let recv = Recv::start(run_by("setsid", &["--wait"].map(OsStr::new), &command));
        Self {
            sandbox,
            laptop,
            recv,
        }
    }

    fn send_command(&self, name: &str) -> Command {
        let sender = self.sandbox.user(name);
        sender.command(&["send", "--name", name, "src/file", &self.recv.target()])
    }
}

fn whole_fingerprint(user: &User) -> String {
    let id = user.run(&["id", "--full"]);
    id.assert_code(0);
    let text = id.text();
    let whole = text.trim();
    assert!(whole.len() == 64 && whole.bytes().all(|b| b.is_ascii_hexdigit()));
    whole.to_owned()
}

#[test]
fn fingerprints_that_are_brought_by_hand_pair_without_any_terminal() {
    let service = Service::new();
    let (laptop, desktop) = (&service.laptop, service.sandbox.user("desktop"));
    let (of_laptop, of_desktop) = (whole_fingerprint(laptop), whole_fingerprint(&desktop));
    let send = || Process::spawn(service.send_command("desktop")).wait();
    // One end alone lets nobody in.
    let to = desktop.run(&[
        "pair",
        "laptop",
        "--fingerprint",
        &of_laptop,
        "--name",
        "desktop",
    ]);
    to.assert_code(0).assert_says(&format!(
        "xfer pair --fingerprint {of_desktop} --from desktop"
    ));
    send().assert_code(4);
    // What it prints is what is to be run on the other machine.
    let from = ["pair", "--fingerprint", &of_desktop, "--from", "desktop"];
    let from = [&from[..], &["--name", "laptop"]].concat();
    laptop
        .run(&from)
        .assert_code(0)
        .assert_says(&format!("xfer pair --fingerprint {of_laptop} laptop"));
    send().assert_code(0);
    assert_same_tree(service.sandbox.src(), service.sandbox.dst());
    laptop.run(&from).assert_code(0);
    let listed = laptop.run(&["peers"]);
    listed
        .assert_says("desktop")
        .assert_says("may send files and messages");
    // Somebody else of that name is not let in, and the way back is its own pairing.
    let stranger = service.sandbox.user("stranger");
    let args = [
        "send",
        "--name",
        "desktop",
        "src/file",
        &service.recv.target(),
    ];
    stranger
        .run(&args)
        .assert_code(4)
        .assert_says("knows another machine by this machine's name");
    let back = desktop.recv(&service.sandbox.folder("back"), &["--name", "desktop"]);
    let args = ["send", "--name", "laptop", "src/file", &back.target()];
    laptop.run(&args).assert_code(4);
}

#[test]
fn what_is_no_whole_fingerprint_of_another_machine_is_refused() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.user("laptop"), sandbox.user("desktop"));
    let whole = whole_fingerprint(&laptop);
    let short = laptop.run(&["id"]).text();
    let short = short.split_whitespace().last().unwrap();
    let pair = |args: &[&str]| desktop.run(&[&["pair", "--fingerprint"], args].concat());
    for wrong in [short, "", &whole[1..], &format!("{}g", &whole[1..])] {
        let refused = pair(&[wrong, "laptop"]);
        refused.assert_code(2).assert_says("xfer id --full");
    }
    pair(&[&whole]).assert_code(2).assert_says("--from NAME");
    for wrong in ["192.168.0.90", "laptop:9090"] {
        let refused = pair(&[&whole, wrong]);
        refused.assert_code(2).assert_says("a name");
    }
    let own = whole_fingerprint(&desktop);
    pair(&[&own, "laptop"])
        .assert_code(1)
        .assert_says("this machine itself");
    // A name stays what it is known by.
    pair(&[&whole, "laptop"]).assert_code(0);
    let third = whole_fingerprint(&sandbox.user("third"));
    pair(&[&third, "laptop"])
        .assert_code(1)
        .assert_says("xfer unpair laptop");
}
