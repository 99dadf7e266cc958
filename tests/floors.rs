//! The house keeps its floors: reads every source file and fails on an import that points up.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import, beside its own and the ground. The order is that of `src/lib.rs`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    (
        "cli",
        &["app", "http", "aws_query", "cognito", "iam", "identities", "keys", "pools", "tenants", "tokens", "upstream"],
    ),
    ("http", &["app", "aws_query", "cognito", "keys"]),
    ("aws_query", &["app", "cognito", "iam", "tenants", "tokens"]),
    ("cognito", &["app", "iam", "identities", "keys", "pools", "tenants", "tokens", "upstream"]),
    ("app", &["iam", "identities", "keys", "pools", "tenants", "tokens", "upstream"]),
    ("tokens", &["iam", "identities", "keys", "pools", "tenants", "upstream"]),
    ("identities", &["pools", "upstream"]),
    ("upstream", &["iam", "pools"]),
    ("iam", &["tenants"]),
    ("pools", &["tenants"]),
    ("keys", &[]),
    ("tenants", &[]),
];

/// Vocabulary and tools: everyone may import them, and they import nothing above.
const GROUND: &[&str] = &[
    "cache",
    "clock",
    "config",
    "db",
    "error",
    "ids",
    "installation",
    "json",
    "limits",
    "policy",
    "request",
    "seal",
    "sigv4",
    "tags",
    "telemetry",
    "workers",
    "xml",
];

/// Macros live at the root of the crate; this is the module that each belongs to.
const MACROS: &[(&str, &str)] = &[("retry", "db")];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The top-level modules that a source text names after `crate::`, alone or in braces.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        let rest = &code[at + marker.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut start = 0;
                for (index, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            found.push(word(group[start..].trim_start()));
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            found.push(word(group[start..].trim_start()));
                            start = index + 1;
                        }
                        _ => {}
                    }
                }
            }
            None => found.push(word(rest)),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::app::App;\nuse crate::{db, keys::{ring, State}, retry};\nlet x = crate::ids::random(); // crate::cli";
    assert_eq!(imports(text), ["app", "db", "keys", "retry", "ids"]);
}

#[test]
fn no_import_points_up() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        assert!(rules.contains_key(module) || GROUND.contains(&module), "{module} has no floor yet: give it one here");
        let allowed = rules.get(module).copied().unwrap_or_default();
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let import = MACROS.iter().find(|(name, _)| *name == import).map_or(import.as_str(), |(_, module)| module);
            checked += 1;
            if import != module && !allowed.contains(&import) && !GROUND.contains(&import) {
                wrong.push(format!("{} imports crate::{import}", relative.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were found: the reader is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_see_no_http_and_operations_no_sql() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden: &[(&str, &[&str])] = &[
        ("iam", &["axum", "hyper", "Exception\""]),
        ("identities", &["axum", "hyper", "serde_json::Value", "Exception\""]),
        ("keys", &["axum", "hyper", "Exception\""]),
        ("pools", &["axum", "hyper", "Exception\""]),
        ("tenants", &["axum", "hyper", "Exception\""]),
        ("tokens", &["axum", "hyper", "Exception\""]),
        ("upstream", &["axum", "Exception\"", "sqlx::query"]),
        ("aws_query", &["sqlx::query"]),
        ("cognito", &["sqlx::query"]),
        ("http", &["sqlx::query"]),
    ];
    for (module, words) in forbidden {
        for path in sources(&src.join(module)) {
            let text = fs::read_to_string(&path).unwrap();
            for word in *words {
                assert!(!text.contains(word), "{} holds {word:?}", path.display());
            }
        }
    }
}
