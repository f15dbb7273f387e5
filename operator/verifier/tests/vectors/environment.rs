//! Environments in whole exports, and environments proved by inclusion.

use dcanary_types::environment::{EnvRecord, EnvTransition};
use dcanary_types::record::Transition;
use dcanary_verifier::{
    Check, ExpectedRun, Report, RunEvidence, Status, TrustFile, verify_environment, verify_run,
};
use serde_json::{Value as Json, json};

use crate::deployments::{
    OTHER, PROD, STAGING, approved, held, identity, opened, prod, promoted, release, requested, started, step,
};
use crate::exports;
use crate::proofs::{MINUTE, evidence_of, proved};
use crate::records::{NOW, RUN, other_operator, records, transitions};
use crate::world::World;

/// `prod` with rules that demand nothing, and then these.
fn with_prod(then: &[EnvTransition]) -> World {
    let mut world = World::staged();
    world.environment(PROD, [&[opened("prod", None, 0)], then].concat());
    world
}

fn wanted() -> EnvTransition {
    requested("p", release(), identity(), false)
}

pub fn make_exports() -> Json {
    let mut c = exports::Cases(Vec::new());
    let mut add = |name: &str, world: &World, fails: &[Check]| {
        c.add(name, &world.export(), Some(&world.trust()), fails);
    };
    add(
        "good: environments with every kind of record",
        &World::deployed(),
        &[],
    );
    let mut note = with_prod(&[]);
    note.record(
        &crate::records::operator(),
        "shop",
        "east",
        &dcanary_types::record::Record {
            run: PROD.to_owned(),
            n: 1,
            claimed_ts: NOW,
            transition: Transition::RecordRefused {
                hash: [1; 32],
                reason: "Illegal".to_owned(),
            },
        },
    );
    add("good: a refused record of an environment", &note, &[]);
    let illegal: &[(&str, World)] = &[
        (
            "a held release comes again",
            with_prod(&[held(identity(), None), wanted()]),
        ),
        ("a step before the start", with_prod(&[wanted(), step("p", 0, 1)])),
        (
            "a record after the end",
            with_prod(&[EnvTransition::Closed, held(identity(), None)]),
        ),
        ("not approved", {
            let mut world = World::staged();
            world.environment(PROD, vec![opened("prod", None, 1), wanted(), started("p")]);
            world
        }),
        ("not promoted in the environment before", {
            let mut world = World::staged();
            world.environment(PROD, vec![opened("prod", Some(OTHER), 0), wanted()]);
            world
        }),
        ("promoted in an environment of another project", {
            let mut world = World::staged();
            let elsewhere = records(PROD, vec![opened("prod", Some(STAGING), 0), wanted()]);
            for record in &elsewhere {
                world.record(&other_operator(), "docs", "west", record);
            }
            world
        }),
        ("a record of a run under the UID of an environment", {
            let mut world = World::staged();
            let run = records(STAGING, transitions());
            world.record(&crate::records::operator(), "shop", "east", &run[1]);
            world
        }),
        ("an environment under the UID of a run", {
            let mut world = World::staged();
            let opening = records("r2", vec![opened("prod", None, 0)]);
            world.record(&other_operator(), "docs", "west", &opening[0]);
            world
        }),
        ("a note under a UID of which nothing is known", {
            let mut world = World::staged();
            world.env_record(PROD, 0, crate::deployments::refused());
            world
        }),
        ("a number is left out", {
            let mut world = with_prod(&[]);
            world.env_record(PROD, 2, held(identity(), None));
            world
        }),
    ];
    for (name, world) in illegal {
        add(&format!("transitions: {name}"), world, &[Check::Transitions]);
    }
    let mut stranger = with_prod(&[]);
    let last = stranger.blocks.len() - 1;
    stranger.change(last, |block| {
        drop(block.insert("caller".to_owned(), vec![1].into()));
    });
    add(
        "policy: an environment opened by somebody without a role",
        &stranger,
        &[Check::Policy],
    );
    let mut heavy = with_prod(&[wanted(), started("p"), step("p", 0, 100)]);
    let last = heavy.blocks.len() - 1;
    heavy.change(last, |block| {
        let Some(dcanary_types::Value::Map(body)) = block.get_mut("body") else {
            panic!("no body")
        };
        body.insert("weight".to_owned(), 101.into());
    });
    add("blocks: a weight of 101", &heavy, &[Check::Blocks]);
    Json::Array(c.0)
}

