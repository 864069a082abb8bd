//! Networks that lose some packets and not others, and machines whose addresses are odd: nothing
//! waits for ever, and what can go on does.
//!
//! Each test has machines of its own: network namespaces, which only root can make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::*;

/// How long it takes until a lane that leads nowhere is given up, and the rest of the transfer,
/// with time to spare for a machine that has other things to do.
const SOON: Duration = Duration::from_secs(80);

/// Two machines with a router between them. Gone when dropped.
struct Net {
    id: String,
}

impl Net {
    const RECEIVER: &str = "10.91.2.1";

    /// None, said loudly, where such things cannot be made.
    #[track_caller]
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for tool in ["ip", "iptables"] {
            if !can_run(|_| which(tool), &format!("no {tool}")) {
                return None;
            }
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("xn{}-{number}", std::process::id());
        let net = Self { id };
        if !can_run(|_| ip(&["netns", "add", &net.name("s")]), "no namespaces") {
            return None;
        }
        net.make();
        Some(net)
    }

    fn make(&self) {
        let [s, r, d] = ["s", "r", "d"].map(|side| self.name(side));
        for name in [&r, &d] {
            run(ip(&["netns", "add", name]));
        }
        for name in [&s, &r, &d] {
            run(ip(&["-n", name, "link", "set", "lo", "up"]));
        }
        for (name, subnet, machine) in [(&s, 1, "s"), (&d, 2, "d")] {
            let there = format!("to-{machine}");
            let add = ["link", "add", "eth0", "netns", name, "type", "veth"];
            let add = [&add[..], &["peer", "name", &there, "netns", &r]].concat();
            run(ip(&add));
            let (machine, router) = (format!("10.91.{subnet}.1"), format!("10.91.{subnet}.254"));
            for (name, device, address) in [(name, "eth0", &machine), (&r, &*there, &router)] {
                let address = format!("{address}/24");
                run(ip(&["-n", name, "addr", "add", &address, "dev", device]));
                run(ip(&["-n", name, "link", "set", device, "up"]));
            }
            run(ip(&["-n", name, "route", "add", "default", "via", &router]));
        }
        run(self.on("r", &["sysctl", "-qw", "net.ipv4.ip_forward=1"]));
    }

    fn name(&self, side: &str) -> String {
        format!("{}{side}", self.id)
    }

    /// A command on the sender ("s"), the router ("r") or the receiver ("d").
    fn on(&self, side: &str, command: &[&str]) -> Command {
        let name = self.name(side);
        ip(&[&["netns", "exec", &name], command].concat())
    }

    /// The same command there.
    fn there(&self, side: &str, command: &Command) -> Command {
        let name = self.name(side);
        run_by("ip", &["netns", "exec", &name].map(OsStr::new), command)
    }

    /// Has packets that are larger than so many bytes lost on their way to a machine, without a
    /// word.
    fn lose_large(&self, to: &str, bytes: u32) {
        let (device, bytes) = (format!("to-{to}"), bytes.to_string());
        run(self.on("r", &["ip", "link", "set", &device, "mtu", &bytes]));
        run(self.on(
            "r",
            &["iptables", "-A", "OUTPUT", "-p", "icmp", "-j", "DROP"],
        ));
    }

    /// Has what comes from these ports of the sender lost.
    fn lose_from(&self, ports: &[&str]) {
        for port in ports {
            let rule = ["iptables", "-A", "FORWARD", "-p", "tcp", "--sport", port];
            run(self.on("r", &[&rule[..], &["-j", "DROP"]].concat()));
        }
    }

    /// The sender's ports that are connected to the receiver's, oldest first as far as is known.
    fn ports(&self) -> Vec<String> {
        let there = format!("{}:9090", Self::RECEIVER);
        let listed = self.on("s", &["ss", "-tnH", "state", "established", "dst", &there]);
        let listed = { listed }.output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let port = |line: &str| {
            let local = line.split_whitespace().nth(2)?;
            Some(local.rsplit_once(':')?.1.to_owned())
        };
        let mut ports: Vec<_> = text.lines().filter_map(port).collect();
        ports.sort();
        ports
    }

