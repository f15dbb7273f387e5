//! Writes the definitions into a folder, or checks them with `--check`.

use std::{fs, path::PathBuf, process::ExitCode};

fn main() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "crds/yaml".into()));
    let check = args.next().as_deref() == Some("--check");
    let mut stale = false;
    fs::create_dir_all(&folder)?;
    for (name, text) in dcanary_crds::generate::files()? {
        let path = folder.join(&name);
        if check {
            if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                eprintln!("{} is out of date: run `make generate`", path.display());
                stale = true;
            }
        } else {
            fs::write(path, text)?;
        }
    }
    Ok(if stale {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
