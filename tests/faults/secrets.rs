//! No log line, no dump and no file of the database holds a secret: every operation and every command that shows one is used,
//! and each secret is searched for in every form.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use serde_json::Value;
use sqlx::Row as _;
use symbolon::aws_query::shapes::{IAM_OPERATIONS, STS_OPERATIONS};
use symbolon::cli::dev_postgres::{Options, Postgres};
use symbolon::cognito::shapes::OPERATIONS;
use symbolon::seal::{Place, Seal};

use crate::broker::{Ended, ISSUER, Launch, MASTER_KEY};
use crate::database::{ACCOUNT, add_developer, connect, migrate, public_dir, run};
use crate::everything::{CLIENT, Everything};
use crate::figures::{Figures, size};
use crate::forms::Caller;
use crate::issuer::Issuer;
use crate::needles::{Needles, files};
use crate::operator::Operator;

/// The access key of `add_developer`.
const KEY: &str = "AKIADEVELOPERNUMBER1";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const PASSWORD: &str = "s3cret-of-the-database";

/// What processes said.
#[derive(Default)]
struct Said {
    processes: usize,
    lines: usize,
    text: String,
}

impl Said {
    fn add(&mut self, text: &str) {
        self.processes += 1;
        self.lines += text.lines().count();
        self.text.push_str(text);
    }
}

/// The operator's commands, each of which is listened to.
struct Commands<'a> {
    url: String,
    master_keys: String,
    said: &'a mut Said,
}

impl Commands<'_> {
    fn operator(&self) -> Operator {
        Operator::of(&self.url, &self.master_keys)
    }

    async fn run(&mut self, launch: Launch) -> String {
        let Ended { stdout, stderr, .. } = self.ended(launch).await;
        self.said.add(&(stdout.clone() + &stderr));
        stdout
    }

    async fn ended(&self, launch: Launch) -> Ended {
        let ended = launch.run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    async fn ok(&mut self, args: &[&str]) -> String {
        self.run(self.operator().command(args)).await
    }

    /// One that shows a secret on stdout, this once: only the rest is listened to.
    async fn shows(&mut self, args: &[&str]) -> String {
        let Ended { stdout, stderr, .. } = self.ended(self.operator().command(args)).await;
        self.said.add(&stderr);
        stdout
    }

    /// Everything that makes, takes or shows a secret, and what prints settings.
    async fn handle_secrets(&mut self, needles: &mut Needles, folder: &Path) {
        let create = ["access-key", "create", "--account", ACCOUNT];
        let text = self.shows(&create).await;
        let secret = text.lines().find_map(|line| line.strip_prefix("secret ")).unwrap().trim();
        needles.add("secrets of access keys", secret);
        let made = self.shows(&[&create[..], &["--output", "json"]].concat()).await;
        let made: Value = serde_json::from_str(&made).unwrap();
        needles.add("secrets of access keys", made["SecretAccessKey"].as_str().unwrap());

        let seeded = "c2VlZGVkIHNlY3JldCBvZiBhbiBhY2Nlc3Mga2V5";
        needles.add("secrets of access keys", seeded);
        let seed = folder.join("seed.toml");
        let key = "[[tenant.access_key]]\nid = 'AKIASEEDED0000000001'\nsecret_env = 'SEEDED'\n";
        std::fs::write(&seed, format!("[[tenant]]\naccount_id = '{ACCOUNT}'\nname = 'a tenant'\n{key}")).unwrap();
        let apply = self.operator().command(&["apply", seed.to_str().unwrap()]).env("SEEDED", seeded);
        self.run(apply).await;
        for args in [
            &["config", "show"][..],
            &["config", "check"],
            &["installation", "show"],
            &["access-key", "list"],
            &["access-key", "disable", "AKIASEEDED0000000001"],
            &["key", "list"],
            &["key", "audit"],
            &["key", "rotate", "--force"],
        ] {
            self.ok(args).await;
        }
        halves(&self.url, &self.master_keys, needles).await;
        // The fresh keys of these are RSA ones.
        let waiting = self.operator().keys("NEXT").await;
        let revoke = ["key", "revoke", waiting.last().unwrap().as_str(), "--force"];
        self.run(self.operator().command(&revoke).env("SYMBOLON__ISSUER__ALGORITHM", "RS256")).await;
        halves(&self.url, &self.master_keys, needles).await;
    }

    /// The master key is rotated, and then the new one is lost; and the database is taken for a restored one.
    async fn replace_master_keys(&mut self, needles: &mut Needles) {
        let old = self.master_keys.clone();
        let [new, newest] = [(); 2].map(|()| Seal::generate().unwrap().to_string());
        for key in [&old, &new, &newest] {
            needles.add("master keys", key);
            needles.add("master keys", STANDARD.decode(key).unwrap());
        }
        self.master_keys = format!("{new},{old}");
        self.ok(&["master-key", "rotate"]).await;
        halves(&self.url, &self.master_keys, needles).await;
        self.master_keys = newest;
        self.ok(&["disaster", "rekey", "--yes"]).await;
        self.ok(&["post-restore", "--unchanged"]).await;
        halves(&self.url, &self.master_keys, needles).await;
        // What a wrong key is told.
        let refused = Operator::of(&self.url, &old).run(&["master-key", "rotate"]).await;
        refused.told(3, &["sealed"]);
        self.said.add(&refused.stderr);
    }
}

