//! What a receiver at rest says: where it listens, where it stores, what to type on the other
//! machine.
//!
//! Must not print.

use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use xfer::transfer::DEFAULT_PORT;

use super::machine;
use crate::ui::{Line, quoted};

/// What a receiver says of itself when it listens.
pub(super) struct Welcome<'a> {
    pub(super) addr: SocketAddr,
    /// None where nothing is stored.
    pub(super) dir: Option<&'a Path>,
    pub(super) open: bool,
    /// What others find it by, if it says that.
    pub(super) name: Option<&'a str>,
    /// The commands that it offers.
    pub(super) commands: &'a [String],
    /// What is said of its page for browsers.
    #[cfg(feature = "web")]
    pub(super) page: Vec<Line>,
    pub(super) verbose: bool,
}

impl Welcome<'_> {
    // Scripts read the first line: it stays as it is.
    pub(super) fn lines(&self) -> Vec<Line> {
        let addr = self.addr;
        let place = self.dir.map_or_else(
            || "to standard output".to_owned(),
            |dir| format!("into {}", dir.display()),
        );
        let mut lines = vec![format!("Listening on {addr}, receiving {place}")];
        let flag = if self.open { " --open" } else { "" };
        let is_here = addr.ip().is_loopback();
        lines.push(match is_here {
            true => "On this machine, run:".to_owned(),
            false => "On the other machine, run:".to_owned(),
        });
        let addresses = machine::addresses(addr);
        let mut addresses = addresses.iter().map(|ip| self.address(*ip));
        let address = addresses.next().unwrap_or_default();
        match self.name.filter(|_| !is_here) {
            Some(name) => {
                let name = quoted(name);
                lines.push(format!("    xfer send{flag} FILE {name}"));
                lines.push(format!("or  xfer send{flag} FILE {address}"));
            }
            None => lines.push(format!("    xfer send{flag} FILE {address}")),
        }
        let others: Vec<_> = addresses.filter(|_| self.verbose).collect();
        if !others.is_empty() {
            lines.push(format!("Other addresses: {}", others.join(", ")));
        }
        if !self.commands.is_empty() {
            let commands = self.commands.join(", ");
            lines.push(format!(
                "Machines that you allow can run: {commands} (see xfer peers)"
            ));
        }
        let mut lines: Vec<_> = lines.into_iter().map(Line::Result).collect();
        #[cfg(feature = "web")]
        lines.extend(self.page.iter().cloned());
        if self.open {
            let text = "Warning: anyone on this network can send files here (--open).";
            lines.push(Line::Talk(text.to_owned()));
        }
        if std::io::stderr().is_terminal() {
            lines.push(Line::Talk("Press Ctrl-C to stop.".to_owned()));
        }
        lines
    }

    /// An address as an argument.
    fn address(&self, ip: IpAddr) -> String {
        let port = self.addr.port();
        match ip {
            IpAddr::V4(ip) if port == DEFAULT_PORT => ip.to_string(),
            ip => quoted(&SocketAddr::new(ip, port).to_string()),
        }
    }
}
