//! From a name, or a host's several addresses, to the machine that is meant: wherever it is now,
//! whoever else is where it was, and however little of the network answers.
//!
//! Each machine is a network namespace on a switch, which only root can make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::lan::{Family, Host, Lan};
use support::*;

/// A desktop that sends, and a laptop that receives; the two know each other.
struct Office {
    lan: Lan,
    sandbox: Sandbox,
    desktop: Host,
    laptop: Host,
}

impl Office {
    #[track_caller]
    fn new() -> Option<Self> {
        let lan = Lan::new()?;
        let sandbox = Sandbox::new();
        make_file(sandbox.src().join("file"), 1, 100_000);
        pair(&sandbox.user("desktop"), "desktop", &sandbox.user("laptop"));
        Some(Self {
            desktop: lan.host("desktop", 3, Family::Both),
            laptop: lan.host("receiver", 4, Family::Both),
            lan,
            sandbox,
        })
    }

    fn user(&self) -> User {
        self.sandbox.user("desktop")
    }

    /// The laptop's receiver, with its own key.
    fn recv(&self) -> Recv {
        self.laptop.recv(&self.sandbox.user("laptop"), &[])
    }

    fn send_command(&self, args: &[&str]) -> Command {
        let args = [&["send", "-v", "--name", "desktop", "src/file"], args].concat();
        self.desktop.command(&self.user(), &args)
    }

    /// Sends the file from the desktop.
    fn send(&self, args: &[&str]) -> (Output, Duration) {
        let began = Instant::now();
        let sent = Process::spawn(self.send_command(args)).wait();
        (sent, began.elapsed())
    }

    /// Sends to a host of these names, and first tries the address that leads nowhere: it is there
    /// soon for all that.
    #[track_caller]
    fn sends_soon(&self, hosts: &str, dead: &str) {
        let command = self.send_command(&["--open", "box:9090"]);
        let command = with_hosts(&self.sandbox, hosts, &command);
        let began = Instant::now();
        let sent = Process::spawn(command).wait();
        let took = began.elapsed();
        let first = format!("Connecting to {dead}");
        sent.assert_code(0).assert_says(&first);
        println!("{dead} leads nowhere: {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(self.received("box"));
    }

    fn received(&self, who: &str) -> bool {
        let name = self.sandbox.user(who).home().join("in/file");
        std::fs::exists(name).unwrap()
    }

    fn forget(&self, who: &str) {
        std::fs::remove_file(self.sandbox.user(who).home().join("in/file")).unwrap();
    }

    /// Where the desktop saw the laptop last.
    fn kept(&self) -> String {
        let listed = self.desktop.command(&self.user(), &["peers"]);
        Process::spawn(listed).wait().text()
    }
}

/// The same command, for which these lines are what a resolver knows.
fn with_hosts(sandbox: &Sandbox, hosts: &str, command: &Command) -> Command {
    let file = sandbox.path("hosts");
    std::fs::write(&file, hosts).unwrap();
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let words = [
        "--mount".as_ref(),
        "sh".as_ref(),
        "-c".as_ref(),
        OsStr::new(script),
        file.as_os_str(),
    ];
    run_by("unshare", &words, command)
}

/// Nothing of what was to be sent has come there, and nobody there was told a name.
#[track_caller]
fn was_told_nothing(recv: Recv, dir: &Path) {
    let there = recv.interrupt();
    assert!(!there.text().contains("desktop"), "{there}");
    let names = std::fs::read_dir(dir).unwrap();
    let names = names.filter(|name| name.as_ref().unwrap().file_name() != ".xfer");
    assert_eq!(names.count(), 0);
}

#[test]
fn a_machine_that_has_moved_is_found_by_its_name() {
    let Some(mut office) = Office::new() else {
        return;
    };
    // Where it is the first time, nobody here knows.
    let recv = office.recv();
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    assert!(office.received("laptop"));
    println!("found for the first time, and sent: {took:?}");
    let before = office.laptop.v4();
    // The same place: nobody is asked.
    office.forget("laptop");
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    assert!(!sent.text().contains("Looking"), "{sent}");
    println!("where it was: {took:?}");
    recv.interrupt();
    // It gets another address, and a stranger gets that one.
    office.laptop.move_to(40, Family::V4);
    let stranger = office.sandbox.user("stranger");
    let mut other = office.lan.host("stranger", 30, Family::V4);
    other.move_to(4, Family::V4);
    let there = other.recv(&stranger, &["--name", "stranger"]);
    assert_eq!(other.v4(), before);
    let recv = office.recv();
    // Seen at its IPv4 address, whichever way it was found before.
    remember(&office, &format!("{before}:9090"));
    office.desktop.run("ip neighbour flush dev eth0");
    office.forget("laptop");
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0)
        .assert_says("receiver is no longer at 10.92.0.4:9090: another machine answers there");
    println!("moved, and a stranger is there: first byte and all after {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}\n{sent}");
    assert!(office.received("laptop"));
    was_told_nothing(there, &stranger.home().join("in"));
    // From now on it is known where it is.
    assert!(!office.kept().contains("10.92.0.4:"), "{}", office.kept());
    drop(recv);
}

