#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tacit_proto::fuzzing::to_relay(bytes));