/// Takes the private halves of all signing keys into the secrets, whole and in parts.
async fn halves(url: &str, master_keys: &str, needles: &mut Needles) {
    let seal = Seal::from_text(master_keys).unwrap();
    let query = "select kid, alg, private_sealed from signing_keys where private_sealed is not null";
    let rows = sqlx::query(query).fetch_all(&mut connect(url).await).await.unwrap();
    assert!(rows.len() > 1);
    for row in rows {
        let (kid, alg): (String, String) = (row.get("kid"), row.get("alg"));
        let place = Place { table: "signing_keys", column: "private_sealed", row: &kid, tenant: ISSUER };
        let der = seal.open(place, row.get("private_sealed")).unwrap();
        let (what, parts): (&str, Vec<Vec<u8>>) = if alg.starts_with("RS") {
            let key = rsa::RsaPrivateKey::from_pkcs8_der(&der).unwrap();
            let numbers = key.primes().iter().chain([key.d()]);
            assert_eq!(key.size(), 256);
            ("private halves of RSA keys", numbers.map(rsa::BigUint::to_bytes_be).collect())
        } else {
            // RFC 5915: version 1, and the number in 32 bytes.
            let at = der.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).unwrap() + 5;
            ("private halves of EC keys", vec![der[at..at + 32].to_vec()])
        };
        needles.add(what, &*der);
        let first = der.windows(12).position(|bytes| parts.iter().any(|part| part.starts_with(bytes))).unwrap();
        // The lines of a PEM file are 48 bytes each; those with something private in them.
        let private = der.chunks(48).enumerate().filter(|(line, _)| (*line + 1) * 48 > first + 16);
        let lines = if parts.len() == 1 { 1 } else { usize::MAX };
        for (_, line) in private.take(lines).filter(|(_, line)| line.len() == 48) {
            needles.add(what, line);
        }
        for part in parts {
            needles.add(what, part);
        }
    }
}

