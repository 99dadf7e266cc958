//! What the deployment files say is done: the commands, environments and health check of `docker-compose.yml` with the
//! real binary and a private Postgres, whose roles `deploy/postgres/roles.sql` made. Only the containers are missing.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::Client;
use aws_sdk_cognitoidentity::config::retry::RetryConfig;
use aws_sdk_cognitoidentity::config::{BehaviorVersion, Config, Region};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use symbolon::cli::dev_postgres::{Options, Postgres};
use tempfile::TempDir;
use tokio::net::TcpSocket;

#[path = "processes/ports.rs"]
mod ports;

use ports::held_port;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

/// What `.env` says, beside what each test chooses.
const SETTINGS: [(&str, &str); 4] = [
    ("POSTGRES_PASSWORD", "postgrespassword"),
    ("SYMBOLON_OWNER_PASSWORD", "ownerpassword"),
    ("SYMBOLON_APP_PASSWORD", "apppassword"),
    ("SEED_SECRET_ACCESS_KEY", SECRET),
];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap()
}

/// A text with Compose's `${NAME}`, `${NAME:-default}` and `${NAME:?why}` replaced
/// (<https://docs.docker.com/reference/compose-file/interpolation/>).
fn interpolate(text: &str, settings: &BTreeMap<String, String>) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (expression, tail) = after.split_once('}').unwrap();
        let name = expression.split(':').next().unwrap();
        let default = expression.split_once(":-").map(|(_, default)| default);
        let value = settings.get(name).map(String::as_str).or(default);
        done.push_str(before);
        done.push_str(value.unwrap_or_else(|| panic!("{expression} is not set")));
        rest = tail;
    }
    done + rest
}

/// The compose file, as Compose would read it.
struct Compose(Value);

impl Compose {
    fn read() -> Self {
        let settings = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut document: Value = serde_saphyr::from_str(&read("docker-compose.yml")).unwrap();
        interpolate_all(&mut document, &settings);
        Self(document)
    }

    fn service(&self, name: &str) -> &Value {
        let service = &self.0["services"][name];
        assert!(service.is_object(), "no service {name}");
        service
    }

    fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let environment = self.service(name)["environment"].as_object().unwrap();
        environment.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }
}

fn interpolate_all(value: &mut Value, settings: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = interpolate(text, settings),
        Value::Array(items) => items.iter_mut().for_each(|item| interpolate_all(item, settings)),
        Value::Object(members) => members.values_mut().for_each(|item| interpolate_all(item, settings)),
        _ => {}
    }
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A machine on which the services run as processes: what stands for the names, addresses and paths of the containers.
struct Machine {
    compose: Compose,
    postgres: Postgres,
    folder: TempDir,
    public: u16,
    admin: u16,
    _held: [TcpSocket; 2],
}

