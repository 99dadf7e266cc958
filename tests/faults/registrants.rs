//! Clients who register users without pause, with either of two brokers, and what becomes of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::broker::Broker;
use crate::client::Client;
use crate::database::{count, orphans, users};
use crate::figures::Figures;

const CLIENTS: usize = 8;

/// A client that was refused asks the other broker after this.
const PAUSE: Duration = Duration::from_millis(20);

/// A registration that was acknowledged.
pub struct Acknowledged {
    pub began: Instant,
    pub broker: usize,
    user: String,
    identity: String,
}

/// The clients.
pub struct Registrants {
    client: Client,
    pool: String,
    urls: Mutex<[String; 2]>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// Requests without an answer, or refused since the database was away.
    in_vain: AtomicUsize,
    /// No more users are needed.
    is_done: AtomicBool,
}

impl Registrants {
    /// Clients of these brokers, with a pool of their own.
    pub async fn of(client: Client, brokers: [&Broker; 2]) -> Arc<Self> {
        Arc::new(Self {
            pool: client.create_pool(&brokers[0].url).await,
            client,
            urls: Mutex::new(brokers.map(|broker| broker.url.clone())),
            acknowledged: Mutex::default(),
            in_vain: AtomicUsize::new(0),
            is_done: AtomicBool::new(false),
        })
    }

    /// They begin to register one user after the other.
    pub fn gather(self: &Arc<Self>) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let registrants = Arc::clone(self);
            clients.spawn(async move {
                for user in (number..).step_by(CLIENTS) {
                    if registrants.is_done.load(Ordering::SeqCst) {
                        return;
                    }
                    registrants.register(format!("user-{user}"), user / CLIENTS % 2).await;
                }
            });
        }
        clients
    }

    /// Registers a user, with one broker or the other, until it is acknowledged.
    async fn register(&self, user: String, mut broker: usize) {
        loop {
            let url = self.urls.lock().unwrap()[broker].clone();
            let began = Instant::now();
            if let Ok(answer) = self.client.send(&self.client.token_request(&url, &self.pool, &user)).await {
                if answer.status == 200 {
                    let identity = answer.member("IdentityId");
                    self.acknowledged.lock().unwrap().push(Acknowledged { began, broker, user, identity });
                    return;
                }
                answer.is_internal_error();
            }
            self.in_vain.fetch_add(1, Ordering::SeqCst);
            broker = 1 - broker;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A broker has been started in another's place.
    pub fn turn_to(&self, broker: usize, url: &str) {
        url.clone_into(&mut self.urls.lock().unwrap()[broker]);
    }

    /// Waits until so many registrations were acknowledged.
    pub async fn until(&self, number: usize) {
        self.until_seen("registrations", |acknowledged| acknowledged.len() >= number).await;
    }

    /// Waits until each of these brokers has acknowledged something that was asked after a moment, and says how long
    /// that took from then.
    pub async fn recovery(&self, since: Instant, brokers: &[usize]) -> Duration {
        let has_answered = |acknowledged: &[Acknowledged], broker| {
            acknowledged.iter().rev().any(|one| one.broker == broker && one.began > since)
        };
        let all_have = |acknowledged: &[Acknowledged]| brokers.iter().all(|broker| has_answered(acknowledged, *broker));
        self.until_seen("an answer", all_have).await;
        since.elapsed()
    }

    async fn until_seen(&self, what: &str, is_so: impl Fn(&[Acknowledged]) -> bool) {
        let waiting = Instant::now();
        while !is_so(&self.acknowledged.lock().unwrap()) {
            assert!(waiting.elapsed() < Duration::from_mins(1), "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets the clients end, once so many registrations were acknowledged, and has every user asked for again. All are
    /// there, with the identity that was acknowledged, and nobody is there twice. Says so in the figures.
    pub async fn part(
        self: &Arc<Self>,
        clients: JoinSet<()>,
        number: usize,
        database_url: &str,
        figures: &mut Figures,
    ) {
        self.until(number).await;
        self.is_done.store(true, Ordering::SeqCst);
        clients.join_all().await;
        let all = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        self.confirm(&all).await;

        let stored = users(database_url).await;
        let is_missing =
            |one: &&Acknowledged| stored.get(&one.user).map(String::as_str) != Some(unique_part(&one.identity));
        let missing = all.iter().filter(is_missing).count();
        let identities = count(database_url, "select count(*) from identities").await;
        let twice = identities - i64::try_from(all.len()).unwrap();
        assert_eq!((missing, twice, orphans(database_url).await), (0, 0, (0, 0)));

        figures.row("Registrations that two brokers acknowledged", "", all.len());
        let in_vain = self.in_vain.load(Ordering::SeqCst);
        figures.row("Requests that got no answer, or were refused, and were repeated", "", in_vain);
        figures.row("Acknowledged registrations that are missing", "0", missing);
        figures.row("Users who are there twice", "0", twice);
    }

    /// Asks for every user again, at either broker.
    async fn confirm(self: &Arc<Self>, acknowledged: &[Acknowledged]) {
        let mut clients = JoinSet::new();
        for share in acknowledged.chunks(acknowledged.len().div_ceil(CLIENTS)) {
            let share: Vec<_> = share.iter().map(|one| (one.user.clone(), one.identity.clone())).collect();
            let registrants = Arc::clone(self);
            clients.spawn(async move {
                let urls = registrants.urls.lock().unwrap().clone();
                for (number, (user, identity)) in share.into_iter().enumerate() {
                    let told = registrants.client.identity(&urls[number % 2], &registrants.pool, &user).await;
                    assert_eq!(told, identity, "{user}");
                }
            });
        }
        clients.join_all().await;
    }
}

/// What is behind the region of an identity's id.
pub fn unique_part(identity: &str) -> &str {
    identity.split_once(':').unwrap().1
}
