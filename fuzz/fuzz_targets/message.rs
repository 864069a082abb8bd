//! A message of any type.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xfer::fuzz::message(bytes));
