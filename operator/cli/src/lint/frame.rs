//! What Kubernetes wants of every object.

use super::{
    Mistake,
    place::{Node, Shape},
};

/// Longest name of an object in bytes.
const NAME: usize = 253;

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

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let end =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        end(label.as_bytes().first()) && end(label.as_bytes().last()) && label.bytes().all(inner)
    };
    name.len() <= NAME && name.split('.').all(label)
}
