//! Tenants who share two replicas, with everything of theirs remembered there: a foreign id is as one that nobody has, and a
//! refused signature costs the broker the same whatever is wrong with it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::sigv4::{Rules, Service, parse};
use symbolon::tenants::access_key::{Secret, UsableKey};
use symbolon::tenants::remembered_key::RememberedKey;
use time::OffsetDateTime;

use crate::broker::Broker;
use crate::client::{Answer, Client, PROVIDER, get_id};
use crate::database::{ACCOUNT, Database, add_developer_of, checksum, run};
use crate::federation::Federation;
use crate::figures::{Figures, size};
use crate::questions::{DEVELOPER, Named, OF_IDENTITIES, OF_POOLS, OF_RESOURCES};

const OTHER: &str = "210987654321";
/// Ids of the right form that nobody has.
const NO_POOL: &str = "us-east-1:3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const NO_IDENTITY: &str = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab";

/// A tenant, with a pool and those who are in it.
struct Home {
    client: Client,
    account: &'static str,
    pool: String,
    user: String,
    guest: String,
    logins: Value,
}

impl Home {
    async fn of(at: &Federation, url: &str, client: &Client, account: &'static str) -> Self {
        let settings = at.pool_settings_of(account);
        let pool = client.call(url, "CreateIdentityPool", &settings).await.member("IdentityPoolId");
        let logins = at.logins(&["a:ann"]);
        let mut both = logins.clone();
        both[DEVELOPER] = json!("user");
        let body = json!({ "IdentityPoolId": pool, "Logins": both });
        let user = client.call(url, "GetOpenIdTokenForDeveloperIdentity", &body).await.member("IdentityId");
        client.identity(url, &pool, "friend").await;
        let guest = get_id(url, &pool).await.member("IdentityId");
        Self { client: client.clone(), account, pool, user, guest, logins }
    }

    /// Has the replica remember the tenant's access key and pool.
    async fn warm(&self, url: &str) {
        assert_eq!(self.client.identity(url, &self.pool, "user").await, self.user);
    }

    fn arn(&self) -> String {
        arn(self.account, &self.pool)
    }
}

fn arn(account: &str, pool: &str) -> String {
    format!("arn:aws:cognito-identity:us-east-1:{account}:identitypool/{pool}")
}

/// Everything that two answers to two ids must have in common.
fn essence(answer: &Answer, id: &str) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| !["x-amzn-requestid", "date"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().replace(id, "ID")));
    (answer.status, headers.collect(), answer.text.replace(id, "ID"))
}

