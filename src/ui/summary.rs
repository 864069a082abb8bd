//! The words for how a session ended.
//!
//! Must not print, and must not make names fit for a terminal: the screen does, for all lines.

use std::time::Duration;

use xfer::model::outcome::{OnConflict, Role, Summary, Wish};
use xfer::model::progress::Trust;

use super::safe::safe;
use super::tally::Tally;
use super::words::{bytes, count, duration, plural, rate_over};

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
    /// Whether the receiver replaces less than the sender would like.
    fn is_stricter(&self) -> bool {
        self.wish.update && self.conflict != OnConflict::Replace
    }
}

/// What is said of a session that ended in order: a line, and one for each thing that is worth
/// a word.
pub(crate) fn lines(
    role: Role,
    peer: &str,
    terms: &Terms,
    summary: &Summary,
    tally: &Tally,
    time: Duration,
) -> Vec<String> {
    if terms.wish.dry_run {
        return plan_lines(role, peer, summary);
    }
    let mut lines = vec![headline(role, peer, terms.goes_on, summary, time)];
    let mut add = |n: u64, text: String| {
        if n > 0 {
            lines.push(format!("  {text}"));
        }
    };
    if summary.stored > 0 || summary.failed > 0 {
        let have = plural(summary.have_files, "file was", "files were");
        let size = bytes(summary.have_bytes);
        add(summary.have_files, format!("{have} there already ({size})"));
    }
    let held = bytes(summary.held_bytes);
    add(
        summary.held_bytes,
        format!("{held} were there from before and did not travel again"),
    );
    let replaced = plural(summary.replaced, "took", "took");
    add(
        summary.replaced,
        format!("{replaced} the place of another version"),
    );
    let here = match role {
        Role::Sender => "that receiver",
        Role::Receiver => "this receiver",
    };
    let renamed = if terms.is_stricter() {
        let beside = plural(summary.renamed, "is stored beside", "are stored beside");
        format!("{beside} what has that name, because {here} does not replace")
    } else {
        plural(
            summary.renamed,
            "is stored under another name, because its own is taken",
            "are stored under another name, because theirs are taken",
        )
    };
    add(
        summary.renamed,
        format!("{renamed}{}", names(summary.renamed, tally)),
    );
    let removed = plural(summary.removed, "was removed", "were removed");
    add(
        summary.removed,
        format!("{removed} that the sender does not have"),
    );
    let is_said = tally.too_many_removals;
    if terms.wish.mirror && summary.failed > 0 && summary.removed == 0 && !is_said {
        let text = "nothing was removed, because something failed";
        add(1, text.to_owned());
    }
    let kept = plural(summary.kept, "was", "were");
    add(
        summary.kept,
        format!("{kept} left out, because {here} leaves what is there alone"),
    );
    if terms.wish.checksum && terms.is_stricter() && terms.trust != Trust::SameUser {
        let text = format!("contents were not compared: {here} tells nothing of its files");
        add(1, text);
    }
    let left_out = count(tally.left_out);
    add(tally.left_out, format!("{left_out} left out by filters"));
    add(summary.failed, format!("{} failed", count(summary.failed)));
    lines
}

/// What is said of a dry run: what would be done, and whether there is space for it.
fn plan_lines(role: Role, peer: &str, s: &Summary) -> Vec<String> {
    if role == Role::Receiver {
        let text = format!("{peer} has asked what sending would do. Nothing was done.");
        return vec![text];
    }
    let files = plural(s.files, "file", "files");
    let mut lines = vec![format!(
        "Would send {files} ({} at most) to {peer}. Nothing was done.",
        bytes(s.bytes)
    )];
    let new = s
        .stored
        .saturating_sub(s.replaced.saturating_add(s.renamed));
    for (n, what) in [
        (new, "new"),
        (s.replaced, "changed"),
        (s.renamed, "stored beside what has that name"),
        (s.removed, "removed"),
        (s.kept, "left out, because something has that name"),
        (s.have, "there already"),
        (s.failed, "refused"),
    ] {
        if n > 0 {
            lines.push(format!("  {} {what}", count(n)));
        }
    }
    if let Some(free) = s.free.filter(|_| s.bytes > 0) {
        let fits = if s.bytes <= free {
            "it fits"
        } else if s.replaced > 0 || s.removed > 0 {
            // What makes way leaves its space, as it goes on.
            "it may not fit"
        } else {
            "it does not fit"
        };
        lines.push(format!("  {fits}: {} are free there", bytes(free)));
    }
    lines
}

