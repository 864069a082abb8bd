//! A browser by its bytes: curl, and requests that no browser would make.
//!
//! Must not look at what is stored or shared: the tests do.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::{Output, PATIENCE, Process, skip};

/// A page for browsers that a process serves.
pub struct Page {
    /// Its address, which ends with a slash.
    pub url: String,
    /// Where it is served.
    pub addr: SocketAddr,
}

impl Page {
    /// The page that a process has told of.
    pub fn of(process: &Process) -> Self {
        let url = process.wait_for("address of a page", |said| {
            let text = said.text();
            let urls = text
                .split_whitespace()
                .map(|word| word.trim_matches(['"', '}']));
            let url = urls.into_iter().find(|word| {
                (word.starts_with("http://") || word.starts_with("https://")) && word.ends_with('/')
            });
            url.map(str::to_owned)
        });
        let host = url.split('/').nth(2).unwrap();
        let addr = host.parse().unwrap();
        Self { url, addr }
    }

    /// The secret in its address.
    pub fn token(&self) -> &str {
        self.url.split('/').nth(3).unwrap()
    }

    /// The address of something below it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Sends these bytes, and gives all that comes back before the connection ends.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be refused before all is said.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..n]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request for a path below the page with these header lines, and no more requests after
    /// it. Gives the status.
    pub fn status_of(&self, method: &str, path: &str, headers: &str) -> u16 {
        let (addr, token) = (self.addr, self.token());
        let host = match headers.to_ascii_lowercase().starts_with("host:") {
            true => String::new(),
            false => format!("Host: {addr}\r\n"),
        };
        let request = format!(
            "{method} /{token}/{path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"
        );
        status(&self.raw(request.as_bytes()))
    }
}

/// A path as it is written in an address.
pub fn encoded(path: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let one = |&b: &u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    path.iter().map(one).collect()
}

/// The status of an answer; 0 where there is none.
pub fn status(answer: &str) -> u16 {
    let word = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// What curl does with these arguments.
pub fn curl<A: AsRef<OsStr>>(args: &[A]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*"]).args(args);
    Process::spawn(command).wait()
}

/// The status that curl sees, with the body in a file.
pub fn curl_status(url: &str, args: &[&str], into: &Path) -> u16 {
    let into = into.to_str().unwrap();
    let fixed = ["-o", into, "-w", "%{http_code}", url];
    let told = curl(&[&fixed[..], args].concat());
    told.text().trim().parse().unwrap_or(0)
}

/// Whether curl is installed; says so if not.
pub fn has_curl() -> bool {
    let has = Command::new("curl").arg("--version").output().is_ok();
    if !has {
        skip("curl is not installed");
    }
    has
}
