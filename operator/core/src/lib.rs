//! Pure decisions: graph, expressions, runs, build Pods.
