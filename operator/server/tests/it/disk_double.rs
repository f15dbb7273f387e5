//! A disk in memory that loses what was not synced: content of files, names in directories, directories themselves.
//! Every effect is counted; at a chosen one it stops for good, a write in the middle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Mutex;
use std::time::SystemTime;

use dcanary_server::store::disk::{Disk, Room, Stat, ancestors};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone)]
struct File {
    now: Vec<u8>,
    synced: Option<Vec<u8>>,
    modified: SystemTime,
}

#[derive(Clone, Default)]
struct World {
    files: HashMap<u64, File>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    /// Changes of names since the last sync of their directory, in order.
    unsynced: Vec<(String, Option<u64>)>,
    dirs: BTreeSet<String>,
    synced_dirs: BTreeSet<String>,
    next: u64,
    effects: u64,
    stop_at: Option<u64>,
    room: u64,
}

pub struct DiskDouble(Mutex<World>);

fn parent(path: &str) -> &str {
    ancestors(path).next().unwrap_or("")
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl World {
    fn stopped(&self) -> bool {
        self.stop_at.is_some_and(|at| self.effects > at)
    }

    /// Counts an effect; an error when the disk has stopped.
    fn effect(&mut self) -> io::Result<()> {
        self.effects += 1;
        if self.stopped() {
            Err(io::Error::other("the disk stopped"))
        } else {
            Ok(())
        }
    }

    fn reading(&self) -> io::Result<()> {
        if self.stopped() {
            Err(io::Error::other("the disk stopped"))
        } else {
            Ok(())
        }
    }

    fn set_name(&mut self, path: &str, file: Option<u64>) {
        match file {
            Some(file) => {
                for dir in ancestors(path).filter(|dir| !dir.is_empty()) {
                    self.dirs.insert(dir.to_owned());
                }
                self.names.insert(path.to_owned(), file);
            }
            None => {
                self.names.remove(path);
            }
        }
        self.unsynced.push((path.to_owned(), file));
    }

    fn file(&mut self, path: &str) -> io::Result<&mut File> {
        let id = *self.names.get(path).ok_or_else(absent)?;
        self.files.get_mut(&id).ok_or_else(absent)
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.names.contains_key(path) {
            self.next += 1;
            let id = self.next;
            self.files.insert(
                id,
                File {
                    now: Vec::new(),
                    synced: None,
                    modified: SystemTime::now(),
                },
            );
            self.set_name(path, Some(id));
        }
        let file = self.file(path)?;
        let (start, end) = (
            usize::try_from(offset).unwrap(),
            usize::try_from(offset).unwrap() + bytes.len(),
        );
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[start..end].copy_from_slice(bytes);
        file.modified = SystemTime::now();
        Ok(())
    }
}

impl DiskDouble {
    pub fn new() -> Self {
        Self(Mutex::new(World {
            room: 1 << 40,
            ..World::default()
        }))
    }

    /// Stops for good at an effect, counted from now.
    pub fn stop_after(&self, effects: u64) {
        let mut world = self.0.lock().unwrap();
        world.stop_at = Some(world.effects + effects);
    }

    pub fn set_room(&self, room: u64) {
        self.0.lock().unwrap().room = room;
    }

    pub fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    /// What a machine finds after losing power: of everything unsynced, some, by chance.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut world = self.0.lock().unwrap().clone();
        let mut chance = StdRng::seed_from_u64(seed);
        let mut names = world.synced_names.clone();
        for (path, file) in std::mem::take(&mut world.unsynced) {
            if chance.random() {
                match file {
                    Some(file) => names.insert(path, file),
                    None => names.remove(&path),
                };
            }
        }
        let mut lost_dirs = BTreeSet::new();
        for dir in world.dirs.difference(&world.synced_dirs) {
            if chance.random() {
                lost_dirs.insert(dir.clone());
            }
        }
        names.retain(|path, _| !ancestors(path).any(|dir| lost_dirs.contains(dir)));
        let mut files = HashMap::new();
        for id in names.values() {
            let file = world.files[id].clone();
            let synced = file.synced.clone().unwrap_or_default();
            let content = if file.synced.as_ref() == Some(&file.now) {
                file.now
            } else {
                match chance.random_range(0..4) {
                    0 => synced.clone(),
                    1 => file.now,
                    2 => file.now[..chance.random_range(0..=file.now.len())].to_vec(),
                    _ => {
                        // Longer already, but the new part is not written yet.
                        let mut torn = file.now.clone();
                        let from = synced.len().min(torn.len());
                        torn[from..].fill(0);
                        torn
                    }
                }
            };
            let kept = keep(content, &synced, &world.files[id].now);
            files.insert(
                *id,
                File {
                    synced: Some(kept.clone()),
                    now: kept,
                    modified: file.modified,
                },
            );
        }
        let dirs: BTreeSet<String> = names
            .keys()
            .flat_map(|path| ancestors(path).map(str::to_owned).collect::<Vec<_>>())
            .filter(|dir| !dir.is_empty())
            .collect();
        Self(Mutex::new(World {
            files,
            synced_names: names.clone(),
            names,
            synced_dirs: dirs.clone(),
            dirs,
            next: world.next,
            room: 1 << 40,
            ..World::default()
        }))
    }
}

