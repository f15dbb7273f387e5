#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dcanary_node::fuzz::key(bytes));
