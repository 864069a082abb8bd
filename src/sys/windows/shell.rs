//! What a person types in the shells of the system, PowerShell and cmd.
//!
//! Must not run anything. What the two do not read alike is written for PowerShell.

/// Whether `~` stands for the home: in one of them alone.
pub const KNOWS_TILDE: bool = false;
/// What decides where xfer keeps its key and the paired machines.
pub const STATE_VARIABLES: &str = "APPDATA and LOCALAPPDATA";
/// What says where the home is.
pub const HOME_VARIABLE: &str = "USERPROFILE";

/// A text as one word.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "\\/._-+:=".contains(c);
    // PowerShell takes quotes from books for quotes.
    let quotes = |c: char| "'\u{2018}\u{2019}\u{201a}\u{201b}".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let is_plain_in_both = |c: char| c.is_alphanumeric() || " \\/._-+:=()[]{}@#,;&'~".contains(c);
    if text.chars().all(is_plain_in_both) {
        return format!("\"{text}\"");
    }
    let mut word = String::from("'");
    for c in text.chars() {
        word.extend(quotes(c).then_some(c));
        word.push(c);
    }
    word.push('\'');
    word
}

/// The command that makes a folder, and those that it is in; `path` is one word.
#[must_use]
pub fn make_dir(path: &str) -> String {
    format!("mkdir {path}")
}

/// The command that keeps a file from other users.
#[must_use]
pub fn make_private(path: &str) -> String {
    format!("icacls {path} /inheritance:r /grant:r \"${{env:USERNAME}}:F\"")
}

/// The command that shows who may do what with a file or folder.
#[must_use]
pub fn show_permissions(path: &str) -> String {
    format!("icacls {path}")
}
