//! The program inside build Pods.
