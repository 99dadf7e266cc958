//! IAM's roles: every operation, its refusals, whose a role is, and changes at the same time.

use axum::http::StatusCode;
use serde_json::{Value, json};
use symbolon::iam::Role;

use crate::client::{Answer, Developer, broker, broker_with};
use crate::harness::{self, together};
use crate::query::{IAM, trust, trust_of, trust_with_tags};

const POOL: &str = "us-east-1:11111111-1111-4111-8111-111111111111";

/// What `CreateRole` needs.
fn new<'a>(name: &'a str, document: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("RoleName", name), ("AssumeRolePolicyDocument", document)]
}

impl Developer {
    async fn show(&self, name: &str) -> Answer {
        self.iam("GetRole", &[("RoleName", name)]).await
    }

    /// The names of all roles, page by page.
    async fn names(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let mut names = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let mut page = parameters.to_vec();
            page.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let answer = self.iam("ListRoles", &page).await.ok();
            names.extend(answer.elements("RoleName").into_iter().map(ToOwned::to_owned));
            if answer.element("IsTruncated") == "false" {
                assert!(!answer.text.contains("<Marker>"), "{answer:?}");
                return names;
            }
            marker = Some(answer.element("Marker").to_owned());
        }
    }

    /// The tags, as one text.
    async fn role_tags(&self, name: &str) -> String {
        let listed = self.iam("ListRoleTags", &[("RoleName", name)]).await.ok();
        listed.members("Tags").join(" ").replace("<Key>", "").replace("</Key><Value>", "=").replace("</Value>", "")
    }
}

impl Answer {
    /// The trust policy in it, as it was before it was encoded.
    fn document(&self) -> String {
        let encoded = self.element("AssumeRolePolicyDocument");
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"+\"{}<>&".contains(&byte)), "{encoded}");
        form_urlencoded::parse(encoded.as_bytes()).next().unwrap().0.into_owned()
    }
}

#[tokio::test]
async fn a_role_is_made_shown_listed_and_deleted() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let document = trust(POOL).to_string();
    let mut parameters = new("App", &document);
    parameters.extend([
        ("Path", "/web/"),
        ("Description", "What <users> of the web & others get"),
        ("MaxSessionDuration", "7200"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "blue"),
    ]);
    let made = developer.iam("CreateRole", &parameters).await.ok();
    let (id, created) = (made.element("RoleId").to_owned(), made.element("CreateDate").to_owned());
    assert!(id.starts_with("AROA") && id.len() == 20, "{id}");
    assert!(created.len() == 20 && created.ends_with('Z') && !created.contains('.'), "{created}");
    assert_eq!(made.document(), document);

    let shown = developer.show("App").await.ok();
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GetRoleResponse xmlns=\"{IAM}\"><GetRoleResult><Role>\
         <Arn>arn:aws:iam::000000000001:role/web/App</Arn><AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument>\
         <CreateDate>{created}</CreateDate><Description>What &lt;users&gt; of the web &amp; others get</Description>\
         <MaxSessionDuration>7200</MaxSessionDuration><Path>/web/</Path><RoleId>{id}</RoleId><RoleName>App</RoleName>\
         <Tags><member><Key>team</Key><Value>blue</Value></member></Tags></Role></GetRoleResult><ResponseMetadata>\
         <RequestId>{}</RequestId></ResponseMetadata></GetRoleResponse>",
        shown.element("AssumeRolePolicyDocument"),
        shown.header("x-amzn-requestid")
    );
    assert_eq!(shown.text, expected);
    let part = |answer: &Answer| answer.element("Role").to_owned();
    assert_eq!(part(&made), part(&shown));

    // With what is left out as IAM has it.
    let bare = developer.role("bare", &trust(POOL)).await.ok();
    assert_eq!((bare.element("Path"), bare.element("MaxSessionDuration")), ("/", "3600"));
    assert_eq!(bare.element("Arn"), "arn:aws:iam::000000000001:role/bare");
    assert!(!bare.text.contains("<Description>") && !bare.text.contains("<Tags>"), "{bare:?}");

    let listed = developer.iam("ListRoles", &[]).await.ok();
    assert_eq!(listed.elements("RoleName"), ["App", "bare"]);
    assert!(!listed.text.contains("<Tags>"), "{listed:?}");
    assert_eq!(listed.document(), document);

    let deleted = developer.iam("DeleteRole", &[("RoleName", "App")]).await.ok();
    assert_eq!(
        deleted.text,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DeleteRoleResponse xmlns=\"{IAM}\"><ResponseMetadata>\
             <RequestId>{}</RequestId></ResponseMetadata></DeleteRoleResponse>",
            deleted.header("x-amzn-requestid")
        )
    );
    assert_eq!(developer.names(&[]).await, ["bare"]);
    let text = "The role with name App cannot be found.";
    developer.show("App").await.denied(404, "NoSuchEntity", text);
    developer.iam("DeleteRole", &[("RoleName", "App")]).await.denied(404, "NoSuchEntity", text);
    // One that is made again is another.
    let again = developer.iam("CreateRole", &parameters).await.ok();
    assert_ne!(again.element("RoleId"), id);
}

