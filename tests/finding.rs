//! How machines find each other on a network: what a receiver announces, what `xfer list` shows of
//! it, and what it shows of those who lie.
//!
//! Each test has machines of its own, with real multicast, which only root can make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::lan::{Family, Host, Lan};
use support::*;
use xfer::net::{Identity, Known, Peers};

/// How long `xfer list` looks, with time to spare for a machine that has other things to do.
const SOON: Duration = Duration::from_secs(6);

/// Waits until a receiver has told the network of itself.
#[track_caller]
fn announced(host: &Host, user: &User, args: &[&str]) -> Recv {
    let recv = host.recv(user, &[&["-v"], args].concat());
    recv.process().wait_for_text("Announced on the network as");
    recv
}

/// Those of the announcement too: nothing that comes from the network is read outside.
#[track_caller]
fn every_thread_is_confined(recv: &Recv) {
    let said = recv.process().printed().text();
    if said.contains("Not confined") {
        return skip("no Landlock here");
    }
    let tasks = std::fs::read_dir(format!("/proc/{}/task", recv.process().pid())).unwrap();
    let status = |name| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", recv.process().pid())).unwrap();
        let read = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("status")).ok()
        };
        let all: Vec<_> = tasks.filter_map(read).collect();
        all.iter().filter(|status| status.contains(name)).count()
    };
    assert_eq!(status("NoNewPrivs:\t1"), tasks.count());
    for thread in ["Name:\tdiscovery", "Name:\tmDNS_daemon"] {
        assert_eq!(status(thread), 1, "{thread}");
    }
}

/// What a machine's `xfer list --json` says, with further arguments.
#[track_caller]
fn list(host: &Host, user: &User) -> Vec<Value> {
    let began = Instant::now();
    let output = host.spawn(user, &["list", "--json"]).wait();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    output.assert_code(0).assert_harmless();
    lines(&output)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.inspect(as_described).collect()
}

/// Fails unless a line is as `assets/list.schema.json` has it, which has the shape that is looked
/// at here: fields with a type, or one of some words.
#[track_caller]
fn as_described(line: &Value) {
    let schema: Value = serde_json::from_str(include_str!("../assets/list.schema.json")).unwrap();
    for (key, value) in line.as_object().unwrap() {
        let part = &schema["properties"][key];
        assert!(part.is_object(), "{key} is not described: {line}");
        let is = match part["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.as_array().unwrap().iter().all(Value::is_string),
            _ => part.get("const") == Some(value),
        };
        let words = part.get("enum").and_then(Value::as_array);
        let among = words.is_none_or(|words| words.contains(value));
        assert!(is && among, "{key}: {line}");
    }
    for key in schema["required"].as_array().unwrap() {
        assert!(
            line.get(key.as_str().unwrap()).is_some(),
            "no {key}: {line}"
        );
    }
}

/// The names of all that are there, in order.
fn names(lines: &[Value]) -> Vec<&str> {
    let here = lines.iter().filter(|line| line["event"] == "here");
    let mut names: Vec<_> = here.map(|line| line["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn named<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {lines:?}"))
}

/// Makes `of` know the machine of `other` by a name, as one that takes files, last seen at `addr`.
fn know(of: &User, other: &User, name: &str, addr: Option<&str>) {
    let identity = Identity::load_or_create(&other.home().join(".config/xfer")).unwrap();
    let mut known = Known::new(name, identity.fingerprint());
    known.may_receive = true;
    known.address = addr.map(|addr| addr.parse().unwrap());
    known.seen -= 3 * 86_400;
    let peers = Peers::in_dir(&of.home().join(".local/share/xfer"));
    let add = |all: &mut Vec<Known>| {
        all.push(known);
        Ok(())
    };
    peers.update(add).unwrap();
}

