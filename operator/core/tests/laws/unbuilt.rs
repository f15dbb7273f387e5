//! An attempt that was begun and whose Pod cannot be made any more.

use dcanary_core::{Effect, Observed, next};
use dcanary_crds::{AttemptOutcome, StageState, labels};

use crate::{
    scenario::{Behaviour, Scenario, stage},
    world::World,
};

/// Text that cannot be made much smaller.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + u8::try_from(state % 75).unwrap())
    };
    (0..bytes).map(letter).collect()
}

#[test]
fn an_attempt_whose_pod_cannot_be_made_any_more_is_refused_at_once_and_says_why() {
    let mut scenario = Scenario::of(vec![stage("build", &[], &[Behaviour::Succeed])]);
    scenario.stages[0].retries = 3;
    let world = World::new(scenario);
    let mut run = world.run.clone();
    run.metadata.finalizers = Some(vec![labels::RECORDED.to_owned()]);
    let seen = Observed {
        reports_as_of: Some(world.now),
        ..Observed::default()
    };
    let plan = next(&run, &seen, world.now);
    let made = |effect: &Effect| matches!(effect, Effect::CreatePod(_));
    assert!(plan.effects.iter().any(made));
    run.status = Some(plan.status);
    // stands for limits that another version of the operator has
    run.spec.source.as_mut().unwrap().reference = Some(noise(2 << 20));
    let plan = next(&run, &seen, world.now);
    let stage = &plan.status.stages[0];
    assert_eq!(stage.state, StageState::Failed);
    let attempt = &stage.attempts[0];
    assert_eq!(attempt.outcome, Some(AttemptOutcome::Refused));
    assert_eq!(attempt.reason, "PlanTooLarge");
    assert!(attempt.message.contains("at most 1048576"), "{}", attempt.message);
    assert_eq!(stage.attempts.len(), 1, "another try would end in the same way");
}
