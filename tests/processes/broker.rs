//! A `symbolon` process: its environment is all ours, what it says is kept, and it ends with the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::{self, Answer};
use crate::overheard;

/// The issuer of every `serve` here.
pub const ISSUER: &str = "https://id.example.com";

/// The master key of every `serve` here, unless a test is about another.
pub const MASTER_KEY: &str = "c3ltYm9sb24gdGVzdHMgbWFzdGVyIGtleSBudW1iZXI=";

/// Any start takes less, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a process is to be started.
#[derive(Clone)]
pub struct Launch {
    program: Vec<OsString>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    dir: PathBuf,
    heard_until: Option<&'static str>,
}

impl Launch {
    /// `symbolon` with these arguments, and nothing in its environment but where programs are.
    pub fn command(args: &[&str]) -> Self {
        Self {
            program: vec![env!("CARGO_BIN_EXE_symbolon").into()],
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned())]),
            dir: "/".into(),
            heard_until: None,
        }
    }

    /// `symbolon serve` on this database. Its keys are ES256 ones, since an unoptimised build signs with RSA too slowly
    /// for thousands of tokens; and it drains at once.
    pub fn serve(database_url: &str) -> Self {
        Self::command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database_url)
            .env("SYMBOLON_MASTER_KEY", MASTER_KEY)
            .env("SYMBOLON__ISSUER__URL", ISSUER)
            .env("SYMBOLON__ISSUER__ALGORITHM", "ES256")
            .env("SYMBOLON__SERVER__DRAIN_DELAY", "0")
    }

    /// `symbolon dev` on this folder.
    pub fn dev(data_dir: &Path) -> Self {
        Self::command(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(data_dir.to_str().unwrap())
            .env("SYMBOLON__ISSUER__ALGORITHM", "ES256")
    }

    /// Another command in the same environment.
    pub fn instead(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Another value for an option that is there.
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        let at = self.args.iter().position(|arg| arg == name).unwrap();
        self.args[at + 1] = value.into();
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Run through another program, or from another place.
    pub fn program(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.program = words.into_iter().map(Into::into).collect();
        self
    }

    /// Nobody reads its stderr any more after the first line with this word: the pipe is closed at our end.
    pub fn heard_until(mut self, word: &'static str) -> Self {
        self.heard_until = Some(word);
        self
    }

    /// Starts the process and returns at once.
    pub fn spawn(&self) -> Broker {
        if let Some(keys) = self.env.get("SYMBOLON_MASTER_KEY") {
            for key in keys.split(',') {
                overheard::remember(key);
            }
        }
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(&self.args).env_clear().envs(&self.env).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            follow(child.stdout.take().unwrap(), "out", &said, None),
            follow(child.stderr.take().unwrap(), "err", &said, self.heard_until),
        ];
        let is_dev = self.args.first().is_some_and(|command| command == "dev");
        Broker { child, said, readers, is_dev, url: String::new(), admin: String::new() }
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&self) -> Broker {
        let mut broker = self.spawn();
        broker.find_addresses().await;
        broker.until_ready().await;
        broker
    }

    /// Runs the process, which is expected to end soon by itself.
    pub async fn run(&self) -> Ended {
        self.spawn().end_within(Duration::from_secs(30)).await
    }
}

fn follow(
    stream: impl Read + Send + 'static,
    name: &'static str,
    said: &Arc<Mutex<Vec<(&'static str, String)>>>,
    until: Option<&'static str>,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let is_last = until.is_some_and(|word| line.contains(word));
            said.lock().unwrap().push((name, line));
            if is_last {
                return;
            }
        }
    })
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What `symbolon` says last: why it ends.
    pub fn complaint(&self) -> &str {
        let at = self.stderr.rfind("symbolon: ").unwrap_or_else(|| panic!("no complaint in {}", self.stderr));
        self.stderr[at..].trim_end()
    }

    /// Ended with this code and one line that holds all of these words.
    #[track_caller]
    pub fn told(&self, code: i32, words: &[&str]) {
        let complaint = self.complaint();
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        for word in words {
            assert!(complaint.contains(word), "{word:?} is not in {complaint}");
        }
    }
}

