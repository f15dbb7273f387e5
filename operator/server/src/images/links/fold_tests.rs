#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn place(name: &str) -> Place {
    Place::named(name.as_bytes()).unwrap()
}

/// `name/` is a directory, `name -> target` a symlink, `name = other` the same as another, anything else a file.
fn entry(text: &str) -> Entry {
    let (name, kind) = match (text.split_once(" -> "), text.split_once(" = ")) {
        (Some((name, target)), _) => (name, Kind::Link(target.into())),
        (_, Some((name, other))) => (name, Kind::Same(other.into())),
        _ if text.ends_with('/') => (text, Kind::Directory),
        _ => (text, Kind::Other),
    };
    let place = place(name);
    Entry { place, kind }
}

fn apply(links: &mut Links, layer: &[&str]) -> Vec<String> {
    let hidden = layer.iter().filter_map(|text| links.apply(&entry(text)).unwrap());
    let hidden = hidden.map(|hidden| hidden.place.to_string()).collect();
    links.end_layer();
    hidden
}

fn base(layers: &[&[&str]]) -> Links {
    let mut links = Links::default();
    for layer in layers {
        apply(&mut links, layer);
    }
    links
}

fn left(layers: &[&[&str]]) -> Vec<String> {
    let links = base(layers);
    let shown = links.under.iter();
    let shown = shown.map(|(at, link)| format!("{at} -> {}", shown_target(link)));
    shown.collect()
}

fn shown_target(link: &Link) -> String {
    String::from_utf8_lossy(&link.target).into_owned()
}

#[test]
fn a_symlink_is_there_until_a_later_layer_replaces_or_removes_it() {
    let debian: &[&str] = &[
        "usr/",
        "usr/bin/",
        "usr/bin/sh",
        "./bin -> usr/bin",
        "/lib -> usr/lib",
    ];
    assert_eq!(left(&[debian]), ["/bin -> usr/bin", "/lib -> usr/lib"]);
    for gone in [
        "bin/",
        "bin/sh",
        "bin",
        ".wh.bin",
        "bin/.wh.sh",
        "bin/.wh..wh..opq",
        ".wh..wh..opq",
    ] {
        let left = left(&[debian, &[gone]]);
        assert!(
            !left.iter().any(|link| link.starts_with("/bin")),
            "{gone}: {left:?}"
        );
    }
    assert_eq!(left(&[debian, &["bin -> sbin"]])[0], "/bin -> sbin");
    assert_eq!(left(&[debian, &[".wh.lib", "usr/lib/x"]]), ["/bin -> usr/bin"]);
    assert_eq!(left(&[debian, &[".wh..wh.plnk", ".wh.", "usr/.wh.bin"]]).len(), 2);
}

#[test]
fn what_is_removed_takes_all_below_it_along() {
    let layer: &[&str] = &["a/b/c -> x", "a/b.c -> x", "a/b/d/e -> x", "a-b -> x", "ab -> x"];
    assert_eq!(
        left(&[layer, &["a/.wh.b"]]),
        ["/a/b.c -> x", "/a-b -> x", "/ab -> x"]
    );
    assert_eq!(left(&[layer, &["a/.wh..wh..opq"]]), ["/a-b -> x", "/ab -> x"]);
    assert_eq!(left(&[layer, &[".wh.a"]]), ["/a-b -> x", "/ab -> x"]);
    assert_eq!(left(&[layer, &["a"]]), ["/a-b -> x", "/ab -> x"]);
    assert_eq!(left(&[layer, &["a/"]]).len(), 5);
    assert_eq!(base(&[layer, &[".wh..wh..opq"]]).bytes(), 0);
}

#[test]
fn a_whiteout_removes_nothing_of_its_own_layer() {
    for whiteout in [".wh.a", "a/.wh..wh..opq", "a/.wh.b"] {
        let layers: &[&[&str]] = &[&["a/b -> old"], &["a/b -> new", whiteout]];
        assert_eq!(left(layers), ["/a/b -> new"], "{whiteout}");
    }
}

