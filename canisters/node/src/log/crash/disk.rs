//! A disk that misbehaves as disks may: whatever was not synced is dropped, reordered and torn.

use crate::log::disk::{Disk, DiskFile};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex};

/// What a crash may drop or tear.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Link(String, u64),
    Rename(String, String),
    Unlink(String),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    synced: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
    /// A sync of it failed. The kernel has marked what it could not write as written: it can be read until the power goes, and later syncs
    /// succeed without writing it.
    failed: bool,
}

impl Inode {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            synced: bytes.clone(),
            current: bytes,
            ..Self::default()
        }
    }
}

#[derive(Debug)]
struct Inner {
    /// In their order, so that a seed always gives the same crashes.
    inodes: BTreeMap<u64, Inode>,
    synced_names: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    naming: Vec<Naming>,
    next_inode: u64,
    /// Operations until the crash.
    until_crash: Option<u64>,
    crashed: bool,
    /// How many writes fail for lack of room.
    full: u32,
    /// Whether the next sync fails.
    sync_fails: bool,
    /// A disk that acknowledges syncs it does not do; the tests must notice.
    lies: bool,
    /// How many operations there were.
    operations: u64,
    random: StdRng,
}

/// Where syncs wait while a test looks around.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: u32,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Mutex<Inner>>, Arc<Gate>);

fn crash() -> io::Error {
    io::Error::other("crashed")
}

impl FaultyDisk {
    pub fn new(seed: u64) -> Self {
        Self(
            Arc::new(Mutex::new(Inner {
                inodes: BTreeMap::new(),
                synced_names: BTreeMap::new(),
                names: BTreeMap::new(),
                naming: Vec::new(),
                next_inode: 0,
                until_crash: None,
                crashed: false,
                full: 0,
                sync_fails: false,
                lies: false,
                operations: 0,
                random: StdRng::seed_from_u64(seed),
            })),
            Arc::default(),
        )
    }

    /// What is certainly there after a crash at this moment: what was synced and nothing else.
    pub fn synced(&self) -> Self {
        self.synced_and(|_| false)
    }

    /// Everything that a loss of power at this moment may leave of the names, beside contents that were synced.
    pub fn losses(&self) -> Vec<Self> {
        let changes = self.inner(|inner| inner.naming.len());
        (0..1_u32 << changes)
            .map(|kept| self.synced_and(|change| kept & (1 << change) != 0))
            .collect()
    }

    /// What was synced, and those changes of names that are kept.
    fn synced_and(&self, kept: impl Fn(usize) -> bool) -> Self {
        let copy = Self::new(0);
        self.inner(|inner| {
            let mut names = inner.synced_names.clone();
            let changes = inner.naming.iter().enumerate();
            for (_, change) in changes.filter(|(at, _)| kept(*at)) {
                apply(&mut names, change);
            }
            let inodes = names
                .values()
                .map(|id| (*id, Inode::of(inner.inodes[id].synced.clone())));
            copy.inner(|other| {
                other.inodes = inodes.collect();
                other.next_inode = inner.next_inode;
                other.names = names.clone();
                other.synced_names = names.clone();
            });
        });
        copy
    }

    /// From now on syncs of files wait until [`Self::release_syncs`].
    pub fn hold_syncs(&self) {
        self.1.state.lock().unwrap().closed = true;
    }

    /// Waits until a sync waits: something was written, and is not synced.
    pub fn wait_for_sync(&self) {
        let state = self.1.state.lock().unwrap();
        drop(
            self.1
                .changed
                .wait_while(state, |state| state.waiting == 0)
                .unwrap(),
        );
    }

    pub fn release_syncs(&self) {
        self.1.state.lock().unwrap().closed = false;
        self.1.changed.notify_all();
    }

    fn pass_gate(&self) {
        let mut state = self.1.state.lock().unwrap();
        state.waiting += 1;
        self.1.changed.notify_all();
        state = self.1.changed.wait_while(state, |state| state.closed).unwrap();
        state.waiting -= 1;
    }

    /// How often something was written, cut, named or synced.
    pub fn operations(&self) -> u64 {
        self.inner(|inner| inner.operations)
    }

