//! Block format, Merkle tree, state machine and interface types shared by operator and canisters.
