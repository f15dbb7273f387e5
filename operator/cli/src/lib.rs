//! The dcanary command.
