//! Patterns among the files to send, where the shell leaves them to the program, as those of Windows
//! do.
//!
//! Must not open what matches, nor know which arguments are files.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::arguments::Wrong;
use crate::ui::safe;

/// What stands for names in patterns.
const WILD: [char; 2] = ['*', '?'];

/// The arguments, with those that match in the place of each pattern, in their order. What has a
/// name as it stands is no pattern.
pub(super) fn expanded(arguments: Vec<OsString>) -> Result<Vec<OsString>, Wrong> {
    let mut all = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let path = Path::new(&argument);
        if !is_pattern(path) || path.symlink_metadata().is_ok() {
            all.push(argument);
            continue;
        }
        let found = matching(path);
        if found.is_empty() {
            return Err(Wrong(format!("no file matches '{}'", safe(&argument))));
        }
        all.extend(found.into_iter().map(OsString::from));
    }
    Ok(all)
}

fn is_pattern(path: &Path) -> bool {
    // Not what stands before the names: `\\?\C:\`.
    path.components()
        .any(|part| matches!(part, Component::Normal(name) if is_wild(name)))
}

fn is_wild(name: &OsStr) -> bool {
    name.to_string_lossy().contains(WILD)
}

/// All that is there and matches, by name. A folder that cannot be read has nothing that does.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        match part {
            Component::Normal(wanted) if is_wild(wanted) => {
                let wanted = lower(wanted);
                found = found.iter().flat_map(|dir| names(dir, &wanted)).collect();
            }
            part => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}

fn names(dir: &Path, wanted: &[char]) -> Vec<PathBuf> {
    let here = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    let list = here.read_dir().into_iter().flatten().flatten();
    let names = list.map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| matches(wanted, &lower(name))).collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

// Upper and lower case are the same where there are such shells.
fn lower(name: &OsStr) -> Vec<char> {
    name.to_string_lossy().to_lowercase().chars().collect()
}

/// Whether a name matches: '*' stands for any characters, '?' for one.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last '*' is, and up to where it stands for the name.
    let mut star = None;
    while let Some(c) = name.get(n) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == c => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, end)) => {
                    *end += 1;
                    (p, n) = (*at + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_shells_of_windows_have_them() {
        let is_match = |pattern: &str, name: &str| {
            matches(&lower(OsStr::new(pattern)), &lower(OsStr::new(name)))
        };
        for (pattern, name) in [
            ("*", "a"),
            ("*.jpg", "A.JPG"),
            ("*.*", "a.b.c"),
            ("a*b*c", "aXbYbZc"),
            ("?", "ä"),
            ("*a?", "aaab"),
            ("**", ""),
        ] {
            assert!(is_match(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.jpg", "a.jpeg"),
            ("?", ""),
            ("?", "ab"),
            ("a*b", "aXc"),
            ("", "a"),
        ] {
            assert!(!is_match(pattern, name), "{pattern} {name}");
        }
        let long = "a".repeat(10_000);
        assert!(!is_match(&"*a".repeat(50), &(long + "b")));
    }

    #[test]
    fn a_pattern_becomes_what_matches_and_all_else_stays() {
        let temp = tempfile::tempdir().unwrap();
        for name in [
            "2023/b.jpg",
            "2024/a.JPG",
            "2024/c.txt",
            "2024/sub/x",
            "y.jpg",
        ] {
            let path = temp.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let expand = |pattern: &str| {
            let arguments = vec![temp.path().join(pattern).into_os_string(), "laptop".into()];
            let found = expanded(arguments).map_err(|wrong| wrong.0)?;
            let names = found.iter().map(|path| {
                let path = Path::new(path);
                let below = path.strip_prefix(temp.path()).unwrap_or(path);
                below.to_str().unwrap().replace('\\', "/")
            });
            Ok::<_, String>(names.collect::<Vec<_>>())
        };
        assert_eq!(expand("2024/*.jpg").unwrap(), ["2024/a.JPG", "laptop"]);
        assert_eq!(
            expand("20*/?.jpg").unwrap(),
            ["2023/b.jpg", "2024/a.JPG", "laptop"]
        );
        assert_eq!(expand("*/sub").unwrap(), ["2024/sub", "laptop"]);
        assert_eq!(expand("y.jpg").unwrap(), ["y.jpg", "laptop"]);
        let wrong = expand("*.png").unwrap_err();
        assert!(wrong.starts_with("no file matches '"), "{wrong}");
    }
}
