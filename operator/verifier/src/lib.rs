//! Offline verification of the journal against a trust file.
