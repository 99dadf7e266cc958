//! Facebook: whose access token this is, and of which application, by the Graph API.
//!
//! The inspection that Facebook has for this (`debug_token`) needs the application's secret, which a pool does not have.
//! So the token itself is used to read the application that it was made for, and then its user:
//! <https://developers.facebook.com/docs/graph-api/overview#me> and
//! <https://developers.facebook.com/docs/graph-api/reference/application>.

use serde_json::{Map, Value};

use super::{No, Said, Social, application, claims, id};
use crate::upstream::trust::Trust;

/// Errors that pass, or that no other token would mend: an outage, too many calls, the application's limit
/// (<https://developers.facebook.com/docs/graph-api/guides/error-handling>,
/// <https://developers.facebook.com/docs/graph-api/overview/rate-limiting>).
const PASSING: [i64; 7] = [1, 2, 4, 17, 32, 341, 613];

pub(super) async fn ask<'a>(social: &Social, trust: &'a Trust, token: &str) -> Result<Said<'a>, No> {
    let query = [("access_token", token), ("fields", "id")];
    let read = async |path: &str| {
        let request = social.facebook.request(path, &query, None)?;
        social.fetch(trust, request, passing, |content| id(content, "id")).await
    };
    let app_id = read("/app").await?;
    let audience = application(trust, &app_id)?;
    let subject = read("/me").await?;
    let claims = claims(&subject, audience, &[("id", &subject), ("app_id", &app_id)]);
    Ok(Said { audience, subject, claims })
}

/// The code of an error that is not about the token.
fn passing(content: &Map<String, Value>) -> Option<i64> {
    let error = content.get("error")?;
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    let passes = PASSING.contains(&code) || error.get("is_transient") == Some(&Value::Bool(true));
    passes.then_some(code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_that_passes_is_not_taken_for_a_bad_token() {
        let code = |error: Value| passing(json!({ "error": error }).as_object().unwrap());
        for known in PASSING {
            assert_eq!(code(json!({ "code": known })), Some(known));
        }
        assert_eq!(code(json!({ "code": 368, "is_transient": true })), Some(368));
        for about_it in [
            json!({ "code": 190, "error_subcode": 463 }),
            json!({ "code": 102, "is_transient": false }),
            json!({ "code": "4" }),
            json!({}),
            json!("4"),
        ] {
            assert_eq!(code(about_it.clone()), None, "{about_it}");
        }
        assert_eq!(passing(&Map::new()), None);
    }
}
