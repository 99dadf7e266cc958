//! Questions to the database that are asked together: those that come while others are being answered wait, and go in the
//! next statement.
//!
//! A question that comes alone is asked at once: nobody waits for company. It never joins a statement that was sent
//! already, whose snapshot is older than it. Whoever gets no answer here, because the statement failed or its server fell
//! silent, asks by itself: so a failure of one question is no failure of its neighbours'.
//!
//! A statement that takes long is not given up for that: asked one by one, a slow database would only be slower. Those who
//! come meanwhile go in a next one beside it, so that a connection that fell silent holds up nobody else; and as soon as they
//! fill one, since a queue that grows faster than it is answered would be waited in for nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::MAX_TRY;

/// Nobody waits longer behind a statement before the next one is sent beside it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether those who wait behind a statement fill the next one.
const LOOK: Duration = Duration::from_millis(50);

/// Where questions `Q` wait for answers `A`.
#[derive(Debug)]
pub struct Coalescer<Q, A> {
    queue: mpsc::UnboundedSender<Waiter<Q, A>>,
    waiting: Mutex<mpsc::UnboundedReceiver<Waiter<Q, A>>>,
    running: AtomicBool,
}

#[derive(Debug)]
struct Waiter<Q, A> {
    question: Q,
    answer: oneshot::Sender<A>,
}

impl<Q, A> Default for Coalescer<Q, A> {
    fn default() -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        Self { queue, waiting: Mutex::new(waiting), running: AtomicBool::new(false) }
    }
}

impl<Q, A> Coalescer<Q, A> {
    /// The answer; none where the question is to be asked alone.
    pub async fn ask(&self, question: Q) -> Option<A> {
        if !self.running.load(Ordering::SeqCst) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiter { question, answer }).ok()?;
        // At its end `run` says so first and empties the queue then: this one was in it, or sees the end here.
        if !self.running.load(Ordering::SeqCst) {
            return None;
        }
        answered.await.ok()
    }

    /// Asks what waits, at most `most` questions at a time in the order in which they came, for as long as it is polled.
    /// `ask_all` answers in the order of the questions, or not at all. One such task at a time: a second waits.
    pub async fn run<F>(&self, most: usize, ask_all: impl Fn(Vec<Q>) -> F)
    where
        F: Future<Output = Option<Vec<A>>>,
    {
        let mut running = Running { waiting: self.waiting.lock().await, flag: &self.running };
        running.flag.store(true, Ordering::SeqCst);
        let mut batch = Vec::with_capacity(most);
        let mut sent = FuturesUnordered::new();
        let mut latest = Instant::now();
        loop {
            let may_send = sent.is_empty() || latest.elapsed() >= PATIENCE || running.waiting.len() >= most;
            tokio::select! {
                biased;
                Some(answered) = sent.next() => {
                    // Whoever came meanwhile would only wait for the same.
                    if answered == Answered::Nobody {
                        running.send_away();
                    }
                    continue;
                }
                count = running.waiting.recv_many(&mut batch, most), if may_send => {
                    if count == 0 {
                        return;
                    }
                }
                () = sleep_until((Instant::now() + LOOK).min(latest + PATIENCE)), if !may_send => continue,
            }
            // Whatever has arrived at this thread by now is read first: it may hold questions, too.
            tokio::task::yield_now().await;
            while batch.len() < most
                && let Ok(waiter) = running.waiting.try_recv()
            {
                batch.push(waiter);
            }
            // Of those that are gone nobody wants the answer.
            let (questions, askers): (Vec<Q>, Vec<_>) = (batch.drain(..))
                .filter(|waiter| !waiter.answer.is_closed())
                .map(|waiter| (waiter.question, waiter.answer))
                .unzip();
            if !questions.is_empty() {
                latest = Instant::now();
                sent.push(answer(ask_all(questions), askers));
            }
        }
    }
}

/// Whom a statement has brought an answer.
#[derive(PartialEq, Eq)]
enum Answered {
    All,
    Nobody,
}

/// Hands the answers to a statement out, if there are any.
async fn answer<A>(asked: impl Future<Output = Option<Vec<A>>>, askers: Vec<oneshot::Sender<A>>) -> Answered {
    let Ok(Some(answers)) = timeout(MAX_TRY, asked).await else { return Answered::Nobody };
    for (asker, answer) in askers.into_iter().zip(answers) {
        let _ = asker.send(answer);
    }
    Answered::All
}

/// The task that asks: where it ends, in whatever way, nobody is left waiting.
struct Running<'a, Q, A> {
    waiting: tokio::sync::MutexGuard<'a, mpsc::UnboundedReceiver<Waiter<Q, A>>>,
    flag: &'a AtomicBool,
}

impl<Q, A> Running<'_, Q, A> {
    fn send_away(&mut self) {
        while self.waiting.try_recv().is_ok() {}
    }
}

impl<Q, A> Drop for Running<'_, Q, A> {
    fn drop(&mut self) {
        self.flag.store(false, Ordering::SeqCst);
        self.send_away();
    }
}

#[cfg(test)]
mod tests;
