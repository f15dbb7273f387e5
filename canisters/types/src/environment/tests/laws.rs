//! Laws of the machine, against the oracle.

use super::{
    oracle::{Opening, legal},
    *,
};

/// Everything that could be recorded: of two promotions, two releases and two identities.
pub(super) fn everything() -> Vec<EnvTransition> {
    let mut all = vec![
        opened(),
        EnvTransition::Closed,
        refused(),
        changed(None, 0),
        changed(None, 2),
        changed(Some(BEFORE), 1),
        changed(Some(UID), 0),
        changed(Some("gone"), 0),
    ];
    for identity in [I1, I2] {
        all.extend([held(identity), released(identity)]);
    }
    for promotion in ["p", "q"] {
        for release in [R1, R2] {
            for identity in [I1, I2] {
                all.extend([
                    requested(promotion, release, identity),
                    undo(promotion, release, identity),
                ]);
            }
        }
        for identity in [I1, I2] {
            all.extend([promoted(promotion, identity), rolled_back(promotion, identity)]);
            all.push(decided(promotion, EnvTransition::APPROVE, "cid", Some(identity)));
        }
        all.extend([
            decided(promotion, EnvTransition::APPROVE, "bob", None),
            decided(promotion, EnvTransition::REJECT, "bob", None),
            decided(promotion, "pause", "bob", None),
            started(promotion),
            step(promotion, 0, 10),
            step(promotion, 1, 101),
            verdict(promotion),
            aborted(promotion),
            frozen(promotion),
            overridden(promotion),
        ]);
    }
    all.push(EnvTransition::Decided {
        promotion: None,
        decision: "d".to_owned(),
        verb: "hold".to_owned(),
        by: "bob".to_owned(),
        identity: Some(I1),
    });
    all
}

pub(super) fn openings() -> impl Strategy<Value = Opening> {
    (
        prop::sample::select(vec![None, Some(BEFORE), Some(UID), Some("gone")]),
        0_u64..3,
    )
        .prop_map(|(from, approvals)| Opening { from, approvals })
}

/// A legal history: at each step one of the records that the oracle allows. What ends or hinders comes less often.
fn legal_history(opening: &Opening, picks: &[prop::sample::Index]) -> Vec<EnvTransition> {
    history(opening, picks, legal)
}

/// The same under another law.
pub(super) fn history(
    opening: &Opening,
    picks: &[prop::sample::Index],
    legal: fn(&Opening, &[EnvTransition], &EnvTransition) -> bool,
) -> Vec<EnvTransition> {
    let all = everything();
    let mut history: Vec<EnvTransition> = Vec::new();
    for (i, pick) in picks.iter().enumerate() {
        let hinders = |t: &EnvTransition| {
            matches!(
                t,
                EnvTransition::Changed { .. }
                    | EnvTransition::Held { .. }
                    | EnvTransition::Aborted { .. }
                    | EnvTransition::RecordRefused { .. }
                    | EnvTransition::Frozen { .. }
                    | EnvTransition::Overridden { .. }
            ) || matches!(t, EnvTransition::Decided { verb, .. } if verb != EnvTransition::APPROVE)
        };
        let allowed: Vec<&EnvTransition> = all
            .iter()
            .filter(|t| {
                let rare = match t {
                    EnvTransition::Closed => i % 31 == 30,
                    other if hinders(other) => i % 5 == 4,
                    _ => true,
                };
                rare && legal(opening, &history, t)
            })
            .collect();
        if allowed.is_empty() {
            continue;
        }
        history.push(allowed[pick.index(allowed.len())].clone());
    }
    history
}

pub(super) fn machine(opening: &Opening) -> EnvMachine {
    EnvMachine::open(UID, opening.from, opening.approvals)
}

fn accepts(opening: &Opening, history: &[EnvTransition]) -> bool {
    let mut machine = machine(opening);
    history.iter().all(|t| machine.apply(t, &vouches).is_ok())
}

