//! Laws of analyses, driven through a world that answers what a test says.

mod advance;
mod evidence;
mod resolve;
mod sample;
mod validate;
mod verdict;

use dcanary_crds::{
    Analysis, AnalysisStatus, Environment, EnvironmentSpec, Metric, Prometheus, Template, TemplateSpec,
};
use jiff::{SignedDuration, Timestamp};

use super::Vars;
use crate::{
    plan::{Effect, Measure},
    seen::{Answer, MeasureKey, Measurement, Seen},
};

pub fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn vars() -> Vars {
    Vars {
        release: "web-1111111111".to_owned(),
        stable: Some("web-0000000000".to_owned()),
        environment: "web".to_owned(),
        namespace: "shop".to_owned(),
        images: [("web".to_owned(), "registry.example.com/web@sha256:ab".to_owned())].into(),
    }
}

pub fn environment() -> Environment {
    Environment::new("web", EnvironmentSpec::default())
}

/// A metric of Prometheus that is good below 0.01.
pub fn metric(name: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        success: Some("result < 0.01".to_owned()),
        prometheus: Some(Prometheus {
            address: "http://prometheus:9090".to_owned(),
            query: "errors{release=\"$(release)\"}".to_owned(),
            ..Prometheus::default()
        }),
        ..Metric::default()
    }
}

pub fn analysis(metrics: &[Metric]) -> Analysis {
    Analysis {
        metrics: metrics.to_vec(),
        ..Analysis::default()
    }
}

/// A metric as people write it.
pub fn yaml(text: &str) -> Metric {
    serde_saphyr::from_str(text).unwrap()
}

pub fn template(text: &str) -> TemplateSpec {
    let template: Template = serde_saphyr::from_str(&format!(
        "apiVersion: dcanary.dev/v1alpha1\nkind: Template\nmetadata: {{name: t}}\nspec:\n{text}"
    ))
    .unwrap();
    template.spec
}

/// An analysis in a world that answers at once.
pub struct World {
    pub status: AnalysisStatus,
    pub seen: Seen,
    pub now: Timestamp,
    /// Whatever was asked, in order.
    pub asked: Vec<Measure>,
}

impl World {
    pub fn new(name: &str) -> Self {
        Self {
            status: AnalysisStatus {
                name: name.to_owned(),
                ..AnalysisStatus::default()
            },
            seen: Seen::default(),
            now: start(),
            asked: Vec::new(),
        }
    }

    pub fn once(&mut self, metrics: &[Metric]) -> super::Advance {
        let endless = self.status.name == super::BACKGROUND;
        let env = environment();
        let done = super::advance(
            &env,
            &mut self.status,
            metrics,
            &self.seen,
            "uid-1",
            &vars(),
            endless,
            self.now,
        );
        let mut again = self.status.clone();
        let same = super::advance(
            &env,
            &mut again,
            metrics,
            &self.seen,
            "uid-1",
            &vars(),
            endless,
            self.now,
        );
        assert_eq!(again, self.status, "a second call changes nothing");
        assert_eq!(same, done, "a second call asks for the same");
        done
    }

    /// Goes on until there is a verdict, nothing more is asked, or `most` rounds are over.
    pub fn run(&mut self, metrics: &[Metric], most: usize, answer: impl Fn(&MeasureKey) -> Answer) {
        for _ in 0..most {
            let done = self.once(metrics);
            for effect in &done.effects {
                if let Effect::Measure(measure) = effect {
                    let answer = answer(&measure.key);
                    let at = self.now;
                    self.seen
                        .measurements
                        .insert(measure.key.clone(), Measurement { at, answer });
                    self.asked.push((**measure).clone());
                }
            }
            match done.wake {
                _ if self.status.verdict.is_some() => return,
                Some(wake) if done.effects.is_empty() => self.now = wake,
                None if done.effects.is_empty() => return,
                _ => {}
            }
        }
    }
}

pub fn seconds(number: i64) -> SignedDuration {
    SignedDuration::from_secs(number)
}
