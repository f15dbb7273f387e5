//! Client of the canisters: outbox recorder, receipts, certificate checks.
