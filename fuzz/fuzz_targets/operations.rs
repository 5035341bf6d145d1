#![no_main]
use libfuzzer_sys::fuzz_target;
fuzz_target!(|octets: &[u8]| switchboard::fuzz::operations(std::time::Instant::now(), octets));
