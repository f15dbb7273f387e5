//! Names of images, by the rule of registries: what the server, or the kubelet, could not read is told before a Pod waits for it.

use oci_spec::distribution::Reference;

use super::Context;

/// An image to build on.
pub(super) fn base(context: &mut Context<'_>, path: String, image: &str) {
    read(context, path, image);
}

/// An image to run.
pub(super) fn pulled(context: &mut Context<'_>, path: String, image: &str) {
    // an IPv6 address, which the kubelet takes and the pattern here does not have
    if !image.starts_with('[') {
        read(context, path, image);
    }
}

/// An image to push: to a tag of a repository whose registry is named.
pub(super) fn pushed(context: &mut Context<'_>, path: String, image: &str) {
    let Some(reference) = read(context, path.clone(), image) else {
        return;
    };
    if reference.digest().is_some() {
        context.tell(
            path,
            "images are pushed to a tag, not to a digest: write host/path:tag",
        );
    } else if !image.contains('/') {
        context.tell(
            path,
            format!(
                "`{image}` names no registry: write host/path:tag, such as registry.example.com/team/{image}"
            ),
        );
    }
}

fn read(context: &mut Context<'_>, path: String, image: &str) -> Option<Reference> {
    // what it becomes with its values is known in the run only; an empty one is the schema's to tell
    if image.contains("$(") || image.is_empty() {
        return None;
    }
    match image.parse::<Reference>() {
        Ok(reference) => Some(reference),
        Err(error) => {
            // the library has one message for all that its pattern does not take
            let reason = if image.to_lowercase().parse::<Reference>().is_ok() {
                "the path of an image must be lowercase".to_owned()
            } else {
                error.to_string()
            };
            context.tell(
                path,
                format!(
                    "`{image}` is no image: {reason}; write it such as registry.example.com/team/web:1.4"
                ),
            );
            None
        }
    }
}
