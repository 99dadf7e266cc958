//! Symbolon: a self-hosted identity broker over Postgres, wire-compatible with Amazon Cognito Identity (identity
//! pools).
//!
//! A backend names its user; Symbolon finds or makes the user's identity, and signs an OpenID token for it that anyone
//! can verify through the JWKS. This page is the map of the code. What it does for its users is in `README.md` and
//! `docs/`.
//!
//! # The house
//!
//! Four floors, each a list of modules in the order of the declarations below. Imports point down only;
//! `tests/floors.rs` reads every source file and fails on one that points up.
//!
//! | floor | modules | what is there |
//! |---|---|---|
//! | doors | [`cli`], [`http`], [`aws_query`], [`cognito`] | how the world comes in: commands, routes, IAM and STS, the Cognito Identity API |
//! | the app | [`app`] | what operations need, built in one place; only doors see it |
//! | rooms | [`tokens`], [`identities`], [`upstream`], [`iam`], [`keys`], [`pools`], [`tenants`] | what the broker knows: one aggregate a file, its type, its rules and its SQL together |
//! | ground | [`cache`], [`clock`], [`config`], [`db`], [`error`], [`ids`], [`installation`], [`json`], [`limits`], [`policy`], [`request`], [`seal`], [`sigv4`], [`tags`], [`telemetry`], [`workers`], [`xml`] | vocabulary and tools; they know nothing of what is above |
//!
//! The heart is the table in [`cognito`]: one `match` from the name of an operation to the function that answers it,
//! through `signed` or `public`. Who may call an operation is written there, in one word, and nowhere else.
//!
//! There are few concepts. An *operation* is a function of the app, the caller and an input. An *aggregate* is a struct
//! with its SQL, over a connection that the operation hands to it, so that it serves inside and outside a transaction
//! alike. What can go wrong is one [`error::Error`] in our own words; [`cognito::fault`] alone knows what the wire
//! calls it (and `aws_query/fault.rs` what IAM and STS do).
//!
//! # A known user's token
//!
//! `GetOpenIdTokenForDeveloperIdentity`, for a user who was here before:
//!
//! 1. [`http::listener`] accepts the connection and gives it to one of the [`workers`], a thread for each core, where it
//!    stays. [`http`] is the listener on one page: the request gets its id and the client's address, and `POST /` goes to
//!    [`cognito::handle`] (a form to [`aws_query::handle`]); what a browser's page sent, by way of the routes and CORS.
//! 2. [`cognito::handle`] reads the operation's name from the target header and the body as bytes, within limits of
//!    size and time. The table says: `signed`.
//! 3. [`cognito::caller`] verifies the signature. [`sigv4`] takes three steps, each with a type of its own so that none
//!    can be left out: form, time, signature. The access key comes from memory, where it may be as long as the database
//!    says that nothing has changed ([`cache`]); a refusal is never decided from memory alone. From here on there is
//!    someone [`Verified`](cognito::caller::Verified).
//! 4. Only now is the body parsed: [`cognito::json`] reads it strictly. If the access key has a policy, `cognito/authorize.rs`
//!    asks it ([`policy`]) about what the body names; so someone verified becomes a [`cognito::caller::Caller`], which has a
//!    tenant and a region, and can be had in no other way. [`cognito::validate`] holds the body against the model's limits
//!    in [`cognito::shapes`].
//! 5. The operation, `get_open_id_token` in `cognito/developer.rs`, is the story itself. The pool is found through the
//!    caller's tenant, so that a foreign one cannot be had. The developer user is taken from the logins.
//! 6. [`identities::Arrivals`] asks the one question of a known user: who owns this login? One statement, one round trip,
//!    for all who ask at once on this worker ([`db::Coalescer`]). A new user is made by two inserts in one transaction,
//!    with others who are new. What cannot be decided so goes to [`identities::sign_in`] alone, where the primary key of
//!    `logins` decides between callers who come at the same time: whoever comes second reads what the first one wrote.
//! 7. [`tokens::openid_token`] writes the claims, and signs them with the key that [`keys::ring`] holds in memory. The
//!    `iat` is the database's time.
//! 8. Back in [`cognito`]: one serialization, one count, one log line if it was refused.
//!
//! What fails in passing (a race lost again and again, a deadlock, a restart, a broken connection) is tried again as a
//! whole by [`retry!`]; so each operation must bear being run twice. Where the answer to a commit was lost, a change of
//! logins first finds out whether it is done ([`identities::Tried`]).
//!
//! # Credentials for an identity
//!
//! `GetCredentialsForIdentity`, which needs no signature:
//!
//! 1. `cognito/credentials.rs` finds the identity, and has its logins proven as for a token: by tokens of others
//!    ([`upstream`]), or by the developer user's token of our own ([`tokens::own_token`]). They are linked and merged in one
//!    transaction.
//! 2. [`pools::role_choice`] says which role it is: a pure function of the pool's roles, the claims, and what was asked for.
//! 3. If an STS is configured, a fresh token goes there ([`upstream::sts`]), with no database connection held. If not, the
//!    role is looked up here, and [`tokens::web_identity`] asks its trust policy, as [`aws_query`] does for
//!    `AssumeRoleWithWebIdentity`.
//! 4. [`tokens::session`] then makes credentials of nothing that is stored: the session token holds the session, sealed, and
//!    the secret is derived from it. Whoever signs with them is verified as in step 3 above, and may be told who he is.
//!
//! # A key rotation
//!
//! Nobody is in charge of it. Every broker runs the same loop, [`keys::KeyRing::run`]:
//!
//! 1. It reads the clock of the database and the rows of the keys. A key's state is a function of the times in its row
//!    ([`keys::signing_key`]); none is stored.
//! 2. [`keys::rotation::plan`] says what is due: a pure function of rows, policy and time. Nothing, nearly always. When
//!    the key that signs is old enough, and its successor has been public for long enough, it says: the successor signs
//!    from the fence from now, the old one until then, and a fresh one is published.
//! 3. [`keys::rotation::change`] makes the fresh key outside of any transaction, since that takes long. Then it moves
//!    the key ring's version from what it has read to the next, decides again by the clock of that moment, and writes.
//!    A broker that was slower moves nothing, and discards its key.
//! 4. Within the fence every broker has read the new rows. When the time comes, all of them derive the same answer from
//!    them, and turn together. One that could not read them for longer than the fence signs no more: it could not know.
//! 5. Ten minutes later the old key's private half is destroyed, and after 25 hours its public half leaves the JWKS.
//!
//! `tests/key_schedule.rs` simulates this with outages, skewed clocks and caching verifiers.
//! `docs/explanation/keys.md` says why each time is what it is.
//!
//! # Rules
//!
//! - A room never sees HTTP, shapes of the wire, or names of exceptions. [`cognito`] never holds SQL.
//! - What belongs to a pool takes a `&Pool`, and a `Pool` is had through a tenant, or by its id for the operations that
//!   are open to anyone. A look-up gives an `Option`; the operation decides which error absence is.
//! - Uniqueness decides, never a prior read: `insert … on conflict do nothing returning`, or an insert that is refused,
//!   then a new statement to see who won.
//! - Who changes an identity's logins locks its row first, reads behind the lock in a new statement, and then decides.
//!   Several identities are locked in the order of their ids.
//! - Every statement on `identities` and `logins` names their route, so that both can be spread over several machines.
//!   No foreign keys, triggers or sequences on them; no advisory locks and no notifications anywhere.
//! - Every write to a small table moves the installation's epoch in the same transaction; that is how other brokers
//!   hear of it.
//! - No network and no key generation inside a transaction.
//! - Time comes from [`clock`], the environment from [`config`]; `clippy.toml` forbids it elsewhere.
//! - What AWS does, against taste or not, has its evidence in `docs/compatibility.md` and a test.
//!
//! # Where to put things
//!
//! A new operation: its function in the file of its family under `cognito/`, a line in the table, and its rules in a
//! room. A new command: a file under `cli/`. A new table of secrets: seal it with its place ([`seal::Place`]), write it while
//! its master key is kept ([`installation::keep_seal_key`]), reseal it in `symbolon master-key rotate`, and give it up in
//! `symbolon disaster rekey`. A new migration: forward only, and such that the binary before it still works.

pub mod app;
pub mod aws_query;
pub mod cli;
pub mod cognito;
pub mod http;

pub mod iam;
pub mod identities;
pub mod keys;
pub mod pools;
pub mod tenants;
pub mod tokens;
pub mod upstream;

pub mod cache;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod ids;
pub mod installation;
pub mod json;
pub mod limits;
pub mod policy;
pub mod request;
pub mod seal;
pub mod sigv4;
pub mod tags;
pub mod telemetry;
pub mod workers;
pub mod xml;
