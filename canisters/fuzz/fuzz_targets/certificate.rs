#![no_main]

use dcanary_verifier::{Certificate, RootKey};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::decode(bytes) {
        let _ = certificate.unverified_time();
        certificate.examine(Some(&RootKey::mainnet()), &[0, 0, 0, 1, 0, 0, 0, 0, 1, 1]);
    }
});
