//! Loading: the sources of a configuration laid over each other, and all that is wrong with them.
//!
//! This is the only place that reads the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use super::{Config, DEFAULTS, rules};

/// The environment as the broker reads it: taken once in `main`, handed over, so that tests need not change it.
pub type Environment = BTreeMap<String, String>;

/// The process's environment, without entries that are not UTF-8.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// All that is wrong with a configuration.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "the configuration has a problem: {only}");
        }
        write!(f, "the configuration has {} problems:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Where a configuration comes from, the later ones winning.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    /// TOML laid over the embedded defaults: what a mode of running takes for granted.
    pub profile: &'a str,
    /// The file; else the one that `SYMBOLON_CONFIG` names.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: Environment,
    /// Command-line flags: dotted paths and values.
    pub flags: Vec<(&'static str, String)>,
}

impl Config {
    /// Loads and checks the configuration.
    ///
    /// # Errors
    /// Every problem found, together.
    pub fn load(sources: &Sources<'_>) -> Result<Self, Problems> {
        let (config, mut problems) = Self::assemble(sources)?;
        problems.extend(rules::check(&config));
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// Loads the configuration without checking the rules between fields, for commands that need a part of it.
    ///
    /// # Errors
    /// Unknown fields and values of a wrong type, all together.
    pub fn read(sources: &Sources<'_>) -> Result<Self, Problems> {
        let (config, problems) = Self::assemble(sources)?;
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// The configuration as far as its fields are known and of the right type, and the problems with the others.
    fn assemble(sources: &Sources<'_>) -> Result<(Self, Vec<String>), Problems> {
        let Sources { profile, file, env, flags } = sources;
        let fatal = |error: &dyn fmt::Display| Problems(vec![error.to_string()]);
        let defaults = tree(profile, config::Config::builder()).map_err(|error| fatal(&error))?;
        let file = file.clone().or_else(|| non_empty(env, "SYMBOLON_CONFIG").map(PathBuf::from));
        let mut builder = config::Config::builder();
        if let Some(path) = &file {
            if !path.is_file() {
                return Err(fatal(&format!("the configuration file {} does not exist", path.display())));
            }
            builder = builder.add_source(config::File::from(path.as_path()).format(config::FileFormat::Toml));
        }
        builder = builder.add_source(environment_source(env));
        for (path, value) in flags {
            builder = builder.set_override(*path, value.as_str()).map_err(|error| fatal(&error))?;
        }
        let given = tree(profile, builder).map_err(|error| fatal(&error))?;

        let mut problems = Vec::new();
        let mut merged = defaults.clone();
        merge(&mut merged, &defaults, &given, &mut problems);
        let mut config: Self = serde_json::from_value(Value::Object(merged.clone())).map_err(|error| fatal(&error))?;
        config.effective = merged;
        if let Some(url) = non_empty(env, "DATABASE_URL")
            && config.database.url.expose_secret().is_empty()
        {
            config.database.url = url.into();
        }
        if let Some(path) = non_empty(env, "SYMBOLON_MASTER_KEY_FILE")
            && config.seal.master_key_file.as_os_str().is_empty()
        {
            config.seal.master_key_file = path.into();
        }
        config.seal.master_key = non_empty(env, "SYMBOLON_MASTER_KEY").map(Into::into);
        Ok((config, problems))
    }

    /// Every setting as TOML, but for the database's address, which may hold a password.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn effective_toml(&self) -> Result<String, toml::ser::Error> {
        let mut settings = self.effective.clone();
        if let Some(Value::Object(database)) = settings.get_mut("database") {
            database.remove("url");
        }
        toml::to_string(&settings)
    }
}

fn non_empty(env: &Environment, name: &str) -> Option<String> {
    env.get(name).filter(|value| !value.is_empty()).cloned()
}

fn environment_source(env: &Environment) -> config::Environment {
    let source: std::collections::HashMap<String, String> =
        // An empty variable is as one that is not set: compose files make such.
        env.iter().filter(|(name, value)| name.starts_with("SYMBOLON__") && !value.is_empty()).map(|(k, v)| (k.clone(), v.clone())).collect();
    config::Environment::with_prefix("SYMBOLON")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("regions")
        .with_list_parse_key("server.trusted_proxies")
        .with_list_parse_key("upstream.saml_audiences")
        .with_list_parse_key("upstream.saml_recipients")
        .with_list_parse_key("upstream.allow_private_issuers")
        .with_list_parse_key("upstream.allow_ports")
        .with_list_parse_key("upstream.allow_http_issuers")
        .with_list_parse_key("dev.allowed_origins")
        .source(Some(source))
}

/// The defaults with a builder's sources on top, as a tree.
fn tree(
    profile: &str,
    builder: config::ConfigBuilder<config::builder::DefaultState>,
) -> Result<Map<String, Value>, config::ConfigError> {
    config::Config::builder()
        .add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
        .add_source(config::File::from_str(profile, config::FileFormat::Toml))
        .add_source(builder.build()?)
        .build()?
        .try_deserialize()
}

/// Takes over from `given` every field that is known and, put alone into the defaults, still makes a configuration:
/// so each bad field is named, not just the first.
fn merge(
    merged: &mut Map<String, Value>,
    defaults: &Map<String, Value>,
    given: &Map<String, Value>,
    problems: &mut Vec<String>,
) {
    for (section, value) in given {
        match (defaults.get(section), value) {
            (None, _) => problems.push(unknown(section, "", defaults.keys().map(String::as_str))),
            (Some(Value::Object(known)), Value::Object(fields)) => {
                for (field, value) in fields {
                    if !known.contains_key(field) {
                        problems.push(unknown(field, &format!("{section}."), known.keys().map(String::as_str)));
                        continue;
                    }
                    let mut trial = defaults.clone();
                    put(&mut trial, section, field, value);
                    match serde_json::from_value::<Config>(Value::Object(trial)) {
                        Ok(_) => put(merged, section, field, value),
                        Err(error) => problems.push(format!("{section}.{field}: {}", plainly(&error))),
                    }
                }
            }
            (Some(Value::Object(_)), _) => problems.push(format!("{section}: is a section, not a value")),
            (Some(_), value) => {
                let mut trial = defaults.clone();
                trial.insert(section.clone(), value.clone());
                match serde_json::from_value::<Config>(Value::Object(trial)) {
                    Ok(_) => drop(merged.insert(section.clone(), value.clone())),
                    Err(error) => problems.push(format!("{section}: {}", plainly(&error))),
                }
            }
        }
    }
}

/// What is wrong with a value, without the names of Rust's types.
fn plainly(error: &serde_json::Error) -> String {
    let whole =
        ["u64", "u32", "usize"].iter().fold(error.to_string(), |text, kind| text.replace(kind, "a whole number"));
    whole.replace("socket address", "an address with its port")
}

fn put(tree: &mut Map<String, Value>, section: &str, field: &str, value: &Value) {
    if let Some(Value::Object(fields)) = tree.get_mut(section) {
        fields.insert(field.to_owned(), value.clone());
    }
}

/// What is wrong with a field that is not among the `known` ones of its section: the nearest of them is named.
pub(crate) fn unknown<'a>(name: &str, prefix: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate))
            if distance <= 3.max(name.len() / 3) || name.starts_with(candidate) || candidate.starts_with(name) =>
        {
            format!("{prefix}{name}: no such field; did you mean {prefix}{candidate}?")
        }
        _ => format!("{prefix}{name}: no such field"),
    }
}
