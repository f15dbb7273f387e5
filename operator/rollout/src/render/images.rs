//! Which container takes which image.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{RenderError, object};

const LISTS: [&str; 2] = ["initContainers", "containers"];
const OPEN: &str = "$(images.";

/// A container of the template.
struct Slot {
    list: &'static str,
    index: usize,
    name: String,
    image: String,
}

impl Slot {
    fn place(&self, root: &str) -> String {
        format!("{root}.spec.{}[{}]", self.list, self.index)
    }
}

/// Puts the images of a release into a Pod template: where `$(images.NAME)` stands, or else by the name of the container, or else the only
/// image into the only container. What they are is not touched: digests are kept.
///
/// # Errors
/// An image that goes nowhere, and a container that is left without one.
pub(super) fn place(
    template: &mut Value,
    images: &BTreeMap<String, String>,
    root: &str,
) -> Result<(), RenderError> {
    let slots = slots(template, root)?;
    let mut wanted: Vec<(&Slot, &str)> = Vec::new();
    for slot in &slots {
        if let Some(name) = placeholder(slot, root)? {
            wanted.push((slot, name));
        }
    }
    if wanted.is_empty() {
        wanted = by_name(&slots, images);
    }
    let used: BTreeSet<&str> = wanted.iter().map(|(_, name)| *name).collect();
    if let Some(image) = images.keys().find(|name| !used.contains(name.as_str())) {
        return Err(RenderError::ImageUnplaced {
            image: image.clone(),
            place: root.to_owned(),
            containers: listed(slots.iter().map(|slot| slot.name.as_str())),
        });
    }
    for (slot, name) in &wanted {
        let Some(image) = images.get(*name) else {
            return Err(RenderError::ImageUnknown {
                place: format!("{}.image", slot.place(root)),
                image: (*name).to_owned(),
                there: listed(images.keys().map(String::as_str)),
            });
        };
        if let Some(Value::Object(container)) =
            template.pointer_mut(&format!("/spec/{}/{}", slot.list, slot.index))
        {
            container.insert("image".to_owned(), image.clone().into());
        }
    }
    let filled: BTreeSet<(&str, usize)> = wanted.iter().map(|(slot, _)| (slot.list, slot.index)).collect();
    match slots
        .iter()
        .find(|slot| slot.image.is_empty() && !filled.contains(&(slot.list, slot.index)))
    {
        Some(slot) => Err(RenderError::ContainerWithoutImage {
            place: slot.place(root),
            there: listed(images.keys().map(String::as_str)),
        }),
        None => Ok(()),
    }
}

/// Images of the containers of a template, by their names.
pub(super) fn of(template: &Value) -> BTreeMap<String, String> {
    LISTS
        .iter()
        .flat_map(|list| object::list(template, &format!("/spec/{list}")))
        .filter_map(|container| {
            let name = object::text(container, "/name")?;
            Some((name.to_owned(), object::text(container, "/image")?.to_owned()))
        })
        .collect()
}

fn slots(template: &Value, root: &str) -> Result<Vec<Slot>, RenderError> {
    let mut slots = Vec::new();
    for list in LISTS {
        let containers = object::list(template, &format!("/spec/{list}"));
        slots.extend(containers.iter().enumerate().map(|(index, container)| Slot {
            list,
            index,
            name: object::text(container, "/name").unwrap_or_default().to_owned(),
            image: object::text(container, "/image").unwrap_or_default().to_owned(),
        }));
    }
    if slots.iter().any(|slot| slot.list == "containers") {
        Ok(slots)
    } else {
        Err(RenderError::NoContainers {
            place: format!("{root}.spec.containers"),
        })
    }
}

fn placeholder<'a>(slot: &'a Slot, root: &str) -> Result<Option<&'a str>, RenderError> {
    if !slot.image.contains("$(") {
        return Ok(None);
    }
    slot.image
        .strip_prefix(OPEN)
        .and_then(|rest| rest.strip_suffix(')'))
        .filter(|name| !name.is_empty() && !name.contains("$(") && !name.contains(')'))
        .map(Some)
        .ok_or_else(|| RenderError::ImageText {
            place: format!("{}.image", slot.place(root)),
            text: slot.image.clone(),
        })
}

fn by_name<'a>(slots: &'a [Slot], images: &'a BTreeMap<String, String>) -> Vec<(&'a Slot, &'a str)> {
    let named: Vec<(&Slot, &str)> = slots
        .iter()
        .filter_map(|slot| Some((slot, images.get_key_value(&slot.name)?.0.as_str())))
        .collect();
    if !named.is_empty() {
        return named;
    }
    let mut main = slots.iter().filter(|slot| slot.list == "containers");
    match (main.next(), main.next(), images.len()) {
        (Some(slot), None, 1) => images.keys().map(|name| (slot, name.as_str())).collect(),
        _ => Vec::new(),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
