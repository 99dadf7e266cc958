//! Social providers whose tokens say nothing by themselves: who signed in, and to which application, the provider is
//! asked each time.
//!
//! Whoever runs an application of the same provider holds tokens of its users. So the application is compared with those
//! that the pool names in any case, and before the user counts: a token is not proof of who brings it, only of whom it
//! was made for.

mod amazon;
mod facebook;
mod oauth;
mod twitter;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Map, Value};

use super::fetch::{self, FETCH_TIMEOUT, Failure, Fetcher, Told};
use super::issuer::NamedBy;
use super::login::VerifiedLogin;
use super::trust::{Audience, Trust};
use crate::clock::Clock;
use crate::config;
use crate::error::{Error, InvalidLogin, Result};
use crate::ids;

/// The longest token, in bytes. Amazon's have at most 2,048
/// (<https://developer.amazon.com/docs/login-with-amazon/access-token.html>), Facebook's and Twitter's a few hundred.
const MAX_TOKEN: usize = 4096;

/// The longest id of a user, in characters: that of a `sub`.
const MAX_SUBJECT: usize = 255;

/// A provider that is asked about each token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Facebook, by access tokens of its users.
    Facebook,
    /// Login with Amazon, by access tokens.
    Amazon,
    /// Twitter, by access tokens and their secrets (OAuth 1.0a), with the secret of the pool's application.
    Twitter(ConsumerSecret),
}

/// The secret of an application. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsumerSecret(String);

impl fmt::Debug for ConsumerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsumerSecret(***)")
    }
}

impl Provider {
    /// Whether logins of this key are proven so.
    #[must_use]
    pub fn has_key(login_key: &str) -> bool {
        matches!(login_key, "graph.facebook.com" | "www.amazon.com" | "api.twitter.com")
    }

    /// The provider of a login key, and the applications in a pool's value for it: `ID;ID…`, for Twitter
    /// `CONSUMER-KEY;CONSUMER-SECRET`. Nothing for another key, or a value of another form.
    #[must_use]
    pub fn of(login_key: &str, value: &str) -> Option<(Self, Vec<String>)> {
        let provider = match login_key {
            "graph.facebook.com" => Self::Facebook,
            "www.amazon.com" => Self::Amazon,
            "api.twitter.com" => {
                let (key, secret) = value.split_once(';')?;
                let is_one = |part: &str| !part.is_empty() && !part.contains(';');
                let whole = is_one(key) && is_one(secret);
                return whole.then(|| (Self::Twitter(ConsumerSecret(secret.to_owned())), vec![key.to_owned()]));
            }
            _ => return None,
        };
        let ids: Vec<String> = value.split(';').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        (!ids.is_empty()).then_some((provider, ids))
    }
}

/// What asks the providers.
#[derive(Debug)]
pub struct Social {
    fetcher: Arc<Fetcher>,
    patience: Duration,
    clock: Clock,
    facebook: Endpoint,
    amazon: Endpoint,
    twitter: Endpoint,
}

/// Where a provider is asked, without a slash at the end.
#[derive(Clone, Debug)]
struct Endpoint {
    url: String,
    named_by: NamedBy,
}

/// A token that its provider can be asked about.
#[derive(Debug)]
pub struct Question<'a> {
    trust: &'a Trust,
    token: Token<'a>,
}

