//! A database restored from an older dump, and `symbolon post-restore`: what was revoked since stays revoked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use symbolon::cli::dev_postgres::Postgres;
use tempfile::TempDir;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::{ACCOUNT, Database, run};
use crate::figures::{Figures, size};
use crate::operator::Operator;
use crate::proxy::Proxy;
use crate::verifier::{jwks, kid_of, shown, verified};

const OTHER_ACCOUNT: &str = "210987654321";

/// What a backend of a disabled or unknown access key gets.
const REFUSED: &str = "UnrecognizedClientException";

/// Runs one of PostgreSQL's own programs; what it said, if it failed.
fn program(server: &Postgres, name: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(server.bin_dir().join(name)).args(args).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

fn serve(url: &str) -> Launch {
    Launch::serve(url)
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "1")
        .env("SYMBOLON__KEYS__SIGN_FENCE", "3")
        .env("SYMBOLON__KEYS__REPLICA_SKEW", "1")
        .env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true")
}

/// An installation with a dump of it, after which things were revoked, disabled, deleted and restricted.
struct Stage {
    database: Database,
    operator: Operator,
    folder: TempDir,
    pool: String,
    alice: String,
    /// Its only access key of which nothing has changed.
    client: Client,
    /// Backends whose access keys are not to come back, each with what happened to it.
    gone: BTreeMap<&'static str, Client>,
    /// The signing key that was revoked, and a token that it signed before.
    revoked: String,
    token: String,
}

impl Stage {
    async fn set(brokers: &mut Vec<Broker>) -> Self {
        let (database, client) = Database::with_developer().await;
        let operator = Operator::of(&database.url, MASTER_KEY);
        let launch = serve(&database.url);
        let (one, other) = tokio::join!(launch.start(), launch.start());
        let pool = client.create_pool(&one.url).await;
        let alice = client.identity(&one.url, &pool, "alice").await;
        operator.ok(&["tenant", "create", "other", "--account-id", OTHER_ACCOUNT]).await;
        let mut keys = BTreeMap::new();
        for (name, account) in [
            ("disabled", ACCOUNT),
            ("deleted", ACCOUNT),
            ("made anew", ACCOUNT),
            ("restricted", ACCOUNT),
            ("restricted otherwise", ACCOUNT),
            ("of another secret", ACCOUNT),
            ("of a disabled tenant", OTHER_ACCOUNT),
        ] {
            keys.insert(name, operator.access_key(account).await);
        }
        let token = client.token(&one.url, &pool, "alice").await.member("Token");
        let folder = tempfile::tempdir().unwrap();
        let [tokens, guests] = ["GetOpenIdTokenForDeveloperIdentity", "GetId"].map(|name| {
            let action = format!("cognito-identity:{name}");
            let policy = json!({ "Statement": { "Effect": "Allow", "Action": action, "Resource": "*" } });
            let file = folder.path().join(format!("{name}.json"));
            std::fs::write(&file, policy.to_string()).unwrap();
            file.to_str().unwrap().to_owned()
        });
        operator.ok(&["access-key", "set-policy", &keys["restricted otherwise"].0, "--policy", &tokens]).await;
        let dump = folder.path().join("dump");
        program(
            &database.server,
            "pg_dump",
            &["--format", "custom", "--file", dump.to_str().unwrap(), "--dbname", &database.url],
        )
        .unwrap();

        let revoked = kid_of(&token);
        operator.ok(&["key", "revoke", &revoked, "--force"]).await;
        operator.ok(&["access-key", "disable", &keys["disabled"].0]).await;
        operator.ok(&["access-key", "delete", &keys["deleted"].0]).await;
        for name in ["restricted", "restricted otherwise"] {
            operator.ok(&["access-key", "set-policy", &keys[name].0, "--policy", &guests]).await;
        }
        operator.ok(&["access-key", "delete", &keys["made anew"].0]).await;
        for name in ["made anew", "of another secret"] {
            operator.seed_another_secret(ACCOUNT, &keys[name].0).await;
        }
        operator.ok(&["tenant", "disable", OTHER_ACCOUNT]).await;
        client.identity(&one.url, &pool, "bob, who came after the dump").await;
        for broker in [&one, &other] {
            broker.until("the key is gone", async || !shown(broker).await.contains(&revoked)).await;
            assert_ne!(kid_of(&client.token(&broker.url, &pool, "alice").await.member("Token")), revoked);
        }
        brokers.extend([one, other]);
        let gone = keys.iter().map(|(name, (key, secret))| (*name, Client::new(key, secret))).collect();
        Self { database, operator, folder, pool, alice, client, gone, revoked, token }
    }

