//! The first ten minutes with xfer, as a person sees them: three machines with real terminals, and
//! each screen compared with a file in `tests/screens`. `XFER_BLESS=1` writes these files; a change
//! of words is then a change of a file, and is read as such.
//!
//! Must not assert on words itself, beyond what it waits for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod support;

use std::ffi::OsStr;
use std::process::Command;

use support::lan::{Family, Host, Lan};
use support::screen::{Shot, reflowed};
use support::story::marked;
use support::*;

/// What a shell does before it is one: it makes the home of its user `/home/NAME`, in a namespace
/// of its own, and has the program where nothing of `/home` hides it.
const MOVE_IN: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
: >/mnt/xfer
mkdir /mnt/home
mount --bind "$(readlink -f "$HOME/.local/bin/xfer")" /mnt/xfer
mount --bind "$HOME" /mnt/home
mount -t tmpfs tmpfs /home
mkdir "/home/$0"
mount --bind /mnt/home "/home/$0"
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
HOME=/home/$0 PATH=/mnt:$PATH
export HOME PATH
cd
exec "$@"
"#;

/// What a person has whose machine it is.
struct Machine {
    host: Host,
    user: User,
}

/// Machines on one network.
struct Home {
    sandbox: Sandbox,
    lan: Lan,
}

impl Home {
    #[track_caller]
    fn new() -> Option<Self> {
        let lan = Lan::new()?;
        let sandbox = Sandbox::new();
        Some(Self { sandbox, lan })
    }

    fn machine(&self, name: &str, number: u8) -> Machine {
        let user = self.sandbox.user(name);
        std::fs::create_dir_all(user.home().join("Downloads")).unwrap();
        Machine {
            host: self.lan.host(name, number, Family::V4),
            user,
        }
    }
}

impl Machine {
    /// A shell there, in a terminal of the usual size.
    fn shell(&self) -> Screen {
        self.shell_of(80, 24)
    }

    fn shell_of(&self, columns: u16, rows: u16) -> Screen {
        let args = ["-c", MOVE_IN, self.host.name()].map(OsStr::new);
        let there = |command: &Command| self.host.there(&run_by("sh", &args, command));
        Screen::shell(&self.user, self.host.name(), (columns, rows), there)
    }
}

#[test]
fn the_first_file() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    make_file(desktop.user.home().join("film.mkv"), 1, 24_000_000);
    let mut story = Story::new(
        "first_file",
        "The first file: it comes to a machine that does not know the sender yet.",
    );
    let (left, right) = (laptop.shell(), desktop.shell());
    left.type_line("xfer recv --dir ~/Downloads");
    story.shows("laptop waits", &left, "Listening");
    right.type_line("xfer send film.mkv 10.92.0.1");
    let code = left.code_after("code on desktop:");
    story.shows("laptop shows a code", &left, "code on desktop:");
    story.shows("desktop asks for it", &right, "Code on laptop:");
    right.type_line(&code);
    story.shows_when("desktop has sent it", &right, |all| {
        all.ends_with("desktop$")
    });
    story.shows("laptop has received it", &left, "Received");
    left.interrupt();
    story.shows_when("laptop stops", &left, |all| all.ends_with("laptop$"));
    story.end();
}

#[test]
fn lines_are_broken_anew_with_the_cursor_where_it_was() {
    let mut old = vt100::Parser::new(4, 10, 0);
    old.process(b"one\r\n\x1b[32mabcdefghijkl\x1b[m\r\nxy");
    let new = reflowed(old.screen(), 6, 5);
    let shot = Shot::of(new.screen());
    assert_eq!(shot.rows, ["one", "abcdef", "ghijkl", "xy"]);
    assert_eq!(shot.style_of("ghi"), Some("green"));
    assert_eq!(new.screen().cursor_position(), (3, 2));
    let back = reflowed(new.screen(), 10, 4);
    let rows = ["one", "abcdefghij", "kl", "xy"];
    assert_eq!(Shot::of(back.screen()).rows, rows);
}

#[test]
fn marks_keep_columns() {
    for (row, shown) in [
        ("this code on a:  123 456", "this code on a:  ### ###"),
        ("Code on laptop: 123456", "Code on laptop: ######"),
        (
            "film.mkv (315 MB) in 12.8 s (98 MB/s)",
            "film.mkv (315 MB) in #.# s (### MB/s)",
        ),
        (
            "a ━╸──────  45%   12/315 MB  x",
            "a ━━━━╸───  ##%  ###/315 MB  x",
        ),
        (
            "a ────────   0%    0/315 MB  x",
            "a ────────   0%  ###/315 MB  x",
        ),
        (
            "a ━━━━━━━━ 100%  315/315 MB  x",
            "a ━━━━━━━━ 100%  ###/315 MB  x",
        ),
        (
            "from 10.92.0.2:43210 to 10.92.0.1:9090",
            "from 10.92.0.2:##### to 10.92.0.1:9090",
        ),
        ("key abcd-2345-efgh-ijkl ok", "key xxxx-xxxx-xxxx-xxxx ok"),
        (
            "1,234 of 5,000 files, 2 deleted",
            "1,234 of 5,000 files, 2 deleted",
        ),
    ] {
        assert_eq!(marked(row), shown);
    }
}