#[test]
fn those_who_receive_are_listed_within_two_seconds_and_nobody_else() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::Both);
    let desktop = lan.host("desktop", 2, Family::Both);
    let phone = lan.host("phone", 3, Family::Both);
    let hidden = lan.host("hidden", 4, Family::Both);
    let me = lan.host("me", 5, Family::Both);
    let (user, of_laptop) = (sandbox.me(), sandbox.user("laptop"));
    let recv = announced(&laptop, &of_laptop, &[]);
    every_thread_is_confined(&recv);
    let _desktop = announced(&desktop, &sandbox.user("desktop"), &[]);
    // As it calls itself, and not as its system does.
    let _phone = announced(&phone, &sandbox.user("phone"), &["--name", "Anna's phone"]);
    let _hidden = hidden.recv(&sandbox.user("hidden"), &["--hidden"]);
    let _open = hidden.recv(&sandbox.user("open"), &["--open", "--listen", "9091"]);
    let _local = hidden.recv(&sandbox.user("local"), &["--listen", "127.0.0.1:9092"]);
    let mine = me.recv(&user, &["-v", "--listen", "9093"]);
    mine.process()
        .wait_for_text("Announced on the network as me");
    know(&user, &of_laptop, "mobile", None);
    know(
        &user,
        &sandbox.user("away"),
        "away",
        Some("10.92.0.77:9090"),
    );
    let found = list(&me, &user);
    assert_eq!(names(&found), ["Anna's phone", "desktop", "me", "mobile"]);
    let anna = named(&found, "Anna's phone");
    let addresses = anna["addresses"].as_array().unwrap();
    assert!(addresses.contains(&Value::from("10.92.0.3:9090")), "{anna}");
    assert!(addresses.contains(&anna["address"]), "{anna}");
    assert!(addresses.contains(&Value::from("[fd92::3]:9090")), "{anna}");
    assert!(
        addresses
            .iter()
            .any(|addr| addr.as_str().unwrap().starts_with("[fe80:")
                && addr.as_str().unwrap().ends_with("%eth0]:9090")),
        "{anna}"
    );
    for (name, standing) in [("desktop", "new"), ("me", "own"), ("mobile", "known")] {
        assert_eq!(named(&found, name)["standing"], standing);
    }
    assert_eq!(named(&found, "mobile")["takes_files"], true);
    let away = named(&found, "away");
    assert_eq!(
        (away["event"].as_str(), away["address"].as_str()),
        (Some("missing"), Some("10.92.0.77:9090"))
    );
    // As people read it.
    let said = me.spawn(&user, &["list"]).wait();
    said.assert_code(0).assert_harmless();
    // Which address is known of when somebody is listed, the network decides.
    let text = said.text();
    for (name, host, words) in [
        ("mobile", "1]:9090", "paired; you can send to it"),
        ("desktop", "2]:9090", "new; needs a code the first time"),
        ("me", "5]:9093", "this machine"),
    ] {
        let mut rows = text
            .lines()
            .filter(|row| row.starts_with(&format!("{name:<18}")));
        let row = rows.next().unwrap_or_else(|| panic!("no {name}: {said}"));
        assert_eq!((row.split_at(41).1, rows.next()), (words, None), "{said}");
        let addresses = ["10.92.0.", "[fd92::"].map(|start| format!("{start}{host}"));
        let shown = row[18..41].trim();
        let is_its = |at: &String| at.replace(']', "") == shown.replace(']', "");
        assert!(addresses.iter().any(is_its), "{row}");
    }
    said.assert_says(
        "away              not here               last seen 3 days ago at 10.92.0.77:9090",
    );
    // One that asks to be seen, or has it set.
    let set = sandbox.user("set");
    let config = set.home().join(".config/xfer");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), "announce = false\n").unwrap();
    let _quiet = hidden.recv(&set, &["--listen", "9094"]);
    let _shown = announced(
        &hidden,
        &sandbox.user("open"),
        &["--open", "--announce", "--listen", "9095"],
    );
    let found = list(&me, &user);
    assert_eq!(
        names(&found),
        ["Anna's phone", "desktop", "hidden", "me", "mobile"]
    );
    assert_eq!(named(&found, "hidden")["address"], "10.92.0.4:9095");
}

