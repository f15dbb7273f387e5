//! Paths in images, as the names in their tars say them: `bin/sh`, `./bin/sh`, `/bin/sh` and `bin//sh` are one.

use std::fmt;

use super::super::text::short;
use super::Bad;

/// Longest path or target of a symlink, in bytes: the kernel has no longer ones.
const LONGEST: usize = 4_096;
/// Between names, in which it cannot be. It is less than all other bytes, so that what lies below a place follows the
/// place directly, in the order of bytes.
const BETWEEN: u8 = 0;

/// A place in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<u8>);

/// Checks the length and the bytes of a path.
///
/// # Errors
/// When no file system has such a path.
pub fn path(path: &[u8]) -> Result<&[u8], Bad> {
    if path.len() > LONGEST {
        return Err(Bad(format!("a path has more than {LONGEST} bytes")));
    }
    if path.contains(&BETWEEN) {
        return Err(Bad("a path has a NUL".to_owned()));
    }
    Ok(path)
}

impl Place {
    /// What a name in a tar means; `..` in it is taken as written, as programs that unpack layers do.
    ///
    /// # Errors
    /// When no file system has such a path.
    pub fn named(name: &[u8]) -> Result<Self, Bad> {
        let mut place = Self::default();
        for name in path(name)?.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    place.pop();
                }
                name => place.push(name),
            }
        }
        Ok(place)
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Its names.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let names = self.0.split(|byte| *byte == BETWEEN);
        names.filter(|name| !name.is_empty())
    }

    /// Goes to a name below it.
    pub fn push(&mut self, name: &[u8]) {
        if !self.is_root() {
            self.0.push(BETWEEN);
        }
        self.0.extend_from_slice(name);
    }

    /// Goes up; says whether it could.
    pub fn pop(&mut self) -> bool {
        let cut = self.0.iter().rposition(|byte| *byte == BETWEEN);
        let could = !self.is_root();
        self.0.truncate(cut.unwrap_or(0));
        could
    }

    /// A name below it.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut place = self.clone();
        place.push(name);
        place
    }

    /// The directory it is in, and its name there. The root has none.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        let name = self.names().next_back()?;
        let mut parent = self.clone();
        parent.pop();
        Some((parent, name))
    }

    /// Whether it lies below another.
    pub fn is_below(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(other.0.as_slice());
        rest.is_some_and(|rest| rest.first() == Some(&BETWEEN) || (other.is_root() && !rest.is_empty()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for name in self.names() {
            text.push('/');
            text.push_str(&String::from_utf8_lossy(name));
        }
        f.write_str(if text.is_empty() { "/" } else { &text })
    }
}

/// Bytes of others in our words.
pub fn shown(bytes: &[u8]) -> String {
    short(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::named(name.as_bytes()).unwrap()
    }

    #[test]
    fn one_place_has_many_names() {
        for name in [
            "bin/sh",
            "./bin/sh",
            "/bin/sh",
            "bin//sh/",
            "bin/./x/../sh",
            "../bin/sh",
        ] {
            assert_eq!(place(name), place("bin/sh"), "{name}");
        }
        assert_eq!(place("./bin/sh").to_string(), "/bin/sh");
        for name in ["", ".", "/", "./", "..", "a/.."] {
            assert!(place(name).is_root(), "{name}");
            assert_eq!(place(name).to_string(), "/");
        }
        assert!(Place::named(b"a\0b").is_err());
        assert!(Place::named(&[b'a'; LONGEST + 1]).is_err());
    }

    #[test]
    fn what_lies_below_a_place_follows_it_directly() {
        let mut all = ["a", "a/b", "a/b/c", "a!", "a-b", "a.b", "ab", "A"].map(place);
        all.sort();
        let names: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["/A", "/a", "/a/b", "/a/b/c", "/a!", "/a-b", "/a.b", "/ab"]
        );
        let a = place("a");
        let below: Vec<_> = all.iter().filter(|place| place.is_below(&a)).collect();
        assert_eq!(below, [&place("a/b"), &place("a/b/c")]);
        assert!(a.is_below(&Place::default()) && !Place::default().is_below(&Place::default()));
    }

    #[test]
    fn a_place_is_split_and_joined() {
        let (parent, name) = place("usr/bin").split().map(|(p, n)| (p, n.to_vec())).unwrap();
        assert_eq!((parent.join(&name), name), (place("usr/bin"), b"bin".to_vec()));
        let (parent, _) = place("bin").split().map(|(p, n)| (p, n.to_vec())).unwrap();
        assert!(parent.is_root());
        assert!(Place::default().split().is_none());
    }
}