#[tokio::test]
async fn a_name_is_taken_once_in_an_account_whatever_its_case() {
    let broker = broker().await;
    let (developer, other) = (broker.developer(1), broker.developer(2));
    developer.role("App", &trust(POOL)).await.ok();
    for name in ["App", "app", "APP"] {
        let text = format!("Role with name {name} already exists.");
        developer.role(name, &trust(POOL)).await.denied(409, "EntityAlreadyExists", &text);
        assert_eq!(developer.show(name).await.ok().element("RoleName"), "App");
    }
    // A path makes no other role.
    let document = trust(POOL).to_string();
    let mut elsewhere = new("app", &document);
    elsewhere.push(("Path", "/elsewhere/"));
    developer.iam("CreateRole", &elsewhere).await.denied(
        409,
        "EntityAlreadyExists",
        "Role with name app already exists.",
    );
    other.role("App", &trust(POOL)).await.ok();
    developer.iam("UpdateRoleDescription", &[("RoleName", "aPP"), ("Description", "changed")]).await.ok();
    assert_eq!(developer.show("App").await.ok().element("Description"), "changed");
    developer.iam("DeleteRole", &[("RoleName", "app")]).await.ok();
    assert_eq!(developer.names(&[]).await, [""; 0]);
    other.show("App").await.ok();
}