#[test]
fn who_goes_and_who_moves_is_said_to_those_who_watch() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let mut laptop = lan.host("laptop", 1, Family::Both);
    let me = lan.host("me", 2, Family::Both);
    let recv = announced(&laptop, &sandbox.user("laptop"), &[]);
    let watch = me.spawn(&sandbox.me(), &["list", "--watch"]);
    watch.wait_for_text("laptop            10.92.0.1:9090");
    laptop.move_to(7, Family::Both);
    watch.wait_for_text("laptop            10.92.0.7:9090");
    let found = list(&me, &sandbox.me());
    assert_eq!(named(&found, "laptop")["address"], "10.92.0.7:9090");
    recv.interrupt().assert_code(0);
    watch.wait_for_text("laptop            10.92.0.7:9090         gone");
    // One that ends without a word is not there for whoever asks then.
    let recv = announced(&laptop, &sandbox.user("laptop"), &[]);
    watch.wait_for("it again", |printed| {
        (printed.text().matches("new; needs a code").count() >= 3).then_some(())
    });
    recv.kill();
    assert_eq!(names(&list(&me, &sandbox.me())), [""; 0]);
    watch.interrupt();
    watch.wait().assert_code(0);
}

#[test]
fn a_chat_where_its_machine_was_last_is_no_receiver() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::V4);
    let me = lan.host("me", 2, Family::V4);
    let user = sandbox.user("laptop");
    let chat = laptop.spawn(&user, &["chat", "-v", "--name", "laptop"]);
    chat.wait_for_text("Announced on the network as");
    know(&sandbox.me(), &user, "laptop", Some("10.92.0.1:9090"));
    let found = list(&me, &sandbox.me());
    assert_eq!(names(&found), ["laptop"], "{found:?}");
    let line = named(&found, "laptop");
    assert_eq!(
        (&line["service"], &line["takes_files"]),
        (&"room".into(), &false.into())
    );
}

#[test]
fn a_known_machine_that_goes_from_where_it_was_last_is_gone() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::V4);
    let me = lan.host("me", 2, Family::V4);
    let user = sandbox.user("laptop");
    know(&sandbox.me(), &user, "laptop", Some("10.92.0.1:9090"));
    let recv = announced(&laptop, &user, &[]);
    let watch = me.spawn(&sandbox.me(), &["list", "--watch"]);
    let says = |what: &str, times: usize| {
        watch.wait_for(what, |printed| {
            (printed.text().matches(what).count() >= times).then_some(())
        });
    };
    let gone = "10.92.0.1:9090         gone";
    says("paired; you can send to it", 1);
    recv.interrupt().assert_code(0);
    says(gone, 1);
    // One that is not announced comes and goes, too.
    let recv = laptop.recv(&user, &["--hidden"]);
    says("paired; you can send to it", 2);
    recv.interrupt().assert_code(0);
    says(gone, 2);
    watch.interrupt();
    watch.wait().assert_code(0);
}

#[test]
fn one_that_lies_about_who_it_is_is_shown_as_that() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let liar = lan.host("liar", 1, Family::Both);
    let me = lan.host("me", 2, Family::Both);
    let user = sandbox.me();
    let laptop = sandbox.user("laptop");
    know(&user, &laptop, "laptop", None);
    // A known name, and another key.
    let namesake = announced(&liar, &sandbox.user("liar"), &["--name", "Laptop"]);
    let found = list(&me, &user);
    assert_eq!(names(&found), ["Laptop"]);
    assert_eq!(named(&found, "Laptop")["standing"], "namesake");
    assert_eq!(named(&found, "laptop")["event"], "missing");
    me.spawn(&user, &["list"])
        .wait()
        .assert_says("not the laptop you know");
    namesake.interrupt();
    // What the known one says of its key, and somebody else's, or nobody's.
    let real = announced(&liar, &laptop, &["--name", "x"]);
    let start = named(&list(&me, &user), "laptop")["fingerprint_start"].clone();
    real.interrupt();
    let fp = hex_start(&laptop);
    let _other = liar.recv(&sandbox.user("liar"), &["--hidden", "--listen", "9091"]);
    for (port, says) in [
        (9091, "claims to be laptop, but has a different key"),
        (9092, "claims to be laptop, but does not answer"),
    ] {
        let answer = Packet::answer(&[Announced {
            instance: "laptop",
            host: "liar.local",
            addr: liar.v4().octets(),
            port,
            txt: &["v=1", &format!("fp={fp}"), "kind=recv", "name=laptop"],
        }]);
        let sender = Multicast::on(&liar);
        let watch = me.spawn(&user, &["list", "--watch"]);
        // It asks, and gets this for an answer.
        wait_until_browsing(&me);
        sender.send(&answer);
        watch.wait_for_text(says);
        watch.interrupt();
        let output = watch.wait();
        assert!(!output.text().contains("paired; you"), "{output}");
        sender.send(&answer.goodbye());
    }
    assert!(start.as_str().is_some_and(|start| start.len() == 14));
}

