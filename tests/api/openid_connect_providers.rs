//! IAM's OpenID Connect providers: every operation, its refusals, whose a provider is, and changes at the same time.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use symbolon::ids::Region;

use crate::client::{ABROAD, Answer, Broker, Developer, broker, broker_with, key_id};
use crate::harness::{self, together};
use crate::query::{IAM, form, request};

const URL: &str = "https://idp.example.com/realms/a";
const ARN: &str = "arn:aws:iam::000000000001:oidc-provider/idp.example.com/realms/a";
const THUMBPRINT: &str = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280";

impl Developer {
    /// A provider with clients `a` and `b`, a thumbprint and a tag.
    async fn provider(&self, url: &str) -> Answer {
        let parameters = [
            ("Url", url),
            ("ClientIDList.member.1", "b"),
            ("ClientIDList.member.2", "a"),
            ("ThumbprintList.member.1", THUMBPRINT),
            ("Tags.member.1.Key", "team"),
            ("Tags.member.1.Value", "blue"),
        ];
        self.iam("CreateOpenIDConnectProvider", &parameters).await
    }

    async fn shown(&self, arn: &str) -> Answer {
        self.iam("GetOpenIDConnectProvider", &[("OpenIDConnectProviderArn", arn)]).await
    }

    async fn clients(&self, arn: &str) -> Vec<String> {
        self.shown(arn).await.ok().members("ClientIDList")
    }
}

#[tokio::test]
async fn a_provider_is_made_shown_listed_and_deleted() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let made = developer.provider(URL).await.ok();
    assert_eq!(made.element("OpenIDConnectProviderArn"), ARN);
    assert_eq!(made.members("Tags"), ["<Key>team</Key><Value>blue</Value>"]);

    let shown = developer.shown(ARN).await.ok();
    let created = shown.element("CreateDate").to_owned();
    assert!(created.len() == 20 && created.ends_with('Z') && !created.contains('.'), "{created}");
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GetOpenIDConnectProviderResponse xmlns=\"{IAM}\">\
         <GetOpenIDConnectProviderResult><ClientIDList><member>b</member><member>a</member></ClientIDList>\
         <CreateDate>{created}</CreateDate>\
         <Tags><member><Key>team</Key><Value>blue</Value></member></Tags>\
         <ThumbprintList><member>{THUMBPRINT}</member></ThumbprintList><Url>idp.example.com/realms/a</Url>\
         </GetOpenIDConnectProviderResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </GetOpenIDConnectProviderResponse>",
        shown.header("x-amzn-requestid")
    );
    assert_eq!(shown.text, expected);

    let bare = developer.iam("CreateOpenIDConnectProvider", &[("Url", "https://b.example.com/")]).await.ok();
    assert!(!bare.text.contains("<Tags>"), "{bare:?}");
    let arn = "arn:aws:iam::000000000001:oidc-provider/b.example.com/";
    assert_eq!(bare.element("OpenIDConnectProviderArn"), arn);
    let shown = developer.shown(arn).await.ok();
    for list in ["ClientIDList", "ThumbprintList", "Tags"] {
        assert_eq!(shown.members(list), [""; 0]);
    }

    let listed = developer.iam("ListOpenIDConnectProviders", &[]).await.ok();
    assert_eq!(listed.members("OpenIDConnectProviderList"), [format!("<Arn>{arn}</Arn>"), format!("<Arn>{ARN}</Arn>")]);

    let deleted = developer.iam("DeleteOpenIDConnectProvider", &[("OpenIDConnectProviderArn", arn)]).await.ok();
    assert_eq!(
        deleted.text,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DeleteOpenIDConnectProviderResponse xmlns=\"{IAM}\">\
             <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></DeleteOpenIDConnectProviderResponse>",
            deleted.header("x-amzn-requestid")
        )
    );
    let listed = developer.iam("ListOpenIDConnectProviders", &[]).await.ok();
    assert_eq!(listed.members("OpenIDConnectProviderList"), [format!("<Arn>{ARN}</Arn>")]);
    // Once more: nothing happens, and nothing fails.
    let before = harness::epoch(&mut *broker.db.conn().await).await;
    developer.iam("DeleteOpenIDConnectProvider", &[("OpenIDConnectProviderArn", arn)]).await.ok();
    assert_eq!(harness::epoch(&mut *broker.db.conn().await).await, before);
}

