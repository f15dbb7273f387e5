use std::time::{Duration, Instant};

use blst::min_sig::SecretKey;
use ic_certification::{
    Delegation, HashTree,
    hash_tree::{fork, label, leaf},
};

use super::*;

const DER: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
    0x03, 0x61, 0x00,
];
const SUITE: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const LEDGER: [u8; 2] = [5, 5];

fn secret(seed: u8) -> SecretKey {
    SecretKey::key_gen(&[seed; 32], &[]).unwrap()
}

fn der(key: &SecretKey) -> Vec<u8> {
    [DER.as_slice(), &key.sk_to_pk().compress()].concat()
}

fn anchors(root: &SecretKey) -> Anchors {
    Anchors {
        root_key: RootKey::from_der(&der(root)).unwrap(),
        ledger: LEDGER.to_vec(),
    }
}

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn certify(signer: &SecretKey, tree: HashTree, delegation: Option<Delegation>) -> Vec<u8> {
    let message = [b"\x0dic-state-root".as_slice(), &tree.digest()].concat();
    encode(&ic_certification::Certificate {
        signature: signer.sign(&message, SUITE, &[]).compress().to_vec(),
        tree,
        delegation,
    })
}

/// The root key lets a subnet speak for canisters from `low` on.
fn delegation(root: &SecretKey, subnet: &SecretKey, low: u8, time: u8) -> Delegation {
    let ranges = encode(&vec![(
        serde_bytes::ByteBuf::from(vec![low]),
        serde_bytes::ByteBuf::from(vec![9]),
    )]);
    let inside = fork(
        label("canister_ranges", leaf(ranges)),
        label("public_key", leaf(der(subnet))),
    );
    let tree = fork(
        label("subnet", label("subnet", inside)),
        label("time", leaf(vec![time])),
    );
    Delegation {
        subnet_id: b"subnet".to_vec(),
        certificate: certify(root, tree, None),
    }
}

fn answer(signer: &SecretKey, time: u8, delegation: Delegation) -> Vec<u8> {
    certify(signer, label("time", leaf(vec![time])), Some(delegation))
}

fn verify(known: &Delegations, anchors: &Anchors, certificate: &[u8]) -> Result<u64, CertificateError> {
    let light = known.lighten(certificate, anchors)?;
    let verified = Certificate::decode(&light.certificate)?.verify(&light.key, &anchors.ledger)?;
    Ok(verified.time())
}

#[test]
fn a_delegation_is_verified_once_and_each_answer_under_it_every_time() {
    let (root, subnet) = (secret(1), secret(2));
    let (anchors, known) = (anchors(&root), Delegations::default());
    for time in 1..6 {
        let answer = answer(&subnet, time, delegation(&root, &subnet, 1, 1));
        assert_eq!(verify(&known, &anchors, &answer).unwrap(), u64::from(time));
    }
    assert_eq!(known.verified.load(Ordering::Relaxed), 1);
    // Known delegation, but the answer is signed by somebody else.
    let forged = answer(&secret(3), 7, delegation(&root, &subnet, 1, 1));
    assert!(matches!(
        verify(&known, &anchors, &forged),
        Err(CertificateError::Signature(_))
    ));
}

#[test]
fn a_delegation_that_does_not_hold_is_refused_however_often_it_comes() {
    let (root, subnet) = (secret(1), secret(2));
    let (anchors, known) = (anchors(&root), Delegations::default());
    let foreign = answer(&subnet, 1, delegation(&secret(4), &subnet, 1, 1));
    let outside = answer(&subnet, 1, delegation(&root, &subnet, 6, 1));
    for _ in 0..2 {
        assert_eq!(
            verify(&known, &anchors, &foreign),
            Err(CertificateError::DelegationSignature)
        );
        assert_eq!(
            verify(&known, &anchors, &outside),
            Err(CertificateError::OutsideRange)
        );
    }
    assert_eq!(known.verified.load(Ordering::Relaxed), 0);
}

#[test]
fn the_memory_of_delegations_is_bounded() {
    let (root, subnet) = (secret(1), secret(2));
    let (anchors, known) = (anchors(&root), Delegations::default());
    for time in 0..20 {
        verify(
            &known,
            &anchors,
            &answer(&subnet, 1, delegation(&root, &subnet, 1, time)),
        )
        .unwrap();
    }
    assert_eq!(known.known.lock().unwrap().len(), KEPT);
}

#[test]
fn a_known_delegation_saves_a_signature_for_each_answer() {
    const ANSWERS: u32 = 100;
    let (root, subnet) = (secret(1), secret(2));
    let anchors = anchors(&root);
    let answer = answer(&subnet, 1, delegation(&root, &subnet, 1, 1));
    // the shortest of many: what others do on the machine does not count
    let time = |look: &dyn Fn()| -> Duration {
        let times = (0..ANSWERS).map(|_| {
            let start = Instant::now();
            look();
            start.elapsed()
        });
        times.min().unwrap_or_default()
    };
    let anew = time(&|| {
        Certificate::decode(&answer)
            .unwrap()
            .verify(&anchors.root_key, &anchors.ledger)
            .unwrap();
    });
    let known = Delegations::default();
    let kept = time(&|| {
        verify(&known, &anchors, &answer).unwrap();
    });
    println!("an answer with delegation: {anew:?} anew, {kept:?} with the delegation known");
    assert_eq!(known.verified.load(Ordering::Relaxed), 1, "of {ANSWERS} answers");
}