/// How a user's fingerprint begins, as it is announced.
fn hex_start(user: &User) -> String {
    let identity = Identity::load_or_create(&user.home().join(".config/xfer")).unwrap();
    identity.fingerprint().to_hex()[..16].to_owned()
}

/// Waits until some program on this machine hears multicast DNS.
#[track_caller]
fn wait_until_browsing(host: &Host) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut command = Command::new("cat");
        command.arg("/proc/net/igmp");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = host.there(&command).output().unwrap();
        // 224.0.0.251
        if String::from_utf8_lossy(&output.stdout).contains("FB0000E0") {
            return;
        }
        assert!(Instant::now() < end, "nobody listens");
    }
}

/// What is announced by a test itself.
struct Announced<'a> {
    instance: &'a str,
    host: &'a str,
    addr: [u8; 4],
    port: u16,
    txt: &'a [&'a str],
}

/// A packet of multicast DNS, and its records' times to live.
#[derive(Clone)]
struct Packet {
    bytes: Vec<u8>,
    lifetimes: Vec<usize>,
}

impl Packet {
    /// An answer with all that there is to say of these.
    fn answer(all: &[Announced<'_>]) -> Self {
        let mut packet = Self {
            bytes: vec![0, 0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            lifetimes: Vec::new(),
        };
        let service = "_xfer._tcp.local";
        for one in all {
            let full = [&[one.instance][..], &service.split('.').collect::<Vec<_>>()].concat();
            let service: Vec<_> = service.split('.').collect();
            let host: Vec<_> = one.host.split('.').collect();
            packet.record(&service, 12, 1, &name(&full));
            let target = [&[0, 0, 0, 0][..], &one.port.to_be_bytes(), &name(&host)].concat();
            packet.record(&full, 33, 0x8001, &target);
            let length = |text: &&str| u8::try_from(text.len()).unwrap();
            let strings = one.txt.iter();
            let txt: Vec<u8> = strings
                .flat_map(|text| [&[length(text)], text.as_bytes()].concat())
                .collect();
            packet.record(&full, 16, 0x8001, &txt);
            packet.record(&host, 1, 0x8001, &one.addr);
        }
        packet
    }

    fn record(&mut self, owner: &[&str], kind: u16, class: u16, data: &[u8]) {
        let head = [
            name(owner),
            kind.to_be_bytes().into(),
            class.to_be_bytes().into(),
        ];
        self.bytes.extend(head.concat());
        self.lifetimes.push(self.bytes.len());
        self.bytes.extend(120_u32.to_be_bytes());
        self.bytes
            .extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        self.bytes.extend(data);
        let answers = u16::try_from(self.lifetimes.len()).unwrap();
        self.bytes[6..8].copy_from_slice(&answers.to_be_bytes());
    }

    /// The same, which is not so any more.
    fn goodbye(&self) -> Self {
        let mut packet = self.clone();
        for at in &self.lifetimes {
            packet.bytes[*at..*at + 4].fill(0);
        }
        packet
    }
}

fn name(labels: &[&str]) -> Vec<u8> {
    let label = |label: &&str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let mut bytes: Vec<_> = labels.iter().flat_map(label).collect();
    bytes.push(0);
    bytes
}

/// Sends packets from a machine to all others.
struct Multicast(std::net::UdpSocket);

impl Multicast {
    fn on(host: &Host) -> Self {
        let namespace = format!("/run/netns/{}", host.namespace());
        let v4 = host.v4();
        // A thread of its own is in another network without anybody else being there.
        let socket = std::thread::spawn(move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            use std::os::fd::AsFd as _;
            let namespace = std::fs::File::open(namespace).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            std::net::UdpSocket::bind((v4, 5353)).unwrap()
        });
        Self(socket.join().unwrap())
    }

    fn send(&self, packet: &Packet) {
        self.0.send_to(&packet.bytes, "224.0.0.251:5353").unwrap();
    }
}

#[test]
fn a_flood_of_machines_takes_no_more_memory_and_hides_nobody() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::V4);
    let flooder = lan.host("flooder", 2, Family::V4);
    let me = lan.host("me", 3, Family::V4);
    let _laptop = announced(&laptop, &sandbox.user("laptop"), &[]);
    let watch = me.spawn(&sandbox.me(), &["list", "--watch"]);
    wait_until_browsing(&me);
    let sender = Multicast::on(&flooder);
    let began = Instant::now();
    for batch in 0..1000_u16 {
        let names: Vec<_> = (0..10).map(|n| format!("flood {batch} {n}")).collect();
        let hosts: Vec<_> = (0..10).map(|n| format!("h{batch}-{n}.local")).collect();
        let all: Vec<_> = (0..10_u8)
            .map(|n| {
                let [high, low] = batch.to_be_bytes();
                Announced {
                    instance: &names[usize::from(n)],
                    host: &hosts[usize::from(n)],
                    addr: [10, 100 + n, high, low],
                    port: 9090,
                    txt: &["v=1", "fp=0123456789abcdef", "kind=recv"],
                }
            })
            .collect();
        sender.send(&Packet::answer(&all));
    }
    // Who is there is still found, by those who watch and by those who ask only now.
    let new = lan.host("new", 4, Family::V4);
    let _new = announced(&new, &sandbox.user("new"), &[]);
    watch.wait_for_text("new               10.92.0.4:9090");
    watch.wait_for_text("laptop            10.92.0.1:9090");
    let found = list(&me, &sandbox.me());
    assert!(names(&found).contains(&"laptop") && names(&found).contains(&"new"));
    let peak = watch.peak_memory().unwrap();
    println!(
        "a flood: {} KiB at most, {:?}",
        peak / 1024,
        began.elapsed()
    );
    assert!(peak < 64 << 20, "{peak}");
    watch.interrupt();
    let output = watch.wait();
    output.assert_code(0);
}

