//! Takes logs, results and artifacts from build Pods and serves them.
