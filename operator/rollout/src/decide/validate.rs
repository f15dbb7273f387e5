//! What the schema cannot say about an Environment.

use core::net::{IpAddr, Ipv6Addr};

use dcanary_crds::{EnvironmentSpec, RouteVerify};
use thiserror::Error;

use super::steps::{self, Step};
use crate::{
    analysis::{self, AnalysisError},
    wanted::{FreezeError, validate_freeze},
};

/// A spec that is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Weights that go down.
    #[error(
        "spec.strategy.canary.steps[{step}].weight is {weight}, less than {before} in an earlier step: weights must not go down"
    )]
    Weights {
        /// Index of the step.
        step: usize,
        /// Its weight.
        weight: i32,
        /// The earlier one.
        before: i32,
    },
    /// A freeze window.
    #[error("spec.freeze: {0}")]
    Freeze(#[from] FreezeError),
    /// An analysis.
    #[error("{place}: {source}")]
    Analysis {
        /// Where in the spec.
        place: String,
        /// What is wrong.
        source: AnalysisError,
    },
    /// In place with more than one way.
    #[error(
        "spec.workload.ref takes over a Deployment release by release: give strategy.canary or strategy.blueGreen, or write workload.template"
    )]
    AdoptedInPlace,
    /// Where the gateway is asked.
    #[error("spec.traffic.route.verify.{0}")]
    Verify(&'static str),
}

impl SpecError {
    /// One CamelCase word.
    pub const fn reason(&self) -> &'static str {
        "InvalidSpec"
    }
}

/// Looks through the spec.
///
/// # Errors
/// The first mistake, with its place.
pub fn validate(spec: &EnvironmentSpec) -> Result<(), SpecError> {
    let mut before = 0;
    if let Some(canary) = &spec.strategy.canary {
        for (step, weight) in canary.steps.iter().enumerate() {
            let Some(weight) = weight.weight else { continue };
            if weight < before {
                return Err(SpecError::Weights { step, weight, before });
            }
            before = weight;
        }
    }
    if spec.workload.reference.is_some()
        && spec.strategy.canary.is_none()
        && spec.strategy.blue_green.is_none()
    {
        return Err(SpecError::AdoptedInPlace);
    }
    let route = spec.traffic.as_ref().and_then(|traffic| traffic.route.as_ref());
    if let Some(verify) = route.and_then(|route| route.verify.as_ref()) {
        validate_verify(verify).map_err(SpecError::Verify)?;
    }
    validate_freeze(&spec.freeze)?;
    let named = steps::steps(spec).into_iter().filter_map(|step| match step {
        Step::Analysis { name, analysis } => Some((format!("spec.strategy, analysis {name}"), analysis)),
        _ => None,
    });
    let background = spec
        .analysis
        .iter()
        .map(|analysis| ("spec.analysis".to_owned(), analysis));
    let post = steps::post_promotion(spec).map(|analysis| {
        (
            "spec.strategy.blueGreen.postPromotionAnalysis".to_owned(),
            analysis,
        )
    });
    for (place, found) in named.chain(background).chain(post) {
        analysis::validate(found).map_err(|source| SpecError::Analysis { place, source })?;
    }
    Ok(())
}

/// Host and port of the gateway, which the schema does not look into.
fn validate_verify(verify: &RouteVerify) -> Result<(), &'static str> {
    const NO_HOST: &str =
        "host is an IP address: give a host name of the route; the address belongs into `url`";
    const ADDRESS: &str = "url names no host, or no port from 1 to 65535: write it as http://gateway.infra:8080 or http://[fd00::1]";
    let url = verify.url.as_str();
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or(ADDRESS)?;
    let place = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match place.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']').ok_or(ADDRESS)?;
            address.parse::<Ipv6Addr>().map_err(|_| ADDRESS)?;
            (
                address,
                port.strip_prefix(':').or((!port.is_empty()).then_some("")),
            )
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() || port.is_some_and(|port| port.parse::<u16>().unwrap_or(0) == 0) {
        return Err(ADDRESS);
    }
    match &verify.host {
        Some(host) if host.parse::<IpAddr>().is_ok() => Err(NO_HOST),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str, host: Option<&str>) -> Option<&'static str> {
        let verify = RouteVerify {
            url: url.to_owned(),
            host: host.map(str::to_owned),
        };
        validate_verify(&verify).err()
    }

    #[test]
    fn the_address_of_a_gateway_has_a_host_and_a_port_that_there_are() {
        for good in [
            "http://gateway.infra",
            "https://10.0.0.1:8443/",
            "http://[fd00::1]",
            "http://[fd00::1]:8080/",
        ] {
            assert_eq!(problem(good, Some("web.shop.test")), None, "{good}");
        }
        for bad in [
            "http://:80",
            "http://gateway:0",
            "http://gateway:65536",
            "http://gateway:http",
            "http://[fd00::1",
            "http://[gateway]",
            "http://[fd00::1]8080",
            "ftp://gateway",
        ] {
            assert!(
                problem(bad, None).is_some_and(|said| said.contains("http://gateway.infra:8080")),
                "{bad}"
            );
        }
        let said = problem("http://gateway", Some("10.0.0.1"));
        assert!(said.is_some_and(|said| said.contains("`url`")));
    }
}