#[test]
fn what_is_announced_does_nothing_to_a_terminal() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let odd = lan.host("odd", 1, Family::V4);
    let me = lan.host("me", 2, Family::V4);
    let sender = Multicast::on(&odd);
    let good = ["v=1", "fp=0123456789abcdef", "kind=recv"];
    let escapes = [
        &good[..],
        &["name=\u{1b}]0;owned\u{7}a\u{9b}31mb\r\n\u{202e}c"],
    ]
    .concat();
    let announce = |instance, txt: &[&str]| {
        Packet::answer(&[Announced {
            instance,
            host: "odd\u{1b}[31m.local",
            addr: odd.v4().octets(),
            port: 9090,
            txt,
        }])
    };
    let long = "x".repeat(63);
    let watch = me.spawn(&sandbox.me(), &["list", "--watch", "-v"]);
    wait_until_browsing(&me);
    for packet in [
        announce("escapes", &escapes),
        announce("\u{1b}[2Jname\u{7}", &good[..]),
        announce(&long, &[&good[..], &["name=\u{200b}"]].concat()),
        // No beacons.
        announce("a", &["v=1", "fp=0123456789abcdeg", "kind=recv"]),
        announce("b", &["v=", "fp=0123456789abcdef", "kind=recv"]),
        announce("c", &["", "=", "=v", "v"]),
        announce("d", &[]),
        announce("e", &["v=1", "fp=0123456789abcdef", "kind=\u{1b}"]),
    ] {
        sender.send(&packet);
        // And cut short, and with a length that is wrong.
        let mut cut = packet.clone();
        cut.bytes.truncate(packet.bytes.len() - 7);
        sender.send(&cut);
    }
    let last = [&good[..], &["name=last"]].concat();
    sender.send(&announce("z", &last));
    watch.wait_for_text("last");
    watch.interrupt();
    let output = watch.wait();
    output.assert_code(0).assert_harmless();
    for name in ["]0;owneda31mbc", "[2Jname", "unnamed"] {
        output.assert_says(name);
    }
}

