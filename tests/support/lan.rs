//! A network of several machines: each a network namespace with addresses of its own, all of them
//! on one switch, with real multicast.
//!
//! Must not touch the machine's own network. Only root can make one.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Process, Recv, User, can_run, run_by};

/// The switch that machines are on. Gone when dropped, with all that was plugged in.
pub struct Lan {
    id: String,
}

/// A machine on it.
pub struct Host {
    namespace: String,
    /// What it calls itself.
    name: String,
    number: u8,
}

/// Which addresses a machine has, beside the link-local one of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Both,
    V4,
    V6,
    /// No other one.
    LinkLocal,
}

impl Lan {
    /// None, said loudly, where such things cannot be made.
    #[track_caller]
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for (tool, args) in [("ip", &["-V"][..]), ("unshare", &["--version"])] {
            let version = |_: &Command| {
                let mut command = Command::new(tool);
                command.args(args).stdout(Stdio::null());
                command
            };
            if !can_run(version, &format!("no {tool}")) {
                return None;
            }
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lan = Self {
            id: format!("xl{}-{number}", std::process::id()),
        };
        let switch = lan.namespace("switch");
        let make = |_: &Command| shell(&format!("ip netns add {switch}"));
        if !can_run(make, "no network namespaces") {
            return None;
        }
        // It is to pass everything on, and at once.
        run(shell(&format!(
            "ip -n {switch} link add switch type bridge mcast_snooping 0 forward_delay 0 && \
             ip -n {switch} link set switch up"
        )));
        Some(lan)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// Plugs a machine in. Of several, each has a name and a number of its own, from 1 on.
    #[track_caller]
    pub fn host(&self, name: &str, number: u8, family: Family) -> Host {
        let host = Host {
            namespace: self.namespace(name),
            name: name.to_owned(),
            number,
        };
        let (ns, switch) = (&host.namespace, self.namespace("switch"));
        let v6 = u8::from(family == Family::V4);
        // Its addresses are its own at once: nobody else can have them.
        run(shell(&format!(
            "ip netns add {ns} && \
             ip netns exec {ns} sysctl -qw net.ipv6.conf.default.accept_dad=0 \
                net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.disable_ipv6={v6} && \
             ip -n {ns} link set lo up && \
             ip -n {ns} link add eth0 type veth peer name p{number} netns {switch} && \
             ip -n {switch} link set p{number} master switch up && \
             ip -n {ns} link set eth0 up"
        )));
        host.take_addresses(family);
        host
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let list = Command::new("ip").args(["netns", "list"]).output();
        let text = list.map(|list| String::from_utf8_lossy(&list.stdout).into_owned());
        for line in text.unwrap_or_default().lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            if name.starts_with(&format!("{}-", self.id)) {
                let _ = Command::new("ip").args(["netns", "del", name]).output();
            }
        }
    }
}

impl Host {
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 92, 0, self.number)
    }

    pub fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd92, 0, 0, 0, 0, 0, 0, self.number.into())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is called in /run/netns.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// xfer with these arguments, on this machine, as this user.
    pub fn command<A: AsRef<OsStr>>(&self, user: &User, args: &[A]) -> Command {
        self.there(&user.command(args))
    }

    /// The same command on this machine, which calls itself by its own name.
    pub fn there(&self, command: &Command) -> Command {
        let script = "hostname \"$0\" && exec \"$@\"";
        let words = [
            "netns",
            "exec",
            &self.namespace,
            "unshare",
            "--uts",
            "sh",
            "-c",
            script,
            &self.name,
        ];
        run_by("ip", &words.map(OsStr::new), command)
    }

    /// Runs a line of a shell there, which must end well.
    #[track_caller]
    pub fn run(&self, line: &str) {
        let mut command = shell(line);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        run(self.there(&command));
    }

    /// Starts a receiver there, on the usual port of all addresses, and waits until it listens.
    #[track_caller]
    pub fn recv(&self, user: &User, args: &[&str]) -> Recv {
        Recv::start(self.recv_command(user, args))
    }

    pub fn recv_command(&self, user: &User, args: &[&str]) -> Command {
        let dir = user.home().join("in");
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = user.command(&["recv", "--dir"]);
        command.arg(&dir).args(args);
        self.there(&command)
    }

    /// Begins to do something there.
    pub fn spawn<A: AsRef<OsStr>>(&self, user: &User, args: &[A]) -> Process {
        Process::spawn(self.command(user, args))
    }

    /// From now on it has the addresses of this number, and not those that it had.
    pub fn move_to(&mut self, number: u8, family: Family) {
        self.run("ip -4 address flush dev eth0; ip -6 address flush dev eth0 scope global");
        self.number = number;
        self.take_addresses(family);
    }

    fn take_addresses(&self, family: Family) {
        let (v4, v6) = (self.v4(), self.v6());
        if matches!(family, Family::Both | Family::V4) {
            self.run(&format!("ip address add {v4}/24 brd + dev eth0"));
        }
        if matches!(family, Family::Both | Family::V6) {
            self.run(&format!("ip address add {v6}/64 dev eth0 nodad"));
        }
    }

    /// Nothing of multicast DNS leaves or reaches it any more, without a word.
    pub fn block_multicast(&self) {
        self.run(
            "for tables in iptables ip6tables; do \
             $tables -w -A OUTPUT -p udp --dport 5353 -j DROP && \
             $tables -w -A INPUT -p udp --dport 5353 -j DROP || exit 1; done",
        );
    }

    /// Its cable is pulled out.
    pub fn unplug(&self) {
        self.run("ip link set eth0 down");
    }
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
