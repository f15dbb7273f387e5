//! The embedded Internet Computer node.
