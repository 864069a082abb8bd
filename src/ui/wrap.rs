//! Wraps what others have said, so that no line of theirs begins where this program's own do.
//!
//! Must not make it safe: that is done before.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How far what is wrapped, and further lines, are from the edge.
pub(super) const INDENT: &str = "    ";
/// The narrowest that text is wrapped to.
const LEAST: usize = 8;
/// What part of a line may stay empty, so that it ends at a space.
const RAGGED: usize = 3;

/// A line in pieces that fit a terminal of so many columns, of which `first` are taken in front of the
/// first piece. All but that one begin with [`INDENT`].
pub(super) fn wrapped(line: &str, first: usize, columns: usize) -> Vec<String> {
    // A terminal goes on in the next row when the last column is full.
    let columns = columns.saturating_sub(1);
    let mut room = columns.saturating_sub(first).max(LEAST);
    let (mut pieces, mut piece, mut taken) = (Vec::new(), String::new(), 0);
    for c in line.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide > room {
            let at = piece
                .rfind(' ')
                .filter(|at| piece.len() - at <= room / RAGGED);
            let rest = at.map_or_else(String::new, |at| piece.split_off(at + 1));
            pieces.push(std::mem::replace(&mut piece, format!("{INDENT}{rest}")));
            taken = width(&rest);
            room = columns.saturating_sub(INDENT.len()).max(LEAST);
        }
        piece.push(c);
        taken += wide;
    }
    pieces.push(piece);
    pieces
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_piece_but_the_first_begins_at_the_edge() {
        assert_eq!(wrapped("short", 10, 80), ["short"]);
        let forged = format!("hello{}Paired with evil", " ".repeat(61));
        let pieces = wrapped(&forged, 13, 80);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[1].starts_with(INDENT) && pieces[1].ends_with("evil"));
        for columns in [1, 10, 40, 80] {
            let text = "日本語の文 and words that go on ".repeat(20);
            let pieces = wrapped(&text, 7, columns);
            let joined: String = pieces
                .iter()
                .enumerate()
                .map(|(n, piece)| {
                    if n == 0 {
                        piece
                    } else {
                        &piece[INDENT.len()..]
                    }
                })
                .collect();
            assert_eq!(joined, text);
            assert!(pieces[1..].iter().all(|piece| piece.starts_with(INDENT)));
            let most = columns.max(LEAST + INDENT.len() + 1);
            assert!(
                pieces[1..].iter().all(|piece| width(piece) <= most),
                "{columns}"
            );
        }
    }
}
