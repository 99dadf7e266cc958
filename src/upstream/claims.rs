//! What a login token claims, held against what is trusted. Nothing here needs the issuer, so that a token that cannot
//! hold makes nobody fetch anything.

use std::cmp::Reverse;

use serde_json::{Map, Value};

use super::issuer::Issuer;
use super::trust::{Audience, Kind, Trust};
use crate::error::{Error, InvalidLogin, Result};

/// The longest `sub`, in characters (OpenID Connect Core 1.0 section 2).
const MAX_SUBJECT: usize = 255;

/// The last second of the year 9999: no date of a token is later.
const LAST_SECOND: i64 = 253_402_300_799;

/// The time that tokens are judged by, in epoch seconds.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Now.
    pub now: i64,
    /// How far the issuer's clock may be off, in seconds.
    pub skew: i64,
}

/// What a token says of a user and a client, if its signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The configured client that the token was made for.
    pub audience: &'a Audience,
    /// The user.
    pub subject: &'a str,
}

/// Holds the claims of an ID token against OpenID Connect Core 1.0 section 3.1.3.7, as Cognito reads it
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/open-id.html>).
///
/// # Errors
/// [`Error::InvalidLogin`], the first of: another issuer, a claim that is missing or of a wrong type, expired, not valid
/// yet, another audience, not an ID token. [`Error::ProviderNotSupported`] for a user pool's client that is not
/// configured.
pub fn check<'a>(
    claims: &'a Map<String, Value>,
    trust: &'a Trust,
    issuer: &Issuer,
    judged: Judged,
) -> Result<Said<'a>> {
    let iss = claims.get("iss").and_then(Value::as_str);
    if !iss.is_some_and(|iss| issuer.names.iter().any(|name| name == iss)) {
        return Err(InvalidLogin::Issuer.into());
    }
    let clients = clients(claims)?;
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(InvalidLogin::MissingClaim("sub"))?;
    if !(1..=MAX_SUBJECT).contains(&subject.chars().count()) || subject.contains('\0') {
        return Err(InvalidLogin::MissingClaim("sub").into());
    }
    check_times(claims, judged)?;
    // Whatever the order of the audiences, no check that one of them asks for is left out.
    let audience =
        clients.iter().filter_map(|client| configured(trust, client)).min_by_key(|found| Reverse(strictness(found)));
    let audience = audience.ok_or_else(|| not_configured(trust))?;
    if matches!(audience.kind, Kind::UserPool { .. }) && claims.get("token_use").and_then(Value::as_str) != Some("id") {
        return Err(InvalidLogin::NotIdToken.into());
    }
    Ok(Said { audience, subject })
}

/// The clients of which one must be configured: the authorized party if there is one, or else the audiences.
fn clients(claims: &Map<String, Value>) -> Result<Vec<&str>, InvalidLogin> {
    let audiences = match claims.get("aud") {
        Some(Value::String(audience)) => Some(vec![audience.as_str()]),
        Some(Value::Array(list)) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let audiences = audiences.ok_or(InvalidLogin::MissingClaim("aud"))?;
    match claims.get("azp") {
        None => Ok(audiences),
        Some(Value::String(party)) => Ok(vec![party]),
        Some(_) => Err(InvalidLogin::MissingClaim("azp")),
    }
}

/// The configured client of this id. Where it is configured in several ways, the strictest one counts.
fn configured<'a>(trust: &'a Trust, client: &str) -> Option<&'a Audience> {
    trust.audiences.iter().filter(|audience| audience.client_id == client).max_by_key(|audience| strictness(audience))
}

fn strictness(audience: &Audience) -> u8 {
    match audience.kind {
        Kind::UserPool { server_side_token_check: true } => 2,
        Kind::UserPool { server_side_token_check: false } => 1,
        Kind::OpenIdConnect { .. } | Kind::Social | Kind::Saml { .. } => 0,
    }
}

fn not_configured(trust: &Trust) -> Error {
    let of_user_pool = trust.audiences.iter().any(|audience| matches!(audience.kind, Kind::UserPool { .. }));
    if of_user_pool { Error::ProviderNotSupported } else { InvalidLogin::Audience.into() }
}