#[tokio::test]
async fn a_url_is_declared_once_in_an_account() {
    let broker = broker().await;
    let (developer, other) = (broker.developer(1), broker.developer(2));
    developer.provider(URL).await.ok();
    developer.provider(URL).await.denied(
        409,
        "EntityAlreadyExists",
        &format!("Provider with url {URL} already exists."),
    );
    // A slash at the end makes another issuer, and so does another account's.
    developer.provider(&format!("{URL}/")).await.ok();
    other.provider(URL).await.ok();
}

#[tokio::test]
async fn clients_are_added_and_removed_any_number_of_times_and_keep_their_order() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.provider(URL).await.ok();
    let change = async |action: &str, client: &str| {
        let parameters = [("OpenIDConnectProviderArn", ARN), ("ClientID", client)];
        developer.iam(action, &parameters).await.ok();
        developer.clients(ARN).await
    };
    let (add, remove) = ("AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider");
    assert_eq!(change(add, "0 & 1").await, ["b", "a", "0 &amp; 1"]);
    assert_eq!(change(add, "b").await, ["b", "a", "0 &amp; 1"]);
    assert_eq!(change(remove, "a").await, ["b", "0 &amp; 1"]);
    let before = harness::epoch(&mut *broker.db.conn().await).await;
    assert_eq!(change(remove, "a").await, ["b", "0 &amp; 1"]);
    assert_eq!(harness::epoch(&mut *broker.db.conn().await).await, before, "what changes nothing tells nobody");
    assert_eq!(change(add, "a").await, ["b", "0 &amp; 1", "a"]);
    assert_eq!(harness::epoch(&mut *broker.db.conn().await).await, before + 1);

    // A client that is given twice is there once.
    let twice = [("Url", "https://c.example.com"), ("ClientIDList.member.1", "x"), ("ClientIDList.member.2", "x")];
    let made = developer.iam("CreateOpenIDConnectProvider", &twice).await.ok();
    assert_eq!(developer.clients(made.element("OpenIDConnectProviderArn")).await, ["x"]);
}

#[tokio::test]
async fn thumbprints_are_replaced_as_a_whole() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.provider(URL).await.ok();
    let arn = ("OpenIDConnectProviderArn", ARN);
    let action = "UpdateOpenIDConnectProviderThumbprint";
    let (one, two) = ("F".repeat(40), "0".repeat(40));
    let list = [arn, ("ThumbprintList.member.2", one.as_str()), ("ThumbprintList.member.1", two.as_str())];
    developer.iam(action, &list).await.ok();
    assert_eq!(developer.shown(ARN).await.members("ThumbprintList"), [two, one]);
    developer.iam(action, &[arn, ("ThumbprintList", "")]).await.ok();
    assert_eq!(developer.shown(ARN).await.members("ThumbprintList"), [""; 0]);
    let missing = "1 validation error detected: Value null at 'thumbprintList' failed to satisfy constraint: Member must \
                   not be null";
    developer.iam(action, &[arn]).await.denied(400, "ValidationError", missing);
}

