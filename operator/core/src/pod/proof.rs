//! What tells a Pod that the operator made from one that only looks like it: labels, owner and name can be copied by whoever may
//! create Pods in the namespace, as the API server checks no owner's UID.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Annotation of build Pods: the proof.
pub const PROOF: &str = "dcanary.dev/proof";

/// A key that only the operator has, one for all its replicas.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PodKey([u8; 32]);

impl PodKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The proof for the Pod of an attempt, whose name says which attempt of which stage it is.
    pub fn proof(&self, namespace: &str, run_uid: &str, pod: &str) -> String {
        let mac = self.mac(namespace, run_uid, pod);
        mac.map_or_else(String::new, |mac| hex::encode(mac.finalize().into_bytes()))
    }

    /// Whether it is that proof.
    pub fn proves(&self, proof: &str, namespace: &str, run_uid: &str, pod: &str) -> bool {
        let mac = self.mac(namespace, run_uid, pod);
        let bytes = hex::decode(proof).unwrap_or_default();
        mac.is_some_and(|mac| mac.verify_slice(&bytes).is_ok())
    }

    fn mac(&self, namespace: &str, run_uid: &str, pod: &str) -> Option<Hmac<Sha256>> {
        // a key of any length is taken
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(b"dcanary pod v1");
        for part in [namespace, run_uid, pod] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

/// Never shown.
impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_pod_of_one_run_of_one_namespace_under_one_key() {
        let key = PodKey::new([7; 32]);
        let proof = key.proof("team", "run-1", "p");
        assert!(key.proves(&proof, "team", "run-1", "p"));
        for (namespace, run, pod) in [
            ("team2", "run-1", "p"),
            ("team", "run-2", "p"),
            ("team", "run-1", "q"),
            ("teamr", "un-1", "p"),
        ] {
            assert!(
                !key.proves(&proof, namespace, run, pod),
                "{namespace} {run} {pod}"
            );
        }
        assert!(!PodKey::new([8; 32]).proves(&proof, "team", "run-1", "p"));
        for forged in ["", "00", "no hex", &proof[..32]] {
            assert!(!key.proves(forged, "team", "run-1", "p"), "{forged}");
        }
        assert_eq!(format!("{key:?}"), "PodKey");
    }
}
