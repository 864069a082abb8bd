//! Options of `scp`, `rsync` and `cp` that people type from habit, and what xfer has instead.
//!
//! Must not accept them: an option that does nothing would hide a mistake.

use std::ffi::OsString;

/// What xfer does without being told.
const FOLDERS: &str = "xfer sends folders as they are";
const RESUMES: &str = "xfer shows the progress, and resumes what stopped";
const COMPRESSES: &str = "xfer compresses where that is faster";

/// Options that are not needed, each with the reason.
const NOT_NEEDED: [(&str, &str); 12] = [
    ("-r", FOLDERS),
    ("-R", FOLDERS),
    ("-a", FOLDERS),
    ("--recursive", FOLDERS),
    ("--archive", FOLDERS),
    ("-p", "xfer keeps times and permissions"),
    ("-t", "xfer keeps times and permissions"),
    ("-z", COMPRESSES),
    ("-C", COMPRESSES),
    (
        "-P",
        "xfer resumes what stopped; a port stands behind the receiver, as in laptop:9091",
    ),
    ("--progress", RESUMES),
    ("--partial", RESUMES),
];

/// Options that have another name.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("--delete", "--mirror"),
    ("--bwlimit", "--limit"),
    ("-u", "--update"),
    ("-c", "--checksum"),
];

/// What to say about an option that `xfer send` does not have, where the user typed `given`. Letters
/// that stand together are told of together.
pub(super) fn about(option: &str, given: impl Iterator<Item = OsString>) -> Option<String> {
    let other = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == option);
    if let Some((theirs, ours)) = other {
        return Some(format!("{theirs} is {ours} in xfer"));
    }
    let reason = reason(option)?;
    let letter = option
        .strip_prefix('-')
        .filter(|name| !name.starts_with('-'));
    let together = letter.and_then(|letter| {
        let mut given = given.filter_map(|arg| arg.into_string().ok());
        given.find(|arg| is_needless(arg) && arg.contains(letter))
    });
    let shown = together.as_deref().unwrap_or(option);
    Some(format!("{shown} is not needed: {reason}"))
}

fn reason(option: &str) -> Option<&'static str> {
    let found = NOT_NEEDED.iter().find(|(name, _)| *name == option);
    found.map(|(_, reason)| *reason)
}

/// Whether these are letters of which none is needed; -v is one of xfer's own.
fn is_needless(arg: &str) -> bool {
    arg.strip_prefix('-').is_some_and(|letters| {
        let mut each = letters.chars();
        each.all(|letter| letter == 'v' || reason(&format!("-{letter}")).is_some())
    })
}

#[cfg(test)]
mod tests {
    use clap::error::{ContextKind, ContextValue, ErrorKind};

    use super::*;

    #[test]
    fn options_of_other_tools_are_answered() {
        for (option, given, said) in [
            (
                "-r",
                "-r",
                "-r is not needed: xfer sends folders as they are",
            ),
            (
                "-a",
                "-avz",
                "-avz is not needed: xfer sends folders as they are",
            ),
            (
                "-a",
                "-ax",
                "-a is not needed: xfer sends folders as they are",
            ),
            (
                "-z",
                "-vz",
                "-vz is not needed: xfer compresses where that is faster",
            ),
            ("--delete", "--delete", "--delete is --mirror in xfer"),
        ] {
            let given = ["send", given, "--archive", "a", "b"].map(OsString::from);
            assert_eq!(about(option, given.into_iter()).unwrap(), said);
        }
        assert_eq!(about("--foo", std::iter::empty()), None);
    }

    #[test]
    fn none_of_them_is_one_of_ours() {
        let theirs = NOT_NEEDED.iter().chain(&OTHER_NAMES);
        for (option, _) in theirs {
            let program = super::super::program();
            let error = program.try_get_matches_from(["xfer", "send", option, "a", "b"]);
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{option}");
            let named = error.get(ContextKind::InvalidArg);
            let is_it = matches!(named, Some(ContextValue::String(name)) if name == option);
            assert!(is_it, "{option}: {named:?}");
        }
    }
}
