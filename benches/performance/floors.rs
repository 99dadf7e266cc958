//! What nothing can be cheaper than: one signature with a kept key, and one look-up of a login.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};
use symbolon::identities::login::{DeveloperUser, Login, LoginKey};

use crate::population::Population;
use crate::process::Cpu;

/// The length of a developer token's signing input.
const MESSAGE: [u8; 483] = [b'a'; 483];
const LOOKUPS: usize = 20_000;
const AT_ONCE: usize = 16;

/// Signs on one core, as often as takes a quarter of a second or more.
pub struct BareSignature {
    sign: Box<dyn Fn() + Sync>,
    times: u32,
}

impl BareSignature {
    pub fn of(algorithm: &str) -> Self {
        let random = SystemRandom::new();
        if algorithm == "RS256" {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let sign = move || {
                let mut out = [0; 256];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, &MESSAGE, &mut out).unwrap();
            };
            Self { sign: Box::new(sign), times: 1_000 }
        } else {
            let key = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let sign = move || {
                key.sign(&random, &MESSAGE).unwrap();
            };
            Self { sign: Box::new(sign), times: 15_000 }
        }
    }

    /// CPU microseconds of one signature.
    pub fn measure(&self) -> f64 {
        (0..100).for_each(|_| (self.sign)());
        let before = Cpu::own();
        (0..self.times).for_each(|_| (self.sign)());
        (Cpu::own() - before).micros() / f64::from(self.times)
    }

    /// The same while every core signs: they share more of the machine than their name says.
    pub fn measure_on_every_core(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let before = Cpu::own();
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| (0..self.times).for_each(|_| (self.sign)()));
            }
        });
        let each = (Cpu::own() - before).micros() / f64::from(self.times);
        each / f64::from(u32::try_from(cores).unwrap())
    }
}

/// CPU microseconds of one look-up.
#[derive(Clone, Copy)]
pub struct Lookup {
    pub client: f64,
    pub server: f64,
}

/// Looks users' identities up over the connections that a broker would keep, several at once.
pub async fn lookups(population: &Population) -> Lookup {
    let key = |user: &String| DeveloperUser::parse(user.clone()).unwrap().key(&population.pool);
    let keys: Arc<Vec<LoginKey>> = Arc::new(population.users.iter().map(key).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let before = (Cpu::own(), population.server.cpu());
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (db, keys, next) = (Arc::clone(&population.db), Arc::clone(&keys), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(key) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < LOOKUPS) {
                    let mut conn = db.acquire().await.unwrap();
                    assert!(Login::owner(&mut conn, &keys[key % keys.len()]).await.unwrap().is_some());
                    conn.give_back();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let each = |cpu: Cpu| cpu.micros() / f64::from(u32::try_from(LOOKUPS).unwrap());
    Lookup { client: each(Cpu::own() - before.0), server: each(population.server.cpu() - before.1) }
}
