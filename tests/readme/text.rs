//! README.md, as a machine reads it: its recipes, and the commands in them.
//!
//! Must not hold any of its words: what is looked for comes from the tests, what is run from it.

/// The whole of it.
const README: &str = include_str!("../../README.md");

/// What stands under a heading, or in a paragraph that begins with bold words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// The heading or the bold words, without a full stop.
    pub(crate) title: String,
    /// What is indented: commands, or a file.
    pub(crate) lines: Vec<String>,
    /// All the rest, in one line.
    pub(crate) prose: String,
}

impl Part {
    /// All parts, in their order.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::default()];
        for line in README.lines() {
            if let Some(title) = title(line) {
                all.push(Self {
                    title: title.trim_end_matches('.').to_owned(),
                    ..Self::default()
                });
            }
            let part = all.last_mut().unwrap();
            match line.strip_prefix("    ") {
                Some(indented) => part.lines.push(indented.to_owned()),
                None => {
                    part.prose.push_str(line);
                    part.prose.push('\n');
                }
            }
        }
        all
    }

    /// The only part of this title.
    #[track_caller]
    pub(crate) fn of(title: &str) -> Self {
        let mut found = Self::all();
        found.retain(|part| part.title == title);
        assert_eq!(found.len(), 1, "README.md has no such part: {title}");
        found.remove(0)
    }

    /// What stands in backticks.
    pub(crate) fn quoted(&self) -> Vec<String> {
        let words: Vec<_> = self.prose.split_whitespace().collect();
        let prose = words.join(" ");
        prose
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    /// What stands in backticks and is a command.
    pub(crate) fn quoted_commands(&self) -> Vec<String> {
        let mut quoted = self.quoted();
        quoted.retain(|text| ["xfer ", "sha256sum "].iter().any(|p| text.starts_with(p)));
        quoted
    }

    /// What stands in backticks and is an option.
    pub(crate) fn quoted_options(&self) -> Vec<String> {
        let mut quoted = self.quoted();
        quoted.retain(|text| text.starts_with("--"));
        quoted
    }

    /// The rows of its table below the head, as cells.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let rows = self.prose.lines().filter_map(|line| {
            let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
            Some(row.split(" | ").map(str::to_owned).collect())
        });
        rows.collect()
    }
}

/// A line of a block: who is to run it, where that is said, and what.
pub(crate) fn prompted(line: &str) -> (Option<&str>, &str) {
    match line.split_once('$') {
        Some((who, rest)) if !who.is_empty() && who.chars().all(char::is_alphanumeric) => {
            (Some(who), rest.trim_start())
        }
        _ => (None, line),
    }
}

fn title(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("**") {
        return Some(rest.split_once("**")?.0);
    }
    let title = line.trim_start_matches('#');
    (title.len() < line.len()).then(|| title.trim())
}
