//! The documents say what is: tests, settings, operations and files that they name exist, and the tutorial works when pasted.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use regex::Regex;
use symbolon::cognito::shapes::OPERATIONS;
use symbolon::config::DEFAULTS;
use tempfile::TempDir;
use tokio::net::TcpSocket;

#[path = "processes/ports.rs"]
mod ports;

use ports::held_port;

/// Rules of the ledger that no test holds yet. It only ever falls.
const UNTESTED_RULES: usize = 0;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file of the project, relative to it.
fn documents() -> Vec<String> {
    fn search(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(project(".").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = folder.join(&name);
            if project(".").join(&path).is_dir() {
                if !name.starts_with('.') && name != "target" {
                    search(&path, found);
                }
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    search(Path::new(""), &mut found);
    assert!(found.len() > 10, "only {found:?}");
    found
}

/// The rows of the tables of a text, as their cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let table = text.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    table.map(|line| line[2..line.len() - 2].split(" | ").collect()).collect()
}

/// Whether the source defines this test, and a run of all tests runs it.
fn is_run(file: &str, source: &str, test: &str) -> bool {
    if Path::new(file).extension().is_some_and(|extension| extension == "py") {
        let module = Path::new(file).file_stem().unwrap().to_str().unwrap();
        return read("tests/clients/run.py").contains(&format!("\n    \"{module}\",\n"))
            && Regex::new(&format!(r"(?m)^    def {test}\(")).unwrap().is_match(source)
            && test.starts_with("test_")
            && !source.contains("unittest.skip")
            && !source.contains("skipTest");
    }
    let attributes = Regex::new(&format!(r"((?:#\[[^\]]*\]\s*)+)(?:async )?fn {test}\b")).unwrap();
    attributes.captures(source).is_some_and(|found| {
        let is_test = found[1].contains("#[test]") || found[1].contains("#[tokio::test");
        is_test && !found[1].contains("#[ignore")
    })
}

#[test]
fn a_test_that_is_not_run_holds_no_rule() {
    assert!(is_run("a.rs", "#[test]\n    fn a() {}", "a"));
    assert!(is_run("a.rs", "#[tokio::test(flavor = \"multi_thread\")]\nasync fn a() {}", "a"));
    for source in [
        "fn a() {}",
        "#[test]\nfn ab() {}",
        "#[test]\n#[ignore = \"slow\"]\nfn a() {}",
        "#[test]\nfn b() {}\nfn a() {}",
    ] {
        assert!(!is_run("a.rs", source, "a"), "{source}");
    }
    assert!(is_run("tests/clients/roles.py", "\n    def test_a(self):", "test_a"));
    assert!(!is_run("tests/clients/roles.py", "\n    def a(self):", "a"));
    assert!(!is_run("tests/clients/support.py", "\n    def test_a(self):", "test_a"));
}

#[test]
fn every_test_of_the_ledger_exists() {
    let ledger = read("docs/compatibility.md");
    let named = Regex::new(r"`([\w/.]+)::(\w+)`").unwrap();
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let (mut untested, mut missing, mut checked) = (Vec::new(), Vec::new(), 0);
    for row in rows(&ledger).iter().filter(|row| row[0] != "Id") {
        assert_eq!(row.len(), 5, "{row:?}");
        let tests = row[4];
        match tests {
            "—" => untested.push(row[0]),
            "later" => {}
            _ => assert!(named.is_match(tests), "{row:?} names no test"),
        }
        for test in named.captures_iter(tests) {
            let source = sources.entry(test[1].to_owned()).or_insert_with(|| read(&test[1]));
            checked += 1;
            if !is_run(&test[1], source, &test[2]) {
                missing.push(format!("{}: {}::{}", row[0], &test[1], &test[2]));
            }
        }
    }
    assert!(checked > 100, "only {checked} tests are named: the reader is broken");
    assert!(missing.is_empty(), "the ledger names tests that do not exist:\n{}", missing.join("\n"));
    assert_eq!(
        untested.len(),
        UNTESTED_RULES,
        "rules without a test (write one, or lower UNTESTED_RULES): {untested:?}"
    );
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let reference = read("docs/reference/configuration.md");
    let documented: BTreeMap<String, String> = rows(&reference)
        .iter()
        .filter(|row| row.len() == 3)
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].trim_matches('`').to_owned()))
        .filter(|(field, _)| field != "Field")
        .collect();
    let defaults: toml::Table = DEFAULTS.parse().unwrap();
    let mut known = BTreeMap::new();
    for (section, value) in defaults {
        match value {
            toml::Value::Table(fields) => {
                known.extend(fields.into_iter().map(|(field, value)| (format!("{section}.{field}"), value)));
            }
            value => drop(known.insert(section, value)),
        }
    }
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(documented.keys().collect()), names(known.keys().collect()));
    for (field, value) in known {
        let shown = match value {
            toml::Value::String(text) if text.is_empty() => "none".to_owned(),
            toml::Value::String(text) => text,
            value => value.to_string(),
        };
        assert_eq!(documented[&field], shown, "{field}");
    }
}