#[test]
fn two_of_the_same_name_are_both_listed() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let [one, two] = ["one", "two"].map(|name| (name, sandbox.user(name)));
    let hosts = [
        lan.host(one.0, 1, Family::Both),
        lan.host(two.0, 2, Family::Both),
    ];
    let me = lan.host("me", 3, Family::Both);
    let _first = announced(&hosts[0], &one.1, &["--name", "laptop"]);
    let second = announced(&hosts[1], &two.1, &["--name", "laptop"]);
    second
        .process()
        .wait_for_text("Announced on the network as laptop (2)");
    let found = list(&me, &sandbox.me());
    assert_eq!(names(&found), ["laptop", "laptop"]);
    let mut addresses: Vec<_> = found.iter().map(|line| line["address"].as_str()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, [Some("10.92.0.1:9090"), Some("10.92.0.2:9090")]);
}

#[test]
fn one_family_of_addresses_is_enough_and_so_is_none() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    for (n, (family, begin)) in (1..).zip([
        (Family::V4, "10.92.0."),
        (Family::V6, "[fd92::"),
        (Family::LinkLocal, "[fe80::"),
    ]) {
        let host = lan.host(&format!("h{n}"), n, family);
        let me = lan.host(&format!("me{n}"), n + 100, family);
        let user = sandbox.user(&format!("{n}"));
        let recv = announced(&host, &user, &[]);
        know(&sandbox.me(), &user, &format!("known{n}"), None);
        let found = list(&me, &sandbox.me());
        let name = format!("known{n}");
        let address = named(&found, &name)["address"].as_str().unwrap();
        assert!(address.starts_with(begin), "{address}");
        // It was asked for its key there, so it can be sent to.
        assert_eq!(named(&found, &name)["standing"], "known");
        recv.interrupt();
    }
    // No network at all.
    let alone = lan.host("alone", 50, Family::V4);
    alone.unplug();
    let recv = alone.recv(&sandbox.user("alone"), &[]);
    assert_eq!(names(&list(&alone, &sandbox.user("alone"))), [""; 0]);
    alone
        .spawn(&sandbox.user("alone"), &["list"])
        .wait()
        .assert_code(0)
        .assert_says("no machines found");
    recv.interrupt().assert_code(0);
}

#[test]
fn known_machines_are_found_where_multicast_does_not_pass() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::Both);
    let me = lan.host("me", 2, Family::Both);
    let blocked = |_: &Command| laptop.there(Command::new("iptables").arg("-V"));
    if !can_run(blocked, "no iptables") {
        return;
    }
    me.block_multicast();
    let user = sandbox.user("laptop");
    let recv = laptop.recv(&user, &[]);
    know(&sandbox.me(), &user, "laptop", Some("10.92.0.1:9090"));
    know(
        &sandbox.me(),
        &sandbox.user("away"),
        "away",
        Some("10.92.0.99:9090"),
    );
    let found = list(&me, &sandbox.me());
    assert_eq!(names(&found), ["laptop"]);
    assert_eq!(named(&found, "laptop")["standing"], "known");
    assert_eq!(named(&found, "away")["event"], "missing");
    // Nothing was said to it, and so it has nothing to say.
    let output = recv.interrupt();
    assert!(!output.text().contains("10.92.0.2"), "{output}");
}

/// avahi-daemon on a machine.
struct Avahi<'a> {
    host: &'a Host,
    bus: String,
    _daemon: Process,
}