    fn recv(&self, sandbox: &Sandbox) -> Recv {
        let command = sandbox.user("receiver").command(&[
            OsStr::new("recv"),
            "--open".as_ref(),
            "--listen".as_ref(),
            format!("{}:9090", Self::RECEIVER).as_ref(),
            "--dir".as_ref(),
            sandbox.dst().as_ref(),
        ]);
        Recv::start(self.there("d", &command))
    }

    fn send(&self, sandbox: &Sandbox, args: &[&str]) -> Process {
        let mut command = sandbox.user("sender").command(&["send", "--open"]);
        command.args(args);
        for entry in std::fs::read_dir(sandbox.src()).unwrap() {
            command.arg(entry.unwrap().path());
        }
        command.arg(format!("{}:9090", Self::RECEIVER));
        Process::spawn(self.there("s", &command))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for side in ["s", "r", "d"] {
            let _ = ip(&["netns", "del", &self.name(side)]).output();
        }
    }
}

fn which(tool: &str) -> Command {
    let mut command = Command::new(tool);
    command.arg("-V").stdout(Stdio::null());
    command
}

fn ip(args: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(args);
    command
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// All of it has arrived, and soon.
#[track_caller]
fn arrives(sandbox: &Sandbox, sender: Process, began: Instant) -> Output {
    let sent = sender.wait();
    sent.assert_code(0);
    assert!(began.elapsed() < SOON, "{:?}\n{sent}", began.elapsed());
    assert_same_tree(sandbox.src(), sandbox.dst());
    no_leftovers(sandbox.dst());
    sent
}

/// A bad link of several, a firewall that forgets a connection.
#[test]
fn a_lane_that_leads_nowhere_while_others_go_on() {
    let Some(net) = Net::new() else { return };
    let sandbox = Sandbox::in_memory();
    make_file(sandbox.src().join("large"), 1, 24 * CHUNK + 5);
    for n in 0..50 {
        make_file(sandbox.src().join(format!("small/{n}")), n, 10_000);
    }
    let recv = net.recv(&sandbox);
    let began = Instant::now();
    let sender = net.send(&sandbox, &["--lanes", "4", "--limit", "4MB/s"]);
    // The last one of them to have been connected is a lane.
    let large = sandbox.dst();
    wait_for_bytes(&large, 4 * CHUNK);
    let ports = net.ports();
    assert_eq!(ports.len(), 5, "{ports:?}");
    net.lose_from(&[ports.last().unwrap()]);
    let sent = arrives(&sandbox, sender, began);
    sent.assert_says("over one of the connections");
    drop(recv);
}

/// A router that lets a machine have no more than a few connections at once, and says nothing.
#[test]
fn lanes_that_cannot_be_connected_are_done_without() {
    let Some(net) = Net::new() else { return };
    let sandbox = Sandbox::in_memory();
    make_file(sandbox.src().join("large"), 1, 24 * CHUNK + 5);
    let limit = ["iptables", "-A", "FORWARD", "-p", "tcp", "--syn"];
    let above = ["-m", "connlimit", "--connlimit-above", "3", "-j", "DROP"];
    let limited = |_: &Command| net.on("r", &[&limit[..], &above].concat());
    if !can_run(limited, "no limit of connections") {
        return;
    }
    let recv = net.recv(&sandbox);
    let began = Instant::now();
    let sender = net.send(&sandbox, &["--lanes", "4", "--limit", "16MB/s"]);
    let sent = arrives(&sandbox, sender, began);
    assert!(!sent.text().contains("Retrying"), "{sent}");
    // Nor was it waited for longer than it takes to connect.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    // Where they all cannot, that is what it says.
    run(net.on("r", &["iptables", "-F", "FORWARD"]));
    let above = ["-m", "connlimit", "--connlimit-above", "1", "-j", "DROP"];
    run(net.on("r", &[&limit[..], &above].concat()));
    make_file(sandbox.src().join("another"), 2, 5);
    let sender = net.send(&sandbox, &["--lanes", "2", "--retry", "0"]);
    sender.wait().assert_code(1).assert_says("cannot connect");
    // Whoever stops it meanwhile does not wait for that.
    let sender = net.send(&sandbox, &["--lanes", "2", "--retry", "0"]);
    sender.wait_for_text("Sending");
    let began = Instant::now();
    sender.interrupt();
    sender.wait();
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
    drop(recv);
}

/// Waits until so much has been received.
#[track_caller]
fn wait_for_bytes(dir: &std::path::Path, bytes: u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let usage = Command::new("du").arg("-sk").arg(dir).output().unwrap();
        let text = String::from_utf8(usage.stdout).unwrap();
        let kib: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
        if kib * 1024 >= bytes {
            return;
        }
        assert!(Instant::now() < end, "{kib} KiB");
        std::thread::yield_now();
    }
}

