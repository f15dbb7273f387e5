//! Weights of a route of the Gateway API.

use dcanary_crds::{Route, Tester};
use serde_json::Value;

use super::{
    InForce, Proof, Said, Split, Traffic, Verified, Wanted,
    in_force::in_force,
    leave,
    obstacle::Obstacle,
    overwritten,
    owner::owner,
    place::{Place, write},
    route::{self, Asked, Shares},
    selector::{self, Selector},
    services::Service,
    verify::{Token, verified},
};
use crate::{plan::Effect, render, seen::Key};

/// A route splits requests.
pub(super) struct GatewayRoute<'a> {
    pub(super) place: Place<'a>,
    pub(super) route: &'a Route,
    pub(super) last: Option<i32>,
}

/// The world as it is for one step.
struct Now<'a> {
    stable: Service<'a>,
    candidate: Option<Service<'a>>,
    key: Key,
    object: Option<&'a Value>,
    shares: Option<Shares>,
    /// What the gateway says.
    said: InForce,
    /// Where requests have to show it: what they show.
    state: InForce,
}

impl Now<'_> {
    /// No request is on its way to `<env>`, and none comes.
    fn stable_is_idle(&self) -> bool {
        self.object.is_none()
            || (self.state == InForce::Yes && self.shares.is_some_and(|shares| shares.least == 100))
    }

    /// No request is on its way to `<env>-candidate`, and none comes.
    fn candidate_is_idle(&self) -> bool {
        let idle = |shares: Shares| shares.most == 0 && !shares.extra;
        self.object.is_none() || (self.state == InForce::Yes && self.shares.is_some_and(idle))
    }
}

impl Traffic for GatewayRoute<'_> {
    fn set(&self, wanted: &Wanted<'_>) -> Split {
        match self.step(wanted) {
            Ok(split) => split,
            Err(obstacle) => {
                // A route may need the Services before it can be right.
                let missing = self.missing(wanted).unwrap_or_default();
                Split {
                    effects: missing,
                    in_force: obstacle.into(),
                    overwritten: None,
                    said: None,
                    unverified: None,
                }
            }
        }
    }

    fn verify(&self) -> Verified {
        let place = &self.place;
        let object = place.object(&route::key(place, self.route)).ok().flatten();
        verified(place, self.route.verify.as_ref(), object)
    }

    fn weight(&self) -> Option<i32> {
        let object = self.place.object(&route::key(&self.place, self.route)).ok()??;
        let shares = route::shares(&self.place, self.route, object).ok()?;
        (shares.least == shares.most).then_some(shares.most)
    }

    fn remove(&self) -> Vec<Effect> {
        leave::route(&self.place, self.route)
    }
}

