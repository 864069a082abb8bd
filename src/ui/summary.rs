//! The words for how a session ended.
//!
//! Must not print, and must not make names fit for a terminal: the screen does, for all lines.

use std::path::Path;
use std::time::Duration;

use xfer::model::outcome::{OnConflict, Role, Summary, Wish};
use xfer::model::progress::Trust;
use xfer::sys::shell;

use super::safe::{quoted, safe};
use super::tally::Tally;
use super::words::{bytes, count, duration, plural, rate_over};

/// Times that are shorter are not worth a word.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// What the two sides agreed on before they began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) wish: Wish,
    pub(crate) conflict: OnConflict,
    pub(crate) trust: Trust,
    /// Whether this side goes on with what it began before a connection was lost.
    pub(crate) goes_on: bool,
}

impl Terms {
    /// Whether the receiver replaces less than the sender asks for.
    fn is_stricter(&self) -> bool {
        self.wish.update && self.conflict != OnConflict::Replace
    }

    /// Whether a receiver that stores a file under another name has compared it with the one that
    /// is there: it does so only for those who may learn what that one contains.
    fn compares(&self) -> bool {
        self.trust == Trust::SameUser || self.conflict == OnConflict::Replace
    }
}

/// A session that ended in order, as this side has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedSession<'a> {
    pub(crate) role: Role,
    /// Whether this side dialed.
    pub(crate) dialed: bool,
    /// What the other side is called.
    pub(crate) peer: &'a str,
    pub(crate) terms: &'a Terms,
    pub(crate) summary: &'a Summary,
    pub(crate) tally: &'a Tally,
    /// What was sent, where the sender's user named one thing.
    pub(crate) only: Option<&'a Path>,
    /// How many things they named.
    pub(crate) named: u64,
    /// Where a receiver has stored it.
    pub(crate) dir: Option<&'a str>,
    pub(crate) time: Duration,
    /// How many bytes travelled, where that is known.
    pub(crate) travelled: Option<u64>,
}

/// What is said of a session that ended in order: a line, and one for each thing that is worth
/// a word.
pub(crate) fn lines(ended: &EndedSession<'_>) -> Vec<String> {
    let EndedSession {
        role,
        peer,
        terms,
        summary: s,
        tally,
        ..
    } = *ended;
    if terms.wish.dry_run {
        return plan_lines((role, ended.dialed), peer, s, tally);
    }
    let mut lines = vec![ended.headline()];
    let mut add = |n: u64, text: String| {
        if n > 0 {
            lines.push(format!("  {text}"));
        }
    };
    let held = bytes(s.held_bytes);
    let held = match s.replaced {
        0 => format!("Resumed: {held} were already there"),
        _ => format!("{held} were already there"),
    };
    add(s.held_bytes, held);
    if s.stored > 0 || s.failed > 0 {
        let have = plural(s.have_files, "file was", "files were");
        let size = bytes(s.have_bytes);
        add(s.have_files, format!("{have} already there ({size})"));
    }
    let replaced = plural(s.replaced, "file", "files");
    add(s.replaced, format!("{replaced} replaced"));
    add(s.renamed, ended.renamed());
    if !ended.only_deleted() {
        let deleted = format!("{} deleted (not on the sender)", count(s.removed));
        add(s.removed, deleted);
    }
    if terms.wish.mirror && s.failed > 0 && s.removed == 0 && !tally.too_many_removals {
        add(
            1,
            "Nothing was deleted, because something failed".to_owned(),
        );
    }
    let whose = match role {
        Role::Sender => peer,
        Role::Receiver if ended.dialed => "this machine",
        Role::Receiver => "this receiver",
    };
    let kept = plural(s.kept, "item", "items");
    add(
        s.kept,
        format!("{kept} skipped, because {whose} has something of that name"),
    );
    if terms.wish.checksum && terms.is_stricter() && terms.trust != Trust::SameUser {
        let text = "Contents were not compared, because the receiver has no --allow-update";
        add(1, text.to_owned());
    }
    let left_out = count(tally.left_out);
    add(tally.left_out, format!("{left_out} left out by filters"));
    let own = tally.own_left_out();
    add(u64::from(own.is_some()), own.unwrap_or_default());
    if let Some(travelled) = ended.compressed() {
        let over = rate_over(travelled, ended.time);
        let over = over.map_or(String::new(), |rate| format!(" ({rate})"));
        add(1, format!("Compressed to {}{over}", bytes(travelled)));
    }
    let again = match (role, ended.dialed) {
        // What is refused for what it is would be refused again.
        _ if s.failed <= tally.refused_for_good => "",
        (Role::Sender, true) => "; send again to retry",
        (Role::Receiver, true) => "; fetch again to retry",
        (_, false) => "",
    };
    add(s.failed, format!("{} failed{again}", count(s.failed)));
    lines
}

