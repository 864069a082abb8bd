//! Who is let in: pairing by a code, in real terminals, between people with homes of their own;
//! what happens without a terminal, with a wrong code, and with somebody in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use support::*;
use xfer::net::{Channel, Identity, Reader, Tls, Writer};
use xfer::wire::{Frame, Message, Proof, Share, read_frame, write_message};

/// Two people, a receiver of one in a terminal, and a file for it.
struct Two {
    sandbox: Sandbox,
    laptop: User,
    desktop: User,
    recv: Terminal,
    addr: SocketAddr,
}

impl Two {
    fn new(args: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("file"), 1, 3 * CHUNK);
        let laptop = sandbox.user("laptop");
        let desktop = sandbox.user("desktop");
        let args = [&["--name", "laptop"], args].concat();
        let recv = Terminal::spawn(laptop.recv_command(&sandbox.dst(), &args));
        let addr = wait_for_addr(recv.process());
        Self {
            sandbox,
            laptop,
            desktop,
            recv,
            addr,
        }
    }

    /// Another receiver of the same person, at another address.
    fn again(&mut self, args: &[&str]) {
        let args = [&["--name", "laptop"], args].concat();
        let command = self.laptop.recv_command(&self.sandbox.dst(), &args);
        self.recv = Terminal::spawn(command);
        self.addr = wait_for_addr(self.recv.process());
    }

    fn send_args(&self) -> Vec<String> {
        let file = self.sandbox.src().join("file").display().to_string();
        let target = self.addr.to_string();
        ["send", "--name", "desktop", &file, &target]
            .map(str::to_owned)
            .to_vec()
    }

    /// Sends from a terminal.
    fn send(&self) -> Terminal {
        Terminal::spawn(self.desktop.command(&self.send_args()))
    }

    /// Sends without one.
    fn send_unseen(&self, env: &[(&str, &str)]) -> Output {
        let mut command = self.desktop.command(&self.send_args());
        command.envs(env.iter().copied());
        Process::spawn(command).wait()
    }

    fn pair(&self) {
        let send = self.send();
        let code = self.recv.code();
        send.wait_for("Code on laptop: ", 1);
        send.type_line(&code);
        let (code, screen) = send.wait();
        assert_eq!(code, Some(0), "{screen}");
        assert!(screen.contains(" with laptop"), "{screen}");
        self.recv.wait_for("Paired with desktop", 1);
    }

    fn assert_received(&self) {
        assert_same_tree(self.sandbox.src(), self.sandbox.dst());
    }

    fn assert_nothing_received(&self) {
        let all = fs::read_dir(self.sandbox.dst()).unwrap();
        let names: Vec<_> = all.map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == ".xfer"), "{names:?}");
    }
}

fn peers_file(user: &User) -> PathBuf {
    user.home().join(".local/share/xfer/peers")
}

#[track_caller]
fn assert_knows_nobody(user: &User) {
    let list = fs::read_to_string(peers_file(user)).unwrap_or_default();
    assert!(!list.contains("[[peer]]"), "{list}");
}

