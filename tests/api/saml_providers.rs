//! IAM's SAML providers: every operation, its refusals, whose a provider is, and changes at the same time.

use time::OffsetDateTime;

use crate::client::{Answer, Developer, broker, broker_with, key_id};
use crate::harness;
use crate::idp::{self, Idp};

const NAME: &str = "Okta_1.test-a";
const ARN: &str = "arn:aws:iam::000000000001:saml-provider/Okta_1.test-a";

fn idp() -> Idp {
    Idp::rsa("https://idp.example.com/saml", 0)
}

fn now() -> OffsetDateTime {
    symbolon::clock::Clock::System.wall()
}

impl Developer {
    async fn create_saml(&self, name: &str, metadata: &str) -> Answer {
        let parameters = [("Name", name), ("SAMLMetadataDocument", metadata)];
        self.iam("CreateSAMLProvider", &parameters).await
    }

    async fn saml(&self, action: &str, arn: &str) -> Answer {
        self.iam(action, &[("SAMLProviderArn", arn)]).await
    }

    async fn update_saml(&self, arn: &str, metadata: &str) -> Answer {
        self.iam("UpdateSAMLProvider", &[("SAMLProviderArn", arn), ("SAMLMetadataDocument", metadata)]).await
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

#[tokio::test]
async fn a_provider_is_made_shown_listed_updated_and_deleted() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let metadata = idp().metadata();
    let parameters = [
        ("Name", NAME),
        ("SAMLMetadataDocument", &metadata),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "blue"),
    ];
    let made = developer.iam("CreateSAMLProvider", &parameters).await.ok();
    assert_eq!(made.element("SAMLProviderArn"), ARN);
    assert_eq!(made.members("Tags"), ["<Key>team</Key><Value>blue</Value>"]);

    let shown = developer.saml("GetSAMLProvider", ARN).await.ok();
    assert_eq!(shown.element("SAMLMetadataDocument"), escaped(&metadata));
    assert_eq!(shown.members("Tags"), ["<Key>team</Key><Value>blue</Value>"]);
    let (created, until) = (shown.element("CreateDate").to_owned(), shown.element("ValidUntil").to_owned());
    let year = |text: &str| text[..4].parse::<i32>().unwrap();
    // As AWS shows metadata that names no end.
    assert_eq!(year(&until) - year(&created), 100, "{created} {until}");

    developer.create_saml("AnotherOne", &metadata).await.ok();
    let listed = developer.iam("ListSAMLProviders", &[]).await.ok().members("SAMLProviderList");
    assert_eq!(listed.len(), 2);
    assert!(listed[0].contains("<Arn>arn:aws:iam::000000000001:saml-provider/AnotherOne</Arn>"), "{listed:?}");
    let expected = format!("<Arn>{ARN}</Arn><CreateDate>{created}</CreateDate><ValidUntil>{until}</ValidUntil>");
    assert_eq!(listed[1], expected);

    let other = Idp::p256("https://other.example.com/saml");
    let end = idp::at(now().unix_timestamp(), 3600);
    let keys = idp::key_descriptor("", &other.certificate);
    let changed = other.metadata_with(&format!(" validUntil=\"{end}\""), &keys);
    assert_eq!(developer.update_saml(ARN, &changed).await.ok().element("SAMLProviderArn"), ARN);
    let shown = developer.saml("GetSAMLProvider", ARN).await.ok();
    assert_eq!(shown.element("SAMLMetadataDocument"), escaped(&changed));
    assert_eq!((shown.element("CreateDate"), shown.element("ValidUntil")), (created.as_str(), end.as_str()));

    developer.saml("DeleteSAMLProvider", ARN).await.ok();
    let text = format!("Manifest not found for arn {ARN}");
    for action in ["GetSAMLProvider", "DeleteSAMLProvider", "ListSAMLProviderTags"] {
        developer.saml(action, ARN).await.denied(404, "NoSuchEntity", &text);
    }
    developer.update_saml(ARN, &changed).await.denied(404, "NoSuchEntity", &text);
    assert_eq!(developer.iam("ListSAMLProviders", &[]).await.ok().members("SAMLProviderList").len(), 1);
}

