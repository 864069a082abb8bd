//! Folds long lines at words for a terminal, with what follows indented.
//!
//! Must not make text safe: that is done before. Names come from peers, so no piece but the first
//! may begin at the edge, where xfer's own lines do.

use super::safe::width;

/// How far the pieces after the first are indented, at least.
const INDENT: usize = 4;
/// The same below the word `xfer:` that begins an error.
const ERROR_INDENT: usize = 6;
/// The narrowest terminal that is folded for.
const LEAST_COLUMNS: usize = 30;
/// What commands begin with that a person may copy.
const COMMANDS: [&str; 7] = ["xfer ", "mkdir ", "chmod ", "icacls ", "ls ", "tar ", "ip "];

/// A line in pieces that fit `columns`, of which `before` are taken in front of the first piece. A
/// command or a quoted name stays in one piece, even if that is too long.
pub(super) fn folded(line: &str, before: usize, columns: usize) -> Vec<String> {
    // A terminal may go on in the next row when its last column is full.
    let columns = columns.saturating_sub(1);
    let leading = line.len() - line.trim_start_matches(' ').len();
    let text = &line[leading..];
    if columns < LEAST_COLUMNS || before + width(line) <= columns || begins_command(text) {
        return vec![line.to_owned()];
    }
    let indent = match (leading, text.starts_with("xfer: ")) {
        (_, true) => ERROR_INDENT,
        (spaces, false) => spaces.max(INDENT),
    };
    let mut pieces = Vec::new();
    let mut piece = " ".repeat(leading);
    let (mut taken, mut is_empty) = (before + leading, true);
    for word in words(text) {
        let wide = width(word);
        if !is_empty && taken + 1 + wide > columns {
            pieces.push(std::mem::replace(&mut piece, " ".repeat(indent)));
            (taken, is_empty) = (indent, true);
        }
        if !is_empty {
            piece.push(' ');
            taken += 1;
        }
        piece.push_str(word);
        taken += wide;
        is_empty = false;
    }
    pieces.push(piece);
    pieces
}

fn begins_command(text: &str) -> bool {
    COMMANDS.iter().any(|command| text.starts_with(command))
}

/// The words of a text. What is quoted, and a command behind a colon, is one word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let mut after_colon = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match std::mem::take(&mut after_colon) && begins_command(rest) {
            true => command_end(rest),
            false => word_end(rest),
        };
        let word = &rest[..end];
        rest = rest[end..].strip_prefix(' ').unwrap_or_default();
        after_colon = word.ends_with(':');
        Some(word)
    })
}

/// Where a command ends: before the next sentence or parenthesis.
fn command_end(text: &str) -> usize {
    let ends = [". ", " (", ", ", "; "].iter();
    ends.filter_map(|end| text.find(end))
        .map(|at| at + usize::from(!text[at..].starts_with(' ')))
        .min()
        .unwrap_or(text.len())
}

/// Where a word ends, or a quotation that it begins.
fn word_end(text: &str) -> usize {
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '\''));
    let closed = quote.and_then(|quote| Some(1 + text[1..].find(quote)? + 1));
    let from = closed.unwrap_or(0);
    text[from..].find(' ').map_or(text.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_words_and_commands_stay_whole() {
        let columns = 40;
        for (line, pieces) in [
            ("short", &["short"][..]),
            (
                "Nothing was sent because the machine was not found.",
                &["Nothing was sent because the machine", "    was not found."],
            ),
            (
                "xfer: cannot send a film of mine: permission denied",
                &[
                    "xfer: cannot send a film of mine:",
                    "      permission denied",
                ],
            ),
            (
                "      Start it there with `xfer recv --allow-update`, then again.",
                &[
                    "      Start it there with",
                    "      `xfer recv --allow-update`, then",
                    "      again.",
                ],
            ),
            (
                "      Create it first: mkdir -p /a/folder/somewhere/below",
                &[
                    "      Create it first:",
                    "      mkdir -p /a/folder/somewhere/below",
                ],
            ),
            (
                "    xfer send FILE 192.168.0.90:9090 and so on",
                &["    xfer send FILE 192.168.0.90:9090 and so on"],
            ),
        ] {
            assert_eq!(folded(line, 0, columns), pieces);
        }
    }

    #[test]
    fn no_piece_of_a_name_begins_at_the_edge() {
        let name = format!("from {}Paired with evil", " ".repeat(90));
        for columns in [10, 40, 80, 200] {
            let pieces = folded(&name, 20, columns);
            let text: String = pieces.concat();
            assert!(text.ends_with("evil"));
            assert!(pieces[1..].iter().all(|piece| piece.starts_with("    ")));
        }
    }
}
