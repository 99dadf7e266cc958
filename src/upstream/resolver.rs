//! Names to addresses, each looked at before it is connected to: what a name resolves to is its owner's choice.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address;
use crate::config::within;

/// What is looked up, at some time.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who is asked for the addresses of a name.
pub trait Lookup: Debug + Send + Sync {
    /// All addresses that the name has now.
    fn addresses(&self, name: String) -> Found;
}

/// The system's resolver.
#[derive(Debug)]
pub struct System;

impl Lookup for System {
    fn addresses(&self, name: String) -> Found {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.map(|address| address.ip()).collect()) },
        )
    }
}

/// Names to addresses: the operator's first, then those of the lookup, each of which must be admitted.
#[derive(Debug)]
pub struct Resolver {
    hosts: HashMap<String, IpAddr>,
    admitted: Option<Vec<(IpAddr, u8)>>,
    lookup: Arc<dyn Lookup>,
}

impl Resolver {
    /// A resolver by which `hosts` are where the operator says. With `admitted`, the other names may have addresses of the
    /// public network and of these networks only.
    #[must_use]
    pub fn new(hosts: &BTreeMap<String, IpAddr>, admitted: Option<&[(IpAddr, u8)]>, lookup: Arc<dyn Lookup>) -> Self {
        let hosts = hosts.iter().map(|(name, address)| (name.to_ascii_lowercase(), *address)).collect();
        Self { hosts, admitted: admitted.map(<[_]>::to_vec), lookup }
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
        let (admitted, lookup) = (self.admitted.clone(), Arc::clone(&self.lookup));
        Box::pin(async move {
            if let Some(address) = given {
                return Ok(Box::new(std::iter::once(SocketAddr::new(address, 0))) as Addrs);
            }
            let found = lookup.addresses(name.clone()).await?;
            if let Some(admitted) = admitted {
                check_addresses(&name, &found, &admitted)?;
            }
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// One address that is not admitted refuses the name, since the others may be there to distract from it.
fn check_addresses(name: &str, found: &[IpAddr], admitted: &[(IpAddr, u8)]) -> Result<(), RefusedAddress> {
    for &address in found {
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
        let at = |text: &str| -> IpAddr { text.parse().unwrap() };
        let lan = [network("10.0.0.0/8").unwrap(), network("fd00::/8").unwrap()];
        let ok = |found: &[IpAddr], admitted: &[_]| check_addresses("idp.test", found, admitted).is_ok();
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
        let guarded = Resolver::new(&hosts, Some(&[]), Arc::new(System));
        let found: Vec<_> = guarded.resolve("idp.example.test".parse().unwrap()).await.unwrap().collect();
        assert_eq!(found, ["127.0.0.1:0".parse().unwrap()]);
        let refused = guarded.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(refused.downcast_ref::<RefusedAddress>().is_some(), "{refused}");
        assert!(Resolver::new(&hosts, None, Arc::new(System)).resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