impl EndedSession<'_> {
    fn headline(&self) -> String {
        let s = self.summary;
        let (verb, peer) = match self.role {
            Role::Sender => ("Sent", self.peer),
            Role::Receiver => ("Received", self.peer),
        };
        let way = match (self.role, self.dir) {
            (Role::Sender, _) => format!("to {peer}"),
            (Role::Receiver, None) => format!("from {peer}"),
            (Role::Receiver, Some(dir)) => format!("from {peer} into {dir}"),
        };
        if self.only_deleted() {
            let what = self.name().unwrap_or_else(|| self.items());
            let deleted = count(s.removed);
            return format!("Mirrored {what} {way}: nothing new, {deleted} deleted");
        }
        let others = s.stored.saturating_sub(s.files);
        if s.files == 0 && others == 0 && s.failed == 0 && s.have > 0 {
            let more = s.have.saturating_sub(s.have_files);
            let what = self.what(s.have_files, s.have_bytes, more);
            return match self.role {
                // It may be what was sent before: some of what was told of it was lost, too.
                Role::Sender if self.terms.goes_on => format!("Sent {what} {way}"),
                Role::Sender => format!("Nothing to send: {peer} already has {what}"),
                Role::Receiver => {
                    let is = match self.name().is_some() || s.have == 1 {
                        true => "is",
                        false => "are",
                    };
                    format!("Nothing to receive from {peer}: {what} {is} already here")
                }
            };
        }
        if s.files == 0 && others == 0 {
            return format!("{verb} nothing {way}");
        }
        let what = match self.part() {
            Some(part) => part,
            None => self.what(s.files, s.bytes, others),
        };
        if s.files == 0 {
            return format!("{verb} {what} {way}");
        }
        let moved = s.bytes.saturating_sub(s.held_bytes);
        // Beside the size of what was hardly moved at all, a rate would seem to be wrong.
        let rate = rate_over(moved, self.time).filter(|_| moved >= s.held_bytes);
        let rate = rate.map_or(String::new(), |rate| format!(" ({rate})"));
        let time = match self.time >= LEAST_TIME {
            true => format!(" in {}", duration(self.time)),
            false => String::new(),
        };
        format!("{verb} {what} {way}{time}{rate}")
    }

    /// What was sent, where some files failed: `18 of 49 files of photos (1.2 MB)`.
    fn part(&self) -> Option<String> {
        let s = self.summary;
        let failed = self.tally.failed_files;
        // Behind a lost connection those that failed before it are met again.
        if failed == 0 || s.files == 0 || self.terms.goes_on {
            return None;
        }
        let all = [s.have_files, s.kept, failed];
        let all = all.into_iter().fold(s.files, u64::saturating_add);
        let all = plural(all, "file", "files");
        let of = self
            .name()
            .map_or(String::new(), |name| format!(" of {name}"));
        Some(format!(
            "{} of {all}{of} ({})",
            count(s.files),
            bytes(s.bytes)
        ))
    }

    /// Whether a mirror had nothing else to do.
    fn only_deleted(&self) -> bool {
        let s = self.summary;
        s.stored == 0 && s.failed == 0 && s.removed > 0
    }

    fn name(&self) -> Option<String> {
        self.only.map(|only| safe(only).to_string())
    }

    fn items(&self) -> String {
        plural(self.named, "item", "items")
    }

    /// What was sent: `film.mkv (315 MB)`, `photos (12 files, 45 MB)`, `3 files (1.2 GB)`. `others`
    /// are folders and links.
    fn what(&self, files: u64, size: u64, others: u64) -> String {
        let size = bytes(size);
        let all = plural(files, "file", "files");
        match self.name() {
            Some(name) if files == 1 && others == 0 => format!("{name} ({size})"),
            Some(name) if files > 0 => format!("{name} ({all}, {size})"),
            Some(name) if others == 1 => name,
            Some(name) => format!("{name} ({})", folders(others)),
            None if files == 0 => folders(others),
            None if files == self.named || self.named == 0 => format!("{all} ({size})"),
            None => format!("{} ({all}, {size})", self.items()),
        }
    }

    /// Under which names files are stored that could not have their own.
    fn renamed(&self) -> String {
        let EndedSession {
            role,
            peer,
            terms,
            tally,
            ..
        } = *self;
        let n = self.summary.renamed;
        let first = tally.renamed.first().filter(|_| n == 1);
        let how = match terms.compares() {
            true => "with other content",
            false => "already",
        };
        let stored = match first {
            Some((path, to)) => {
                let to = quoted(&file_name(to));
                let path = file_name(path);
                format!("Stored as {to}, because {path} exists {how}")
            }
            None => {
                let other = plural(n, "file", "files");
                format!("{other} stored under another name, because they exist {how}")
            }
        };
        let names = match first {
            None if !tally.renamed.is_empty() => names(n, tally),
            _ => String::new(),
        };
        let way_out = match role {
            // Without a word of its user to keep what is there, it would have declined.
            Role::Sender if terms.is_stricter() => {
                format!("; {peer} does not replace files (--on-conflict beside)")
            }
            Role::Receiver if terms.is_stricter() => {
                "; this receiver does not replace files (--on-conflict beside)".to_owned()
            }
            Role::Receiver if self.dialed => "; to replace it, fetch with --update".to_owned(),
            Role::Sender if self.dialed => "; to replace it, send with --update".to_owned(),
            _ => String::new(),
        };
        let way_out = match n {
            1 => way_out,
            _ => way_out.replace("replace it", "replace them"),
        };
        format!("{stored}{names}{way_out}")
    }

    /// How much travelled, where that is much less than what was moved: what was compressed.
    fn compressed(&self) -> Option<u64> {
        let moved = self.summary.bytes.saturating_sub(self.summary.held_bytes);
        let travelled = self.travelled.filter(|_| !self.terms.goes_on)?;
        let is_less = travelled < moved / 10 * 8 && moved >= 1_000_000;
        is_less.then_some(travelled)
    }
}

