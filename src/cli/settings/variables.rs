//! The names of environment variables that are settings.
//!
//! Must not read their values.

use std::ffi::OsString;

use super::file::KEYS;

/// What all of them begin with.
const PREFIX: &str = "XFER_";
/// Variables that are no settings: what commands that xfer runs get, and what only some read.
const OTHERS: [&str; 8] = [
    "CODE",
    "PEER",
    "PEER_FINGERPRINT",
    "INTO",
    "OUTCOME",
    "STORED",
    "FAILED",
    "BYTES",
];
/// From how many letters on two mistakes are likely in one name.
const LONG: usize = 8;

/// The environment variable for a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// Those of these variables that are nearly the name of a setting, with that name. Other programs
/// may have variables with the same beginning.
pub(super) fn misspelled(names: impl Iterator<Item = OsString>) -> Vec<(String, String)> {
    let known: Vec<_> = KEYS.iter().map(|key| variable(key)).collect();
    let others = OTHERS.map(|other| format!("{PREFIX}{other}"));
    let mut misspelled: Vec<_> = names
        .filter_map(|name| {
            let name = name.into_string().ok()?;
            let word = name.strip_prefix(PREFIX)?;
            if known.contains(&name) || others.contains(&name) {
                return None;
            }
            let most = if word.len() >= LONG { 2 } else { 1 };
            let distance = |other: &String| strsim::damerau_levenshtein(&name, other);
            let nearest = known
                .iter()
                .chain(&others)
                .min_by_key(|known| distance(known))?;
            (distance(nearest) <= most).then(|| (name.clone(), nearest.clone()))
        })
        .collect();
    misspelled.sort();
    misspelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_nearly_a_setting_is_misspelled() {
        let of = |names: &[&str]| misspelled(names.iter().map(OsString::from));
        let pair = |name: &str, meant: &str| (name.to_owned(), meant.to_owned());
        assert_eq!(
            of(&["XFER_DIRR", "XFER_MAX_SESION", "XFER_CDOE", "PATH"]),
            [
                pair("XFER_CDOE", "XFER_CODE"),
                pair("XFER_DIRR", "XFER_DIR"),
                pair("XFER_MAX_SESION", "XFER_MAX_SESSIONS"),
            ]
        );
        let fine = [
            "XFER_DIR",
            "XFER_CODE",
            "XFER_PEER",
            "XFER_TEST_PANIC",
            "XFER_SKIP_NOTHING",
            "XFER_BLESS",
            "XFER_HOME_OF_SOMETHING_ELSE",
            "XFER",
            "YFER_DIR",
        ];
        assert_eq!(of(&fine), []);
    }
}
