//! A database whose disk is full: writes are refused and leave nothing, reads and verifiers go on; with room on the disk
//! again everything is as before.
//!
//! The disk is a file system in memory, in a mount namespace of its own: nothing of it is seen outside, and nothing is left
//! of it when the test ends, however that comes. So the test runs itself again in there.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, getgid, getuid};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::broker::Launch;
use crate::client::Answer;
use crate::database::{Durable, add_developer, count, public_dir};
use crate::dice::{Dice, new_seed};
use crate::figures::{Figures, is_whole, size};
use crate::pressure::{Outcomes, Verifier, assert_nothing_is_half_written};
use crate::proxy::Proxy;

/// Where the disk is, for those who are inside.
const DISK: &str = "SYMBOLON_TEST_DISK";
/// What a cluster takes, and room for some writes.
const SIZE: &str = "96m";
const LOGINS: &str = "select count(*) from logins";
/// The server says at once that the disk is full; nobody waits for anything.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// No disk here takes longer to be full.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
#[expect(clippy::disallowed_methods, reason = "what the test tells itself")]
fn a_full_disk_refuses_writes_whole_and_is_forgotten_when_there_is_room() {
    if let Some(disk) = std::env::var_os(DISK) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(on(&PathBuf::from(disk)));
        return;
    }
    let dir = public_dir();
    let mut inside = namespace(dir.path());
    inside.env(DISK, dir.path());
    let ended = inside.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if !said.contains("running 1 test") {
        let excuse =
            format!("NO FULL DISK WAS TESTED: no file system can be mounted here, by root nor by a user: {said}");
        assert!(!is_whole(), "{excuse}");
        println!("{excuse}");
        return;
    }
    println!("{said}");
    assert!(ended.status.success(), "{said}");
}

/// This test, in a mount namespace where a small file system is on `disk`. Who is not root becomes it in a user namespace,
/// mounts, and is himself again in another one within, since Postgres refuses to be run by root.
fn namespace(disk: &Path) -> Command {
    let mount = r#"mount -t tmpfs -o "size=$1,mode=755" tmpfs "$0" && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    if Uid::effective().is_root() {
        command.args(["--mount", "sh", "-c", mount]).arg(disk).arg(SIZE);
    } else {
        command.args(["--map-root-user", "--mount", "sh", "-c", mount]).arg(disk).arg(SIZE);
        command.args(["unshare", "--user", &format!("--map-user={}", getuid()), &format!("--map-group={}", getgid())]);
    }
    command.arg(std::env::current_exe().unwrap());
    command.args(["disk_full::a_full_disk_refuses_writes_whole_and_is_forgotten_when_there_is_room"]);
    command.args(["--exact", "--nocapture"]);
    command
}

/// What takes all the room that is left.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(disk: &Path) -> Self {
        let path = disk.join("ballast");
        let mut file = File::create(&path).unwrap();
        let mut block = vec![0; 64 * 1024];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(_) if block.len() > 512 => block.truncate(block.len() / 2),
                Err(_) => return Self(path),
            }
        }
    }

    fn remove(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

/// Asks for something new until that was refused so many times. Each time one statement with this `word` in it is sent, no
/// more: a disk that is full is so for another try, too.
async fn until_refused(
    proxy: &Proxy,
    word: &str,
    refusals: usize,
    mut ask: impl AsyncFnMut(usize) -> Answer,
) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let began = Instant::now();
    proxy.take();
    while outcomes.shed < refusals {
        assert!(began.elapsed() < PATIENCE, "the disk is not full: {} were made", outcomes.served);
        let asked = Instant::now();
        let answer = ask(outcomes.served + outcomes.shed).await;
        outcomes.count(&answer, asked.elapsed());
    }
    let sent = proxy.take().iter().filter(|sent| sent.has(word)).count();
    assert_eq!(sent, outcomes.served + outcomes.shed, "a write to a full disk was tried again: {word}");
    assert!(outcomes.slowest_refusal() < REFUSED_WITHIN, "{:?}", outcomes.slowest_refusal());
    outcomes
}

/// A pool with so much in its tags that there is no room for it where others were refused.
fn large_pool(dice: &mut Dice) -> Value {
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let mut value = || (0..256).map(|_| *dice.pick(&letters)).collect::<String>();
    let tags: serde_json::Map<_, _> = (0..50).map(|number| (format!("tag-{number}"), json!(value()))).collect();
    json!({ "IdentityPoolName": "large", "AllowUnauthenticatedIdentities": true, "IdentityPoolTags": tags })
}