/// The rows of all tables but one, where each use of an access key is noted.
async fn rows(url: &str) -> String {
    let sums = checksum(url).await;
    let (kept, left_out): (Vec<&str>, Vec<&str>) = sums.lines().partition(|line| !line.starts_with("access_keys "));
    assert_eq!(left_out.len(), 1, "{sums}");
    kept.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_id_is_as_one_that_nobody_has_at_each_of_two_replicas_that_remember_both_tenants() {
    let rounds = size(1, 3);
    let at = Federation::start(&["ann"]).await;
    let url = &at.database.url;
    let launch = at.serve(url);
    let (one, two) = tokio::join!(launch.start(), launch.start());
    let stranger = add_developer_of(OTHER, url, "AKIADEVELOPERNUMBER2").await;
    let declare = format!(
        "insert into oidc_providers (account_id, url, client_ids)
                           select '{OTHER}', url, client_ids from oidc_providers where account_id = '{ACCOUNT}'"
    );
    run(url, &declare).await;
    let own = Home::of(&at, &one.url, &at.client, ACCOUNT).await;
    let foreign = Home::of(&at, &two.url, &stranger, OTHER).await;
    assert_ne!(own.user, foreign.user, "one user of two tenants has two identities");
    // Each has heard of what the other wrote, and so forgets nothing from here on.
    for (replica, home) in [(&one, &foreign), (&two, &own), (&one, &own), (&two, &foreign)] {
        home.warm(&replica.url).await;
    }
    let before = rows(url).await;

    let mut questions = 0;
    for _ in 0..rounds {
        for replica in [&one, &two] {
            let mut matrix = Matrix { replica, own: &own, foreign: &foreign, asked: 0 };
            matrix.ask_all().await;
            questions += matrix.asked;
        }
    }
    assert_eq!(rows(url).await, before, "a question about what is foreign has changed something");
    // The same questions about one's own do change it: the sum sees that.
    let renamed = json!({ "IdentityPoolId": own.pool, "IdentityPoolName": "renamed",
                          "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER });
    assert_eq!(own.client.call(&two.url, "UpdateIdentityPool", &renamed).await.status, 200);
    assert_ne!(rows(url).await, before);

    let mut figures =
        Figures::of("9-isolation-matrix", "Isolation: the matrix of tenancy over two replicas with warm caches");
    let operations = OF_POOLS.len() + OF_IDENTITIES.len() + OF_RESOURCES.len();
    figures.row("questions, each of a foreign id and of one that nobody has, at each replica", "", operations);
    figures.row("answers compared", "none differs by whose the id is", questions);
    figures.row("rows changed", "0", 0);
    figures.publish();
}

struct Matrix<'a> {
    replica: &'a Broker,
    own: &'a Home,
    foreign: &'a Home,
    asked: usize,
}

impl Matrix<'_> {
    async fn ask_all(&mut self) {
        let (own, foreign) = (self.own, self.foreign);
        for (operation, question) in OF_POOLS {
            for identity in [&own.user, &foreign.user] {
                let about = |pool: &str| question(&Named { pool, identity, logins: &own.logins });
                self.compare(operation, about, NO_POOL, &[&foreign.pool]).await;
            }
        }
        for (operation, question) in OF_IDENTITIES {
            let about = |identity: &str| question(&Named { pool: &own.pool, identity, logins: &own.logins });
            self.compare(operation, about, NO_IDENTITY, &[&foreign.user, &foreign.guest]).await;
        }
        for (operation, question) in OF_RESOURCES {
            self.compare(operation, |pool: &str| question(&arn(own.account, pool)), NO_POOL, &[&foreign.pool]).await;
            self.compare(operation, |pool: &str| question(&arn(foreign.account, pool)), NO_POOL, &[&foreign.pool])
                .await;
            assert_eq!(foreign.arn(), arn(foreign.account, &foreign.pool));
        }
    }

    /// Asks about an id that nobody has, and about foreign ones, while the replica remembers both tenants.
    async fn compare(&mut self, operation: &str, about: impl Fn(&str) -> Value, absent: &str, others: &[&String]) {
        let url = &self.replica.url;
        self.own.warm(url).await;
        let expected = essence(&self.own.client.call(url, operation, &about(absent)).await, absent);
        // Nothing was unprocessed is what a deletion of nothing says.
        assert!(expected.0 == 400 || operation == "DeleteIdentities", "{operation}: {expected:?}");
        for other in others {
            self.foreign.warm(url).await;
            let answer = self.own.client.call(url, operation, &about(other)).await;
            assert_eq!(essence(&answer, other), expected, "{operation} {other}");
            self.asked += 1;
        }
    }
}

/// What is wrong with a signature.
const KINDS: [&str; 3] =
    ["an access key that nobody has", "a foreign key, wrong secret", "one's own key, wrong secret"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_signature_costs_the_same_whatever_is_wrong_with_it() {
    let (rounds, calls) = (size(15, 151), size(10, 30));
    let (database, own) = Database::with_developer().await;
    let foreign = add_developer_of(OTHER, &database.url, "AKIADEVELOPERNUMBER2").await;
    let broker = crate::broker::Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__WORKERS", "1")
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
        .start()
        .await;
    let pool = own.create_pool(&broker.url).await;
    let theirs = foreign.create_pool(&broker.url).await;
    let keys = ["AKIANOBODYASKSABOUT1", "AKIADEVELOPERNUMBER2", "AKIADEVELOPERNUMBER1"];
    let wrong = keys.map(|key| Client::new(key, "wrongwrongwrongwrongwrongwrongwrongwrong"));
    // The two that exist are remembered.
    for (client, pool) in [(&own, &pool), (&foreign, &theirs)] {
        assert_eq!(client.token(&broker.url, pool, "user").await.status, 200);
    }

    let (mut cpu, mut times) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    let body = json!({ "IdentityPoolId": pool, "Logins": { PROVIDER: "user" } });
    for round in 0..rounds {
        for turn in 0..KINDS.len() {
            // Whatever else changes with time meets each of them first as often as last.
            let kind = (turn + round) % KINDS.len();
            let request = wrong[kind].sign(&broker.url, "GetOpenIdTokenForDeveloperIdentity", &body);
            let before = cpu_time(&broker);
            for _ in 0..calls {
                let began = Instant::now();
                let answer = wrong[kind].send(&request).await.unwrap();
                times[kind].push(began.elapsed());
                let expected = if kind == 0 { "UnrecognizedClientException" } else { "InvalidSignatureException" };
                assert_eq!((answer.status, answer.exception()), (400, expected), "{answer:?}");
            }
            cpu[kind].push(cpu_time(&broker).saturating_sub(before) / u32::try_from(calls).unwrap());
        }
    }
    // Against the round's first kind: what else the machine does meets those of one round alike.
    let ratio = |kind: usize| {
        let mut ratios: Vec<f64> =
            cpu[kind].iter().zip(&cpu[0]).map(|(one, first)| one.as_secs_f64() / first.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[rounds / 2]
    };
    let ratios = [ratio(0), ratio(1), ratio(2)];
    let cpu = cpu.map(median);
    let times = times.map(median);
    assert!(cpu.iter().all(|cpu| !cpu.is_zero()), "the system does not say what a process costs");
    let (least, most) = (ratios.iter().copied().fold(1.0, f64::min), ratios.iter().copied().fold(1.0, f64::max));
    let spread = most / least - 1.0;
    assert!(spread < 0.3, "{ratios:?} of {cpu:?}");

    let mut figures = Figures::of("9-isolation-work", "Isolation: the work of refusing a signature");
    for (kind, (cpu, time)) in KINDS.iter().zip(cpu.iter().zip(&times)) {
        let us = |time: &Duration| time.as_secs_f64() * 1_000_000.0;
        let measured = format!("{:.1} µs of the broker's CPU, answered in {:.1} µs", us(cpu), us(time));
        figures.row(&format!("{kind} (medians)"), "", measured);
    }
    let calls = format!("{} %, over {} calls of each", (spread * 100.0).round(), rounds * calls);
    figures.row("dearest over cheapest, of the broker's CPU (medians of the rounds)", "< 30 % apart", calls);
    figures.publish();
}

/// What is done behind the look-up alone, without all that a request costs beside it, which would hide any difference.
#[test]
#[expect(clippy::disallowed_methods, reason = "the signer of a real client reads the real clock")]
fn behind_the_look_up_every_kind_of_wrong_signature_is_the_same_work() {
    const AT_ONCE: u32 = 20;
    let rounds = size(301, 3_001);
    let client = Client::new("AKIADEVELOPERNUMBER1", "wrongwrongwrongwrongwrongwrongwrongwrong");
    let body = json!({ "IdentityPoolId": NO_POOL, "Logins": { PROVIDER: "user" } });
    let (head, body) = client.sign("http://localhost", "GetOpenIdTokenForDeveloperIdentity", &body).received();
    let rules = Rules { services: &[Service::COGNITO_IDENTITY], regions: None };
    let presented = parse(&head, &rules).unwrap().check_time(OffsetDateTime::now_utc()).unwrap();
    let stored = |account: &str, secret: &str| {
        let (id, account_id) =
            (AccessKeyId::parse("AKIADEVELOPERNUMBER1").unwrap(), AccountId::parse(account).unwrap());
        UsableKey { id, account_id, secret: Secret::new(secret), policy: None }
    };
    let refuse = |kind: usize, key: &RememberedKey| {
        if kind == 0 {
            drop(black_box(presented.refuse_unknown_key(body.as_bytes())));
        } else {
            assert!(presented.verify(&key.signing_key(&presented), body.as_bytes()).is_err());
        }
    };

    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds {
        for turn in 0..KINDS.len() {
            let kind = (turn + round) % KINDS.len();
            // As they come from the look-up: nothing has been derived from them yet.
            let account = if kind == 1 { OTHER } else { ACCOUNT };
            let secret = "the right secret of this key, forty bytes";
            let found: Vec<_> = (0..AT_ONCE).map(|_| RememberedKey::new(stored(account, secret))).collect();
            let began = Instant::now();
            for key in &found {
                refuse(kind, key);
            }
            times[kind].push(began.elapsed() / AT_ONCE);
        }
    }
    let times = times.map(median);
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    let spread = most.as_secs_f64() / least.as_secs_f64() - 1.0;
    assert!(spread < 0.15, "{times:?}");

    let mut figures =
        Figures::of("9-isolation-signature", "Isolation: what a wrong signature costs behind the look-up");
    for (kind, time) in KINDS.iter().zip(&times) {
        figures.row(&format!("{kind} (median)"), "", format!("{:.1} µs", time.as_secs_f64() * 1_000_000.0));
    }
    figures.row("dearest over cheapest", "< 15 % apart", format!("{:.1} %", spread * 100.0));
    figures.publish();
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The time that all threads of the process have spent on a processor.
fn cpu_time(broker: &Broker) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", broker.pid())).unwrap();
    let nanos = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
