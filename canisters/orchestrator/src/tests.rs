//! The laws of the journal, natively, over a memory on the heap.

mod appending;
mod ceilings;
mod environments;
mod garbage;
mod kept;
mod layout;
mod memory;
mod offers;
mod reading;
mod roles;
mod story;
mod world;
