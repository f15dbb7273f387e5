//! Chains of records of environments that are legal or go wrong at one record: section 12.

use std::collections::BTreeMap;

use dcanary_types::Hash;
use dcanary_types::environment::{EnvRecord, EnvTransition, Verdict};
use dcanary_types::value::sha256;
use dcanary_verifier::check_environments;
use serde_json::{Value as Json, json};

use crate::deployments::{
    OTHER, PROD, STAGING, aborted, approved, changed, decided, frozen, held, identity, judged, opened,
    overridden, prod, promoted, refused, release, released, requested, rolled_back, staged, staging, started,
    step,
};
use crate::records::NOW;

type Said<'s> = (&'s str, EnvTransition);

struct Chains(Vec<Json>);

impl Chains {
    /// Records with numbers of their own.
    fn records(&mut self, name: &str, records: &[EnvRecord], refused_at: Option<usize>) {
        let found = check_environments(records).err();
        let position = found.as_ref().map(|illegal| illegal.position);
        assert_eq!(position, refused_at, "{name}: {found:?}");
        let encoded: Vec<Json> = records
            .iter()
            .map(|r| json!({"btype": r.btype(), "body": hex::encode(r.encode_body())}))
            .collect();
        self.0
            .push(json!({"name": name, "records": encoded, "refused_at": refused_at}));
    }

