//! SAML responses as logins: what providers write is accepted, what attackers make of it is not.

mod accepted;
mod metadata;
mod rules;
mod signatures;
mod wrapping;

use symbolon::error::Result;
use symbolon::iam::SamlProvider;
use symbolon::ids::AccountId;
use symbolon::upstream::{Proof, Saml, Trust, Upstream, VerifiedLogin};
use time::OffsetDateTime;

use crate::idp::Idp;
use crate::stage::{self, NOW, TENANT};

/// The user of the responses that attackers start from, and the one that they want to be.
pub const USER: &str = "mallory";
pub const VICTIM: &str = "admin";

/// A broker's upstream with the defaults, a provider, and what a pool trusts of it.
pub struct Stage {
    pub upstream: Upstream,
    pub idp: Idp,
    pub trust: Trust,
}

/// What a pool trusts of a provider with this metadata.
pub fn trust(metadata: &str) -> Trust {
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    let provider = SamlProvider::new("idp".to_owned(), metadata, symbolon::tags::Tags::default(), now).unwrap();
    let arn = format!("arn:aws:iam::{TENANT}:saml-provider/idp");
    let account_id = AccountId::parse(TENANT).unwrap();
    let proof = Proof::SamlResponse(Box::new(Saml { arn: arn.clone(), provider }));
    Trust { account_id, login_key: arn, proof, audiences: Vec::new() }
}

/// Verifies one response in base64.
pub async fn verify(upstream: &Upstream, trust: &Trust, response: &str) -> Result<VerifiedLogin> {
    let mut verified = upstream.verify(vec![(trust.clone(), response.to_owned())]).await?;
    assert_eq!(verified.len(), 1);
    Ok(verified.remove(0))
}

impl Stage {
    /// With an RSA key.
    pub fn new() -> Self {
        Self::of(Idp::rsa("https://idp.example.com/saml", 0))
    }

    pub fn of(idp: Idp) -> Self {
        let (upstream, _) = stage::upstream("");
        let trust = trust(&idp.metadata());
        Self { upstream, idp, trust }
    }

    /// What comes of a document: the user, or why it is refused, without its particulars.
    pub async fn outcome(&self, document: &str) -> String {
        let result = verify(&self.upstream, &self.trust, &crate::idp::login(document)).await;
        match &result {
            Ok(login) => format!("accepted {}", login.subject()),
            Err(error) => {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(VICTIM) && !shown.contains(USER), "the error shows the assertion: {shown}");
                stage::outcome(&result)
            }
        }
    }

    /// Asserts that each document is refused so; if nothing is said, in whatever way.
    pub async fn refuses(&self, documents: &[(String, String, Option<&str>)]) {
        let mut wrong = Vec::new();
        for (name, document, expected) in documents {
            assert!(!document.contains(crate::idp::MARK), "{name} was not signed");
            let came = self.outcome(document).await;
            if came.starts_with("accepted") || expected.is_some_and(|expected| !came.contains(expected)) {
                wrong.push(format!("{name}: {came}, not {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), documents.len(), wrong.join("\n"));
    }
}
