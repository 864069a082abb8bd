//! `Picture`: a QR code as rows of half blocks, two of its rows in each.
//!
//! Must not know what the code says, nor print.

/// How many light modules are around a code, so that a camera finds its edges.
const MARGIN: usize = 4;
/// Black on white, whatever the terminal's own colours are.
const BLACK_ON_WHITE: &str = "\x1b[30;107m";
/// The terminal's own colours.
const AS_BEFORE: &str = "\x1b[0m";

/// A picture of dark and light squares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Whether each square is dark, row by row.
    rows: Vec<Vec<bool>>,
}

impl Picture {
    /// A code, with the light margin that it needs.
    pub(crate) fn of_code(code: impl Iterator<Item = Vec<bool>>) -> Self {
        let mut rows: Vec<Vec<bool>> = code
            .map(|row| {
                let margin = [false; MARGIN];
                [&margin[..], &row, &margin].concat()
            })
            .collect();
        let width = rows.first().map_or(0, Vec::len);
        let light = || vec![vec![false; width]; MARGIN];
        rows.splice(..0, light());
        rows.extend(light());
        Self { rows }
    }

    /// How many columns it needs.
    pub(super) fn columns(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// Its rows for a terminal. Without colours its light squares are in the colour of text, which
    /// is right where that is light: most cameras read the opposite, too.
    pub(super) fn lines(&self, in_colour: bool) -> Vec<String> {
        let pairs = self.rows.chunks(2);
        pairs
            .map(|pair| {
                let lower = |at: usize| pair.get(1).and_then(|row| row.get(at)).copied();
                let upper = pair.first().into_iter().flatten().enumerate();
                let blocks = upper.map(|(at, &upper)| {
                    let lower = lower(at).unwrap_or(!in_colour);
                    match (upper == in_colour, lower == in_colour) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    }
                });
                let blocks: String = blocks.collect();
                match in_colour {
                    true => format!("{BLACK_ON_WHITE}{blocks}{AS_BEFORE}"),
                    false => blocks,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_are_one_line_of_half_blocks() {
        let code = [vec![true, false], vec![true, true], vec![false, true]];
        let picture = Picture::of_code(code.into_iter());
        assert_eq!(picture.columns(), 2 + 2 * MARGIN);
        let margin = " ".repeat(MARGIN);
        let light = "█".repeat(MARGIN);
        let in_colour = picture.lines(true);
        assert_eq!(
            in_colour[2],
            format!("{BLACK_ON_WHITE}{margin}█▄{margin}{AS_BEFORE}")
        );
        assert_eq!(
            in_colour[3],
            format!("{BLACK_ON_WHITE}{margin} ▀{margin}{AS_BEFORE}")
        );
        let plain = picture.lines(false);
        assert_eq!(plain[2], format!("{light} ▀{light}"));
        assert_eq!(plain[0], "█".repeat(picture.columns()));
        assert_eq!(plain.len(), 6);
    }
}
