//! What is asked together, in which order, and that nobody is left without a word.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use super::{Coalescer, PATIENCE};

const MOST: usize = 4;
const MS: Duration = Duration::from_millis(1);

/// A statement that was sent.
#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    questions: Vec<usize>,
}

/// How the database takes a statement.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered(u64),
    Failed(u64),
    Silent,
}

/// A coalescer whose statements meet the fates in their order, and then are answered in a millisecond. The answer to a
/// question is a hundred more.
struct Stage {
    coalescer: Arc<Coalescer<usize, usize>>,
    sent: Arc<StdMutex<Vec<Sent>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stage {
    async fn new(fates: Vec<Fate>) -> Self {
        let coalescer = Arc::new(Coalescer::default());
        let sent = Arc::new(StdMutex::new(Vec::new()));
        let fates = Arc::new(StdMutex::new(fates.into_iter()));
        let (asking, log) = (Arc::clone(&coalescer), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let ask_all = |questions: Vec<usize>| {
                let fate = fates.lock().unwrap().next().unwrap_or(Fate::Answered(1));
                log.lock().unwrap().push(Sent { at: Instant::now(), questions: questions.clone() });
                async move {
                    match fate {
                        Fate::Answered(after) => sleep(MS * u32::try_from(after).unwrap()).await,
                        Fate::Failed(after) => {
                            sleep(MS * u32::try_from(after).unwrap()).await;
                            return None;
                        }
                        Fate::Silent => std::future::pending().await,
                    }
                    Some(questions.iter().map(|question| question + 100).collect())
                }
            };
            asking.run(MOST, ask_all).await;
        });
        // Until it takes questions.
        tokio::task::yield_now().await;
        Self { coalescer, sent, task }
    }

    fn ask(&self, question: usize) -> tokio::task::JoinHandle<Option<usize>> {
        let coalescer = Arc::clone(&self.coalescer);
        tokio::spawn(async move { coalescer.ask(question).await })
    }

