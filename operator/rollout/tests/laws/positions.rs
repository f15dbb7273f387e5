//! Nothing older comes in the place of something newer.

use dcanary_crds::{ReleaseSource, Verb};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// `good1` is stable, built from position 9; `good2` is from 11 and `good3` from 10 of a repository.
fn world(repo_of_good3: &str) -> World {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
    ));
    for (release, repo, position) in [
        ("good1", "web", 9),
        ("good2", "web", 11),
        ("good3", repo_of_good3, 10),
    ] {
        let place = ("shop".to_owned(), release.to_owned());
        world.releases.get_mut(&place).unwrap().spec.source = Some(ReleaseSource {
            repo: repo.to_owned(),
            commit: release.to_owned(),
            position: Some(position),
            ..ReleaseSource::default()
        });
    }
    world.promote("good1");
    world.run(60);
    world
}

#[test]
fn what_is_older_than_the_release_under_way_does_not_take_its_place() {
    let mut world = world("web");
    let newer = world.promote("good2");
    world.run_to(50);
    let older = world.promote("good3");
    world.run(30);
    let refused = Some((false, "OlderThanRollout".to_owned()));
    assert_eq!(world.finished(&older), refused);
    world.decide(&newer, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let older = world.promote("good3");
    world.run(30);
    let refused = Some((false, "OlderThanStable".to_owned()));
    assert_eq!(world.finished(&older), refused);
}

#[test]
fn what_is_older_comes_after_a_newer_one_that_goes_back_or_when_it_is_said_to_or_from_another_repository() {
    let mut gone = world("web");
    let newer = gone.promote("good2");
    gone.run_to(50);
    gone.decide(&newer, Verb::Abort, "ann");
    gone.run(60);
    let mut said = world("web");
    said.promote("good2");
    said.run_to(50);
    let mut other = world("api");
    other.promote("good2");
    other.run_to(50);
    comes(gone, false);
    comes(said, true);
    comes(other, false);
}

fn comes(mut world: World, undo: bool) {
    let name = world.ask("good3", undo);
    world.run(60);
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"), "undo: {undo}");
}
