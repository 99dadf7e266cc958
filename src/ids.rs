//! Identifiers: parsed once at the edge, never checked again.

use std::fmt;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

use crate::error::Error;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The id in `text`, or nothing if it is ill-formed.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let accepts: fn(&str) -> bool = $accepts;
                accepts(text).then(|| Self(text.to_owned()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tenant's number: twelve digits, as an AWS account id.
    AccountId,
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
);

text_id!(
    /// A region name, such as `us-east-1`. At most 18 bytes, so that `region:uuid` fits the 55 of the service model.
    Region,
    |text| {
        (1..=18).contains(&text.len())
            && text.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
    }
);

/// The partitions that Amazon Resource Names can be of, as far as regions are told apart here.
pub const PARTITIONS: [&str; 3] = ["aws", "aws-cn", "aws-us-gov"];

impl Region {
    /// The partition of Amazon Resource Names that the region is in.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        match self.0.split_once('-') {
            Some(("cn", _)) => "aws-cn",
            Some(("us", rest)) if rest.starts_with("gov-") => "aws-us-gov",
            _ => "aws",
        }
    }
}

text_id!(
    /// The public half of a developer's credentials (16 to 128 word characters; `test` and account numbers in dev).
    AccessKeyId,
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
);

macro_rules! regional_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name {
            /// The region that the id names.
            pub region: Region,
            /// The unique part.
            pub uuid: Uuid,
        }

        impl $name {
            /// The id in `text`: `region:uuid`, the uuid in its lower-case hyphenated form only.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let (region, uuid) = text.split_once(':')?;
                Some(Self { region: Region::parse(region)?, uuid: canonical_uuid(uuid)? })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", self.region, self.uuid.as_hyphenated())
            }
        }
    };
}

regional_id!(
    /// `IdentityPoolId` of the wire.
    PoolId
);
regional_id!(
    /// `IdentityId` of the wire.
    IdentityId
);

fn canonical_uuid(text: &str) -> Option<Uuid> {
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    canonical.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Where an identity's rows live: `pool_no * 1024 + sub`, the leading column of both big tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route(pub i32);

impl Route {
    const SUBS: i32 = 1024;

    /// The route of `sub` in the pool numbered `pool_no`.
    #[must_use]
    pub fn new(pool_no: i32, sub: i32) -> Self {
        Self(pool_no * Self::SUBS + sub)
    }

    /// The number of the pool that this route belongs to.
    #[must_use]
    pub fn pool_no(self) -> i32 {
        self.0.div_euclid(Self::SUBS)
    }
}

/// A fresh identity UUID (version 8) that carries `route` in its first 32 bits and 90 random bits after.
///
/// # Errors
/// If the system's random source fails.
pub fn new_identity_uuid(route: Route) -> Result<Uuid, Error> {
    let mut bytes: [u8; 16] = random()?;
    bytes[..4].copy_from_slice(&route.0.to_be_bytes());
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// The route that an identity UUID claims to carry. It came from a client: a hint, to be proven by finding the row.
#[must_use]
pub fn route_hint(uuid: &Uuid) -> Option<Route> {
    let bytes = uuid.as_bytes();
    (uuid.get_version_num() == 8).then(|| Route(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

/// A fresh random UUID (version 4), for pools.
///
/// # Errors
/// If the system's random source fails.
pub fn new_pool_uuid() -> Result<Uuid, Error> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

/// `N` bytes of the system's cryptographic random source.
///
/// # Errors
/// If the source fails.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system's random source failed"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_uuid_carries_its_route() {
        let route = Route::new(2_097_151, 1023);
        let uuid = new_identity_uuid(route).unwrap();
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(route_hint(&uuid), Some(route));
        assert_eq!(route.pool_no(), 2_097_151);
    }

    #[test]
    fn only_the_canonical_uuid_form_is_an_id() {
        let text = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab";
        assert_eq!(PoolId::parse(text).unwrap().to_string(), text);
        for bad in [
            "us-east-1:157d6171ee1bc96898c20123456789ab",
            "us-east-1:157D6171-ee1b-c968-98c2-0123456789ab",
            "us-east-1",
            ":157d6171-ee1b-c968-98c2-0123456789ab",
            "US:157d6171-ee1b-c968-98c2-0123456789ab",
            "us-east-1:{157d6171-ee1b-c968-98c2-012345678}",
        ] {
            assert_eq!(PoolId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn regions_fit_the_longest_identity_id() {
        assert!(Region::parse("us-gov-west-1").is_some());
        assert!(Region::parse("a-region-of-nineteen").is_none());
        assert!(Region::parse("us--east").is_none());
    }
}