#[test]
fn the_tables_of_operations_agree_with_the_dispatch() {
    // In the table of operations, a line names an operation and the function that answers it.
    let dispatch = read("src/cognito/mod.rs");
    let line = Regex::new(r#""(\w+)" => (signed|public)\("#).unwrap();
    let served: BTreeMap<String, String> = line
        .captures_iter(&dispatch)
        .map(|found| (found[1].to_owned(), if &found[2] == "signed" { "signed" } else { "anyone" }.to_owned()))
        .collect();
    let readme = read("README.md");
    let mut told = BTreeSet::new();
    for row in rows(&readme).iter().filter(|row| row.len() == 3 && OPERATIONS.contains(&row[0])) {
        assert!(told.insert(row[0]), "{} stands twice", row[0]);
        match served.get(row[0]) {
            Some(caller) => assert!(row[2].starts_with("served") && row[1] == caller, "{row:?}"),
            None => assert_eq!(row[2], "later", "{row:?}"),
        }
    }
    assert_eq!(told.len(), OPERATIONS.len());
    assert!(readme.contains(&format!("{} of the 23 operations", served.len())));

    let reference = read("docs/reference/operations.md");
    for operation in OPERATIONS {
        match served.get(*operation) {
            Some(caller) => assert!(reference.contains(&format!("### {operation} ({caller})\n")), "{operation}"),
            None => assert!(reference.contains(&format!("`{operation}`")), "{operation}"),
        }
    }
}

#[test]
fn every_exception_and_metric_is_documented() {
    let errors = read("docs/reference/errors.md");
    let exception = Regex::new(r#""(\w+Exception)""#).unwrap();
    for found in exception.captures_iter(&read("src/cognito/fault.rs")) {
        // Counted, should it ever occur: nothing in this version issues sessions.
        assert!(&found[1] == "ExpiredTokenException" || errors.contains(&found[1]), "{}", &found[1]);
    }
    let metrics = read("docs/reference/metrics.md");
    let metric = Regex::new(r#""(symbolon_\w+)""#).unwrap();
    for found in metric.captures_iter(&read("src/telemetry.rs")) {
        assert!(metrics.contains(&format!("| `{}` |", &found[1])), "{}", &found[1]);
    }
}

#[test]
fn every_operation_and_code_of_iam_is_documented() {
    let reference = read("docs/reference/iam.md");
    let operation = Regex::new(r#""(\w+)" => signed\("#).unwrap();
    let served = read("src/aws_query/mod.rs");
    let served: Vec<&str> = operation.captures_iter(&served).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(served.len() > 5, "{served:?}");
    for name in served {
        assert!(Regex::new(&format!(r"(?m)^\|.*\b{name}\b.*\|")).unwrap().is_match(&reference), "{name}");
    }
    let code = Regex::new(r#""([A-Z][A-Za-z]+)""#).unwrap();
    for found in code.captures_iter(&read("src/aws_query/fault.rs")) {
        // Counted, should it ever occur: nothing in this version issues sessions.
        assert!(&found[1] == "ExpiredToken" || reference.contains(&format!("`{}`", &found[1])), "{}", &found[1]);
    }
}

#[test]
fn every_command_is_documented() {
    let help = Command::new(env!("CARGO_BIN_EXE_symbolon")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let reference = read("docs/reference/cli.md");
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| line.starts_with("  "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(reference.contains(&format!("| `symbolon {command}")), "{command}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&document).parent().unwrap();
            let file = if path.is_empty() { document.clone() } else { folder.join(path).to_str().unwrap().to_owned() };
            if !project(&file).exists() {
                broken.push(format!("{document}: {target}"));
            } else if !anchor.is_empty() && !anchors(&read(&file)).contains(anchor) {
                broken.push(format!("{document}: {target} (no such heading)"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The names under which headings can be linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let plain = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(plain).collect()
}

/// The blocks of a document in the language `sh`: those that are meant to be pasted.
fn blocks(document: &str) -> String {
    blocks_in(&read(document))
}

/// The same of a part of a document.
fn blocks_in(text: &str) -> String {
    let mut inside = false;
    let mut script = String::new();
    for line in text.lines() {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, line) => script = script + line + "\n",
            (false, _) => {}
        }
    }
    script
}

/// Where `make test` has put the AWS CLI, boto3 and PyJWT: beside the model that it names.
#[expect(clippy::disallowed_methods, reason = "`make test` says where it put the clients; this is no configuration")]
fn clients() -> PathBuf {
    let model = std::env::var_os("SYMBOLON_MODEL_JSON").expect("SYMBOLON_MODEL_JSON is not set: run `make test`");
    Path::new(&model).parent().unwrap().join("bin").canonicalize().expect("no clients beside the model")
}

/// A shell that stops at the first command that fails, with `symbolon`, PostgreSQL and the clients, and little else.
#[expect(clippy::disallowed_methods, reason = "a tutorial's shell has the system's programs")]
fn shell(folder: &Path, script: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_symbolon")).parent().unwrap();
    let system = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{}:{system}", programs.display(), clients().display()))
        .env("HOME", folder)
        .stdin(Stdio::null());
    shell
}

/// The script with each of these ports replaced by a free one, and what holds those.
fn on_free_ports(script: &str, ports: &[u16]) -> (String, Vec<TcpSocket>) {
    let (held, free): (Vec<_>, Vec<_>) = ports.iter().map(|_| held_port()).unzip();
    let free: BTreeMap<String, u16> = ports.iter().map(|port| format!(":{port}")).zip(free).collect();
    let port = Regex::new(r":\d{4,5}\b").unwrap();
    let replaced = |found: &regex::Captures<'_>| match free.get(&found[0]) {
        Some(free) => format!(":{free}"),
        None => found[0].to_owned(),
    };
    (port.replace_all(script, replaced).into_owned(), held)
}

/// Runs a shell to its end, which must be a good one, and within ten minutes: scripts wait for brokers in loops.
fn run(mut command: Command) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = fs::File::create(&log).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if began.elapsed() > Duration::from_mins(10) => break None,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    // What it left in the background ends with it.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{said}");
}

struct Dev(Child);

impl Dev {
    /// `symbolon dev` in a folder, ready.
    fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, |_| {})
    }

    /// The same with more arguments or variables.
    fn start_with(folder: &Path, port: u16, more: impl FnOnce(&mut Command)) -> Self {
        let mut dev = Command::new(env!("CARGO_BIN_EXE_symbolon"));
        let listen = format!("127.0.0.1:{port}");
        dev.args(["dev", "--listen", &listen, "--admin-listen", "127.0.0.1:0"]).current_dir(folder);
        more(&mut dev);
        let mut dev = Self(dev.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let banner = BufReader::new(dev.0.stdout.take().unwrap());
        let ready = banner.lines().any(|line| line.unwrap().contains("Ctrl-C ends it"));
        assert!(ready, "dev has ended");
        dev
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // After a failed test: told to end, it takes its Postgres with it.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

/// A folder that has the binary where a clone of the project has it, and that PostgreSQL's user may pass through.
fn clone() -> TempDir {
    let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
    fs::create_dir_all(folder.path().join("target/debug")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_symbolon"), folder.path().join("target/debug/symbolon")).unwrap();
    folder
}

#[test]
fn the_tutorial_works_when_pasted() {
    let folder = clone();
    let (_held, port) = held_port();
    let dev = Dev::start(folder.path(), port);
    let (script, _others) = on_free_ports(&blocks("docs/tutorial.md"), &[4610, 4611]);
    assert!(script.contains("merge-developer-identities") && script.contains("verify.py"));
    run(shell(folder.path(), &(script + "echo \"$POOL $ALICE $TOKEN\" > before\n")));
    dev.stop();
    // A restart keeps everything: the ids, the keys, the issuer.
    let dev = Dev::start(folder.path(), port);
    let again = ". ./.symbolon/env
        read -r POOL ALICE TOKEN < before
        python3 .symbolon/verify.py $AWS_ENDPOINT_URL_COGNITO_IDENTITY $POOL $TOKEN
        test $ALICE = $(aws cognito-identity get-open-id-token-for-developer-identity --identity-pool-id $POOL \\
          --logins login.example=bob --query IdentityId --output text)";
    run(shell(folder.path(), again));
    dev.stop();
}

#[test]
fn the_verifier_of_the_readme_is_that_of_the_tutorial() {
    let python = |text: &str, from: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.lines().skip(1).take_while(|line| *line != "PYTHON" && *line != "```").collect::<Vec<_>>().join("\n")
    };
    let (readme, tutorial) = (read("README.md"), read("docs/tutorial.md"));
    assert_eq!(python(&readme, "```python"), python(&tutorial, "cat > .symbolon/verify.py <<'PYTHON'"));
}

#[test]
fn the_first_call_of_the_readme_is_that_of_the_banner() {
    let (readme, banner) = (read("README.md"), read("src/cli/dev/mod.rs"));
    for line in [
        "aws cognito-identity get-open-id-token-for-developer-identity --logins login.example=alice --identity-pool-id \\",
        "$(aws cognito-identity create-identity-pool --identity-pool-name first --developer-provider-name login.example \\",
        "--no-allow-unauthenticated-identities --query IdentityPoolId --output text)",
    ] {
        assert!(readme.contains(line), "the README lacks {line}");
        assert!(banner.contains(&line.replace('\\', "\\\\")) || banner.contains(line), "the banner lacks {line}");
    }
}

#[test]
fn the_broker_of_the_guide_to_continuous_integration_comes_and_goes() {
    let folder = clone();
    let guide = read("docs/how-to/ci.md");
    let (broker, _) = guide.split_once("## Known pools").unwrap();
    let (script, _held) = on_free_ports(&blocks_in(broker), &[4620, 4621]);
    let script = script.replacen(
        "kill \"$BROKER\"",
        "aws cognito-identity list-identity-pools --max-results 1\nkill \"$BROKER\"",
        1,
    );
    run(shell(folder.path(), &format!("RUN=$PWD\n{script}")));
}

#[test]
fn the_seed_of_the_guide_to_continuous_integration_gives_credentials_to_guests_and_users() {
    let guide = read("docs/how-to/ci.md");
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let (seed, rest) = rest.split_once("```").unwrap();
    let (_, told) = rest.split_once("It prints `").unwrap();
    let (guest, _) = told.split_once('`').unwrap();
    let folder = clone();
    fs::write(folder.path().join("seed.toml"), seed).unwrap();
    let secret = ("CI_SECRET_ACCESS_KEY", "0123456789abcdef");
    let dev = Dev::start_with(folder.path(), 0, |dev| {
        dev.args(["--seed", "seed.toml"]).env(secret.0, secret.1);
    });
    let script = blocks_in(rest);
    let last = "aws cognito-identity get-credentials-for-identity --no-sign-request --identity-id $ALICE";
    assert!(script.contains(last), "{script}");
    let checked = script
        .replacen("AWS_ACCESS_KEY_ID=$KEY", "PRINTED=$(AWS_ACCESS_KEY_ID=$KEY", 1)
        .replacen("--query Arn --output text", "--query Arn --output text)", 1)
        .replacen(last, &format!("test \"$PRINTED\" = {guest}\n{last}"), 1);
    assert_eq!(checked.matches("PRINTED").count(), 2);
    let mut shell = shell(folder.path(), &format!(". ./.symbolon/env\n{checked}"));
    shell.env(secret.0, secret.1);
    run(shell);
    dev.stop();
}
