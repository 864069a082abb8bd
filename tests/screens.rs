//! The first ten minutes with xfer, as a person sees them: three machines with real terminals, and
//! each screen compared with a file in `tests/screens`. `XFER_BLESS=1` writes these files; a change
//! of words is then a change of a file, and is read as such.
//!
//! Must not assert on words itself, beyond what it waits for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

#[path = "screens/picture.rs"]
mod picture;
mod support;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use support::lan::{Family, Host, Lan};
use support::screen::{Shot, reflowed};
use support::story::marked;
use support::*;
use xfer::net::{Identity, Known, Peers};

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

/// The usual size of a terminal.
const USUAL: (u16, u16) = (80, 24);

impl Home {
    #[track_caller]
    fn new() -> Option<Self> {
        let lan = Lan::new()?;
        // Some disks take their time to forget a file.
        let sandbox = Sandbox::in_memory();
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
        self.shell_of(USUAL)
    }

    fn shell_of(&self, size: (u16, u16)) -> Screen {
        let args = ["-c", MOVE_IN, self.host.name()].map(OsStr::new);
        let there = |command: &Command| self.host.there(&run_by("sh", &args, command));
        Screen::shell(&self.user, self.host.name(), size, there)
    }

    /// A shell in which `xfer recv` runs with these arguments, and listens.
    fn receiver(&self, args: &str) -> Screen {
        let screen = self.shell();
        screen.type_line(format!("xfer recv {args}").trim_end());
        screen.wait_until("a receiver", is_at_rest);
        screen
    }

    fn home(&self, name: &str) -> PathBuf {
        self.user.home().join(name)
    }

    /// Is known to `other`, whose files it takes, as pairing has it.
    fn is_paired_with(&self, other: &Self) {
        let key = |of: &Self| {
            let identity = Identity::load_or_create(&of.home(".config/xfer"));
            identity.unwrap().fingerprint()
        };
        let meet = |who: &Self, known: Known| {
            let add = |all: &mut Vec<Known>| {
                all.push(known);
                Ok(())
            };
            let peers = Peers::in_dir(&who.home(".local/share/xfer"));
            peers.update(add).unwrap();
        };
        let mut sender = Known::new(other.host.name(), key(other));
        (sender.may_send, sender.may_message) = (true, true);
        meet(self, sender);
        let mut receiver = Known::new(self.host.name(), key(self));
        receiver.may_receive = true;
        receiver.address = Some(SocketAddr::new(self.host.v4().into(), 9090).into());
        meet(other, receiver);
    }
}

/// Whether a receiver shows where it is reached.
fn is_at_rest(screen: &str) -> bool {
    screen.contains(":9090")
        && screen.lines().last().is_some_and(|row| !row.contains('$'))
        && screen.contains("xfer send")
}

/// Whether this is a shell's prompt, with nothing behind it.
fn is_prompt(row: &str) -> bool {
    let name = row.strip_suffix("$ ");
    name.is_some_and(|name| name.chars().all(char::is_alphanumeric))
}

/// Whether a shell waits for the next command, and has run one.
fn is_done(screen: &str) -> bool {
    let rows: Vec<_> = screen.lines().collect();
    rows.len() > 1 && rows.last().is_some_and(|row| is_prompt(row))
}

/// Types a line into an empty screen.
#[track_caller]
fn run(screen: &Screen, line: &str) {
    if !is_prompt(&screen.text()) {
        screen.type_line("clear");
        screen.wait_until("an empty screen", is_prompt);
    }
    screen.type_line(line);
}

/// Whether nothing moves.
fn rests(screen: &str) -> bool {
    !screen.contains(['━', '─', '╸'])
}

/// Whether a question waits for its answer.
fn is_asked(screen: &str) -> bool {
    [": ", "? ", "] "].iter().any(|end| screen.ends_with(end))
}

/// Whether a sender asks for a code.
fn asks_for_code(screen: &str) -> bool {
    screen
        .lines()
        .last()
        .is_some_and(|row| row.contains("ode") && row.ends_with(": "))
}

