//! The bytes of a certificate.

use super::keys::Keys;
use super::signer::{SignError, Signature};
use super::topology;
use super::tree::{Tree, Wanted};
use super::trie::Subtree;
use crate::wire::cbor;
use ic_certification::{HashTree, HashTreeNode};

/// Encodes a signed tree, with the subnet's delegation when there is one.
pub fn encode(tree: &HashTree, signature: &Signature, delegation: Option<(&[u8], &[u8])>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    cbor::write_tag(&mut out);
    cbor::write_map(&mut out, if delegation.is_some() { 3 } else { 2 });
    cbor::write_text(&mut out, "tree");
    write_node(&mut out, tree.as_ref());
    cbor::write_text(&mut out, "signature");
    cbor::write_bytes(&mut out, signature);
    if let Some((subnet_id, certificate)) = delegation {
        cbor::write_text(&mut out, "delegation");
        cbor::write_map(&mut out, 2);
        cbor::write_text(&mut out, "subnet_id");
        cbor::write_bytes(&mut out, subnet_id);
        cbor::write_text(&mut out, "certificate");
        cbor::write_bytes(&mut out, certificate);
    }
    out
}

fn write_node(out: &mut Vec<u8>, node: &HashTreeNode) {
    match node {
        HashTreeNode::Empty() => {
            cbor::write_array(out, 1);
            cbor::write_uint(out, 0);
        }
        HashTreeNode::Fork(nodes) => {
            cbor::write_array(out, 3);
            cbor::write_uint(out, 1);
            write_node(out, &nodes.0);
            write_node(out, &nodes.1);
        }
        HashTreeNode::Labeled(label, node) => {
            cbor::write_array(out, 3);
            cbor::write_uint(out, 2);
            cbor::write_bytes(out, label.as_bytes());
            write_node(out, node);
        }
        HashTreeNode::Leaf(bytes) => {
            cbor::write_array(out, 2);
            cbor::write_uint(out, 3);
            cbor::write_bytes(out, bytes);
        }
        HashTreeNode::Pruned(hash) => {
            cbor::write_array(out, 2);
            cbor::write_uint(out, 4);
            cbor::write_bytes(out, hash);
        }
    }
}

/// The certificate by which the root key vouches for the subnet key.
///
/// # Errors
/// When the root key cannot sign now.
pub fn delegation(keys: &Keys, time: u64) -> Result<Vec<u8>, SignError> {
    let tree: Tree = topology::delegation(keys, time);
    let signature = keys.root.sign_root(&tree.hash())?;
    Ok(encode(&tree.reveal(&Wanted::All), &signature, None))
}
