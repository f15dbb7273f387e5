//! How requests reach a workload.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Duration, workload};

/// How requests reach the workload. The Service with the Environment's name always leads to the stable release (or to what the
/// weights say); under canary and blueGreen a second one, `<name>-candidate`, leads to the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Ports of the Services.
    #[schemars(length(min = 1, max = 20))]
    pub ports: Vec<Port>,
    /// Route of the Gateway API whose weights split requests. Without it plain Services are used: blueGreen switches the selector, canary splits by
    /// share of Pods, which is not exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// How long a release that gets no new requests keeps its Pods, so that long-lived connections end by themselves. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
}

/// A port of the Services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Name; needed when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Port of the Service. The first one is what routes lead to.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Port of the Pods. Default: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub target_port: Option<i32>,
    /// `http`, `grpc`, `h2c`, `https`, …: `appProtocol` of the Service. Default: none; `grpc` with a GRPCRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_protocol: Option<String>,
}

/// A route of the Gateway API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.template) != has(self.ref)").message("give exactly one of route.template and route.ref"))]
#[x_kube(validation = Rule::new("!has(self.verify) || self.kind == 'HTTPRoute'").message("route.verify needs an HTTPRoute, because a GRPCRoute cannot redirect: take route.verify out, or set route.kind to HTTPRoute"))]
pub struct Route {
    /// `HTTPRoute` (default) or `GRPCRoute`.
    #[serde(default)]
    pub kind: RouteKind,
    /// The operator creates and wholly owns a route with the Environment's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<RouteTemplate>,
    /// A route that exists: only the weights of its two backends, and rules named `dcanary-*`, are changed.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<RouteRef>,
    /// Weights count once requests to the gateway have shown that it follows them, and not when its status says so. Without it the status is
    /// believed. It needs an HTTPRoute; with strategy `rolling`, which splits nothing, it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<RouteVerify>,
}

/// Where the operator asks the gateway. While requests are split, the route has one more rule, `dcanary-verify`, that redirects one path under
/// `/.well-known/dcanary/` to a name that does not exist. Each split has another path. Three redirects in a row, each over a connection of its own,
/// show that the gateway follows the route as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.url.matches('^https?://[^/?#@\\\\s]+/?$')").message("verify.url is the address of the gateway: http:// or https://, a host and perhaps a port, without user, path and query, for example http://gateway.infra:8080"))]
pub struct RouteVerify {
    /// Address of the gateway as the operator reaches it: scheme, host, perhaps a port. Example: `http://gateway.infra`. Link-local addresses are
    /// not asked.
    #[schemars(length(min = 8, max = 300))]
    pub url: String,
    /// Name under which the route is asked for, `Host` of the request and name of the TLS certificate: one of the route's host names, where `url` has
    /// another name or an IP address. Default: the host of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")
    )]
    pub host: Option<String>,
}

/// Kind of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RouteKind {
    /// HTTP.
    #[default]
    #[serde(rename = "HTTPRoute")]
    Http,
    /// gRPC.
    #[serde(rename = "GRPCRoute")]
    Grpc,
}

/// A route to create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTemplate {
    /// Gateways, as in an HTTPRoute.
    #[schemars(schema_with = "workload::objects")]
    pub parent_refs: Vec<Map<String, Value>>,
    /// Host names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub hostnames: Vec<String>,
    /// Rules without `backendRefs` (matches, filters, timeouts). Default: one rule that matches everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "workload::objects")]
    pub rules: Vec<Map<String, Value>>,
}

/// A route that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRef {
    /// Its name, in the Environment's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of the rule whose backends are weighted. Default: the only rule that leads to the Environment's Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub rule: Option<String>,
}
