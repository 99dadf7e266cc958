//! Others that give out tokens, on the same work: as `.ci/install-peers` installed them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::load::{Connection, Operation};
use crate::measure::{Round, Subject};
use crate::population::PROVIDER;
use crate::process::{self, Process};
use crate::requests::Signer;

pub const OIDC_PROVIDER: &str = "oidc-provider";
pub const MOTO: &str = "moto_server";

/// A running peer, and what was measured of it; or why it does not run.
pub struct Peer {
    pub name: &'static str,
    pub rounds: Vec<Round>,
    pub running: Result<Running, String>,
}

pub struct Running {
    pub subject: Subject<'static>,
    /// Operations of a round.
    pub total: usize,
    _process: Process,
}

impl Peer {
    /// Both, from `folder`, if that is given.
    pub async fn start(folder: Option<&Path>, algorithm: &str) -> [Self; 2] {
        let not_asked_for = || Err("not asked for (--peers)".to_owned());
        let (oidc_provider, moto) = match folder {
            Some(folder) => (oidc_provider(folder, algorithm).await, moto(folder).await),
            None => (not_asked_for(), not_asked_for()),
        };
        [(OIDC_PROVIDER, oidc_provider), (MOTO, moto)].map(|(name, running)| {
            if let Err(why) = &running {
                eprintln!("{name} is left out: {why}");
            }
            Self { name, rounds: Vec::new(), running }
        })
    }
}

/// Node's oidc-provider, in memory: a signed access token for a client that gives its secret.
async fn oidc_provider(folder: &Path, algorithm: &str) -> Result<Running, String> {
    let port = process::free_port().to_string();
    let (process, address) =
        serve(&folder.join("node"), &folder.join("js"), &["provider.js", &port, algorithm], &port).await?;
    let body = "grant_type=client_credentials&client_id=benchmark&client_secret=the-secret-of-the-benchmark&scope=use";
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::new(address);
    let answer: Value = serde_json::from_slice(connection.run(&Operation::once(request.clone().into())).await).unwrap();
    let header = jsonwebtoken::decode_header(answer["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(format!("{:?}", header.alg), algorithm);
    let operations = move |_| vec![Operation::once(request.clone().into())];
    Ok(running(process, address, 2_000, operations))
}

/// moto_server: for each request a UUID that is called a token, and nothing signed.
async fn moto(folder: &Path) -> Result<Running, String> {
    let port = process::free_port().to_string();
    let program = folder.join("python/bin/moto_server");
    let (process, address) = serve(&program, folder, &["-H", "127.0.0.1", "-p", &port], &port).await?;
    let signer = Signer::new("AKIABENCHMARK0000000", "a-secret-that-is-not-checked");
    let create = format!(
        r#"{{"IdentityPoolName":"bench","AllowUnauthenticatedIdentities":true,"DeveloperProviderName":"{PROVIDER}"}}"#
    );
    let mut connection = Connection::new(address);
    let made: Value =
        serde_json::from_slice(connection.run(&signer.signed("CreateIdentityPool", &create)).await).unwrap();
    let body = format!(
        r#"{{"IdentityPoolId":{},"Logins":{{"{PROVIDER}":"d41d8cd9-8f00-b204-e980-0998ecf8427e"}}}}"#,
        made["IdentityPoolId"]
    );
    let operations = move |_| vec![signer.signed("GetOpenIdTokenForDeveloperIdentity", &body)];
    let answer: Value = serde_json::from_slice(connection.run(&operations(1)[0]).await).unwrap();
    assert!(answer["Token"].is_string(), "{answer}");
    Ok(running(process, address, 500, operations))
}

/// Starts a program and waits until it listens on `port`.
async fn serve(program: &Path, folder: &Path, args: &[&str], port: &str) -> Result<(Process, SocketAddr), String> {
    if !program.exists() {
        return Err("it is not installed".to_owned());
    }
    let mut command = process::command(program, Signal::SIGTERM);
    command.args(args).current_dir(folder).env("NODE_ENV", "production");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::start(command, Signal::SIGTERM).map_err(|error| error.to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap()));
    for _ in 0..600 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok((process, address));
        }
        if let Some(status) = process.ended() {
            return Err(format!("it ended ({status})"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("it does not listen".to_owned())
}

fn running(
    process: Process,
    address: SocketAddr,
    total: usize,
    operations: impl Fn(usize) -> Vec<Operation> + 'static,
) -> Running {
    let processes = vec![process.pid()];
    let subject = Subject { addresses: vec![address], processes, postgres: None, operations: Box::new(operations) };
    Running { subject, total, _process: process }
}