/// A machine that sleeps, or goes from one access point to the next.
#[test]
fn a_network_that_is_away_for_a_while() {
    let Some(net) = Net::new() else { return };
    let sandbox = Sandbox::in_memory();
    make_file(sandbox.src().join("large"), 1, 24 * CHUNK + 5);
    let recv = net.recv(&sandbox);
    let began = Instant::now();
    let sender = net.send(&sandbox, &["--lanes", "2", "--limit", "8MB/s"]);
    wait_for_bytes(&sandbox.dst(), 4 * CHUNK);
    run(net.on("r", &["iptables", "-A", "FORWARD", "-j", "DROP"]));
    // That is what it is about: as long as this.
    std::thread::sleep(away());
    run(net.on("r", &["iptables", "-F", "FORWARD"]));
    let sent = arrives(&sandbox, sender, began);
    assert!(!sent.text().contains("Retrying"), "{sent}");
    drop(recv);
}

/// For how long a network can be away. Systems before Linux 6.15 notice late that it is back.
fn away() -> Duration {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap_or(0));
    Duration::from_secs(if version >= (6, 15) { 20 } else { 8 })
}

/// However little passes, it is not nothing.
#[test]
fn a_network_that_is_very_slow() {
    let Some(net) = Net::new() else { return };
    let sandbox = Sandbox::in_memory();
    make_file(sandbox.src().join("file"), 1, 250_000);
    let slow = ["tc", "qdisc", "add", "dev", "to-d", "root", "tbf"];
    let slow = [
        &slow[..],
        &["rate", "40kbit", "burst", "4kb", "limit", "200kb"],
    ]
    .concat();
    run(net.on("r", &slow));
    let recv = net.recv(&sandbox);
    let began = Instant::now();
    let sender = net.send(&sandbox, &["--lanes", "2"]);
    let sent = arrives(&sandbox, sender, began);
    assert!(!sent.text().contains("Retrying"), "{sent}");
    drop(recv);
}

/// Sends over a network that loses large packets to a machine from the beginning.
#[track_caller]
fn black_hole(to: &str, bytes: u32, make: impl FnOnce(&Sandbox)) -> Option<Output> {
    let net = Net::new()?;
    let sandbox = Sandbox::in_memory();
    make(&sandbox);
    net.lose_large(to, bytes);
    let recv = net.recv(&sandbox);
    let began = Instant::now();
    let sender = net.send(&sandbox, &["--lanes", "2"]);
    let sent = arrives(&sandbox, sender, began);
    drop(recv);
    Some(sent)
}

/// A VPN whose MTU is too large, and a router that says nothing of it.
#[test]
fn large_packets_that_do_not_reach_the_receiver() {
    let sent = black_hole("d", 1400, |sandbox| {
        make_file(sandbox.src().join("large"), 1, 20 * CHUNK + 5);
    });
    if let Some(sent) = sent {
        sent.assert_says("small packets reach")
            .assert_says("large ones do not");
    }
}