#[tokio::test]
async fn documents_come_back_as_they_were_given() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pretty = serde_json::to_string_pretty(&trust_with_tags(POOL)).unwrap();
    let odd = trust(POOL).to_string().replace("\"Statement\"", "\r\n\t \"Id\": \"é ÿ + % & < > ' ~ ?\", \"Statement\"");
    // What Terraform's aws_iam_policy_document and jsonencode write.
    let terraform = format!(
        "{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {{\n      \"Sid\": \"\",\n      \
         \"Effect\": \"Allow\",\n      \"Action\": \"sts:AssumeRoleWithWebIdentity\",\n      \"Principal\": {{\n        \
         \"Federated\": \"cognito-identity.amazonaws.com\"\n      }},\n      \"Condition\": {{\n        \
         \"StringEquals\": {{\n          \"cognito-identity.amazonaws.com:aud\": \"{POOL}\"\n        }},\n        \
         \"ForAnyValue:StringLike\": {{\n          \"cognito-identity.amazonaws.com:amr\": \"authenticated\"\n        \
         }}\n      }}\n    }}\n  ]\n}}"
    );
    let service = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole",
                          "Principal": { "Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"],
                                         "AWS": "arn:aws:iam::123456789012:root" } } })
    .to_string();
    for (number, document) in [pretty, odd, terraform, service].iter().enumerate() {
        let name = format!("role{number}");
        let made = developer.iam("CreateRole", &new(&name, document)).await.ok();
        assert_eq!(made.document(), *document);
        assert_eq!(developer.show(&name).await.ok().document(), *document);
        developer.iam("UpdateAssumeRolePolicy", &[("RoleName", "role0"), ("PolicyDocument", document)]).await.ok();
        assert_eq!(developer.show("role0").await.ok().document(), *document);
    }
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused_with_its_place() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.role("app", &trust(POOL)).await.ok();
    let mut conn = broker.db.conn().await;
    let before = harness::dump(&mut conn, &["iam_roles", "installation"]).await;
    let with = |name: &str, value: Value| {
        let mut document = trust(POOL);
        document["Statement"][0][name] = value;
        document.to_string()
    };
    let longest = 4096;
    for (document, place) in [
        ("{".to_owned(), "document: "),
        ("[]".to_owned(), "document: "),
        ("{\"Version\": \"2012-10-17\"}".to_owned(), "Statement: "),
        ("{\"Version\": \"2012-10-17\", \"Statement\": []}".to_owned(), "Statement: "),
        (trust(POOL).to_string().replace("2012-10-17", "2012-10-18"), "Version: "),
        (trust(POOL).to_string().replace("Version", "Versoin"), "Versoin: "),
        (with("Effect", json!("allow")), "Statement[0].Effect: "),
        (with("Resource", json!("*")), "Statement[0].Resource: "),
        (with("Principal", json!({})), "Statement[0].Principal: "),
        (with("Principal", json!({ "Federated": "*" })), "Statement[0].Principal.Federated: "),
        (with("Principal", json!({ "Fedreated": "x" })), "Statement[0].Principal.Fedreated: "),
        (with("Action", json!([])), "Statement[0].Action: "),
        (with("Condition", json!({ "StringEqual": { "a:b": "c" } })), "Statement[0].Condition.StringEqual: "),
        (with("Condition", json!({ "StringEquals": { "aud": "c" } })), "Statement[0].Condition.StringEquals.aud: "),
        (with("Condition", json!({ "StringEquals": { "a:b": "${aws:username}" } })), "Statement[0].Condition."),
        (with("Sid", json!("x".repeat(longest))), "document: "),
    ] {
        for answer in [
            developer.iam("CreateRole", &new("new", &document)).await,
            developer.iam("UpdateAssumeRolePolicy", &[("RoleName", "app"), ("PolicyDocument", &document)]).await,
        ] {
            assert_eq!(answer.code(), (400, "MalformedPolicyDocument"), "{document}");
            assert!(answer.element("Message").starts_with(place), "{document}: {answer:?}");
        }
    }
    assert_eq!(harness::dump(&mut conn, &["iam_roles", "installation"]).await, before);
}

#[tokio::test]
async fn roles_are_listed_by_path_and_in_pages() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let document = trust(POOL).to_string();
    for (name, path) in
        [("b", "/"), ("A", "/x/"), ("c", "/x/y/"), ("D", "/xy/"), ("e_100", "/x/"), (&"z".repeat(64), "/")]
    {
        let mut parameters = new(name, &document);
        parameters.push(("Path", path));
        developer.iam("CreateRole", &parameters).await.ok();
    }
    let last = "z".repeat(64);
    let all = ["A", "b", "c", "D", "e_100", last.as_str()];
    assert_eq!(developer.names(&[]).await, all);
    for size in ["1", "2", "5", "6", "1000"] {
        assert_eq!(developer.names(&[("MaxItems", size)]).await, all, "{size}");
    }
    for (prefix, expected) in [
        ("/", &all[..]),
        ("/x", &["A", "c", "D", "e_100"]),
        ("/x/", &["A", "c", "e_100"]),
        ("/x/y/", &["c"]),
        ("/X/", &[]),
        ("/_/", &[]),
        ("/%", &[]),
    ] {
        assert_eq!(developer.names(&[("PathPrefix", prefix), ("MaxItems", "2")]).await, expected, "{prefix}");
    }
    // A marker is for its caller and its question.
    let first = developer.iam("ListRoles", &[("MaxItems", "1")]).await.ok();
    let marker = ("Marker", first.element("Marker"));
    let other = broker.developer(2);
    for answer in [
        other.iam("ListRoles", &[marker]).await,
        developer.iam("ListRoles", &[marker, ("PathPrefix", "/x/")]).await,
        developer.iam("ListRoleTags", &[marker, ("RoleName", "b")]).await,
        developer.iam("ListRolePolicies", &[marker, ("RoleName", "b")]).await,
        developer.iam("ListAttachedRolePolicies", &[marker, ("RoleName", "b")]).await,
        developer.iam("ListInstanceProfilesForRole", &[marker, ("RoleName", "b")]).await,
        developer.iam("ListRoles", &[("Marker", "garbage")]).await,
    ] {
        answer.denied(400, "InvalidInput", "Invalid Marker.");
    }
}