    /// What three commands print of the state that is about to be lost.
    async fn lists(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for what in ["key", "access-key", "tenant"] {
            let file = self.folder.path().join(format!("{what}.json"));
            std::fs::write(&file, self.operator.ok(&[what, "list", "--output", "json"]).await).unwrap();
            files.push(file);
        }
        files
    }

    /// Puts the dump into a database: wholly or not at all. Brokers that run on it read tables in another order than that in
    /// which they are dropped, so that one of both may have to give way.
    fn restore_into(&self, url: &str) {
        let dump = self.folder.path().join("dump");
        let args = ["--clean", "--if-exists", "--single-transaction", "--dbname", url, dump.to_str().unwrap()];
        let mut ended = program(&self.database.server, "pg_restore", &args);
        for _ in 0..5 {
            if ended.as_ref().is_err_and(|said| said.contains("deadlock detected")) {
                ended = program(&self.database.server, "pg_restore", &args);
            }
        }
        ended.unwrap();
    }

    /// What must hold of a broker after `post-restore`; gives the number of things looked at.
    async fn is_as_before_the_restore(&self, broker: &Broker) -> usize {
        assert!(!shown(broker).await.contains(&self.revoked));
        let token = self.client.token(&broker.url, &self.pool, "alice").await;
        assert_eq!(token.member("IdentityId"), self.alice);
        let keys = jwks(broker).await;
        assert_eq!(verified(&token.member("Token"), &keys, &self.pool).as_ref(), Some(&self.alice));
        assert_eq!(verified(&self.token, &keys, &self.pool), None, "a token of the revoked key");
        for (name, gone) in &self.gone {
            let answer = gone.call(&broker.url, "ListIdentityPools", &json!({ "MaxResults": 1 })).await;
            assert_eq!((answer.status, answer.exception()), (400, REFUSED), "{name}: {answer:?}");
        }
        self.gone.len()
    }
}

/// What clients of running brokers get while the database is restored below them.
#[derive(Default)]
struct Watched {
    tokens: usize,
    failures: usize,
    of_revoked: usize,
    jwks: usize,
    shows_revoked: usize,
}

