//! The picture of README.md, compared with what the program prints today, in a run of the same
//! commands: the words of all rows, and all of the last screens.
//!
//! Must not compare what differs between two runs: numbers, units, and how far bars are.

use std::collections::BTreeSet;

use super::{Home, asks_for_code, code_on, is_at_rest, is_prompt};
use crate::support::*;

const PICTURE: &str = include_str!("../../assets/demo.svg");
/// How wide its columns are.
const CELL: f64 = 8.4;

/// A row of the picture.
#[derive(Debug)]
struct Row {
    text: String,
    /// Whether the last picture has it.
    stays: bool,
}

/// The rows of the laptop and of the desktop.
fn rows_of_picture() -> [Vec<Row>; 2] {
    let mut machines = PICTURE.split("<g transform=\"translate(14 ").skip(1);
    [(); 2].map(|()| {
        let part = machines.next().unwrap();
        let rows = part.lines().skip(1).filter(|line| line.contains("<text"));
        let rows = rows.map(|line| Row {
            text: text_of(line),
            stays: !line.contains("visibility=\"hidden\""),
        });
        rows.collect()
    })
}

fn text_of(line: &str) -> String {
    let mut text = String::new();
    for piece in line.split("<text x=\"").skip(1) {
        let (x, rest) = piece.split_once('"').unwrap();
        let (_, rest) = rest.split_once('>').unwrap();
        let (words, _) = rest.split_once("</text>").unwrap();
        let column = (x.parse::<f64>().unwrap() / CELL).round();
        while (text.chars().count() as f64) < column {
            text.push(' ');
        }
        text.push_str(words);
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

/// A row without what differs between two runs. Of one with a bar, what stands in front of it.
fn words_of(row: &str) -> String {
    let row = row.split(['━', '╸', '─']).next().unwrap();
    let mut words = String::new();
    for c in row.trim_end().chars() {
        let is_number = c.is_ascii_digit() || (".,".contains(c) && words.ends_with('#'));
        let again = |c: char| words.ends_with(c);
        if (is_number && again('#')) || (c == ' ' && again(' ')) {
            continue;
        }
        words.push(if is_number { '#' } else { c });
    }
    for unit in ["kB", "GB", "TB"] {
        words = words.replace(&format!("# {unit}"), "# MB");
    }
    let words = words.replace("# B/s", "# MB/s");
    // Whether a summary tells these depends on how long it took.
    let rest = words.strip_suffix(" (# MB/s)").unwrap_or(&words);
    rest.strip_suffix(" in # s").unwrap_or(rest).to_owned()
}

/// All rows that a terminal ever had, and the last ones.
fn rows_of_run(screen: &Screen) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut emulator = vt100::Parser::new(24, 80, 0);
    let mut ever = BTreeSet::new();
    let rows = |emulator: &vt100::Parser| {
        let rows = emulator.screen().rows(0, 80).map(|row| words_of(&row));
        rows.filter(|row| !row.is_empty()).collect::<BTreeSet<_>>()
    };
    for piece in screen.terminal().bytes().chunks(32) {
        emulator.process(piece);
        ever.extend(rows(&emulator));
    }
    (ever, rows(&emulator))
}

pub(crate) fn is_of_today() {
    let Some(home) = Home::new() else { return };
    let (laptop, desktop) = (home.machine("laptop", 1), home.machine("desktop", 2));
    for (machine, address) in [(&laptop, "192.168.0.90"), (&desktop, "192.168.0.20")] {
        machine.host.run(&format!(
            "ip -4 address flush dev eth0 && ip address add {address}/24 brd + dev eth0 && \
             tc qdisc add dev eth0 root tbf rate 400mbit burst 256k latency 20ms"
        ));
    }
    make_file(desktop.home("film.mkv"), 1, 101_000_000);
    let (left, right) = (laptop.shell(), desktop.shell());
    left.type_line("xfer recv --dir ~/Downloads");
    left.wait_until("a receiver", is_at_rest);
    let by_address = "xfer send film.mkv 192.168.0.90:9090";
    right.type_line(by_address);
    let code = code_on(&left);
    right.wait_until("a question", asks_for_code);
    right.type_line(&code);
    right.wait_until("a bar", super::moves);
    right.interrupt();
    let prompts = |n| {
        move |all: &str| {
            let is_last = all.lines().last().is_some_and(is_prompt);
            is_last && all.matches("desktop$").count() == n
        }
    };
    right.wait_until("its end", prompts(2));
    right.type_line(by_address);
    right.wait_until("its end", prompts(3));
    right.type_line("xfer send film.mkv laptop");
    right.wait_until("its end", prompts(4));
    let told = left.wait_until("the last transfer", |all| all.contains("Nothing"));

    let mut faults = Vec::new();
    for (screen, picture) in [&left, &right].into_iter().zip(rows_of_picture()) {
        let (ever, last) = rows_of_run(screen);
        for row in &picture {
            let words = words_of(&row.text);
            // What it waits for can be over before it is seen.
            let begins = row.text.contains(" 0%");
            if words.is_empty() || (!row.stays && (begins || words.ends_with('…'))) {
                continue;
            }
            let is_known = match row.stays {
                true => last.contains(&words),
                // It can have been taken while the row was being written.
                false => ever.iter().any(|row| row.starts_with(&words)),
            };
            if !is_known {
                faults.push(format!("it has, and xfer does not print:  {}", row.text));
            }
        }
        let stay = picture.iter().filter(|row| row.stays);
        let stay: BTreeSet<_> = stay.map(|row| words_of(&row.text)).collect();
        faults.extend(
            last.difference(&stay)
                .map(|row| format!("it lacks, and xfer prints:  {row}")),
        );
    }
    assert!(
        faults.is_empty(),
        "assets/demo.svg is of another day; assets/demo.py records it anew:\n{}\n{}\n{}",
        faults.join("\n"),
        told.framed(),
        right.shot().framed(),
    );
}
