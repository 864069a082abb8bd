//! A stream of frames.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::frame(bytes));
