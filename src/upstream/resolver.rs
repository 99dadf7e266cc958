//! Names to addresses, each looked at before it is connected to: what a name resolves to is its owner's choice.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address;
use crate::config::within;

/// Names to addresses: the operator's first, then the system's, each of which must be admitted.
#[derive(Debug)]
pub struct Resolver {
    hosts: HashMap<String, IpAddr>,
    admitted: Option<Vec<(IpAddr, u8)>>,
}

impl Resolver {
    /// A resolver by which `hosts` are where the operator says. With `admitted`, the other names may have addresses of the
    /// public network and of these networks only.
    #[must_use]
    pub fn new(hosts: &BTreeMap<String, IpAddr>, admitted: Option<&[(IpAddr, u8)]>) -> Self {
        let hosts = hosts.iter().map(|(name, address)| (name.to_ascii_lowercase(), *address)).collect();
        Self { hosts, admitted: admitted.map(<[_]>::to_vec) }
    }
}

/// A name that leads where no issuer is.
#[derive(Debug, thiserror::Error)]
#[error("{name} has the address {address}, which is {what}; upstream.allow_private_issuers could admit it")]
pub struct RefusedAddress {
    name: String,
    address: IpAddr,
    what: &'static str,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_ascii_lowercase();
        let given = self.hosts.get(&name).copied();
        let admitted = self.admitted.clone();
        Box::pin(async move {
            if let Some(address) = given {
                return Ok(Box::new(std::iter::once(SocketAddr::new(address, 0))) as Addrs);
            }
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(admitted) = admitted {
                check_addresses(&name, &found, &admitted)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// One address that is not admitted refuses the name, since the others may be there to distract from it.
fn check_addresses(name: &str, found: &[SocketAddr], admitted: &[(IpAddr, u8)]) -> Result<(), RefusedAddress> {
    for address in found.iter().map(SocketAddr::ip) {
        if let Some(what) = address::special(address)
            && !admitted.iter().any(|network| within(*network, address))
        {
            return Err(RefusedAddress { name: name.to_owned(), address, what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network;

    #[test]
    fn one_special_address_refuses_a_name_unless_it_is_admitted() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let lan = [network("10.0.0.0/8").unwrap(), network("fd00::/8").unwrap()];
        let ok = |found: &[SocketAddr], admitted: &[_]| check_addresses("idp.test", found, admitted).is_ok();
        assert!(ok(&[at("1.1.1.1"), at("2606:4700::1")], &[]));
        assert!(!ok(&[at("1.1.1.1"), at("10.0.0.1")], &[]));
        assert!(ok(&[at("1.1.1.1"), at("10.0.0.1"), at("fd00::1")], &lan));
        assert!(!ok(&[at("10.0.0.1"), at("127.0.0.1")], &lan));
        assert!(!ok(&[at("::ffff:127.0.0.1")], &lan));
        let error = check_addresses("idp.test", &[at("169.254.169.254")], &lan).unwrap_err().to_string();
        assert!(error.contains("idp.test") && error.contains("169.254.169.254, which is link-local"), "{error}");
    }

    #[tokio::test]
    async fn hosts_of_the_operator_are_taken_as_they_are_and_others_are_looked_at() {
        let hosts = BTreeMap::from([("IdP.example.test".to_owned(), "127.0.0.1".parse().unwrap())]);
        let guarded = Resolver::new(&hosts, Some(&[]));
        let found: Vec<_> = guarded.resolve("idp.example.test".parse().unwrap()).await.unwrap().collect();
        assert_eq!(found, ["127.0.0.1:0".parse().unwrap()]);
        let refused = guarded.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(refused.downcast_ref::<RefusedAddress>().is_some(), "{refused}");
        assert!(Resolver::new(&hosts, None).resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