#[tokio::test]
async fn a_name_is_declared_once_in_an_account_and_a_provider_is_its_accounts_alone() {
    let broker = broker().await;
    let (ours, theirs) = (broker.developer(1), broker.developer(2));
    let metadata = idp().metadata();
    ours.create_saml(NAME, &metadata).await.ok();
    let text = format!("Provider with name {NAME} already exists.");
    ours.create_saml(NAME, &Idp::p256("https://other").metadata()).await.denied(409, "EntityAlreadyExists", &text);
    assert_eq!(ours.saml("GetSAMLProvider", ARN).await.ok().element("SAMLMetadataDocument"), escaped(&metadata));

    let text = format!("Manifest not found for arn {ARN}");
    for action in ["GetSAMLProvider", "DeleteSAMLProvider"] {
        theirs.saml(action, ARN).await.denied(404, "NoSuchEntity", &text);
    }
    theirs.update_saml(ARN, &metadata).await.denied(404, "NoSuchEntity", &text);
    assert_eq!(theirs.iam("ListSAMLProviders", &[]).await.ok().members("SAMLProviderList"), Vec::<String>::new());
    let made = theirs.create_saml(NAME, &metadata).await.ok();
    assert_eq!(made.element("SAMLProviderArn"), ARN.replace("000000000001", "000000000002"));
    ours.saml("GetSAMLProvider", ARN).await.ok();
}

#[tokio::test]
async fn metadata_and_names_that_cannot_be_are_refused_with_the_reason() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let metadata = idp().metadata();
    let refused = |why: &str| format!("Could not parse metadata: {why}");
    let padded = format!("<a>{}</a>", "x".repeat(1000));
    let text = refused("It is not an EntityDescriptor of the namespace urn:oasis:names:tc:SAML:2.0:metadata.");
    developer.create_saml(NAME, &padded).await.denied(400, "InvalidInput", &text);
    let doctype = metadata.replace("<md:EntityDescriptor", "<!DOCTYPE x><md:EntityDescriptor");
    let text = refused("it holds a document type or another markup declaration.");
    developer.create_saml(NAME, &doctype).await.denied(400, "InvalidInput", &text);
    let expired =
        idp().metadata_with(" validUntil=\"2020-01-01T00:00:00Z\"", &idp::key_descriptor("", &idp().certificate));
    let text = refused("Its validUntil has passed; fetch it anew from the provider.");
    developer.create_saml(NAME, &expired).await.denied(400, "InvalidInput", &text);
    developer.create_saml(NAME, &metadata).await.ok();
    developer.update_saml(ARN, &expired).await.denied(400, "InvalidInput", &text);
    assert_eq!(developer.saml("GetSAMLProvider", ARN).await.ok().element("SAMLMetadataDocument"), escaped(&metadata));

    for (name, metadata) in [("a/b", metadata.as_str()), ("a b", &metadata), ("", &metadata), ("short", "<a/>")] {
        let answer = developer.create_saml(name, metadata).await;
        assert_eq!((answer.status.as_u16(), answer.element("Code")), (400, "ValidationError"), "{name}");
    }
    let text = "Encrypted assertions are not supported: leave out AssertionEncryptionMode and private keys.";
    let more = [("Name", "x"), ("SAMLMetadataDocument", &metadata), ("AssertionEncryptionMode", "Required")];
    developer.iam("CreateSAMLProvider", &more).await.denied(400, "InvalidInput", text);
    let text = "SAMLMetadataDocument is what can be updated; it is missing.";
    developer.saml("UpdateSAMLProvider", ARN).await.denied(400, "InvalidInput", text);
    for arn in [
        "arn:aws:iam::000000000001:oidc-provider/x",
        "arn:aws:iam::000000000001:saml-provider/",
        "twenty characters at least",
    ] {
        let text = "Invalid ARN: the ARN of a SAML provider is arn:aws:iam::ACCOUNT:saml-provider/ and its name.";
        developer.saml("GetSAMLProvider", arn).await.denied(400, "InvalidInput", text);
    }
}

