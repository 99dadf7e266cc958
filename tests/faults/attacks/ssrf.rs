//! Names that lead inside: whatever a name resolves to, and whenever that changes, no blocked address is connected to.
//!
//! A lookup of the test's own answers for every name. Where an address is one of this machine's, a listener on all of them
//! counts who comes; of the others it is the refusal that tells that nobody was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use symbolon::clock::Clock;
use symbolon::error::Error;
use symbolon::upstream::Upstream;
use symbolon::upstream::resolver::{Found, Lookup};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use crate::figures::Figures;
use crate::issuer::{DISCOVERY, Fault, Issuer, KEYS};
use crate::stage::{self, CLIENT, NOW};

/// The one address on loopback that stands for the public network here: it is admitted, and no other is.
const PUBLIC: &str = "127.0.0.1";

/// Addresses that no issuer may have, by what they are.
const BLOCKED: &[(&str, &[&str])] = &[
    ("this machine", &["127.0.0.2", "127.1.2.3", "127.255.255.254", "::1", "0.0.0.0", "0.0.0.1", "::"]),
    (
        "a private network",
        &["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.1"],
    ),
    ("a private network of IPv6", &["fc00::1", "fd00::1", "fdff:ffff::1"]),
    (
        "the metadata of a cloud",
        &["169.254.169.254", "169.254.170.2", "169.254.169.123", "fd00:ec2::254", "168.63.129.16"],
    ),
    ("the metadata of another cloud", &["100.100.100.200", "192.0.0.192", "fd20:ce::254"]),
    ("this link", &["169.254.0.1", "169.254.255.254", "fe80::1", "febf::1", "fec0::1"]),
    ("a carrier's network", &["100.64.0.1", "100.127.255.254"]),
    ("many", &["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1"]),
    ("nobody", &["240.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "100::1"]),
    ("a benchmark", &["198.18.0.1", "198.19.255.254", "2001:2::1"]),
    ("a relay", &["192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1"]),
    (
        "an address of IPv4 in disguise",
        &[
            "::ffff:127.0.0.2",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "::127.0.0.2",
            "::ffff:0:127.0.0.2",
            "64:ff9b::127.0.0.2",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:7f00:1::",
        ],
    ),
    ("what is not global", &["4000::1", "5f00::1", "e000::1"]),
];

/// Answers for names as a test says, one answer after another; the last one stays.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Names {
    fn set<T: AsRef<str>>(&self, name: &str, answers: &[&[T]]) {
        let parse = |answer: &&[T]| answer.iter().map(|text| text.as_ref().parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(parse).collect());
    }
}

impl Lookup for Names {
    fn addresses(&self, name: String) -> Found {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let of_name = answers.get_mut(&name);
        let found = match of_name {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        };
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("nobody has this name")) })
    }
}

/// A listener on every other address of this machine, at the issuer's port.
struct Inside {
    connections: Arc<AtomicUsize>,
}