#[tokio::test]
async fn what_is_left_out_of_an_update_stays_but_for_the_duration() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let document = trust(POOL).to_string();
    let mut parameters = new("app", &document);
    parameters.extend([("Description", "first"), ("MaxSessionDuration", "7200")]);
    developer.iam("CreateRole", &parameters).await.ok();
    let shown = async || {
        let shown = developer.show("app").await.ok();
        (shown.element("Description").to_owned(), shown.element("MaxSessionDuration").to_owned(), shown.document())
    };
    let app = ("RoleName", "app");
    developer.iam("UpdateRole", &[app, ("MaxSessionDuration", "43200")]).await.ok();
    assert_eq!(shown().await, ("first".into(), "43200".into(), document.clone()));
    developer.iam("UpdateRole", &[app, ("Description", "second")]).await.ok();
    assert_eq!(shown().await, ("second".into(), "3600".into(), document.clone()));
    let told = developer.iam("UpdateRoleDescription", &[app, ("Description", "")]).await.ok();
    assert_eq!((told.element("Description"), told.element("RoleName")), ("", "app"));
    assert_eq!(shown().await, (String::new(), "3600".into(), document.clone()));
    let other = trust_of(POOL, "authenticated").to_string();
    developer.iam("UpdateAssumeRolePolicy", &[app, ("PolicyDocument", &other)]).await.ok();
    assert_eq!(shown().await, (String::new(), "3600".into(), other));
    // What changes nothing tells nobody.
    let before = harness::epoch(&mut *broker.db.conn().await).await;
    developer.iam("UpdateRole", &[app]).await.ok();
    assert_eq!(harness::epoch(&mut *broker.db.conn().await).await, before);
    developer.iam("UpdateRole", &[app, ("Description", "third")]).await.ok();
    assert_eq!(harness::epoch(&mut *broker.db.conn().await).await, before + 1);
}