/// A running process.
pub struct Broker {
    child: Child,
    said: Arc<Mutex<Vec<(&'static str, String)>>>,
    readers: Vec<JoinHandle<()>>,
    is_dev: bool,
    /// Of the public listener.
    pub url: String,
    /// Of the admin listener.
    pub admin: String,
}

impl Broker {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Everything said so far.
    pub fn said(&self) -> String {
        lines(self.said.lock().unwrap().iter())
    }

    /// The log lines so far, each of which must be JSON.
    pub fn log(&self) -> Vec<Value> {
        let said = self.said.lock().unwrap();
        let lines = said.iter().filter(|(stream, _)| *stream == "err");
        lines.map(|(_, line)| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// Waits for the addresses: in the log of `serve`, in the banner of `dev`.
    pub async fn find_addresses(&mut self) {
        let began = Instant::now();
        while self.url.is_empty() {
            let said = self.said();
            if let Some((url, admin)) = said.lines().find_map(serving).or_else(|| banner(&said)) {
                (self.url, self.admin) = (url, admin);
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {said}");
            assert!(began.elapsed() < PATIENCE, "it does not serve: {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_ready(&self) {
        self.until("it is ready", async || self.readiness().await.0 == 200).await;
    }

    /// Waits for something that is bound to happen.
    pub async fn until(&self, what: &str, mut happens: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !happens().await {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The status and text of `/readyz`; 0 if nobody answers.
    pub async fn readiness(&self) -> (u16, String) {
        match client::get(&format!("{}/readyz", self.admin)).await {
            Ok(Answer { status, text, .. }) => (status, text),
            Err(_) => (0, String::new()),
        }
    }

    /// What a GET of the public listener answers.
    pub async fn get(&self, path: &str) -> Answer {
        client::get(&format!("{}{path}", self.url)).await.unwrap()
    }

    /// What a GET of the admin listener answers.
    pub async fn ask(&self, path: &str) -> Answer {
        client::get(&format!("{}{path}", self.admin)).await.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// SIGKILL, with nothing left of the process after it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end, which must be in order.
    pub async fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        let ended = self.end_within(Duration::from_secs(30)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    /// Waits for its end.
    pub async fn end_within(mut self, limit: Duration) -> Ended {
        let began = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < limit, "it does not end: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        for reader in std::mem::take(&mut self.readers) {
            reader.join().unwrap();
        }
        let said = self.said.lock().unwrap();
        let of = |name| lines(said.iter().filter(|(stream, _)| *stream == name));
        Ended { code: status.code(), stdout: of("out"), stderr: of("err") }
    }
}

fn lines<'a>(said: impl Iterator<Item = &'a (&'static str, String)>) -> String {
    said.flat_map(|(_, line)| [line, "\n"]).collect()
}

impl Broker {
    fn end(&mut self) {
        // A dev broker has a Postgres to stop and perhaps a folder to remove.
        if self.is_dev && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
            for _ in 0..1_000 {
                if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
        // What it said last is on its way. A server that it had started may keep the pipes open.
        for _ in 0..200 {
            if self.readers.iter().all(JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        overheard::listen(&self.said());
    }
}

/// Both URLs from the log line that says that the broker serves.
fn serving(line: &str) -> Option<(String, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| Some(format!("http://{}", line.get(name)?.as_str()?));
    (line["message"] == "serving").then_some(())?;
    Some((address("listen")?, address("admin")?))
}

/// Both URLs from the banner of `symbolon dev`.
fn banner(said: &str) -> Option<(String, String)> {
    let word = |name: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(name))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    let admin = word("admin ")?;
    Some((word("endpoint ")?, admin.trim_end_matches(',').trim_end_matches("/readyz").to_owned()))
}
