//! The records that a receive directory keeps of partials and sessions.

#![no_main]

use std::sync::LazyLock;

use tempfile::TempDir;

/// In memory, where this machine has such a place.
static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for scratch")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::partials(SCRATCH.path(), bytes));
