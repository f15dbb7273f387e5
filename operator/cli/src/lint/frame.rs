//! What Kubernetes wants of every object.

use dcanary_core::validate::is_subdomain;

use super::{
    Mistake,
    place::{Node, Shape},
};

/// Whether the object has a name that the API server takes: a DNS subdomain (RFC 1123), or the beginning of one in `generateName`.
pub fn check(document: &Node) -> Option<Mistake> {
    let metadata = document.get("metadata");
    let is_empty =
        |node: &Node| matches!(&node.shape, Shape::Scalar(value) if value.is_null() || value == "");
    let given = |field| {
        metadata
            .and_then(|metadata| metadata.get(field))
            .filter(|node| !is_empty(node))
    };
    let (place, message) = match (given("name"), given("generateName")) {
        (None, None) => {
            let place = document.place_of("metadata");
            (place, "the object has no name: give metadata.name".to_owned())
        }
        (Some(name), _) => match &name.shape {
            Shape::Scalar(serde_json::Value::String(text)) if is_subdomain(text) => return None,
            Shape::Scalar(serde_json::Value::String(text)) => {
                let rule = "use small letters, digits, `-` and `.`, with a letter or digit first and last, at most 253";
                (name.place, format!("`metadata.name` is `{text}`: {rule}"))
            }
            _ => (
                name.place,
                "`metadata.name` must be text (put it in quotes)".to_owned(),
            ),
        },
        (None, Some(_)) => return None,
    };
    Some(Mistake { place, message })
}