#[test]
fn a_code_is_typed_once_and_never_again() {
    let mut two = Two::new(&[]);
    two.pair();
    two.assert_received();
    for _ in 0..2 {
        two.send_unseen(&[]).assert_code(0);
    }
    // At another address it is the same machine.
    two.recv.wait_and_stop();
    two.again(&[]);
    make_file(two.sandbox.src().join("file"), 2, 3 * CHUNK);
    two.send_unseen(&[]).assert_code(0);
    let named = ["send", "--name", "desktop", "src/file", "laptop"];
    two.desktop
        .run(&named)
        .assert_code(0)
        .assert_says("already");

    for (user, name, may) in [
        (&two.laptop, "desktop", "may send files and messages here"),
        (&two.desktop, "laptop", "receives from here"),
    ] {
        let listed = user.run(&["peers"]);
        listed.assert_code(0).assert_says(name).assert_says(may);
        let mode = fs::metadata(peers_file(user)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let other = if name == "desktop" {
            &two.desktop
        } else {
            &two.laptop
        };
        let id = other.run(&["id"]).text();
        let fingerprint = id.split_whitespace().last().unwrap();
        listed.assert_says(fingerprint);
    }
}

#[test]
fn whoever_is_unpaired_needs_a_code_again() {
    let two = Two::new(&[]);
    two.pair();
    two.laptop.run(&["unpair", "nobody"]).assert_code(1);
    for (user, name) in [(&two.laptop, "desktop"), (&two.desktop, "laptop")] {
        user.run(&["unpair", name]).assert_code(0);
        let sent = two.send_unseen(&[]);
        sent.assert_code(4).assert_says("XFER_CODE");
        // The receiver shows a code that lives on for the next attempt.
        let code = two.recv.nth_code(if name == "desktop" { 2 } else { 3 });
        two.recv
            .wait_for("desktop left without entering the code", 1);
        two.send_unseen(&[("XFER_CODE", &code)]).assert_code(0);
    }
    two.assert_received();
}

#[test]
fn two_who_pair_at_once_do_not_take_each_others_code() {
    let two = Two::new(&[]);
    let target = two.addr.to_string();
    let tablet = two.sandbox.user("tablet");
    let desktop = two.send();
    desktop.wait_for("Code on laptop: ", 1);
    let pair = ["pair", "--name", "tablet", &target];
    let other = Terminal::spawn(tablet.command(&pair));
    other.wait_for("Code on laptop: ", 1);
    let (first, second) = (two.recv.code_for("desktop"), two.recv.code_for("tablet"));
    assert_ne!(first, second, "it happens once in a million runs");
    // With the code of the other one, nobody gets in.
    other.type_line(&first);
    other.wait_for("Wrong code. Check laptop's screen and try again.", 1);
    two.recv.wait_for("Wrong code entered on tablet", 1);
    let third = two.recv.nth_code(3);
    assert_eq!(two.recv.code_for("tablet"), third);
    // That has used up nothing of the first one's.
    desktop.type_line(&first);
    let (exit, screen) = desktop.wait();
    assert_eq!(exit, Some(0), "{screen}");
    other.type_line(&third);
    let (exit, screen) = other.wait();
    assert_eq!(exit, Some(0), "{screen}");
    two.recv.wait_for("Paired with tablet", 1);
    two.assert_received();
}

#[test]
fn leaving_the_question_for_the_code_is_no_lost_connection() {
    let two = Two::new(&[]);
    for (n, (keys, wanted)) in [("\n", 4), ("\x04", 4), ("\x03", 130)]
        .into_iter()
        .enumerate()
    {
        let send = two.send();
        send.wait_for("Code on laptop: ", 1);
        send.type_raw(keys);
        let (exit, screen) = send.wait();
        assert_eq!(exit, Some(wanted), "{screen}");
        let plain = without_colours(&screen);
        let (_, said) = plain.split_once("Code on laptop: ").unwrap();
        let said: Vec<_> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let said: Vec<_> = said.into_iter().filter(|line| *line != "^C").collect();
        assert_eq!(said, ["xfer: you did not enter the code from laptop"]);
        if n == 0 {
            two.recv
                .wait_for("desktop left without entering the code.", 1);
        }
    }
    let seen = two.recv.screen();
    assert!(!seen.contains("lost the connection"), "{seen}");
    // Somebody who is killed has left as well.
    let send = two.send();
    send.wait_for("Code on laptop: ", 1);
    drop(send);
    two.recv.wait_and_stop();
    assert!(!two.recv.screen().contains("lost the connection"));
}

#[test]
fn a_question_for_the_code_ends_when_the_receiver_does() {
    let two = Two::new(&[]);
    let send = two.send();
    send.wait_for("Code on laptop: ", 1);
    two.recv.wait_and_stop();
    let (exit, screen) = send.wait();
    assert_ne!(exit, Some(0), "{screen}");
    assert!(screen.contains("laptop"), "{screen}");
}

#[test]
fn pairing_works_without_sending_and_from_a_file() {
    let two = Two::new(&[]);
    let target = two.addr.to_string();
    let pair = ["pair", "--name", "desktop", &target];
    // An empty variable is as good as none.
    let mut command = two.desktop.command(&pair);
    command.env("XFER_CODE", "");
    let output = Process::spawn(command).wait();
    output.assert_code(4).assert_says("--code-file");
    let file = two.sandbox.path("code");
    fs::write(&file, format!("{}\n", two.recv.code())).unwrap();
    let with_file = [&pair[..], &["--code-file", file.to_str().unwrap()]].concat();
    two.desktop
        .run(&with_file)
        .assert_code(0)
        .assert_says("Paired with laptop");
    two.desktop.run(&pair).assert_code(0).assert_says("already");
    two.assert_nothing_received();
    two.send_unseen(&[]).assert_code(0);
    two.assert_received();
    // The way back is another matter.
    let recv = two
        .desktop
        .recv(&two.sandbox.folder("back"), &["--name", "desktop"]);
    let back = ["send", "--name", "laptop", "src/file", &recv.target()];
    two.laptop
        .run(&back)
        .assert_code(4)
        .assert_says("not paired with this machine");
}

/// Another code.
fn wrong(code: &str) -> &'static str {
    if code == "111111" { "222222" } else { "111111" }
}

