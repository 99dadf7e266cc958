//! The calls of a history, what each may be told when they come one at a time, and how a history is shown.

use std::collections::BTreeSet;

use crate::histories::{Event, Sequential};
use crate::sign_in_model::{Model, Refusal, User};

/// The default limit of linked logins, which is not met here.
const LOGINS: usize = 20;

/// What is called.
#[derive(Clone, Debug)]
pub enum Call {
    Guest,
    SignIn { named: Option<String>, users: Vec<User> },
    Merge { source: User, destination: User },
    UnlinkDeveloper { named: String, user: User },
    Unlink { named: String, proof: User },
    LookUp { named: Option<String>, user: Option<User> },
}

/// What a caller is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Told(String),
    Listed(String, BTreeSet<User>),
    Done,
    Refused(Refusal),
}

/// The model, with the ids by which its identities were told. One that a lost call has made has none until somebody is told.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Told {
    model: Model,
    ids: Vec<Option<String>>,
}

impl Told {
    /// Nobody is there yet.
    pub fn nobody() -> Self {
        Self { model: Model::new(LOGINS), ids: Vec::new() }
    }

    fn number(&self, id: &str) -> usize {
        // One beyond the last was never made.
        self.ids.iter().position(|known| known.as_deref() == Some(id)).unwrap_or(self.ids.len())
    }

    /// Whether the identity can be the one of this id, which it has from now on.
    fn is_told(&mut self, number: usize, id: &str) -> bool {
        if self.ids[number].is_none() && !self.ids.iter().flatten().any(|known| known == id) {
            self.ids[number] = Some(id.to_owned());
        }
        self.ids[number].as_deref() == Some(id)
    }
}

impl Sequential for Told {
    type Call = Call;
    type Outcome = Outcome;

    fn after(&self, call: &Call, outcome: Option<&Outcome>) -> Option<Self> {
        let mut next = self.clone();
        let number = |named: &Option<String>| named.as_ref().map(|id| self.number(id));
        let result = match call {
            Call::Guest => Ok((Some(next.model.guest()), None)),
            Call::SignIn { named, users } => next.model.sign_in(number(named), users).map(|of| (Some(of), None)),
            Call::Merge { source, destination } => next.model.merge(source, destination).map(|into| (Some(into), None)),
            Call::UnlinkDeveloper { named, user } => {
                next.model.unlink_developers(self.number(named), user).map(|()| (None, None))
            }
            Call::Unlink { named, proof } => {
                let (path, _) = proof.split_once(':').unwrap();
                next.model.unlink(self.number(named), std::slice::from_ref(proof), &[path]).map(|()| (None, None))
            }
            Call::LookUp { named, user } => {
                let found = next.model.look_up(number(named), user.as_ref());
                found.map(|(of, users)| (Some(of), Some(users)))
            }
        };
        next.ids.resize(next.model.identities.len(), None);
        let Some(outcome) = outcome else { return Some(next) };
        let fits = match (result, outcome) {
            (Ok((Some(of), None)), Outcome::Told(id)) => next.is_told(of, id),
            (Ok((Some(of), Some(users))), Outcome::Listed(id, listed)) => users == *listed && next.is_told(of, id),
            (Ok((None, None)), Outcome::Done) => true,
            (Err(refusal), Outcome::Refused(told)) => refusal == *told,
            _ => false,
        };
        fits.then_some(next)
    }
}

/// The calls with their numbers and times in microseconds, and letters for ids.
pub fn shown(history: &[Event<Call, Outcome>]) -> String {
    let mut lines = String::new();
    for (number, Event { call, began, ended }) in history.iter().enumerate() {
        let (until, outcome) = match ended {
            Some((ended, outcome)) => ((ended / 1_000).to_string(), format!("{outcome:?}")),
            None => ("?".to_owned(), "?".to_owned()),
        };
        lines += &format!("{number:>2}: {}..{until} {call:?} -> {outcome}\n", began / 1_000);
    }
    let mut ids: Vec<String> = Vec::new();
    while let Some(at) = lines.find("\"us-east-1:") {
        let id = lines[at..at + "\"us-east-1:\"".len() + 36].to_owned();
        lines = lines.replace(&id, &format!("#{}", ids.len()));
        ids.push(id);
    }
    lines
}

/// Calls that another of the same history overlaps in time.
pub fn overlaps(history: &[Event<Call, Outcome>]) -> usize {
    let end = |event: &Event<Call, Outcome>| event.ended.as_ref().map_or(u64::MAX, |(ended, _)| *ended);
    let overlap =
        |one: &Event<Call, Outcome>, other: &Event<Call, Outcome>| one.began < end(other) && other.began < end(one);
    let has_company =
        |at: &usize| (0..history.len()).any(|other| other != *at && overlap(&history[*at], &history[other]));
    (0..history.len()).filter(has_company).count()
}
