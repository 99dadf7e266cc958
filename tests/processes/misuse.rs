//! What users get wrong on a terminal: one line says what, and what to do.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::broker::{Ended, Launch, MASTER_KEY};
use crate::database::public_dir;

/// Nothing here gets as far as a database.
const NO_DATABASE: &str = "postgres://nobody@127.0.0.1:1/nothing";

fn serve() -> Launch {
    Launch::serve(NO_DATABASE).env("SYMBOLON__DATABASE__START_TIMEOUT", "0")
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = public_dir();
    let dev = Launch::dev(&dir.path().join("data"));
    for (option, other) in [("--listen", serve()), ("--admin-listen", serve()), ("--listen", dev)] {
        let ended = other.option(option, &*address).run().await;
        ended.told(1, &["cannot listen on", &address, "another process listens there", option]);
    }
    assert!(!dir.path().join("data").exists(), "nothing is begun before the ports are known to be free");
    serve().option("--listen", "192.0.2.1:4600").run().await.told(1, &["192.0.2.1:4600", "choose an address"]);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_told_field_by_field() {
    serve().without("SYMBOLON_MASTER_KEY").run().await.told(3, &["no master key", "symbolon master-key generate"]);
    serve().env("SYMBOLON_MASTER_KEY", "c2hvcnQ=").run().await.told(3, &["number 1 is not 32 bytes"]);
    serve().without("DATABASE_URL").run().await.told(3, &["database.url", "DATABASE_URL"]);
    serve().without("SYMBOLON__ISSUER__URL").run().await.told(3, &["issuer.url"]);
    serve().env("SYMBOLON__SERVER__LISTEM", "x").run().await.told(3, &["server.listem", "did you mean server.listen?"]);
    serve().env("SYMBOLON__REGIONS", "us-east-1,Mars").run().await.told(3, &["regions", "\"Mars\""]);
    serve().env("SYMBOLON__ISSUER__ALGORITHM", "HS256").run().await.told(3, &["issuer.algorithm", "HS256", "ES256"]);
    serve().env("SYMBOLON_CONFIG", "/no/such/file").run().await.told(3, &["/no/such/file", "does not exist"]);
    serve().env("DATABASE_URL", "mysql://x").run().await.told(3, &["database.url", "postgres://user:password@host"]);

    let two = serve().env("SYMBOLON__SEVER__LISTEN", "x").env("SYMBOLON__LIMITS__MAX_CONECTIONS", "1").run().await;
    assert_eq!(two.code, Some(3));
    for name in ["did you mean server?", "did you mean limits.max_connections?"] {
        assert!(two.stderr.contains(name), "{}", two.stderr);
    }
}

#[tokio::test]
async fn a_configuration_file_and_a_master_key_file_are_checked_too() {
    let dir = public_dir();
    let (key, file) = (dir.path().join("master.key"), dir.path().join("symbolon.toml"));
    let with_key = serve().without("SYMBOLON_MASTER_KEY").env("SYMBOLON_MASTER_KEY_FILE", key.to_str().unwrap());
    with_key.run().await.told(3, &["cannot read the master key file", "master.key"]);
    std::fs::write(&key, MASTER_KEY).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    with_key.run().await.told(3, &["can be read by others (mode 644)", "chmod 600"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    with_key.run().await.told(4, &["cannot connect to the database"]);

    let with_file = async || serve().env("SYMBOLON_CONFIG", file.to_str().unwrap()).run().await;
    std::fs::write(&file, "[tokens]\nmax_lifetme = 60\n").unwrap();
    with_file().await.told(3, &["tokens.max_lifetme", "did you mean tokens.max_lifetime?"]);
    std::fs::write(&file, "[tokens\n").unwrap();
    let broken: Ended = with_file().await;
    assert_eq!(broken.code, Some(3));
    assert!(broken.stderr.contains("symbolon.toml"), "{}", broken.stderr);
}

#[tokio::test]
async fn dev_does_not_hand_its_credentials_to_the_network_by_accident() {
    let dir = public_dir();
    let ended = Launch::dev(&dir.path().join("data")).option("--listen", "0.0.0.0:0").run().await;
    ended.told(2, &["0.0.0.0:0", "--allow-public-dev-credentials"]);
    assert!(!dir.path().join("data").exists());
    let unknown = Launch::command(&["serv"]).run().await;
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("serve"), "{}", unknown.stderr);
}

#[tokio::test]
async fn data_of_another_postgres_are_left_alone() {
    let dir = public_dir();
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("postgres")).unwrap();
    std::fs::write(data.join("postgres/PG_VERSION"), "9.6\n").unwrap();
    Launch::dev(&data).run().await.told(3, &["PostgreSQL 9,", "postgresql-9", "--pg-bin", "--data-dir"]);
}