impl Machine {
    async fn new() -> Self {
        let postgres = Postgres::start(Options::ephemeral()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ((one, public), (other, admin)) = (held_port(), held_port());
        let machine = Self { compose: Compose::read(), postgres, folder, public, admin, _held: [one, other] };
        let made = Command::new(env!("CARGO_BIN_EXE_symbolon")).args(["master-key", "generate"]).output().unwrap();
        fs::write(machine.master_key(), ok(made)).unwrap();
        fs::set_permissions(machine.master_key(), fs::Permissions::from_mode(0o600)).unwrap();
        machine
    }

    fn master_key(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// A text of the compose file with what is a container's replaced by what is this machine's.
    fn here(&self, service: &str, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some((user, database)) = text.split_once("@postgres:5432/") {
            let socket = self.postgres.socket_dir().display();
            text = format!("{user}@localhost:5432/{database}?host={socket}&sslmode=disable");
        }
        let mut replacements = vec![
            ("0.0.0.0:4600".to_owned(), format!("127.0.0.1:{}", self.public)),
            ("0.0.0.0:4601".to_owned(), format!("127.0.0.1:{}", self.admin)),
            ("/run/secrets/master_key".to_owned(), self.master_key().display().to_string()),
        ];
        for mount in self.compose.service(service)["volumes"].as_array().into_iter().flatten() {
            let mut parts = mount.as_str().unwrap().split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
            assert!(project(source).exists(), "{source} is mounted and does not exist");
            replacements.push((target.to_owned(), project(source).display().to_string()));
        }
        replacements.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// The binary in the environment of a service, and in no other.
    fn binary(&self, service: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_symbolon"));
        command.env_clear().stdin(Stdio::null());
        for (name, value) in self.compose.environment(service) {
            command.env(name, self.here(service, &value));
        }
        command
    }

    /// A service's command, as its image's entry point gets it.
    fn command(&self, service: &str) -> Command {
        let mut command = self.binary(service);
        command.args(words(&self.compose.service(service)["command"]).iter().map(|word| self.here(service, word)));
        command
    }

    /// Whether a service's own health check says that it is well.
    fn is_healthy(&self, service: &str) -> bool {
        let check = words(&self.compose.service(service)["healthcheck"]["test"]);
        assert_eq!(check[..2], ["CMD", "symbolon"]);
        self.binary(service).args(&check[2..]).output().unwrap().status.success()
    }

    /// psql as the superuser, or as another role.
    fn psql(&self, role: &str, arguments: &[&str]) -> Output {
        Command::new(self.postgres.bin_dir().join("psql"))
            .env_clear()
            .env("PGHOST", self.postgres.socket_dir())
            .envs([("PGUSER", role), ("PGDATABASE", "symbolon")])
            .envs(self.compose.environment("postgres").into_iter().filter(|(name, _)| name.starts_with("SYMBOLON_")))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(arguments)
            .output()
            .unwrap()
    }

    fn make_roles(&self) {
        let mounts = words(&self.compose.service("postgres")["volumes"]);
        let script = mounts.iter().find_map(|mount| mount.strip_suffix(":/docker-entrypoint-initdb.d/roles.sql:ro"));
        ok(self.psql("symbolon", &["-f", project(script.unwrap()).to_str().unwrap()]));
    }

    fn start_broker(&self) -> Broker {
        let mut broker = Broker(self.command("broker").stderr(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while !self.is_healthy("broker") {
            assert!(broker.0.try_wait().unwrap().is_none(), "the broker ended");
            assert!(began.elapsed() < Duration::from_mins(1), "the broker is not healthy");
            std::thread::sleep(Duration::from_millis(200));
        }
        broker
    }

    fn client(&self) -> Client {
        let credentials = Credentials::new("AKIAEXAMPLE000000001", SECRET, None, None, "seed");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://127.0.0.1:{}", self.public))
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }
}

struct Broker(Child);

impl Broker {
    fn stop(mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command printed, which must have succeeded.
#[track_caller]
fn ok(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_services_are_as_the_image_is() {
    let compose = Compose::read();
    let image = read("deploy/Dockerfile");
    assert!(image.contains("ENTRYPOINT [\"symbolon\"]\n"));
    for service in ["migrate", "seed", "broker"] {
        let service = compose.service(service);
        assert!(service["entrypoint"].is_null() && service["image"] == "symbolon");
    }
    let build = &compose.service("migrate")["build"];
    assert!(project(build["context"].as_str().unwrap()).join(build["dockerfile"].as_str().unwrap()).is_file());
    // The two say the same of where the broker listens, and how to ask it.
    let broker = compose.environment("broker");
    for name in ["SYMBOLON__SERVER__LISTEN", "SYMBOLON__SERVER__ADMIN_LISTEN"] {
        assert!(image.contains(&format!("{name}={}", broker[name])), "{name}");
    }
    assert_eq!(compose.service("broker")["ports"], serde_json::json!(["127.0.0.1:4600:4600"]));
    let check = words(&compose.service("broker")["healthcheck"]["test"]);
    assert!(image.contains(&format!("CMD {}\n", serde_json::json!(check[1..]).to_string().replace("\",\"", "\", \""))));
    for service in ["seed", "broker"] {
        assert_eq!(compose.service(service)["secrets"], serde_json::json!(["master_key"]));
        assert_eq!(compose.environment(service)["SYMBOLON_MASTER_KEY_FILE"], "/run/secrets/master_key");
    }
    // Every variable that must be set is in the example, with no value of its own.
    let example = read("deploy/compose/env.example");
    for (name, _) in SETTINGS {
        assert!(example.lines().any(|line| line == format!("{name}=")), "{name}");
    }
}

#[test]
fn the_unit_runs_the_broker() {
    let unit = read("deploy/systemd/symbolon.service");
    let all = |name: &str| -> Vec<String> {
        unit.lines().filter_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned).collect()
    };
    assert_eq!(all("ExecStart"), ["/usr/local/bin/symbolon serve"]);
    assert_eq!(all("ExecStartPre"), ["/usr/local/bin/symbolon config check"]);
    assert_eq!(all("RestartPreventExitStatus"), ["2 3 5"]);
    // It checks what the broker itself would refuse: nothing but what the unit's comment names is needed.
    let key = tempfile::tempdir().unwrap();
    let path = key.path().join("master.key");
    let binary = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_symbolon"));
        command.env_clear();
        command
    };
    fs::write(&path, ok(binary().args(["master-key", "generate"]).output().unwrap())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let check = |issuer: &str| {
        let mut command = binary();
        command.args(["config", "check"]).env("SYMBOLON_MASTER_KEY_FILE", &path);
        command.env("DATABASE_URL", "postgres://symbolon_app:x@db/symbolon").env("SYMBOLON__ISSUER__URL", issuer);
        command.output().unwrap()
    };
    ok(check("https://id.example.com"));
    assert_eq!(check("").status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compose_migrates_seeds_and_serves() {
    let machine = Machine::new().await;
    machine.make_roles();
    assert!(!machine.is_healthy("broker"));
    ok(machine.command("migrate").output().unwrap());
    let made = ok(machine.command("seed").output().unwrap());
    assert!(made.contains("made") && !made.contains("left"), "{made}");
    let again = ok(machine.command("seed").output().unwrap());
    assert!(again.contains("left") && !again.contains("made") && !again.contains("changed"), "{again}");
    // After the second migration and the second run of the roles, as an upgrade does them, all is as before.
    ok(machine.command("migrate").output().unwrap());
    machine.make_roles();

    let broker = machine.start_broker();
    let client = machine.client();
    let pool = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8";
    let token = || {
        client.get_open_id_token_for_developer_identity().identity_pool_id(pool).logins("login.example", "alice").send()
    };
    let first = token().await.unwrap();
    assert!(first.token().is_some());
    broker.stop();
    let broker = machine.start_broker();
    assert_eq!(token().await.unwrap().identity_id(), first.identity_id());
    broker.stop();
    machine.postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_role_does_all_that_a_broker_and_its_commands_do_and_no_more() {
    let machine = Machine::new().await;
    machine.make_roles();
    ok(machine.command("migrate").output().unwrap());
    machine.make_roles();
    ok(machine.command("seed").output().unwrap());
    let broker = machine.start_broker();
    use_every_table(&machine.client()).await;

    let run = |arguments: &[&str]| ok(machine.binary("broker").args(arguments).output().unwrap());
    run(&["migrate", "--status"]);
    run(&["installation", "show"]);
    run(&["tenant", "create", "other", "--account-id", "222222222222"]);
    let key: Value =
        serde_json::from_str(&run(&["access-key", "create", "--account", "222222222222", "--output", "json"])).unwrap();
    let key = key["AccessKeyId"].as_str().unwrap();
    run(&["access-key", "disable", key]);
    run(&["access-key", "delete", key]);
    run(&["tenant", "disable", "222222222222"]);
    run(&["key", "audit"]);
    run(&["key", "rotate", "--force"]);
    let old = fs::read_to_string(machine.master_key()).unwrap();
    fs::write(machine.master_key(), run(&["master-key", "generate"]) + &old).unwrap();
    run(&["master-key", "rotate"]);
    broker.stop();

    for statement in [
        "create table mine (id int)",
        "alter table identities add column mine int",
        "truncate logins",
        "drop table logins",
        "update schema_compat set min_version = '0.0.0'",
        "delete from _sqlx_migrations",
        "update migration_lock set id = 1",
        "create role other",
    ] {
        let refused = machine.psql("symbolon_app", &["-c", statement]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{statement}: {said}");
    }
    let login = "select rolpassword is not null and not rolsuper and not rolcreatedb and not rolcreaterole
                 from pg_authid where rolname in ('symbolon_owner', 'symbolon_app')";
    assert_eq!(ok(machine.psql("symbolon", &["-A", "-t", "-c", login])), "t\nt\n");
    machine.postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_guests_are_limited_unless_configured_otherwise() {
    let machine = Machine::new().await;
    machine.make_roles();
    ok(machine.command("migrate").output().unwrap());
    ok(machine.command("seed").output().unwrap());
    let broker = machine.start_broker();
    let client = machine.client();
    let pool = client.create_identity_pool().identity_pool_name("guests").allow_unauthenticated_identities(true);
    let pool = pool.send().await.unwrap().identity_pool_id;
    // 25 a second, for one address.
    let mut made = 0;
    let refused = loop {
        match client.get_id().identity_pool_id(&pool).send().await {
            Ok(_) => made += 1,
            Err(error) => break error.into_service_error(),
        }
        assert!(made < 1_000, "nothing is refused");
    };
    assert!(refused.is_too_many_requests_exception() && made >= 25, "{made}: {refused:?}");
    assert_eq!(refused.meta().message(), Some("Rate exceeded"));
    // Signed operations are not.
    for _ in 0..50 {
        client.describe_identity_pool().identity_pool_id(&pool).send().await.unwrap();
    }
    broker.stop();
    machine.postgres.stop().await.unwrap();
}

/// Every kind of write that operations make.
async fn use_every_table(client: &Client) {
    let pool = client
        .create_identity_pool()
        .identity_pool_name("all")
        .allow_unauthenticated_identities(true)
        .developer_provider_name("login.example")
        .supported_login_providers("accounts.google.com", "id")
        .send()
        .await
        .unwrap();
    let pool = pool.identity_pool_id();
    let token = |user: &'static str| {
        client.get_open_id_token_for_developer_identity().identity_pool_id(pool).logins("login.example", user)
    };
    let guest = client.get_id().identity_pool_id(pool).send().await.unwrap();
    token("a").identity_id(guest.identity_id().unwrap()).send().await.unwrap();
    token("b").send().await.unwrap();
    let merged = client
        .merge_developer_identities()
        .identity_pool_id(pool)
        .developer_provider_name("login.example")
        .source_user_identifier("b")
        .destination_user_identifier("a")
        .send()
        .await
        .unwrap();
    client
        .unlink_developer_identity()
        .identity_pool_id(pool)
        .developer_provider_name("login.example")
        .identity_id(merged.identity_id().unwrap())
        .developer_user_identifier("b")
        .send()
        .await
        .unwrap();
    let deleted =
        client.delete_identities().identity_ids_to_delete(merged.identity_id().unwrap()).send().await.unwrap();
    assert!(deleted.unprocessed_identity_ids().is_empty());
    client
        .update_identity_pool()
        .identity_pool_id(pool)
        .identity_pool_name("every")
        .allow_unauthenticated_identities(false)
        .send()
        .await
        .unwrap();
    client.delete_identity_pool().identity_pool_id(pool).send().await.unwrap();
}