#[test]
fn what_lies_below_a_symlink_of_the_same_layer_goes_to_where_it_leads() {
    assert_eq!(
        left(&[&["bin -> usr/bin", "bin/sh", "bin/x -> y"]]),
        ["/bin -> usr/bin"]
    );
    assert_eq!(left(&[&["bin/x -> y", "bin -> usr/bin"]]), ["/bin -> usr/bin"]);
    assert_eq!(left(&[&["bin -> usr/bin", "bin/"]]), [""; 0]);
}

#[test]
fn another_name_of_a_symlink_is_one() {
    let layer: &[&str] = &["bin -> usr/bin", "sbin = bin", "x = usr", "y = ./sbin"];
    let expected = ["/bin -> usr/bin", "/sbin -> usr/bin", "/y -> usr/bin"];
    assert_eq!(left(&[layer]), expected);
}

#[test]
fn a_directory_in_the_place_of_a_symlink_of_a_layer_before_hides_it() {
    let mut links = base(&[&["bin -> usr/bin", "opt/x/lib -> /lib"]]);
    let own: &[&str] = &[
        "usr/bin/app",
        "opt/",
        "opt/x/",
        "opt/x/lib/y/z",
        "bin/",
        "bin/app",
    ];
    assert_eq!(apply(&mut links, own), ["/opt/x/lib", "/bin"]);
    assert_eq!(apply(&mut links, own), [""; 0], "they are directories now");
}

fn told(links: &Links, by: &str) -> String {
    let mut own = links.clone();
    let by = entry(by);
    let hidden = own.apply(&by).unwrap().unwrap();
    hidden.told(&by.place, links)
}

#[test]
fn the_path_to_write_instead_is_told_over_several_links() {
    let links = base(&[&[
        "bin -> usr/bin",
        "lib64 -> /usr/lib64",
        "usr/lib64 -> ./../usr/lib",
        "out -> ../etc",
        "a -> b",
        "b -> a/x",
        "root -> /",
        "usr/bin/sh -> dash",
        "opt/app/current -> ../../srv/./v1/",
    ]]);
    assert_eq!(
        told(&links, "bin/app"),
        "`/bin/app` goes below `/bin`, which the base has as a symlink to `usr/bin`; write `/usr/bin/app`"
    );
    assert_eq!(
        told(&links, "bin/"),
        "`/bin` is a directory in the image, and in the base a symlink to `usr/bin`; write `/usr/bin`"
    );
    for (by, place) in [
        ("lib64/a/b", "/usr/lib/a/b"),
        ("root/x", "/x"),
        // the symlink is what it replaces, not what that leads to
        ("bin/sh", "/usr/bin/sh"),
        ("root/lib64/x", "/usr/lib/x"),
        ("opt/app/current/bin/x", "/srv/v1/bin/x"),
    ] {
        let told = told(&links, by);
        assert!(told.ends_with(&format!("; write `{place}`")), "{told}");
    }
    for by in ["out/x", "a/x"] {
        let told = told(&links, by);
        assert!(told.contains("goes below") && !told.contains("write"), "{told}");
    }
}

#[test]
fn what_goes_below_an_own_symlink_is_told_with_both() {
    let links = base(&[&["bin -> usr/bin"]]);
    let mut own = links.clone();
    let layer: &[&str] = &["x -> bin", "x/app", "x/lib/", "y -> bin", "z -> bin"];
    assert_eq!(apply(&mut own, layer), ["/x", "/x"]);
    assert_eq!(apply(&mut own, &["y/app", ".wh.z", "z/app"]), ["/y"]);
    let mut own = links.clone();
    own.apply(&entry("x -> bin")).unwrap();
    let by = entry("x/app");
    let hidden = own.apply(&by).unwrap().unwrap();
    assert_eq!(
        hidden.told(&by.place, &links),
        "`/x/app` goes below `/x`, which the image itself has as a symlink to `bin`; \
         write it to where that leads, or leave the symlink out"
    );
}

