//! Credentials of this broker's own: what a role session signs with. Nothing of them is stored: the session token holds
//! the session, sealed, and the secret is derived from the token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccountId};
use crate::seal::Seal;
use crate::sigv4::Refusal;
use crate::tenants::access_key::{self, Secret};

/// What access key ids of temporary credentials begin with
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>).
const ID_PREFIX: &str = "ASIA";

/// Session tokens are sealed under a key of their own for each day (of UTC), and secrets derived under another.
const TOKEN_PURPOSE: &str = "session";
const SECRET_PURPOSE: &str = "session secret";

const SECONDS_PER_DAY: i64 = 86_400;

/// The days' number comes first in a session token, since the key depends on it.
const DAY_BYTES: usize = 4;

/// Someone who has taken on a role, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The tenant that the role belongs to.
    #[serde(rename = "a")]
    account: String,
    /// The role's name, without its path.
    #[serde(rename = "r")]
    pub role_name: String,
    /// The role's unique id.
    #[serde(rename = "i")]
    pub role_id: String,
    /// The session's name.
    #[serde(rename = "n")]
    pub name: String,
    /// When it ends, in epoch seconds.
    #[serde(rename = "e")]
    expires_at: i64,
}

/// Credentials as they are handed out, whoever has made them.
#[derive(Clone)]
pub struct Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret: Secret,
    /// What goes with every request that they sign.
    pub session_token: String,
    /// When they end.
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Session {
    /// A session of a role, which ends at `expires_at` (in whole seconds).
    #[must_use]
    pub fn new(account: &AccountId, role: (&str, &str), name: &str, expires_at: OffsetDateTime) -> Self {
        let (role_name, role_id) = role;
        Self {
            account: account.to_string(),
            role_name: role_name.to_owned(),
            role_id: role_id.to_owned(),
            name: name.to_owned(),
            expires_at: expires_at.unix_timestamp(),
        }
    }

    /// The tenant that the role belongs to.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        AccountId::parse(&self.account)
    }

    /// Its unique id, which `GetCallerIdentity` shows as `UserId`.
    #[must_use]
    pub fn user_id(&self) -> String {
        format!("{}:{}", self.role_id, self.name)
    }

    /// Its ARN. Paths of roles are left out, as AWS does
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>, assumed roles).
    #[must_use]
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:sts::{}:assumed-role/{}/{}", self.account, self.role_name, self.name)
    }

    /// Fresh credentials for it.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn credentials(&self, seal: &Seal, now: OffsetDateTime) -> Result<Credentials> {
        let id = access_key::random_id(ID_PREFIX)?;
        let day = u32::try_from(now.unix_timestamp() / SECONDS_PER_DAY).map_err(Error::internal)?;
        let content = serde_json::to_vec(self).map_err(Error::internal)?;
        let blob = seal.seal_token(&purpose(day), id.as_str().as_bytes(), &content)?;
        let secret = secret(seal, day, &blob)?;
        let token: Vec<u8> = day.to_be_bytes().into_iter().chain(blob).collect();
        Ok(Credentials {
            access_key_id: id.to_string(),
            secret,
            session_token: STANDARD.encode(token),
            expires_at: OffsetDateTime::from_unix_timestamp(self.expires_at).map_err(Error::internal)?,
        })
    }

    /// The session of a session token that came with this access key id, and the secret that goes with both.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] if the token is not one of ours for this id.
    pub fn open(seal: &Seal, id: &AccessKeyId, token: &str) -> Result<(Self, Secret), Refusal> {
        let unknown = |()| Refusal::UnknownKey;
        let token = STANDARD.decode(token).map_err(|_| Refusal::UnknownKey)?;
        let (day, blob) = token.split_at_checked(DAY_BYTES).ok_or(()).map_err(unknown)?;
        let day = u32::from_be_bytes(day.try_into().map_err(|_| Refusal::UnknownKey)?);
        let content = seal.open_token(&purpose(day), id.as_str().as_bytes(), blob).ok_or(()).map_err(unknown)?;
        let session: Self = serde_json::from_slice(&content).map_err(|_| Refusal::UnknownKey)?;
        let secret = secret(seal, day, blob).map_err(|_| Refusal::UnknownKey)?;
        Ok((session, secret))
    }

    /// Refuses a session that has ended.
    ///
    /// # Errors
    /// [`Refusal::ExpiredToken`]
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), Refusal> {
        if now.unix_timestamp() >= self.expires_at { Err(Refusal::ExpiredToken) } else { Ok(()) }
    }
}