#[tokio::test]
async fn tags_are_set_and_removed_by_key_whatever_its_case() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.provider(URL).await.ok();
    let arn = ("OpenIDConnectProviderArn", ARN);
    let tags = async |developer: &Developer| {
        let listed = developer.iam("ListOpenIDConnectProviderTags", &[arn]).await.ok();
        assert_eq!(listed.element("IsTruncated"), "false");
        assert_eq!(developer.shown(ARN).await.members("Tags"), listed.members("Tags"));
        listed.members("Tags").join(" ").replace("<Key>", "").replace("</Key><Value>", "=").replace("</Value>", "")
    };
    let set = [
        arn,
        ("Tags.member.1.Key", "TEAM"),
        ("Tags.member.1.Value", "red"),
        ("Tags.member.2.Key", "empty"),
        ("Tags.member.2.Value", ""),
    ];
    developer.iam("TagOpenIDConnectProvider", &set).await.ok();
    assert_eq!(tags(&developer).await, "TEAM=red empty=");
    let untag = [arn, ("TagKeys.member.1", "team"), ("TagKeys.member.2", "none")];
    developer.iam("UntagOpenIDConnectProvider", &untag).await.ok();
    assert_eq!(tags(&developer).await, "empty=");

    let twice = [set[0], set[1], set[2], ("Tags.member.2.Key", "team"), ("Tags.member.2.Value", "x")];
    let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
    developer.iam("TagOpenIDConnectProvider", &twice).await.denied(400, "InvalidInput", text);
    let reserved = [arn, ("Tags.member.1.Key", "aws:x"), ("Tags.member.1.Value", "x")];
    let text = "Tag key 'aws:x' begins with the reserved prefix 'aws:'.";
    developer.iam("TagOpenIDConnectProvider", &reserved).await.denied(400, "InvalidInput", text);

    let many: Vec<(String, String)> = (1..=50)
        .flat_map(|n| {
            [(format!("Tags.member.{n}.Key"), format!("k{n:02}")), (format!("Tags.member.{n}.Value"), n.to_string())]
        })
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = "Cannot exceed quota for TagsPerOpenIdConnectProvider: 50";
    developer.iam("TagOpenIDConnectProvider", &[&[arn], &many[..]].concat()).await.denied(409, "LimitExceeded", text);
    assert_eq!(tags(&developer).await, "empty=");
    developer.iam("TagOpenIDConnectProvider", &[&[arn], &many[..98]].concat()).await.ok();

    // In pages, which are the caller's own.
    let mut keys = Vec::new();
    let mut marker = String::new();
    loop {
        let mut page = vec![arn, ("MaxItems", "20")];
        page.extend((!marker.is_empty()).then_some(("Marker", marker.as_str())));
        let answer = developer.iam("ListOpenIDConnectProviderTags", &page).await.ok();
        keys.extend(answer.members("Tags"));
        if answer.element("IsTruncated") == "false" {
            break;
        }
        marker = answer.element("Marker").to_owned();
    }
    assert_eq!(keys, developer.shown(ARN).await.members("Tags"));
    assert_eq!(keys.len(), 50);
    let foreign = [arn, ("Marker", marker.as_str())];
    broker.developer(2).iam("ListOpenIDConnectProviderTags", &foreign).await.denied(
        400,
        "InvalidInput",
        "Invalid Marker.",
    );
}

#[tokio::test]
async fn what_the_model_and_the_quotas_do_not_admit_is_refused() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let create = "CreateOpenIDConnectProvider";
    let violation = |count: &str, rest: &str| format!("{count} detected: {rest}");
    let one = "1 validation error";
    let null = violation(one, "Value null at 'url' failed to satisfy constraint: Member must not be null");
    developer.iam(create, &[]).await.denied(400, "ValidationError", &null);
    let long = format!("https://{}.example", "a".repeat(250));
    let text = format!(
        "Value '{long}' at 'url' failed to satisfy constraint: Member must have length less than or equal to 255"
    );
    developer.iam(create, &[("Url", &long)]).await.denied(400, "ValidationError", &violation(one, &text));
    let url = ("Url", URL);
    let client = "c".repeat(256);
    let answer = developer.iam(create, &[url, ("ClientIDList.member.1", &client)]).await;
    assert!(answer.element("Message").contains("clientIDList") && answer.element("Code") == "ValidationError");
    let answer = developer.iam(create, &[url, ("ClientIDList.member.1", "")]).await;
    assert!(answer.element("Message").contains("clientIDList") && answer.element("Code") == "ValidationError");
    let answer = developer.iam(create, &[url, ("ThumbprintList.member.1", "abc")]).await;
    assert!(answer.element("Message").contains("thumbprintList") && answer.element("Code") == "ValidationError");
    let answer = developer.iam(create, &[url, ("ThumbprintList.member.1", &"z".repeat(40))]).await;
    answer.denied(400, "InvalidInput", "A thumbprint is the SHA-1 hash of a certificate: 40 hexadecimal digits.");
    let answer = developer.iam(create, &[url, ("ClientIDList.member.1", "a\u{7f}")]).await;
    answer.denied(400, "InvalidInput", "A client id must not hold control characters.");

    let numbered = |list: &str, value: &str, count: usize| -> Vec<(String, String)> {
        (1..=count).map(|n| (format!("{list}.member.{n}"), value.replace('#', &n.to_string()))).collect()
    };
    let refs = |list: &[(String, String)]| list.iter().map(|(n, v)| (n.clone(), v.clone())).collect::<Vec<_>>();
    let with = async |list: Vec<(String, String)>| {
        let list = refs(&list);
        let mut parameters = vec![url];
        parameters.extend(list.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        developer.iam(create, &parameters).await
    };
    let text = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100";
    with(numbered("ClientIDList", "client#", 101)).await.denied(409, "LimitExceeded", text);
    let text = "The thumbprint list can have at most 5 entries.";
    with(numbered("ThumbprintList", THUMBPRINT, 6)).await.denied(400, "InvalidInput", text);
    with(numbered("ClientIDList", "client#", 100)).await.ok();
    let text = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100";
    let one_more = [("OpenIDConnectProviderArn", ARN), ("ClientID", "one more")];
    developer.iam("AddClientIDToOpenIDConnectProvider", &one_more).await.denied(409, "LimitExceeded", text);
    assert_eq!(developer.clients(ARN).await.len(), 100);

    let bad_url = developer.iam(create, &[("Url", "http://idp.example.com")]).await;
    let text = "Invalid Open ID Connect Provider URL. The URL must begin with https://, or be named as a whole in \
                upstream.allow_http_issuers.";
    bad_url.denied(400, "InvalidInput", text);
}