    /// Each environment's records are numbered in order.
    fn add(&mut self, name: &str, said: &[Said<'_>], refused_at: Option<usize>) {
        self.records(name, &numbered(said), refused_at);
    }

    /// `prod` without rules, and then these.
    fn prod(&mut self, name: &str, then: &[EnvTransition], legal: bool) {
        self.rules(name, None, 0, then, legal);
    }

    /// `prod` with rules, and then these, of which the last is refused unless all is legal.
    fn rules(&mut self, name: &str, from: Option<&str>, approvals: u64, then: &[EnvTransition], legal: bool) {
        let mut said = vec![(PROD, opened("prod", from, approvals))];
        said.extend(then.iter().map(|one| (PROD, one.clone())));
        let at = (!legal).then(|| said.len() - 1);
        self.add(name, &said, at);
    }

    /// What staging recorded, then `prod` that rests on it, and then these.
    fn after_staging(&mut self, name: &str, staging: &[EnvTransition], then: &[EnvTransition], legal: bool) {
        let mut said: Vec<Said<'_>> = staging.iter().map(|one| (STAGING, one.clone())).collect();
        said.push((PROD, opened("prod", Some(STAGING), 0)));
        said.extend(then.iter().map(|one| (PROD, one.clone())));
        let at = (!legal).then(|| said.len() - 1);
        self.add(name, &said, at);
    }
}

fn numbered(said: &[Said<'_>]) -> Vec<EnvRecord> {
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    said.iter()
        .map(|(uid, transition)| {
            let n = next.entry(uid).or_default();
            *n += 1;
            EnvRecord {
                run: (*uid).to_owned(),
                n: *n - 1,
                claimed_ts: NOW,
                transition: transition.clone(),
            }
        })
        .collect()
}

pub fn make() -> Vec<Json> {
    let mut c = Chains(Vec::new());
    let mut all: Vec<Said<'_>> = staging().into_iter().map(|one| (STAGING, one)).collect();
    all.extend(prod().into_iter().map(|one| (PROD, one)));
    c.add("every kind of record", &all, None);
    numbers(&mut c);
    requests(&mut c);
    approvals(&mut c);
    sources(&mut c);
    holds(&mut c);
    ceilings(&mut c);
    c.0
}

fn numbers(c: &mut Chains) {
    c.prod("only opened", &[], true);
    c.add("not opened", &[(PROD, held(identity(), None))], Some(0));
    c.add("a note before the opening", &[(PROD, refused())], Some(0));
    c.prod("opened twice", &[opened("prod", None, 0)], false);
    c.prod("closed", &[EnvTransition::Closed], true);
    c.prod(
        "closed in the middle of a request",
        &[p(), EnvTransition::Closed],
        true,
    );
    c.prod(
        "a record after the end",
        &[EnvTransition::Closed, held(identity(), None)],
        false,
    );
    c.prod("a note after the end", &[EnvTransition::Closed, refused()], false);
    c.prod(
        "closed twice",
        &[EnvTransition::Closed, EnvTransition::Closed],
        false,
    );
    for (name, n) in [("a number is left out", 2), ("a number is repeated", 0)] {
        let mut records = numbered(&[(PROD, opened("prod", None, 0)), (PROD, refused())]);
        records[1].n = n;
        c.records(name, &records, Some(1));
    }
    let mut records = numbered(&[(PROD, opened("prod", None, 0))]);
    records[0].n = 1;
    c.records("opened with number 1", &records, Some(0));
}

fn p() -> EnvTransition {
    requested("p", release(), identity(), false)
}

fn requests(c: &mut Chains) {
    let q = || requested("q", release(), staged(), false);
    let ends = [
        ("promoted", promoted("p", identity(), None)),
        ("aborted", aborted("p")),
        ("rolled back", rolled_back("p", identity(), None)),
    ];
    c.prod("a request while another waits", &[p(), q()], false);
    c.prod("the same request twice", &[p(), p()], false);
    c.prod(
        "a request while another is under way",
        &[p(), started("p"), q()],
        false,
    );
    for (word, end) in ends {
        c.prod(
            &format!("{word}, and the next request"),
            &[p(), started("p"), end.clone(), q()],
            true,
        );
        c.prod(
            &format!("{word}, and the same again"),
            &[p(), started("p"), end.clone(), p()],
            true,
        );
        c.prod(
            &format!("{word} twice"),
            &[p(), started("p"), end.clone(), end.clone()],
            false,
        );
        c.prod(
            &format!("{word} without a request"),
            std::slice::from_ref(&end),
            false,
        );
        c.prod(
            &format!("{word} before it started"),
            &[p(), end.clone()],
            word != "promoted",
        );
        let other = [requested("q", release(), identity(), false), started("q"), end];
        c.prod(
            &format!("another promotion than the current one is {word}"),
            &other,
            false,
        );
    }
    let running: &[(&str, EnvTransition)] = &[
        ("a step", step("p", 0, 100)),
        ("a verdict", judged("p", Verdict::Failed)),
    ];
    for (word, one) in running {
        c.prod(
            &format!("{word} without a request"),
            std::slice::from_ref(one),
            false,
        );
        c.prod(&format!("{word} before the start"), &[p(), one.clone()], false);
        c.prod(
            &format!("{word} after the start"),
            &[p(), started("p"), one.clone()],
            true,
        );
        c.prod(
            &format!("{word} after the end"),
            &[p(), started("p"), aborted("p"), one.clone()],
            false,
        );
        c.prod(
            &format!("{word} of another promotion"),
            &[q(), started("q"), one.clone()],
            false,
        );
    }
    c.prod("started without a request", &[started("p")], false);
    c.prod("started twice", &[p(), started("p"), started("p")], false);
    c.prod("another promotion starts", &[p(), started("q")], false);
    c.prod(
        "promoted as another identity",
        &[p(), started("p"), promoted("p", staged(), None)],
        false,
    );
    c.prod(
        "another identity is rolled back",
        &[p(), started("p"), rolled_back("p", staged(), None)],
        false,
    );
    for (word, note) in [("frozen", frozen("p")), ("overridden", overridden("p"))] {
        c.prod(
            &format!("{word} without a request"),
            std::slice::from_ref(&note),
            false,
        );
        c.prod(
            &format!("another promotion is {word}"),
            &[q(), note.clone()],
            false,
        );
        c.prod(&format!("{word}, and starts"), &[p(), note, started("p")], true);
    }
}

/// Back to what was promoted here nobody has to approve.
fn ways_back(c: &mut Chains) {
    let done = [
        p(),
        approved("p", "bob"),
        started("p"),
        promoted("p", identity(), None),
    ];
    let back = |release, identity| requested("q", release, identity, true);
    let after = |then: &[EnvTransition]| [&done[..], then, &[started("q")]].concat();
    let mut case = |name, then: &[EnvTransition], legal| c.rules(name, None, 1, &after(then), legal);
    case("back without approval", &[back(release(), identity())], true);
    case(
        "back to another identity of it without approval",
        &[back(release(), staged())],
        true,
    );
    case(
        "the same release without undo and approval",
        &[requested("q", release(), identity(), false)],
        false,
    );
    case(
        "undo to what was never here without approval",
        &[back(sha256(b"other"), identity())],
        false,
    );
    let rejected = decided(Some("q"), EnvTransition::REJECT, "bob", None);
    case(
        "back, and rejected",
        &[back(release(), identity()), rejected],
        false,
    );
    let failed = [p(), approved("p", "bob"), started("p"), aborted("p")];
    c.rules(
        "undo to what was aborted here without approval",
        None,
        1,
        &[&failed[..], &[back(release(), identity()), started("q")]].concat(),
        false,
    );
}

fn approvals(c: &mut Chains) {
    let approve = EnvTransition::APPROVE;
    c.rules("not approved", None, 1, &[p(), started("p")], false);
    c.rules(
        "approved",
        None,
        1,
        &[p(), approved("p", "bob"), started("p")],
        true,
    );
    ways_back(c);
    c.rules(
        "one of two",
        None,
        2,
        &[p(), approved("p", "bob"), started("p")],
        false,
    );
    c.rules(
        "the same person twice",
        None,
        2,
        &[p(), approved("p", "bob"), approved("p", "bob"), started("p")],
        false,
    );
    c.rules(
        "two of two",
        None,
        2,
        &[p(), approved("p", "bob"), approved("p", "cid"), started("p")],
        true,
    );
    c.rules(
        "approved before the request",
        None,
        1,
        &[approved("p", "bob"), p(), started("p")],
        false,
    );
    c.rules(
        "another promotion is approved",
        None,
        1,
        &[p(), approved("q", "bob"), started("p")],
        false,
    );
    c.rules(
        "an approval of the environment",
        None,
        1,
        &[p(), decided(None, approve, "bob", None), started("p")],
        false,
    );
    c.rules(
        "another decision is no approval",
        None,
        1,
        &[p(), decided(Some("p"), "resume", "bob", None), started("p")],
        false,
    );
    c.rules(
        "an approval of its identity",
        None,
        1,
        &[
            p(),
            decided(Some("p"), approve, "bob", Some(identity())),
            started("p"),
        ],
        true,
    );
    c.rules(
        "an approval of another identity",
        None,
        1,
        &[p(), decided(Some("p"), approve, "bob", Some(staged()))],
        false,
    );
    c.rules(
        "another decision about another identity",
        None,
        0,
        &[p(), decided(Some("p"), "pause", "bob", Some(staged()))],
        true,
    );
    c.rules(
        "approvals do not outlive their request",
        None,
        1,
        &[p(), approved("p", "bob"), aborted("p"), p(), started("p")],
        false,
    );
    c.rules(
        "rejected",
        None,
        0,
        &[
            p(),
            decided(Some("p"), EnvTransition::REJECT, "bob", None),
            started("p"),
        ],
        false,
    );
    c.rules(
        "rejected, then approved",
        None,
        1,
        &[
            p(),
            decided(Some("p"), EnvTransition::REJECT, "bob", None),
            approved("p", "cid"),
            started("p"),
        ],
        false,
    );
    c.rules(
        "another promotion is rejected",
        None,
        0,
        &[
            p(),
            decided(Some("q"), EnvTransition::REJECT, "bob", None),
            started("p"),
        ],
        true,
    );
    c.rules(
        "rejected and rolled back",
        None,
        1,
        &[
            p(),
            decided(Some("p"), EnvTransition::REJECT, "bob", None),
            rolled_back("p", identity(), None),
        ],
        true,
    );
    c.rules(
        "more approvals are demanded meanwhile",
        None,
        1,
        &[p(), approved("p", "bob"), changed(None, 2), started("p")],
        false,
    );
    c.rules(
        "fewer approvals are demanded meanwhile",
        None,
        1,
        &[p(), changed(None, 0), started("p")],
        true,
    );
    c.rules(
        "more are demanded once it has started",
        None,
        0,
        &[
            p(),
            started("p"),
            changed(None, 2),
            promoted("p", identity(), None),
        ],
        true,
    );
}

fn sources(c: &mut Chains) {
    c.rules(
        "the environment before is not there",
        Some(STAGING),
        0,
        &[p()],
        false,
    );
    c.rules("an environment before itself", Some(PROD), 0, &[p()], false);
    c.after_staging("promoted there", &staging(), &[p()], true);
    c.after_staging("not promoted there yet", &staging()[..5], &[p()], false);
    c.after_staging(
        "another release was promoted there",
        &staging(),
        &[requested("p", sha256(b"other"), identity(), false)],
        false,
    );
    let closed = [staging(), vec![EnvTransition::Closed]].concat();
    c.after_staging("closed there", &closed, &[p()], false);
    let back = [staging(), vec![held(staged(), None)]].concat();
    c.after_staging("held there afterwards", &back, &[p()], true);
    let done = [p(), started("p"), promoted("p", identity(), None)];
    let undo = requested("q", release(), identity(), true);
    c.after_staging(
        "promoted there once is enough",
        &staging(),
        &[&done[..], &[requested("q", release(), staged(), false)]].concat(),
        true,
    );
    let other = changed(Some(OTHER), 0);
    c.after_staging(
        "back to what was here, another environment before",
        &staging(),
        &[&done[..], &[other.clone(), undo.clone()]].concat(),
        true,
    );
    c.after_staging(
        "the same without undo",
        &staging(),
        &[
            &done[..],
            &[other.clone(), requested("q", release(), identity(), false)],
        ]
        .concat(),
        false,
    );
    c.after_staging(
        "undo to what was never here",
        &staging(),
        &[other, undo.clone()],
        false,
    );
    c.after_staging(
        "undo to what was requested here and not promoted",
        &staging(),
        &[p(), started("p"), aborted("p"), changed(Some(OTHER), 0), undo],
        false,
    );
    c.after_staging(
        "no environment before any more",
        &staging()[..1],
        &[changed(None, 0), p()],
        true,
    );
    // The order of the ledger decides, not the numbers.
    let mut said: Vec<Said<'_>> = vec![(PROD, opened("prod", Some(STAGING), 0)), (PROD, p())];
    said.extend(staging().into_iter().map(|one| (STAGING, one)));
    c.add("promoted there too late", &said, Some(1));
}

fn holds(c: &mut Chains) {
    let (hold, free) = (held(identity(), None), released(identity()));
    c.prod("a held release", &[hold.clone(), p()], false);
    c.prod(
        "undo to a held release",
        &[hold.clone(), requested("p", release(), identity(), true)],
        false,
    );
    c.prod(
        "another identity of the same release",
        &[hold.clone(), requested("p", release(), staged(), false)],
        true,
    );
    c.prod("held and released", &[hold.clone(), free.clone(), p()], true);
    c.prod(
        "held twice, released once",
        &[hold.clone(), hold.clone(), free.clone(), p()],
        true,
    );
    c.prod("released without being held", std::slice::from_ref(&free), false);
    c.prod("released twice", &[hold.clone(), free.clone(), free], false);
    c.prod("held while it waits", &[p(), hold.clone(), started("p")], false);
    c.prod(
        "held while it is under way",
        &[p(), started("p"), hold, promoted("p", identity(), None)],
        true,
    );
}

fn ceilings(c: &mut Chains) {
    let nth = |i: u64| -> Hash { sha256(&i.to_be_bytes()) };
    let full: Vec<EnvTransition> = (0..256).map(|i| held(nth(i), None)).collect();
    c.prod(
        "256 releases are held, one of them twice",
        &[&full[..], &[held(nth(7), None)]].concat(),
        true,
    );
    c.prod(
        "257 releases are held",
        &[&full[..], &[held(nth(256), None)]].concat(),
        false,
    );
    let promote = |i: u64| {
        [
            requested("p", nth(i), identity(), false),
            started("p"),
            promoted("p", identity(), None),
        ]
    };
    // 0 and 7 come twice, so 1 is the oldest when the 257th comes.
    let order = (0..256).chain([0, 7, 256]);
    let mut many: Vec<EnvTransition> = order.flat_map(promote).collect();
    many.push(changed(Some(STAGING), 0));
    let undo = |i: u64| requested("q", nth(i), identity(), true);
    // To the oldest that is remembered, to the one that came twice, and to the one that is forgotten.
    many.extend([undo(2), aborted("q"), undo(0), aborted("q"), undo(1)]);
    c.prod(
        "back to the release that is forgotten after 256 others",
        &many,
        false,
    );
}