fn headline(role: Role, peer: &str, goes_on: bool, s: &Summary, time: Duration) -> String {
    let (verb, way) = match role {
        Role::Sender => ("Sent", "to"),
        Role::Receiver => ("Received", "from"),
    };
    let files = plural(s.files, "file", "files");
    let others = s.stored.saturating_sub(s.files);
    if s.files == 0 && s.failed == 0 && s.have > 0 {
        let (all, size) = (plural(s.have_files, "file", "files"), bytes(s.have_bytes));
        return match role {
            // It may be what was sent before: some of what was told of it was lost, too.
            Role::Sender if goes_on => format!("Sent: {peer} has {all} ({size})."),
            Role::Sender => format!("Nothing to send: {peer} has {all} ({size}) already."),
            Role::Receiver => {
                let are = if s.have_files == 1 { "is" } else { "are" };
                format!("Nothing to receive from {peer}: {all} ({size}) {are} here already.")
            }
        };
    }
    if s.files == 0 && others > 0 {
        let others = plural(others, "folder or link", "folders and links");
        return format!("{verb} {others} {way} {peer}.");
    }
    if s.files == 0 {
        return format!("{verb} nothing {way} {peer}.");
    }
    let moved = s.bytes.saturating_sub(s.held_bytes);
    // Beside the size of what was hardly moved at all, a rate would seem to be wrong.
    let rate = rate_over(moved, time).filter(|_| moved >= s.held_bytes);
    let rate = rate.map_or(String::new(), |rate| format!(", {rate}"));
    let (size, time) = (bytes(s.bytes), duration(time));
    format!("{verb} {files} ({size}) {way} {peer} in {time}{rate}.")
}

fn names(n: u64, tally: &Tally) -> String {
    if tally.renamed.is_empty() {
        return String::new();
    }
    let told = tally.renamed.iter().map(|(path, to)| {
        let to = to.file_name().unwrap_or(to.as_os_str());
        format!("{} as {}", safe(path), safe(to))
    });
    let mut told: Vec<_> = told.collect();
    if n > told.len() as u64 {
        told.push("…".to_owned());
    }
    format!(": {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(role: Role, summary: Summary) -> Vec<String> {
        let mut tally = Tally::default();
        tally.renamed(Path::new("in/a.txt"), Path::new("in/a (2).txt"));
        lines(
            role,
            "desktop",
            &Terms {
                wish: Wish::default(),
                conflict: OnConflict::Beside,
                trust: Trust::Paired,
                goes_on: false,
            },
            &summary,
            &tally,
            Duration::from_millis(12_300),
        )
    }

    #[test]
    fn it_says_what_moved_and_what_is_worth_a_word() {
        let mut summary = Summary {
            stored: 1300,
            files: 1234,
            bytes: 2_300_000_000,
            ..Summary::default()
        };
        assert_eq!(
            told(Role::Sender, summary),
            ["Sent 1,234 files (2.30 GB) to desktop in 12.3 s, 187 MB/s."]
        );
        summary.have = 1;
        summary.have_files = 1;
        summary.have_bytes = 5;
        summary.held_bytes = 1_000_000_000;
        summary.renamed = 2;
        summary.failed = 3;
        assert_eq!(
            told(Role::Receiver, summary),
            [
                "Received 1,234 files (2.30 GB) from desktop in 12.3 s, 106 MB/s.",
                "  1 file was there already (5 B)",
                "  1.00 GB were there from before and did not travel again",
                "  2 are stored under another name, because theirs are taken: \
                 in/a.txt as a (2).txt, …",
                "  3 failed",
            ]
        );
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
        let lines = plan_lines(Role::Sender, "desktop", &most);
        assert_eq!(
            lines.last().unwrap(),
            "  it may not fit: 0 B are free there"
        );
    }

    #[test]
    fn nothing_to_do_is_said_plainly() {
        let mut summary = Summary {
            have: 9,
            have_files: 7,
            have_bytes: 7000,
            stored: 2,
            ..Summary::default()
        };
        assert_eq!(
            told(Role::Sender, summary)[0],
            "Nothing to send: desktop has 7 files (7.00 kB) already."
        );
        (summary.have, summary.have_files) = (0, 0);
        assert_eq!(
            told(Role::Sender, summary),
            ["Sent 2 folders and links to desktop."]
        );
        summary.stored = 0;
        assert_eq!(
            told(Role::Receiver, summary),
            ["Received nothing from desktop."]
        );
    }
}