#[tokio::test]
async fn laboratories_declare_plain_http_and_ports() {
    let broker = broker_with(|config| {
        config.upstream.allow_http_issuers = vec!["http://127.0.0.1:9000/realm".into()];
        config.upstream.allow_ports = vec![8443];
    })
    .await;
    let developer = broker.developer(1);
    for (url, kept) in
        [("http://127.0.0.1:9000/realm", "127.0.0.1:9000/realm"), ("https://idp.test:8443", "idp.test:8443")]
    {
        let made = developer.iam("CreateOpenIDConnectProvider", &[("Url", url)]).await.ok();
        let arn = made.element("OpenIDConnectProviderArn");
        assert_eq!(arn, format!("arn:aws:iam::000000000001:oidc-provider/{kept}"));
        assert_eq!(developer.shown(arn).await.element("Url"), kept);
    }
}

#[tokio::test]
async fn an_account_can_have_so_many_providers() {
    let broker = broker_with(|config| config.limits.openid_connect_providers_per_account = 3).await;
    let developer = broker.developer(1);
    let work: Vec<_> = (0..8)
        .map(|n| {
            let developer = developer.clone();
            async move { developer.provider(&format!("https://idp{n}.example.com")).await }
        })
        .collect();
    let answers = together(work).await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(made, 3, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        answer.denied(409, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 3");
    }
    broker.developer(2).provider(URL).await.ok();
}

/// Every operation that names a provider, with what else it needs.
const OF_A_PROVIDER: &[(&str, &[(&str, &str)])] = &[
    ("GetOpenIDConnectProvider", &[]),
    ("DeleteOpenIDConnectProvider", &[]),
    ("AddClientIDToOpenIDConnectProvider", &[("ClientID", "theirs")]),
    ("RemoveClientIDFromOpenIDConnectProvider", &[("ClientID", "a")]),
    ("UpdateOpenIDConnectProviderThumbprint", &[("ThumbprintList", "")]),
    ("TagOpenIDConnectProvider", &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "theirs")]),
    ("UntagOpenIDConnectProvider", &[("TagKeys.member.1", "team")]),
    ("ListOpenIDConnectProviderTags", &[]),
];