    fn statements(&self) -> Vec<Vec<usize>> {
        self.sent.lock().unwrap().iter().map(|sent| sent.questions.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn one_alone_is_asked_at_once_and_the_others_in_the_next_statement_in_their_order() {
    let stage = Stage::new(vec![Fate::Answered(5)]).await;
    let started = Instant::now();
    let mut asked = vec![stage.ask(0)];
    sleep(MS).await;
    assert_eq!(stage.statements(), [vec![0]], "nobody waits for company");
    asked.extend((1..=6).map(|question| stage.ask(question)));
    for (question, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap(), Some(question + 100));
    }
    assert_eq!(stage.statements(), [vec![0], vec![1, 2, 3, 4], vec![5, 6]]);
    assert_eq!(started.elapsed(), MS * 7);
}

#[tokio::test(start_paused = true)]
async fn those_who_fill_a_statement_do_not_wait_behind_a_slow_one() {
    let stage = Stage::new(vec![Fate::Answered(2_500), Fate::Answered(700), Fate::Answered(700)]).await;
    let started = Instant::now();
    let first = stage.ask(0);
    sleep(MS).await;
    let others: Vec<_> = (1..=9).map(|question| stage.ask(question)).collect();
    for (question, asked) in (1..).zip(others).take(8) {
        assert_eq!(asked.await.unwrap(), Some(question + 100));
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(stage.statements(), [vec![0], vec![1, 2, 3, 4], vec![5, 6, 7, 8]]);
    assert_eq!(first.await.unwrap(), Some(100));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_gone_is_not_asked_for() {
    let stage = Stage::new(vec![Fate::Answered(5)]).await;
    let first = stage.ask(0);
    sleep(MS).await;
    let (gone, left) = (stage.ask(1), stage.ask(2));
    sleep(MS).await;
    gone.abort();
    assert_eq!((first.await.unwrap(), left.await.unwrap()), (Some(100), Some(102)));
    assert_eq!(stage.statements(), [vec![0], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_sends_all_away_who_wait_and_nobody_who_comes_later() {
    let stage = Stage::new(vec![Fate::Failed(5)]).await;
    let first = stage.ask(0);
    sleep(MS).await;
    let second = stage.ask(1);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (None, None));
    assert_eq!(stage.ask(2).await.unwrap(), Some(102));
    assert_eq!(stage.statements(), [vec![0], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_statement_is_waited_for_and_a_silent_one_holds_up_nobody_behind_it() {
    for (fate, expected) in [(Fate::Answered(2_500), Some(100)), (Fate::Silent, None)] {
        let stage = Stage::new(vec![fate, Fate::Answered(700)]).await;
        let started = Instant::now();
        let first = stage.ask(0);
        sleep(MS).await;
        let (second, third) = (stage.ask(1), stage.ask(2));
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (Some(101), Some(102)), "{fate:?}");
        assert_eq!(started.elapsed(), PATIENCE + MS * 700);
        assert_eq!(first.await.unwrap(), expected);
        assert_eq!(stage.statements(), [vec![0], vec![1, 2]]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_asks_for_all_everyone_asks_alone() {
    assert_eq!(Coalescer::<usize, usize>::default().ask(1).await, None);
    let stage = Stage::new(vec![Fate::Silent]).await;
    let (sent, waiting) = (stage.ask(0), stage.ask(1));
    sleep(MS).await;
    stage.task.abort();
    assert_eq!((sent.await.unwrap(), waiting.await.unwrap()), (None, None));
    assert_eq!(stage.ask(2).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_nobody_waiting_and_the_next_run_takes_over() {
    let coalescer = Arc::new(Coalescer::<usize, usize>::default());
    for _ in 0..2 {
        let asking = Arc::clone(&coalescer);
        let task = tokio::spawn(async move {
            asking.run(MOST, |_| async { panic!("a statement of a broken program") }).await;
        });
        tokio::task::yield_now().await;
        assert_eq!(timeout(MS, coalescer.ask(1)).await, Ok(None));
        assert!(task.await.unwrap_err().is_panic());
    }
}

/// One who asks: when, and whether he is gone again soon after.
#[derive(Clone, Debug)]
struct Asker {
    at: u64,
    gone_after: Option<u64>,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..8_u64).prop_map(Fate::Answered),
        1 => (0..8_u64).prop_map(Fate::Failed),
        1 => Just(Fate::Silent),
    ]
}

fn asker() -> impl Strategy<Value = Asker> {
    (0..40_u64, prop::option::weighted(0.2, 0..6_u64)).prop_map(|(at, gone_after)| Asker { at, gone_after })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn everyone_gets_his_own_answer_or_is_sent_away_for_a_failure(
        askers in prop::collection::vec(asker(), 1..40),
        fates in prop::collection::vec(fate(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let failures = fates.iter().any(|fate| !matches!(fate, Fate::Answered(_)));
            let stage = Stage::new(fates).await;
            let asked: Vec<_> = askers.iter().cloned().enumerate().map(|(question, asker)| {
                let coalescer = Arc::clone(&stage.coalescer);
                tokio::spawn(async move {
                    sleep(MS * u32::try_from(asker.at).unwrap()).await;
                    let at = Instant::now();
                    let answer = match asker.gone_after {
                        Some(after) => timeout(MS * u32::try_from(after).unwrap(), coalescer.ask(question)).await.ok(),
                        None => Some(coalescer.ask(question).await),
                    };
                    (at, answer)
                })
            }).collect();
            let mut times = Vec::new();
            for (question, asked) in asked.into_iter().enumerate() {
                let (at, answer) = timeout(Duration::from_mins(1), asked).await.expect("somebody was left waiting").unwrap();
                times.push(at);
                match answer {
                    Some(Some(answer)) => prop_assert_eq!(answer, question + 100),
                    Some(None) => prop_assert!(failures, "sent away without a failure"),
                    None => {}
                }
            }
            let sent = stage.sent.lock().unwrap().clone();
            let mut seen = Vec::new();
            for statement in &sent {
                prop_assert!((1..=MOST).contains(&statement.questions.len()));
                for question in &statement.questions {
                    prop_assert!(times[*question] <= statement.at, "joined a statement that was sent already");
                    prop_assert!(!seen.contains(question), "asked twice");
                    seen.push(*question);
                }
            }
            let in_order = seen.windows(2).all(|pair| times[pair[0]] <= times[pair[1]]);
            prop_assert!(in_order, "not in the order in which they came: {:?}", sent);
            Ok(())
        })?;
    }
}
