//! `symbolon dev` as people use it: again and again on one folder, by root and by others, in homes that nobody enters.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use symbolon::cli::dev_postgres::STATE_DIR;
use tempfile::TempDir;

use crate::broker::{Broker, Launch};
use crate::client::{self, Client};
use crate::database::{count, inside, public_dir};

/// What must be the same at every start: pool, identity, keys and issuer.
async fn memory(broker: &Broker, pool: &str) -> [String; 3] {
    let identity = Client::dev().identity(&broker.url, pool, "alice").await;
    let keys = broker.get("/.well-known/jwks.json").await.text;
    let discovery = broker.get("/.well-known/openid-configuration").await;
    [identity, keys, discovery.json["issuer"].as_str().unwrap().to_owned()]
}

/// The address of the database, from the env file.
fn database_url(data_dir: &Path) -> String {
    let env = fs::read_to_string(data_dir.join("env")).unwrap();
    let url = env.lines().find_map(|line| line.strip_prefix("export DATABASE_URL=")).unwrap();
    url.trim_matches('\'').to_owned()
}

#[tokio::test]
async fn everything_is_there_again_at_the_next_start() {
    let dir = public_dir();
    let data = inside(&dir, "data");
    let launch = Launch::dev(&data);
    let broker = launch.start().await;
    let pool = Client::dev().create_pool(&broker.url).await;
    let before = memory(&broker, &pool).await;
    assert_eq!(before[2], broker.url, "the first start decides the issuer");

    // A folder serves one at a time; the other keeps what it has.
    launch.run().await.told(3, &["in use by another symbolon", &broker.pid().to_string(), "--data-dir"]);
    assert_eq!(memory(&broker, &pool).await, before);

    // An account number is an access key, and its tenant is made at its first use.
    let tenants = "select count(*) from tenants where account_id = '111122223333'";
    assert_eq!(count(&database_url(&data), tenants).await, 0);
    let other = Client::new("111122223333", "test");
    let others_pool = other.create_pool(&broker.url).await;
    assert_eq!(count(&database_url(&data), tenants).await, 1);
    let answer = other.token(&broker.url, &pool, "alice").await;
    assert_eq!(answer.exception(), "ResourceNotFoundException", "{answer:?}");
    let stranger = Client::new("999999999999", "wrong").token(&broker.url, &pool, "alice").await;
    assert_eq!(stranger.exception(), "InvalidSignatureException", "{stranger:?}");
    let strangers = "select count(*) from tenants where account_id = '999999999999'";
    assert_eq!(count(&database_url(&data), strangers).await, 0);
    let others_alice = other.identity(&broker.url, &others_pool, "alice").await;
    broker.stop().await;

    // Another port: the old issuer stays, and that is said.
    let broker = launch.start().await;
    assert_eq!(memory(&broker, &pool).await, before);
    assert_eq!(other.identity(&broker.url, &others_pool, "alice").await, others_alice);
    assert!(broker.said().contains("tokens keep the issuer"), "{}", broker.said());
    assert!(broker.said().contains(&format!("issuer     {}", before[2])), "{}", broker.said());

    // Killed: its Postgres goes with it, and the folder is free again.
    broker.kill();
    let broker = launch.start().await;
    assert_eq!(memory(&broker, &pool).await, before);
    a_second_broker_needs_only_the_env_file(&data, &pool, &before).await;
    broker.signal(Signal::SIGINT);
    let ended = broker.end_within(std::time::Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

async fn a_second_broker_needs_only_the_env_file(data: &Path, pool: &str, before: &[String; 3]) {
    let serve = Launch::command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env("SYMBOLON__TELEMETRY__LOG_FORMAT", "json");
    let env_file = data.join("env");
    let script = ". \"$0\"; exec \"$@\"";
    let words = ["sh", "-c", script, env_file.to_str().unwrap(), env!("CARGO_BIN_EXE_symbolon")];
    let second = serve.program(words).start().await;
    assert_eq!(&memory(&second, pool).await, before);
    second.stop().await;
}

#[tokio::test]
async fn a_throw_away_broker_leaves_nothing_in_the_way() {
    let (dir, tmp) = (public_dir(), public_dir());
    let launch = Launch::dev(&inside(&dir, "data")).arg("--ephemeral").env("TMPDIR", tmp.path().to_str().unwrap());
    let broker = launch.start().await;
    let pool = Client::dev().create_pool(&broker.url).await;
    assert_eq!(client::get_id(&broker.url, &pool).await.status, 200);
    assert!(fs::read_dir(tmp.path()).unwrap().count() > 0);
    broker.stop().await;
    let left: Vec<_> = fs::read_dir(tmp.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!inside(&dir, "data").join("postgres").exists());
}

/// An address of this machine that others may reach; without a network, any.
fn reachable_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let route = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    route.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
}

#[tokio::test]
async fn an_issuer_that_cannot_be_is_not_kept_and_one_that_others_reach_can() {
    let dir = public_dir();
    let launch = Launch::dev(&inside(&dir, "data"));
    let refused = launch.clone().env("SYMBOLON__ISSUER__URL", "http://Foo/").run().await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.complaint().contains("issuer.url: \"http://Foo/\" must"), "{}", refused.stderr);

    let listen = SocketAddr::new(reachable_address(), 0).to_string();
    let public = launch.option("--listen", listen).arg("--allow-public-dev-credentials");
    let broker = public.start().await;
    let pool = Client::dev().create_pool(&broker.url).await;
    assert_eq!(memory(&broker, &pool).await[2], broker.url);
    broker.stop().await;
    assert!(inside(&dir, "data/postgres").is_dir(), "the database is not in a folder that its user can enter");
}

