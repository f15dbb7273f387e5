//! YAML as a tree in which everything knows its line and column.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::{Mistake, words};

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

/// A value and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Text, number, truth value or nothing.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// Fields, in the order of the file: name, where the name is, value.
    Fields(Vec<(String, Place, Node)>),
}

/// Reads all documents of a file.
///
/// # Errors
/// When it is no YAML, with the place.
pub fn read(text: &str) -> Result<Vec<Node>, Mistake> {
    let documents: Vec<Spanned<Raw>> = serde_saphyr::from_multiple(text).map_err(|source| {
        let place = source
            .location()
            .map_or(Place { line: 1, column: 1 }, |at| Place {
                line: at.line(),
                column: at.column(),
            });
        let message = words::told(&source, text, usize::try_from(place.line).unwrap_or(usize::MAX));
        Mistake { place, message }
    })?;
    Ok(documents.into_iter().map(Node::from).collect())
}

impl Node {
    fn field(&self, name: &str) -> Option<(&Place, &Node)> {
        match &self.shape {
            Shape::Fields(fields) => fields
                .iter()
                .find(|(found, _, _)| found == name)
                .map(|(_, place, node)| (place, node)),
            _ => None,
        }
    }

    /// A field that is text.
    pub fn text(&self, field: &str) -> Option<&str> {
        match &self.field(field)?.1.shape {
            Shape::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Where a field is, or this value when it has no such field.
    pub fn place_of(&self, field: &str) -> Place {
        self.field(field).map_or(self.place, |(_, node)| node.place)
    }

    /// `metadata.name`, or nothing.
    pub fn name(&self) -> &str {
        self.field("metadata")
            .and_then(|(_, node)| node.text("name"))
            .unwrap_or("(no name)")
    }

    /// The place of a path such as `spec.stages[2].dependsOn[0]`: as deep as it exists.
    pub fn find(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')) {
            let next = match (&node.shape, part.parse::<usize>()) {
                (Shape::List(items), Ok(index)) => items.get(index).map(|item| (item.place, item)),
                _ => node.field(part).map(|(_, value)| (value.place, value)),
            };
            let Some((at, inner)) = next else { break };
            (place, node) = (at, inner);
        }
        place
    }

    /// The objects of a `List`, such as `kubectl get -o yaml` writes, or the object itself.
    pub fn listed(self) -> Vec<Self> {
        let is_list = self.text("apiVersion") == Some("v1") && self.text("kind") == Some("List");
        let items =
            |fields: Vec<(String, Place, Self)>| fields.into_iter().find(|(name, _, _)| name == "items");
        match self.shape {
            Shape::Fields(fields) if is_list => match items(fields) {
                Some((
                    _,
                    _,
                    Self {
                        shape: Shape::List(objects),
                        ..
                    },
                )) => objects,
                _ => Vec::new(),
            },
            shape => vec![Self {
                place: self.place,
                shape,
            }],
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&Self> {
        self.field(field).map(|(_, node)| node)
    }

    /// The value without places.
    pub fn to_json(&self) -> Value {
        self.with(&BTreeMap::new()).unwrap_or_default()
    }

    /// The value without places, with other values at some of them, or none.
    pub fn with(&self, instead: &BTreeMap<Place, Option<Value>>) -> Option<Value> {
        Some(match &self.shape {
            Shape::Scalar(_) if instead.contains_key(&self.place) => {
                return instead.get(&self.place)?.clone();
            }
            Shape::Scalar(value) => value.clone(),
            Shape::List(items) => Value::Array(items.iter().filter_map(|item| item.with(instead)).collect()),
            Shape::Fields(fields) => {
                let fields: Map<String, Value> = fields
                    .iter()
                    .filter_map(|(name, _, node)| Some((name.clone(), node.with(instead)?)))
                    .collect();
                Value::Object(fields)
            }
        })
    }
}

/// A value whose inner values know their places.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Fields(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    Place {
        line: spanned.referenced.line(),
        column: spanned.referenced.column(),
    }
}

/// Stands for a name that is no text, as `{{ .Values.x }}` is.
pub(super) const TEMPLATED: &str = "{…}";

/// A name as kubectl reads it: JSON has names of text only, and `on` without quotes is `true` in its YAML.
fn key(raw: Raw) -> String {
    match raw {
        Raw::Scalar(Value::String(text)) => text,
        Raw::Scalar(value) => value.to_string(),
        Raw::List(_) | Raw::Fields(_) => TEMPLATED.to_owned(),
    }
}

impl From<Spanned<Raw>> for Node {
    fn from(spanned: Spanned<Raw>) -> Self {
        let at = place(&spanned);
        let shape = match spanned.value {
            Raw::Scalar(value) => Shape::Scalar(value),
            Raw::List(items) => Shape::List(items.into_iter().map(Self::from).collect()),
            Raw::Fields(fields) => Shape::Fields(
                fields
                    .into_iter()
                    .map(|(name, value)| {
                        let at = place(&name);
                        (key(name.value), at, Self::from(value))
                    })
                    .collect(),
            ),
        };
        Self { place: at, shape }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Raw::Fields(fields))
    }
}
