//! A model of identities and their logins: the rules of the contract, said as plainly as memory and a single caller
//! allow. `by_the_model.rs` holds the broker against it call by call, `tests/faults/linearizability.rs` histories of many callers.

use std::collections::BTreeSet;

/// A user: `PATH:NAME` of a public provider, or a developer's own.
pub type User = String;

/// An identity, by the order in which they were made. One beyond the last was never made.
pub type Number = usize;

/// Why a call changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    NoIdentity,
    Forbidden,
    NoMatch,
    Registered,
    Conflict,
    NoUser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Enabled,
    Disabled,
    Deleted,
}

/// An identity. One that is enabled and has no logins is a guest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub state: State,
    pub logins: BTreeSet<User>,
}

/// All identities of a pool that admits guests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Model {
    pub identities: Vec<Identity>,
    limit: usize,
}

pub fn is_developers(user: &User) -> bool {
    !user.contains(':')
}

impl Model {
    /// At most `limit` logins an identity.
    pub fn new(limit: usize) -> Self {
        Self { identities: Vec::new(), limit }
    }

    pub fn owner(&self, user: &User) -> Option<Number> {
        self.identities.iter().position(|identity| identity.logins.contains(user))
    }

    fn find(&self, number: Number) -> Result<&Identity, Refusal> {
        let found = self.identities.get(number).filter(|identity| identity.state != State::Deleted);
        found.ok_or(Refusal::NoIdentity)
    }

    fn usable(&self, number: Number) -> Result<&Identity, Refusal> {
        let found = self.find(number)?;
        if found.state == State::Disabled { Err(Refusal::Forbidden) } else { Ok(found) }
    }

    fn create(&mut self, logins: BTreeSet<User>) -> Number {
        self.identities.push(Identity { state: State::Enabled, logins });
        self.identities.len() - 1
    }

    /// I1.
    pub fn guest(&mut self) -> Number {
        self.create(BTreeSet::new())
    }

    /// O1 and O3: without a login only a guest is let in.
    pub fn enter_as_guest(&self, named: Number) -> Result<Number, Refusal> {
        if self.usable(named)?.logins.is_empty() { Ok(named) } else { Err(Refusal::Forbidden) }
    }

    /// C5: one of our own tokens, made for a developer's user, lets its bearer use the identity while that is its user.
    pub fn enter_by_own_token(&self, named: Number, user: &User) -> Result<Number, Refusal> {
        self.usable(named)?;
        if self.owner(user) == Some(named) { Ok(named) } else { Err(Refusal::NoMatch) }
    }

    /// G10 to G50, I3, I4, O4 to O8, C8, C9.
    pub fn sign_in(&mut self, named: Option<Number>, users: &[User]) -> Result<Number, Refusal> {
        let known: BTreeSet<Number> = users.iter().filter_map(|user| self.owner(user)).collect();
        let developers = users.iter().find(|user| is_developers(user)).and_then(|user| self.owner(user));
        // The contract leaves open which of several identities of public users survives: here the oldest.
        let oldest = known.first().copied();
        let mut parties = known.clone();
        let survivor = match named {
            None => developers.or(oldest),
            Some(named) => {
                let is_guest = self.usable(named)?.logins.is_empty();
                if developers.is_some_and(|owner| owner != named) {
                    return Err(Refusal::Registered);
                }
                if !is_guest && !known.contains(&named) {
                    return Err(Refusal::NoMatch);
                }
                parties.insert(named);
                if is_guest { oldest.or(Some(named)) } else { Some(named) }
            }
        };
        let mut union: BTreeSet<User> = users.iter().cloned().collect();
        union.extend(parties.iter().flat_map(|party| self.identities[*party].logins.clone()));
        self.check(&union)?;
        let Some(survivor) = survivor else { return Ok(self.create(union)) };
        self.join(&parties, survivor, union);
        Ok(survivor)
    }

    /// M1 to M8.
    pub fn merge(&mut self, source: &User, destination: &User) -> Result<Number, Refusal> {
        let from = self.owner(source).ok_or(Refusal::NoUser)?;
        let into = self.owner(destination).ok_or(Refusal::NoUser)?;
        let union = &self.identities[from].logins | &self.identities[into].logins;
        self.check(&union)?;
        self.join(&BTreeSet::from([from, into]), into, union);
        Ok(into)
    }

    /// U1 to U3.
    pub fn unlink_developers(&mut self, named: Number, user: &User) -> Result<(), Refusal> {
        self.find(named)?;
        if self.owner(user).ok_or(Refusal::NoUser)? != named {
            return Err(Refusal::Conflict);
        }
        self.take(named, |login| login == user);
        Ok(())
    }

    /// K1 to K4.
    pub fn unlink(&mut self, named: Number, proof: &[User], paths: &[&str]) -> Result<(), Refusal> {
        let logins = &self.usable(named)?.logins;
        if !proof.iter().any(|user| logins.contains(user)) {
            return Err(Refusal::NoMatch);
        }
        self.take(named, |login| login.split_once(':').is_some_and(|(path, _)| paths.contains(&path)));
        Ok(())
    }

    /// A2 and A4.
    pub fn delete(&mut self, named: Number) {
        if let Some(identity) = self.identities.get_mut(named) {
            *identity = Identity { state: State::Deleted, logins: BTreeSet::new() };
        }
    }

    /// L2 to L7: the identity and its developer users.
    pub fn look_up(&self, named: Option<Number>, user: Option<&User>) -> Result<(Number, BTreeSet<User>), Refusal> {
        if let Some(named) = named {
            self.find(named)?;
        }
        let owner = user.map(|user| self.owner(user).ok_or(Refusal::NoUser)).transpose()?;
        let (identity, all) = match (named, owner) {
            (Some(named), Some(owner)) if named != owner => return Err(Refusal::Conflict),
            (Some(named), Some(_)) => (named, user.cloned().into_iter().collect()),
            (Some(identity), None) | (None, Some(identity)) => {
                let users = self.identities[identity].logins.iter().filter(|user| is_developers(user));
                (identity, users.cloned().collect::<BTreeSet<_>>())
            }
            (None, None) => panic!("a look-up needs a key"),
        };
        if all.is_empty() { Err(Refusal::NoUser) } else { Ok((identity, all)) }
    }

    /// S4: one user of each public provider, and so many logins in all (G44 to G46, M4, M5).
    fn check(&self, union: &BTreeSet<User>) -> Result<(), Refusal> {
        let public: Vec<&str> = union.iter().filter_map(|user| user.split_once(':')).map(|(path, _)| path).collect();
        let providers: BTreeSet<&str> = public.iter().copied().collect();
        let sound = providers.len() == public.len() && union.len() <= self.limit;
        if sound { Ok(()) } else { Err(Refusal::Conflict) }
    }

    /// One becomes the owner of all, the others are disabled.
    fn join(&mut self, parties: &BTreeSet<Number>, survivor: Number, union: BTreeSet<User>) {
        for party in parties {
            self.identities[*party] = Identity { state: State::Disabled, logins: BTreeSet::new() };
        }
        self.identities[survivor] = Identity { state: State::Enabled, logins: union };
    }

    /// Without its last login an identity is disabled, and no guest (U2, K2).
    fn take(&mut self, named: Number, takes: impl Fn(&User) -> bool) {
        let identity = &mut self.identities[named];
        let before = identity.logins.len();
        identity.logins.retain(|login| !takes(login));
        if identity.logins.is_empty() && before > 0 {
            identity.state = State::Disabled;
        }
    }
}
