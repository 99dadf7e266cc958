//! `symbolon health`: whether the broker of this configuration is ready, asked on its admin listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::session::Session;
use super::{Failure, Output, note};

/// How long a broker may think about it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest list of reasons that is read.
const MAX_ANSWER: usize = 65_536;

/// Options of `symbolon health`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the broker's admin listener is; `server.admin_listen` otherwise.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
/// With exit code 1 for every reason, since container runtimes know no other.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let address = match args.admin_listen {
        Some(address) => address,
        None => session.config().map_err(|failure| Failure::plain(failure.message))?.server.admin_listen,
    };
    let address = reachable(address);
    match tokio::time::timeout(PATIENCE, ask(address)).await {
        Ok(Ok((StatusCode::OK, _))) => note(Output::Text, "ready"),
        Ok(Ok((_, body))) => {
            let reasons: Vec<&str> = body.lines().filter(|line| !line.is_empty()).collect();
            Err(Failure::plain(format!("not ready: {}", reasons.join("; "))))
        }
        Ok(Err(why)) => Err(Failure::plain(format!(
            "no broker answers at http://{address}/readyz: {why}; check that it runs, and server.admin_listen or \
             --admin-listen"
        ))),
        Err(_) => Err(Failure::plain(format!(
            "the broker at http://{address}/readyz did not answer within {} seconds",
            PATIENCE.as_secs()
        ))),
    }
}

/// Where a listener on every address of this machine is reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> Result<(StatusCode, String), String> {
    let uri: Uri = format!("http://{address}/readyz").parse().map_err(|error| format!("{error}"))?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(uri).await.map_err(|error| root(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// The first cause, which says most.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:4601", "127.0.0.1:4601"), ("[::]:1", "[::1]:1"), ("10.0.0.7:4601", "10.0.0.7:4601")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
