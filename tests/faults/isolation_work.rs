//! A refused signature costs the broker the same whatever is wrong with it, and whoever has the access key.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::sigv4::{Rules, Service, parse};
use symbolon::tenants::access_key::{Secret, UsableKey};
use symbolon::tenants::remembered_key::RememberedKey;
use time::OffsetDateTime;

use crate::broker::{Broker, Launch};
use crate::client::{Client, PROVIDER, Signed};
use crate::database::{ACCOUNT, Database, add_developer_of};
use crate::figures::{Figures, is_whole, size};
use crate::isolation::{NO_POOL, OTHER};

/// What is wrong with a signature.
const KINDS: [&str; 3] =
    ["an access key that nobody has", "a foreign key, wrong secret", "one's own key, wrong secret"];

/// A broker that does little but what it is asked.
async fn quiet(database: &Database) -> Broker {
    Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__WORKERS", "1")
        .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_signature_costs_the_same_whatever_is_wrong_with_it() {
    let (rounds, calls) = (size(31, 151), size(10, 30));
    let (database, own) = Database::with_developer().await;
    let foreign = add_developer_of(OTHER, &database.url, "AKIADEVELOPERNUMBER2").await;
    let broker = quiet(&database).await;
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

/// How often the whole request is hashed for a signature, by what is wrong with that. A body that takes long to hash makes
/// each time visible in what the whole call costs: as against a small body, and as against a signature of no form, for which
/// the same is read, and nothing hashed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_is_hashed_once_for_any_access_key_that_is_not_remembered() {
    /// Under `server.max_body_bytes`.
    const LONG: usize = 700_000;
    const WRONG: &str = "wrongwrongwrongwrongwrongwrongwrongwrong";
    let (rounds, calls) = (size(1, 61), size(1, 10));
    let (database, own) = Database::with_developer().await;
    add_developer_of(OTHER, &database.url, "AKIADEVELOPERNUMBER2").await;
    let broker = quiet(&database).await;
    let pool = own.create_pool(&broker.url).await;
    // Remembered from here on. The foreign one is not, since nobody signs with it rightly.
    own.identity(&broker.url, &pool, "user").await;
    let session = |signed: Signed| {
        let listed = signed.header("authorization").replace("x-amz-date;", "x-amz-date;x-amz-security-token;");
        signed.with("authorization", &listed).with("x-amz-security-token", "AAAA")
    };
    let formless = |signed: Signed| {
        let cut = signed.header("authorization").replace("Signature=", "Signature=g");
        signed.with("authorization", &cut)
    };
    let as_signed = |signed: Signed| signed;
    let (unknown, mismatch) = ("UnrecognizedClientException", "InvalidSignatureException");
    // The first two are the measure: hashed never, and twice, for a key in memory may have changed in the database.
    let kinds: [(_, _, &dyn Fn(Signed) -> Signed, _); 6] = [
        ("a signature of no form", "AKIADEVELOPERNUMBER1", &formless, mismatch),
        ("one's own key, remembered", "AKIADEVELOPERNUMBER1", &as_signed, mismatch),
        ("a foreign key, not remembered", "AKIADEVELOPERNUMBER2", &as_signed, mismatch),
        ("an access key that nobody has", "AKIANOBODYASKSABOUT1", &as_signed, unknown),
        ("an access key of no form", "AKIA-NOBODY-HAS-THIS", &as_signed, unknown),
        ("a session that is nobody's", "ASIANOBODYASKSABOUT1", &session, unknown),
    ];
    let requests = kinds.map(|(_, key, change, _)| {
        ["", &*"x".repeat(LONG)].map(|filling| {
            let body = json!({ "IdentityPoolId": NO_POOL, "Logins": { PROVIDER: filling } });
            change(Client::new(key, WRONG).sign(&broker.url, "GetOpenIdTokenForDeveloperIdentity", &body))
        })
    });

    // What the length of the body costs in each round.
    let mut costs = kinds.map(|_| Vec::new());
    for round in 0..rounds {
        for turn in 0..kinds.len() {
            let kind = (turn + round) % kinds.len();
            let [mut short, mut long] = [0.0, 0.0];
            for (request, cpu) in requests[kind].iter().zip([&mut short, &mut long]) {
                let before = cpu_time(&broker);
                for _ in 0..calls {
                    let answer = own.send(request).await.unwrap();
                    assert_eq!((answer.status, answer.exception()), (400, kinds[kind].3), "{answer:?}");
                }
                *cpu = cpu_time(&broker).saturating_sub(before).as_secs_f64();
            }
            costs[kind].push((long - short) / f64::from(calls));
        }
    }
    if !is_whole() {
        // Each was refused as it should be. What that cost takes many calls to tell from whatever else the machine does.
        return;
    }
    // Beyond that of reading it, which is the same round's first kind.
    let hashing = costs.each_ref().map(|costs_of_kind| {
        let mut beyond: Vec<f64> = costs_of_kind.iter().zip(&costs[0]).map(|(cost, read)| cost - read).collect();
        beyond.sort_by(f64::total_cmp);
        beyond[rounds / 2]
    });
    let once = hashing[1] / 2.0;
    assert!(once > 0.0, "hashing a long body costs nothing: {hashing:?}");
    let hashed = hashing.map(|hashing| hashing / once);
    for ((name, ..), hashed) in kinds.iter().zip(&hashed).skip(2) {
        assert!((0.5..1.5).contains(hashed), "for {name} a request is hashed {hashed:.2} times: {hashing:?}");
    }

    let mut figures = Figures::of("9-isolation-hashes", "Isolation: how often a refused request is hashed");
    figures.row("hashing a body of 700 kB, of the broker's CPU", "", format!("{:.0} µs", once * 1_000_000.0));
    for (kind, ((name, ..), hashed)) in kinds.iter().zip(&hashed).enumerate() {
        let promise = ["0: the measure", "2: the measure"].get(kind).unwrap_or(&"1, by less than a half");
        figures.row(&format!("{name}: times that the request is hashed"), promise, format!("{hashed:.2}"));
    }
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
            let before = own_cpu_time();
            for key in &found {
                refuse(kind, key);
            }
            times[kind].push(own_cpu_time().saturating_sub(before) / AT_ONCE);
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

/// The time that this thread has spent on a processor.
fn own_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
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