#[tokio::test]
async fn tags_are_set_and_removed_by_key_whatever_its_case() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.role("app", &trust(POOL)).await.ok();
    let app = ("RoleName", "app");
    let set = [
        app,
        ("Tags.member.1.Key", "Team"),
        ("Tags.member.1.Value", "blue"),
        ("Tags.member.2.Key", "empty"),
        ("Tags.member.2.Value", ""),
    ];
    developer.iam("TagRole", &set).await.ok();
    let again = [app, ("Tags.member.1.Key", "TEAM"), ("Tags.member.1.Value", "red")];
    developer.iam("TagRole", &again).await.ok();
    assert_eq!(developer.role_tags("app").await, "TEAM=red empty=");
    developer.iam("UntagRole", &[app, ("TagKeys.member.1", "team"), ("TagKeys.member.2", "none")]).await.ok();
    assert_eq!(developer.role_tags("app").await, "empty=");

    let twice = [set[0], set[1], set[2], ("Tags.member.2.Key", "TEAM"), ("Tags.member.2.Value", "x")];
    let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
    developer.iam("TagRole", &twice).await.denied(400, "InvalidInput", text);
    let reserved = [app, ("Tags.member.1.Key", "aws:x"), ("Tags.member.1.Value", "x")];
    developer.iam("TagRole", &reserved).await.denied(
        400,
        "InvalidInput",
        "Tag key 'aws:x' begins with the reserved prefix 'aws:'.",
    );
    let many: Vec<(String, String)> = (1..=50)
        .flat_map(|n| {
            [(format!("Tags.member.{n}.Key"), format!("k{n:02}")), (format!("Tags.member.{n}.Value"), n.to_string())]
        })
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = "Cannot exceed quota for TagsPerRole: 50";
    developer.iam("TagRole", &[&[app], &many[..]].concat()).await.denied(409, "LimitExceeded", text);
    assert_eq!(developer.role_tags("app").await, "empty=");
    developer.iam("TagRole", &[&[app], &many[..98]].concat()).await.ok();
    let mut keys = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let mut page = vec![app, ("MaxItems", "20")];
        page.extend(marker.as_deref().map(|marker| ("Marker", marker)));
        let answer = developer.iam("ListRoleTags", &page).await.ok();
        keys.extend(answer.members("Tags"));
        if answer.element("IsTruncated") == "false" {
            break;
        }
        marker = Some(answer.element("Marker").to_owned());
    }
    assert_eq!(keys, developer.show("app").await.members("Tags"));
    assert_eq!(keys.len(), 50);
}

#[tokio::test]
async fn roles_have_no_permissions_and_no_instance_profiles() {
    let broker = broker().await;
    let developer = broker.developer(1);
    developer.role("app", &trust(POOL)).await.ok();
    for (action, list) in [
        ("ListRolePolicies", "PolicyNames"),
        ("ListAttachedRolePolicies", "AttachedPolicies"),
        ("ListInstanceProfilesForRole", "InstanceProfiles"),
    ] {
        let answer = developer.iam(action, &[("RoleName", "app")]).await.ok();
        assert_eq!((answer.members(list), answer.element("IsTruncated")), (Vec::new(), "false"), "{action}");
    }
    for action in ["PutRolePolicy", "AttachRolePolicy", "PutRolePermissionsBoundary", "AddRoleToInstanceProfile"] {
        let text = format!("Could not find operation {action} for version 2010-05-08");
        developer.iam(action, &[("RoleName", "app")]).await.denied_at_the_door(400, "InvalidAction", &text);
    }
    let document = trust(POOL).to_string();
    let mut bounded = new("bounded", &document);
    bounded.push(("PermissionsBoundary", "arn:aws:iam::aws:policy/ReadOnlyAccess"));
    let text = "PermissionsBoundary is not supported: roles have no permissions here that it could bound.";
    developer.iam("CreateRole", &bounded).await.denied(400, "InvalidInput", text);
}