/// Whether all bars are in motion, well behind their start.
fn moves(screen: &str) -> bool {
    let shares = screen.match_indices('%').filter_map(|(at, _)| {
        let digits = screen[..at].rsplit(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u8>().ok()
    });
    let shares: Vec<u8> = shares.collect();
    let all = shares.iter().all(|share| (5..=95).contains(share));
    all && !shares.is_empty() && screen.contains(" MB/s")
}

/// The code that a receiver shows last.
#[track_caller]
fn code_on(screen: &Screen) -> String {
    let codes = |all: &str| {
        let words: Vec<_> = all.split_whitespace().map(str::to_owned).collect();
        let three = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
        let mut pairs = words.windows(2).rev();
        let found = pairs.find(|pair| three(&pair[0]) && three(&pair[1]));
        found.map(|pair| pair.concat())
    };
    let shot = screen.wait_until("code", |all| codes(all).is_some());
    codes(&shot.text()).unwrap()
}

/// The code that a receiver shows for this machine.
#[track_caller]
fn code_for(screen: &Screen, name: &str) -> String {
    screen.code_after(&format!("on {name}:"))
}

/// Another code than this one.
fn not_this(code: &str) -> String {
    let other = (code.parse::<u32>().unwrap() + 1) % 1_000_000;
    format!("{other:06}")
}

#[test]
fn the_first_file() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    make_file(desktop.home("film.mkv"), 1, 24_000_000);
    let mut story = Story::new(
        "first_file",
        "The first file, from a machine that is new here.",
    );
    let (left, right) = (laptop.shell(), desktop.shell());
    story.colours(true);
    left.type_line("xfer recv --dir ~/Downloads");
    story.shows_when("laptop waits", &left, is_at_rest);
    right.type_line("xfer send film.mkv 10.92.0.1:9090");
    let code = code_on(&left);
    story.shows("laptop shows a code", &left, &code[..3]);
    story.shows_when("desktop asks for it", &right, asks_for_code);
    right.type_line(&code);
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    left.interrupt();
    story.shows_when("laptop stops", &left, is_done);
    story.end();
}

#[test]
fn forty_columns() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    let name = "Two long holidays in the north of Iceland (1080p).mkv";
    make_file(desktop.home(name), 1, 6_000_000);
    let mut story = Story::new("forty_columns", "The first file, in windows of 40 columns.");
    let (left, right) = (laptop.shell_of((40, 30)), desktop.shell_of((40, 30)));
    left.type_line("xfer recv --dir ~/Downloads");
    left.wait_until("a receiver", is_at_rest);
    right.type_line("xfer send --limit 2MB/s Two* 10.92.0.1");
    let code = code_on(&left);
    story.shows("laptop shows a code", &left, &code[..3]);
    story.shows_when("desktop asks for it", &right, asks_for_code);
    right.type_line(&code);
    story.shows_when("desktop sends", &right, moves);
    story.shows_when("laptop receives", &left, moves);
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    story.end();
}

#[test]
fn a_wrong_code() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    let mut story = Story::new(
        "wrong_code",
        "A wrong code, a word that is no code, and the right one.",
    );
    let (left, right) = (laptop.receiver(""), desktop.shell());
    right.type_line("xfer send film.mkv 10.92.0.1");
    let code = code_on(&left);
    right.wait_until("a question", asks_for_code);
    right.type_line("hello");
    story.shows_when("desktop has typed a word", &right, |all| {
        all.contains("hello") && asks_for_code(all)
    });
    right.type_line(&not_this(&code));
    let wrong = not_this(&code);
    story.shows_when("desktop has typed a wrong code", &right, |all| {
        all.contains(&wrong) && asks_for_code(all)
    });
    story.shows("laptop hears of it", &left, " ");
    right.type_line(&code_on(&left));
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    story.end();
}

#[test]
fn two_pair_at_once() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    let phone = home.machine("phone", 3);
    let title = "Two people pair with one machine at the same time.";
    let mut story = Story::new("two_at_once", title);
    let left = laptop.receiver("");
    let mut senders = Vec::new();
    for machine in [&desktop, &phone] {
        make_file(machine.home("film.mkv"), 1, 8_000_000);
        let screen = machine.shell();
        screen.type_line("xfer send film.mkv 10.92.0.1");
        screen.wait_until("a question", asks_for_code);
        senders.push(screen);
    }
    let codes = ["desktop", "phone"].map(|name| code_for(&left, name));
    assert_ne!(codes[0], codes[1]);
    story.shows("laptop has a code for each", &left, &codes[1][..3]);
    // The one that came last is first.
    for (n, name) in [(1, "phone"), (0, "desktop")] {
        senders[n].type_line(&codes[n]);
        story.shows_when(&format!("{name} has sent it"), &senders[n], is_done);
    }
    story.shows_when("laptop has received both", &left, |all| {
        all.matches("Received").count() == 2 && rests(all)
    });
    story.end();
}