/// A folder as its user would write it.
pub(super) fn at_home(dir: &Path) -> String {
    let home = std::env::var_os(shell::HOME_VARIABLE)
        .filter(|home| shell::KNOWS_TILDE && Path::new(home).parent().is_some());
    match home.as_ref().map(|home| dir.strip_prefix(home)) {
        Some(Ok(rest)) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(Ok(rest)) => format!("~/{}", rest.display()),
        _ => dir.display().to_string(),
    }
}

/// Why a peer is let in, as what follows "it is".
pub(super) fn trusted(trust: Trust) -> &'static str {
    match trust {
        Trust::SameUser => "the same user on this machine",
        Trust::Paired => "paired with this machine",
        Trust::Open => "let in by --open",
        Trust::Link => "let in by the link of the page",
        _ => "known here",
    }
}

fn folders(n: u64) -> String {
    plural(n, "folder or link", "folders and links")
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    safe(name).to_string()
}

fn names(n: u64, tally: &Tally) -> String {
    let told = tally.renamed.iter();
    let told = told.map(|(path, to)| format!("{} as {}", safe(path), quoted(&file_name(to))));
    let mut told: Vec<_> = told.collect();
    if n > told.len() as u64 {
        told.push("…".to_owned());
    }
    format!(": {}", told.join(", "))
}

