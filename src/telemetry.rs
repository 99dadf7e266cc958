//! Logs and metrics: set up once, before anything can happen.

use std::io::{self, IsTerminal as _};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};

/// Upper bounds of the duration histogram, in seconds: from a known user's token to the handler's time-out.
const DURATIONS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Sends log lines to stderr, as JSON or as text. Does nothing if logs go somewhere already.
pub fn log(telemetry: &Telemetry) {
    let filter = EnvFilter::try_new(&telemetry.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // By default a line that cannot be written is complained of on stderr, with a panic if that is what is broken.
        .log_internal_errors(false);
    // Fails only where a test has set up its own.
    let _ = match telemetry.log_format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

/// Begins to count, and returns what renders the counts.
///
/// # Errors
/// If something in this process counts already.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("symbolon_request_duration_seconds".to_owned()), &DURATIONS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("symbolon_requests_total", "Requests by operation and exception; OK where there was none.");
    describe_histogram!("symbolon_request_duration_seconds", Unit::Seconds, "From the request's head to its answer.");
    describe_counter!("symbolon_tokens_issued_total", "Tokens signed, by flow.");
    describe_counter!("symbolon_identities_created_total", "Identities made, by kind.");
    describe_counter!("symbolon_denials_total", "Requests refused for who asked or what for, by reason.");
    describe_gauge!(
        "symbolon_signing_key_age_seconds",
        Unit::Seconds,
        "Time that the oldest key of each state has been in it."
    );
    describe_gauge!(
        "symbolon_signing_key_next_transition_timestamp_seconds",
        Unit::Seconds,
        "When the next step of the key life cycle is due, in epoch seconds."
    );
    describe_counter!("symbolon_upstream_fetch_total", "Questions to login providers, by result.");
    describe_gauge!("symbolon_db_pool_connections", "Database connections, by state.");
    describe_counter!("symbolon_db_retries_total", "Transactions tried again, by SQLSTATE.");
    describe_gauge!("symbolon_build_info", "1, labelled with the version.");
    metrics::gauge!("symbolon_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
