//! Places that metrics never ask: link-local addresses, where clouds keep the credentials of the node. Who may write an Environment must not
//! read them by way of the operator.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use reqwest::{
    ClientBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Whom metrics may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// Link-local addresses too.
    pub allow_link_local: bool,
}

/// An address that is not asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LinkLocal(IpAddr);

impl fmt::Display for LinkLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is link-local, and is not asked: take another address, or set the chart's value operator.analysis.allowLinkLocal",
            self.0
        )
    }
}

impl Error for LinkLocal {}

/// Finds the addresses of a name.
pub(super) type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// As this machine does.
fn lookup(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    async move { tokio::net::lookup_host((name, 0)).await.map(Iterator::collect) }.boxed()
}

impl Guard {
    /// Whether the host of a URL is such an address, in whatever spelling. Names are looked at when they are resolved.
    pub(super) fn literal(self, url: &Url) -> Result<(), LinkLocal> {
        let host = url.host_str().unwrap_or_default();
        // the parser has brought every spelling of an address into its one form
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        address.map_or(Ok(()), |address| self.address(address))
    }

    fn address(self, address: IpAddr) -> Result<(), LinkLocal> {
        if !self.allow_link_local && is_link_local(address) {
            return Err(LinkLocal(address));
        }
        Ok(())
    }

    /// The addresses of the host of a URL, with port 0: none of them is such an address.
    pub(super) async fn addresses(self, url: &Url) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let host = url.host_str().unwrap_or_default();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let found = match plain.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, 0)],
            Err(_) => lookup(host.to_owned()).await?,
        };
        for address in &found {
            self.address(address.ip())?;
        }
        Ok(found)
    }

    /// Has a client connect only to addresses that were looked at: what a name means is asked once, and what was answered is what counts.
    pub(super) fn watches(self, client: ClientBuilder) -> ClientBuilder {
        self.watches_with(client, lookup)
    }

    pub(super) fn watches_with(self, client: ClientBuilder, lookup: Lookup) -> ClientBuilder {
        client.dns_resolver(Arc::new(Resolver { guard: self, lookup }))
    }
}

struct Resolver {
    guard: Guard,
    lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, found) = (self.guard, (self.lookup)(name.as_str().to_owned()));
        async move {
            let found = found.await?;
            for address in &found {
                guard.address(address.ip())?;
            }
            Ok::<Addrs, Box<dyn Error + Send + Sync>>(Box::new(found.into_iter()))
        }
        .boxed()
    }
}

/// 169.254.0.0/16 and fe80::/10, also where an IPv6 address stands for one of IPv4.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || within(address).is_some_and(|inner| inner.is_link_local())
        }
    }
}

/// The IPv4 address in an IPv6 one: mapped, compatible, NAT64, 6to4.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(inner(high, low)),
        _ => address.to_ipv4(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_link_local_address_is_refused() {
        for host in [
            "169.254.169.254",
            "169.254.0.0",
            "169.254.255.255",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[fe80::1]",
            "[febf:ffff::1]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::1]",
        ] {
            let url = Url::parse(&format!("http://user@{host}:80/latest")).unwrap();
            let refused = Guard::default().literal(&url).unwrap_err().to_string();
            assert!(
                refused.contains("link-local") && refused.contains("allowLinkLocal"),
                "{refused}"
            );
            let allowing = Guard {
                allow_link_local: true,
            };
            assert_eq!(allowing.literal(&url), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_addresses_and_names_are_not() {
        for host in [
            "169.253.255.255",
            "169.255.0.0",
            "127.0.0.1",
            "10.0.0.1",
            "[fec0::1]",
            "[fe7f::1]",
            "[::1]",
            "[fd00::1]",
            "[2001:db8:a9fe:a9fe::]",
            "prometheus.monitoring.svc",
        ] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(Guard::default().literal(&url), Ok(()), "{host}");
        }
    }
}
