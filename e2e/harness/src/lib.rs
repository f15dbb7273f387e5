//! The end-to-end tests and the bench, on a real cluster.
