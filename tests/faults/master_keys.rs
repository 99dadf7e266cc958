//! The master key is rotated by the documented steps while clients call two replicas without a pause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use symbolon::seal::Seal;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinSet;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::{self, Answer, Client};
use crate::database::{ACCOUNT, Database, run};
use crate::figures::{Figures, size};
use crate::forms::Caller;
use crate::operator::Operator;

const USERS: usize = 40;
const ROLE: &str = "guest";

/// Two replicas behind something that knows which of them is there: who is to be restarted gets no new calls, and those
/// that it has are let go to their end.
struct Replicas {
    url: String,
    behind: [RwLock<Option<Broker>>; 2],
    restarts: AtomicUsize,
}

impl Replicas {
    async fn start(url: &str) -> Self {
        let launch = launch(url, MASTER_KEY);
        let (one, other) = tokio::join!(launch.start(), launch.start());
        let behind = [RwLock::new(Some(one)), RwLock::new(Some(other))];
        Self { url: url.to_owned(), behind, restarts: AtomicUsize::new(0) }
    }

    /// A replica that is there, and stays for as long as this is held: this one, or else the other.
    async fn at(&self, number: usize) -> RwLockReadGuard<'_, Broker> {
        let held = match self.behind[number % 2].try_read() {
            Ok(held) => held,
            Err(_) => self.behind[(number + 1) % 2].read().await,
        };
        RwLockReadGuard::map(held, |broker| broker.as_ref().unwrap())
    }

    /// Restarts one after the other with other master keys.
    async fn restart(&self, master_keys: &str) {
        for behind in &self.behind {
            let mut place = behind.write().await;
            place.take().unwrap().stop().await;
            *place = Some(launch(&self.url, master_keys).start().await);
            self.restarts.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn launch(url: &str, master_keys: &str) -> Launch {
    Launch::serve(url)
        .env("SYMBOLON_MASTER_KEY", master_keys)
        .env("SYMBOLON__CREDENTIALS__BUILTIN", "true")
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0")
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_POOL", "0")
}

/// What everybody knows.
struct Stage {
    replicas: Replicas,
    client: Client,
    pool: String,
    users: Vec<String>,
    guest: String,
    /// Those that commands have by now.
    master_keys: RwLock<String>,
    /// The access keys that were made, the latest last.
    made: Mutex<Vec<Client>>,
    /// Each operation with how often it was done; those that failed, with what came back.
    done: Mutex<BTreeMap<&'static str, usize>>,
    failed: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Stage {
    async fn set(database: &Database, client: Client) -> Self {
        let replicas = Replicas::start(&database.url).await;
        let broker = replicas.at(0).await;
        let url = &broker.url;
        let pool = client.create_pool(url).await;
        let mut users = Vec::new();
        for number in 0..USERS {
            users.push(client.identity(url, &pool, &format!("user-{number}")).await);
        }
        let guest = client::get_id(url, &pool).await.member("IdentityId");
        let roles = json!({ "unauthenticated": format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}") });
        let roles = json!({ "IdentityPoolId": pool, "Roles": roles });
        assert_eq!(client.call(url, "SetIdentityPoolRoles", &roles).await.status, 200);
        drop(broker);
        let trust = json!({ "Statement": { "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                            "Principal": { "Federated": "cognito-identity.amazonaws.com" },
                            "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } } } });
        run(
            &database.url,
            &format!(
                "insert into iam_roles (account_id, name_key, name, path, role_id, max_session_duration, trust_policy)
                 values ('{ACCOUNT}', '{ROLE}', '{ROLE}', '/', 'AROAEXAMPLE', 3600, '{trust}')"
            ),
        )
        .await;
        let master_keys = RwLock::new(MASTER_KEY.to_owned());
        let (made, done, failed) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { replicas, client, pool, users, guest, master_keys, made, done, failed, stop: AtomicBool::new(false) }
    }

    /// Counts an operation; it failed if what came back is not what it must be.
    fn count(&self, operation: &'static str, good: bool, answer: &dyn std::fmt::Debug) {
        *self.done.lock().unwrap().entry(operation).or_default() += 1;
        if !good {
            self.failed.lock().unwrap().push(format!("{operation}: {answer:?}"));
        }
    }

    async fn asked(&self, number: usize, operation: &'static str, body: &Value) -> Option<Answer> {
        self.asked_by(&self.client, number, operation, body).await
    }

    async fn asked_by(&self, client: &Client, number: usize, operation: &'static str, body: &Value) -> Option<Answer> {
        let is_signed = operation != "GetCredentialsForIdentity";
        let broker = self.replicas.at(number).await;
        let request = if is_signed {
            client.sign(&broker.url, operation, body)
        } else {
            client::unsigned(&broker.url, operation, body)
        };
        let answer = client.send(&request).await;
        drop(broker);
        let good = answer.as_ref().is_ok_and(|answer| answer.status == 200);
        self.count(operation, good, &answer);
        answer.ok().filter(|_| good)
    }

    /// The identities after a page token: the same for everybody, since they are not changed.
    async fn page(&self, number: usize, token: Option<&str>) -> Option<Answer> {
        let mut body = json!({ "IdentityPoolId": self.pool, "MaxResults": 7 });
        if let Some(token) = token {
            body["NextToken"] = json!(token);
        }
        self.asked(number, "ListIdentities", &body).await
    }

    async fn session(&self, number: usize) -> Option<Caller> {
        let given = self.asked(number, "GetCredentialsForIdentity", &json!({ "IdentityId": self.guest })).await?;
        let of = |name: &str| given.json["Credentials"][name].as_str().unwrap().to_owned();
        Some(Caller::of_session(&of("AccessKeyId"), &of("SecretKey"), &of("SessionToken")))
    }

    async fn who(&self, number: usize, http: &reqwest::Client, session: &Caller) {
        let reply = session.who(http, &self.replicas.at(number).await.url).await;
        let good = reply.as_ref().is_ok_and(|reply| reply.status == 200 && reply.text.contains("assumed-role/guest/"));
        self.count("GetCallerIdentity", good, &reply);
    }

    /// A user's token, for a developer.
    async fn token(&self, client: &Client, number: usize, user: usize) {
        let body = json!({ "IdentityPoolId": self.pool, "Logins": { client::PROVIDER: format!("user-{user}") } });
        if let Some(answer) = self.asked_by(client, number, "GetOpenIdTokenForDeveloperIdentity", &body).await
            && answer.member("IdentityId") != self.users[user]
        {
            self.failed.lock().unwrap().push(format!("user-{user} is another identity: {answer:?}"));
        }
    }

    /// Makes access keys, whose secrets are sealed, and uses each at once, until it is told to stop.
    async fn operate(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let master_keys = self.master_keys.read().await;
            let create = ["access-key", "create", "--account", ACCOUNT, "--output", "json"];
            let ended = Operator::of(&self.replicas.url, &master_keys).run(&create).await;
            drop(master_keys);
            self.count("access-key create", ended.code == Some(0), &ended);
            if ended.code == Some(0) {
                let made: Value = serde_json::from_str(&ended.stdout).unwrap();
                let of = |name: &str| made[name].as_str().unwrap();
                let client = Client::new(of("AccessKeyId"), of("SecretAccessKey"));
                let number = self.made.lock().unwrap().len();
                self.token(&client, number, number % USERS).await;
                self.made.lock().unwrap().push(client);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every access key that was made is good at each replica.
    async fn all_made_are_good(&self) {
        let made = self.made.lock().unwrap().clone();
        for client in &made {
            for replica in 0..2 {
                self.token(client, replica, 0).await;
            }
        }
    }

    /// The next of the documented steps: commands, then brokers, have these master keys.
    async fn step(&self, master_keys: &str) {
        master_keys.clone_into(&mut *self.master_keys.write().await);
        self.replicas.restart(master_keys).await;
    }

    /// One of everything that needs a master key, and of what does not, until it is told to stop.
    async fn load(&self, caller: usize) {
        let http = client::http();
        let mut number = caller;
        while !self.stop.load(Ordering::SeqCst) {
            number += 1;
            self.token(&self.client, number, number * 7 % USERS).await;
            if let Some(page) = self.page(number, None).await {
                let token = page.member("NextToken");
                // Of the other replica, and perhaps after its restart.
                self.page(number + 1, Some(&token)).await;
            }
            if let Some(session) = self.session(number).await {
                self.who(number + 1, &http, &session).await;
            }
            tokio::time::sleep(size(Duration::from_millis(60), Duration::ZERO)).await;
        }
    }

    fn total(&self) -> usize {
        self.done.lock().unwrap().values().sum()
    }

    /// What was made before a step is good after it: a page token, and a session.
    async fn is_still_good(&self, page: &str, first: &Value, session: &Caller) {
        let http = client::http();
        for number in 0..2 {
            let answer = self.page(number, Some(page)).await;
            assert_eq!(answer.map(|answer| answer.json["Identities"].clone()).as_ref(), Some(first));
            self.who(number, &http, session).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_is_rotated_under_load_and_no_operation_fails() {
    let rotations = size(1, 8);
    let (database, client) = Database::with_developer().await;
    let stage = Arc::new(Stage::set(&database, client).await);
    let mut callers = JoinSet::new();
    for caller in 0..size(2, 4) {
        let stage = Arc::clone(&stage);
        callers.spawn(async move { stage.load(caller).await });
    }
    let operator = Arc::clone(&stage);
    callers.spawn(async move { operator.operate().await });
    let mut old = MASTER_KEY.to_owned();
    let (mut resealed, mut survived) = (0, 0);
    for rotation in 0..rotations {
        let new = Seal::generate().unwrap().to_string();
        let (old_first, new_first) = (format!("{old},{new}"), format!("{new},{old}"));
        let page = stage.page(0, None).await.unwrap().member("NextToken");
        let second = stage.page(1, Some(&page)).await.unwrap().json["Identities"].clone();
        let session = stage.session(0).await.unwrap();

        stage.step(&old_first).await;
        stage.is_still_good(&page, &second, &session).await;
        stage.step(&new_first).await;
        stage.is_still_good(&page, &second, &session).await;
        // Made under the new one: they outlive the old one.
        let later_page = stage.page(1, None).await.unwrap().member("NextToken");
        let later_session = stage.session(1).await.unwrap();
        let operator = Operator::of(&database.url, &new_first);
        let rotated = operator.json(&["master-key", "rotate"]).await;
        assert_eq!(rotated["RemovedKeyIds"].as_array().unwrap().len(), 1, "{rotated}");
        resealed += rotated["AccessKeys"].as_u64().unwrap() + rotated["SigningKeys"].as_u64().unwrap();
        stage.is_still_good(&page, &second, &session).await;
        stage.step(&new).await;
        stage.is_still_good(&later_page, &second, &later_session).await;
        stage.all_made_are_good().await;
        survived += 2;
        // The old key opens nothing any more, and what only it made is over.
        let refused = session.who(&client::http(), &stage.replicas.at(0).await.url).await.unwrap();
        assert!(refused.status != 200, "rotation {rotation}: {refused:?}");
        Operator::of(&database.url, &old).run(&["master-key", "rotate"]).await.told(3, &["sealed"]);
        old = new;
    }
    stage.stop.store(true, Ordering::SeqCst);
    callers.join_all().await;

    let failed = stage.failed.lock().unwrap().clone();
    assert!(failed.is_empty(), "{} of {} failed: {:#?}", failed.len(), stage.total(), &failed[..failed.len().min(5)]);
    let done = stage.done.lock().unwrap().clone();
    assert!(done.len() == 5 && done.values().all(|count| *count >= rotations), "{done:?}");
    assert_eq!(stage.replicas.restarts.load(Ordering::SeqCst), 6 * rotations);

    let mut figures =
        Figures::of("10-master-keys", "Master-key rotation under load, two replicas, by the documented steps");
    figures.row("rotations", "", rotations);
    figures.row("rolling restarts of a replica", "", 6 * rotations);
    figures.row("secrets sealed anew", "", resealed);
    figures.row(
        "access keys made meanwhile, each good at both replicas ever after",
        "",
        stage.made.lock().unwrap().len(),
    );
    for (operation, count) in &done {
        figures.row(&format!("operations: {operation}"), "", count);
    }
    figures.row("failed operations", "0", format!("{} of {}", failed.len(), stage.total()));
    figures.row("page tokens and session tokens that outlived a rotation", "all", format!("{survived} of {survived}"));
    figures.publish();
}
