//! How large a value can become, level by level: the value itself, any of its members, any of theirs.

use serde_json::Value;

/// What each value takes besides its text: the value, its place in a list and what the allocator adds.
const VALUE: u64 = 96;
/// The longest text of a number: a double of 5e-324 is written with all its zeros.
const NUMBER: u64 = 352;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Level {
    /// The largest value of this level, with all that is in it.
    bytes: u64,
    /// The most members of a value of this level.
    count: u64,
}

impl Level {
    fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            count: self.count.max(other.count),
        }
    }
}

/// An upper bound of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    own: Level,
    /// Of members, of their members and so on. What is deeper has no size, because nothing is there.
    inner: Vec<Level>,
}

impl Size {
    /// A number, a truth value, a time or nothing.
    pub(crate) const SCALAR: Self = Self {
        own: Level {
            bytes: VALUE,
            count: 0,
        },
        inner: Vec::new(),
    };

    /// A text of so many bytes.
    pub(crate) fn text(bytes: usize) -> Self {
        Self::leaf(long(bytes))
    }

    fn leaf(bytes: u64) -> Self {
        let own = Level {
            bytes: bytes.saturating_add(VALUE),
            count: 0,
        };
        Self {
            own,
            inner: Vec::new(),
        }
    }

    /// A list of these, or a map, whose entries are a key and a value each.
    pub(crate) fn of_all(count: usize, members: impl IntoIterator<Item = Self>) -> Self {
        let own = Level {
            bytes: VALUE,
            count: long(count),
        };
        let mut all = Self {
            own,
            inner: Vec::new(),
        };
        for member in members {
            all.own.bytes = all.own.bytes.saturating_add(member.own.bytes);
            join(&mut all.inner, std::iter::once(member.own).chain(member.inner));
        }
        all
    }

    /// A value that is known.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::text(text.len()),
            Value::Array(list) => Self::of_all(list.len(), list.iter().map(Self::of)),
            Value::Object(map) => {
                let entries = map
                    .iter()
                    .flat_map(|(key, value)| [Self::text(key.len()), Self::of(value)]);
                Self::of_all(map.len(), entries)
            }
            _ => Self::SCALAR,
        }
    }

    /// All of it, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.own.bytes
    }

    /// How many members it has at most.
    pub(crate) fn count(&self) -> u64 {
        self.own.count
    }

    /// Any of its members.
    pub(crate) fn member(&self) -> Self {
        let mut levels = self.inner.iter().copied();
        Self {
            own: levels.next().unwrap_or(Self::SCALAR.own),
            inner: levels.collect(),
        }
    }

    /// What is one of the two.
    pub(crate) fn or(mut self, other: Self) -> Self {
        self.own = self.own.or(other.own);
        join(&mut self.inner, other.inner);
        self
    }

    /// One after the other, as texts and lists are added.
    pub(crate) fn and(self, other: Self) -> Self {
        let own = Level {
            bytes: (self.own.bytes.saturating_add(other.own.bytes)).saturating_sub(VALUE),
            count: self.own.count.saturating_add(other.own.count),
        };
        Self {
            own,
            ..self.or(other)
        }
    }

    /// What this one has become when each of so many steps adds as much to it as the first one, which made `after` of it.
    pub(crate) fn grown(self, after: Self, times: u64) -> Self {
        let more = |from: u64, to: u64| from.saturating_add(to.saturating_sub(from).saturating_mul(times));
        let own = Level {
            bytes: more(self.own.bytes, after.own.bytes),
            count: more(self.own.count, after.own.count),
        };
        Self {
            own,
            ..self.or(after)
        }
    }

    /// It as text.
    pub(crate) fn written(&self) -> Self {
        // bytes that are no UTF-8 become a character of three bytes each
        let text = self.own.bytes.saturating_sub(VALUE).saturating_mul(3);
        Self::leaf(text.max(NUMBER))
    }

    /// It as bytes.
    pub(crate) fn raw(self) -> Self {
        Self {
            inner: Vec::new(),
            ..self
        }
    }
}

fn join(levels: &mut Vec<Level>, others: impl IntoIterator<Item = Level>) {
    for (at, other) in others.into_iter().enumerate() {
        match levels.get_mut(at) {
            Some(level) => *level = level.or(other),
            None => levels.push(other),
        }
    }
}

/// A length in the width that sums are made in.
pub(crate) fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
