//! The chain, and records on their way to it.

use dcanary_core::{SealOutbox, observed::Sealing};
use dcanary_types::environment::{EnvMachine, EnvTransition};

use crate::{build::ENV_UID, world::World};

impl World {
    /// The chain takes what is in the outbox, and refuses what is illegal.
    pub fn record(&mut self) -> bool {
        if self.chain_away {
            return false;
        }
        let journal = self.status().journal.unwrap_or_default();
        let mut taken = false;
        let mut records: Vec<_> = self.sealed.values().flatten().cloned().collect();
        records.extend(journal.pending);
        records.sort_by_key(|record| record.n);
        for pending in &records {
            if usize::try_from(pending.n).unwrap() < self.chain.len() {
                continue;
            }
            let record =
                dcanary_core::journal::read::<EnvTransition>(pending).expect("a record of an environment");
            assert_eq!(
                usize::try_from(record.n).unwrap(),
                self.chain.len(),
                "without gaps"
            );
            let transition = record.transition;
            match &mut self.machine {
                None => {
                    let EnvTransition::Opened { from, approvals, .. } = &transition else {
                        panic!("first comes opened: {transition:?}");
                    };
                    self.machine = Some(EnvMachine::open(ENV_UID, from.as_deref(), *approvals));
                }
                Some(machine) => {
                    let outcome = machine.admit(&transition, &|_, _| Some(true));
                    assert!(outcome.is_ok(), "the chain refuses {transition:?}: {outcome:?}");
                }
            }
            self.chain.push(transition);
            taken = true;
        }
        taken
    }

    /// Puts records aside; whether that is new.
    pub fn seal(&mut self, outbox: &SealOutbox) -> bool {
        let sealing = Sealing::Sealed {
            first: outbox.first,
            last: outbox.last,
            hash: outbox.hash.clone(),
        };
        let new = !self.sealings.contains(&sealing);
        if new {
            self.sealings.push(sealing);
            self.sealed
                .insert(outbox.config_map.clone(), outbox.records.clone());
        }
        new
    }
}