impl<'a> Avahi<'a> {
    /// None, said loudly, where there is none.
    #[track_caller]
    fn on(host: &'a Host, sandbox: &Sandbox) -> Option<Self> {
        for tool in [
            "avahi-daemon",
            "avahi-browse",
            "avahi-publish",
            "dbus-daemon",
        ] {
            let version = |_: &Command| {
                let mut command = Command::new(tool);
                command.arg("--version").stdout(std::process::Stdio::null());
                command
            };
            if !can_run(version, &format!("no {tool}")) {
                return None;
            }
        }
        let bus = sandbox.path(&format!("bus-{}", host.name()));
        let bus = format!("unix:path={}", bus.display());
        // What they leave in /run is theirs alone, and they end with the one that is ended.
        let script = format!(
            "mount -t tmpfs none /run && mkdir /run/dbus && \
             dbus-daemon --system --fork --nopidfile --address={bus} && \
             exec avahi-daemon --no-rlimits --no-drop-root --no-chroot"
        );
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                &script,
            ])
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus);
        let daemon = Process::spawn(host.there(&command));
        daemon.wait_for_text("Server startup complete");
        Some(Self {
            host,
            bus,
            _daemon: daemon,
        })
    }

    fn spawn(&self, program: &str, args: &[&str]) -> Process {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus);
        Process::spawn(self.host.there(&command))
    }
}

#[test]
fn other_programs_of_the_standard_find_and_are_found() {
    let Some(lan) = Lan::new() else { return };
    let sandbox = Sandbox::new();
    let laptop = lan.host("laptop", 1, Family::Both);
    let other = lan.host("other", 2, Family::Both);
    let Some(avahi) = Avahi::on(&other, &sandbox) else {
        return;
    };
    let user = sandbox.user("laptop");
    let recv = announced(&laptop, &user, &["--name", "Anna's lap.top"]);
    // Beside the other responder, on its own machine.
    let beside = announced(&other, &sandbox.user("beside"), &["--name", "beside"]);
    let browse = avahi.spawn("avahi-browse", &["-rptk", "_xfer._tcp"]).wait();
    let text = browse.text();
    let fp = hex_start(&user);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("=;eth0;IPv4;Anna"))
        .collect();
    let [line] = lines[..] else {
        panic!("{browse}");
    };
    for part in [
        ";10.92.0.1;9090;",
        "\"v=1\"",
        "\"kind=recv\"",
        "\"name=Anna's lap.top\"",
        &format!("\"fp={fp}\""),
        &format!(";xfer-{fp}-9090.local;"),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(text.contains("=;eth0;IPv6;Anna"), "{text}");
    assert!(text.contains(";beside;"), "{text}");
    // The machine's own name is still the other responder's.
    let txt = ["v=1", "fp=0123456789abcdef", "kind=recv", "more=things"];
    let publish = avahi.spawn(
        "avahi-publish",
        &[&["-s", "Bob's box", "_xfer._tcp", "4321"][..], &txt].concat(),
    );
    publish.wait_for_text("Established");
    for host in [&laptop, &other] {
        let found = list(host, &sandbox.me());
        assert_eq!(
            names(&found),
            ["Anna's lap.top", "Bob's box", "beside"],
            "{}",
            host.name()
        );
        assert_eq!(named(&found, "Bob's box")["address"], "10.92.0.2:4321");
        assert_eq!(
            named(&found, "Bob's box")["fingerprint_start"],
            "aeru-kz4j-vpg6"
        );
    }
    // They withdraw what they have announced.
    let browse = avahi.spawn("avahi-browse", &["-pk", "_xfer._tcp"]);
    browse.wait_for_text("+;eth0;IPv4;beside");
    recv.interrupt().assert_code(0);
    beside.interrupt().assert_code(0);
    for gone in ["Anna", "beside"] {
        for family in ["IPv4", "IPv6"] {
            browse.wait_for_text(&format!("-;eth0;{family};{gone}"));
        }
    }
    let watch = laptop.spawn(&sandbox.me(), &["list", "--watch"]);
    watch.wait_for_text("Bob's box         10.92.0.2:4321");
    publish.interrupt();
    publish.wait();
    watch.wait_for_text("Bob's box         10.92.0.2:4321         gone");
    watch.interrupt();
    watch.wait().assert_code(0);
}