enum Token<'a> {
    Facebook(&'a str),
    Amazon(&'a str),
    Twitter(twitter::Pair<'a>),
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// What a provider says of a token that it honours.
#[derive(Debug)]
struct Said<'a> {
    audience: &'a Audience,
    subject: String,
    claims: Map<String, Value>,
}

/// Why a token proves nothing.
#[derive(Debug)]
enum No {
    /// It does not hold.
    Token(InvalidLogin),
    /// Its provider could not be asked.
    Provider(Failure),
}

impl From<InvalidLogin> for No {
    fn from(why: InvalidLogin) -> Self {
        Self::Token(why)
    }
}

impl From<Failure> for No {
    fn from(why: Failure) -> Self {
        Self::Provider(why)
    }
}

impl Social {
    /// The configured endpoints.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, config: &config::Upstream, clock: Clock) -> Self {
        let [facebook, amazon, twitter] = config.social_endpoints().map(|endpoint| {
            let named_by = if endpoint.is_named() { NamedBy::Operator } else { NamedBy::Tenant };
            Endpoint { url: endpoint.url.trim_end_matches('/').to_owned(), named_by }
        });
        Self { fetcher, patience: config.fetch_timeout, clock, facebook, amazon, twitter }
    }

    /// What can be told of a token without asking anyone.
    ///
    /// # Errors
    /// [`InvalidLogin::NotAccessToken`] for what the provider would not have made.
    pub fn question<'a>(trust: &'a Trust, provider: &'a Provider, text: &'a str) -> Result<Question<'a>> {
        let is_token = |text: &str| (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let token = match provider {
            Provider::Facebook => Some(Token::Facebook(text)).filter(|_| is_token(text)),
            Provider::Amazon => Some(Token::Amazon(text)).filter(|_| is_token(text)),
            Provider::Twitter(ConsumerSecret(consumer_secret)) => {
                let nonce = hex::encode(ids::random::<16>()?);
                text.split_once(';')
                    .filter(|(token, secret)| is_token(token) && is_token(secret) && !secret.contains(';'))
                    .map(|(token, secret)| Token::Twitter(twitter::Pair { token, secret, consumer_secret, nonce }))
            }
        };
        token.map(|token| Question { trust, token }).ok_or_else(|| InvalidLogin::NotAccessToken.into())
    }

    /// Asks, within `upstream.fetch_timeout` for all of it. The answer is not kept: it is to be that of this moment.
    ///
    /// # Errors
    /// [`InvalidLogin::NotHonoured`] if the provider refuses the token, [`InvalidLogin::Audience`] if it was made for
    /// another application, [`InvalidLogin::Expired`] or [`InvalidLogin::Issuer`] if the answer says so;
    /// [`Error::Upstream`] if there is no answer that tells.
    pub async fn ask(&self, question: &Question<'_>) -> Result<VerifiedLogin> {
        let Question { trust, token } = question;
        let answer = tokio::time::timeout(self.patience, async {
            match token {
                Token::Facebook(token) => facebook::ask(self, trust, token).await,
                Token::Amazon(token) => amazon::ask(self, trust, token).await,
                Token::Twitter(pair) => twitter::ask(self, trust, pair).await,
            }
        });
        let said = answer.await.unwrap_or_else(|_| {
            let outcome: Result<(), Failure> = Err(Failure::timeout(FETCH_TIMEOUT));
            fetch::count(&trust.login_key, &outcome);
            Err(No::Provider(Failure::timeout(FETCH_TIMEOUT)))
        });
        match said {
            Ok(Said { audience, subject, claims }) => Ok(VerifiedLogin {
                login_key: trust.login_key.clone(),
                audience: audience.clone(),
                subject,
                claims,
                once: None,
            }),
            Err(No::Token(why)) => Err(why.into()),
            Err(No::Provider(failure)) => Err(Error::Upstream(format!("{}: {}", trust.login_key, failure.reason))),
        }
    }

    /// One request, counted. `read` makes of the answer what is asked for; a refusal is first held against `is_passing`,
    /// which knows the ones that are not about the token.
    async fn fetch<T>(
        &self,
        trust: &Trust,
        request: Request<'_>,
        is_passing: impl FnOnce(&Map<String, Value>) -> Option<i64>,
        read: impl FnOnce(&Map<String, Value>) -> Option<T>,
    ) -> Result<T, No> {
        let Request { url, authorization, named_by } = request;
        let told = self.fetcher.ask(url.as_str(), authorization, named_by).await;
        let outcome = told.and_then(|told| match told {
            Told::Yes(content) => match read(&content) {
                Some(answer) => Ok(Some(answer)),
                None => Err(Failure::bad_document("the answer about a token lacks what it must have")),
            },
            Told::No(status, content) => match is_passing(&content) {
                Some(code) => {
                    Err(Failure::bad_status(format!("the answer has HTTP status {status}, error code {code}")))
                }
                None => Ok(None),
            },
        });
        fetch::count(&trust.login_key, &outcome);
        outcome?.ok_or_else(|| InvalidLogin::NotHonoured.into())
    }
}

/// A request about a token.
struct Request<'a> {
    url: Url,
    authorization: Option<&'a str>,
    named_by: NamedBy,
}

impl Endpoint {
    /// The URL of what is at `path`, with a query in which every value is encoded.
    fn request<'a>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        authorization: Option<&'a str>,
    ) -> Result<Request<'a>, Failure> {
        let mut url = Url::parse(&format!("{}{path}", self.url))
            .map_err(|error| Failure::refused_url(format!("not a URL: {error}")))?;
        url.query_pairs_mut().extend_pairs(query);
        Ok(Request { url, authorization, named_by: self.named_by })
    }
}

