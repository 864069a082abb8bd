//! What a release consists of, short of compiling it: archives and packages around a program, the
//! installer, and what package managers read. `dist/check.sh` tries the real programs in it.
//!
//! Must not build xfer, and needs no network.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "packaging/archives.rs"]
mod archives;
#[path = "packaging/installer.rs"]
mod installer;
#[path = "packaging/recipes.rs"]
mod recipes;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Whether this tool is here; says so if not.
#[track_caller]
fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    if !is_there {
        support::skip(&format!("there is no {tool}"));
    }
    is_there
}

/// What a command prints, which must succeed.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A copy of what is packed, somewhere else.
fn copy_of_source(to: &Path) {
    let files = ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE"];
    let more = ["install.sh", "install.ps1", "assets/xfer.service"];
    let dist = ["pack.sh", "recipes.sh", "xfer.spec"].map(|name| format!("dist/{name}"));
    for file in files
        .into_iter()
        .chain(more)
        .chain(dist.iter().map(|f| &**f))
    {
        let place = to.join(file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(Path::new(ROOT).join(file), place).unwrap();
    }
}
