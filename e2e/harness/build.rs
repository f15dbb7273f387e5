//! Does nothing: Cargo builds dependencies of a build script only where there is one (`Cargo.toml` says what they are for).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