impl GatewayRoute<'_> {
    fn step(&self, wanted: &Wanted<'_>) -> Result<Split, Obstacle> {
        let place = &self.place;
        // without a candidate nothing is split, so there is nothing to show
        let proof = wanted.candidate.map_or(Proof::Off, |_| wanted.proof);
        let wanted = &Wanted { proof, ..*wanted };
        if !place.seen.gateway_api {
            return Err(Obstacle::GatewayApiMissing(route::kind(self.route.kind).name()));
        }
        let now = self.now(wanted.proof)?;
        let weight = if place.splits() {
            wanted.weight.clamp(0, 100)
        } else {
            0
        };
        let (stable, candidate) = targets(place, wanted);
        if let (Some(name), true) = (wanted.candidate, weight > 0) {
            selector::apart(place, &stable, name)?;
        }

        let stable_leads = now.stable.leads_to(&stable);
        let candidate_leads = now
            .candidate
            .as_ref()
            .is_none_or(|service| service.leads_to(&candidate));
        let mut effects = Vec::new();
        let mut waits = None;

        // `<env>` is switched while it gets no request; at once when it is to get some and leads elsewhere, or when there is no other Service
        // that requests could take meanwhile.
        let hold = !stable_leads
            && candidate_leads
            && now.stable.seen.is_some()
            && weight == 100
            && !now.stable_is_idle();
        if hold {
            waits = Some(format!(
                "Service {} is switched once all requests go to Service {}",
                place.stable, place.candidate
            ));
            effects.extend(now.stable.keep());
        } else {
            effects.extend(now.stable.set(&stable));
        }

        // `<env>-candidate` is switched while it gets no request; at once when it leads to nothing known, because nothing is lost then.
        let mut move_away = false;
        if let Some(service) = &now.candidate {
            move_away = !candidate_leads && !now.candidate_is_idle() && self.is_known(service);
            if move_away {
                waits = Some(format!(
                    "Service {} is switched once no request goes to it",
                    place.candidate
                ));
                effects.extend(service.keep());
            } else {
                effects.extend(service.set(&candidate));
            }
        }

        // Weight moves only onto a Service that leads where it should.
        let mut allowed = weight;
        if move_away {
            allowed = 0;
        } else if !candidate_leads {
            allowed = allowed.min(now.shares.map_or(0, |shares| shares.most));
        }
        if !stable_leads {
            allowed = allowed.max(now.shares.map_or(0, |shares| shares.least));
        }
        let mut asked = Asked {
            weight: allowed,
            mirror: if candidate_leads {
                wanted.mirror.clamp(0, 100)
            } else {
                0
            },
            testers: if candidate_leads && wanted.testers {
                self.testers()
            } else {
                &[]
            },
            token: None,
        };
        let token = self
            .proves(wanted.proof)
            .then(|| Token::of(place, wanted.candidate, &asked));
        asked.token = token.as_ref();
        let written = match route::written(place, self.route, now.object, &asked) {
            // a route without room for one more rule goes without it, where nothing may wait for that
            Err(_) if wanted.proof == Proof::Asked && token.is_some() => {
                asked.token = None;
                route::written(place, self.route, now.object, &asked)?
            }
            written => written?,
        };
        let said = self.said(&now, &asked, written.as_ref());
        // A route that is not there yet would begin with backends that are not there.
        let early = now.object.is_none() && !(stable_leads && candidate_leads);
        let written = written.filter(|_| !early && !self.may_rest(&now, wanted));
        let rewritten = written.is_some();
        let shown = if token.is_some() && !rewritten && now.said == InForce::Yes {
            self.verify()
        } else {
            Verified::Unasked
        };
        effects.extend(written.map(|object| write(now.key.clone(), object)));

        let overwritten = self.overwritten(&now, weight, allowed);
        let in_force = if effects.is_empty() && waits.is_none() && allowed == weight {
            now.state.clone()
        } else {
            let doing = if rewritten {
                format!("{} {} is being written", now.key.kind.name(), now.key.name)
            } else {
                "the Services are being written".to_owned()
            };
            self.pending(&effects, &now, waits.unwrap_or(doing))
        };
        if in_force == InForce::Yes {
            effects.extend(self.left_over(&now));
        }
        let mut unverified = None;
        if let Verified::No { message, ask } = shown {
            effects.push(ask);
            unverified = Some(message);
        }
        Ok(Split {
            effects,
            in_force,
            overwritten,
            said,
            unverified,
        })
    }

    /// Whether the route is to have a rule that answers for the split.
    fn proves(&self, proof: Proof) -> bool {
        proof != Proof::Off && self.place.splits() && self.route.verify.is_some()
    }

    /// What the gateway says of the route; where requests have to show it, what they show.
    fn shown(&self, said: &InForce, proof: Proof) -> InForce {
        if *said != InForce::Yes || proof != Proof::Needed || !self.proves(proof) {
            return said.clone();
        }
        let message = match self.verify() {
            Verified::Yes => return InForce::Yes,
            Verified::No { message, .. } => message,
            Verified::Unasked => "no request has shown yet that the gateway has the route".to_owned(),
        };
        InForce::NotYet { message }
    }

    fn now(&self, proof: Proof) -> Result<Now<'_>, Obstacle> {
        let place = &self.place;
        let key = route::key(place, self.route);
        let stable = Service::look(place, place.stable)?;
        let candidate = place
            .splits()
            .then(|| Service::look(place, &place.candidate))
            .transpose()?;
        let object = place.object(&key)?;
        if let (Some(object), None) = (object, &self.route.reference) {
            owner(place, &key, object)?;
        }
        if object.is_none() && self.route.reference.is_some() {
            return Err(Obstacle::RouteNotFound {
                kind: key.kind.name(),
                name: key.name,
                namespace: place.namespace.to_owned(),
            });
        }
        let shares = object
            .map(|object| route::shares(place, self.route, object))
            .transpose();
        // In place nothing is split, whatever the rules are.
        let shares = if place.splits() {
            shares?
        } else {
            shares.ok().flatten()
        };
        let said = object.map_or(
            InForce::NotYet {
                message: "the route is being created".to_owned(),
            },
            in_force,
        );
        Ok(Now {
            stable,
            candidate,
            key,
            object,
            shares,
            state: self.shown(&said, proof),
            said,
        })
    }

    /// Creates what is missing of the Services, and changes nothing.
    fn missing(&self, wanted: &Wanted<'_>) -> Result<Vec<Effect>, Obstacle> {
        let place = &self.place;
        let (stable, candidate) = targets(place, wanted);
        let mut effects = Vec::new();
        let service = Service::look(place, place.stable)?;
        effects.extend(service.seen.is_none().then(|| service.set(&stable)).flatten());
        if place.splits() {
            let service = Service::look(place, &place.candidate)?;
            effects.extend(service.seen.is_none().then(|| service.set(&candidate)).flatten());
        }
        Ok(effects)
    }

    fn testers(&self) -> &[Tester] {
        let canary = self.place.env.spec.strategy.canary.as_ref();
        canary.map_or(&[], |canary| &canary.testers)
    }

    /// Whether a Service leads to a workload that is there.
    fn is_known(&self, service: &Service<'_>) -> bool {
        let selected = service.selector().unwrap_or_default();
        let workload = selected.get(dcanary_crds::labels::RELEASE);
        workload.is_some_and(|name| {
            selector::object(name, self.place.seen).is_some()
                && selected == render::selector(self.place.env, name, self.place.seen)
        })
    }

    /// Somebody else's weights are there: neither those that were in force nor those that we are about to set.
    fn overwritten(&self, now: &Now<'_>, weight: i32, allowed: i32) -> Option<String> {
        let last = self.last.filter(|_| self.place.splits())?;
        let shares = now.shares?;
        let ours = |percent: i32| [last, weight, allowed].contains(&percent);
        if shares.least == shares.most && ours(shares.most) {
            return None;
        }
        overwritten::manager(now.object?)
    }

    /// What the route says beside what it is asked. Labels and annotations are nobody's requests.
    fn said(&self, now: &Now<'_>, asked: &Asked<'_>, written: Option<&Value>) -> Option<Said> {
        let object = now.object.filter(|_| self.place.splits())?;
        let differs = written.is_some_and(|written| written.get("spec") != object.get("spec"));
        // what the Environment says of the route is asked too
        let generation = self.place.env.metadata.generation.unwrap_or_default();
        let (weight, mirror, testers) = (asked.weight, asked.mirror, !asked.testers.is_empty());
        let token = asked
            .token
            .map_or_else(String::new, |token| format!(" verify={}", token.digits()));
        Some(Said {
            route: self.named(),
            asked: format!(
                "{} generation={generation} weight={weight} mirror={mirror} testers={testers}{token}",
                self.named(),
            ),
            so: !differs,
            manager: differs.then(|| overwritten::manager(object)).flatten(),
        })
    }

    /// The route, and the rule in it, in one word.
    fn named(&self) -> String {
        let key = route::key(&self.place, self.route);
        let rule = self
            .route
            .reference
            .as_ref()
            .and_then(|named| named.rule.as_deref());
        let rule = rule.map_or_else(String::new, |rule| format!("#{rule}"));
        format!("{}/{}{rule}", key.kind.name(), key.name)
    }

    /// Between rollouts a route of somebody else that does not know the candidate is as good as one in which it has weight 0: whoever
    /// applies it again has no quarrel with us.
    fn may_rest(&self, now: &Now<'_>, wanted: &Wanted<'_>) -> bool {
        let unknown = now
            .shares
            .is_some_and(|shares| !shares.known && !shares.extra && !shares.answers);
        let idle = wanted.candidate.is_none() && wanted.weight <= 0 && wanted.mirror <= 0 && !wanted.testers;
        self.route.reference.is_some() && idle && unknown
    }

    /// What is on its way; or why the API server does not let it be.
    fn pending(&self, effects: &[Effect], now: &Now<'_>, doing: String) -> InForce {
        if let Some(refused) = self.place.refused(effects) {
            return refused;
        }
        match &now.state {
            // What is there already is refused, and it is to stay: nothing will come of waiting.
            InForce::Refused { .. } if effects.is_empty() => now.state.clone(),
            InForce::NotYet { message } if effects.is_empty() => InForce::NotYet {
                message: format!("{doing}; {message}"),
            },
            _ => InForce::NotYet { message: doing },
        }
    }

    /// Objects of ours that an earlier spec needed: a route of the other kind or place, the candidate's Service.
    fn left_over(&self, now: &Now<'_>) -> Vec<Effect> {
        let place = &self.place;
        let mut effects = leave::own_routes(place, Some(&now.key));
        if !place.splits() {
            let service = Service::look(place, &place.candidate).ok();
            effects.extend(service.and_then(|service| service.remove()));
        }
        effects
    }
}

/// What the two Services should select.
pub(super) fn targets(place: &Place<'_>, wanted: &Wanted<'_>) -> (Selector, Selector) {
    let of = |name: Option<&str>| name.map(|name| render::selector(place.env, name, place.seen));
    let first = of(wanted.stable).or_else(|| of(wanted.candidate));
    let second = of(wanted.candidate).or_else(|| of(wanted.stable));
    // Without any workload there is nothing to select; a Service without a selector would be somebody else's to fill.
    let none = || selector::whole(place.uid);
    (first.unwrap_or_else(none), second.unwrap_or_else(none))
}