async fn watch(urls: Vec<String>, client: Client, pool: String, revoked: String, stop: Arc<AtomicBool>) -> Watched {
    let mut seen = Watched::default();
    while !stop.load(Ordering::SeqCst) {
        for url in &urls {
            let answer = client.token(url, &pool, "alice").await;
            match answer.status {
                200 => seen.of_revoked += usize::from(kid_of(&answer.member("Token")) == revoked),
                _ => seen.failures += 1,
            }
            seen.tokens += usize::from(answer.status == 200);
            let answer = client::get(&format!("{url}/.well-known/jwks.json")).await.unwrap();
            seen.jwks += usize::from(answer.status == 200);
            seen.shows_revoked += usize::from(answer.text.contains(&revoked));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_after_the_dump_stays_so_under_brokers_that_ran_all_the_time() {
    let rounds = size(1, 5);
    let (mut all, mut came_back, mut looked_at, mut unaided) = (Watched::default(), 0, 0, 0);
    for _ in 0..rounds {
        let mut brokers = Vec::new();
        let at = Stage::set(&mut brokers).await;
        let lists = at.lists().await;
        let stop = Arc::new(AtomicBool::new(false));
        let urls = brokers.iter().map(|broker| broker.url.clone()).collect();
        let watching =
            tokio::spawn(watch(urls, at.client.clone(), at.pool.clone(), at.revoked.clone(), Arc::clone(&stop)));

        at.restore_into(&at.database.url);
        for broker in &brokers {
            broker.until("it notices", async || broker.readiness().await.1.contains("symbolon post-restore")).await;
            assert_eq!(broker.readiness().await.0, 503);
            at.client.token(&broker.url, &at.pool, "alice").await.is_internal_error();
            for (name, gone) in &at.gone {
                let answer = gone.call(&broker.url, "ListIdentityPools", &json!({ "MaxResults": 1 })).await;
                assert_eq!(answer.status, 500, "{name}: {answer:?}");
                looked_at += 1;
            }
        }
        // However much is changed in the restored state, it does not become the one that was lost.
        run(&at.database.url, "update installation set epoch = epoch + 1000").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for broker in &brokers {
            assert!(broker.readiness().await.1.contains("symbolon post-restore"), "{:?}", broker.readiness().await);
            at.client.token(&broker.url, &at.pool, "alice").await.is_internal_error();
        }
        // One that was not there before cannot know: this is why brokers are to be stopped meanwhile.
        let newcomer = serve(&at.database.url).start().await;
        let token = at.client.token(&newcomer.url, &at.pool, "alice").await.member("Token");
        unaided += usize::from(kid_of(&token) == at.revoked);
        newcomer.stop().await;

        let refused = at.operator.run(&["post-restore"]).await;
        refused.told(2, &["nothing was written", "--later", "--unchanged", "--distrust"]);
        let mut args = vec!["post-restore"];
        args.extend(lists.iter().flat_map(|file| ["--later", file.to_str().unwrap()]));
        // The answer to its commit is lost, behind that to the look at the master keys: what was done is told all the same.
        let proxy = Proxy::start(&at.database.server).await;
        proxy.lose_an_answer_after(1);
        let done = Operator::of(&proxy.url(&at.database.url), MASTER_KEY).json(&args).await;
        assert!(!proxy.is_losing());
        assert_eq!(done["RevokedSigningKeys"], json!([at.revoked]), "{done}");
        assert_eq!(done["DisabledAccessKeys"].as_array().unwrap().len(), 6, "{done}");
        assert_eq!(done["DisabledTenants"], json!([OTHER_ACCOUNT]), "{done}");
        assert_eq!(done["LostSigningKeys"].as_array().unwrap().len(), 1, "the key that was made when one was revoked");

        for broker in &brokers {
            broker.until_ready().await;
        }
        brokers.push(serve(&at.database.url).start().await);
        for broker in &brokers {
            looked_at += at.is_as_before_the_restore(broker).await;
        }
        came_back += at.operator.keys("REVOKED").await.iter().filter(|kid| **kid == at.revoked).count();
        assert!(at.operator.ok(&["key", "audit"]).await.starts_with("clean"));
        // A second time the lists lack the key that the first one made.
        at.operator.run(&args).await.told(1, &["here already", "nothing was written"]);

        stop.store(true, Ordering::SeqCst);
        let seen = watching.await.unwrap();
        all.tokens += seen.tokens;
        all.failures += seen.failures;
        all.of_revoked += seen.of_revoked;
        all.jwks += seen.jwks;
        all.shows_revoked += seen.shows_revoked;
        for broker in brokers {
            broker.stop().await;
        }
    }
    assert!(all.tokens >= rounds && all.failures > 0, "{} tokens, {} failures", all.tokens, all.failures);
    assert_eq!((all.of_revoked, all.shows_revoked), (0, 0));
    assert_eq!(came_back, rounds, "each is REVOKED again");
    assert_eq!(unaided, rounds, "the control: without post-restore a new broker signs with the revoked key");

    let mut figures = Figures::of("10-restore", "Restore from an older dump, and `symbolon post-restore`");
    figures.row("restores, each below two running brokers", "", rounds);
    figures.row("tokens that running brokers signed with a key revoked after the dump", "0", all.of_revoked);
    figures.row("of how many, before, between and after", "", all.tokens);
    assert!(all.jwks > 0, "no JWKS was shown");
    figures.row("JWKS that showed it", "0", format!("{} of {}", all.shows_revoked, all.jwks));
    figures.row(
        "access keys disabled, deleted, made anew, or given another policy or secret after the dump that opened again, before or after",
        "0",
        format!("0 of {looked_at}"),
    );
    figures.row("brokers started before `post-restore` that signed with it (stop them)", "", unaided);
    figures.publish();
}

/// A broker on a fresh database with the dump in it, and the operator of both.
async fn elsewhere(at: &Stage) -> (Database, Operator) {
    let database = Database::empty().await;
    at.restore_into(&database.url);
    let operator = Operator::of(&database.url, MASTER_KEY);
    (database, operator)
}

#[tokio::test]
async fn where_nothing_is_known_of_the_lost_state_nothing_of_the_dump_is_trusted() {
    let mut brokers = Vec::new();
    let at = Stage::set(&mut brokers).await;
    for broker in brokers {
        broker.stop().await;
    }

    let (database, operator) = elsewhere(&at).await;
    let of_the_dump: Vec<String> = [operator.keys("ACTIVE").await, operator.keys("NEXT").await].concat();
    assert!(of_the_dump.len() == 2 && of_the_dump.contains(&at.revoked));
    let done = operator.json(&["post-restore", "--distrust"]).await;
    assert_eq!(done["RevokedSigningKeys"].as_array().unwrap().len(), 2, "{done}");
    let broker = serve(&database.url).start().await;
    let keys = shown(&broker).await;
    assert!(keys.len() == 2 && keys.iter().all(|kid| !of_the_dump.contains(kid)), "{keys:?}");
    let refused = at.client.token(&broker.url, &at.pool, "alice").await;
    assert_eq!(refused.exception(), REFUSED, "{refused:?}");
    // What was reviewed may be used again.
    operator.ok(&["tenant", "enable", ACCOUNT]).await;
    let listed: Value = operator.json(&["access-key", "list", "--account", ACCOUNT]).await;
    let id = listed["AccessKeys"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|key| key["AccessKeyId"].as_str().filter(|id| id.starts_with("AKIADEVELOPER")));
    operator.ok(&["access-key", "enable", id.unwrap()]).await;
    at.is_as_before_the_restore(&broker).await;
    assert!(operator.ok(&["key", "audit"]).await.starts_with("clean"));
    broker.stop().await;

    // Somebody remembers the one that was revoked; the rest is as it was, with all that it lets in.
    let (database, operator) = elsewhere(&at).await;
    let unknown = operator.run(&["post-restore", "--unchanged", "--revoked", "-nobodys-key"]).await;
    unknown.told(1, &["-nobodys-key", "nothing was written"]);
    let done = operator.json(&["post-restore", "--unchanged", "--revoked", &at.revoked]).await;
    assert_eq!((&done["RevokedSigningKeys"], &done["DisabledAccessKeys"]), (&json!([at.revoked]), &json!([])));
    let broker = serve(&database.url).start().await;
    assert!(!shown(&broker).await.contains(&at.revoked));
    assert_eq!(at.client.identity(&broker.url, &at.pool, "alice").await, at.alice);
    broker.stop().await;

    // Lists of another installation, or from before the dump, say nothing of it.
    let (_database, operator) = elsewhere(&at).await;
    let file = at.folder.path().join("of-another.json");
    for list in [json!({ "Keys": [] }), json!({ "Tenants": [] })] {
        std::fs::write(&file, list.to_string()).unwrap();
        let refused = operator.run(&["post-restore", "--unchanged", "--later", name(&file)]).await;
        refused.told(1, &["another installation", "nothing was written"]);
    }
}

fn name(file: &Path) -> &str {
    file.to_str().unwrap()
}
