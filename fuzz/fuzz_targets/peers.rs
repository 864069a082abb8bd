//! The list of paired machines.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::peers(bytes));