/// The application of the pool that has this id.
fn application<'a>(trust: &'a Trust, id: &str) -> Result<&'a Audience, InvalidLogin> {
    trust.audiences.iter().find(|audience| audience.client_id == id).ok_or(InvalidLogin::Audience)
}

/// A text member that can be an id.
fn id(content: &Map<String, Value>, name: &str) -> Option<String> {
    let id = content.get(name)?.as_str()?;
    let fits = (1..=MAX_SUBJECT).contains(&id.chars().count()) && !id.contains(char::is_control);
    fits.then(|| id.to_owned())
}

/// Claims for principal tags: the ids that the provider told, and `sub` and `aud` as an ID token would have them.
fn claims(subject: &str, audience: &Audience, told: &[(&str, &str)]) -> Map<String, Value> {
    let own = [("sub", subject), ("aud", audience.client_id.as_str())];
    told.iter().chain(&own).map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests::settings;

    fn ids(login_key: &str, value: &str) -> Option<Vec<String>> {
        Provider::of(login_key, value).map(|(_, ids)| ids)
    }

    #[test]
    fn a_pool_names_applications_of_facebook_and_amazon_with_semicolons_between() {
        for key in ["graph.facebook.com", "www.amazon.com"] {
            assert_eq!(ids(key, "1").unwrap(), ["1"]);
            assert_eq!(ids(key, "1;2;3").unwrap(), ["1", "2", "3"]);
            assert_eq!(ids(key, ";1;;2;").unwrap(), ["1", "2"]);
            assert_eq!(ids(key, ";"), None);
        }
    }

    #[test]
    fn a_pool_names_one_application_of_twitter_with_its_secret() {
        let (provider, ids) = Provider::of("api.twitter.com", "key;secret").unwrap();
        assert_eq!(ids, ["key"]);
        assert_eq!(provider, Provider::Twitter(ConsumerSecret("secret".to_owned())));
        assert_eq!(format!("{provider:?}"), "Twitter(ConsumerSecret(***))");
        for value in ["key", "key;", ";secret", "key;secret;more", ";", "key;secret;"] {
            assert_eq!(Provider::of("api.twitter.com", value), None, "{value}");
        }
    }

    #[test]
    fn other_keys_are_no_providers_of_this_kind() {
        for key in ["accounts.google.com", "appleid.apple.com", "www.digits.com", "amazon.com", "Graph.facebook.com"] {
            assert!(Provider::of(key, "1;2").is_none() && !Provider::has_key(key), "{key}");
        }
        for key in ["graph.facebook.com", "www.amazon.com", "api.twitter.com"] {
            assert!(Provider::of(key, "1;2").is_some() && Provider::has_key(key), "{key}");
        }
    }

    #[test]
    fn only_a_short_printable_text_is_an_id() {
        let told = |id: Value| Map::from_iter([("id".to_owned(), id)]);
        assert_eq!(id(&told("42".into()), "id").unwrap(), "42");
        for odd in [Value::Null, 42.into(), "".into(), "a\0".into(), "a\n".into(), "x".repeat(256).into()] {
            assert_eq!(id(&told(odd.clone()), "id"), None, "{odd}");
        }
    }
    #[test]
    fn only_what_the_operator_has_named_is_free_of_the_rules() {
        let social = |lines: &str| {
            let config = settings(lines);
            Social::new(Arc::new(Fetcher::new(&config).unwrap()), &config, Clock::System)
        };
        let own = social("");
        for (endpoint, url) in [
            (own.facebook, "https://graph.facebook.com"),
            (own.amazon, "https://api.amazon.com/auth/o2/tokeninfo"),
            (own.twitter, "https://api.twitter.com/1.1/account/verify_credentials.json"),
        ] {
            assert_eq!((endpoint.url.as_str(), endpoint.named_by), (url, NamedBy::Tenant));
        }
        let named = social("facebook_graph = 'http://127.0.0.1:9000/v23.0/'");
        assert_eq!(named.facebook.url, "http://127.0.0.1:9000/v23.0");
        assert_eq!((named.facebook.named_by, named.amazon.named_by), (NamedBy::Operator, NamedBy::Tenant));
    }
}