#[tokio::test]
async fn an_account_has_so_many_providers() {
    let broker = broker_with(|config| config.limits.saml_providers_per_account = 2).await;
    let developer = broker.developer(1);
    let metadata = idp().metadata();
    let of = |name: &'static str| {
        let metadata = metadata.clone();
        let developer = broker.developer(1);
        async move { developer.create_saml(name, &metadata).await.status.as_u16() }
    };
    let made = futures_util::future::join_all(["a", "b", "c", "d"].map(of)).await;
    assert_eq!(made.iter().filter(|status| **status == 200).count(), 2, "{made:?}");
    let text = "Cannot exceed quota for SAMLProvidersPerAccount: 2";
    developer.create_saml("e", &metadata).await.denied(409, "LimitExceeded", text);
    assert_eq!(harness::count(&mut *broker.db.conn().await, "select count(*) from saml_providers").await, 2);
}

#[tokio::test]
async fn tags_are_set_and_removed_by_key_whatever_its_case_and_come_in_pages() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.create_saml(NAME, &idp().metadata()).await.ok();
    let tag = |number: usize, key: &str, value: &str| {
        [
            (format!("Tags.member.{number}.Key"), key.to_owned()),
            (format!("Tags.member.{number}.Value"), value.to_owned()),
        ]
    };
    let given: Vec<(String, String)> = [tag(1, "Team", "blue"), tag(2, "site", "here")].concat();
    let mut parameters: Vec<(&str, &str)> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    parameters.push(("SAMLProviderArn", ARN));
    developer.iam("TagSAMLProvider", &parameters).await.ok();
    let again = [("SAMLProviderArn", ARN), ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")];
    developer.iam("TagSAMLProvider", &again).await.ok();
    let page = [("SAMLProviderArn", ARN), ("MaxItems", "1")];
    let first = developer.iam("ListSAMLProviderTags", &page).await.ok();
    assert_eq!(first.members("Tags"), ["<Key>site</Key><Value>here</Value>"]);
    assert_eq!(first.element("IsTruncated"), "true");
    let next = [page[0], ("Marker", first.element("Marker"))];
    let second = developer.iam("ListSAMLProviderTags", &next).await.ok();
    assert_eq!(second.members("Tags"), ["<Key>team</Key><Value>red</Value>"]);
    let untag = [("SAMLProviderArn", ARN), ("TagKeys.member.1", "TEAM"), ("TagKeys.member.2", "nobody")];
    developer.iam("UntagSAMLProvider", &untag).await.ok();
    assert_eq!(
        developer.saml("ListSAMLProviderTags", ARN).await.ok().members("Tags"),
        ["<Key>site</Key><Value>here</Value>"]
    );
}

#[tokio::test]
async fn of_those_who_declare_one_name_at_once_one_succeeds() {
    let broker = broker().await;
    let metadata = idp().metadata();
    let developer = broker.developer(1);
    let made = futures_util::future::join_all((0..8).map(|_| developer.create_saml(NAME, &metadata))).await;
    let statuses: Vec<u16> = made.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[tokio::test]
async fn a_policy_names_providers_by_their_arn() {
    let broker = broker().await;
    let developer = broker.developer(1);
    for name in ["mine", "other"] {
        developer.create_saml(name, &idp().metadata()).await.ok();
    }
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:*SAML*",
                     "Resource": "arn:aws:iam::000000000001:saml-provider/mine*"}]}"#;
    let policy = symbolon::policy::Policy::parse(policy).unwrap();
    let mut conn = broker.db.conn().await;
    symbolon::tenants::AccessKey::set_policy(&mut conn, &key_id(1), Some(&policy)).await.unwrap();
    drop(conn);
    broker.poll().await;
    let arn = |name: &str| format!("arn:aws:iam::000000000001:saml-provider/{name}");
    developer.saml("GetSAMLProvider", &arn("mine")).await.ok();
    developer.create_saml("mine-too", &idp().metadata()).await.ok();
    for answer in [
        developer.saml("GetSAMLProvider", &arn("other")).await,
        developer.saml("DeleteSAMLProvider", &arn("other")).await,
        developer.update_saml(&arn("other"), &idp().metadata()).await,
        developer.create_saml("another", &idp().metadata()).await,
        developer.iam("ListSAMLProviders", &[]).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.element("Code")), (403, "AccessDenied"), "{answer:?}");
    }
}
