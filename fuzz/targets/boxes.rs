#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tacit_client_core::fuzzing::boxes(bytes));