#[test]
fn a_wrong_code_lets_nobody_in() {
    let two = Two::new(&[]);
    let send = two.send();
    let mut codes = Vec::new();
    for n in 1..=3 {
        // Each attempt has a code of its own, and no more are shown.
        send.wait_for("Code on laptop: ", n);
        let code = two.recv.nth_code(n);
        assert_eq!(two.recv.count_codes(), n);
        send.type_line(wrong(&code));
        codes.push(code);
        two.recv.wait_for("Wrong code entered on desktop", n.min(2));
    }
    let (exit, screen) = send.wait();
    assert_eq!(exit, Some(4), "{screen}");
    let again = "Wrong code. Check laptop's screen and try again.";
    assert_eq!(screen.matches(again).count(), 2, "{screen}");
    assert!(screen.contains("wrong code: laptop"), "{screen}");
    two.recv
        .wait_for("desktop entered a wrong code 3 times.", 1);
    two.assert_nothing_received();
    assert_knows_nobody(&two.desktop);
    assert_knows_nobody(&two.laptop);
    // The old codes have been used up.
    let old = codes.last().unwrap();
    two.send_unseen(&[("XFER_CODE", old)]).assert_code(4);
    // For the next attempt there was another one, and then there is one more.
    codes.extend([two.recv.nth_code(4), two.recv.nth_code(5)]);
    let distinct: std::collections::HashSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len());
    two.send_unseen(&[("XFER_CODE", &codes[4])]).assert_code(0);
    two.assert_received();
}

#[test]
fn without_a_terminal_the_answer_is_no_at_once() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 100);
    let recv = sandbox.recv_with(&["--name", "laptop"]);
    let desktop = sandbox.user("desktop");
    let args = ["send", "src/file", &recv.target()];
    let sent = Process::spawn(desktop.command(&args)).wait();
    sent.assert_code(4).assert_says("terminal");
    let mut command = desktop.command(&args);
    command.env("XFER_CODE", "123456");
    Process::spawn(command).wait().assert_code(4);
    recv.process().wait_for_text("is not paired");
    // What is asked about is declined, even for oneself.
    let recv = sandbox.recv_with(&["--ask"]);
    let sent = sandbox.send(&[], &recv.target());
    sent.assert_code(4).assert_says("nobody is there");
}

