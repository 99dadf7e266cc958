//! What one token costs: CPU time of the broker and of Postgres for a known user's token, against one bare signature.
//!
//! `make bench` runs it. Everything is measured in one run, since machines differ and are shared: the ratios are what
//! counts. The broker is the release binary under `symbolon serve`, on a private Postgres; requests are signed before
//! the clock starts, by the official AWS signer, and sent over kept connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark reports by printing")]

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use symbolon::cli::dev_postgres::{Options, Postgres};
use symbolon::config::{Config, Sources};
use symbolon::db::{self, Db};
use symbolon::ids::{AccessKeyId, AccountId, PoolId, Region};
use symbolon::pools::Pool;
use symbolon::pools::Settings;
use symbolon::seal::Seal;
use symbolon::tenants::access_key::Secret;
use symbolon::tenants::{AccessKey, Tenant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ROUNDS: usize = 3;
const USERS: usize = 10_000;
/// Enough for the system's hundredths of a second to be exact to a percent or so.
const REQUESTS: [(&str, usize); 2] = [("RS256", 8_000), ("ES256", 30_000)];
const CONNECTIONS: usize = 16;
const BARE_SIGNATURES: u32 = 2_000;
/// The length of a developer token's signing input.
const MESSAGE: [u8; 483] = [b'a'; 483];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (algorithm, tokens) in REQUESTS {
        let bare = bare_signature(algorithm);
        let mut rounds = runtime.block_on(measure(algorithm, tokens));
        rounds.sort_by(|a, b| a.broker.total_cmp(&b.broker));
        report(algorithm, tokens, bare, &rounds);
    }
}

/// One round's figures: CPU microseconds per token, tokens per second, and latencies in milliseconds.
struct Round {
    broker: f64,
    postgres: f64,
    client: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

fn report(algorithm: &str, tokens: usize, bare: f64, rounds: &[Round]) {
    let median = &rounds[rounds.len() / 2];
    let range = |of: fn(&Round) -> f64| {
        let (low, high) = rounds.iter().map(of).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        format!("{:.1} ({low:.1}-{high:.1})", of(median))
    };
    println!(
        "\n{algorithm}, known user, {CONNECTIONS} connections, {tokens} tokens a round, {ROUNDS} rounds: median (range)"
    );
    println!("  bare signature          {bare:.1} us CPU");
    println!("  broker                  {} us CPU per token", range(|round| round.broker));
    println!("  postgres                {} us CPU per token", range(|round| round.postgres));
    println!("  load generator          {} us CPU per token", range(|round| round.client));
    println!(
        "  throughput              {:.0} tokens/s; latency p50 {:.2} ms, p99 {:.2} ms",
        median.rate, median.p50, median.p99
    );
    println!("  broker / bare           {:.2}", median.broker / bare);
    println!("  (broker + pg) / bare    {:.2}", (median.broker + median.postgres) / bare);
}

/// CPU microseconds of this process for one signature with a kept key.
fn bare_signature(algorithm: &str) -> f64 {
    let random = SystemRandom::new();
    let sign: Box<dyn Fn()> = if algorithm == "RS256" {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Box::new(move || {
            let mut out = [0; 256];
            key.sign(&signature::RSA_PKCS1_SHA256, &random, &MESSAGE, &mut out).unwrap();
        })
    } else {
        let key = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Box::new(move || {
            key.sign(&random, &MESSAGE).unwrap();
        })
    };
    (0..100).for_each(|_| sign());
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = own_cpu();
            (0..BARE_SIGNATURES).for_each(|_| sign());
            micros(own_cpu().saturating_sub(before)) / f64::from(BARE_SIGNATURES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

async fn measure(algorithm: &str, tokens: usize) -> Vec<Round> {
    let postgres = Postgres::start(Options::ephemeral()).await.unwrap();
    let master_key = Seal::generate().unwrap();
    let seal = Seal::from_text(&master_key).unwrap();
    let env = [("DATABASE_URL".to_owned(), postgres.url())].into();
    let db = Db::new(&Config::read(&Sources { env, ..Sources::default() }).unwrap().database).unwrap();
    db::migrate(&db).await.unwrap();
    let secret = Secret::generate().unwrap();
    let (key, pool) = populate(&db, &seal, &secret).await;

    let ports = [free_port(), free_port()];
    let mut broker = Command::new(env!("CARGO_BIN_EXE_symbolon"));
    broker
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{}", ports[0]),
            "--admin-listen",
            &format!("127.0.0.1:{}", ports[1]),
        ])
        .env_clear()
        .env("DATABASE_URL", postgres.url())
        .env("SYMBOLON_MASTER_KEY", master_key.as_str())
        .env("SYMBOLON__ISSUER__URL", "https://id.example.com")
        .env("SYMBOLON__ISSUER__ALGORITHM", algorithm)
        .env("SYMBOLON__TELEMETRY__LOG_LEVEL", "warn")
        .stdin(Stdio::null());
    let broker = Broker(broker.spawn().unwrap());
    let address = format!("127.0.0.1:{}", ports[0]);
    for _ in 0..500 {
        if TcpStream::connect(&address).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let requests = Arc::new(signed_requests(&address, &key, secret.expose(), &pool));
    load(&address, &requests, 1_000).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let pids = (broker.0.id().cast_signed(), postgres.pid());
        let before = (process_cpu(pids.0), tree_cpu(pids.1), own_cpu());
        let started = Instant::now();
        let mut latencies = load(&address, &requests, tokens).await;
        let elapsed = started.elapsed();
        let after = (process_cpu(pids.0), tree_cpu(pids.1), own_cpu());
        latencies.sort();
        let per_token = |cpu: Duration| micros(cpu) / count(tokens);
        let percentile = |share: usize| micros(latencies[latencies.len() * share / 100]) / 1_000.0;
        rounds.push(Round {
            broker: per_token(after.0.saturating_sub(before.0)),
            postgres: per_token(after.1.saturating_sub(before.1)),
            client: per_token(after.2.saturating_sub(before.2)),
            rate: count(tokens) / elapsed.as_secs_f64(),
            p50: percentile(50),
            p99: percentile(99),
        });
    }
    drop(broker);
    db.close().await;
    postgres.stop().await.unwrap();
    rounds
}

/// A tenant, its key, a pool, and its users, written straight into the tables.
async fn populate(db: &Db, seal: &Seal, secret: &Secret) -> (AccessKeyId, Pool) {
    let account = AccountId::parse("111122223333").unwrap();
    let key = AccessKeyId::parse("AKIABENCHMARK0000000").unwrap();
    let id = PoolId { region: Region::parse("us-east-1").unwrap(), uuid: symbolon::ids::new_pool_uuid().unwrap() };
    let mut conn = db.connect().await.unwrap();
    symbolon::installation::unseal(&mut conn, seal).await.unwrap();
    Tenant::create(&mut conn, &account, "bench").await.unwrap();
    AccessKey::create(&mut conn, seal, &key, &account, secret).await.unwrap();
    let settings =
        Settings { name: "bench".into(), developer_provider: Some("login.bench".into()), ..Settings::default() };
    let pool = Pool::create(&mut conn, &account, &id, &settings, 10).await.unwrap();
    let users = i32::try_from(USERS).unwrap();
    sqlx::query(
        "with made as (insert into logins (route, provider_no, identity_id, subject_key)
                       select $1, 1, gen_random_uuid(), '\\x00'::bytea || convert_to('user-' || n, 'UTF8')
                       from generate_series(0, $2 - 1) n returning identity_id)
         insert into identities (route, identity_id) select $1, identity_id from made",
    )
    .bind(pool.routes()[0])
    .bind(users)
    .execute(&mut conn)
    .await
    .unwrap();
    sqlx::query("vacuum analyze logins").execute(&mut conn).await.unwrap();
    (key, pool)
}

