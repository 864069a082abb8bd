//! A path that a peer names.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::relpath(bytes));
