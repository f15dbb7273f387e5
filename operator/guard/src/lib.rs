//! Places that are never asked on behalf of others: link-local addresses, where clouds keep the credentials of the node, and unspecified ones,
//! which lead to the asking machine itself. Who may write an Environment must not read them by way of the operator, and who may name an image
//! not by way of the server.

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

/// Whom may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Link-local and unspecified addresses too.
    pub allow_link_local: bool,
    /// The chart's value that says so, for refusals.
    pub switch: &'static str,
}

/// An address that is not asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    address: IpAddr,
    switch: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if is(self.address, Ipv4Addr::is_unspecified, Ipv6Addr::is_unspecified) {
            "no address of a host"
        } else {
            "link-local"
        };
        write!(
            f,
            "{} is {kind}, and nothing is asked there: take another place, or set the chart's value {}",
            self.address, self.switch
        )
    }
}

impl Error for Refused {}

/// Finds the addresses of a name.
pub type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// As this machine does.
fn lookup(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    async move { tokio::net::lookup_host((name, 0)).await.map(Iterator::collect) }.boxed()
}

impl Guard {
    /// Whether the host of a URL is such an address, in whatever spelling. Names are looked at when they are resolved.
    ///
    /// # Errors
    /// When it is one.
    pub fn literal(self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        // the parser has brought every spelling of an address into its one form
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        address.map_or(Ok(()), |address| self.address(address))
    }

    fn address(self, address: IpAddr) -> Result<(), Refused> {
        let refused = is(address, Ipv4Addr::is_link_local, Ipv6Addr::is_unicast_link_local)
            || is(address, Ipv4Addr::is_unspecified, Ipv6Addr::is_unspecified);
        if refused && !self.allow_link_local {
            let switch = self.switch;
            return Err(Refused { address, switch });
        }
        Ok(())
    }

    /// The addresses of the host of a URL, with port 0: none of them is such an address.
    ///
    /// # Errors
    /// When the name is not resolved, or one of its addresses is refused.
    pub async fn addresses(self, url: &Url) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
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
    pub fn watches(self, client: ClientBuilder) -> ClientBuilder {
        self.watches_with(client, lookup)
    }

    /// The same, with another way to find the addresses of a name.
    pub fn watches_with(self, client: ClientBuilder, lookup: Lookup) -> ClientBuilder {
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

/// Whether an address is of a kind, also where an IPv6 address stands for one of IPv4.
fn is(address: IpAddr, v4: fn(&Ipv4Addr) -> bool, v6: fn(&Ipv6Addr) -> bool) -> bool {
    match address {
        IpAddr::V4(address) => v4(&address),
        IpAddr::V6(address) => v6(&address) || within(address).is_some_and(|inner| v4(&inner)),
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GUARD: Guard = Guard {
        allow_link_local: false,
        switch: "a.b.allowLinkLocal",
    };

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
            let refused = GUARD.literal(&url).unwrap_err().to_string();
            assert!(
                refused.contains("is link-local") && refused.contains("a.b.allowLinkLocal"),
                "{refused}"
            );
            let allowing = Guard {
                allow_link_local: true,
                ..GUARD
            };
            assert_eq!(allowing.literal(&url), Ok(()), "{host}");
        }
    }

    #[test]
    fn unspecified_addresses_lead_to_this_machine_and_are_refused() {
        for host in ["0.0.0.0", "0", "[::]", "[::ffff:0.0.0.0]", "[64:ff9b::]"] {
            let url = Url::parse(&format!("http://{host}:80/")).unwrap();
            let refused = GUARD.literal(&url).unwrap_err().to_string();
            assert!(refused.contains("is no address of a host"), "{host}: {refused}");
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
            assert_eq!(GUARD.literal(&url), Ok(()), "{host}");
        }
    }
}
