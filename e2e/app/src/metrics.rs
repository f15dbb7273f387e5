//! Metrics as Prometheus scrapes them: `http_requests_total{code,version}` and `http_request_duration_seconds{version}`.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: u16,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    version: String,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    version: String,
    requests: Family<Answered, Counter>,
    seconds: Family<Of, Histogram, fn() -> Histogram>,
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

impl Metrics {
    /// Metrics of a version. Both outcomes are there from the start, so that a rate of failures is 0 and not absent.
    pub fn of(version: &str) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Answered, Counter>::default();
        let seconds = Family::<Of, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer",
            Unit::Seconds,
            seconds.clone(),
        );
        for code in [200, 500] {
            let _ = requests.get_or_create(&Answered {
                code,
                version: version.to_owned(),
            });
        }
        Self {
            registry,
            version: version.to_owned(),
            requests,
            seconds,
        }
    }

    /// One answer.
    pub fn answered(&self, code: u16, took: Duration) {
        let version = self.version.clone();
        self.requests.get_or_create(&Answered { code, version }).inc();
        let version = self.version.clone();
        self.seconds
            .get_or_create(&Of { version })
            .observe(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
