//! The operator program.