#[test]
fn another_key_at_a_known_place_is_an_alarm() {
    let mut two = Two::new(&[]);
    two.pair();
    let addr = two.addr.to_string();
    two.recv.wait_and_stop();
    // Somebody else takes the address, and another one the name.
    let stranger = two.sandbox.user("stranger");
    let dir = two.sandbox.folder("stranger");
    let mut command = stranger.command(&["recv", "--open", "--listen", &addr, "--dir"]);
    command.arg(&dir);
    let recv = Recv::start(command);
    for open in [&[][..], &["--open"]] {
        let args = [&["send", "--name", "desktop"], open, &["src/file", &addr]].concat();
        let sent = two.desktop.run(&args);
        sent.assert_code(4).assert_says("not the laptop you know");
    }
    two.desktop
        .run(&["send", "src/file", "laptop"])
        .assert_code(4);
    drop(recv);
    let recv = stranger.recv(&dir, &["--open", "--name", "laptop"]);
    let args = ["send", "--open", "src/file", &recv.target()];
    two.desktop
        .run(&args)
        .assert_code(4)
        .assert_says("not the laptop you know");
    assert_eq!(
        fs::read_dir(&dir)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name() != ".xfer")
            .count(),
        0
    );
    // A sender with a known name and another key is not even shown a code.
    two.again(&[]);
    let target = two.addr.to_string();
    let sent = stranger.run(&["send", "--name", "desktop", "src/file", &target]);
    sent.assert_code(4).assert_says("by this machine's name");
    assert_eq!(two.recv.count_codes(), 0);
}

#[test]
fn a_damaged_list_is_an_error_and_stays() {
    let two = Two::new(&[]);
    two.pair();
    for user in [&two.laptop, &two.desktop] {
        let file = peers_file(user);
        let good = fs::read(&file).unwrap();
        fs::write(&file, &good[..good.len() - 30]).unwrap();
        user.run(&["peers"])
            .assert_code(1)
            .assert_says("is damaged")
            .assert_says("every other machine has to be paired again");
        assert_ne!(two.send_unseen(&[]).code, Some(0));
        let listen = ["recv", "--listen", "127.0.0.1:0"];
        user.run(&listen).assert_code(1).assert_says("is damaged");
        assert_eq!(fs::read(&file).unwrap(), &good[..good.len() - 30]);
        fs::write(&file, &good).unwrap();
    }
    two.send_unseen(&[]).assert_code(0);
}

#[test]
fn each_offer_is_asked_about() {
    let two = Two::new(&["--ask"]);
    let send = |answer: &str, n: usize| {
        thread::scope(|scope| {
            let sending = scope.spawn(|| two.send_unseen(&[]));
            two.recv.wait_for("[a]lways", n);
            two.recv.type_line(answer);
            sending.join().unwrap()
        })
    };
    // Pairing comes first, and is no answer to the offer.
    two.send_unseen(&[]).assert_code(4);
    let target = two.addr.to_string();
    let mut pair = two.desktop.command(&["pair", "--name", "desktop", &target]);
    pair.env("XFER_CODE", two.recv.code());
    Process::spawn(pair).wait().assert_code(0);
    assert!(!two.recv.screen().contains("[a]lways"));

    // Nobody is asked about what nobody offers any more.
    let args = ["send", "--name", "desktop", "src/file", &target];
    let sender = Process::spawn(two.desktop.command(&args));
    two.recv.wait_for("[a]lways", 1);
    sender.interrupt();
    sender.wait().assert_code(130);
    two.recv.wait_for("Refused 127.0.0.1", 1);
    two.assert_nothing_received();

    send("n", 2)
        .assert_code(4)
        .assert_says("declined the transfer");
    two.assert_nothing_received();
    let screen = two.recv.screen();
    for words in ["1 file", "3.15 MB", "'file'", "free)", "desktop"] {
        assert!(screen.contains(words), "no {words}: {screen}");
    }
    send("y", 3).assert_code(0);
    two.assert_received();
    send("a", 4).assert_code(0);
    two.send_unseen(&[]).assert_code(0);
    two.laptop.run(&["peers"]).assert_says("without a question");
}

/// Passes every message on, between two channels of its own.
fn pass_on(reader: &mut Reader, writer: &mut Writer, seen: impl Fn(&Message)) {
    let mut buffer = Vec::new();
    while let Ok(Frame::Message(message)) = read_frame(reader, &mut buffer) {
        seen(&message);
        let mut bytes = Vec::new();
        write_message(&message, &mut bytes).unwrap();
        if writer
            .write_all(&bytes)
            .and_then(|()| writer.flush())
            .is_err()
        {
            break;
        }
    }
    let _ = writer.finish();
}