async fn on(disk: &Path) {
    let rounds = size(1, 5);
    let mut durable = Durable::start_in(disk).await;
    let url = durable.postgres.url();
    let client = add_developer(&url, "AKIADEVELOPERNUMBER1").await;
    let proxy = Proxy::start(&durable.postgres).await;
    let broker = Launch::serve(&proxy.url(&url)).start().await;
    let pool = client.create_pool(&broker.url).await;
    let alice = client.identity(&broker.url, &pool, "alice").await;

    let mut dice = Dice::of(new_seed());
    let (mut made, mut refused, mut pools_made, mut pools_refused, mut served) = (1_i64, 0, 1_i64, 0, 0);
    let (mut slowest, mut slowest_refusal) = (Duration::ZERO, Duration::ZERO);
    for round in 1..=rounds {
        let ballast = Ballast::fill(disk);
        let verifier = Verifier::start(&broker.url);
        // Long names fill a disk sooner. A user is made by one statement.
        let name = |number: usize| format!("user-{round}-{number}-{}", "x".repeat(900));
        let ask = async |number| client.token(&broker.url, &pool, &name(number)).await;
        let users = until_refused(&proxy, "insert into logins", 5, ask).await;
        // And a pool by a transaction.
        let ask = async |_| client.call(&broker.url, "CreateIdentityPool", &large_pool(&mut dice)).await;
        let pools = until_refused(&proxy, "insert into identity_pools", 3, ask).await;
        made += i64::try_from(users.served).unwrap();
        refused += users.shed;
        pools_made += i64::try_from(pools.served).unwrap();
        pools_refused += pools.shed;
        slowest_refusal = slowest_refusal.max(users.slowest_refusal()).max(pools.slowest_refusal());
        // Reading goes on.
        for _ in 0..10 {
            assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice);
        }
        served += verifier.stop().await;
        assert!(broker.said().contains("53100"), "refused for another reason: {}", broker.said());
        assert_nothing_is_half_written(&url).await;
        assert_eq!(count(&url, LOGINS).await, made, "a user who was refused is there, or one who was made is not");
        assert_eq!(count(&url, "select count(*) from identity_pools").await, pools_made);

        ballast.remove();
        let room = Instant::now();
        client.identity(&broker.url, &pool, &format!("after-{round}")).await;
        made += 1;
        slowest = slowest.max(room.elapsed());
        broker.until_ready().await;
    }
    assert!(slowest < Duration::from_secs(5), "there is room, and the next user waits for {slowest:?}");
    let recovered = format!("{} ms", slowest.as_millis());

    let mut figures = Figures::of("5-pressure-disk", "Pressure: a full disk");
    figures.row("times that the disk was full", "", rounds);
    figures.row("new users refused meanwhile", "told to come again, no row left of them", refused);
    figures.row("new pools refused meanwhile", "the same", pools_refused);
    figures.row("slowest of these refusals", "< 1 s", format!("{} ms", slowest_refusal.as_millis()));
    figures.row("statements sent for each of them", "1: not tried again", 1);
    figures.row("new users who were made", "all there", made);
    figures.row("key sets and discovery documents meanwhile", "all served", served);
    figures.row("from the first room on the disk to the next new user, at most", "< 5 s, unaided", recovered);

    // Without room for its log the server itself ends.
    let ballast = Ballast::fill(disk);
    let verifier = Verifier::start(&broker.url);
    let mut ended = false;
    for _ in 0..64 {
        let log = "select pg_logical_emit_message(true, 'test', repeat('x', 1000000))";
        ended = match PgConnection::connect(&url).await {
            Ok(mut conn) => sqlx::query(log).execute(&mut conn).await.is_err(),
            Err(_) => true,
        };
        if ended {
            break;
        }
    }
    assert!(ended, "there was room for everything");
    for _ in 0..3 {
        client.token(&broker.url, &pool, "nobody").await.is_internal_error();
    }
    let served = verifier.stop().await;
    ballast.remove();
    // As whoever watches over it does.
    durable.postgres.restart().await.unwrap();
    let back = Instant::now();
    broker.until("a token is given", async || client.token(&broker.url, &pool, "alice").await.status == 200).await;
    broker.until_ready().await;
    let recovered = back.elapsed();
    assert!(recovered < Duration::from_secs(10), "{recovered:?}");
    assert_eq!(client.identity(&broker.url, &pool, "alice").await, alice);
    assert_nothing_is_half_written(&url).await;
    assert_eq!(count(&url, LOGINS).await, made, "an acknowledged user is lost");
    figures.row("key sets and discovery documents while the server was stopped by it", "all served", served);
    figures.row(
        "from the server's restart to the next token and readiness",
        "< 10 s, unaided",
        format!("{} ms", recovered.as_millis()),
    );
    figures.publish();
    broker.stop().await;
    durable.postgres.stop().await.unwrap();
}