pub fn expected() -> ExpectedRun {
    ExpectedRun {
        project: "shop".to_owned(),
        domain: Some("east".to_owned()),
        run: PROD.to_owned(),
    }
}

/// The blocks of some environments, in the order of the ledger.
pub fn evidence(world: &World, uids: &[&str]) -> RunEvidence {
    let mut all = evidence_of(world, "shop", PROD, None);
    all.blocks = uids
        .iter()
        .flat_map(|uid| evidence_of(world, "shop", uid, None).blocks)
        .collect();
    all.blocks.sort_by_key(|(index, _, _)| *index);
    all
}

struct Cases(Vec<Json>);

impl Cases {
    fn add(
        &mut self,
        name: &str,
        evidence: &RunEvidence,
        expected: &ExpectedRun,
        trust: Option<&TrustFile>,
        fails: &[Check],
    ) -> Report {
        let now = Some(NOW + MINUTE);
        let (report, environment) = verify_environment(evidence, expected, trust, now);
        let failed: Vec<Check> = report.failed().map(|f| f.check).collect();
        assert_eq!(failed, fails, "{name}: {:#?}", report.findings());
        assert_eq!(
            environment.is_some(),
            fails.is_empty() && trust.is_some(),
            "{name}"
        );
        let checks: serde_json::Map<String, Json> = report
            .findings()
            .iter()
            .map(|f| (f.check.to_string(), json!(f.status)))
            .collect();
        self.0.push(json!({
            "name": name,
            "evidence": evidence.to_environment_json(),
            "expected": {"project": expected.project, "domain": expected.domain, "run": expected.run},
            "trust": trust.map(TrustFile::to_json),
            "now": now,
            "checks": checks,
            "exit_code": report.exit_code(),
        }));
        report
    }

    fn bad(&mut self, fails: Check, name: &str, world: &World, change: impl FnOnce(&mut RunEvidence)) {
        let mut changed = evidence(world, &[STAGING, PROD]);
        change(&mut changed);
        let name = format!("{fails}: {name}");
        self.add(&name, &changed, &expected(), Some(&world.trust()), &[fails]);
    }
}

pub fn make_proofs() -> Json {
    let mut c = Cases(Vec::new());
    let world = World::deployed();
    let trust = world.trust();
    let both = evidence(&world, &[STAGING, PROD]);
    c.add(
        "good: with the environment before",
        &both,
        &expected(),
        Some(&trust),
        &[],
    );
    let anywhere = ExpectedRun {
        domain: None,
        ..expected()
    };
    c.add(
        "good: the domain is not known",
        &both,
        &anywhere,
        Some(&trust),
        &[],
    );
    let first = ExpectedRun {
        run: STAGING.to_owned(),
        ..expected()
    };
    c.add(
        "good: no environment before",
        &evidence(&world, &[STAGING]),
        &first,
        Some(&trust),
        &[],
    );
    let report = c.add(
        "open: the records of the environment before are not at hand",
        &evidence(&world, &[PROD]),
        &expected(),
        Some(&trust),
        &[],
    );
    assert_eq!(report.status(Check::Transitions), Status::Unchecked);
    c.add("open: no trust file", &both, &expected(), None, &[]);
    asked_for(&mut c, &world, &both);
    let at = |uid: &str, n: usize| evidence(&world, &[uid]).blocks[n].0;
    let without = |evidence: &mut RunEvidence, index: u64| evidence.blocks.retain(|(i, _, _)| *i != index);
    let cases = [
        ("an approval is left out", at(PROD, 4)),
        ("the opening is left out", at(PROD, 0)),
        ("the promotion there is left out", at(STAGING, 5)),
        ("a record there is left out", at(STAGING, 2)),
    ];
    for (name, index) in cases {
        c.bad(Check::Transitions, name, &world, |e| without(e, index));
    }
    let mut early = World::staged();
    early.environment(
        PROD,
        vec![opened("prod", Some(STAGING), 1), wanted(), started("p")],
    );
    c.bad(Check::Transitions, "started without approval", &early, |_| {});
    let mut good = World::staged();
    good.environment(
        PROD,
        vec![
            opened("prod", Some(STAGING), 1),
            wanted(),
            approved("p", "bob"),
            started("p"),
            promoted("p", identity(), None),
        ],
    );
    c.add(
        "good: under way",
        &evidence(&good, &[STAGING, PROD]),
        &expected(),
        Some(&good.trust()),
        &[],
    );
    c.bad(Check::Root, "another hash in a proof", &world, |e| {
        e.blocks[5].2[0][0] ^= 1
    });
    Json::Array(c.0)
}