#[test]
fn an_abandoned_prompt() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    let mut story = Story::new("abandoned_prompt", "Ctrl-C where a code is asked for.");
    let (left, right) = (laptop.receiver(""), desktop.shell());
    right.type_line("xfer send film.mkv 10.92.0.1");
    let code = code_on(&left);
    right.wait_until("a question", asks_for_code);
    let before = left.shot().rows.len();
    right.interrupt();
    story.shows_when("desktop", &right, is_done);
    story.shows_when("laptop", &left, |all| {
        all.lines().count() > before && all.contains(&code[..3])
    });
    story.end();
}

#[test]
fn interrupted_and_resumed() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    make_file(desktop.home("film.mkv"), 1, 32_000_000);
    let title = "Ctrl-C in the middle of a file, and the same command again.";
    let mut story = Story::new("interrupted", title);
    story.colours(true);
    let (left, right) = (laptop.receiver(""), desktop.shell());
    right.type_line("xfer send --limit 8MB/s film.mkv laptop");
    story.shows_when("desktop sends", &right, moves);
    story.shows_when("laptop receives", &left, moves);
    right.interrupt();
    story.shows_when("desktop has stopped", &right, is_done);
    story.shows_when("laptop hears of it", &left, |all| {
        all.contains("desktop") && rests(all)
    });
    run(&right, "xfer send --limit 8MB/s film.mkv laptop");
    story.shows_when("desktop sends the rest", &right, moves);
    story.shows_when("laptop receives the rest", &left, moves);
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    story.end();
}

#[test]
fn enter_and_another_size() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    make_file(desktop.home("film.mkv"), 1, 24_000_000);
    let title = "Enter is pressed while bars move, and windows get another size.";
    let mut story = Story::new("resized", title);
    let (left, right) = (laptop.receiver(""), desktop.shell());
    right.type_line("xfer send --limit 4MB/s film.mkv laptop");
    for screen in [&left, &right] {
        screen.wait_until("a bar", moves);
        screen.type_keys("\n");
        screen.type_keys("\n");
    }
    let one = |all: &str| moves(all) && all.matches('%').count() == 1;
    story.shows_when("desktop, after Enter twice", &right, one);
    story.shows_when("laptop, after Enter twice", &left, one);
    for (columns, how) in [(110, Reshape::Reflow), (60, Reshape::Cut)] {
        right.resize(columns, 24, how);
        story.shows_when(&format!("desktop, {columns} columns"), &right, one);
    }
    // Each Enter was one for the shell, too.
    story.shows_when("desktop has sent it", &right, |all| {
        all.contains("Sent") && all.trim_end().ends_with("desktop$ desktop$ desktop$")
    });
    story.end();
}

#[test]
fn a_folder() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    for n in 0..40 {
        make_file(
            desktop.home(&format!("photos/2024/IMG_{n:04}.jpg")),
            n,
            200_000,
        );
    }
    make_file(desktop.home("photos/film.mkv"), 99, 16_000_000);
    let mut story = Story::new("folder", "A folder, and the same again.");
    let (left, right) = (laptop.receiver(""), desktop.shell());
    right.type_line("xfer send --limit 8MB/s photos laptop");
    story.shows_when("desktop sends", &right, |all| {
        moves(all) && all.contains("film.mkv") && !all.contains("IMG")
    });
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    run(&right, "xfer send photos laptop");
    story.shows_when("desktop again", &right, is_done);
    make_file(desktop.home("photos/film.mkv"), 98, 1_000_000);
    run(&right, "xfer send photos laptop");
    story.shows_when("desktop has changed one", &right, is_done);
    story.shows_when("laptop keeps both", &left, |all| {
        all.contains("(2)") && rests(all)
    });
    story.end();
}

#[test]
fn a_mirror_that_removes_5000() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    for n in 0..5000 {
        make_file(
            laptop.home(&format!("Downloads/photos/{}/{n}.jpg", n / 500)),
            n,
            1,
        );
    }
    for n in 0..3 {
        make_file(desktop.home(&format!("photos/{n}.jpg")), n, 1000);
    }
    let mut story = Story::new("mirror", "A mirror that removes 5,000 files.");
    let (left, right) = (laptop.receiver("--allow-mirror"), desktop.shell());
    right.type_line("xfer send --mirror --dry-run photos laptop");
    story.shows_when("desktop asks what would happen", &right, is_done);
    story.shows_when("laptop hears of it", &left, |all| {
        all.contains("desktop") && rests(all)
    });
    run(&right, "xfer send --mirror photos laptop");
    story.shows_when("desktop is asked", &right, is_asked);
    story.shows("laptop waits", &left, "waiting for the sender");
    right.type_line("perhaps");
    right.wait_until("another question", |all| {
        all.matches("Delete them?").count() == 2 && is_asked(all)
    });
    right.type_line("yes");
    story.shows_when("desktop has sent it", &right, is_done);
    story.shows("laptop has removed them", &left, "Received");
    story.end();
}

