//! Exit codes, configuration, completions: what needs no working installation.

use serde_json::{Value, json};
use symbolon::seal::Seal;

use crate::stage::{Stage, bare, fresh_key};

#[test]
fn a_command_that_is_none_is_a_usage_error() {
    for args in [
        &["nonsense"] as &[&str],
        &["tenant"],
        &["tenant", "create"],
        &["tenant", "create", "acme", "--account-id", "12"],
        &["tenant", "create", " "],
        &["tenant", "disable", "acme"],
        &["access-key", "create"],
        &["access-key", "delete", "no-key"],
        &["key", "revoke"],
        &["installation", "set-issuer"],
        &["completions", "tcsh"],
        &["health", "--admin-listen", "nowhere"],
        &["tenant", "list", "--output", "xml"],
    ] {
        let done = bare(args);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{args:?}: {done:?}");
    }
    assert_eq!(bare(&["--help"]).code, 0);
    assert!(bare(&["--version"]).stdout.starts_with("symbolon "));
}

#[test]
fn every_shell_gets_its_completions_and_apply_shows_a_seed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = bare(&["completions", shell]);
        assert!(done.code == 0 && done.stdout.contains("set-issuer"), "{shell}: {done:?}");
    }
    assert!(bare(&["apply", "--help"]).stdout.contains("[[tenant.identity_pool]]"));
}

