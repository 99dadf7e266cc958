//! The catalogues of attacks: each is named, is refused for its own reason, and leaves nothing behind.

mod json;
mod logins;
mod mutants;
mod sealed;
mod signatures;
mod ssrf;
mod vectors;
mod wire;
