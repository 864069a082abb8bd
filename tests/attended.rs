//! Several receivers of one user on one machine, and how machines pair where there is no terminal:
//! with one elsewhere (`xfer recv --pair`), or by fingerprints that are brought by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
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

    /// A terminal at which somebody sees its codes.
    fn attend(&self) -> Terminal {
        let terminal = Terminal::spawn(self.laptop.command(&["recv", "--pair"]));
        terminal.wait_for("Codes are shown here", 1);
        terminal
    }

    fn send_command(&self, name: &str) -> Command {
        let sender = self.sandbox.user(name);
        sender.command(&["send", "--name", name, "src/file", &self.recv.target()])
    }

    fn sockets(&self) -> PathBuf {
        self.laptop.home().join(".local/share/xfer/receivers")
    }

    /// The one socket that is there.
    fn socket(&self) -> PathBuf {
        let all: Vec<_> = fs::read_dir(self.sockets()).unwrap().collect();
        let [only] = &all[..] else {
            panic!("{all:?}");
        };
        only.as_ref().unwrap().path()
    }
}

#[test]
fn a_service_pairs_with_who_enters_a_code_that_is_shown_elsewhere() {
    let service = Service::new();
    // Nobody sees a code.
    let sent = Process::spawn(service.send_command("desktop")).wait();
    sent.assert_code(4).assert_says("xfer recv --pair");
    let terminal = service.attend();
    let both = service.attend();
    let desktop = Terminal::spawn(service.send_command("desktop"));
    desktop.wait_for("Code on laptop: ", 1);
    let code = terminal.code_for("desktop");
    assert_eq!(both.code_for("desktop"), code);
    let wrong = if code == "111111" { "222222" } else { "111111" };
    desktop.type_line(wrong);
    desktop.wait_for("Wrong code. Check laptop's screen and try again.", 1);
    terminal.wait_for("Wrong code entered on desktop", 1);
    let next = terminal.nth_code(2);
    assert_ne!(next, code);
    // Whoever comes later sees who waits.
    let late = service.attend();
    assert_eq!(late.code_for("desktop"), next);
    desktop.type_line(&next);
    let (exit, screen) = desktop.wait();
    assert_eq!(exit, Some(0), "{screen}");
    assert_same_tree(service.sandbox.src(), service.sandbox.dst());
    for terminal in [terminal, both, late] {
        terminal.wait_for("Paired with desktop", 1);
        terminal.wait_and_stop().assert_code(0);
    }
    // Nobody sees codes any more, and who is paired needs none.
    let sent = Process::spawn(service.send_command("tablet")).wait();
    sent.assert_code(4);
    Process::spawn(service.send_command("desktop"))
        .wait()
        .assert_code(0);
}

#[test]
fn whoever_leaves_the_code_of_a_service_is_told_of() {
    let service = Service::new();
    let terminal = service.attend();
    let desktop = Terminal::spawn(service.send_command("desktop"));
    desktop.wait_for("Code on laptop: ", 1);
    desktop.type_line("");
    assert_eq!(desktop.wait().0, Some(4));
    terminal.wait_for("desktop left without entering the code.", 1);
    // It ends with the receiver.
    service.recv.interrupt().assert_code(0);
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("the receiver on this machine has stopped"));
}