#[test]
fn a_master_key_is_printed_bare_and_without_a_configuration() {
    let done = bare(&["master-key", "generate"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(done.stdout.len() == 45 && Seal::from_text(&done.stdout).is_ok(), "{done:?}");
    assert_ne!(done.stdout, bare(&["master-key", "generate"]).stdout);
}

#[test]
fn what_is_necessary_is_named_when_nothing_is_configured() {
    let done = bare(&["config", "check"]);
    assert_eq!((done.code, done.stdout.as_str()), (3, ""));
    for needed in ["3 problems", "DATABASE_URL", "issuer.url", "symbolon master-key generate"] {
        assert!(done.stderr.contains(needed), "{needed}: {}", done.stderr);
    }
    for args in [&["tenant", "list"] as &[&str], &["migrate"], &["key", "list"], &["installation", "show"]] {
        let done = bare(args);
        assert_eq!((done.code, done.stdout.as_str()), (3, ""), "{args:?}");
        assert!(done.stderr.contains("DATABASE_URL") && done.stderr.lines().count() == 1, "{}", done.stderr);
    }
}

#[test]
fn config_check_lists_every_problem_at_once() {
    let mut stage = Stage::empty();
    assert_eq!(stage.ok(&["config", "check"]), "ok\n");
    assert_eq!(stage.json(&["config", "check"]), json!({ "Problems": [] }));

    let text = "[server]\nlistem = '127.0.0.1:1'\n[keys]\nsign_fence = 'long'\n[sever]\nlisten = 'x'\n";
    let file = stage.file("symbolon.toml", 0o644, text);
    let told = stage.fails(3, &["--config", file.to_str().unwrap(), "config", "check"]);
    for problem in ["3 problems", "did you mean server.listen?", "keys.sign_fence", "did you mean server?"] {
        assert!(told.contains(problem), "{problem}: {told}");
    }

    stage.set("SYMBOLON__KEYS__PUBLISH_LEAD", "60");
    stage.set("SYMBOLON__KEYS__ALLOW_UNSAFE", "true");
    let done = stage.run(&["config", "check"]);
    assert!(done.code == 0 && done.stdout == "ok\n" && done.stderr.contains("waived"), "{done:?}");
    stage.unset("SYMBOLON__KEYS__ALLOW_UNSAFE");
    stage.set("SYMBOLON__ISSUER__URL", "http://id.example.com:8080/");
    stage.set("SYMBOLON_MASTER_KEY", "short");
    stage.set("DATABASE_URL", "mysql://user:hunter2@x");
    let done = stage.run(&["config", "check", "--output", "json"]);
    assert_eq!(done.code, 3);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let told: Vec<&str> = told["Problems"].as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    for problem in ["publish_lead", "slash", "https", "port", "SYMBOLON_MASTER_KEY", "database.url"] {
        assert!(told.iter().any(|told| told.contains(problem)), "{problem}: {told:?}");
    }
    assert!(told.len() == 6 && !done.stderr.contains("hunter2"), "{told:?}");
}

#[test]
fn config_check_reads_the_certificates_and_tells_what_switches_open() {
    let mut stage = Stage::empty();
    let text = "[upstream]\nallow_ports = [8443]\nallow_http_issuers = ['http://127.0.0.1:9000/realm']\n\
                hosts = { 'idp.example.test' = '127.0.0.1' }\n";
    let file = stage.file("symbolon.toml", 0o644, text);
    stage.set("SYMBOLON_CONFIG", file.to_str().unwrap());
    let done = stage.run(&["config", "check"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "ok\n"));
    for opened in ["port 8443", "http://127.0.0.1:9000/realm", "idp.example.test is taken to be at 127.0.0.1"] {
        assert!(done.stderr.contains(opened), "{opened}: {}", done.stderr);
    }
    assert!(stage.ok(&["config", "show"]).contains("idp.example.test"));

    let empty = stage.file("ca.pem", 0o644, "no certificate");
    for bad in [empty.to_str().unwrap(), "/nowhere/ca.pem"] {
        stage.set("SYMBOLON__UPSTREAM__CA_FILE", bad);
        let told = stage.fails(3, &["config", "check"]);
        assert!(told.contains("upstream.ca_file") && told.contains(bad) && told.contains("in PEM"), "{told}");
    }
    stage.unset("SYMBOLON__UPSTREAM__CA_FILE");
    stage.set("SYMBOLON__UPSTREAM__FETCH_TIMEOUT", "0");
    assert!(stage.fails(3, &["config", "check"]).contains("upstream.fetch_timeout: must be at least 1 second"));
}

#[test]
fn a_master_key_file_that_others_can_read_is_refused() {
    let mut stage = Stage::migrated();
    stage.unset("SYMBOLON_MASTER_KEY");
    for mode in [0o640, 0o604] {
        let file = stage.file("master.key", mode, &fresh_key());
        stage.set("SYMBOLON_MASTER_KEY_FILE", file.to_str().unwrap());
        for args in [&["config", "check"] as &[&str], &["tenant", "create", "acme"], &["master-key", "rotate"]] {
            assert!(stage.fails(3, args).contains("chmod 600"), "{args:?}");
        }
    }
    stage.file("master.key", 0o600, &fresh_key());
    stage.ok(&["config", "check"]);
    stage.ok(&["tenant", "create", "acme"]);
}

#[test]
fn config_show_holds_no_secret_and_reads_back() {
    let mut stage = Stage::empty();
    stage.set("SYMBOLON__DATABASE__URL", "postgres://user:hunter2@host/database");
    let key = stage.get("SYMBOLON_MASTER_KEY");
    let shown = stage.ok(&["config", "show"]);
    assert!(shown.contains("sign_fence = 60") && !shown.contains("hunter2") && !shown.contains(&key), "{shown}");
    assert_eq!(stage.json(&["config", "show"])["keys"]["sign_fence"], 60);
    let file = stage.file("shown.toml", 0o644, &shown);
    assert_eq!(stage.ok(&["config", "show", "--config", file.to_str().unwrap()]), shown);
}

#[test]
fn a_database_that_does_not_answer_is_exit_4() {
    let mut stage = Stage::empty();
    stage.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let seed = stage.file("seed.toml", 0o644, "");
    for args in [
        &["migrate"] as &[&str],
        &["tenant", "list"],
        &["access-key", "list"],
        &["key", "list"],
        &["key", "audit"],
        &["master-key", "rotate"],
        &["installation", "show"],
        &["apply", seed.to_str().unwrap()],
    ] {
        let told = stage.fails(4, args);
        assert!(told.contains("DATABASE_URL") && told.lines().count() == 1, "{args:?}: {told}");
    }
}

#[test]
fn a_database_without_the_schema_is_exit_5_until_it_is_migrated() {
    let stage = Stage::empty();
    let seed = stage.file("seed.toml", 0o644, "");
    for args in [
        &["tenant", "create", "acme"] as &[&str],
        &["access-key", "list"],
        &["key", "list"],
        &["master-key", "rotate"],
        &["installation", "show"],
        &["installation", "set-issuer", "https://id.example.org"],
        &["apply", seed.to_str().unwrap()],
    ] {
        assert!(stage.fails(5, args).contains("symbolon migrate"), "{args:?}");
    }
    let status = stage.json(&["migrate", "--status"]);
    assert_eq!((&status["Migrations"][0]["Applied"], &status["AppliedNow"]), (&json!(false), &json!(0)));
    assert!(stage.ok(&["migrate"]).contains("applied now"));
    assert_eq!(stage.json(&["migrate"])["AppliedNow"], 0);
    stage.ok(&["tenant", "list"]);

    let shown = stage.json(&["installation", "show"]);
    assert_eq!((&shown["Kind"], &shown["Schema"]), (&Value::Null, &json!("CURRENT")));
    assert!(stage.ok(&["installation", "show"]).contains("not set up yet"));
    assert!(stage.fails(1, &["key", "list"]).contains("symbolon serve"));
    assert!(stage.fails(1, &["installation", "set-issuer", "https://a.example"]).contains("symbolon serve"));
}
