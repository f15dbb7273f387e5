//! Modules that arrive in chunks.

use crate::cases::prelude::*;
use ic_management_canister_types::{ChunkHash, InstallChunkedCodeArgs, UploadChunkArgs};
use sha2::{Digest, Sha256};

const UPLOAD: &str = "IC method upload_chunk";
const STORED: &str = "IC method stored_chunks";
const INSTALL: &str = "IC method install_chunked_code";

pub const CASES: &[Case] = &[
    case!(
        UPLOAD,
        an_uploaded_chunk_is_known_by_its_hash,
        CarelessChunks;
        twin a_chunk_that_is_not_stored_cannot_be_installed
    ),
    case!(UPLOAD, a_chunk_has_at_most_a_mebibyte, CarelessChunks),
    case!(
        STORED,
        stored_chunks_are_listed_until_the_store_is_cleared,
        CarelessChunks
    ),
    case!(INSTALL, a_module_can_be_installed_from_its_chunks, WrongMode),
    case!(
        INSTALL,
        a_chunked_module_must_have_the_hash_that_was_named,
        ChunkHashUnchecked
    ),
    case!(
        INSTALL,
        a_chunk_that_is_not_stored_cannot_be_installed,
        CarelessChunks
    ),
    case!(
        INSTALL,
        chunks_can_come_from_another_canister_of_the_same_controller,
        CarelessChunks
    ),
    case!(UPLOAD, chunks_are_for_controllers, IgnoreControllers),
];

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

async fn upload(user: &User, canister: Principal, chunk: &[u8]) -> Result<Answer, Failure> {
    let args = UploadChunkArgs {
        canister_id: canister,
        chunk: chunk.to_vec(),
    };
    user.manage(canister, "upload_chunk", &candid(&args)).await
}

async fn stored(user: &User, canister: Principal) -> Result<Vec<Vec<u8>>, Failure> {
    let reply = user
        .manage(canister, "stored_chunks", &about(canister))
        .await?
        .reply()?;
    let mut hashes: Vec<Vec<u8>> = Decode!(&reply, Vec<ChunkHash>)?
        .into_iter()
        .map(|chunk| chunk.hash)
        .collect();
    hashes.sort();
    Ok(hashes)
}

async fn an_uploaded_chunk_is_known_by_its_hash(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    for chunk in [b"one".as_slice(), b"two", b""] {
        let reply = upload(&user, canister, chunk).await?.reply()?;
        equal("the hash", Decode!(&reply, ChunkHash)?.hash, sha256(chunk))?;
    }
    Ok(())
}

async fn a_chunk_has_at_most_a_mebibyte(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    upload(&user, canister, &vec![1; (1 << 20) + 1])
        .await?
        .refused()?;
    equal("what is stored", stored(&user, canister).await?, vec![])?;
    upload(&user, canister, &vec![1; 1 << 20]).await?.reply()?;
    equal("how much is stored", stored(&user, canister).await?.len(), 1)
}

async fn stored_chunks_are_listed_until_the_store_is_cleared(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    for chunk in [b"one".as_slice(), b"two", b"one"] {
        upload(&user, canister, chunk).await?.reply()?;
    }
    let mut expected = vec![sha256(b"one"), sha256(b"two")];
    expected.sort();
    equal("what is stored", stored(&user, canister).await?, expected)?;
    user.manage(canister, "clear_chunk_store", &about(canister))
        .await?
        .reply()?;
    equal("what is left", stored(&user, canister).await?, vec![])
}

/// Uploads a module in three chunks; their hashes in order.
async fn in_chunks(user: &User, canister: Principal, module: &[u8]) -> Result<Vec<ChunkHash>, Failure> {
    let mut hashes = Vec::new();
    for chunk in module.chunks(module.len() / 3 + 1) {
        upload(user, canister, chunk).await?.reply()?;
        hashes.push(ChunkHash { hash: sha256(chunk) });
    }
    Ok(hashes)
}

fn chunked(target: Principal, hashes: Vec<ChunkHash>, hash: Vec<u8>) -> InstallChunkedCodeArgs {
    InstallChunkedCodeArgs {
        mode: CanisterInstallMode::Install,
        target_canister: target,
        store_canister: None,
        chunk_hashes_list: hashes,
        wasm_module_hash: hash,
        arg: vec![],
        sender_canister_version: None,
    }
}

async fn install(user: &User, args: &InstallChunkedCodeArgs) -> Result<Answer, Failure> {
    user.manage(args.target_canister, "install_chunked_code", &candid(args))
        .await
}

async fn a_module_can_be_installed_from_its_chunks(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let module = counter().build()?;
    let hashes = in_chunks(&user, canister, &module).await?;
    let args = chunked(canister, hashes, sha256(&module));
    install(&user, &args).await?.reply()?;
    equal(
        "the module hash",
        user.status(canister).await?.module_hash,
        Some(sha256(&module)),
    )?;
    equal("it runs", user.update(canister, "inc", b"").await?.number()?, 1)?;
    install(&user, &args).await?.refused()?;
    equal(
        "it runs on",
        user.update(canister, "inc", b"").await?.number()?,
        2,
    )
}

async fn a_chunked_module_must_have_the_hash_that_was_named(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let module = counter().build()?;
    let hashes = in_chunks(&user, canister, &module).await?;
    install(&user, &chunked(canister, hashes.clone(), sha256(b"other")))
        .await?
        .refused()?;
    let mut swapped = hashes.clone();
    swapped.reverse();
    install(&user, &chunked(canister, swapped, sha256(&module)))
        .await?
        .refused()?;
    equal("the module", user.status(canister).await?.module_hash, None)?;
    install(&user, &chunked(canister, hashes, sha256(&module)))
        .await?
        .reply()
        .map(drop)
}

async fn a_chunk_that_is_not_stored_cannot_be_installed(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let module = counter().build()?;
    let hashes = in_chunks(&user, canister, &module).await?;
    user.manage(canister, "clear_chunk_store", &about(canister))
        .await?
        .reply()?;
    install(&user, &chunked(canister, hashes.clone(), sha256(&module)))
        .await?
        .refused()?;
    equal("the module", user.status(canister).await?.module_hash, None)?;
    in_chunks(&user, canister, &module).await?;
    install(&user, &chunked(canister, hashes, sha256(&module)))
        .await?
        .reply()
        .map(drop)
}

async fn chunks_can_come_from_another_canister_of_the_same_controller(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let (store, target) = (user.create().await?, user.create().await?);
    let foreign = other.create().await?;
    let module = counter().build()?;
    let hashes = in_chunks(&user, store, &module).await?;
    let from_store = |target: Principal| InstallChunkedCodeArgs {
        store_canister: Some(store),
        ..chunked(target, hashes.clone(), sha256(&module))
    };
    install(&other, &from_store(foreign)).await?.refused()?;
    install(&user, &from_store(target)).await?.reply()?;
    equal("it runs", user.update(target, "inc", b"").await?.number()?, 1)
}

async fn chunks_are_for_controllers(net: Network) -> Verdict {
    let (user, other) = (net.user(), net.user());
    let canister = user.create().await?;
    upload(&user, canister, b"mine").await?.reply()?;
    upload(&other, canister, b"yours").await?.refused()?;
    for method in ["stored_chunks", "clear_chunk_store"] {
        other
            .manage(canister, method, &about(canister))
            .await?
            .refused()?;
    }
    equal(
        "what is stored",
        stored(&user, canister).await?,
        vec![sha256(b"mine")],
    )
}
