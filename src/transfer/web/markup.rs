//! Text as markup, and what a reader sees of names and times that may be anything.
//!
//! Must not know a page. Only what is made here is markup; any other text is escaped first.

use std::fmt::Write as _;

use crate::model::text::is_ignorable;

/// Markup: nothing in it is to be escaped any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Html(pub(super) String);

/// Text as markup that shows it.
pub(super) fn escape(text: &str) -> Html {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\0' => html.push('\u{fffd}'),
            c => html.push(c),
        }
    }
    Html(html)
}

/// These one after the other, with something between them that is markup.
pub(super) fn join(parts: &[Html], between: &str) -> Html {
    let parts: Vec<&str> = parts.iter().map(|part| part.0.as_str()).collect();
    Html(parts.join(between))
}

/// A name as text. What is no UTF-8, controls, or turns the direction of writing shows as numbers.
pub(super) fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            // These make pictures and letters of several characters.
            let joins = matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}');
            let hidden =
                c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}');
            if hidden || (is_ignorable(c) && !joins) {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Year, month and day of a day since 1970, for years of four digits. (Days are counted from
/// 1 March of the year 0, in eras of 400 years.)
pub(super) fn date(day: i64) -> Option<(i64, i64, i64)> {
    let day = day.checked_add(719_468)?;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (1..=9999).contains(&year).then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_they_are() {
        for (name, text) in [
            (&b"photo 1.jpg"[..], "photo 1.jpg"),
            (b"a\nb\x1b", "a\\u{a}b\\u{1b}"),
            ("gpj.\u{202e}exe".as_bytes(), "gpj.\\u{202e}exe"),
            (b"caf\xe9", "caf\\xe9"),
            ("👨‍👩‍👧 日本語 ❤️".as_bytes(), "👨‍👩‍👧 日本語 ❤️"),
        ] {
            assert_eq!(shown(name), text);
        }
    }

    #[test]
    fn days_have_dates() {
        for (day, shown) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_783, (2026, 11, 26)),
        ] {
            assert_eq!(date(day), Some(shown), "{day}");
        }
        assert_eq!(date(i64::MAX), None);
        assert_eq!(date(-1_000_000), None);
    }
}
