//! What these tests start from: a broker's upstream on a clock that stands still, and what a pool trusts.

use std::sync::Arc;

use symbolon::clock::{Clock, FixedClock};
use symbolon::config::{self, Config, Sources};
use symbolon::error::{Error, InvalidLogin, Result};
use symbolon::ids::AccountId;
use symbolon::upstream::{Audience, Kind, Proof, Trust, Upstream, VerifiedLogin};
use time::OffsetDateTime;

/// The time on the clock at first, in epoch seconds.
pub const NOW: i64 = 1_795_435_200;
/// The client that the tests' providers are declared with.
pub const CLIENT: &str = "the_client";
/// The tenant of most tests.
pub const TENANT: &str = "000000000001";

/// The defaults with these lines of the section `upstream`.
pub fn settings(lines: &str) -> config::Upstream {
    let profile = format!("[upstream]\n{lines}");
    Config::read(&Sources { profile: &profile, ..Sources::default() }).unwrap().upstream
}

/// A broker's upstream with these lines of the section `upstream`, and the hands of its clock.
pub fn upstream(lines: &str) -> (Upstream, Arc<FixedClock>) {
    let (clock, hands) = Clock::fixed(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
    (built(&settings(lines), clock), hands)
}

/// An upstream on this clock.
pub fn built(config: &config::Upstream, clock: Clock) -> Upstream {
    Upstream::new(config, clock).unwrap()
}

/// A provider declared in IAM, with [`CLIENT`].
pub fn declared(login_key: &str) -> Trust {
    declared_by(TENANT, login_key)
}

/// A provider that `tenant` declared, with [`CLIENT`].
pub fn declared_by(tenant: &str, login_key: &str) -> Trust {
    let arn = format!("arn:aws:iam::{tenant}:oidc-provider/{login_key}");
    trust(tenant, login_key, Kind::OpenIdConnect { arn })
}

/// A user pool, with [`CLIENT`].
pub fn user_pool(id: &str, server_side_token_check: bool) -> Trust {
    let region = id.split_once('_').unwrap().0;
    let login_key = format!("cognito-idp.{region}.amazonaws.com/{id}");
    trust(TENANT, &login_key, Kind::UserPool { server_side_token_check })
}

/// A social provider, with [`CLIENT`].
pub fn social(login_key: &str) -> Trust {
    trust(TENANT, login_key, Kind::Social)
}

fn trust(tenant: &str, login_key: &str, kind: Kind) -> Trust {
    Trust {
        account_id: AccountId::parse(tenant).unwrap(),
        login_key: login_key.to_owned(),
        proof: Proof::IdToken,
        audiences: vec![Audience { client_id: CLIENT.to_owned(), kind }],
    }
}

/// Verifies one login.
pub async fn verify(upstream: &Upstream, trust: &Trust, token: &str) -> Result<VerifiedLogin> {
    let mut verified = upstream.verify(vec![(trust.clone(), token.to_owned())]).await?;
    assert_eq!(verified.len(), 1);
    Ok(verified.remove(0))
}

/// What came of it, in one word, for tables: `accepted`, or the kind of refusal without its particulars.
pub fn outcome<T>(result: &Result<T>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(Error::InvalidLogin(InvalidLogin::Expired { .. })) => "Expired".to_owned(),
        Err(Error::InvalidLogin(InvalidLogin::MissingClaim(name))) => format!("MissingClaim {name}"),
        Err(Error::InvalidLogin(refusal)) => format!("{refusal:?}"),
        Err(Error::Upstream(_)) => "Upstream".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
