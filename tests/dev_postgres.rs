//! The private Postgres against real servers: what users do to it, and what befalls it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use sqlx::{Connection as _, Executor as _, PgConnection};
use symbolon::cli::dev_postgres::{Error, Keep, Options, Postgres, Search};
use tempfile::TempDir;

/// A place to work in that every user can enter, and a state folder that is not the system's.
struct Room {
    dir: TempDir,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("symbolon-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn options(&self, data_dir: &Path) -> Options {
        Options { state_dir: self.path("state"), ..Options::folder(data_dir) }
    }

    async fn start(&self, data_dir: &Path) -> Result<Postgres, Error> {
        Postgres::start(self.options(data_dir)).await
    }
}

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect(&postgres.url()).await.unwrap()
}

async fn show(db: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

async fn remember(postgres: &Postgres, word: &'static str) {
    let mut db = connect(postgres).await;
    db.execute("create table if not exists memory (word text)").await.unwrap();
    sqlx::query("insert into memory (word) values ($1)").bind(word).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

async fn memory(postgres: &Postgres) -> String {
    let mut db = connect(postgres).await;
    show(&mut db, "select string_agg(word, ' ' order by word) from memory").await
}

fn alive(pid: i32) -> bool {
    if !cfg!(target_os = "linux") {
        return kill(Pid::from_raw(pid), None).is_ok();
    }
    // A zombie that nobody awaits is dead.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn root(why: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        println!("skipped: needs root, {why}");
    }
    root
}

/// Another process that starts a server and holds it.
struct Holder {
    child: Child,
}

impl Holder {
    fn new(options: &Options) -> Self {
        Self::run_by(None, options).unwrap()
    }

    fn run_by(user: Option<&User>, options: &Options) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "holder", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
        }
        let mut child = command.spawn()?;
        let data_dir = match &options.keep {
            Keep::Folder(path) => path.clone(),
            Keep::Nothing => PathBuf::new(),
        };
        let pg_bin = options.pg_bin.clone().unwrap_or_default();
        let path = PathBuf::from(options.search.path.clone().unwrap_or_default());
        for line in [&options.state_dir, &data_dir, &pg_bin, &path] {
            writeln!(child.stdin.as_mut().unwrap(), "{}", line.display())?;
        }
        Ok(Self { child })
    }

    /// The server's pid and folder of the cluster.
    fn ready(&mut self) -> (i32, PathBuf) {
        for line in BufReader::new(self.child.stdout.as_mut().unwrap()).lines() {
            if let Some(told) = line.unwrap().strip_prefix("READY ") {
                let (pid, cluster) = told.split_once(' ').unwrap();
                return (pid.parse().unwrap(), cluster.into());
            }
        }
        panic!("the other process did not start its server");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it stop its server in order.
    fn finish(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

/// Not a test: the other process of [`Holder`], told by its standard input what to do.
#[tokio::test]
#[ignore = "no test, but the process that other tests here start and kill"]
async fn holder() {
    let mut lines = std::io::stdin().lock().lines();
    let mut line = || lines.next().map(Result::unwrap).filter(|line| !line.is_empty());
    let Some(state_dir) = line() else { return };
    let mut options = line().map_or_else(Options::ephemeral, Options::folder);
    options.state_dir = state_dir.into();
    options.pg_bin = line().map(PathBuf::from);
    options.search.path = line().map(Into::into);
    let postgres = Postgres::start(options).await.unwrap();
    remember(&postgres, "held").await;
    println!("\nREADY {} {}", postgres.pid(), postgres.cluster_dir().display());
    assert!(lines.next().is_none());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_is_durable_private_and_keeps_its_data() {
    let room = Room::new();
    let data_dir = room.path("new/folder");
    let postgres = room.start(&data_dir).await.unwrap();
    let (pid, url) = (postgres.pid(), postgres.url());
    remember(&postgres, "one").await;

    let mut db = connect(&postgres).await;
    assert_eq!(show(&mut db, "show listen_addresses").await, "");
    assert_eq!(show(&mut db, "show data_checksums").await, "on");
    for setting in ["show fsync", "show synchronous_commit", "show full_page_writes"] {
        assert_eq!(show(&mut db, setting).await, "on", "{setting}");
    }
    let collation =
        "select datcollate || datctype || pg_encoding_to_char(encoding) from pg_database where datname = 'symbolon'";
    assert_eq!(show(&mut db, collation).await, "CCUTF8");
    drop(db);
    let mut same = PgConnection::connect_with(&postgres.connect_options()).await.unwrap();
    assert_eq!(show(&mut same, "select current_database()::text").await, "symbolon");
    drop(same);
    for dir in [postgres.socket_dir(), postgres.cluster_dir()] {
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700, "{}", dir.display());
    }
    assert!(data_dir.join("postgres.log").is_file());
    postgres.stop().await.unwrap();
    assert!(!alive(pid));

    let again = room.start(&data_dir).await.unwrap();
    assert_eq!(again.url(), url);
    assert_eq!(memory(&again).await, "one");
    let second = room.start(&data_dir).await.unwrap_err();
    let told = second.to_string();
    assert!(matches!(second, Error::Busy { .. }) && told.contains(&std::process::id().to_string()), "{told}");
    assert_eq!(memory(&again).await, "one", "the second start did no harm");
    // Dropped it is only told to stop; who starts next waits for that.
    let pid = again.pid();
    drop(again);
    let again = room.start(&data_dir).await.unwrap();
    assert_ne!(again.pid(), pid);
    assert_eq!(memory(&again).await, "one");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_restarted_with_its_data() {
    let room = Room::new();
    let mut postgres = room.start(&room.path("data")).await.unwrap();
    remember(&postgres, "kept").await;
    let (pid, url) = (postgres.pid(), postgres.url());
    let waiting = tokio::time::timeout(Duration::from_millis(100), postgres.exited()).await;
    assert!(waiting.is_err(), "it lives");

    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(5), postgres.exited()).await.unwrap();
    assert!(end.to_string().contains("SIGKILL"), "{end}");
    postgres.restart().await.unwrap();
    assert_ne!(postgres.pid(), pid);
    assert_eq!(postgres.url(), url);
    assert_eq!(memory(&postgres).await, "kept");

    // A server that cannot start again says why.
    let settings = postgres.cluster_dir().join("postgresql.conf");
    let good = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{good}\nno_such_setting = 1\n")).unwrap();
    let refused = postgres.restart().await.unwrap_err();
    assert!(refused.to_string().contains("no_such_setting"), "{refused}");
    assert_eq!(refused.exit_code(), 4);
    fs::write(&settings, good).unwrap();
    postgres.restart().await.unwrap();
    assert_eq!(memory(&postgres).await, "kept");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_initdb_leaves_nothing_half_made() {
    let room = Room::new();
    let is_under_way = |data_dir: &Path| {
        let entries = fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut unfinished = entries.filter(|path| path.display().to_string().contains("postgres.new-"));
        unfinished.any(|dir| dir.join("PG_VERSION").exists())
    };
    let mut tries = 0;
    let data_dir = loop {
        let data_dir = room.path(&format!("data-{tries}"));
        let cluster = data_dir.join("postgres");
        let holder = Holder::new(&room.options(&data_dir));
        wait_until("initdb under way", || is_under_way(&data_dir) || cluster.exists()).await;
        // Stopped, it makes nothing of what initdb may have finished meanwhile.
        kill(holder.pid(), Signal::SIGSTOP).unwrap();
        let is_in_time = !cluster.exists();
        holder.kill();
        if is_in_time {
            assert!(!cluster.exists());
            break data_dir;
        }
        tries += 1;
        assert!(tries < 10, "initdb is never caught under way");
    };
    // One that could not clean up, as after a power failure.
    fs::create_dir_all(data_dir.join("postgres.new-0/base/1")).unwrap();

    let postgres = room.start(&data_dir).await.unwrap();
    assert!(!data_dir.join("postgres.new-0").exists());
    remember(&postgres, "whole").await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_broker_takes_its_server_with_it_and_loses_nothing() {
    let room = Room::new();
    let data_dir = room.path("data");
    let mut holder = Holder::new(&room.options(&data_dir));
    let (pid, cluster) = holder.ready();
    assert!(alive(pid));
    holder.kill();
    if cfg!(target_os = "linux") {
        wait_until("the server ends", || !alive(pid)).await;
    }
    let postgres = room.start(&data_dir).await.unwrap();
    assert_eq!(postgres.cluster_dir(), cluster);
    assert_eq!(memory(&postgres).await, "held");

    // The next start may also come while the old server is still ending.
    postgres.stop().await.unwrap();
    let mut holder = Holder::new(&room.options(&data_dir));
    holder.ready();
    holder.kill();
    let postgres = room.start(&data_dir).await.unwrap();
    assert_eq!(memory(&postgres).await, "held held");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_live_server_of_the_folder_is_adopted() {
    let room = Room::new();
    let data_dir = room.path("data");
    let postgres = room.start(&data_dir).await.unwrap();
    remember(&postgres, "here").await;
    let pg_bin = postgres.bin_dir().to_owned();
    postgres.stop().await.unwrap();

    // Without `setpriv` there is no death signal, so a killed broker leaves its server.
    let mut options = Options { pg_bin: Some(pg_bin), ..room.options(&data_dir) };
    options.search.path = Some("/nowhere".into());
    let mut holder = Holder::new(&options);
    let (pid, _) = holder.ready();
    holder.kill();
    assert!(alive(pid));
    let mut adopted = Postgres::start(options.clone()).await.unwrap();
    assert_eq!(adopted.pid(), pid);
    assert_eq!(memory(&adopted).await, "held here");
    assert!(tokio::time::timeout(Duration::from_millis(100), adopted.exited()).await.is_err(), "it lives");

    // It is watched and stopped as if it were our child.
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(5), adopted.exited()).await.unwrap();
    assert!(matches!(end, Error::Died { .. }), "{end}");
    adopted.restart().await.unwrap();
    assert_eq!(memory(&adopted).await, "held here");
    adopted.stop().await.unwrap();
    let mut holder = Holder::new(&options);
    let (pid, _) = holder.ready();
    holder.kill();
    let adopted = Postgres::start(options).await.unwrap();
    assert_eq!(adopted.pid(), pid);
    adopted.stop().await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_number_in_a_stale_pid_file_is_not_taken_for_a_server() {
    let room = Room::new();
    let data_dir = room.path("data");
    let postgres = room.start(&data_dir).await.unwrap();
    let (cluster, socket_dir) = (postgres.cluster_dir().to_owned(), postgres.socket_dir().to_owned());
    let (user, pid) = (fs::metadata(&cluster).unwrap(), postgres.pid());
    postgres.stop().await.unwrap();

    // A process of the same user, as after a restart of the machine; PostgreSQL alone would refuse to start.
    let mut command = Command::new("sleep");
    if Uid::effective().is_root() {
        command.uid(user.uid()).gid(user.gid());
    }
    let mut other = command.arg("60").spawn().unwrap();
    let content =
        format!("{}\n{}\n1\n5432\n{}\n\n 1 1\nready   \n", other.id(), cluster.display(), socket_dir.display());
    fs::write(cluster.join("postmaster.pid"), &content).unwrap();
    fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &content).unwrap();
    let postgres = room.start(&data_dir).await.unwrap();
    assert!(postgres.pid() != pid && u32::try_from(postgres.pid()).unwrap() != other.id());
    postgres.stop().await.unwrap();
    assert!(other.try_wait().unwrap().is_none(), "a stranger was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_folder_out_of_the_servers_reach_keeps_its_cluster_elsewhere() {
    if !root("to run the server as another user") {
        return;
    }
    let room = Room::new();
    let home = room.path("home-of-root");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = home.join("clone/.symbolon");

    let postgres = room.start(&data_dir).await.unwrap();
    let cluster = postgres.cluster_dir().to_owned();
    assert!(cluster.starts_with(room.path("state")), "{}", cluster.display());
    assert_ne!(fs::metadata(&cluster).unwrap().uid(), 0);
    assert!(data_dir.join("postgres.log").is_file(), "the log stays where the user looks for it");
    remember(&postgres, "far").await;
    let copy = home.join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(data_dir.join("cluster-path"), copy.join("cluster-path")).unwrap();
    assert!(matches!(room.start(&copy).await.unwrap_err(), Error::Busy { .. }), "a copy of the folder shares the data");
    postgres.stop().await.unwrap();

    // Found again, also after a move.
    let moved = home.join("moved");
    fs::rename(&data_dir, &moved).unwrap();
    let postgres = room.start(&moved).await.unwrap();
    assert_eq!(postgres.cluster_dir(), cluster);
    assert_eq!(memory(&postgres).await, "far");
    postgres.stop().await.unwrap();

    // A folder that was deleted and made anew is new.
    let postgres = room.start(&data_dir).await.unwrap();
    assert_ne!(postgres.cluster_dir(), cluster);
    postgres.stop().await.unwrap();

    // What is gone is not silently replaced, and nothing else is run because a file says so.
    fs::remove_dir_all(cluster.parent().unwrap()).unwrap();
    assert!(matches!(room.start(&moved).await.unwrap_err(), Error::Gone { .. }));
    fs::write(moved.join("cluster-path"), "/var/lib/postgresql\n").unwrap();
    assert!(matches!(room.start(&moved).await.unwrap_err(), Error::NotACluster { .. }));
}

#[tokio::test]
async fn a_normal_user_works_in_a_private_home() {
    let room = Room::new();
    let home = room.path("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = home.join("clone/.symbolon");
    let user = if Uid::effective().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        chown(&home, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
        Some(nobody)
    } else {
        None
    };
    let mut holder = match Holder::run_by(user.as_ref(), &room.options(&data_dir)) {
        Ok(holder) => holder,
        Err(error) => return println!("skipped: nobody cannot run this test: {error}"),
    };
    let (pid, cluster) = holder.ready();
    assert_eq!(cluster, data_dir.join("postgres"));
    assert!(alive(pid) && !room.path("state").exists());
    assert!(holder.finish());
    assert!(!alive(pid));

    if let Some(user) = user {
        // Root after them: the data stay theirs.
        let postgres = room.start(&data_dir).await.unwrap();
        assert_eq!(memory(&postgres).await, "held");
        assert_eq!(fs::metadata(postgres.cluster_dir()).unwrap().uid(), user.uid.as_raw());
        postgres.stop().await.unwrap();
        assert_eq!(fs::metadata(&cluster).unwrap().uid(), user.uid.as_raw());

        // A copy made by root is handed to a user who can run it.
        let copy = room.path("copy");
        assert!(Command::new("cp").arg("-r").arg(&data_dir).arg(&copy).status().unwrap().success());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = room.start(&copy).await.unwrap();
        assert_eq!(memory(&postgres).await, "held");
        postgres.stop().await.unwrap();
    }
}

#[tokio::test]
async fn long_and_odd_folders_work() {
    let room = Room::new();
    let data_dir = room.path("it's ä, \"b\" & c%20").join("long-".repeat(20)).join("folder");
    let postgres = room.start(&data_dir).await.unwrap();
    let socket_dir = postgres.socket_dir().to_owned();
    assert!(socket_dir.as_os_str().len() <= 89 && !socket_dir.starts_with(room.path("")), "{}", socket_dir.display());
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    remember(&postgres, "long").await;
    let url = postgres.url();
    postgres.stop().await.unwrap();
    assert!(!socket_dir.exists(), "it is tidied away");

    let postgres = room.start(&data_dir).await.unwrap();
    assert_eq!(postgres.url(), url, "the address stays");
    assert_eq!(memory(&postgres).await, "long");
    postgres.stop().await.unwrap();

    let odd = room.path("it's ä \"b\" & c%20/short");
    let postgres = room.start(&odd).await.unwrap();
    assert_eq!(postgres.socket_dir(), odd.join("run"));
    remember(&postgres, "odd").await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_work_is_told_with_its_remedy() {
    let room = Room::new();
    let nowhere = |data_dir: &Path| Options { search: Search::nowhere(), ..room.options(data_dir) };
    let told = |error: Error| {
        assert_eq!(error.exit_code(), 3, "{error}");
        let told = error.to_string();
        assert!(!told.contains('\n'), "one line: {told}");
        told
    };

    let none = told(Postgres::start(nowhere(&room.path("none"))).await.unwrap_err());
    for word in ["apt-get install postgresql", "dnf install", "apk add", "pacman -S", "brew install", "--database-url"]
    {
        assert!(none.contains(word), "{none}");
    }
    let pg_bin = Options { pg_bin: Some(room.path("no-such")), ..room.options(&room.path("bin")) };
    let bad = told(Postgres::start(pg_bin).await.unwrap_err());
    assert!(bad.contains("--pg-bin") && bad.contains("no-such"), "{bad}");
    let mut named = room.options(&room.path("bin"));
    named.search.named = Some(room.path("no-such"));
    let bad = told(Postgres::start(named).await.unwrap_err());
    assert!(bad.contains("SYMBOLON_PG_BIN"), "{bad}");

    let old = room.path("old");
    fs::create_dir_all(old.join("postgres")).unwrap();
    fs::write(old.join("postgres/PG_VERSION"), "9.6\n").unwrap();
    for options in [room.options(&old), nowhere(&old)] {
        let refused = told(Postgres::start(options).await.unwrap_err());
        for word in ["PostgreSQL 9,", "found ", "postgresql-9", "--pg-bin", "--data-dir"] {
            assert!(refused.contains(word), "{refused}");
        }
    }

    let foreign = room.path("foreign");
    fs::create_dir_all(foreign.join("postgres/something")).unwrap();
    assert!(told(room.start(&foreign).await.unwrap_err()).contains("move it away"));
    let own = room.path("own");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("PG_VERSION"), "15\n").unwrap();
    assert!(told(room.start(&own).await.unwrap_err()).contains("--data-dir"));
    let file = room.path("file");
    fs::write(&file, "").unwrap();
    assert!(told(room.start(&file).await.unwrap_err()).contains("file"));
}

#[tokio::test]
async fn a_throw_away_server_leaves_nothing() {
    let postgres = Postgres::start(Options::ephemeral()).await.unwrap();
    let home = postgres.cluster_dir().parent().unwrap().to_owned();
    let mut db = connect(&postgres).await;
    for (setting, value) in [("show fsync", "off"), ("show wal_level", "minimal"), ("show max_connections", "200")] {
        assert_eq!(show(&mut db, setting).await, value, "{setting}");
    }
    let pid = postgres.pid();
    drop(postgres);
    assert!(!alive(pid) && !home.exists(), "dropped");

    // A killed process cannot delete; the next start does.
    let mut holder = Holder::new(&Options::ephemeral());
    let (pid, cluster) = holder.ready();
    holder.kill();
    assert!(cluster.exists());
    let postgres = Postgres::start(Options::ephemeral()).await.unwrap();
    assert!(!alive(pid) && !cluster.parent().unwrap().exists(), "swept");
    let home = postgres.cluster_dir().parent().unwrap().to_owned();
    postgres.stop().await.unwrap();
    assert!(!home.exists(), "stopped");
}