#[test]
fn one_in_the_middle_fails_even_with_the_right_code() {
    let two = Two::new(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let middle = listener.local_addr().unwrap();
    let behind = two.addr;
    thread::spawn(move || {
        let tls = Tls::new(&Identity::generate().unwrap()).unwrap();
        let patience = Duration::from_secs(10);
        let sender = tls.accept(listener.accept().unwrap().0, patience).unwrap();
        let receiver = tls
            .connect(TcpStream::connect(behind).unwrap(), patience)
            .unwrap();
        let Channel {
            reader: mut from_sender,
            writer: mut to_sender,
            ..
        } = sender;
        let Channel {
            reader: mut from_receiver,
            writer: mut to_receiver,
            ..
        } = receiver;
        let told = |message: &Message| assert!(!matches!(message, Message::Offer(_)));
        thread::scope(|scope| {
            scope.spawn(|| pass_on(&mut from_sender, &mut to_receiver, told));
            pass_on(&mut from_receiver, &mut to_sender, told);
        });
    });
    let args = ["send", "--name", "desktop", "src/file", &middle.to_string()];
    let send = Terminal::spawn(two.desktop.command(&args));
    let mut codes = 0;
    for n in 1..=3 {
        send.wait_for("Code on laptop: ", n);
        codes += 1;
        send.type_line(&two.recv.nth_code(n));
    }
    assert_eq!(codes, 3);
    let (exit, screen) = send.wait();
    assert_eq!(exit, Some(4), "{screen}");
    let screen = unfolded(&screen);
    assert!(screen.contains("between the two machines"), "{screen}");
    assert!(screen.contains("do not send anything"), "{screen}");
    two.assert_nothing_received();
    assert_knows_nobody(&two.laptop);
    assert_knows_nobody(&two.desktop);
}

/// A stranger who knows the protocol and not the code.
struct Guesser {
    channel: Channel,
}

impl Guesser {
    fn new(addr: SocketAddr) -> Self {
        let tls = Tls::new(&Identity::generate().unwrap()).unwrap();
        let stream = TcpStream::connect(addr).unwrap();
        let channel = tls.connect(stream, Duration::from_secs(20)).unwrap();
        Self { channel }
    }

    fn say(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        write_message(message, &mut bytes).unwrap();
        self.channel.writer.write_all(&bytes).unwrap();
        self.channel.writer.flush().unwrap();
    }

    fn hear(&mut self) -> Message {
        match read_frame(&mut self.channel.reader, &mut Vec::new()).unwrap() {
            Frame::Message(message) => message,
            Frame::Chunk(_) => panic!("a chunk"),
        }
    }

    fn greet(&mut self) -> Message {
        let hello = xfer::wire::Hello {
            preambles: self.channel.preambles,
            role: xfer::model::outcome::Role::Sender,
            name: "guesser".into(),
            open: false,
            prefers: xfer::model::digest::Algorithm::Blake3,
            // It lies.
            known: true,
            asks: false,
        };
        self.say(&Message::Hello(hello));
        let Message::Hello(_) = self.hear() else {
            panic!("no greeting");
        };
        self.hear()
    }
}

#[test]
fn a_guesser_gets_three_tries_one_after_the_other() {
    let two = Two::new(&[]);
    let mut guesser = Guesser::new(two.addr);
    assert_eq!(guesser.greet(), Message::Pairing(()));
    for n in 0..3 {
        // A point that is one.
        let mut point = [0; 32];
        point[0] = 1;
        guesser.say(&Message::PairStart(Share(point)));
        let Message::PairAnswer(_) = guesser.hear() else {
            panic!("no answer to attempt {n}");
        };
        guesser.say(&Message::PairProof(Proof([n; 32])));
        assert_eq!(guesser.hear(), Message::PairWrong(()));
    }
    two.recv.wait_for("entered a wrong code 3 times", 1);
    // An offer in the place of a proof gets nothing either.
    for early in [
        Message::PairProof(Proof([0; 32])),
        Message::Offer(xfer::wire::Offer {
            algorithm: xfer::model::digest::Algorithm::Blake3,
            chunk_size: xfer::model::digest::CHUNK_SIZE,
            lanes: 1,
            wish: xfer::model::outcome::Wish::default(),
            contents: None,
        }),
    ] {
        let mut guesser = Guesser::new(two.addr);
        assert_eq!(guesser.greet(), Message::Pairing(()));
        guesser.say(&early);
        let answer = guesser.hear();
        assert!(matches!(answer, Message::Abort(_)), "{answer:?}");
        assert!(read_frame(&mut guesser.channel.reader, &mut Vec::new()).is_err());
    }
    assert_knows_nobody(&two.laptop);
    two.assert_nothing_received();
    // No more than two from one place can wait at once.
    let mut waiting: Vec<_> = (0..2).map(|_| Guesser::new(two.addr)).collect();
    for guesser in &mut waiting {
        assert_eq!(guesser.greet(), Message::Pairing(()));
    }
    let third = Guesser::new(two.addr).greet();
    assert!(matches!(third, Message::Declined(_)), "{third:?}");
}

#[test]
fn the_code_is_in_no_argument() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    for command in ["send", "pair", "recv"] {
        let help = me.run(&[command, "--help"]).text();
        assert!(!help.contains("--code "), "{help}");
    }
}