/// Has the desktop know that address for the laptop.
fn remember(office: &Office, address: &str) {
    let peers = xfer::net::Peers::in_dir(&office.user().home().join(".local/share/xfer"));
    peers
        .update(|all| {
            let known = all.iter_mut().find(|known| known.name == "receiver");
            known.unwrap().address = Some(address.parse().unwrap());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_known_machine_at_its_old_address_is_named() {
    let Some(mut office) = Office::new() else {
        return;
    };
    office.laptop.move_to(40, Family::V4);
    let tv = office.sandbox.user("tv");
    let mut other = office.lan.host("tv", 30, Family::V4);
    other.move_to(4, Family::V4);
    let there = other.recv(&tv, &["--name", "tv"]);
    know(&office, &tv, "tv");
    remember(&office, "10.92.0.4:9090");
    // Typed as an address, it is an alarm that says which one it is.
    let (sent, _) = office.send(&["10.92.0.4"]);
    sent.assert_code(4)
        .assert_says("10.92.0.4:9090 is no longer receiver: tv answers there now");
    // By the name, the right one is not there.
    let (sent, _) = office.send(&["receiver"]);
    sent.assert_code(4).assert_says("cannot find receiver");
    let recv = office.recv();
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0).assert_says("tv answers there");
    println!("moved, and a known one is there: {took:?}");
    assert!(office.received("laptop"));
    was_told_nothing(there, &tv.home().join("in"));
    drop(recv);
}

/// Has the desktop know somebody by this name.
fn know(office: &Office, user: &User, name: &str) {
    let identity = xfer::net::Identity::load_or_create(&user.home().join(".config/xfer"));
    let mut known = xfer::net::Known::new(name, identity.unwrap().fingerprint());
    known.may_receive = true;
    let peers = xfer::net::Peers::in_dir(&office.user().home().join(".local/share/xfer"));
    let add = |all: &mut Vec<_>| {
        all.push(known);
        Ok(())
    };
    peers.update(add).unwrap();
}

#[test]
fn a_beacon_that_lies_about_its_name_is_never_chosen() {
    let Some(office) = Office::new() else { return };
    let liar = office.sandbox.user("liar");
    let other = office.lan.host("liar", 10, Family::Both);
    let there = other.recv(&liar, &["--name", "receiver"]);
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(4)
        .assert_says("it calls itself receiver, but its key is not that of")
        .assert_says("is not the receiver you know");
    println!("nobody but a liar: {took:?}");
    let recv = office.recv();
    let (sent, _) = office.send(&["receiver"]);
    sent.assert_code(0);
    assert!(office.received("laptop"));
    was_told_nothing(there, &liar.home().join("in"));
    drop(recv);
}

#[test]
fn without_multicast_it_is_found_where_it_was_or_by_the_resolver() {
    let Some(mut office) = Office::new() else {
        return;
    };
    office.desktop.block_multicast();
    let recv = office.recv();
    remember(&office, "10.92.0.4:9090");
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    println!("blocked, where it was: {took:?}");
    recv.interrupt();
    office.laptop.move_to(40, Family::V4);
    let recv = office.recv();
    // The resolver knows.
    office.forget("laptop");
    let command = office.send_command(&["receiver"]);
    let hosts = "127.0.0.1 localhost\n10.92.0.40 receiver\n";
    let command = with_hosts(&office.sandbox, hosts, &command);
    let began = Instant::now();
    Process::spawn(command).wait().assert_code(0);
    let took = began.elapsed();
    println!("blocked, by the resolver: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // Nobody does: it says what it tried.
    remember(&office, "10.92.0.4:9090");
    office.desktop.run("ip neighbour flush dev eth0");
    let (sent, took) = office.send(&["receiver"]);
    println!("blocked, and nowhere: {took:?}");
    sent.assert_code(1)
        .assert_says("cannot find receiver")
        .assert_says("at 10.92.0.4:9090, last seen there just now: no route to host")
        .assert_says("by multicast DNS: no answer")
        .assert_says("as a host name: ");
    drop(recv);
}

#[test]
fn a_paired_name_with_a_port_is_that_machine_at_that_port() {
    let Some(office) = Office::new() else { return };
    // Whoever else the resolver knows by that name, and takes anything from anyone.
    let stranger = office.sandbox.user("stranger");
    let other = office.lan.host("stranger", 30, Family::V4);
    let there = other.recv(&stranger, &["--listen", "9191", "--open"]);
    let hosts = "127.0.0.1 localhost\n10.92.0.30 receiver\n";
    let send = |port: &str| {
        let command = office.send_command(&[port]);
        Process::spawn(with_hosts(&office.sandbox, hosts, &command)).wait()
    };
    remember(&office, "10.92.0.4:9090");
    send("receiver:9191")
        .assert_code(4)
        .assert_says("not the receiver you know");
    let recv = office
        .laptop
        .recv(&office.sandbox.user("laptop"), &["--listen", "9191"]);
    send("receiver:9191").assert_code(0);
    assert!(office.received("laptop"));
    // That was once: it is sought where it was.
    assert!(
        office.kept().contains("10.92.0.4:9090"),
        "{}",
        office.kept()
    );
    send("receiver:7000")
        .assert_code(1)
        .assert_says("cannot find receiver")
        .assert_says("at 10.92.0.4:7000: connection refused");
    was_told_nothing(there, &stranger.home().join("in"));
    drop(recv);
}

#[test]
fn after_a_port_for_one_time_it_is_found_at_the_usual_one() {
    let Some(office) = Office::new() else { return };
    office.desktop.block_multicast();
    let laptop = office.sandbox.user("laptop");
    let once = office.laptop.recv(&laptop, &["--listen", "0.0.0.0:0"]);
    let target = format!("10.92.0.4:{}", once.addr().port());
    office.send(&[&target]).0.assert_code(0);
    once.interrupt();
    office.forget("laptop");
    let recv = office.recv();
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    println!("at the usual port: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(office.received("laptop"));
    // A port that lasts stays where one for one time follows it.
    remember(&office, "10.92.0.4:9191");
    let once = office.laptop.recv(&laptop, &["--listen", "0.0.0.0:0"]);
    let target = format!("10.92.0.4:{}", once.addr().port());
    office.send(&[&target]).0.assert_code(0);
    assert!(
        office.kept().contains("10.92.0.4:9191"),
        "{}",
        office.kept()
    );
    drop((once, recv));
}

#[test]
fn an_unknown_name_lists_the_paired_ones() {
    let Some(office) = Office::new() else { return };
    for name in ["tv", "loftpc"] {
        know(&office, &office.sandbox.user(name), name);
    }
    let (sent, _) = office.send(&["loft"]);
    sent.assert_code(1)
        .assert_says("Did you mean loftpc? Paired machines: loftpc, receiver, tv.")
        .assert_says("`xfer list` shows who is on the network.");
    let (sent, _) = office.send(&["zzz"]);
    sent.assert_code(1).assert_says("Paired machines: ");
}

#[test]
fn an_unknown_name_lists_what_is_nearly_the_same_and_who_is_there() {
    let Some(office) = Office::new() else { return };
    let recv = office.recv();
    let (sent, took) = office.send(&["reciever"]);
    println!("nobody of that name: {took:?}");
    sent.assert_code(1)
        .assert_says("cannot find reciever")
        .assert_says("only receiver (")
        .assert_says("Did you mean receiver?");
    drop(recv);
}

#[test]
fn of_two_of_the_same_name_none_is_chosen_by_chance() {
    let Some(office) = Office::new() else { return };
    let hosts = [("one", 20), ("two", 21)].map(|(name, number)| {
        let host = office.lan.host(name, number, Family::V4);
        let user = office.sandbox.user(name);
        let recv = Terminal::spawn(host.recv_command(&user, &["--name", "twin"]));
        recv.process().wait_for_text("Listening on");
        (host, recv)
    });
    // Until both are there.
    office.desktop.wait_for_beacons(&office.user(), 2);
    let (sent, _) = office.send(&["twin"]);
    sent.assert_code(1)
        .assert_says("2 machines are called twin")
        .assert_says("10.92.0.20:9090")
        .assert_says("10.92.0.21:9090");
    let sender = Terminal::spawn(office.send_command(&["twin"]));
    sender.wait_for("Which one? [1-2]:", 1);
    let screen = sender.screen();
    let line = screen.lines().find(|line| line.contains("2) ")).unwrap();
    let (chosen, _) = match line.contains("10.92.0.20") {
        true => ("one", 0),
        false => ("two", 1),
    };
    sender.type_line("2");
    sender.wait_for("Code on twin: ", 1);
    let which = hosts.iter().position(|(host, _)| host.name() == chosen);
    sender.type_line(&hosts[which.unwrap()].1.code());
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    assert!(office.received(chosen));
}

/// A second receiver of the laptop's user, beside the one in the default folder.
fn second_recv(office: &Office, name: &str, port: &str) -> Recv {
    let user = office.sandbox.user("laptop");
    let dir = user.home().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let mut command = user.command(&["recv", "--name", name, "--listen", port, "--dir"]);
    command.arg(&dir);
    Recv::start(office.laptop.there(&command))
}

impl Office {
    /// Whether the file has come to the receiver that has this folder, and nowhere else.
    #[track_caller]
    fn came_only_to(&self, folder: &str) {
        let user = self.sandbox.user("laptop");
        for other in ["in", "mini", "third"] {
            let file = user.home().join(other).join("file");
            assert_eq!(file.exists(), other == folder, "{}", file.display());
            let _ = std::fs::remove_file(file);
        }
    }
}

#[test]
fn two_receivers_with_one_key_are_told_apart_by_their_names() {
    let Some(office) = Office::new() else { return };
    let first = office.recv();
    let second = second_recv(&office, "mini", "9191");
    // Wherever the last one was that was sent to.
    for last in ["10.92.0.4:9090", "10.92.0.4:9191"] {
        for (name, folder) in [("mini", "mini"), ("receiver", "in"), ("MINI", "mini")] {
            remember(&office, last);
            let (sent, took) = office.send(&[name]);
            sent.assert_code(0);
            println!("{name}, with {last} known: {took:?}");
            office.came_only_to(folder);
        }
    }
    // A port says which one, whatever the name of the machine.
    office.send(&["receiver:9191"]).0.assert_code(0);
    office.came_only_to("mini");
    office.send(&["10.92.0.4:9090"]).0.assert_code(0);
    office.came_only_to("in");
    // From the same machine, whose own key it is.
    let own = office.sandbox.user("laptop");
    for (name, folder) in [("mini", "mini"), ("receiver", "in")] {
        let sent = office.laptop.spawn(&own, &["send", "src/file", name]);
        sent.wait().assert_code(0);
        office.came_only_to(folder);
    }
    // One that has another name here is the one that it was.
    office
        .desktop
        .spawn(&office.user(), &["peers", "--rename", "receiver", "lap"])
        .wait()
        .assert_code(0);
    let (sent, took) = office.send(&["lap"]);
    sent.assert_code(0);
    println!("by its other name: {took:?}");
    office.came_only_to("in");
    drop((first, second));
}

#[test]
fn receivers_that_only_have_the_key_of_the_one_that_is_meant_are_listed() {
    let Some(office) = Office::new() else { return };
    // Both have other names than the one that was paired.
    let second = second_recv(&office, "mini", "9191");
    // The only one may have been renamed.
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    println!("renamed: {took:?}");
    office.came_only_to("mini");
    let (sent, took) = office.send(&["receiver"]);
    sent.assert_code(0);
    println!("renamed, and known: {took:?}");
    assert!(took < Duration::from_millis(1500), "{took:?}");
    office.came_only_to("mini");
    second.interrupt();
    let third = second_recv(&office, "third", "9292");
    let fourth = second_recv(&office, "fourth", "9393");
    office.desktop.wait_until_listed(&office.user(), 2);
    let (sent, _) = office.send(&["receiver"]);
    sent.assert_code(1)
        .assert_says("receiver has 2 receivers:")
        .assert_says("third at ")
        .assert_says(":9292")
        .assert_says("fourth at ")
        .assert_says(":9393");
    let sender = Terminal::spawn(office.send_command(&["receiver"]));
    sender.wait_for("Which one? [1-2]:", 1);
    let screen = sender.screen();
    let number = screen
        .lines()
        .find_map(|line| line.trim().split_once(") third at "));
    sender.type_line(number.expect(&screen).0);
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    office.came_only_to("third");
    drop((third, fourth));
}

#[test]
fn two_receivers_with_one_key_are_both_listed_and_can_be_chosen() {
    let Some(office) = Office::new() else { return };
    let first = office.recv();
    let second = second_recv(&office, "mini", "9191");
    office.desktop.wait_until_listed(&office.user(), 2);
    // What it calls itself can come later than where it is.
    let list = || office.desktop.spawn(&office.user(), &["list"]).wait();
    let listed = (0..10)
        .map(|_| list())
        .find(|listed| listed.text().contains("mini "));
    let listed = listed.expect("a receiver called mini");
    listed.assert_code(0);
    // At whichever of its addresses.
    for (name, rest) in [
        ("receiver ", ":9090 paired; you can send to it"),
        ("mini ", ":9191 paired as receiver; you can send to it"),
    ] {
        let text = listed.text();
        let mut rows = text.lines().map(|row| {
            let words: Vec<_> = row.split_whitespace().collect();
            words.join(" ")
        });
        let is_there = rows.any(|row| row.starts_with(name) && row.ends_with(rest));
        assert!(is_there, "{name}: {text}");
    }
    for (name, port, folder) in [
        (") mini at ", ":9191, paired", "mini"),
        (") receiver at ", ":9090, paired", "in"),
    ] {
        let sender = Terminal::spawn(
            office
                .desktop
                .command(&office.user(), &["send", "src/file"]),
        );
        sender.wait_for(name, 1);
        sender.wait_for("Which one?", 1);
        let screen = sender.screen();
        let number = screen
            .lines()
            .filter(|line| line.ends_with(port))
            .find_map(|line| line.trim().split_once(name));
        sender.type_line(number.expect(&screen).0);
        let (code, screen) = sender.wait();
        assert_eq!(code, Some(0), "{screen}");
        office.came_only_to(folder);
    }
    drop((first, second));
}

#[test]
fn a_name_with_a_port_is_looked_up_on_the_network() {
    let Some(office) = Office::new() else { return };
    let tv = office.sandbox.user("tv");
    let host = office.lan.host("tv", 30, Family::V4);
    let usual = host.recv(&tv, &[]);
    let dir = tv.home().join("second");
    std::fs::create_dir_all(&dir).unwrap();
    let mut command = tv.command(&["recv", "--hidden", "--listen", "2024", "--dir"]);
    let there = Terminal::spawn(host.there(command.arg(&dir)));
    there.process().wait_for_text("Listening on");
    let sender = Terminal::spawn(office.send_command(&["tv:2024"]));
    sender.wait_for("Code on tv: ", 1);
    sender.type_line(&there.code());
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    assert!(dir.join("file").exists());
    // Nobody has the name.
    let (sent, took) = office.send(&["nobody:2024"]);
    println!("nobody, with a port: {took:?}");
    sent.assert_code(1)
        .assert_says("cannot find nobody")
        .assert_says("by multicast DNS: ");
    drop(usual);
}

trait Beacons {
    fn wait_for_beacons(&self, user: &User, count: usize);
    fn wait_until_listed(&self, user: &User, count: usize);
}

impl Beacons for Host {
    /// Waits until so many of them are announced.
    fn wait_for_beacons(&self, user: &User, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let args = ["send", "src/file", "nobody"];
            let sent = Process::spawn(self.command(user, &args)).wait();
            let text = sent.text();
            if text.matches("10.92.0.2").count() >= count {
                return;
            }
            assert!(Instant::now() < end, "{text}");
        }
    }

    /// Waits until so many receivers are listed that can be sent to.
    fn wait_until_listed(&self, user: &User, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.spawn(user, &["list"]).wait().text();
            if text.matches("you can send to it").count() >= count {
                return;
            }
            assert!(Instant::now() < end, "{text}");
        }
    }
}

#[test]
fn a_stale_address_of_a_host_costs_next_to_nothing() {
    let Some(office) = Office::new() else { return };
    let host = office.lan.host("box", 200, Family::V4);
    let user = office.sandbox.user("box");
    let recv = host.recv(&user, &["--open"]);
    // Nobody is there, and nobody says so for three seconds.
    let hosts = "127.0.0.1 localhost\n10.92.0.2 box\n10.92.0.200 box\n";
    office.sends_soon(hosts, "10.92.0.2:9090");
    drop(recv);
}

#[test]
fn a_family_that_leads_nowhere_costs_next_to_nothing() {
    let Some(office) = Office::new() else { return };
    let host = office.lan.host("box", 200, Family::Both);
    let user = office.sandbox.user("box");
    let recv = host.recv(&user, &["--open"]);
    host.run("ip6tables -w -A INPUT -p tcp --dport 9090 -j DROP");
    let hosts = "127.0.0.1 localhost\nfd92::c8 box\n10.92.0.200 box\n";
    office.sends_soon(hosts, "[fd92::c8]:9090");
    drop(recv);
}

#[test]
fn each_address_that_fails_is_listed_with_its_reason() {
    let Some(office) = Office::new() else { return };
    let hosts = "127.0.0.1 localhost\n10.92.0.2 box\n10.92.0.3 box\nfd92::3 box\n";
    let command = office.send_command(&["--open", "box:9090"]);
    let command = with_hosts(&office.sandbox, hosts, &command);
    let sent = Process::spawn(command).wait();
    sent.assert_code(1)
        .assert_says("cannot connect to box:")
        .assert_says("10.92.0.2:9090: no route to host")
        .assert_says("10.92.0.3:9090: connection refused")
        .assert_says("[fd92::3]:9090: connection refused");
    // One alone is told as ever.
    let (sent, _) = office.send(&["10.92.0.3"]);
    sent.assert_code(1)
        .assert_says("cannot connect to 10.92.0.3:9090: connection refused");
}

#[test]
fn a_receiver_that_moves_during_a_transfer_is_found_again() {
    let Some(mut office) = Office::new() else {
        return;
    };
    make_file(office.sandbox.src().join("file"), 1, 24 * CHUNK);
    let recv = office.recv();
    let sender = Process::spawn(office.send_command(&["--limit", "8MB/s", "receiver"]));
    let dir = office.sandbox.user("laptop").home().join("in");
    sender.wait_for_text("Sending to receiver");
    wait_until(|| std::fs::read_dir(&dir).unwrap().count() > 1);
    recv.kill();
    office.laptop.move_to(40, Family::V4);
    let recv = office.recv();
    let sent = sender.wait();
    sent.assert_code(0).assert_says("Retrying");
    let digests =
        [office.sandbox.src().join("file"), dir.join("file")].map(|path| digest_of(&path));
    assert_eq!(digests[0], digests[1]);
    drop(recv);
}

#[test]
fn a_receiver_that_is_not_there_yet_is_waited_for() {
    let Some(office) = Office::new() else { return };
    // By its name, which is announced once it is there.
    let sender = Process::spawn(office.send_command(&["--wait", "receiver"]));
    sender.wait_for_text("receiver is not there yet. Waiting for it");
    let began = Instant::now();
    let recv = office.recv();
    sender.wait().assert_code(0);
    println!("waited for, by its name: {:?}", began.elapsed());
    assert!(office.received("laptop"));
    recv.interrupt();
    office.forget("laptop");
    // At its address, with nothing of multicast.
    let sender = Process::spawn(office.send_command(&["--wait", "10.92.0.4:9090"]));
    sender.wait_for_text("10.92.0.4 is not there yet. Waiting for it");
    let recv = office.recv();
    sender.wait().assert_code(0);
    assert!(office.received("laptop"));
    recv.interrupt();
    // Whoever has waited long enough says so.
    let sender = Process::spawn(office.send_command(&["--wait", "receiver"]));
    sender.wait_for_text("Waiting for it");
    sender.interrupt();
    sender.wait().assert_code(130);
}

#[test]
fn the_receivers_that_are_here_can_be_chosen_from() {
    let Some(office) = Office::new() else { return };
    let recv = office.recv();
    let tv = office.sandbox.user("tv");
    let other = office.lan.host("a-tv", 21, Family::V4);
    let there = Terminal::spawn(other.recv_command(&tv, &[]));
    there.process().wait_for_text("Listening on");
    office.desktop.wait_for_beacons(&office.user(), 1);
    let command = office
        .desktop
        .command(&office.user(), &["send", "src/file"]);
    // The paired one comes first, and is what Enter means.
    let sender = Terminal::spawn(command);
    sender.wait_for("Which one? A number, or Enter for 1:", 1);
    let screen = sender.screen();
    let first = screen.find("1) receiver at").expect(&screen);
    let second = screen
        .find("2) a-tv at 10.92.0.21:9090, new")
        .expect(&screen);
    assert!(first < second, "{screen}");
    // Who comes later is added.
    let late = office.sandbox.user("late");
    let third = office.lan.host("late", 22, Family::V4);
    let asked = sender.screen().matches("Which one?").count();
    let late = third.recv(&late, &[]);
    sender.wait_for("3) late at 10.92.0.22:9090, new", 1);
    // What is typed before it asks again counts no more.
    sender.wait_for("Which one?", asked + 1);
    sender.type_line("");
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    assert!(office.received("laptop"));
    // Another one by its number, which shows a code.
    let command = office.desktop.command(&office.user(), &["pair"]);
    let sender = Terminal::spawn(command);
    sender.wait_for("Which one?", 1);
    let screen = sender.screen();
    let line = screen
        .lines()
        .find(|line| line.contains(") a-tv at"))
        .expect(&screen);
    sender.type_line("9");
    sender.wait_for("Which one?", 2);
    sender.type_line(line.trim().split(')').next().unwrap().trim());
    sender.wait_for("Code on a-tv: ", 1);
    sender.type_line(&there.code());
    let (code, screen) = sender.wait();
    assert_eq!(code, Some(0), "{screen}");
    // Nobody is asked who cannot answer.
    let command = office
        .desktop
        .command(&office.user(), &["send", "src/file", "src/file"]);
    Process::spawn(command)
        .wait()
        .assert_code(2)
        .assert_says("the receiver seems to be missing");
    drop((recv, late));
}

/// Waits until something is so.
#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "it never is");
        std::thread::yield_now();
    }
}
