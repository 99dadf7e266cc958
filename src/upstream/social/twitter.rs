//! Twitter: whose access token this is, by a request that the pool's application signs
//! (<https://developer.x.com/en/docs/twitter-api/v1/accounts-and-users/manage-account-settings/api-reference/get-account-verify_credentials>).
//!
//! There is no application to compare: a token of another one does not go with the key and the secret that sign.

use serde_json::{Map, Value};

use super::oauth::{self, Signer};
use super::{No, Said, Social, claims, id};
use crate::error::InvalidLogin;
use crate::upstream::trust::Trust;

/// Errors that no other token would mend: too many calls, an outage, our clock, or an application that may not ask
/// (<https://developer.x.com/en/support/x-api/error-troubleshooting>).
const PASSING: [i64; 7] = [87, 88, 130, 131, 135, 416, 453];

/// What spares us the rest of the answer.
const QUERY: [(&str, &str); 2] = [("include_entities", "false"), ("skip_status", "true")];

/// An access token with its secret, and the secret of the application.
pub(super) struct Pair<'a> {
    pub(super) token: &'a str,
    pub(super) secret: &'a str,
    pub(super) consumer_secret: &'a str,
    /// Of this question alone.
    pub(super) nonce: String,
}

pub(super) async fn ask<'a>(social: &Social, trust: &'a Trust, pair: &Pair<'_>) -> Result<Said<'a>, No> {
    let audience = trust.audiences.first().ok_or(InvalidLogin::Audience)?;
    let signer = Signer {
        consumer_key: &audience.client_id,
        consumer_secret: pair.consumer_secret,
        token: pair.token,
        token_secret: pair.secret,
        timestamp: social.clock.wall().unix_timestamp(),
        nonce: &pair.nonce,
    };
    let bare = social.twitter.request("", &[], None)?.url;
    let authorization = signer.authorization("GET", &oauth::base_url(&bare), &QUERY);
    let request = social.twitter.request("", &QUERY, Some(&authorization))?;
    let subject = social.fetch(trust, request, passing, |content| id(content, "id_str")).await?;
    let claims = claims(&subject, audience, &[("id_str", &subject)]);
    Ok(Said { audience, subject, claims })
}

/// The code of an error that is not about the token.
fn passing(content: &Map<String, Value>) -> Option<i64> {
    let codes = content.get("errors")?.as_array()?.iter().filter_map(|error| error.get("code")?.as_i64());
    codes.into_iter().find(|code| PASSING.contains(code))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_that_no_other_token_would_mend_is_not_taken_for_a_bad_token() {
        let code = |errors: Value| passing(json!({ "errors": errors }).as_object().unwrap());
        for known in PASSING {
            assert_eq!(code(json!([{ "code": 1 }, { "message": "m", "code": known }])), Some(known));
        }
        for about_it in
            [json!([{ "code": 89 }]), json!([{ "code": 32 }]), json!([]), json!([453]), json!({ "code": 453 })]
        {
            assert_eq!(code(about_it.clone()), None, "{about_it}");
        }
        assert_eq!(passing(&Map::new()), None);
    }
}