/// What is announced is large as well, and what the receiver asks for.
#[test]
fn long_lists_that_do_not_reach_the_receiver() {
    black_hole("d", 1400, |sandbox| {
        for n in 0..2000 {
            make_file(sandbox.src().join(format!("many/{n}")), n, 100);
        }
    });
}

#[test]
fn large_packets_that_do_not_come_back() {
    black_hole("s", 1400, |sandbox| {
        for n in 0..2000 {
            make_file(sandbox.src().join(format!("many/{n}")), n, 100);
        }
    });
}

/// Not even the first words pass, which are longer than others.
#[test]
fn first_words_that_are_too_large() {
    black_hole("d", 1260, |sandbox| {
        make_file(sandbox.src().join("large"), 1, 3 * CHUNK + 5);
    });
}

/// The program as a user who may have so many threads. None, said loudly, without root.
#[track_caller]
fn with_threads(most: u32, number: u32, sandbox: &Sandbox, args: &[&OsStr]) -> Option<Command> {
    let user = sandbox.user(&format!("limited-{number}"));
    let command = user.command(args);
    // Where the tests are built, not everybody may be.
    let program = sandbox.path("xfer");
    if !program.exists() {
        std::fs::copy(command.get_program(), &program).unwrap();
    }
    let (id, limit) = (format!("{}", 61_000 + number), format!("--nproc={most}"));
    let reuid = format!("--reuid={id}");
    let wrap = [&limit, "setpriv", &reuid, "--clear-groups", "--"].map(OsStr::new);
    if !can_run(
        |command| run_by("prlimit", &wrap, command),
        "nobody can be another user",
    ) {
        return None;
    }
    for path in [&sandbox.path("."), &sandbox.dst(), user.home()] {
        set_mode(path, 0o755);
        std::os::unix::fs::chown(path, Some(61_000 + number), None).unwrap();
    }
    let mut limited = Command::new(program);
    limited.args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited.current_dir(sandbox.path("."));
    Some(run_by("prlimit", &wrap, &limited))
}

/// It would serve nobody, and not even hear that it is to stop.
#[test]
fn a_receiver_that_can_have_no_thread_ends() {
    for most in 1..=3 {
        let sandbox = Sandbox::new();
        let dst = sandbox.dst();
        let args = ["recv", "--open", "--listen", "127.0.0.1:0", "--dir"].map(OsStr::new);
        let args = [&args[..], &[dst.as_os_str()]].concat();
        let Some(command) = with_threads(most, most, &sandbox, &args) else {
            return;
        };
        let ended = Process::spawn(command).wait();
        ended.assert_code(1).assert_says("cannot start a thread");
    }
}

/// Whoever comes is told, and comes again when there are threads.
#[test]
fn a_receiver_that_can_have_few_threads_goes_on() {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 1000);
    let dst = sandbox.dst();
    let args = ["recv", "--open", "--listen", "127.0.0.1:0", "--dir"].map(OsStr::new);
    let args = [&args[..], &[dst.as_os_str()]].concat();
    let Some(command) = with_threads(5, 5, &sandbox, &args) else {
        return;
    };
    let recv = Recv::start(command);
    let sender = sandbox.user("sender");
    let file = sandbox.src().join("file").display().to_string();
    let sent = sender.send(&["--open", "--retry", "0", &file, &recv.target()]);
    sent.assert_code(1);
    // As many connections as there can be threads for say nothing; one more is closed.
    let silent: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(recv.addr()).unwrap())
        .collect();
    recv.process()
        .wait_for_text("Warning: cannot start a thread");
    drop(silent);
    recv.interrupt();
}

/// Nor does a sender wait.
#[test]
fn a_sender_that_can_have_no_thread_ends() {
    let sandbox = Sandbox::new();
    make_file(sandbox.dst().join("file"), 1, 1000);
    let recv = sandbox.user("receiver").recv(&sandbox.src(), &["--open"]);
    let file = sandbox.dst().join("file");
    let target = recv.target();
    let args = [
        "send".as_ref(),
        "--open".as_ref(),
        file.as_os_str(),
        target.as_ref(),
    ];
    for most in 1..=5 {
        let Some(command) = with_threads(most, 100 + most, &sandbox, &args) else {
            return;
        };
        let ended = Process::spawn(command).wait();
        ended.assert_code(1).assert_says("cannot start a thread");
    }
    recv.interrupt();
}

