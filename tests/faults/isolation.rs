//! Tenants who share two replicas, with everything of theirs remembered there: a foreign id is as one that nobody has.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use symbolon::aws_query::shapes::{IAM_OPERATIONS, STS_OPERATIONS};

use crate::broker::Broker;
use crate::client::{Answer, Client, get_id};
use crate::database::{ACCOUNT, add_developer_of, checksum, run};
use crate::federation::Federation;
use crate::figures::{Figures, size};
use crate::query_operations::{Declared, OF_NONE};
use crate::questions::{DEVELOPER, Named, OF_IDENTITIES, OF_POOLS, OF_RESOURCES};

pub const OTHER: &str = "210987654321";
/// Ids of the right form that nobody has.
pub const NO_POOL: &str = "us-east-1:3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const NO_IDENTITY: &str = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab";

/// A tenant, with a pool and those who are in it.
struct Home {
    client: Client,
    account: &'static str,
    pool: String,
    user: String,
    guest: String,
    logins: Value,
    declared: Declared,
}

impl Home {
    async fn of(at: &Federation, url: &str, client: &Client, account: &'static str) -> Self {
        let settings = at.pool_settings_of(account);
        let pool = client.call(url, "CreateIdentityPool", &settings).await.member("IdentityPoolId");
        let logins = at.logins(&["a:ann"]);
        let mut both = logins.clone();
        both[DEVELOPER] = json!("user");
        let body = json!({ "IdentityPoolId": pool, "Logins": both });
        let user = client.call(url, "GetOpenIdTokenForDeveloperIdentity", &body).await;
        let declared = Declared::by(client, url, account, &pool, user.member("Token")).await;
        client.identity(url, &pool, "friend").await;
        let guest = get_id(url, &pool).await.member("IdentityId");
        Self { client: client.clone(), account, pool, user: user.member("IdentityId"), guest, logins, declared }
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
    let text = match answer.text.split_once("<RequestId>") {
        Some((text, _)) => text,
        None => &answer.text,
    };
    (answer.status, headers.collect(), text.replace(id, "ID"))
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
    let launch = at.serve(url).env("SYMBOLON__CREDENTIALS__BUILTIN", "true");
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
    let operations = OF_POOLS.len() + OF_IDENTITIES.len() + OF_RESOURCES.len() + of_query().count();
    figures.row("questions, each of a foreign id and of one that nobody has, at each replica", "", operations);
    figures.row("answers compared", "none differs by whose the id is", questions);
    figures.row("rows changed", "0", 0);
    figures.publish();
}

/// Every operation of IAM and STS that names something.
fn of_query() -> impl Iterator<Item = &'static str> {
    IAM_OPERATIONS.iter().chain(STS_OPERATIONS).copied().filter(|action| !OF_NONE.contains(action))
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
        for action in of_query() {
            self.compare_declared(action).await;
        }
        for action in OF_NONE.into_iter().filter(|action| action.starts_with("List")) {
            let request = own.declared.request(&own.client, &self.replica.url, action);
            let listed = own.client.send(&request).await.unwrap().text;
            assert!(listed.contains(own.declared.part()), "{action}: {listed}");
            assert!(!listed.contains(foreign.declared.part()), "{action}: {listed}");
        }
    }

    /// Asks IAM or STS about what nobody has declared, in one's own account and in the foreign one, and about what is
    /// declared in the foreign one only.
    async fn compare_declared(&mut self, action: &str) {
        let (own, foreign, nobodys) = (&self.own.declared, &self.foreign.declared, NO_POOL.split_once(':').unwrap().1);
        let url = &self.replica.url;
        for account in [self.own.account, self.foreign.account] {
            let ask = async |part: &str| {
                self.own
                    .client
                    .send(&own.elsewhere(account, part).request(&self.own.client, url, action))
                    .await
                    .unwrap()
            };
            self.own.warm(url).await;
            let expected = essence(&ask(nobodys).await, nobodys);
            // IAM has deleted what is not there.
            let is_done = expected.0 == 200 && action == "DeleteOpenIDConnectProvider";
            assert!([403, 404].contains(&expected.0) || is_done, "{action}: {expected:?}");
            self.foreign.warm(url).await;
            let answer = ask(foreign.part()).await;
            assert_eq!(essence(&answer, foreign.part()), expected, "{action} in {account}");
            self.asked += 1;
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
