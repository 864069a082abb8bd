//! What is on the screens of several machines, one after the other, compared with a file in
//! `tests/screens` that a person can read. `XFER_BLESS=1` writes the file.
//!
//! What differs from run to run has marks in the file: see [`marked`]. Must not mark what a change
//! of the program would change.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::Screen;
use super::screen::Shot;

/// How long a screen may take to become as in the file, once what it waits for is there.
const SETTLING: Duration = Duration::from_secs(5);

/// A file of screens. All of it is compared, or else it fails.
pub struct Story {
    path: PathBuf,
    title: String,
    /// As the file has them; none where it is written anew.
    expected: Option<Vec<String>>,
    shown: Vec<String>,
    /// What else is to be replaced, and by what.
    marks: Vec<(String, String)>,
    /// Whether colours are compared, too.
    colours: bool,
    /// Whether rows come in any order.
    sorted: bool,
}

impl Story {
    #[track_caller]
    pub fn new(name: &str, title: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
        let path = folder.join(format!("{name}.txt"));
        let bless = std::env::var_os("XFER_BLESS").is_some();
        let expected = (!bless).then(|| {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| {
                panic!("{}: {e}; XFER_BLESS=1 writes it", path.display());
            });
            let mut parts = text.split("\n== ").map(|part| part.trim_end().to_owned());
            parts.next();
            parts.collect()
        });
        Self {
            path,
            title: title.to_owned(),
            expected,
            shown: Vec::new(),
            marks: Vec::new(),
            colours: false,
            sorted: false,
        }
    }

    /// From now on this is replaced, such as the name of a temporary folder.
    pub fn mark(&mut self, text: &str, mark: &str) {
        self.marks.push((text.to_owned(), mark.to_owned()));
    }

    /// Whether colours are compared from now on, too.
    pub fn colours(&mut self, colours: bool) {
        self.colours = colours;
    }

    /// Whether rows may come in any order from now on; the file has them sorted.
    pub fn sorted(&mut self, sorted: bool) {
        self.sorted = sorted;
    }

    /// Waits until a screen has `text`, and is as in the file.
    #[track_caller]
    pub fn shows(&mut self, caption: &str, screen: &Screen, text: &str) {
        self.shows_when(caption, screen, |all| all.contains(text));
    }

    /// Waits until the text of a screen satisfies `ready`, and it is as in the file.
    #[track_caller]
    pub fn shows_when(&mut self, caption: &str, screen: &Screen, ready: impl Fn(&str) -> bool) {
        let first = screen.wait_until(caption, &ready);
        let now = match &self.expected {
            None => Self::settled(screen, first, &ready),
            Some(expected) => {
                let nothing = String::new();
                let expected = expected.get(self.shown.len()).unwrap_or(&nothing).clone();
                let is_it = |shot: &Shot| self.part(caption, shot) == expected;
                match screen.wait_for_at_most(SETTLING, is_it) {
                    Ok(shot) => shot,
                    Err(_) if is_it(&first) => first,
                    Err(last) => panic!(
                        "{} has\n\n== {expected}\n\nand this is\n\n== {}\n\n\
                         If that is right, XFER_BLESS=1 writes the file anew.",
                        self.path.display(),
                        self.part(caption, &last),
                    ),
                }
            }
        };
        self.shown.push(self.part(caption, &now));
    }

    /// What is there once nothing more comes; of what is in motion, one of the next pictures.
    fn settled(screen: &Screen, first: Shot, ready: impl Fn(&str) -> bool) -> Shot {
        let mut shot = first;
        for _ in 0..4 {
            let is_next = |next: &Shot| *next != shot;
            match screen.wait_for_at_most(Duration::from_millis(200), is_next) {
                Ok(next) if ready(&next.text()) => shot = next,
                _ => break,
            }
        }
        shot
    }

    /// All that is to be shown has been.
    #[track_caller]
    pub fn end(self) {
        match self.expected {
            Some(expected) => assert_eq!(
                self.shown.len(),
                expected.len(),
                "{} has other screens: XFER_BLESS=1 writes it anew",
                self.path.display()
            ),
            None => {
                fs::create_dir_all(self.path.parent().unwrap()).unwrap();
                let parts = self.shown.iter().map(|part| format!("\n== {part}\n"));
                let text = format!("{}\n{}", self.title, parts.collect::<String>());
                fs::write(self.path, text).unwrap();
            }
        }
    }

    fn part(&self, caption: &str, shot: &Shot) -> String {
        let replaced = |text: &str| {
            let mut text = text.to_owned();
            for (from, to) in &self.marks {
                text = text.replace(from, to);
            }
            marked(&text)
        };
        let mut shot = Shot {
            rows: unhurried(shot.rows.iter().map(|row| replaced(row)).collect()),
            ..shot.clone()
        };
        if self.sorted {
            shot.rows.sort();
        }
        let mut text = format!(
            "{caption} ({}×{})\n{}",
            shot.columns,
            shot.height,
            shot.framed()
        );
        if self.colours {
            for (style, piece) in &shot.styled {
                let piece = match piece.chars().all(|c| BAR.contains(c)) {
                    true if piece.contains('━') => "━━━╸".to_owned(),
                    true => "────".to_owned(),
                    false => replaced(piece),
                };
                text.push_str(&format!("{style}: {piece}\n"));
            }
        }
        text.trim_end().to_owned()
    }
}