#[test]
fn what_was_asked_about_is_the_most_that_is_taken() {
    let two = Two::new(&["--ask"]);
    pair(&two.desktop, "desktop", &two.laptop);
    let tree = two.sandbox.src().join("tree");
    make_file(tree.join("a"), 1, 2);
    make_file(tree.join("b"), 1, 2);
    let target = two.addr.to_string();
    let args = ["send", tree.to_str().unwrap(), &target];
    let received = || {
        let names = Tree::read(two.sandbox.dst()).names();
        names.into_iter().filter(|name| name.starts_with("tree/"))
    };
    // One file that grows while the user reads what it is, and many that come.
    let sender = Process::spawn(two.desktop.command(&args));
    two.recv.wait_for("2 files, 4 B", 1);
    two.recv.wait_for("[a]lways", 1);
    make_file(tree.join("a"), 2, 2000);
    for n in 0..200 {
        make_file(tree.join(format!("new/{n}")), 3, 0);
    }
    two.recv.type_line("y");
    let sent = sender.wait();
    sent.assert_code(3)
        .assert_says("more than the receiver's user agreed to");
    let names: Vec<_> = received().collect();
    assert_eq!(names[..2], ["tree/b", "tree/new"]);
    // As many as were said, and the folder.
    assert_eq!(names.len(), 3, "{names:?}");
    // Asked again, the user hears of all of them.
    let sender = Process::spawn(two.desktop.command(&args));
    two.recv.wait_for("202 files, 2.00 kB", 1);
    two.recv.wait_for("[a]lways", 2);
    two.recv.type_line("y");
    sender.wait().assert_code(0);
    assert_eq!(received().count(), 203);
}