/// What a dump and the files must hold, so that the search is known to find what is there.
async fn controls(url: &str) -> (Needles, Needles) {
    let (mut texts, mut raws) = (Needles::default(), Needles::default());
    let rows = sqlx::query("select private_sealed as blob from signing_keys where private_sealed is not null")
        .fetch_all(&mut connect(url).await)
        .await
        .unwrap();
    for row in rows {
        let blob: Vec<u8> = row.get("blob");
        texts.add("sealed private halves", &blob);
        raws.add("sealed private halves", &blob);
    }
    let query = "select identity_id::text from identities";
    let identities: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut connect(url).await).await.unwrap();
    assert!(identities.len() > 5);
    for id in identities {
        texts.add("identities", &id);
        raws.add("identities", hex::decode(id.replace('-', "")).unwrap());
    }
    (texts, raws)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_no_dump_and_no_file_of_the_database_holds_a_secret() {
    let levels = size(&["trace"][..], &["trace", "debug", "info"]);
    // Of its own, so that every file of it is this test's; without the waits of a durable one.
    let server = Postgres::start(Options::ephemeral()).await.unwrap();
    migrate(&server.url()).await;
    let url = server.url().replace("symbolon@", &format!("symbolon:{PASSWORD}@"));
    let client = add_developer(&url, KEY).await;
    let issuer = Issuer::start().await;
    let folder = public_dir();
    let config = folder.path().join("symbolon.toml");
    std::fs::write(&config, format!("[upstream]\nallow_http_issuers = ['{}/a']\n", issuer.url())).unwrap();

    // IAM takes no address: only an operator's switch does.
    let provider = format!("{}/a", issuer.login_key());
    let insert = format!(
        "insert into oidc_providers (account_id, url, client_ids) values ('{ACCOUNT}', '{provider}', '[\"{CLIENT}\"]')"
    );
    run(&url, &insert).await;

    let (mut needles, mut said, mut called) = (Needles::default(), Said::default(), BTreeSet::new());
    needles.add("passwords of the database", PASSWORD);
    needles.add("secrets of access keys", SECRET);
    let known: BTreeSet<String> =
        OPERATIONS.iter().chain(IAM_OPERATIONS).chain(STS_OPERATIONS).map(|name| (*name).to_owned()).collect();
    for level in levels {
        called.clear();
        let broker = Launch::serve(&url)
            .arg("--config")
            .arg(config.to_str().unwrap())
            .env("SYMBOLON__CREDENTIALS__BUILTIN", "true")
            .env("SYMBOLON__TELEMETRY__LOG_LEVEL", *level)
            .start()
            .await;
        let mut everything = Everything {
            url: broker.url.clone(),
            client: client.clone(),
            caller: Caller::new(KEY, SECRET),
            issuer: &issuer,
            needles: &mut needles,
            called: &mut called,
        };
        everything.use_it(&broker).await;
        let ended = broker.stop().await;
        assert!(ended.stderr.contains("request refused"), "{level}: nothing was refused");
        said.add(&(ended.stdout + &ended.stderr));
        assert_eq!(called, known, "{level}: every operation was used, and succeeded");
    }
    let mut commands = Commands { url: url.clone(), master_keys: MASTER_KEY.to_owned(), said: &mut said };
    commands.handle_secrets(&mut needles, folder.path()).await;
    let (texts, _) = controls(&url).await;
    let dump = dump(&server, &url);
    assert_eq!(texts.search().hits(&dump).len(), texts.secrets().count(), "the search does not find what is in a dump");
    commands.replace_master_keys(&mut needles).await;
    let dumps = [dump, self::dump(&server, &url)];
    run(&url, "checkpoint").await;

    let search = needles.search();
    assert_eq!(search.find(said.text.as_bytes()), [""; 0], "in what processes said");
    for dump in &dumps {
        assert_eq!(search.find(dump), [""; 0], "in a dump");
    }
    let (_, raws) = controls(&url).await;
    let (control, mut there) = (raws.search(), [BTreeSet::new(), BTreeSet::new()]);
    let (mut count, mut size) = (0, 0);
    files(server.cluster_dir(), &mut |path, bytes| {
        (count, size) = (count + 1, size + bytes.len());
        let is_wal = path.parent().is_some_and(|folder| folder.ends_with("pg_wal"));
        let bytes = if is_wal { Cow::Owned(records(bytes)) } else { Cow::Borrowed(bytes) };
        assert_eq!(search.find(&bytes), [""; 0], "in {}", path.display());
        there[usize::from(is_wal)].append(&mut control.hits(&bytes));
    });
    for there in there {
        assert_eq!(there.len(), raws.secrets().count(), "the search does not find what is in tables and in the WAL");
    }
    let log = std::fs::read(server.log()).unwrap();
    assert_eq!(search.find(&log), [""; 0], "in PostgreSQL's log");
    assert!(said.text.contains("\"request_id\":\""), "nothing of the requests is in the logs");

    let mut figures = Figures::of("10-secrets", "Secrets in logs, dumps and files of the database");
    figures.row(
        &format!("operations used, each at log level {}", levels.join(", ")),
        "all",
        format!("{} of {}", called.len(), known.len()),
    );
    figures.row("brokers and commands that were listened to", "", said.processes);
    figures.row("lines that they said", "", said.lines);
    figures.row(
        "MiB of files of the database, write-ahead log and all",
        "",
        format!("{} in {count} files", size >> 20),
    );
    for (what, count) in needles.counts() {
        figures.row(&format!("{what} searched for, each in every form"), "0 found", format!("0 of {count}"));
    }
    let control = texts.secrets().count() + 2 * raws.secrets().count();
    figures.row("identities and sealed values found by the same search", "all", format!("{control} of {control}"));
    figures.publish();
    server.stop().await.unwrap();
}

/// What a file of the write-ahead log holds between the headers of its pages, which could stand in a secret's middle.
fn records(file: &[u8]) -> Vec<u8> {
    let header = |page: usize| if page == 0 { 40 } else { 24 };
    file.chunks(8_192)
        .enumerate()
        .flat_map(|(number, page)| page.get(header(number)..).unwrap_or_default().to_vec())
        .collect()
}

/// A dump in plain text.
fn dump(server: &Postgres, url: &str) -> Vec<u8> {
    let output = Command::new(server.bin_dir().join("pg_dump")).args(["--dbname", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