fn oracle_accepts(opening: &Opening, history: &[EnvTransition]) -> bool {
    (0..history.len()).all(|i| legal(opening, &history[..i], &history[i]))
}

/// A number of cases, or what `PROPTEST_CASES` says.
pub(super) fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(usual))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn machine_and_oracle_agree_on_every_next_record_of_every_legal_history(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let history = legal_history(&opening, &picks);
        let mut machine = machine(&opening);
        for i in 0..=history.len() {
            for next in everything() {
                let before = machine.clone();
                let mut tried = machine.clone();
                let answer = tried.apply(&next, &vouches);
                prop_assert_eq!(
                    answer.is_ok(), legal(&opening, &history[..i], &next), "{:?} after {:?}", next, &history[..i]
                );
                if let Err(refusal) = answer {
                    prop_assert_eq!(tried, before, "a refusal changed something");
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
            if let Some(next) = history.get(i) {
                prop_assert_eq!(machine.apply(next, &vouches), Ok(()));
            }
        }
    }

    #[test]
    fn a_history_with_one_record_dropped_doubled_swapped_or_changed_is_refused_unless_itself_legal(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40), at: prop::sample::Index,
    ) {
        let history = legal_history(&opening, &picks);
        prop_assume!(!history.is_empty());
        prop_assert!(accepts(&opening, &history));
        let at = at.index(history.len());
        let mut mutants = Vec::new();
        let mut dropped = history.clone();
        dropped.remove(at);
        mutants.push(dropped);
        let mut doubled = history.clone();
        doubled.insert(at, history[at].clone());
        mutants.push(doubled);
        if at + 1 < history.len() {
            let mut swapped = history.clone();
            swapped.swap(at, at + 1);
            mutants.push(swapped);
        }
        for other in everything().into_iter().filter(|other| *other != history[at]) {
            let mut changed = history.clone();
            changed[at] = other;
            mutants.push(changed);
        }
        for mutant in mutants {
            prop_assert_eq!(accepts(&opening, &mutant), oracle_accepts(&opening, &mutant), "{:?}", mutant);
        }
    }

    #[test]
    fn a_state_saved_anywhere_goes_on_as_if_never_saved(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut machine = machine(&opening);
        for next in legal_history(&opening, &picks) {
            machine.apply(&next, &vouches).unwrap();
            let saved = machine.to_value();
            prop_assert_eq!(&EnvMachine::restore(UID, saved.clone()).unwrap(), &machine);
            machine = EnvMachine::restore(UID, crate::cbor::decode(&crate::cbor::encode(&saved)).unwrap()).unwrap();
        }
    }

    #[test]
    fn nothing_is_promoted_that_was_not_asked_for_approved_and_started(
        opening in openings(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        // Not from the page but from what people rely on: before each promotion stand its request, its start and, between
        // the two, as many approvers as the rules at the start demand, or none where it goes back to what was promoted here.
        let history = legal_history(&opening, &picks);
        for (end, one) in history.iter().enumerate() {
            let EnvTransition::Promoted { promotion, identity, .. } = one else { continue };
            let start = history[..end].iter().rposition(|t| *t == started(promotion)).unwrap();
            let asked = history[..start].iter().rposition(|t| matches!(t,
                EnvTransition::DeployRequested { promotion: p, identity: i, .. } if p == promotion && i == identity)).unwrap();
            let needed = history[..start].iter().rev().find_map(|t| match t {
                EnvTransition::Changed { approvals, .. } => Some(*approvals),
                _ => None,
            }).unwrap_or(opening.approvals);
            let approvers: std::collections::BTreeSet<&String> = history[asked..start].iter().filter_map(|t| match t {
                EnvTransition::Decided { promotion: Some(p), verb, by, .. } if p == promotion && verb == "approve" => Some(by),
                _ => None,
            }).collect();
            let EnvTransition::DeployRequested { release, undo, .. } = &history[asked] else { unreachable!() };
            let returns = *undo && super::oracle::was_promoted(&history[..asked], release);
            prop_assert!(returns || approvers.len() as u64 >= needed);
        }
    }
}
