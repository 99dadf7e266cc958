//! Random calls over the wire, each answered as the model of sign-in answers, and leaving what the model leaves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::Answer;
use crate::dice::{Dice, new_seed};
use crate::federation::{Federation, NO_MATCH, PROVIDERS, REGISTERED, federation};
use crate::harness::DEVELOPER;
use crate::sign_in_model::{Model, Number, Refusal, State, User, is_developers};

const CALLS: usize = 1_500;
/// Between two comparisons of everything.
const PERIOD: usize = 50;
/// Lower than by default, so that it is met.
const LOGINS: u32 = 5;
const DEVELOPERS: [&str; 8] = ["ada", "bea", "cleo", "dora", "edna", "fay", "gwen", "hope"];
const NAMES: [&str; 5] = ["ann", "bob", "cy", "dan", "eve"];
const OWN: &str = "cognito-identity.amazonaws.com";

/// Every rule: how an operation is refused, beside that it succeeds.
const OUTCOMES: [(&str, &[Refusal]); 9] = [
    ("GetId", &[Refusal::Conflict]),
    ("GetOpenIdToken", &[Refusal::NoIdentity, Refusal::Forbidden, Refusal::NoMatch, Refusal::Conflict]),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        &[Refusal::NoIdentity, Refusal::Forbidden, Refusal::NoMatch, Refusal::Conflict, Refusal::Registered],
    ),
    ("GetCredentialsForIdentity", &[Refusal::NoIdentity, Refusal::Forbidden, Refusal::NoMatch]),
    ("MergeDeveloperIdentities", &[Refusal::NoUser, Refusal::Conflict]),
    ("UnlinkDeveloperIdentity", &[Refusal::NoIdentity, Refusal::NoUser, Refusal::Conflict]),
    ("UnlinkIdentity", &[Refusal::NoIdentity, Refusal::Forbidden, Refusal::NoMatch]),
    ("LookupDeveloperIdentity", &[Refusal::NoIdentity, Refusal::NoUser, Refusal::Conflict]),
    ("DeleteIdentities", &[]),
];

