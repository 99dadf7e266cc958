//! Requests that are too large, too slow or too many.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::broker::{Broker, Launch};
use crate::client::{self, Answer, Client};
use crate::database::Database;
use crate::raw::{self, Raw};

const LARGEST: usize = 768 * 1024;

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_its_connection_closed() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&broker.url).await;

    // Announced, and never sent.
    let mut announced = Raw::connect(&broker.url).await.unwrap();
    announced.send(raw::head("GetId", LARGEST + 1).as_bytes()).await.unwrap();
    // Sent in chunks, whose sum nobody announced.
    let mut chunked = Raw::connect(&broker.url).await.unwrap();
    let head = raw::head("GetId", 0).replace("content-length: 0", "transfer-encoding: chunked");
    chunked.send(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", LARGEST / 2, " ".repeat(LARGEST / 2));
    chunked.send(chunk.as_bytes()).await.unwrap();
    chunked.send(chunk.as_bytes()).await.unwrap();
    chunked.send(b"1\r\n \r\n").await.unwrap();
    for mut connection in [announced, chunked] {
        let refused = connection.response().await.unwrap();
        assert_eq!(refused.status, 413, "{refused:?}");
        assert!(refused.closes(), "{refused:?}");
        assert!(refused.body.contains("RequestEntityTooLargeException"), "{refused:?}");
        connection.closed().await;
    }

    // Sent whole by clients who read only then.
    for length in [LARGEST + 1, 4 * LARGEST] {
        for _ in 0..3 {
            let refused = client::send_blanks(&broker.url, length).await;
            assert_eq!((refused.status, refused.exception()), (413, "RequestEntityTooLargeException"), "{refused:?}");
        }
    }

    // The largest body that is taken, blanks and all.
    let body = format!(r#"{{"IdentityPoolId":"{pool}"}}"#);
    let body = format!("{body}{}", " ".repeat(LARGEST - body.len()));
    let mut largest = Raw::connect(&broker.url).await.unwrap();
    largest.send(format!("{}{body}", raw::head("GetId", LARGEST)).as_bytes()).await.unwrap();
    let guest = largest.response().await.unwrap();
    assert_eq!(guest.status, 200, "{guest:?}");
}

#[tokio::test]
async fn who_comes_in_a_crowd_is_let_in_once_the_broker_has_time() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    let pool = client.create_pool(&broker.url).await;
    broker.signal(Signal::SIGSTOP);
    // Of whom the system does not let wait, the first packet is lost, again and again while nobody is let in.
    let crowd = join_all((0..500).map(|_| Raw::connect(&broker.url)));
    let crowd = tokio::time::timeout(Duration::from_secs(10), crowd).await.expect("not all may wait");
    broker.signal(Signal::SIGCONT);
    let mut crowd: Vec<Raw> = crowd.into_iter().map(Result::unwrap).collect();
    let last = crowd.last_mut().unwrap();
    let body = format!(r#"{{"IdentityPoolId":"{pool}"}}"#);
    last.send(format!("{}{body}", raw::head("GetId", body.len())).as_bytes()).await.unwrap();
    assert_eq!(last.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn who_speaks_too_slowly_is_not_listened_to_for_ever() {
    let database = Database::migrated().await;
    let broker = Launch::serve(&database.url)
        .env("SYMBOLON__SERVER__HEADER_TIMEOUT", "1")
        .env("SYMBOLON__SERVER__REQUEST_TIMEOUT", "2")
        .start()
        .await;
    // Both last longer than anybody may be listened to here.
    let endless_head = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{}", "x-a: 1\r\n".repeat(20));
    let (head, body) = (raw::head("GetId", 1_000), " ".repeat(200));
    let (silent, dripping_head, dripping_body) =
        tokio::join!(drip(&broker.url, "", ""), drip(&broker.url, "", &endless_head), drip(&broker.url, &head, &body));
    for (name, (closed_after, _)) in [("silent", &silent), ("head", &dripping_head)] {
        assert!((0.9..3.5).contains(&closed_after.as_secs_f64()), "{name}: {closed_after:?}");
    }
    let (closed_after, said) = dripping_body;
    assert!((1.9..4.5).contains(&closed_after.as_secs_f64()), "{closed_after:?}");
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("did not arrive whole and in time"), "{said}");
    assert_eq!(broker.ask("/livez").await.status, 200);
}

/// Sends the first part at once and then a byte each 100 ms, until the server closes the connection; when that was, and
/// what it said.
async fn drip(url: &str, at_once: &str, slowly: &str) -> (Duration, String) {
    let began = Instant::now();
    let mut connection = Raw::connect(url).await.unwrap();
    connection.send(at_once.as_bytes()).await.unwrap();
    let mut bytes = slowly.bytes();
    while !connection.ended_within(Duration::from_millis(100)).await {
        assert!(began.elapsed() < Duration::from_secs(10), "the server listens for ever");
        if let Some(byte) = bytes.next() {
            let _ = connection.send(&[byte]).await;
        }
    }
    (began.elapsed(), connection.said())
}

/// How many of these answers are refusals for a rate; the others are successes.
fn refused(answers: &[Answer]) -> u32 {
    let mut refused = 0;
    for answer in answers {
        if answer.status != 200 {
            assert_eq!((answer.status, answer.exception()), (400, "TooManyRequestsException"), "{answer:?}");
            assert_eq!(answer.json["message"], "Rate exceeded");
            refused += 1;
        }
    }
    refused
}

/// Asserts that these answers, all since then, are by a rate of so many a second, and so many at once.
#[track_caller]
fn assert_limited(answers: &[Answer], began: Instant, rate: u32) {
    let refused = refused(answers);
    let admitted = u32::try_from(answers.len()).unwrap() - refused;
    let most = f64::from(rate + 1) + f64::from(rate) * began.elapsed().as_secs_f64();
    assert!(refused > 0 && f64::from(admitted) <= most, "{admitted} of {} admitted, not {most}", answers.len());
}

/// What is answered for ten guests, asked for at once through a proxy that says for whom.
async fn guests(broker: &Broker, pool: &str, forwarded_for: impl Fn(usize) -> String) -> Vec<Answer> {
    let body = json!({ "IdentityPoolId": pool });
    let nobody = Client::new("AKIANOBODYASKSABOUT1", "nothing");
    let request = nobody.sign(&broker.url, "GetId", &body);
    let requests: Vec<_> =
        (0..10).map(|number| request.clone().with("x-forwarded-for", &forwarded_for(number))).collect();
    let answers = join_all(requests.iter().map(|request| nobody.send(request))).await;
    answers.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn guests_are_limited_by_the_address_that_a_trusted_proxy_names_and_by_pool() {
    let (database, client) = Database::with_developer().await;
    let serve = Launch::serve(&database.url).env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "1");
    let trusting = serve.clone().env("SYMBOLON__SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
    let by_pool = Launch::serve(&database.url)
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_ADDRESS", "0")
        .env("SYMBOLON__LIMITS__GUESTS_PER_SECOND_PER_POOL", "1");
    let (plain, trusting, by_pool) = tokio::join!(serve.start(), trusting.start(), by_pool.start());
    let pool = client.create_pool(&plain.url).await;
    let other_pool = client.create_pool(&plain.url).await;

    // Without trust all come from one address, whatever they say.
    let began = Instant::now();
    assert_limited(&guests(&plain, &pool, |number| format!("203.0.113.{number}")).await, began, 1);
    // With it each has a rate of its own, and what stands before the last address is not believed.
    assert_eq!(refused(&guests(&trusting, &pool, |number| format!("203.0.113.{number}")).await), 0);
    let began = Instant::now();
    let through_one = guests(&trusting, &pool, |number| format!("198.51.100.{number}, 203.0.113.200")).await;
    assert_limited(&through_one, began, 1);
    // A pool's guests count whoever asks; another's do not.
    let began = Instant::now();
    assert_limited(&guests(&by_pool, &pool, |number| format!("203.0.113.{number}")).await, began, 1);
    assert_eq!(client::get_id(&by_pool.url, &other_pool).await.status, 200);

    // Signed requests have no limit unless one is set.
    for user in 0..30 {
        client.identity(&plain.url, &pool, &format!("user-{user}")).await;
    }
}

#[tokio::test]
async fn signed_requests_are_limited_by_account_and_all_by_address_if_so_configured() {
    let (database, client) = Database::with_developer().await;
    let by_account = Launch::serve(&database.url).env("SYMBOLON__LIMITS__SIGNED_REQUESTS_PER_SECOND_PER_ACCOUNT", "2");
    let by_address = Launch::serve(&database.url).env("SYMBOLON__LIMITS__REQUESTS_PER_SECOND_PER_ADDRESS", "2");
    let (by_account, by_address) = tokio::join!(by_account.start(), by_address.start());
    for broker in [by_account, by_address] {
        let list = client.sign(&broker.url, "ListIdentityPools", &json!({ "MaxResults": 1 }));
        let began = Instant::now();
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(client.send(&list).await.unwrap());
        }
        assert_eq!(refused(&answers), 0);
        let more = join_all((0..8).map(|_| client.send(&list))).await;
        answers.extend(more.into_iter().map(Result::unwrap));
        assert_limited(&answers, began, 2);
    }
}
