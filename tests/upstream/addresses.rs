//! Where the broker lets itself be sent, and where not: an issuer is a URL that a tenant chooses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use symbolon::upstream::Upstream;
use tempfile::TempDir;

use crate::issuer::{DISCOVERY, Fault, Issuer, KEYS};
use crate::stage::{self, CLIENT, NOW, outcome};

const HOST: &str = "idp.example.test";

/// A file with the authorities of these issuers.
fn authorities(folder: &TempDir, issuers: &[&Issuer]) -> PathBuf {
    let path = folder.path().join("authorities.pem");
    std::fs::write(&path, issuers.iter().map(|issuer| issuer.ca_pem()).collect::<String>()).unwrap();
    path
}

/// The lines that make these issuers, all by [`HOST`] or a name below `example.test`, reachable on loopback.
fn reachable(ca_file: &Path, ports: &[u16]) -> String {
    format!(
        "hosts = {{ '{HOST}' = '127.0.0.1', 'keys.example.test' = '127.0.0.1', 'other.example.test' = '127.0.0.1' }}\n\
         ca_file = '{}'\nallow_ports = {ports:?}",
        ca_file.display()
    )
}

fn token(issuer: &Issuer) -> String {
    issuer.token_with(&issuer.claims_at(NOW, "user", CLIENT))
}

/// What becomes of a proper login at the issuer of `login_key`.
async fn login(upstream: &Upstream, issuer: &Issuer, login_key: &str) -> String {
    let mut claims = issuer.claims_at(NOW, "user", CLIENT);
    claims["iss"] = json!(format!("https://{login_key}"));
    claims["exp"] = json!(NOW + 86_400);
    outcome(&stage::verify(upstream, &stage::declared(login_key), &issuer.token_with(&claims)).await)
}

#[tokio::test]
async fn an_issuer_with_tls_is_reached_where_the_operator_says_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start_tls(HOST).await;
    let lines = reachable(&authorities(&folder, &[&issuer]), &[issuer.port()]);
    let (upstream, _) = stage::upstream(&lines);
    let verified = stage::verify(&upstream, &stage::declared(issuer.login_key()), &token(&issuer)).await.unwrap();
    assert_eq!(verified.subject(), "user");
    assert_eq!((issuer.hits_of(DISCOVERY), issuer.hits_of(KEYS)), (1, 1));
}

#[tokio::test]
async fn a_certificate_is_held_against_the_authorities_and_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Issuer::start_tls(HOST).await, Issuer::start_tls("other.example.test").await);
    let ports = [issuer.port(), stranger.port()];
    let of_stranger = reachable(&authorities(&folder, &[&stranger]), &ports);
    assert_eq!(
        login(&stage::upstream(&of_stranger).0, &issuer, issuer.login_key()).await,
        "Upstream",
        "of an unknown authority"
    );
    let of_none = of_stranger.lines().filter(|line| !line.starts_with("ca_file")).collect::<Vec<_>>().join("\n");
    assert_eq!(
        login(&stage::upstream(&of_none).0, &issuer, issuer.login_key()).await,
        "Upstream",
        "of none but the system's"
    );
    let of_both = stage::upstream(&reachable(&authorities(&folder, &[&issuer, &stranger]), &ports)).0;
    assert_eq!(login(&of_both, &issuer, issuer.login_key()).await, "accepted");
    let misnamed = format!("{HOST}:{}", stranger.port());
    let before = stranger.connections();
    assert_eq!(login(&of_both, &stranger, &misnamed).await, "Upstream", "of another name");
    assert_eq!((stranger.connections() - before, stranger.hits()), (1, 0), "met, and not asked");
}

