//! Tars that are made to fill the server's memory.

use reqwest::StatusCode;
use serde_json::json;

use crate::killed::ChildServer;
use crate::layouts::{body_of, image, tar};
use crate::memory::memory;
use crate::support::{Runner, refused};
use dcanary_server::digest::Digest;

const MIB: usize = 1 << 20;

/// Completes a tar as an image and says what the server had to say and by how many MiB it grew.
async fn grown(name: &str, bytes: Vec<u8>) -> (reqwest::Response, u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = ChildServer::start(folder.path());
    let pid = server.child.id();
    let runner = Runner::new(server.http(folder.path()), "builds", "uid-0");
    assert_eq!(runner.trade().await.status(), StatusCode::OK);
    let mut body = body_of(&bytes, "");
    body.as_object_mut().unwrap().remove("reference");
    assert_eq!(runner.put(name, 0, bytes).await.status(), StatusCode::OK);
    let before = memory(pid, "VmHWM");
    let answer = runner.complete(name, &body).await;
    (answer, memory(pid, "VmHWM") - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_look_like_documents_are_not_kept_in_memory() {
    let mut many = image(&[b"a layer"], &json!({}), None);
    for n in 0..8_u8 {
        let mut blob = vec![n; 4 * MIB];
        blob[0] = b'{';
        let path = format!("blobs/sha256/{}", Digest::of(&blob).hex());
        many.files.push((path, blob));
    }
    let (answer, grown) = grown("many", tar(&many)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(grown < 16, "{grown} MiB for 32 MiB of blobs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fills_a_tar_is_not_kept_in_memory() {
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(32 * MIB as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(512 + 32 * MIB, b'a');
    bytes.extend(tar(&image(&[b"a layer"], &json!({}), None)));
    let (answer, grown) = grown("name", bytes).await;
    assert_eq!(refused(answer).await, (422, "bad-image".into()));
    assert!(grown < 16, "{grown} MiB for a name of 32 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_is_small_as_text_and_large_once_it_is_read_is_refused() {
    let settings = json!({"Labels": vec![json!({"": 0}); 200_000]});
    let large = image(&[b"a layer"], &settings, None);
    let (answer, grown) = grown("config", tar(&large)).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("config: more than 65536 values"), "{text}");
    assert!(grown < 16, "{grown} MiB");
}