#[test]
fn a_paired_machine_can_be_renamed_and_stays_paired() {
    let two = Two::new(&[]);
    two.pair();
    let peers = |user: &User, args: &[&str]| user.run(&[&["peers"], args].concat());
    let allow = ["--allow", "run", "desktop"];
    peers(&two.laptop, &allow)
        .assert_code(0)
        .assert_says("desktop may now run commands on this machine.");
    peers(&two.laptop, &allow)
        .assert_code(0)
        .assert_says("Nothing changed: desktop may already run commands");
    // The one that only receives: there is nothing to take back.
    peers(&two.desktop, &["--deny", "files,run", "laptop"])
        .assert_code(0)
        .assert_says("Nothing changed: laptop only receives from this machine.")
        .assert_says("xfer unpair laptop");

    let list = |user| xfer::net::Peers::in_dir(peers_file(user).parent().unwrap()).list();
    let config = two.desktop.home().join(".config/xfer/config.toml");
    fs::write(&config, "[peer.laptop]\nmay-update = false\n").unwrap();
    let before = list(&two.desktop).unwrap();
    let renamed = peers(&two.desktop, &["--rename", "laptop", "Anna's lap"]);
    renamed
        .assert_code(0)
        .assert_says("Renamed laptop to Anna's lap")
        .assert_says("rename [peer.laptop] to [peer.\"Anna's lap\"]");
    let after = list(&two.desktop).unwrap();
    let mut expected = before;
    expected[0].name = "Anna's lap".to_owned();
    // By that its receiver is told from others that have its key.
    expected[0].announced = Some("laptop".to_owned());
    assert_eq!(after, expected);
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text, "[peer.laptop]\nmay-update = false\n");

    // It is found by the new name, in both directions, whatever it calls itself.
    let file = two.sandbox.src().join("file").display().to_string();
    let sent = two
        .desktop
        .send(&["--name", "desktop", &file, "Anna's lap"]);
    sent.assert_code(0);
    two.assert_received();
    let id = two.desktop.run(&["id"]).text();
    let fingerprint = id.split_whitespace().last().unwrap();
    peers(&two.laptop, &["--rename", fingerprint, "d"]).assert_code(0);
    make_file(two.sandbox.src().join("file"), 2, CHUNK);
    two.send_unseen(&[]).assert_code(0);
    two.recv.process().wait_for_text(" from d into ");
    peers(&two.laptop, &["d"]).assert_says("and run commands here");
}

#[test]
fn a_machine_gets_no_name_that_is_taken_or_that_nobody_could_type() {
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let dir = me.home().join(".local/share/xfer");
    let names = ["Desk", "laptop", &"n".repeat(32), &"\u{65e5}".repeat(8)];
    let known = |(n, name): (usize, &&str)| {
        xfer::net::Known::new(name, xfer::net::Fingerprint([u8::try_from(n).unwrap(); 32]))
    };
    let all: Vec<_> = names.iter().enumerate().map(known).collect();
    let peers = xfer::net::Peers::in_dir(&dir);
    let add = |list: &mut Vec<_>| {
        list.extend(all.iter().cloned());
        Ok(())
    };
    peers.update(add).unwrap();
    let fingerprint = all[0].fingerprint.to_string();
    let rename = |old: &str, new: &str| me.run(&["peers", "--rename", old, new]);
    for (old, new, code, words) in [
        (
            "laptop",
            "desk",
            1,
            "another paired machine is called 'Desk'",
        ),
        (
            "laptop",
            &fingerprint,
            1,
            "another paired machine is called 'Desk'",
        ),
        ("nobody", "a", 1, "no paired machine is called 'nobody'"),
        ("laptop", "", 2, "invalid name '': a name cannot be empty"),
        ("laptop", " a", 2, "cannot begin or end with a space"),
        ("laptop", "a\u{200b}", 2, "invisible characters"),
        ("laptop", "10.0.0.1", 2, "invalid name '10.0.0.1'"),
        ("laptop", "a:9090", 2, "invalid name 'a:9090'"),
        ("laptop", "a\x1b", 2, "control characters"),
        ("laptop", &"a".repeat(65), 2, "at most 64 bytes"),
    ] {
        rename(old, new).assert_code(code).assert_says(words);
        assert_eq!(peers.list().unwrap(), all, "{old} {new}");
    }
    rename("laptop", "laptop").assert_says("Nothing changed");
    me.run(&["peers", "--rename", "laptop"]).assert_code(2);
    me.run(&["peers", "--rename", "laptop", "a", "b"])
        .assert_code(2);
    // Another case is no other machine.
    rename("Desk", "desk").assert_code(0);

    // The fingerprints stand below each other.
    let listed = me.run(&["peers"]).text();
    let rows: Vec<_> = listed.lines().filter(|row| !row.starts_with(' ')).collect();
    assert_eq!(rows.len(), names.len(), "{listed}");
    for row in rows {
        let (name, print) = row.rsplit_once(' ').unwrap();
        let columns: usize = name.chars().map(|c| 1 + usize::from(!c.is_ascii())).sum();
        assert_eq!(columns, 33, "{listed}");
        assert!(print.len() > 10, "{listed}");
    }
}