/// One request for each of a random choice of users, as bytes to be sent.
fn signed_requests(address: &str, key: &AccessKeyId, secret: &[u8], pool: &Pool) -> Vec<Vec<u8>> {
    let secret = String::from_utf8(secret.to_vec()).unwrap();
    let identity = Credentials::new(key.as_str(), secret, None, None, "benchmark").into();
    let target = "AWSCognitoIdentityService.GetOpenIdTokenForDeveloperIdentity";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..2_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let user = usize::try_from(state >> 33).unwrap() % USERS;
            let body = format!(r#"{{"IdentityPoolId":"{}","Logins":{{"login.bench":"user-{user}"}}}}"#, pool.id);
            let headers = [("content-type", "application/x-amz-json-1.1"), ("host", address), ("x-amz-target", target)];
            #[expect(clippy::disallowed_methods, reason = "the signer asks for the date of the machine")]
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region("us-east-1")
                .name("cognito-identity")
                .time(SystemTime::now())
                .settings(SigningSettings::default())
                .build()
                .unwrap()
                .into();
            let url = format!("http://{address}/");
            let signable =
                SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
            let (instructions, _) = sign(signable, &params).unwrap().into_parts();
            let mut request = "POST / HTTP/1.1\r\n".to_owned();
            for (name, value) in headers.into_iter().chain(instructions.headers()) {
                write!(request, "{name}: {value}\r\n").unwrap();
            }
            write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
            request.into_bytes()
        })
        .collect()
}

/// Sends `total` requests over all connections, each as soon as the one before is answered; returns the latencies.
async fn load(address: &str, requests: &Arc<Vec<Vec<u8>>>, total: usize) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
        workers.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut answer = Vec::with_capacity(8_192);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return latencies;
                }
                let started = Instant::now();
                stream.write_all(&requests[number % requests.len()]).await.unwrap();
                read_answer(&mut stream, &mut answer).await;
                latencies.push(started.elapsed());
                assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            }
        }));
    }
    let mut latencies = Vec::with_capacity(total);
    for worker in workers {
        latencies.extend(worker.await.unwrap());
    }
    latencies
}

async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        assert!(stream.read_buf(answer).await.unwrap() > 0, "the broker closed a connection");
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if answer.len() >= head + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// User and system time of this process.
fn own_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().cast_unsigned(), u32::try_from(time.tv_usec()).unwrap() * 1_000)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// User and system time of a process and of those of its children that have ended.
fn process_cpu(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = (11..=14).filter_map(|index| fields.get(index)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The same of a process and of all its living children.
fn tree_cpu(pid: i32) -> Duration {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let living: Duration = children.split_whitespace().filter_map(|child| child.parse().ok()).map(process_cpu).sum();
    process_cpu(pid) + living
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn count(number: usize) -> f64 {
    number as f64
}
