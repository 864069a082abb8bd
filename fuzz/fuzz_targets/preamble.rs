//! A preamble.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::preamble(bytes));
