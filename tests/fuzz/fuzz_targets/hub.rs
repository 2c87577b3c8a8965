#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net_tests::fuzz::hub::run(data));