fn asked_for(c: &mut Cases, world: &World, both: &RunEvidence) {
    let trust = world.trust();
    let mut other = |name: &str, evidence: &RunEvidence, change: &dyn Fn(&mut ExpectedRun)| {
        let mut asked = expected();
        change(&mut asked);
        c.add(
            &format!("blocks: {name}"),
            evidence,
            &asked,
            Some(&trust),
            &[Check::Blocks],
        );
    };
    other("another environment is asked for", both, &|e| {
        OTHER.clone_into(&mut e.run)
    });
    other(
        "only the environment before",
        &evidence(world, &[STAGING]),
        &|_| {},
    );
    other(
        "an environment that it never rests on",
        &evidence(world, &[STAGING, PROD, OTHER]),
        &|_| {},
    );
    other("the one that rests on it", both, &|e| {
        STAGING.clone_into(&mut e.run)
    });
    other("another project is asked for", both, &|e| {
        "docs".clone_into(&mut e.project)
    });
    other("another domain is asked for", both, &|e| {
        e.domain = Some("west".to_owned())
    });
    let mut run = both.clone();
    run.blocks.insert(0, proved(world, 0));
    other("the opening of the ledger among them", &run, &|_| {});
}

#[test]
fn an_environment_is_verified_with_what_it_rests_on_and_gives_only_its_own_records() {
    let world = World::deployed();
    let both = evidence(&world, &[STAGING, PROD]);
    let (mut report, environment) = verify_environment(&both, &expected(), Some(&world.trust()), None);
    for check in [Check::Consistency, Check::Cluster] {
        report.record(check, Status::Passed, "");
    }
    assert_eq!(report.exit_code(), 0);
    let environment = environment.unwrap();
    assert_eq!(
        (environment.uid(), environment.project(), environment.domain()),
        (PROD, "shop", "east")
    );
    let said: Vec<EnvTransition> = environment
        .records()
        .iter()
        .map(|one| one.record.transition.clone())
        .collect();
    assert_eq!(said, prod());
    assert_eq!(environment.head().size(), world.blocks.len() as u64);
}

#[test]
fn a_run_is_no_environment_and_an_environment_no_run() {
    let world = World::deployed();
    let (report, run) = verify_run(
        &evidence(&world, &[PROD]),
        &expected(),
        Some(&world.trust()),
        None,
    );
    assert!(run.is_none() && report.status(Check::Blocks) == Status::Failed);
    let world = World::full();
    let asked = ExpectedRun {
        run: RUN.to_owned(),
        ..expected()
    };
    let (report, found) = verify_environment(
        &evidence_of(&world, "shop", RUN, None),
        &asked,
        Some(&world.trust()),
        None,
    );
    assert!(found.is_none() && report.status(Check::Blocks) == Status::Failed);
}

#[test]
fn a_record_is_the_same_read_as_an_environments_or_as_anybodys() {
    for record in records(PROD, prod()) {
        let read = EnvRecord::decode(record.btype(), record.claimed_ts, &record.encode_body()).unwrap();
        assert_eq!(read, record);
    }
}
