//! What a person types in the shells of the system.
//!
//! Must not run anything.

/// Whether `~` stands for the home.
pub const KNOWS_TILDE: bool = true;
/// What decides where xfer keeps its key and the paired machines.
pub const STATE_VARIABLES: &str = "HOME, XDG_CONFIG_HOME and XDG_DATA_HOME";
/// What says where the home is.
pub const HOME_VARIABLE: &str = "HOME";

/// A text as one word.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The command that makes a folder, and those that it is in; `path` is one word.
#[must_use]
pub fn make_dir(path: &str) -> String {
    format!("mkdir -p {path}")
}

/// The command that keeps a file from other users.
#[must_use]
pub fn make_private(path: &str) -> String {
    format!("chmod 600 {path}")
}

/// The command that shows who may do what with a file or folder.
#[must_use]
pub fn show_permissions(path: &str) -> String {
    format!("ls -ld {path}")
}