fn check_times(claims: &Map<String, Value>, judged: Judged) -> Result<(), InvalidLogin> {
    let Judged { now, skew } = judged;
    let exp = time(claims, "exp")?.ok_or(InvalidLogin::MissingClaim("exp"))?;
    let iat = time(claims, "iat")?.ok_or(InvalidLogin::MissingClaim("iat"))?;
    let nbf = time(claims, "nbf")?;
    if now.saturating_sub(skew) >= exp {
        return Err(InvalidLogin::Expired { now, exp });
    }
    if iat.max(nbf.unwrap_or(iat)) > now.saturating_add(skew) {
        return Err(InvalidLogin::NotYetValid);
    }
    Ok(())
}

/// A NumericDate (RFC 7519 section 2), in whole seconds.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, InvalidLogin> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole));
    let seconds = seconds.filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    seconds.map(Some).ok_or(InvalidLogin::MissingClaim(name))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "within the range, both are exact")]
fn whole(seconds: f64) -> Option<i64> {
    (0.0..=LAST_SECOND as f64).contains(&seconds).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::AccountId;
    use crate::upstream::{Proof, tests::settings};

    const NOW: i64 = 1_800_000_000;
    const USER_POOL: &str = "cognito-idp.us-east-1.amazonaws.com/us-east-1_x";

    fn trust(login_key: &str, audiences: &[(&str, Kind)]) -> Trust {
        let audiences =
            audiences.iter().map(|(id, kind)| Audience { client_id: (*id).into(), kind: kind.clone() }).collect();
        let account_id = AccountId::parse("000000000000").unwrap();
        Trust { account_id, login_key: login_key.into(), proof: Proof::IdToken, audiences }
    }

    fn open_id() -> Trust {
        let kind = Kind::OpenIdConnect { arn: "arn".into() };
        trust("idp.example.com", &[("client", kind.clone()), ("other", kind)])
    }

    fn user_pool() -> Trust {
        trust(
            USER_POOL,
            &[
                ("client", Kind::OpenIdConnect { arn: "arn".into() }),
                ("client", Kind::UserPool { server_side_token_check: true }),
                ("client", Kind::UserPool { server_side_token_check: false }),
                ("quick", Kind::UserPool { server_side_token_check: false }),
            ],
        )
    }

    /// The claims of a token that holds, with some of them replaced, or left out where null.
    fn claims(trust: &Trust, changes: &Value) -> Map<String, Value> {
        let iss = format!("https://{}", trust.login_key);
        let good =
            json!({ "iss": iss, "aud": "client", "sub": "user", "exp": NOW + 60, "iat": NOW, "token_use": "id" });
        let mut claims = good.as_object().unwrap().clone();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    fn judge(trust: &Trust, changes: &Value) -> Result<(String, String)> {
        let claims = claims(trust, changes);
        let issuer = Issuer::of(trust, &settings(""));
        let said = check(&claims, trust, &issuer, Judged { now: NOW, skew: 300 })?;
        Ok((said.audience.client_id.clone(), said.subject.to_owned()))
    }

    #[track_caller]
    fn refused(trust: &Trust, changes: &Value) -> InvalidLogin {
        match judge(trust, changes) {
            Err(Error::InvalidLogin(why)) => why,
            other => panic!("{changes}: {other:?}"),
        }
    }

    #[test]
    fn claims_that_hold_name_the_user_and_the_client() {
        for (changes, client, subject) in [
            (json!({}), "client", "user"),
            (json!({ "aud": ["nobody", "other"] }), "other", "user"),
            (json!({ "aud": "nobody", "azp": "client" }), "client", "user"),
            (json!({ "aud": ["client", "other"], "azp": "other" }), "other", "user"),
            (json!({ "exp": NOW - 299 }), "client", "user"),
            (json!({ "exp": 1.8e9, "iat": 1_799_999_999.5 }), "client", "user"),
            (json!({ "iat": NOW + 300, "nbf": NOW + 300 }), "client", "user"),
            (json!({ "sub": "é".repeat(255) }), "client", "é".repeat(255).as_str()),
        ] {
            assert_eq!(judge(&open_id(), &changes).unwrap(), (client.into(), subject.into()), "{changes}");
        }
    }

    #[test]
    fn the_issuer_is_compared_exactly() {
        for iss in [
            json!("https://idp.example.com/"),
            json!("http://idp.example.com"),
            json!("https://IDP.example.com"),
            json!("idp.example.com"),
            json!("https://idp.example.com.evil.test"),
            json!("https://user@idp.example.com"),
            json!(["https://idp.example.com"]),
            json!(""),
            json!(null),
        ] {
            assert_eq!(refused(&open_id(), &json!({ "iss": iss })), InvalidLogin::Issuer, "{iss}");
        }
        let slash = trust("x.auth0.test/", &[("client", Kind::Social)]);
        assert!(judge(&slash, &json!({})).is_ok());
        assert_eq!(refused(&slash, &json!({ "iss": "https://x.auth0.test" })), InvalidLogin::Issuer);
        let google = trust("accounts.google.com", &[("client", Kind::Social)]);
        assert!(judge(&google, &json!({ "iss": "accounts.google.com" })).is_ok());
    }

    #[test]
    fn claims_that_must_be_there_are_there_and_of_their_type() {
        for (name, values) in [
            ("aud", vec![json!(null), json!(1), json!([]), json!(["client", 1]), json!({ "client": 1 })]),
            ("sub", vec![json!(null), json!(""), json!(7), json!(["user"]), json!("x".repeat(256)), json!("a\0b")]),
            ("exp", vec![json!(null), json!("1800000060"), json!(-1), json!(true), json!(1e300), json!([NOW])]),
            ("iat", vec![json!(null), json!("1800000000"), json!(-0.5), json!(253_402_300_800_i64), json!(u64::MAX)]),
            ("nbf", vec![json!("1800000000"), json!(false)]),
            ("azp", vec![json!(["client"]), json!(1)]),
        ] {
            for value in values {
                assert_eq!(refused(&open_id(), &json!({ name: value })), InvalidLogin::MissingClaim(name), "{value}");
            }
        }
    }

    #[test]
    fn times_have_a_leeway_and_no_more() {
        let expired = |exp: i64| InvalidLogin::Expired { now: NOW, exp };
        assert_eq!(refused(&open_id(), &json!({ "exp": NOW - 300 })), expired(NOW - 300));
        assert_eq!(refused(&open_id(), &json!({ "exp": 0 })), expired(0));
        assert_eq!(refused(&open_id(), &json!({ "iat": NOW + 301 })), InvalidLogin::NotYetValid);
        assert_eq!(refused(&open_id(), &json!({ "nbf": NOW + 301 })), InvalidLogin::NotYetValid);
    }

    #[test]
    fn the_client_is_a_configured_one() {
        for changes in [
            json!({ "aud": "nobody" }),
            json!({ "aud": "" }),
            json!({ "aud": "Client" }),
            json!({ "aud": "client", "azp": "nobody" }),
            json!({ "aud": ["nobody", "nobody else"] }),
        ] {
            assert_eq!(refused(&open_id(), &changes), InvalidLogin::Audience, "{changes}");
        }
        assert!(matches!(judge(&user_pool(), &json!({ "aud": "nobody" })), Err(Error::ProviderNotSupported)));
    }

    #[test]
    fn a_user_pools_access_token_is_no_id_token() {
        let access = json!({ "aud": null, "client_id": "client", "token_use": "access" });
        assert_eq!(refused(&user_pool(), &access), InvalidLogin::MissingClaim("aud"));
        for token_use in [json!("access"), json!(null), json!(["id"])] {
            assert_eq!(refused(&user_pool(), &json!({ "token_use": token_use })), InvalidLogin::NotIdToken);
        }
        assert!(judge(&open_id(), &json!({ "token_use": null })).is_ok());
    }

    #[test]
    fn the_strictest_way_in_which_a_client_is_configured_counts() {
        let trust = user_pool();
        let claims = claims(&trust, &json!({}));
        let issuer = Issuer::of(&trust, &settings(""));
        let said = check(&claims, &trust, &issuer, Judged { now: NOW, skew: 300 }).unwrap();
        assert_eq!(said.audience.kind, Kind::UserPool { server_side_token_check: true });
        // Of several audiences, too, in whatever order.
        let kind = |server_side_token_check| Kind::UserPool { server_side_token_check };
        let trust = self::trust(USER_POOL, &[("lax", kind(false)), ("strict", kind(true))]);
        for audiences in [json!(["lax", "strict"]), json!(["strict", "lax"])] {
            let claims = self::claims(&trust, &json!({ "aud": audiences, "token_use": "id" }));
            let said = check(&claims, &trust, &issuer, Judged { now: NOW, skew: 300 }).unwrap();
            assert_eq!(said.audience.client_id, "strict");
        }
    }
}