/// The broker beside its model.
struct Pair {
    at: Federation,
    model: Model,
    dice: Dice,
    /// What the model's identities are called.
    ids: Vec<String>,
    /// The public users' tokens.
    tokens: BTreeMap<User, String>,
    /// The broker's own tokens and the users they were made for, by identity.
    own: BTreeMap<Number, (User, String)>,
    /// The call under way and the seed, for the reader of a failure.
    doing: String,
    seen: BTreeMap<(&'static str, Option<Refusal>), usize>,
}

#[tokio::test]
async fn random_calls_are_answered_as_the_rules_say() {
    let seed = new_seed();
    let mut pair = Pair::new(seed).await;
    for call in 0..10 * CALLS {
        pair.doing = format!("seed {seed}, call {call}");
        pair.call().await;
        if call % PERIOD == PERIOD - 1 {
            pair.compare().await;
            // Some rules come up so rarely that chance may keep them from all of the calls.
            if call + 1 >= CALLS && pair.unseen().is_none() {
                return;
            }
        }
    }
    panic!("seed {seed}: none ended in {:?}", pair.unseen());
}

impl Pair {
    async fn new(seed: u64) -> Self {
        let mut at = federation().await;
        at.broker = at
            .broker
            .replica_with(|config| {
                config.limits.linked_logins_per_identity = LOGINS;
                config.limits.guests_per_second_per_address = 0;
                config.limits.guests_per_second_per_pool = 0;
            })
            .await;
        at.broker.tick().await;
        (at.developer, at.visitor) = (at.broker.developer(1), at.broker.visitor());
        let mut tokens = BTreeMap::new();
        for path in PROVIDERS {
            for name in NAMES {
                tokens.insert(format!("{path}:{name}"), at.token(path, name));
            }
        }
        let (dice, model) = (Dice::of(seed), Model::new(usize::try_from(LOGINS).unwrap()));
        Self {
            at,
            model,
            dice,
            ids: Vec::new(),
            tokens,
            own: BTreeMap::new(),
            doing: String::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A rule that has not had its turn.
    fn unseen(&self) -> Option<(&'static str, Option<Refusal>)> {
        let mut all = OUTCOMES.iter().flat_map(|(operation, refusals)| {
            refusals.iter().copied().map(Some).chain([None]).map(|outcome| (*operation, outcome))
        });
        all.find(|outcome| !self.seen.contains_key(outcome))
    }

    async fn call(&mut self) {
        match self.dice.below(100) {
            0..8 => {
                let made = self.model.guest();
                let answer = self.at.visitor.get_id(&self.at.pool).await;
                self.told("GetId", &answer, Ok(made));
            }
            8..25 => {
                let users = self.public(1, 3);
                let body = json!({ "IdentityPoolId": self.at.pool, "Logins": self.logins(&users) });
                let expected = self.model.sign_in(None, &users);
                self.doing += &format!(", GetId {users:?}");
                let answer = self.at.visitor.call("GetId", body).await;
                self.told("GetId", &answer, expected);
            }
            25..45 => self.open_id_token().await,
            45..65 => self.developers_token().await,
            65..73 => self.credentials().await,
            73..81 => {
                let (source, destination) = (self.developers_user(), self.developers_user());
                let body = json!({ "IdentityPoolId": self.at.pool, "DeveloperProviderName": DEVELOPER,
                                   "SourceUserIdentifier": source, "DestinationUserIdentifier": destination });
                self.doing += &format!(", merge {source} into {destination}");
                let expected = self.model.merge(&source, &destination);
                let answer = self.at.developer.call("MergeDeveloperIdentities", body).await;
                self.told("MergeDeveloperIdentities", &answer, expected);
            }
            81..86 => {
                let (named, user) = (self.someone(), self.developers_user());
                let user = self.login_of(named, true).unwrap_or(user);
                let body = json!({ "IdentityId": self.id(named), "IdentityPoolId": self.at.pool,
                                   "DeveloperProviderName": DEVELOPER, "DeveloperUserIdentifier": user });
                self.doing += &format!(", unlink {user} from {named}");
                let expected = self.model.unlink_developers(named, &user);
                let answer = self.at.developer.call("UnlinkDeveloperIdentity", body).await;
                self.done("UnlinkDeveloperIdentity", &answer, named, expected);
            }
            86..91 => self.unlink().await,
            91..95 => {
                let named = self.someone();
                self.doing += &format!(", delete {named}");
                self.model.delete(named);
                let body = json!({ "IdentityIdsToDelete": [self.id(named)] });
                let answer = self.at.developer.call("DeleteIdentities", body).await;
                assert_eq!(answer.json, json!({ "UnprocessedIdentityIds": [] }), "{}", self.doing);
                self.done("DeleteIdentities", &answer, named, Ok(()));
            }
            _ => self.look_up().await,
        }
    }

    async fn open_id_token(&mut self) {
        let named = self.someone();
        let users = self.joined(named, 0, 2);
        self.doing += &format!(", GetOpenIdToken of {named} with {users:?}");
        let body = json!({ "IdentityId": self.id(named), "Logins": self.logins(&users) });
        let expected =
            if users.is_empty() { self.model.enter_as_guest(named) } else { self.model.sign_in(Some(named), &users) };
        let answer = self.at.visitor.call("GetOpenIdToken", body).await;
        self.told_of("GetOpenIdToken", &answer, Some(named), expected);
    }

    async fn developers_token(&mut self) {
        let named = if self.dice.chance(60) { Some(self.someone()) } else { None };
        let mut users = named.map_or_else(Vec::new, |named| self.joined(named, 0, 1));
        if named.is_none() {
            users = self.public(0, 2);
        }
        let user = self.developers_user();
        let own = named.filter(|_| self.dice.chance(40)).and_then(|named| self.login_of(named, true));
        users.push(own.unwrap_or(user));
        self.doing += &format!(", the developer's token of {named:?} with {users:?}");
        let id = named.map(|named| self.id(named));
        let body = json!({ "IdentityPoolId": self.at.pool, "IdentityId": id, "Logins": self.logins(&users) });
        let expected = self.model.sign_in(named, &users);
        let answer = self.at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
        self.told_of("GetOpenIdTokenForDeveloperIdentity", &answer, named, expected);
        if let Ok(number) = expected {
            let user = users.iter().find(|user| !user.contains(':')).unwrap().clone();
            self.own.insert(number, (user, answer.member("Token")));
        }
    }

    async fn credentials(&mut self) {
        let named = self.someone();
        let users = self.joined(named, 0, 2);
        let mut logins = self.logins(&users);
        let own = self.own.get(&named).filter(|_| self.dice.chance(40)).cloned();
        if let Some((_, token)) = &own {
            logins[OWN] = json!(token);
        }
        let own = own.map(|(user, _)| user);
        self.doing += &format!(", credentials of {named} with {users:?}, by own token of {own:?}");
        let proven = own.as_ref().map(|user| self.model.enter_by_own_token(named, user));
        let expected = match proven {
            Some(Err(refusal)) => Err(refusal),
            Some(entered) if users.is_empty() => entered,
            None if users.is_empty() => self.model.enter_as_guest(named),
            _ => self.model.sign_in(Some(named), &users),
        };
        let body = json!({ "IdentityId": self.id(named), "Logins": logins.take() });
        let answer = self.at.visitor.call("GetCredentialsForIdentity", body).await;
        // Everything but a role is there.
        if answer.exception() == "InvalidIdentityPoolConfigurationException" {
            *self.seen.entry(("GetCredentialsForIdentity", None)).or_default() += 1;
            assert!(expected.is_ok(), "{}: {expected:?} but {answer:?}", self.doing);
        } else {
            self.done("GetCredentialsForIdentity", &answer, named, expected.map(drop));
        }
    }

    async fn unlink(&mut self) {
        let named = self.someone();
        let proof = self.joined(named, 0, 1);
        let logins = self.logins(&proof);
        let paths = self.dice.some(&PROVIDERS, 0, 3);
        self.doing += &format!(", take {paths:?} from {named} with {proof:?}");
        let remove: Vec<String> = paths.iter().map(|path| self.at.key(path)).collect();
        let expected = self.model.unlink(named, &proof, &paths);
        let body = json!({ "IdentityId": self.id(named), "Logins": logins, "LoginsToRemove": remove });
        let answer = self.at.visitor.call("UnlinkIdentity", body).await;
        self.done("UnlinkIdentity", &answer, named, expected);
    }

    async fn look_up(&mut self) {
        let named = if self.dice.chance(60) { Some(self.someone()) } else { None };
        let user = if named.is_none() || self.dice.chance(50) { Some(self.developers_user()) } else { None };
        self.doing += &format!(", look {named:?} and {user:?} up");
        let expected = self.model.look_up(named, user.as_ref());
        let id = named.map(|named| self.id(named));
        let body = json!({ "IdentityPoolId": self.at.pool, "IdentityId": id, "DeveloperUserIdentifier": user });
        let answer = self.at.developer.call("LookupDeveloperIdentity", body).await;
        if let Ok((_, users)) = &expected {
            let listed: BTreeSet<&str> = strings(&answer.json["DeveloperUserIdentifierList"]).collect();
            assert_eq!(listed, users.iter().map(String::as_str).collect(), "{}", self.doing);
        }
        self.told_of("LookupDeveloperIdentity", &answer, named, expected.map(|(identity, _)| identity));
    }

    fn logins(&self, users: &[User]) -> Value {
        let login = |user: &User| match user.split_once(':') {
            Some((path, _)) => (self.at.key(path), json!(self.tokens[user])),
            None => (DEVELOPER.to_owned(), json!(user)),
        };
        Value::Object(users.iter().map(login).collect())
    }

    fn id(&self, number: Number) -> String {
        self.ids.get(number).cloned().unwrap_or_else(|| "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab".to_owned())
    }

    /// An identity: one in use, mostly; sometimes one that never was.
    fn someone(&mut self) -> Number {
        let all = self.ids.len();
        let is_in_use = |number: &Number| self.model.identities[*number].state == State::Enabled;
        let in_use: Vec<Number> = (0..all).filter(is_in_use).collect();
        match self.dice.below(100) {
            0..4 => all,
            4..20 if all > 0 => self.dice.below(all),
            _ if in_use.is_empty() => all,
            _ => *self.dice.pick(&in_use),
        }
    }

    fn developers_user(&mut self) -> User {
        (*self.dice.pick(&DEVELOPERS)).to_owned()
    }

    /// Users of so many public providers.
    fn public(&mut self, least: usize, most: usize) -> Vec<User> {
        let paths = self.dice.some(&PROVIDERS, least, most);
        paths.into_iter().map(|path| format!("{path}:{}", self.dice.pick(&NAMES))).collect()
    }

    /// A login of the identity, the developer's or a public one.
    fn login_of(&mut self, named: Number, developers: bool) -> Option<User> {
        let identity = self.model.identities.get(named)?;
        let fitting: Vec<User> =
            identity.logins.iter().filter(|user| is_developers(user) == developers).cloned().collect();
        if fitting.is_empty() { None } else { Some(self.dice.pick(&fitting).clone()) }
    }

    /// A public login of the identity, mostly, and so many others, of one provider each.
    fn joined(&mut self, named: Number, least: usize, most: usize) -> Vec<User> {
        let mut users: Vec<User> = Vec::new();
        if self.dice.chance(75) {
            users.extend(self.login_of(named, false));
        }
        for other in self.public(least, most) {
            if users.iter().all(|user| user.split(':').next() != other.split(':').next()) {
                users.push(other);
            }
        }
        users
    }

    fn told(&mut self, operation: &'static str, answer: &Answer, expected: Result<Number, Refusal>) {
        self.told_of(operation, answer, None, expected);
    }

    /// The identity that was answered is the model's; a new one has an id that none had before.
    fn told_of(
        &mut self,
        operation: &'static str,
        answer: &Answer,
        named: Option<Number>,
        expected: Result<Number, Refusal>,
    ) {
        self.done(operation, answer, named.unwrap_or(usize::MAX), expected.map(drop));
        let Ok(number) = expected else { return };
        let told = answer.member("IdentityId");
        if number == self.ids.len() {
            assert!(!self.ids.contains(&told), "{}: {told} is not new", self.doing);
            self.ids.push(told);
        } else {
            assert_eq!(told, self.ids[number], "{}", self.doing);
        }
    }

    fn done(&mut self, operation: &'static str, answer: &Answer, named: Number, expected: Result<(), Refusal>) {
        *self.seen.entry((operation, expected.err())).or_default() += 1;
        let id = self.id(named);
        let (exception, text) = match expected {
            Ok(()) => ("", String::new()),
            Err(Refusal::NoIdentity) => ("ResourceNotFoundException", format!("Identity '{id}' not found.")),
            Err(Refusal::Forbidden) => ("NotAuthorizedException", format!("Access to Identity '{id}' is forbidden.")),
            Err(Refusal::NoMatch) => ("NotAuthorizedException", NO_MATCH.to_owned()),
            Err(Refusal::Registered) => ("DeveloperUserAlreadyRegisteredException", REGISTERED.to_owned()),
            // Of two reasons either may be told.
            Err(Refusal::Conflict) => ("ResourceConflictException", String::new()),
            Err(Refusal::NoUser) => ("ResourceNotFoundException", "Developer user identifier not found.".to_owned()),
        };
        let status = if expected.is_ok() { 200 } else { 400 };
        assert_eq!((answer.status.as_u16(), answer.exception()), (status, exception), "{}: {answer:?}", self.doing);
        assert!(text.is_empty() || answer.json["message"] == text, "{}: {answer:?}", self.doing);
    }

    /// Every identity is listed as the model has it: which there are, which are enabled, and by which providers.
    async fn compare(&self) {
        let (all, enabled) = (self.listed(false).await, self.listed(true).await);
        let mut expected = (BTreeMap::new(), BTreeMap::new());
        for (identity, id) in self.model.identities.iter().zip(&self.ids) {
            let provider =
                |user: &User| user.split_once(':').map_or(DEVELOPER.to_owned(), |(path, _)| self.at.key(path));
            let providers: BTreeSet<String> = identity.logins.iter().map(provider).collect();
            if identity.state == State::Enabled {
                expected.1.insert(id.clone(), providers.clone());
            }
            if identity.state != State::Deleted {
                expected.0.insert(id.clone(), providers);
            }
        }
        assert_eq!((all, enabled), expected, "{}", self.doing);
    }

    async fn listed(&self, hide_disabled: bool) -> BTreeMap<String, BTreeSet<String>> {
        let mut listed = BTreeMap::new();
        let mut next = Value::Null;
        loop {
            let body = json!({ "IdentityPoolId": self.at.pool, "MaxResults": 60, "HideDisabled": hide_disabled,
                               "NextToken": next });
            let page = self.at.developer.call("ListIdentities", body).await.ok().json;
            for identity in page["Identities"].as_array().unwrap() {
                let id = identity["IdentityId"].as_str().unwrap().to_owned();
                listed.insert(id, strings(&identity["Logins"]).map(str::to_owned).collect());
            }
            next = page["NextToken"].clone();
            if next.is_null() {
                return listed;
            }
        }
    }
}

/// The texts of a list, or none.
fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