    fn inner<T>(&self, action: impl FnOnce(&mut Inner) -> T) -> T {
        action(&mut self.0.lock().unwrap())
    }

    pub fn crash_after(&self, operations: u64) {
        self.inner(|inner| inner.until_crash = Some(operations));
    }

    pub fn crashed(&self) -> bool {
        self.inner(|inner| inner.crashed)
    }

    pub fn fill(&self, writes: u32) {
        self.inner(|inner| inner.full = writes);
    }

    pub fn fail_next_sync(&self) {
        self.inner(|inner| inner.sync_fails = true);
    }

    pub fn lie(&self) {
        self.inner(|inner| inner.lies = true);
    }

    /// Flips one bit of a synced file.
    pub fn rot(&self, name: &str, at: usize) {
        self.inner(|inner| {
            let id = inner.names[name];
            let inode = inner.inodes.get_mut(&id).unwrap();
            inode.synced[at] ^= 1;
            inode.current[at] ^= 1;
        });
    }

    pub fn len(&self, name: &str) -> usize {
        self.inner(|inner| inner.inodes[&inner.names[name]].current.len())
    }

    /// Starts the process again after a kill: everything that was written is there, synced or not.
    pub fn restart(&self) {
        self.inner(Inner::begin);
    }

    /// Turns the power off and on: what is on the disk now.
    pub fn reboot(&self) {
        self.inner(|inner| {
            let mut names = inner.synced_names.clone();
            let naming = std::mem::take(&mut inner.naming);
            for change in naming {
                // Dropping some and keeping later ones is also the effect of reordering.
                if inner.random.random_bool(0.5) {
                    apply(&mut names, &change);
                }
            }
            let ids: Vec<u64> = inner.inodes.keys().copied().collect();
            for id in ids {
                let mut inode = inner.inodes.remove(&id).unwrap();
                let mut bytes = inode.synced.clone();
                for change in std::mem::take(&mut inode.pending) {
                    tear(&mut bytes, &change, &mut inner.random);
                }
                inner.inodes.insert(id, Inode::of(bytes));
            }
            inner.synced_names = names.clone();
            inner.names = names;
            inner.begin();
        });
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Naming) {
    match change {
        Naming::Link(name, inode) => drop(names.insert(name.clone(), *inode)),
        Naming::Unlink(name) => drop(names.remove(name)),
        Naming::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

/// Applies a change in part: sector by sector, each may be missing; the last one may be cut anywhere.
fn tear(bytes: &mut Vec<u8>, change: &Change, random: &mut StdRng) {
    const SECTOR: usize = 64;
    let mood = random.random_range(0..4);
    match change {
        Change::Truncate(len) if mood > 1 => bytes.truncate(*len),
        Change::Truncate(_) => {}
        // Nothing of it.
        Change::Write { .. } if mood == 0 => {}
        Change::Write { at, bytes: new } => {
            let end = at + new.len();
            // Everything, a beginning, or any sectors.
            let reach = if mood == 2 {
                at + random.random_range(0..=new.len())
            } else {
                end
            };
            if bytes.len() < reach {
                // The size can be written before the data: then there is garbage or nothing.
                let garbage = if random.random_bool(0.5) {
                    0
                } else {
                    random.random()
                };
                bytes.resize(reach, garbage);
            }
            let mut from = *at;
            while from < reach {
                let to = (from + SECTOR).min(reach);
                if mood != 3 || random.random_bool(0.5) {
                    bytes[from..to].copy_from_slice(&new[from - at..to - at]);
                }
                from = to;
            }
        }
    }
}

impl Inner {
    /// Another process: what was to happen to the one before does not happen to it.
    fn begin(&mut self) {
        self.crashed = false;
        self.until_crash = None;
        self.sync_fails = false;
    }

    /// Counts an operation; the crash comes in the middle of one.
    fn step(&mut self) -> io::Result<bool> {
        self.operations += 1;
        if self.crashed {
            return Err(crash());
        }
        if let Some(left) = &mut self.until_crash {
            if *left == 0 {
                self.crashed = true;
                return Ok(false);
            }
            *left -= 1;
        }
        Ok(true)
    }

    fn name(&mut self, change: Naming) -> io::Result<()> {
        let whole = self.step()?;
        apply(&mut self.names, &change);
        self.naming.push(change);
        if whole { Ok(()) } else { Err(crash()) }
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner(|inner| {
            if inner.crashed {
                Err(crash())
            } else {
                Ok(inner.names.keys().cloned().collect())
            }
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        self.inner(|inner| {
            let id = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(io::Cursor::new(inner.inodes[&id].current.clone())) as Box<dyn Read + Send>)
        })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.inner(|inner| {
            if let Some(id) = inner.names.get(name).copied() {
                inner.step()?;
                let inode = inner.inodes.get_mut(&id).unwrap();
                inode.current.clear();
                inode.pending.push(Change::Truncate(0));
                return Ok(id);
            }
            let id = inner.next_inode;
            inner.next_inode += 1;
            inner.inodes.insert(id, Inode::default());
            inner.name(Naming::Link(name.to_owned(), id))?;
            Ok(id)
        })
        .map(|inode| {
            Box::new(File {
                disk: self.clone(),
                inode,
            }) as Box<dyn DiskFile>
        })
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.inner(|inner| inner.names.get(name).copied().ok_or(io::ErrorKind::NotFound))?;
        Ok(Box::new(File {
            disk: self.clone(),
            inode,
        }))
    }

    fn overwrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let inode = self.inner(|inner| {
            let id = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            let whole = inner.step()?;
            let inode = inner.inodes.get_mut(&id).unwrap();
            inode.current[..bytes.len()].copy_from_slice(bytes);
            inode.pending.push(Change::Write {
                at: 0,
                bytes: bytes.to_vec(),
            });
            // What is written again is to be synced again.
            inode.failed = false;
            if whole { Ok(id) } else { Err(crash()) }
        })?;
        let mut file = File {
            disk: self.clone(),
            inode,
        };
        file.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner(|inner| inner.name(Naming::Rename(from.to_owned(), to.to_owned())))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner(|inner| inner.name(Naming::Unlink(name.to_owned())))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner(|inner| {
            // A crash during a sync: it may have happened, and nobody was told.
            let told = inner.step()?;
            if !inner.lies && (told || inner.random.random_bool(0.5)) {
                inner.synced_names = inner.names.clone();
                inner.naming.clear();
            }
            if told { Ok(()) } else { Err(crash()) }
        })
    }
}

#[derive(Debug)]
struct File {
    disk: FaultyDisk,
    inode: u64,
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.inner(|inner| {
            let whole = inner.step()?;
            let full = inner.full > 0;
            inner.full = inner.full.saturating_sub(1);
            // A full disk takes a part of it.
            let bytes = if full {
                &bytes[..inner.random.random_range(0..=bytes.len())]
            } else {
                bytes
            };
            let inode = inner.inodes.get_mut(&self.inode).unwrap();
            inode.pending.push(Change::Write {
                at: inode.current.len(),
                bytes: bytes.to_vec(),
            });
            inode.current.extend_from_slice(bytes);
            match (whole, full) {
                (false, _) => Err(crash()),
                (true, true) => Err(io::ErrorKind::StorageFull.into()),
                (true, false) => Ok(()),
            }
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.inner(|inner| {
            let whole = inner.step()?;
            let len = usize::try_from(len).unwrap();
            let inode = inner.inodes.get_mut(&self.inode).unwrap();
            inode.pending.push(Change::Truncate(len));
            inode.current.truncate(len);
            if whole { Ok(()) } else { Err(crash()) }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.pass_gate();
        self.disk.inner(|inner| {
            let told = inner.step()?;
            let Inner {
                inodes,
                random,
                sync_fails,
                lies,
                ..
            } = inner;
            let inode = inodes.get_mut(&self.inode).unwrap();
            if std::mem::take(sync_fails) {
                for change in std::mem::take(&mut inode.pending) {
                    tear(&mut inode.synced, &change, random);
                }
                inode.failed = true;
                return Err(io::Error::other("the device failed"));
            }
            if !*lies && !inode.failed && (told || random.random_bool(0.5)) {
                inode.synced = inode.current.clone();
                inode.pending.clear();
            }
            if told { Ok(()) } else { Err(crash()) }
        })
    }
}
