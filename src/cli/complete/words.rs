//! What stands on a shell's line before the cursor, as words.
//!
//! Must not expand anything: a variable or a `~` is text here.

/// The words of one command, up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// Without their quotes. The last one is what is being completed; it may be empty.
    pub(super) all: Vec<String>,
    /// The quote that is open at the cursor.
    pub(super) quote: Option<char>,
    /// How many bytes of the last word, without quotes, the shell keeps as they are.
    pub(super) kept: usize,
    /// Whether the last word says where input comes from or output goes.
    pub(super) is_redirection: bool,
}

/// Splits a line as bash and zsh do. `breaks` are what end a word for completion alone, such as
/// `=` and `:` in bash.
pub(super) fn split(line: &str, breaks: &str) -> Words {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let (mut kept, mut quote, mut is_redirection) = (0, None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && " \t\n<>;|&(".contains(c) {
            kept = 0;
            if let Some(ended) = word.take() {
                // What is written to is no argument.
                if !std::mem::take(&mut is_redirection) {
                    all.push(ended);
                }
            }
            match c {
                '<' | '>' => is_redirection = true,
                // Another command begins.
                ';' | '|' | '&' | '(' => all.clear(),
                _ => {}
            }
            continue;
        }
        let open = word.get_or_insert_default();
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                kept = open.len();
            }
            (None, '\\') => open.extend(chars.next()),
            (Some('"'), '\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => open.push(c),
                Some(c) => open.extend(['\\', c]),
                None => {}
            },
            (Some(_), c) => open.push(c),
            (None, c) => {
                open.push(c);
                if breaks.contains(c) {
                    kept = open.len();
                }
            }
        }
    }
    // What is set for the command alone stands before it.
    let is_set = |word: &String| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let before = all.iter().take_while(|word| is_set(word)).count();
    all.drain(..before);
    all.push(word.unwrap_or_default());
    Words {
        all,
        quote,
        kept,
        is_redirection,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Text as bash takes it for one word behind what is there, where this quote is open. None where
/// nothing can quote it: between double quotes, bash replaces `!` by old commands, and keeps a
/// backslash before it.
pub(super) fn quoted(text: &str, quote: Option<char>) -> Option<String> {
    if quote == Some('"') && text.contains('!') {
        return None;
    }
    let mut quoted = String::new();
    for c in text.chars() {
        match quote {
            Some('\'') if c == '\'' => quoted.push_str("'\\'"),
            Some('"') if "\"\\$`".contains(c) => quoted.push('\\'),
            None if !c.is_alphanumeric() && !"-_./,:=@%+".contains(c) => quoted.push('\\'),
            _ => {}
        }
        quoted.push(c);
    }
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_shells_do() {
        for (line, all) in [
            ("xfer send ", &["xfer", "send", ""][..]),
            (
                "xfer send a\\ b 'c d' \"e $f",
                &["xfer", "send", "a b", "c d", "e $f"],
            ),
            ("A=1 B= xfer s", &["xfer", "s"]),
            ("cd /tmp && xfer send x", &["xfer", "send", "x"]),
            ("xfer send '' ", &["xfer", "send", "", ""]),
            ("xfer list 2>/dev/null -", &["xfer", "list", "2", "-"]),
            ("xfer --to=An", &["xfer", "--to=An"]),
        ] {
            assert_eq!(split(line, "=:").all, all, "{line}");
        }
        assert!(split("xfer list > o", "").is_redirection);
        assert!(!split("xfer list > o ", "").is_redirection);
    }

    #[test]
    fn what_the_shell_keeps_is_known() {
        for (line, kept, quote) in [
            ("xfer send a lap:90", 4, None),
            ("xfer send --to=An", 5, None),
            ("xfer send --to='An", 5, Some('\'')),
            ("xfer send \"Anna", 0, Some('"')),
            ("xfer send a=b c", 0, None),
            ("xfer send a\\:b", 0, None),
        ] {
            let words = split(line, "=:");
            assert_eq!((words.kept, words.quote), (kept, quote), "{line}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_as_it_was() {
        for text in ["Anna's laptop", "a$b`c\"d\\e", "plain-1.2", "(x) & y;z*?#~"] {
            for quote in [None, Some('\''), Some('"')] {
                let open = quote.map(String::from).unwrap_or_default();
                let line = format!("xfer {open}{}", quoted(text, quote).unwrap());
                assert_eq!(split(&line, "").all, ["xfer", text], "{line}");
            }
        }
    }

    #[test]
    fn no_old_command_is_put_in_the_place_of_a_name() {
        assert_eq!(quoted("a!b", Some('"')), None);
        assert_eq!(quoted("a!b", Some('\'')).as_deref(), Some("a!b"));
        assert_eq!(quoted("a!b", None).as_deref(), Some("a\\!b"));
    }
}