#[tokio::test]
async fn another_accounts_provider_is_as_one_that_does_not_exist() {
    let broker = broker().await;
    let (owner, other) = (broker.developer(1), broker.developer(2));
    owner.provider(URL).await.ok();
    let mut conn = broker.db.conn().await;
    let before = harness::dump(&mut conn, &["oidc_providers", "installation"]).await;
    let nowhere = "arn:aws:iam::000000000001:oidc-provider/no.example.com/realms/";
    let missing = "arn:aws:iam::000000000002:oidc-provider/idp.example.com/realms/a";
    // The other account's; one of nobody; the own of the same URL, which does not exist; another partition's.
    for arn in [ARN, nowhere, missing, "arn:aws-cn:iam::000000000002:oidc-provider/idp.example.com/realms/a"] {
        for (action, more) in OF_A_PROVIDER {
            let parameters = [&[("OpenIDConnectProviderArn", arn)], *more].concat();
            let answer = other.iam(action, &parameters).await;
            if *action == "DeleteOpenIDConnectProvider" {
                answer.ok();
            } else {
                answer.denied(404, "NoSuchEntity", &format!("OpenIDConnect Provider not found for arn {arn}"));
            }
        }
    }
    let listed = other.iam("ListOpenIDConnectProviders", &[]).await.ok();
    assert_eq!(listed.members("OpenIDConnectProviderList"), [""; 0]);
    assert_eq!(harness::dump(&mut conn, &["oidc_providers", "installation"]).await, before);

    let text = "Invalid ARN: the ARN of an OpenID Connect provider is arn:aws:iam::ACCOUNT:oidc-provider/ and its URL \
                without https://.";
    for arn in ["arn:aws:iam::000000000001:saml-provider/x", "arn:aws:iam:us-east-1:000000000001:oidc-provider/x", URL]
    {
        for (action, more) in OF_A_PROVIDER {
            let parameters = [&[("OpenIDConnectProviderArn", arn)], *more].concat();
            owner.iam(action, &parameters).await.denied(400, "InvalidInput", text);
        }
    }
    assert_eq!(harness::dump(&mut conn, &["oidc_providers", "installation"]).await, before);
}

#[tokio::test]
async fn changes_at_the_same_time_lose_nothing() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let replica = broker.replica().await;
    replica.poll().await;
    developer.provider(URL).await.ok();
    let writers = [developer.clone(), replica.developer(1)];
    let work: Vec<_> = (0..24)
        .map(|n| {
            let developer = writers[n % 2].clone();
            async move {
                let client = format!("client{n:02}");
                let (action, more) = match n % 3 {
                    0 => ("AddClientIDToOpenIDConnectProvider", vec![("ClientID", client.as_str())]),
                    1 => (
                        "TagOpenIDConnectProvider",
                        vec![("Tags.member.1.Key", client.as_str()), ("Tags.member.1.Value", "x")],
                    ),
                    _ => ("RemoveClientIDFromOpenIDConnectProvider", vec![("ClientID", "a")]),
                };
                let parameters = [vec![("OpenIDConnectProviderArn", ARN)], more].concat();
                developer.iam(action, &parameters).await.ok();
            }
        })
        .collect();
    together(work).await;
    let mut clients = developer.clients(ARN).await;
    clients.sort();
    let added: Vec<String> = (0..24).step_by(3).map(|n| format!("client{n:02}")).collect();
    assert_eq!(clients, [vec!["b".to_owned()], added].concat());
    assert_eq!(developer.shown(ARN).await.members("Tags").len(), 9);
}

#[tokio::test]
async fn of_those_who_declare_one_url_at_once_one_succeeds() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let work: Vec<_> = (0..8)
        .map(|n| {
            let developer = developer.clone();
            let client = format!("client{n}");
            async move {
                let parameters = [("Url", URL), ("ClientIDList.member.1", client.as_str())];
                let answer = developer.iam("CreateOpenIDConnectProvider", &parameters).await;
                (client.clone(), answer)
            }
        })
        .collect();
    let answers = together(work).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, answer)| answer.status == StatusCode::OK);
    assert_eq!(made.len(), 1);
    for (_, answer) in refused {
        answer.denied(409, "EntityAlreadyExists", &format!("Provider with url {URL} already exists."));
    }
    assert_eq!(developer.clients(ARN).await, [made[0].0.clone()]);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_finds_its_own_row() {
    let broker = broker().await;
    let mut conn = broker.db.conn().await;
    let provider = symbolon::iam::OidcProvider {
        url: "idp.example.com".into(),
        client_ids: vec!["a".into()],
        thumbprints: Vec::new(),
        tags: std::collections::BTreeMap::new(),
        created_at: time::macros::datetime!(2026-01-02 03:04:05.678_901 UTC),
    };
    let account = harness::account(1);
    provider.create(&mut conn, &account, 1).await.unwrap();
    provider.create(&mut conn, &account, 1).await.unwrap();
    let later = symbolon::iam::OidcProvider {
        created_at: provider.created_at + std::time::Duration::from_micros(1),
        ..provider.clone()
    };
    assert!(later.create(&mut conn, &account, 1).await.is_err());
}

