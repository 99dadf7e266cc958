//! Fuzzing on the stable toolchain: real inputs, mutated by `proptest`, for a time that is given.
//!
//! The short form has a seed of its own; the whole one a new seed, which a failing run names. What fails is shrunk to the
//! fewest changes that do it.

mod targets;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

use crate::dice::new_seed;
use crate::figures::{Figures, size};

/// Cases between two looks at the clock.
const ROUND: u32 = 128;

/// No case takes as long, on the busiest machine.
const HANG: Duration = Duration::from_mins(1);

/// What is put in where something is put in: what parsers trip over.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b";",
    b"=",
    b".",
    b"/",
    b" ",
    b"\t",
    b"\r\n",
    b"\n ",
    b"%00",
    b"\\u0000",
    b"\\ud800",
    b"\\u0061",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"null",
    b"true",
    b"[[[[[[[[[[[[[[[[[",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"AAAA",
    b"==",
    b"none",
    b"HS256",
    b"\"kid\":",
    b"\"alg\":\"none\"",
];

/// One change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Put(Index, u8),
    Insert(Index, Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
    /// What another input has from here on.
    Splice(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        4 => (at(), at()).prop_map(|(at, odd)| Edit::Insert(at, odd)),
        3 => (at(), 1..16_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        2 => (at(), 1..64_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => at().prop_map(Edit::Cut),
        1 => (at(), at()).prop_map(|(at, other)| Edit::Splice(at, other)),
    ]
}

fn apply(edit: &Edit, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let place = |at: &Index, room: usize| at.index(room + 1);
    let length = input.len();
    match edit {
        Edit::Flip(at, bit) if length > 0 => input[at.index(length)] ^= 1 << bit,
        Edit::Put(at, byte) if length > 0 => input[at.index(length)] = *byte,
        Edit::Insert(at, odd) => {
            let at = place(at, length);
            input.splice(at..at, odd.get(ODD).iter().copied());
        }
        Edit::Remove(at, many) => {
            let at = place(at, length);
            input.drain(at..length.min(at + many));
        }
        Edit::Repeat(at, many) => {
            let at = place(at, length);
            let again = input[at..length.min(at + many)].to_vec();
            input.splice(at..at, again);
        }
        Edit::Cut(at) => input.truncate(place(at, length)),
        Edit::Splice(at, other) => {
            let other = other.get(corpus);
            let at = place(at, length);
            input.truncate(at);
            input.extend_from_slice(&other[at.min(other.len())..]);
        }
        Edit::Flip(..) | Edit::Put(..) => {}
    }
}

fn mutant(first: Index, edits: &[Edit], corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = first.get(corpus).clone();
    for edit in edits {
        apply(edit, &mut input, corpus);
    }
    input
}

/// What a target came to.
struct Fuzzed {
    cases: usize,
    /// Inputs that it took for good: without any, only the first lines of a parser would have run.
    taken: usize,
}

/// Feeds mutants of `corpus` to `target`, which says whether it took its input, and fails if it must not have.
fn fuzz(
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    target: impl Fn(&[u8]) -> Result<bool, TestCaseError> + Send + 'static,
) -> Fuzzed {
    for input in &corpus {
        let taken = target(input);
        assert!(matches!(taken, Ok(true)), "{name}: not even {:?}: {taken:?}", String::from_utf8_lossy(input));
    }
    let seed = size(0x5359_4d42_4f4c_4f4e, new_seed());
    let budget = size(Duration::from_millis(300), Duration::from_mins(1));
    let (sender, alive) = channel();
    let worker = std::thread::spawn(move || {
        let began = Instant::now();
        let (mut fuzzed, mut round) = (Fuzzed { cases: 0, taken: 0 }, 0_u64);
        let strategy = (any::<Index>(), proptest::collection::vec(edit(), 0..6));
        while began.elapsed() < budget {
            let config = Config { cases: ROUND, failure_persistence: None, ..Config::default() };
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_be_bytes());
            bytes[8..16].copy_from_slice(&round.to_be_bytes());
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
            let taken = std::cell::Cell::new(0);
            let ran = runner.run(&strategy, |(first, edits)| -> TestCaseResult {
                let input = mutant(first, &edits, &corpus);
                taken.set(taken.get() + usize::from(target(&input)?));
                Ok(())
            });
            if let Err(TestError::Fail(why, (first, edits))) = ran {
                let input = mutant(first, &edits, &corpus);
                panic!("{name}, seed {seed}, round {round}: {why}: {:?}\n{}", edits, input.escape_ascii());
            }
            ran.unwrap();
            fuzzed.cases += usize::try_from(ROUND).unwrap();
            fuzzed.taken += taken.get();
            round += 1;
            let _ = sender.send(());
        }
        fuzzed
    });
    // Each round is heard of; when nobody is left to tell, all are over, or one has failed.
    loop {
        match alive.recv_timeout(HANG) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("{name}, seed {seed}: an input takes for ever"),
        }
    }
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The same, published as a table of its own.
fn publish(name: &'static str, title: &'static str, property: &str, fuzzed: &Fuzzed) {
    assert!(fuzzed.taken > 0 && fuzzed.taken < fuzzed.cases, "{title}: {} of {}", fuzzed.taken, fuzzed.cases);
    let mut figures = Figures::of(name, title);
    figures.row("Inputs, mutated from real ones", "60 s of them in the whole form; no panic, no hang", fuzzed.cases);
    figures.row("Of them taken", property, fuzzed.taken);
    figures.publish();
}
