//! Login with Amazon: whose access token this is, and of which application, by the token information endpoint
//! (<https://developer.amazon.com/docs/login-with-amazon/obtain-customer-profile.html>).

use serde_json::{Map, Value};

use super::{No, Said, Social, application, claims, id};
use crate::error::InvalidLogin;
use crate::upstream::trust::Trust;

/// The `iss` of the answer.
const ISSUER: &str = "https://www.amazon.com";

/// What the endpoint tells of a token.
#[derive(Debug, PartialEq, Eq)]
struct Info {
    issuer: String,
    /// The client that asked for the token: `amzn1.application-oa2-client.…`.
    aud: String,
    /// The application of that client: `amzn1.application.…`.
    app_id: Option<String>,
    user_id: String,
    /// For how many seconds the token is still good.
    exp: i64,
}

pub(super) async fn ask<'a>(social: &Social, trust: &'a Trust, token: &str) -> Result<Said<'a>, No> {
    let request = social.amazon.request("", &[("access_token", token)], None)?;
    let info = social.fetch(trust, request, |_| None, read).await?;
    Ok(judge(trust, info, social.clock.wall().unix_timestamp())?)
}

fn read(content: &Map<String, Value>) -> Option<Info> {
    let app_id = match content.get("app_id") {
        None | Some(Value::Null) => None,
        Some(_) => Some(id(content, "app_id")?),
    };
    Some(Info {
        issuer: id(content, "iss")?,
        aud: id(content, "aud")?,
        app_id,
        user_id: id(content, "user_id")?,
        exp: content.get("exp")?.as_i64()?,
    })
}

fn judge(trust: &Trust, info: Info, now: i64) -> Result<Said<'_>, InvalidLogin> {
    if info.issuer != ISSUER {
        return Err(InvalidLogin::Issuer);
    }
    // The console of AWS asks for the application's id, the guide of Login with Amazon for the client's.
    let by_client = application(trust, &info.aud);
    let audience =
        by_client.or_else(|refusal| info.app_id.as_ref().map_or(Err(refusal), |id| application(trust, id)))?;
    if info.exp <= 0 {
        return Err(InvalidLogin::Expired { now, exp: now.saturating_add(info.exp) });
    }
    let mut told = vec![("iss", ISSUER), ("user_id", info.user_id.as_str())];
    told.extend(info.app_id.as_deref().map(|id| ("app_id", id)));
    let claims = claims(&info.user_id, audience, &told);
    Ok(Said { audience, subject: info.user_id, claims })
}