#[tokio::test]
async fn a_signature_is_needed_and_it_is_one_for_iam() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let body = form(&[("Action", "ListOpenIDConnectProviders"), ("Version", "2010-05-08")]);
    let unsigned = developer.send(request(&body)).await;
    unsigned.denied_at_the_door(403, "MissingAuthenticationToken", "Missing Authentication Token");
    let text = "Credential should be scoped to correct service: 'iam' or 'sts'.";
    let other_service = developer.send(developer.sign_request(request(&body), &body)).await;
    other_service.denied_at_the_door(403, "SignatureDoesNotMatch", text);
    // One that is good for IAM is not for the other protocol.
    let json = "{\"MaxResults\":1}";
    let mut cognito = crate::client::unsigned("ListIdentityPools", json);
    cognito = developer.sign_for("iam", cognito, json);
    let answer = developer.send(cognito).await;
    answer.refused("InvalidSignatureException", "Credential should be scoped to correct service: 'cognito-identity'.");

    let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                Access Key and signing method. Consult the service documentation for details.";
    let wrong = developer.with_key(key_id(1).as_str(), "wrong");
    wrong.form(&body).await.denied_at_the_door(403, "SignatureDoesNotMatch", text);
    // The body is signed.
    let mut changed = developer.sign_for("iam", request(&body), &body);
    *changed.body_mut() = Body::from(body.replace("List", "Lost"));
    developer.send(changed).await.denied_at_the_door(403, "SignatureDoesNotMatch", text);
    let text = "The security token included in the request is invalid.";
    let unknown = developer.with_key("AKIANOBODY", "wrong");
    unknown.form(&body).await.denied_at_the_door(403, "InvalidClientTokenId", text);
    let mut garbled = developer.sign_for("iam", request(&body), &body);
    garbled.headers_mut().insert("authorization", HeaderValue::from_static("Basic abc"));
    let answer = developer.send(garbled).await;
    assert_eq!((answer.status.as_u16(), answer.element("Code")), (400, "IncompleteSignature"));
}

#[tokio::test]
async fn both_protocols_work_with_one_key_in_turns() {
    let broker = broker().await;
    let developer = broker.developer(1);
    for _ in 0..3 {
        developer.call("ListIdentityPools", serde_json::json!({ "MaxResults": 1 })).await.ok();
        developer.iam("ListOpenIDConnectProviders", &[]).await.ok();
    }
}

#[tokio::test]
async fn iam_is_one_for_the_regions_served_and_that_of_its_partition() {
    let broker = broker_with(|config| config.regions = vec![ABROAD.into(), "cn-northwest-1".into()]).await;
    let developer = broker.developer(1);
    let made = developer.in_region(ABROAD).provider(URL).await.ok();
    assert_eq!(made.element("OpenIDConnectProviderArn"), ARN);
    assert_eq!(developer.in_region("us-east-1").clients(ARN).await, ["b", "a"]);
    // Another partition's ARNs are its own.
    for region in ["cn-northwest-1", "cn-north-1"] {
        let listed = developer.in_region(region).iam("ListOpenIDConnectProviders", &[]).await.ok();
        let arn = ARN.replace("arn:aws:", "arn:aws-cn:");
        assert_eq!(listed.members("OpenIDConnectProviderList"), [format!("<Arn>{arn}</Arn>")]);
    }
    for region in ["us-west-2", "us-gov-west-1"] {
        assert!(Region::parse(region).is_some());
        let answer = developer.in_region(region).iam("ListOpenIDConnectProviders", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.element("Code")), (403, "SignatureDoesNotMatch"));
        assert!(answer.element("Message").contains("This endpoint serves: eu-west-1, cn-northwest-1"), "{answer:?}");
    }
    // Identity pools are served where they are, and nowhere else.
    let answer = developer.call("ListIdentityPools", serde_json::json!({ "MaxResults": 1 })).await;
    assert_eq!(answer.exception(), "InvalidSignatureException");
}