/// What is said of a dry run: what would be done, and whether there is space for it.
fn plan_lines((role, dialed): (Role, bool), peer: &str, s: &Summary, tally: &Tally) -> Vec<String> {
    if !dialed {
        return vec![match role {
            Role::Sender => format!("{peer} looked at what you share; nothing was sent."),
            Role::Receiver => format!("{peer} made a dry run; nothing changed."),
        }];
    }
    let files = plural(s.files, "file", "files");
    let size = bytes(s.bytes);
    let mut lines = vec![match role {
        Role::Sender => format!("Would send {files} (up to {size}) to {peer}; nothing changed"),
        Role::Receiver => {
            format!("Would fetch {files} (up to {size}) from {peer}; nothing changed")
        }
    }];
    let new = (s.files).saturating_sub(s.replaced.saturating_add(s.renamed));
    let others = s.stored.saturating_sub(s.files);
    let file = |n| plural(n, "file", "files");
    let asks = match tally.asks_first {
        0 => "",
        _ => " (xfer asks first)",
    };
    // What a user is asked about is not refused.
    let refused = s.failed.saturating_sub(tally.asks_first);
    let more = s.have.saturating_sub(s.have_files);
    let new_file = plural(new, "new file", "new files");
    let new_other = plural(others, "new folder or link", "new folders and links");
    for (n, text) in [
        (refused, format!("{} refused", count(refused))),
        (
            s.removed,
            format!("{} would be deleted{asks}", count(s.removed)),
        ),
        (
            s.replaced,
            format!("{} would be replaced", file(s.replaced)),
        ),
        (
            s.renamed,
            format!("{} would be stored under another name", file(s.renamed)),
        ),
        (
            s.kept,
            format!(
                "{} would be skipped, because something has that name",
                count(s.kept)
            ),
        ),
        (new, new_file),
        (others, new_other),
        (
            s.have_files,
            format!("{} already there", file(s.have_files)),
        ),
        (more, format!("{} already there", folders(more))),
    ] {
        if n > 0 {
            lines.push(format!("  {text}"));
        }
    }
    lines.extend(tally.own_left_out().map(|text| format!("  {text}")));
    if let Some(free) = s.free.filter(|_| s.bytes > 0) {
        let fits = if s.bytes <= free {
            "It fits"
        } else if s.replaced > 0 || s.removed > 0 {
            // What makes way leaves its space, as it goes on.
            "It may not fit"
        } else {
            "It does not fit"
        };
        let whose = match role {
            Role::Sender => peer,
            Role::Receiver => "this machine",
        };
        lines.push(format!("  {fits}: {whose} has {} free", bytes(free)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told {
        only: Option<&'static str>,
        named: u64,
        millis: u64,
        travelled: Option<u64>,
        wish: Wish,
        trust: Trust,
    }

    impl Told {
        fn only(name: &'static str) -> Self {
            Self {
                only: Some(name),
                named: 1,
                millis: 12_300,
                travelled: None,
                wish: Wish::default(),
                trust: Trust::Paired,
            }
        }

        fn several(named: u64) -> Self {
            Self {
                only: None,
                named,
                ..Self::only("")
            }
        }

        fn lines(&self, role: Role, summary: Summary) -> Vec<String> {
            let mut tally = Tally::default();
            tally.renamed(Path::new("in/a.txt"), Path::new("in/a (2).txt"));
            lines(&EndedSession {
                role,
                dialed: role == Role::Sender,
                peer: "lap",
                terms: &Terms {
                    wish: self.wish,
                    conflict: OnConflict::Beside,
                    trust: self.trust,
                    goes_on: false,
                },
                summary: &summary,
                tally: &tally,
                only: self.only.map(Path::new),
                named: self.named,
                dir: (role == Role::Receiver).then_some("~/Downloads"),
                time: Duration::from_millis(self.millis),
                travelled: self.travelled,
            })
        }
    }

    fn files(files: u64, bytes: u64) -> Summary {
        Summary {
            stored: files,
            files,
            bytes,
            ..Summary::default()
        }
    }

    #[test]
    fn it_says_what_where_how_much_how_long_and_how_fast() {
        use Role::{Receiver, Sender};
        let film = Told {
            millis: 2_800,
            ..Told::only("film.mkv")
        };
        let photos = Summary {
            stored: 1300,
            ..files(1234, 2_300_000_000)
        };
        for (told, role, summary, said) in [
            (
                &film,
                Receiver,
                files(1, 315_000_000),
                "Received film.mkv (315 MB) from lap into ~/Downloads in 2.8 s (112 MB/s)",
            ),
            (
                &Told::only("photos"),
                Sender,
                photos,
                "Sent photos (1,234 files, 2.30 GB) to lap in 12.3 s (187 MB/s)",
            ),
            (
                &Told::several(3),
                Sender,
                files(3, 2_300_000_000),
                "Sent 3 files (2.30 GB) to lap in 12.3 s (187 MB/s)",
            ),
            (
                &Told::several(3),
                Sender,
                photos,
                "Sent 3 items (1,234 files, 2.30 GB) to lap in 12.3 s (187 MB/s)",
            ),
            (
                &Told {
                    millis: 20,
                    ..Told::only("a.txt")
                },
                Sender,
                files(1, 88_000_000),
                "Sent a.txt (88.0 MB) to lap",
            ),
            (
                &Told {
                    millis: 300,
                    ..Told::only("a.txt")
                },
                Sender,
                files(1, 12),
                "Sent a.txt (12 B) to lap in 0.3 s",
            ),
        ] {
            assert_eq!(told.lines(role, summary), [said]);
        }
    }

    #[test]
    fn what_is_worth_a_word_has_a_line() {
        let summary = Summary {
            have: 1,
            have_files: 1,
            have_bytes: 5,
            held_bytes: 1_000_000_000,
            renamed: 2,
            removed: 2,
            failed: 3,
            ..files(1234, 2_300_000_000)
        };
        assert_eq!(
            Told::only("in").lines(Role::Sender, summary),
            [
                "Sent in (1,234 files, 2.30 GB) to lap in 12.3 s (106 MB/s)",
                "  Resumed: 1.00 GB were already there",
                "  1 file was already there (5 B)",
                "  2 files stored under another name, because they exist already: in/a.txt \
                 as 'a (2).txt', …; to replace them, send with --update",
                "  2 deleted (not on the sender)",
                "  3 failed; send again to retry",
            ]
        );
        let same_user = Told {
            trust: Trust::SameUser,
            ..Told::only("a.txt")
        };
        let renamed = Summary {
            renamed: 1,
            ..files(1, 5)
        };
        assert_eq!(
            same_user.lines(Role::Sender, renamed)[1],
            "  Stored as 'a (2).txt', because a.txt exists with other content; to replace it, send \
             with --update"
        );
        let renamed = Summary {
            renamed: 1,
            ..files(1, 5)
        };
        let update = Told {
            wish: Wish {
                update: true,
                ..Wish::default()
            },
            ..Told::only("a.txt")
        };
        assert_eq!(
            update.lines(Role::Sender, renamed)[1..],
            [
                "  Stored as 'a (2).txt', because a.txt exists already; lap does not \
                 replace files (--on-conflict beside)"
            ]
        );
        let compressed = Told {
            travelled: Some(30_000_000),
            ..Told::only("log")
        };
        assert_eq!(
            compressed.lines(Role::Sender, files(1, 300_000_000)),
            [
                "Sent log (300 MB) to lap in 12.3 s (24.4 MB/s)",
                "  Compressed to 30.0 MB (2.44 MB/s)",
            ]
        );
    }

    #[test]
    fn nothing_to_do_is_said_plainly() {
        let have = Summary {
            have: 9,
            have_files: 7,
            have_bytes: 7000,
            ..Summary::default()
        };
        let photos = Told::only("photos");
        for (role, summary, said) in [
            (
                Role::Sender,
                have,
                "Nothing to send: lap already has photos (7 files, 7.00 kB)",
            ),
            (
                Role::Receiver,
                have,
                "Nothing to receive from lap: photos (7 files, 7.00 kB) is already here",
            ),
            (
                Role::Sender,
                Summary {
                    stored: 2,
                    ..Summary::default()
                },
                "Sent photos (2 folders and links) to lap",
            ),
            (
                Role::Sender,
                Summary {
                    removed: 5000,
                    ..have
                },
                "Mirrored photos to lap: nothing new, 5,000 deleted",
            ),
            (
                Role::Receiver,
                Summary::default(),
                "Received nothing from lap into ~/Downloads",
            ),
        ] {
            assert_eq!(photos.lines(role, summary), [said]);
        }
    }

    #[test]
    fn a_plan_may_hold_any_numbers() {
        let most = Summary {
            stored: u64::MAX,
            replaced: u64::MAX,
            renamed: u64::MAX,
            removed: u64::MAX,
            bytes: u64::MAX,
            free: Some(0),
            ..Summary::default()
        };
        let lines = plan_lines((Role::Sender, true), "lap", &most, &Tally::default());
        assert_eq!(lines.last().unwrap(), "  It may not fit: lap has 0 B free");
    }
}
