//! Strangers who ask to be paired with, in numbers: what they can guess, and what they can keep
//! from others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use xfer::model::outcome::{Decline, Role};
use xfer::wire::{Message, Proof, Share};

use crate::client::*;
use crate::support::*;

/// As many wrong codes in a row as there may be.
const MAX_WRONG: usize = 10;

/// A point that is one, of a code that nobody has.
fn point() -> Message {
    let mut point = [0; 32];
    point[0] = 1;
    Message::PairStart(Share(point))
}

/// A receiver in a terminal of its own.
struct Host {
    terminal: Terminal,
    addr: SocketAddr,
}

impl Host {
    fn new(sandbox: &Sandbox) -> Self {
        let laptop = sandbox.user("laptop");
        let command = laptop.recv_command(&sandbox.dst(), &["--name", "laptop"]);
        let terminal = Terminal::spawn(command);
        let addr = wait_for_addr(terminal.process());
        Self { terminal, addr }
    }

    /// A stranger at an address, who says that this is its name; and what it hears.
    fn ask(&self, who: &Who, from: IpAddr, name: &str) -> (Line, Message) {
        let mut line = who.dial_from(from, self.addr);
        line.say(&who.hello_as(&line, Role::Sender, name));
        let Message::Hello(_) = line.hear() else {
            panic!("no greeting");
        };
        let heard = line.hear();
        (line, heard)
    }
}

fn from(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 100, 0, n).into()
}

/// A person who runs `xfer pair`, and types what is shown for them.
fn pairs(sandbox: &Sandbox, host: &Host, name: &str) {
    let target = host.addr.to_string();
    let command = (sandbox.user(name)).command(&["pair", "--name", name, &target]);
    let terminal = Terminal::spawn(command);
    terminal.wait_for("Code on laptop: ", 1);
    terminal.type_line(&host.terminal.code_for(name));
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn a_guesser_with_many_connections_and_keys_has_ten_tries_in_all() {
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox);
    let tries = AtomicUsize::new(0);
    // Each has a key, an address and a code of its own.
    let guess = |n: u8| {
        for key in 0..MAX_WRONG {
            let who = Who::stranger();
            let (mut line, mut heard) = host.ask(&who, from(n), &format!("guesser {n} {key}"));
            while heard != Message::Declined(Decline::Locked) {
                match heard {
                    Message::Pairing(()) | Message::PairWrong(()) => line.say(&point()),
                    Message::PairAnswer(_) => {
                        tries.fetch_add(1, Ordering::Relaxed);
                        line.say(&Message::PairProof(Proof([n; 32])));
                    }
                    other => panic!("{other:?}"),
                }
                let Ok(xfer::wire::Frame::Message(next)) = line.try_hear_for_long() else {
                    break;
                };
                heard = next;
            }
            if heard == Message::Declined(Decline::Locked) {
                return;
            }
        }
        panic!("guesser {n} was never locked out");
    };
    thread::scope(|scope| {
        for n in 1..=6 {
            scope.spawn(move || guess(n));
        }
    });
    assert_eq!(tries.load(Ordering::Relaxed), MAX_WRONG);
    host.terminal.wait_for("10 wrong codes in a row", 1);
    // Until its user says so.
    let (_, heard) = host.ask(&Who::stranger(), from(9), "late");
    assert_eq!(heard, Message::Declined(Decline::Locked));
    host.terminal.type_line("");
    host.terminal.wait_for("New machines can pair again.", 1);
    pairs(&sandbox, &host, "desktop");
}

#[test]
fn strangers_with_a_new_key_each_time_do_not_fill_the_screen() {
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox);
    let mut shown = 0;
    for n in 0..60 {
        let (line, heard) = host.ask(&Who::stranger(), from(1), &format!("flood {n}"));
        match heard {
            Message::Pairing(()) => shown += 1,
            Message::Declined(Decline::Crowded) => {}
            other => panic!("{other:?}"),
        }
        line.close();
    }
    assert!((6..=10).contains(&shown), "{shown}");
    assert_eq!(host.terminal.count_codes(), shown);
    // Those at other addresses are not kept from theirs.
    pairs(&sandbox, &host, "desktop");
    pairs(&sandbox, &host, "tablet");
}

#[test]
fn a_stranger_of_the_same_name_has_another_code() {
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox);
    let target = host.addr.to_string();
    let desktop = sandbox.user("desktop");
    let real = Terminal::spawn(desktop.command(&["pair", "--name", "desktop", &target]));
    real.wait_for("Code on laptop: ", 1);
    let own = host.terminal.code_for("desktop");
    let who = Who::stranger();
    let (mut line, heard) = host.ask(&who, from(1), "desktop");
    assert_eq!(heard, Message::Pairing(()));
    let other = host.terminal.nth_code(2);
    assert_ne!(own, other, "it happens once in a million runs");
    // What is shown says where each of them is.
    host.terminal
        .wait_for("desktop (127.0.0.1) wants to send you files", 1);
    host.terminal
        .wait_for("desktop (127.100.0.1) wants to send you files", 1);
    // The stranger's wrong guess costs the real one nothing but time.
    line.say(&point());
    let Message::PairAnswer(_) = line.hear() else {
        panic!("no answer");
    };
    line.say(&Message::PairProof(Proof([7; 32])));
    assert_eq!(line.hear(), Message::PairWrong(()));
    let wrong = "Wrong code entered on desktop (127.100.0.1)";
    host.terminal.wait_for(wrong, 1);
    real.type_line(&own);
    let (code, screen) = real.wait();
    assert_eq!(code, Some(0), "{screen}");
    line.close();
}

/// What is allowed to a machine is allowed to a name, and the user has seen that name.
#[test]
fn a_code_pairs_no_other_name_than_it_was_shown_with() {
    let sandbox = Sandbox::new();
    let host = Host::new(&sandbox);
    let target = host.addr.to_string();
    // One key, which calls itself this and that.
    let key = sandbox.user("two-faced");
    let pair_as = |name: &str| {
        let terminal = Terminal::spawn(key.command(&["pair", "--name", name, &target]));
        terminal.wait_for("Code on laptop: ", 1);
        terminal
    };
    let _phone = pair_as("phone");
    let shown = host.terminal.code_for("phone");
    let desktop = pair_as("desktop");
    assert_ne!(host.terminal.code_for("desktop"), shown);
    desktop.type_line(&shown);
    desktop.wait_for("Wrong code.", 1);
    host.terminal.nth_code(3);
    desktop.type_line(&host.terminal.code_for("desktop"));
    let (code, screen) = desktop.wait();
    assert_eq!(code, Some(0), "{screen}");
    let laptop = sandbox.user("laptop");
    let peers = String::from_utf8(laptop.run(&["peers"]).stdout).unwrap();
    assert!(
        peers.contains("desktop") && !peers.contains("phone"),
        "{peers}"
    );
    // Where its key has a name already, that is shown.
    let denied = laptop.run(&["peers", "--deny", "files,messages", "desktop"]);
    denied.assert_code(0);
    let phone = pair_as("phone");
    host.terminal.nth_code(4);
    let screen = host.terminal.screen();
    assert_eq!(
        screen.matches("phone (127.0.0.1) wants").count(),
        1,
        "{screen}"
    );
    drop(phone);
}