#[tokio::test]
async fn what_the_model_does_not_admit_is_refused() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let document = trust(POOL).to_string();
    for (name, value, place) in [
        ("RoleName", "", "roleName"),
        ("RoleName", "a/b", "roleName"),
        ("RoleName", "a b", "roleName"),
        ("RoleName", "é", "roleName"),
        ("RoleName", &"n".repeat(65), "roleName"),
        ("Path", "", "path"),
        ("Path", "x/", "path"),
        ("Path", "/x", "path"),
        ("Path", "/ /", "path"),
        ("Path", &format!("/{}/", "p".repeat(511)), "path"),
        ("Description", &"d".repeat(1001), "description"),
        ("Description", "\u{100}", "description"),
        ("Description", "\u{a0}", "description"),
        ("AssumeRolePolicyDocument", "", "assumeRolePolicyDocument"),
        ("AssumeRolePolicyDocument", "{\"Id\": \"\u{100}\"}", "assumeRolePolicyDocument"),
        ("MaxSessionDuration", "3599", "maxSessionDuration"),
        ("MaxSessionDuration", "43201", "maxSessionDuration"),
        ("Tags.member.1.Value", "no key", "tags.1.member.key"),
    ] {
        let mut parameters = new("app", &document);
        parameters.retain(|(given, _)| *given != name);
        parameters.push((name, value));
        let answer = developer.iam("CreateRole", &parameters).await;
        assert_eq!(answer.code(), (400, "ValidationError"), "{name}={value}");
        assert!(answer.element("Message").contains(&format!("at &apos;{place}&apos;")), "{name}={value}: {answer:?}");
    }
    for path in ["", "x/", "/x", "//", "/a b/", "/a/%/"] {
        let answer = developer.iam("ListAttachedRolePolicies", &[("RoleName", "app"), ("PathPrefix", path)]).await;
        assert_eq!(answer.code(), (400, "ValidationError"), "{path}");
    }
    let text =
        "1 validation error detected: Value null at 'roleName' failed to satisfy constraint: Member must not be null";
    for action in ["GetRole", "DeleteRole", "UpdateRole", "ListRoleTags", "ListRolePolicies"] {
        developer.iam(action, &[]).await.denied(400, "ValidationError", text);
    }
    assert_eq!(developer.names(&[]).await, [""; 0]);
}

#[tokio::test]
async fn an_account_can_have_so_many_roles() {
    let broker = broker_with(|config| config.limits.roles_per_account = 3).await;
    let developer = broker.developer(1);
    let work: Vec<_> = (0..8)
        .map(|n| {
            let developer = developer.clone();
            async move { developer.role(&format!("role{n}"), &trust(POOL)).await }
        })
        .collect();
    let answers = together(work).await;
    let made = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(made, 3, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        answer.denied(409, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 3");
    }
    broker.developer(2).role("role", &trust(POOL)).await.ok();
    let one = developer.names(&[]).await.remove(0);
    developer.iam("DeleteRole", &[("RoleName", &one)]).await.ok();
    developer.role("another", &trust(POOL)).await.ok();
}

#[tokio::test]
async fn of_those_who_make_one_name_at_once_one_succeeds() {
    let broker = broker().await;
    let replica = broker.replica().await;
    replica.poll().await;
    let writers = [broker.developer(1), replica.developer(1)];
    let work: Vec<_> = (0..16)
        .map(|n| {
            let developer = writers[n % 2].clone();
            let name = if n % 3 == 0 { "App" } else { "app" };
            let document = trust(POOL).to_string();
            async move {
                let description = n.to_string();
                let mut parameters = new(name, &document);
                parameters.push(("Description", &description));
                developer.iam("CreateRole", &parameters).await
            }
        })
        .collect();
    let (made, refused): (Vec<_>, Vec<_>) =
        together(work).await.into_iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((made.len(), refused.len()), (1, 15));
    for answer in refused {
        assert_eq!(answer.code(), (409, "EntityAlreadyExists"), "{answer:?}");
    }
    let shown = broker.developer(1).show("app").await.ok();
    assert_eq!(shown.element("Role"), made[0].element("Role"));
}

#[tokio::test]
async fn changes_at_the_same_time_lose_nothing() {
    let broker = broker().await;
    let replica = broker.replica().await;
    replica.poll().await;
    let writers = [broker.developer(1), replica.developer(1)];
    writers[0].role("app", &trust(POOL)).await.ok();
    let other = trust_of(POOL, "authenticated").to_string();
    let work: Vec<_> = (0..24)
        .map(|n| {
            let developer = writers[n % 2].clone();
            let other = other.clone();
            async move {
                let key = format!("key{n:02}");
                let (action, more) = match n % 4 {
                    0 => ("UpdateAssumeRolePolicy", vec![("PolicyDocument", other.as_str())]),
                    1 => ("UpdateRoleDescription", vec![("Description", "described")]),
                    _ => ("TagRole", vec![("Tags.member.1.Key", key.as_str()), ("Tags.member.1.Value", "x")]),
                };
                developer.iam(action, &[vec![("RoleName", "app")], more].concat()).await.ok();
            }
        })
        .collect();
    together(work).await;
    let shown = writers[0].show("app").await.ok();
    assert_eq!((shown.document(), shown.element("Description")), (other, "described"));
    assert_eq!(shown.members("Tags").len(), 12);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_finds_its_own_row() {
    let broker = broker().await;
    let mut conn = broker.db.conn().await;
    let role = Role {
        name: "app".into(),
        path: "/".into(),
        role_id: "AROA1234567890123456".into(),
        description: None,
        max_session_duration: 3_600,
        trust_policy: trust(POOL).to_string(),
        tags: std::collections::BTreeMap::new(),
        created_at: time::macros::datetime!(2026-01-02 03:04:05.678_901 UTC),
    };
    let account = harness::account(1);
    role.create(&mut conn, &account, 1).await.unwrap();
    role.create(&mut conn, &account, 1).await.unwrap();
    let later = Role { role_id: "AROA1234567890123457".into(), ..role.clone() };
    assert!(later.create(&mut conn, &account, 1).await.is_err());
}

/// Every operation that names a role, with what else it needs.
const OF_A_ROLE: &[(&str, &[(&str, &str)])] = &[
    ("GetRole", &[]),
    ("UpdateRole", &[("Description", "theirs")]),
    ("UpdateRoleDescription", &[("Description", "theirs")]),
    ("UpdateAssumeRolePolicy", &[("PolicyDocument", TRUSTS_NOBODY)]),
    ("TagRole", &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "theirs")]),
    ("UntagRole", &[("TagKeys.member.1", "team")]),
    ("ListRoleTags", &[]),
    ("ListRolePolicies", &[]),
    ("ListAttachedRolePolicies", &[]),
    ("ListInstanceProfilesForRole", &[]),
    ("DeleteRole", &[]),
];

