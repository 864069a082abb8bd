//! A network in which the addresses of README.md are true, for one test alone.
//!
//! Must not change anything of the machine's own network.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Once;

/// Where the laptop is.
pub(crate) const LAPTOP: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 90);

/// Moves this thread, and all that it starts from now on, into such a network. Where that cannot
/// be done it says no, and once why.
pub(crate) fn enter() -> bool {
    static SAID: Once = Once::new();
    let entered = try_enter();
    if let Err(why) = &entered {
        let text = format!("README.md's addresses are replaced by 127.0.0.1 here: {why}\n");
        // Past what keeps the output of tests that pass.
        SAID.call_once(|| io::stderr().write_all(text.as_bytes()).unwrap());
    }
    entered.is_ok()
}

#[cfg(target_os = "linux")]
fn try_enter() -> Result<(), String> {
    use std::fs::File;
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::fd::AsFd as _;
    use std::process::{Command, Stdio};

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    // The loopback itself is called eth0 there: not every kernel can make another interface.
    let script = format!(
        "set -e; ip link set lo name eth0; ip link set eth0 up; \
         ip address add {LAPTOP}/32 dev eth0; ip address add fe80::1/64 dev eth0 nodad; \
         echo ready; read -r _"
    );
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("unshare: {e}"))?;
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let entered = if said == "ready\n" {
        let net = File::open(format!("/proc/{}/ns/net", holder.id())).unwrap();
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(net.as_fd(), network).map_err(|e| e.to_string())
    } else {
        let mut why = String::new();
        let mut stderr = holder.stderr.take().unwrap();
        stderr.read_to_string(&mut why).unwrap();
        Err(why.trim().to_owned())
    };
    drop(holder.stdin.take());
    holder.wait().unwrap();
    entered
}

#[cfg(not(target_os = "linux"))]
fn try_enter() -> Result<(), String> {
    Err("only Linux has networks for one process".to_owned())
}
