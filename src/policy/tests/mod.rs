//! Documents in, decisions and refusals out: the language as its users meet it.

mod access_keys;
mod refusals;
mod trust;

use super::Context;

/// Circumstances from pairs; several values are told apart by `|`.
fn context(pairs: &[(&str, &str)]) -> Context {
    let mut context = Context::new();
    for (key, value) in pairs {
        context.set_all(key, value.split('|'));
    }
    context
}