const TRUSTS_NOBODY: &str = r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}}"#;

#[tokio::test]
async fn another_accounts_role_is_as_one_that_does_not_exist() {
    let broker = broker().await;
    let (owner, other) = (broker.developer(1), broker.developer(2));
    owner.role("app", &trust(POOL)).await.ok();
    let mut conn = broker.db.conn().await;
    let before = harness::dump(&mut conn, &["iam_roles", "installation"]).await;
    for name in ["app", "APP", "nobodys"] {
        for (action, more) in OF_A_ROLE {
            let answer = other.iam(action, &[&[("RoleName", name)], *more].concat()).await;
            answer.denied(404, "NoSuchEntity", &format!("The role with name {name} cannot be found."));
        }
    }
    assert_eq!(other.names(&[]).await, [""; 0]);
    assert_eq!(harness::dump(&mut conn, &["iam_roles", "installation"]).await, before);
    // The same do find one's own.
    for (action, more) in OF_A_ROLE {
        owner.iam(action, &[&[("RoleName", "app")], *more].concat()).await.ok();
    }
    let named = symbolon::aws_query::shapes::IAM_OPERATIONS.iter().filter(|name| name.contains("Role"));
    let named: Vec<&&str> = named.filter(|name| !["CreateRole", "ListRoles"].contains(name)).collect();
    assert_eq!(named.len(), OF_A_ROLE.len(), "{named:?}");
}

#[tokio::test]
async fn another_partitions_arns_are_its_own() {
    let broker = broker_with(|config| config.regions = vec!["us-east-1".into(), "cn-north-1".into()]).await;
    let developer = broker.developer(1);
    developer.role("app", &trust(POOL)).await.ok();
    let shown = developer.in_region("cn-north-1").show("app").await.ok();
    assert_eq!(shown.element("Arn"), "arn:aws-cn:iam::000000000001:role/app");
}