#[test]
fn a_second_receiver_says_that_there_is_a_first() {
    let service = Service::new();
    let elsewhere = service.sandbox.folder("elsewhere");
    let second = |user: &User| {
        let mut command = user.command(&["recv", "--listen", &service.recv.target(), "--dir"]);
        command.arg(&elsewhere);
        Process::spawn(command).wait()
    };
    let into = service.sandbox.dst().canonicalize().unwrap();
    second(&service.laptop)
        .assert_code(1)
        .assert_says("xfer: xfer is already receiving on this machine (process ")
        .assert_says(&format!("into {}", into.display()))
        .assert_says("xfer recv --pair")
        .assert_says("kill ");
    // Another user's is nobody else's business.
    let other = second(&service.sandbox.user("other"));
    other.assert_code(1).assert_says("already in use");
    assert!(!other.text().contains("--pair"), "{other}");
    // One that was killed has left its socket, and is not there.
    let (socket, addr) = (service.socket(), service.recv.target());
    let Service {
        laptop,
        recv,
        sandbox,
    } = service;
    recv.kill();
    drop(sandbox.user("nobody"));
    let attend = Terminal::spawn(laptop.command(&["recv", "--pair"]));
    let (code, screen) = attend.wait();
    assert_eq!(code, Some(1), "{addr}: {screen}");
    assert!(screen.contains("you have no receiver running"), "{screen}");
    assert!(!socket.exists());
}

#[test]
fn of_several_receivers_one_is_chosen_by_its_port() {
    let service = Service::new();
    let dir = service.sandbox.folder("second");
    let second = service.laptop.recv(&dir, &["--name", "laptop"]);
    let attend = Terminal::spawn(service.laptop.command(&["recv", "--pair"]));
    let (code, screen) = attend.wait();
    assert_eq!(code, Some(1), "{screen}");
    let port = second.addr().port().to_string();
    let chosen = format!("xfer recv --pair --listen {port}");
    assert!(screen.contains(&chosen), "{screen}");
    let command = (service.laptop).command(&["recv", "--pair", "--listen", &port]);
    let attend = Terminal::spawn(command);
    attend.wait_for("Codes are shown here", 1);
    let desktop = service.sandbox.user("desktop");
    let pair = ["pair", "--name", "desktop", &second.target()];
    let pairing = Terminal::spawn(desktop.command(&pair));
    pairing.wait_for("Code on laptop: ", 1);
    pairing.type_line(&attend.code());
    assert_eq!(pairing.wait().0, Some(0));
}

#[test]
fn nobody_else_talks_to_a_receiver() {
    let service = Service::new();
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = service.socket();
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!((mode(&service.sockets()), mode(&socket)), (0o700, 0o600));
    // Nonsense, silence and an end harm nothing.
    for bytes in [&b""[..], b"\n", b"\"Codes", b"{}\n", &[b'x'; 100_000]] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard);
        assert_eq!(heard, "");
    }
    let terminal = service.attend();
    terminal.wait_and_stop().assert_code(0);
    // Without a terminal there is nothing to see.
    let unseen = Process::spawn(service.laptop.command(&["recv", "--pair"])).wait();
    unseen.assert_code(2).assert_says("terminal");
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_is_hung_up_on() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can be another user");
    }
    let sandbox = Sandbox::new();
    let laptop = sandbox.user("laptop");
    let chown = |path: PathBuf| {
        let mut command = Command::new("chown");
        command.args(["-R", "65534:65534"]).arg(path);
        assert!(command.status().unwrap().success());
    };
    set_mode(sandbox.src().parent().unwrap(), 0o755);
    chown(laptop.home().to_path_buf());
    chown(sandbox.dst());
    let command = laptop.recv_command(&sandbox.dst(), &[]);
    let args = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(OsStr::new);
    let _recv = Recv::start(run_by("setpriv", &args, &command));
    let sockets = laptop.home().join(".local/share/xfer/receivers");
    let socket = fs::read_dir(sockets)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    // Root may open what it likes, and is not its user.
    let mut stream = UnixStream::connect(socket).unwrap();
    let _ = stream.write_all(b"\"Facts\"\n");
    let mut heard = String::new();
    let _ = stream.read_to_string(&mut heard);
    assert_eq!(heard, "");
    // Nor does root take what a socket of another user says for its own.
    let attend = Terminal::spawn(laptop.command(&["recv", "--pair"]));
    let (code, screen) = attend.wait();
    assert_eq!(code, Some(1), "{screen}");
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