#[test]
fn a_whiteout_removes_any_number_of_symlinks() {
    let names: Vec<String> = (0..=AT_ONCE * 2)
        .map(|number| format!("a/{number} -> x"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let links = base(&[names.as_slice(), &[".wh.a"]]);
    assert_eq!((links.under.len(), links.bytes()), (0, 0));
}

/// A file system as one thinks of it: a tree that each layer changes.
#[derive(Default)]
struct Node {
    /// None is a file, nothing in it a directory.
    target: Option<String>,
    is_directory: bool,
    layer: usize,
    names: std::collections::BTreeMap<String, Node>,
}

impl Node {
    fn directory(layer: usize) -> Self {
        Self {
            is_directory: true,
            layer,
            ..Self::default()
        }
    }

    /// The directory with these names, made in the place of whatever is there; none through a symlink of the layer.
    fn make(&mut self, names: &[&str], layer: usize) -> Option<&mut Self> {
        let Some((first, rest)) = names.split_first() else {
            return Some(self);
        };
        let child = self.names.entry((*first).to_owned());
        let child = child.or_insert_with(|| Self::directory(layer));
        if child.target.is_some() && child.layer == layer {
            return None;
        }
        if !child.is_directory {
            *child = Self::directory(layer);
        }
        child.make(rest, layer)
    }

    /// Forgets what layers before one have; says whether anything is left.
    fn forget(&mut self, layer: usize) -> bool {
        self.names.retain(|_, child| child.forget(layer));
        self.layer == layer || !self.names.is_empty()
    }

    fn apply(&mut self, text: &str, layer: usize) {
        let of = entry(text);
        let path = of.place.to_string();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let Some((name, parents)) = names.split_last() else {
            return;
        };
        let Some(parent) = self.make(parents, layer) else {
            return;
        };
        if *name == ".wh..wh..opq" {
            parent.names.retain(|_, child| child.forget(layer));
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            if parent
                .names
                .get_mut(gone)
                .is_some_and(|child| !child.forget(layer))
            {
                parent.names.remove(gone);
            }
        } else {
            let new = match of.kind {
                Kind::Directory => Self::directory(layer),
                Kind::Link(target) => Self {
                    target: Some(String::from_utf8(target).unwrap()),
                    layer,
                    ..Self::default()
                },
                _ => Self {
                    layer,
                    ..Self::default()
                },
            };
            match parent.names.get_mut(*name) {
                Some(old) if old.is_directory && new.is_directory => old.layer = layer,
                _ => drop(parent.names.insert((*name).to_owned(), new)),
            }
        }
    }

    fn links(&self, at: &str, found: &mut Vec<String>) {
        for (name, child) in &self.names {
            let at = format!("{at}/{name}");
            if let Some(target) = &child.target {
                found.push(format!("{at} -> {target}"));
            }
            child.links(&at, found);
        }
    }
}

fn any_entry() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["a", "b", "a-", "."]);
    let path = prop::collection::vec(names, 1..4).prop_map(|names| names.join("/"));
    let last = prop::sample::select(vec!["", "/", " -> x", " -> ../y"]);
    let whiteout = prop::sample::select(vec!["/.wh..wh..opq", "/.wh.a", "/.wh.b"]);
    prop_oneof![
        4 => (path.clone(), last).prop_map(|(path, last)| path + last),
        1 => (path, whiteout).prop_map(|(path, whiteout)| path + whiteout),
        1 => Just(".wh.a".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_symlinks_are_those_of_a_file_system_with_these_layers(
        layers in prop::collection::vec(prop::collection::vec(any_entry(), 0..8), 1..5)
    ) {
        let (mut tree, mut links) = (Node::directory(0), Links::default());
        for (number, layer) in layers.iter().enumerate() {
            for text in layer {
                tree.apply(text, number);
                links.apply(&entry(text)).unwrap();
            }
            links.end_layer();
        }
        let mut expected = Vec::new();
        tree.links("", &mut expected);
        expected.sort();
        let mut found: Vec<_> = links.under.iter().map(|(at, link)| format!("{at} -> {}", shown_target(link))).collect();
        found.sort();
        prop_assert_eq!(found, expected);
        let bytes: usize = links.under.iter().map(|(at, link)| size(at, link)).sum();
        prop_assert_eq!(links.bytes(), bytes);
    }
}