#[test]
fn who_is_here() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    let phone = home.machine("phone", 3);
    laptop.is_paired_with(&desktop);
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    let mut story = Story::new("who_is_here", "Who is here, and whom desktop knows.");
    let _receivers = [laptop.receiver("-v"), phone.receiver("-v")].map(|screen| {
        screen.wait_for("nnounced");
        screen
    });
    let right = desktop.shell();
    // They are listed as they answer.
    story.sorted(true);
    run(&right, "xfer list");
    story.shows_when("the list", &right, is_done);
    story.sorted(false);
    run(&right, "xfer peers");
    story.shows_when("whom it is paired with", &right, is_done);
    run(&right, "xfer id");
    story.shows_when("its own fingerprint", &right, is_done);
    run(&right, "xfer send film.mkv");
    story.shows_when("a target is left out", &right, |all| {
        all.contains("laptop") && all.contains("phone") && is_asked(all)
    });
    right.type_line("1");
    story.shows_when("it is chosen", &right, is_done);
    story.end();
}

#[test]
fn what_goes_wrong() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    std::fs::create_dir(desktop.home("photos")).unwrap();
    let title = "What a person gets wrong, and what xfer says.";
    let mut story = Story::new("mistakes", title);
    let right = desktop.shell_of((80, 40));
    for (caption, line) in [
        ("nothing listens there", "xfer send film.mkv 10.92.0.1"),
        ("a name that nobody has", "xfer send film.mkv lapto"),
        ("there is no such file", "xfer send fim.mkv laptop"),
        ("no target", "xfer send film.mkv </dev/null 2>&1 | cat"),
        ("as with scp", "xfer send -r photos laptop"),
        ("a port that is none", "xfer send film.mkv laptop:99999"),
        (
            "an option that is none",
            "xfer send --updat film.mkv laptop",
        ),
        ("nothing at all", "xfer send"),
        ("a folder that is not there", "xfer recv --dir ~/Donwloads"),
    ] {
        run(&right, line);
        story.shows_when(caption, &right, is_done);
    }
    story.end();
}

#[test]
fn a_firewall() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop
        .host
        .run("iptables -w -A INPUT -p tcp --dport 9090 -j DROP");
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    let mut story = Story::new("firewall", "A firewall drops all that comes to the port.");
    let right = desktop.shell();
    right.type_line("xfer send film.mkv 10.92.0.1");
    story.shows("desktop waits", &right, "Connecting");
    right.interrupt();
    story.shows_when("desktop gives up", &right, is_done);
    story.end();
}

#[test]
fn each_offer_is_asked_about() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    laptop.is_paired_with(&desktop);
    make_file(desktop.home("film.mkv"), 1, 8_000_000);
    let mut story = Story::new("ask", "A receiver that asks about each offer.");
    let (left, right) = (laptop.receiver("--ask"), desktop.shell());
    right.type_line("xfer send film.mkv laptop");
    story.shows("laptop asks", &left, "Accept?");
    left.type_line("never");
    left.wait_until("the same question", |all| {
        all.matches("Accept?").count() == 2 && is_asked(all)
    });
    left.type_line("n");
    story.shows_when("desktop is told no", &right, is_done);
    run(&right, "xfer send film.mkv laptop");
    let twice = |all: &str| all.matches("Accept?").count() == 3 && is_asked(all);
    left.wait_until("another question", twice);
    left.type_line("y");
    story.shows_when("desktop is told yes", &right, is_done);
    story.shows("laptop has received it", &left, "Received");
    story.end();
}

#[test]
fn the_picture_of_the_readme_is_of_today() {
    picture::is_of_today();
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
        ("this code:  123 456", "this code:  ### ###"),
        ("Code on laptop: 123456", "Code on laptop: ######"),
        (
            "film.mkv (315 MB) in 12.8 s (98 kB/s), 43.2 GB are free",
            "film.mkv (315 MB) in #.# s (### MB/s), ### GB are free",
        ),
        ("xfer send --limit 6MB/s", "xfer send --limit 6MB/s"),
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