/// A receiver on all addresses that it has, and the command that it says is to be typed, run on the
/// same machine.
#[track_caller]
fn what_it_says_works(net: &Net, listen: &str) {
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 1000);
    let me = sandbox.me();
    let dst = sandbox.dst();
    let args = ["recv", "--listen", listen, "--dir"].map(OsStr::new);
    let command = me.command(&[&args[..], &[dst.as_os_str()]].concat());
    let recv = Process::spawn(net.there("d", &command));
    let is_it = |line: &str| Some(line.trim().strip_prefix("xfer send FILE ")?.to_owned());
    let target = recv.wait_for("what to type", |output| {
        let text = output.text();
        text.ends_with('\n')
            .then(|| text.lines().find_map(is_it))
            .flatten()
    });
    for target in [&*target, "127.0.0.1:9090"] {
        let mut command = me.command(&["send"]);
        command.arg(sandbox.src().join("file")).arg(target);
        let sent = Process::spawn(net.there("d", &command)).wait();
        sent.assert_code(0);
    }
    recv.interrupt();
    recv.wait().assert_code(0);
}

/// As BSDs have it by default.
#[test]
fn a_receiver_listens_to_both_families_where_that_is_not_the_default() {
    let Some(net) = Net::new() else { return };
    run(net.on("d", &["sysctl", "-qw", "net.ipv6.bindv6only=1"]));
    what_it_says_works(&net, "9090");
}

#[test]
fn a_receiver_listens_where_there_is_no_ipv6() {
    let Some(net) = Net::new() else { return };
    run(net.on("d", &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]));
    what_it_says_works(&net, "9090");
}

/// The number of an interface is another one after the next start.
#[test]
fn an_address_of_one_network_alone_is_known_by_its_interface() {
    let Some(net) = Net::new() else { return };
    let sandbox = Sandbox::new();
    make_file(sandbox.src().join("file"), 1, 1000);
    // The sender's neighbour is the router.
    let settle = || {
        for (side, device, address) in [("r", "to-s", "fe80::77/64"), ("s", "eth0", "fe80::78/64")]
        {
            run(net.on(side, &["ip", "link", "set", device, "up"]));
            let add = ["ip", "addr", "add", address, "dev", device, "nodad"];
            run(net.on(side, &add));
        }
    };
    settle();
    let (sender, receiver) = (sandbox.user("sender"), sandbox.user("receiver"));
    pair(&sender, "sender", &receiver);
    let dst = sandbox.dst();
    let args = ["recv", "--listen", "9090", "--dir"].map(OsStr::new);
    let command = receiver.command(&[&args[..], &[dst.as_os_str()]].concat());
    let recv = Process::spawn(net.there("r", &command));
    recv.wait_for_text("xfer send");
    let send = |target: &str| {
        let mut command = sender.command(&["send"]);
        command.arg(sandbox.src().join("file")).arg(target);
        Process::spawn(net.there("s", &command)).wait()
    };
    send("[fe80::77%eth0]:9090").assert_code(0);
    let listed = sender.run(&["peers"]);
    listed.assert_says("[fe80::77%eth0]:9090");
    // The same interface after the next start, with another number.
    run(net.on("s", &["ip", "link", "del", "eth0"]));
    let [s, r] = ["s", "r"].map(|side| net.name(side));
    let add = ["link", "add", "eth0", "netns", &s, "type", "veth"];
    let there = ["peer", "name", "to-s", "netns", &r];
    run(ip(&[&add[..], &there].concat()));
    settle();
    send("receiver").assert_code(0);
    recv.interrupt();
    recv.wait().assert_code(0);
}