/// Nothing is configured but what each names: the switches of one do not open what another one closes.
#[tokio::test]
async fn places_that_no_tenant_may_name_are_not_even_connected_to() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start_tls(HOST).await;
    let port = issuer.port();
    let opened = reachable(&authorities(&folder, &[&issuer]), &[port]);
    let private = format!("{opened}\nallow_private_issuers = ['127.0.0.0/8', '::1/128', '::/0']");
    let without_ports: String =
        opened.lines().filter(|line| !line.starts_with("allow_ports")).collect::<Vec<_>>().join("\n");
    let ports = format!("allow_ports = [{port}]");
    let mut cases = vec![("a port that is not allowed", without_ports.clone(), format!("{HOST}:{port}"))];
    for key in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "127.0.0.1.",
        "localhost.",
        "0.0.0.0",
        "[::]",
        "%31%32%37.0.0.1",
        "\u{ff11}27.0.0.1",
    ] {
        cases.push(("nothing but the port allowed", ports.clone(), format!("{key}:{port}")));
        // A tenant may name no address at all, even where private ones are allowed behind names.
        if !key.starts_with('l') {
            cases.push(("private addresses allowed", private.clone(), format!("{key}:{port}")));
        }
    }
    for key in [
        format!("user@{HOST}:{port}"),
        format!("user:secret@{HOST}:{port}"),
        format!("{HOST}:{port}?x="),
        format!("{HOST}:{port}#"),
        format!("{HOST}:{port}\\@127.0.0.1"),
        format!("{HOST} :{port}"),
        format!("{HOST}:{port}/ /x"),
        format!("{HOST}:99999"),
        format!("{HOST}:"),
        format!("/{HOST}:{port}"),
        format!("//{HOST}:{port}"),
        String::new(),
    ] {
        cases.push(("all allowed", private.clone(), key));
    }
    let upstreams =
        BTreeMap::from([without_ports, ports, private].map(|lines| (lines.clone(), stage::upstream(&lines).0)));
    let mut wrong = Vec::new();
    for (name, lines, key) in &cases {
        let came = login(&upstreams[lines], &issuer, key).await;
        if came != "Upstream" || issuer.connections() > 0 {
            wrong.push(format!("{name}, {key:?}: {came}, {} connections so far", issuer.connections()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_document_sends_the_broker_nowhere_that_a_tenant_could_not() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start_tls(HOST).await;
    let (inside, plain) = (Issuer::start_tls("127.0.0.1").await, Issuer::start().await);
    let (port, inner) = (issuer.port(), inside.port());
    let lines = reachable(&authorities(&folder, &[&issuer, &inside]), &[port, inner]);
    let (upstream, hands) = stage::upstream(&lines);
    let sent = async |fault_on: &str, fault: Fault| {
        issuer.behave();
        issuer.misbehave(fault_on, fault);
        // Past the time for which a failure is remembered.
        hands.advance(Duration::from_secs(30));
        let before = issuer.hits();
        let came = login(&upstream, &issuer, issuer.login_key()).await;
        assert!(issuer.hits() > before, "it was not asked again");
        came
    };
    for uri in [
        format!("http://127.0.0.1:{}{KEYS}", plain.port()),
        format!("http://{HOST}:{}{KEYS}", plain.port()),
        format!("https://127.0.0.1:{inner}{KEYS}"),
        format!("https://[::1]:{inner}{KEYS}"),
        format!("https://[::ffff:127.0.0.1]:{inner}{KEYS}"),
        format!("https://127.1:{inner}{KEYS}"),
        format!("https://2130706433:{inner}{KEYS}"),
        format!("https://localhost:{inner}{KEYS}"),
        format!("https://{HOST}:{}{KEYS}", plain.port()),
        format!("https://user:secret@{HOST}:{port}{KEYS}"),
        format!("//{HOST}:{port}{KEYS}"),
        format!("{HOST}:{port}{KEYS}"),
        KEYS.to_owned(),
        "file:///proc/self/environ".to_owned(),
        "ftp://example.test/keys".to_owned(),
        "gopher://example.test/keys".to_owned(),
        "unix:///run/postgresql".to_owned(),
    ] {
        assert_eq!(sent(DISCOVERY, Fault::Altered(json!({"jwks_uri": uri}))).await, "Upstream", "{uri}");
    }
    for path in [DISCOVERY, KEYS] {
        for to in [
            format!("https://{HOST}:{port}/elsewhere{path}"),
            format!("https://127.0.0.1:{inner}{path}"),
            format!("{}{path}", plain.url()),
        ] {
            assert_eq!(sent(path, Fault::Redirect(to.clone())).await, "Upstream", "{path} redirects to {to}");
        }
    }
    assert_eq!((inside.connections(), plain.connections(), issuer.hits_of("/elsewhere/keys")), (0, 0, 0));
    assert_eq!(issuer.hits_of(&format!("/elsewhere{DISCOVERY}")), 0);
    assert_eq!(sent("/nowhere", Fault::Hang).await, "accepted", "without a fault it is reached");
}

#[tokio::test]
async fn keys_may_be_on_another_host_by_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, keys) = (Issuer::start_tls(HOST).await, Issuer::start_tls("keys.example.test").await);
    issuer.misbehave(DISCOVERY, Fault::Altered(json!({"jwks_uri": format!("{}{KEYS}", keys.url())})));
    let lines = reachable(&authorities(&folder, &[&issuer, &keys]), &[issuer.port(), keys.port()]);
    assert_eq!(login(&stage::upstream(&lines).0, &issuer, issuer.login_key()).await, "accepted");
    assert_eq!((issuer.hits_of(KEYS), keys.hits_of(KEYS)), (0, 1));
}

#[tokio::test]
async fn an_issuer_without_tls_is_only_the_one_whose_whole_url_the_operator_names() {
    let issuer = Issuer::start().await;
    let url = issuer.url();
    let key = issuer.login_key();
    for (named, asked) in [
        (String::new(), key.to_owned()),
        (format!("'{url}/a'"), key.to_owned()),
        (format!("'{url}'"), format!("{key}/a")),
        (format!("'{url}'"), format!("{key}/")),
        (format!("'{url}/a'"), format!("{key}/A")),
        (format!("'{url}/a'"), format!("{key}/a/b")),
    ] {
        let (upstream, _) = stage::upstream(&format!("allow_http_issuers = [{named}]"));
        let mut claims = issuer.claims_at(NOW, "user", CLIENT);
        claims["iss"] = json!(format!("http://{asked}"));
        let result = stage::verify(&upstream, &stage::declared(&asked), &issuer.token_with(&claims)).await;
        assert_eq!(outcome(&result), "Issuer", "{asked} where {named} is named");
    }
    assert_eq!(issuer.connections(), 0);
}