/// What root's dev keeps in the system's state folder, removed with the test that made it.
struct Elsewhere(PathBuf);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if self.0.starts_with(STATE_DIR) && self.0 != Path::new(STATE_DIR) {
            let _ = fs::remove_dir_all(&self.0);
            let _ = fs::remove_dir(STATE_DIR); // unless something else is in it
        }
    }
}

#[tokio::test]
async fn a_clone_in_a_home_that_only_its_owner_enters_works() {
    let dir = public_dir();
    let home = inside(&dir, "home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    // As `make dev` runs it: in the clone, with a relative folder.
    let launch = Launch::dev(Path::new(".symbolon")).dir(&home);
    let mut broker = launch.spawn();
    broker.find_addresses().await;
    let recorded = fs::read_to_string(home.join(".symbolon/cluster-path")).unwrap_or_default();
    let _elsewhere = Elsewhere(recorded.trim_end().into());
    broker.until_ready().await;
    assert_eq!(recorded.is_empty(), !Uid::effective().is_root(), "{recorded}");
    twice(&launch, broker).await;
}

#[tokio::test]
async fn a_user_without_rights_works_in_a_private_home() {
    let dir = public_dir();
    let home = inside(&dir, "home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let launch = Launch::dev(Path::new(".symbolon")).dir(&home);
    let launch = if Uid::effective().is_root() { as_nobody(launch, &dir, &home) } else { launch };
    let broker = launch.start().await;
    assert!(home.join(".symbolon/postgres").is_dir());
    twice(&launch, broker).await;
}

/// The same as a user without rights, who could not reach the binary where it was built.
fn as_nobody(launch: Launch, dir: &TempDir, home: &Path) -> Launch {
    let nobody = User::from_name("nobody").unwrap().unwrap();
    chown(home, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let binary = inside(dir, "symbolon");
    fs::copy(env!("CARGO_BIN_EXE_symbolon"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
    let words = ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups", "--", binary.to_str().unwrap()];
    launch.program(words).env("HOME", home.to_str().unwrap())
}

/// A token, and the same identity after another start.
async fn twice(launch: &Launch, broker: Broker) {
    let pool = Client::dev().create_pool(&broker.url).await;
    let before = memory(&broker, &pool).await;
    broker.stop().await;
    let broker = launch.start().await;
    assert_eq!(memory(&broker, &pool).await, before);
    broker.stop().await;
}