/// Marked rows without the time and the rate at the end of a summary: whether these are told depends
/// on how long it took.
fn unhurried(rows: Vec<String>) -> Vec<String> {
    let rows = rows.into_iter().filter_map(|row| {
        let rest = row.trim_end();
        let rest = rest.strip_suffix("(### MB/s)").unwrap_or(rest).trim_end();
        let rest = rest.strip_suffix(" in #.# s").unwrap_or(rest);
        match rest.len() == row.trim_end().len() {
            true => Some(row),
            // It stood on a row of its own.
            false => (!rest.is_empty()).then(|| rest.to_owned()),
        }
    });
    rows.collect()
}

/// A row with marks for what differs from run to run, so that what stands right of them stays in
/// its column:
///
/// - `###-###` a code, of six digits, three and three;
/// - `### MB/s` a rate, `#.# s` a time that was measured, `##%` a share but for 0 % and 100 %,
///   `###/315 MB` a size that grows, `###/43 files` a count, `###` a size that was resumed or had arrived, `### GB free` room on a disk, `:#####` a port that the system
///   chose;
/// - `━━━━╸────` a bar that is neither empty nor full, half full;
/// - `xxxx-xxxx-…` a fingerprint, and `.tmpxxxxxx` a temporary folder.
pub fn marked(row: &str) -> String {
    let mut marked = Marked {
        input: row.chars().collect(),
        at: 0,
        out: String::new(),
        debt: 0,
    };
    marked.run();
    marked.out
}

struct Marked {
    input: Vec<char>,
    at: usize,
    out: String,
    /// By how many columns what was written is longer than what was read.
    debt: isize,
}

/// What bars are made of.
const BAR: &str = "━╸─";

const UNITS_OF_TIME: [&str; 7] = ["s", "ms", "min", "h", "day", "days", "seconds"];
const UNITS_OF_SIZE: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

impl Marked {
    fn run(&mut self) {
        while self.at < self.input.len() {
            if !(self.bar() || self.temporary() || self.fingerprint() || self.number()) {
                let c = self.input[self.at];
                self.at += 1;
                // A gap makes up for marks of another width.
                let in_gap = c == ' ' && self.out.ends_with(' ');
                match self.debt {
                    1.. if in_gap => self.debt -= 1,
                    ..=-1 if in_gap => {
                        let more = usize::try_from(-self.debt).unwrap();
                        self.out.push_str(&" ".repeat(more + 1));
                        self.debt = 0;
                    }
                    _ => self.out.push(c),
                }
            }
        }
    }

    fn rest(&self) -> String {
        self.input[self.at..].iter().collect()
    }

    fn count(&self, is: impl Fn(char) -> bool) -> usize {
        let rest = self.input[self.at..].iter();
        rest.take_while(|c| is(**c)).count()
    }

    /// Reads so many characters, and writes this instead.
    fn replace(&mut self, read: usize, mark: &str) -> bool {
        self.at += read;
        let written = mark.chars().count();
        self.debt += isize::try_from(written).unwrap() - isize::try_from(read).unwrap();
        // What stands behind a gap is aligned to the right.
        while self.debt > 0 && self.out.ends_with("  ") {
            self.out.pop();
            self.debt -= 1;
        }
        while self.debt < 0 && self.out.ends_with("  ") {
            self.out.push(' ');
            self.debt += 1;
        }
        self.out.push_str(mark);
        true
    }