fn purpose(day: u32) -> String {
    format!("{TOKEN_PURPOSE} {day}")
}

/// Forty characters, as AWS's secrets have.
fn secret(seal: &Seal, day: u32, blob: &[u8]) -> Result<Secret> {
    let bytes = seal.secret_of_token(&format!("{SECRET_PURPOSE} {day}"), blob)?;
    Ok(Secret::new(&STANDARD.encode(bytes.get(..30).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 23:59:00 UTC);

    fn ring(seeds: &[u8]) -> Seal {
        let text: Vec<String> = seeds.iter().map(|seed| STANDARD.encode([*seed; 32])).collect();
        Seal::from_text(&text.join("\n")).unwrap()
    }

    fn session() -> Session {
        let account = AccountId::parse("111122223333").unwrap();
        Session::new(&account, ("app", "AROAEXAMPLE"), "CognitoIdentityCredentials", NOW + time::Duration::hours(1))
    }

    fn id(credentials: &Credentials) -> AccessKeyId {
        AccessKeyId::parse(&credentials.access_key_id).unwrap()
    }

    #[test]
    fn a_session_is_found_again_from_its_token_alone() {
        let made = session().credentials(&ring(&[1]), NOW).unwrap();
        assert!(made.access_key_id.starts_with("ASIA") && made.access_key_id.len() == 20);
        assert_eq!((made.secret.expose().len(), made.expires_at), (40, NOW + time::Duration::hours(1)));
        // Also after midnight, and when the master key has been rotated.
        let (found, secret) = Session::open(&ring(&[2, 1]), &id(&made), &made.session_token).unwrap();
        assert_eq!(found, session());
        assert_eq!(secret.expose(), made.secret.expose());
        assert_eq!(found.arn("aws"), "arn:aws:sts::111122223333:assumed-role/app/CognitoIdentityCredentials");
        assert_eq!(found.user_id(), "AROAEXAMPLE:CognitoIdentityCredentials");
        assert!(found.check_time(NOW + time::Duration::seconds(3_599)).is_ok());
        assert_eq!(found.check_time(NOW + time::Duration::hours(1)), Err(Refusal::ExpiredToken));
    }

    #[test]
    fn every_bit_of_a_session_token_counts() {
        let seal = ring(&[1]);
        let made = session().credentials(&seal, NOW).unwrap();
        let token = STANDARD.decode(&made.session_token).unwrap();
        for bit in 0..token.len() * 8 {
            let mut changed = token.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = Session::open(&seal, &id(&made), &STANDARD.encode(&changed));
            assert_eq!(refused.err(), Some(Refusal::UnknownKey), "bit {bit}");
        }
        for length in 0..token.len() {
            assert!(Session::open(&seal, &id(&made), &STANDARD.encode(&token[..length])).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_session_token_goes_with_its_access_key_id_and_its_ring_alone() {
        let seal = ring(&[1]);
        let (one, other) = (session().credentials(&seal, NOW).unwrap(), session().credentials(&seal, NOW).unwrap());
        assert_ne!(one.access_key_id, other.access_key_id);
        assert_ne!(one.secret.expose(), other.secret.expose());
        assert!(Session::open(&seal, &id(&other), &one.session_token).is_err());
        assert!(Session::open(&ring(&[2]), &id(&one), &one.session_token).is_err());
        for garbled in ["", "AAAA", "not base64!", &"A".repeat(400)] {
            assert!(Session::open(&seal, &id(&one), garbled).is_err(), "{garbled}");
        }
        assert!(!format!("{one:?}").contains(&one.session_token));
    }
}