/// Bytes that were synced and are the same now are there in every case: neither an addition nor a cut behind them takes them away.
fn keep(mut content: Vec<u8>, synced: &[u8], now: &[u8]) -> Vec<u8> {
    let same = synced.iter().zip(now).take_while(|(a, b)| a == b).count();
    if content.len() < same {
        content.resize(same, 0);
    }
    content[..same].copy_from_slice(&now[..same]);
    content
}

impl Disk for DiskDouble {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut world = self.0.lock().unwrap();
        world.reading()?;
        Ok(world.file(path)?.now.clone())
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let content = self.read(path)?;
        let start = usize::try_from(offset).unwrap().min(content.len());
        Ok(content[start..(start + len).min(content.len())].to_vec())
    }

    fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        let mut world = self.0.lock().unwrap();
        world.reading()?;
        Ok(world.file(path).ok().map(|file| Stat {
            len: file.now.len() as u64,
            modified: file.modified,
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let world = self.0.lock().unwrap();
        world.reading()?;
        let prefix = format!("{dir}/");
        let names: BTreeSet<String> = world
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix)?.split('/').next().map(str::to_owned))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        if world.effect().is_err() {
            if world.stop_at == Some(world.effects - 1) {
                world.write(path, offset, &bytes[..bytes.len() / 2])?;
            }
            return Err(io::Error::other("the disk stopped"));
        }
        let len = bytes.len() as u64;
        if world.room < len {
            let fits = usize::try_from(world.room).unwrap();
            world.write(path, offset, &bytes[..fits])?;
            world.room = 0;
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.room -= len;
        world.write(path, offset, bytes)
    }

    fn set_len(&self, path: &str, len: u64) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        world.file(path)?.now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn touch(&self, path: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        world.file(path)?.modified = SystemTime::now();
        Ok(())
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        let file = world.file(path)?;
        file.synced = Some(file.now.clone());
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut world.unsynced)
            .into_iter()
            .partition(|(path, _)| parent(path) == dir);
        world.unsynced = rest;
        for (path, file) in synced {
            match file {
                Some(file) => world.synced_names.insert(path, file),
                None => world.synced_names.remove(&path),
            };
        }
        let below: Vec<String> = world
            .dirs
            .iter()
            .filter(|child| parent(child) == dir)
            .cloned()
            .collect();
        world.synced_dirs.extend(below);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        let file = *world.names.get(from).ok_or_else(absent)?;
        world.set_name(to, Some(file));
        world.set_name(from, None);
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        if world.names.contains_key(path) {
            world.set_name(path, None);
        }
        Ok(())
    }

    fn remove_tree(&self, dir: &str) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.effect()?;
        let prefix = format!("{dir}/");
        let below: Vec<String> = world
            .names
            .keys()
            .filter(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            world.set_name(&path, None);
        }
        Ok(())
    }

    fn room(&self) -> io::Result<Room> {
        Ok(Room {
            available: self.0.lock().unwrap().room,
            total: 1 << 40,
        })
    }
}