#[tokio::test]
async fn what_is_no_request_of_iam_is_told_so() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let (version, action) = ("Version=2010-05-08", "Action=ListOpenIDConnectProviders");
    for (body, code, message) in [
        ("", "MissingAction", "The request has no parameter Action."),
        (version, "MissingAction", "The request has no parameter Action."),
        (
            action,
            "InvalidAction",
            "Could not find operation ListOpenIDConnectProviders for version NO_VERSION_SPECIFIED",
        ),
        (
            &format!("{action}&Version=2011-06-15"),
            "InvalidAction",
            "Could not find operation ListOpenIDConnectProviders for version 2011-06-15",
        ),
        (
            &format!("Action=ListUsers&{version}"),
            "InvalidAction",
            "Could not find operation ListUsers for version 2010-05-08",
        ),
        (&format!("{action}&{version}&{action}"), "MalformedQueryString", "The parameter Action is there twice."),
        (&format!("{action}&{version}&x=%ff"), "MalformedQueryString", "The request is not UTF-8."),
        (
            &format!("{action}&{version}&x=%"),
            "MalformedQueryString",
            "The request holds a % that is not followed by two hexadecimal digits.",
        ),
    ] {
        developer.form(body).await.denied_at_the_door(400, code, message);
    }
    let list = format!("Action=CreateOpenIDConnectProvider&{version}&Url=https://a.b&ClientIDList.member.2=x");
    let text =
        "The members of the list ClientIDList.member must be numbered ClientIDList.member.1, ClientIDList.member.2, …";
    developer.form(&list).await.denied(400, "MalformedQueryString", text);
    // Whether or not somebody signed: what a form asks is not read before.
    let answer = developer.send(request("Action=%ff")).await;
    answer.denied_at_the_door(403, "MissingAuthenticationToken", "Missing Authentication Token");
}

#[tokio::test]
async fn the_limits_of_the_door_hold_for_forms() {
    let small = broker_with(|config| config.server.max_body_bytes = 100).await;
    let answer = small.developer(1).form(&"x".repeat(101)).await;
    answer.denied_at_the_door(413, "RequestEntityTooLarge", "Request body is larger than 100 bytes.");
    assert_eq!(answer.header("connection"), "close");

    let slow = broker_with(|config| config.limits.signed_requests_per_second_per_account = 1).await;
    let developer = slow.developer(1);
    let mut answer = developer.iam("ListOpenIDConnectProviders", &[]).await.ok();
    while answer.status == StatusCode::OK {
        answer = developer.iam("ListOpenIDConnectProviders", &[]).await;
    }
    answer.denied_at_the_door(400, "Throttling", "Rate exceeded");

    let body = form(&[("Action", "ListOpenIDConnectProviders"), ("Version", "2010-05-08")]);
    let broker = broker().await;
    let mut encoded = broker.developer(1).sign_for("iam", request(&body), &body);
    encoded.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    let text = "Content-Encoding is not supported; send the body as it is.";
    broker.developer(1).send(encoded).await.denied_at_the_door(400, "MalformedHttpRequest", text);
}

#[tokio::test]
async fn a_sealed_broker_answers_that_the_service_failed_and_no_more() {
    let broker = broker().await;
    let statement = "insert into seal_keys (key_id, canary) values ('00000000', '\\x00')";
    sqlx::query(statement).execute(&mut *broker.db.conn().await).await.unwrap();
    broker.app.observe_seal().await.unwrap();
    let answer = broker.developer(1).provider(URL).await;
    assert_eq!((answer.status.as_u16(), answer.element("Code")), (500, "ServiceFailure"));
    assert_eq!((answer.element("Type"), answer.header("retry-after")), ("Receiver", "1"));
    assert!(!answer.text.contains("00000000<") && !answer.text.contains("seal"), "{answer:?}");
    assert_eq!(harness::count(&mut *broker.db.conn().await, "select count(*) from oidc_providers").await, 0);
}

#[tokio::test]
async fn in_dev_mode_pages_of_foreign_origins_may_not_declare_providers() {
    let started: Broker = broker().await;
    let broker = started.in_dev_mode(true, &[]).await;
    let developer = broker.developer(1);
    let body = form(&[("Action", "ListOpenIDConnectProviders"), ("Version", "2010-05-08")]);
    let mut page = developer.sign_for("iam", request(&body), &body);
    page.headers_mut().insert("origin", HeaderValue::from_static("https://app.example.com"));
    let answer = developer.send(page).await;
    assert_eq!((answer.status.as_u16(), answer.element("Code")), (403, "AccessDenied"));
    assert!(answer.element("Message").contains("https://app.example.com"), "{answer:?}");
    developer.form(&body).await.ok();
}