impl Inside {
    async fn at(port: u16) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let mut addresses: Vec<IpAddr> =
            ["127.0.0.2", "127.1.2.3", "127.255.255.254"].map(|a| a.parse().unwrap()).into();
        addresses.push(Ipv6Addr::LOCALHOST.into());
        let mut bound = 0;
        for address in addresses {
            // A machine without IPv6 has no `::1` to listen on, and so none to be led to.
            let Ok(listener) = TcpListener::bind((address, port)).await else { continue };
            bound += 1;
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    connections.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        assert!(bound >= 3);
        Self { connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

struct Scene {
    names: Arc<Names>,
    issuer: Issuer,
    inside: Inside,
    _folder: tempfile::TempDir,
    ca_file: PathBuf,
}

/// What became of a login.
struct Outcome {
    accepted: bool,
    why: String,
}

impl Scene {
    /// An issuer with a certificate for every name below `example.test`, on the address that stands for the public network.
    async fn start() -> Self {
        let issuer = Issuer::start_tls("*.example.test").await;
        let inside = Inside::at(issuer.port()).await;
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("authorities.pem");
        std::fs::write(&ca_file, issuer.ca_pem()).unwrap();
        Self { names: Arc::default(), issuer, inside, _folder: folder, ca_file }
    }

    /// A broker's upstream with nothing remembered.
    fn upstream(&self) -> (Upstream, Arc<symbolon::clock::FixedClock>) {
        let lines = format!(
            "allow_ports = [{}]\nallow_private_issuers = ['{PUBLIC}/32']\nca_file = '{}'",
            self.issuer.port(),
            self.ca_file.display()
        );
        let (clock, hands) = Clock::fixed(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
        let names = Arc::clone(&self.names) as Arc<dyn Lookup>;
        (Upstream::asking(&stage::settings(&lines), clock, &names).unwrap(), hands)
    }

    fn login_key(&self, host: &str) -> String {
        format!("{host}:{}", self.issuer.port())
    }

    /// A proper login at the issuer by this name.
    async fn login(&self, upstream: &Upstream, host: &str) -> Outcome {
        let key = self.login_key(host);
        self.issuer.behave();
        let (url, keys) = (format!("https://{key}"), format!("https://{key}{KEYS}"));
        self.issuer.misbehave(DISCOVERY, Fault::Altered(json!({"issuer": url, "jwks_uri": keys})));
        self.ask(upstream, &key).await
    }

    async fn ask(&self, upstream: &Upstream, key: &str) -> Outcome {
        let mut claims = self.issuer.claims_at(NOW, "user", CLIENT);
        claims["iss"] = json!(format!("https://{key}"));
        claims["exp"] = json!(NOW + 86_400 * 2);
        match stage::verify(upstream, &stage::declared(key), &self.issuer.token_with(&claims)).await {
            Ok(_) => Outcome { accepted: true, why: String::new() },
            Err(Error::Upstream(why)) => Outcome { accepted: false, why },
            Err(error) => panic!("{key}: {error:?}"),
        }
    }
}

/// A name that leads to something blocked: what it is, and its answers in their order.
type Target = (String, Vec<Vec<String>>);

fn targets() -> Vec<Target> {
    let public = || PUBLIC.to_owned();
    let mut found = Vec::new();
    for (what, addresses) in BLOCKED {
        for address in *addresses {
            let blocked = (*address).to_owned();
            found.push((format!("{what}: {address}"), vec![vec![blocked.clone()]]));
            // The proper address before it or behind it makes it no better.
            found.push((format!("{what}: {address} behind a public one"), vec![vec![public(), blocked.clone()]]));
            found.push((format!("{what}: {address} before a public one"), vec![vec![blocked, public()]]));
        }
    }
    found
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_followed() {
    let scene = Scene::start().await;
    scene.names.set("public.example.test", &[&[PUBLIC]]);
    let (upstream, _) = scene.upstream();
    let outcome = scene.login(&upstream, "public.example.test").await;
    assert!(outcome.accepted, "without it refusing everything would do: {}", outcome.why);
    let proper = scene.issuer.connections();

    let targets = targets();
    let distinct: BTreeSet<_> = targets.iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), targets.len(), "two targets of one name");
    let mut wrong = Vec::new();
    for (number, (name, answers)) in targets.iter().enumerate() {
        let host = format!("target-{number}.example.test");
        let answers: Vec<&[String]> = answers.iter().map(Vec::as_slice).collect();
        scene.names.set(&host, &answers);
        let outcome = scene.login(&upstream, &host).await;
        if outcome.accepted || !outcome.why.contains("upstream.allow_private_issuers could admit it") {
            wrong.push(format!("{name}: {} {}", outcome.accepted, outcome.why));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(scene.issuer.connections(), proper, "nor to the public address of such a name");

    let rebindings = rebindings(&scene).await;
    assert_eq!(scene.inside.connections(), 0);

    let mut figures = Figures::of("8-attacks-5-inside", "Issuers whose names lead inside");
    let addresses: usize = BLOCKED.iter().map(|(_, addresses)| addresses.len()).sum();
    figures.row("Blocked addresses, each alone and beside a public one", "≥ 60, all refused", addresses);
    figures.row("Names that lead to them", "all refused before a connection", targets.len());
    figures.row("Names that lead elsewhere at a later question", "all refused from then on", rebindings);
    figures.row("Connections to blocked addresses", "0", scene.inside.connections());
    figures.publish();
}

/// Names that are public at first: for the document, for its keys, or for a day.
async fn rebindings(scene: &Scene) -> usize {
    let mut tried = 0;
    for (number, address) in ["127.0.0.2", "::1", "127.255.255.254", "169.254.169.254"].iter().enumerate() {
        // Between the document and the keys.
        let host = format!("turning-{number}.example.test");
        scene.names.set(&host, &[&[PUBLIC], &[address]]);
        let (asked, before) = (scene.names.asked.load(Ordering::Relaxed), scene.issuer.connections());
        let outcome = scene.login(&scene.upstream().0, &host).await;
        assert!(!outcome.accepted && outcome.why.contains("could admit it"), "{address}: {}", outcome.why);
        let (asked, now) = (scene.names.asked.load(Ordering::Relaxed) - asked, scene.issuer.connections());
        assert_eq!((asked, now - before), (2, 1), "a connection goes to what was looked at, once for each");

        // The keys are of another name, which is inside.
        let (outer, inner) = (format!("outer-{number}.example.test"), format!("inner-{number}.example.test"));
        scene.names.set(&outer, &[&[PUBLIC]]);
        scene.names.set(&inner, &[&[address]]);
        let key = scene.login_key(&outer);
        let keys = format!("https://{}{KEYS}", scene.login_key(&inner));
        scene.issuer.behave();
        let document = json!({"issuer": format!("https://{key}"), "jwks_uri": keys});
        scene.issuer.misbehave(DISCOVERY, Fault::Altered(document));
        let outcome = scene.ask(&scene.upstream().0, &key).await;
        assert!(!outcome.accepted && outcome.why.contains("could admit it"), "{address}: {}", outcome.why);

        // After it was good, when the keys are to be fetched anew: what was fetched before stays good for its time.
        let host = format!("later-{number}.example.test");
        scene.names.set(&host, &[&[PUBLIC], &[PUBLIC], &[address]]);
        let (upstream, hands) = scene.upstream();
        assert!(scene.login(&upstream, &host).await.accepted);
        let before = scene.issuer.connections();
        hands.advance(Duration::from_hours(25));
        let outcome = scene.login(&upstream, &host).await;
        assert!(!outcome.accepted && outcome.why.contains("could admit it"), "{address}: {}", outcome.why);
        assert_eq!(scene.issuer.connections(), before, "it is not where it was");
        tried += 3;
    }
    tried
}