    fn bar(&mut self) -> bool {
        let length = self.count(|c| BAR.contains(c));
        let text: String = self.input[self.at..self.at + length].iter().collect();
        let moves = text.contains('━') && text.contains(['╸', '─']) || text.contains('╸');
        if length < 5 || !moves {
            return length > 0 && {
                self.out.push_str(&text);
                self.at += length;
                true
            };
        }
        let full = length / 2;
        let mark = format!("{}╸{}", "━".repeat(full), "─".repeat(length - full - 1));
        self.replace(length, &mark)
    }

    fn fingerprint(&mut self) -> bool {
        let begins = !self
            .out
            .ends_with(|c: char| c.is_alphanumeric() || c == '-');
        let length = self.count(|c| c.is_ascii_alphanumeric() || c == '-');
        let text: String = self.input[self.at..self.at + length].iter().collect();
        let groups: Vec<&str> = text.split('-').collect();
        let is_group = |group: &&str| {
            let of = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
            group.len() == 4 && group.chars().all(of)
        };
        let is = begins && groups.len() >= 3 && groups.iter().all(is_group);
        is && self.replace(length, &vec!["xxxx"; groups.len()].join("-"))
    }

    fn temporary(&mut self) -> bool {
        let is = self.out.ends_with(".tmp") && self.count(|c| c.is_ascii_alphanumeric()) == 6;
        is && self.replace(6, "xxxxxx")
    }

    fn number(&mut self) -> bool {
        let begins = !self
            .out
            .ends_with(|c: char| c.is_alphanumeric() || c == '.');
        let length = self.count(|c| c.is_ascii_digit() || c == '.' || c == ',');
        if !begins || length == 0 || !self.input[self.at].is_ascii_digit() {
            return false;
        }
        let text: String = self.input[self.at..self.at + length].iter().collect();
        let text = text.trim_end_matches(['.', ',']).to_owned();
        let length = text.len();
        let rest: String = self.rest().chars().skip(length).collect();
        let unit = rest.trim_start();
        let unit: String = unit.chars().take_while(|c| c.is_alphabetic()).collect();
        let after = rest.trim_start().strip_prefix(unit.as_str()).unwrap_or("");
        if self.code(&text, &rest) {
            return true;
        }
        let is_share = rest.trim_start().starts_with('%') && text != "0" && text != "100";
        let is_size = UNITS_OF_SIZE.contains(&&*unit);
        // What a person has typed has no blank there.
        let is_rate = is_size && rest.starts_with(' ') && after.starts_with("/s");
        let is_time = UNITS_OF_TIME.contains(&&*unit);
        let is_free = is_size
            && [" free", " are free", " is free"]
                .iter()
                .any(|w| after.starts_with(w));
        let grows = rest.strip_prefix('/').is_some_and(|rest| {
            let unit: String = rest.chars().skip_while(|c| !c.is_alphabetic()).collect();
            let number = rest.starts_with(|c: char| c.is_ascii_digit());
            let counted = UNITS_OF_SIZE.iter().chain(&["items", "files"]);
            number && counted.into_iter().any(|what| unit.starts_with(what))
        });
        let is_port = self.out.ends_with(':')
            && text
                .parse::<u32>()
                .is_ok_and(|port| (32_768..65_536).contains(&port));
        let is_there = [" were there from before", " were already there"];
        let is_resumed = is_size && is_there.iter().any(|words| after.starts_with(words));
        let arrived = after.starts_with(" of ") && after.contains(" arrived");
        let is_resumed = is_resumed || is_size && arrived;
        if is_port {
            return self.replace(length, "#####");
        }
        if is_share {
            return self.replace(length, "##");
        }
        if is_time {
            return self.replace(length, if text.contains('.') { "#.#" } else { "#" });
        }
        if is_rate {
            return self.replace(length + 1 + unit.len(), "### MB");
        }
        if grows || is_free || is_resumed {
            return self.replace(length, "###");
        }
        self.replace(length, &text)
    }

    /// A code: three digits, a blank or a hyphen, three digits; or six.
    fn code(&mut self, first: &str, rest: &str) -> bool {
        let is_digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        let mut more = rest.chars();
        let between = more.next();
        let second: String = more.take_while(char::is_ascii_digit).collect();
        if is_digits(first, 3) && is_digits(&second, 3) && matches!(between, Some(' ' | '-')) {
            let mark = format!("###{}###", between.unwrap());
            return self.replace(7, &mark);
        }
        is_digits(first, 6) && self.replace(6, "######")
    }
}
