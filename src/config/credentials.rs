//! The rules of the section `credentials`.

use std::time::Duration;

use super::{Credentials, upstream};

/// The shortest and the longest life of a session
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>, `DurationSeconds`).
const LIFETIMES: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(12);

/// The longest session policy, in characters (as above, `Policy`).
const MAX_POLICY: usize = 2_048;

/// Every rule that the section breaks.
pub(super) fn check(credentials: &Credentials) -> Vec<String> {
    let mut problems = Vec::new();
    let endpoint = credentials.sts_endpoint.as_str();
    if !endpoint.is_empty() {
        let mut refuse =
            |why: &str| problems.push(format!("credentials.sts_endpoint: {} {why}", upstream::shown(endpoint)));
        match upstream::url(endpoint, &["https", "http"]) {
            Err(why) => refuse(&format!("{why}; it must be a URL such as https://sts.amazonaws.com")),
            Ok(url) if url.scheme() == "http" && !upstream::is_loopback(&url) => {
                refuse("sends tokens over plain http to another machine; it must begin with https://");
            }
            Ok(_) => {}
        }
    }
    if !LIFETIMES.contains(&credentials.lifetime) {
        problems.push("credentials.lifetime: must be from 900 seconds (15 minutes) to 43200 (12 hours)".into());
    }
    if credentials.timeout.is_zero() {
        problems.push("credentials.timeout: must be at least 1 second".into());
    }
    let policy = credentials.guest_session_policy.as_str();
    if !policy.is_empty() {
        if !serde_json::from_str::<serde_json::Value>(policy).is_ok_and(|document| document.is_object()) {
            problems.push("credentials.guest_session_policy: is not a policy document in JSON".into());
        }
        if policy.chars().count() > MAX_POLICY {
            problems.push(format!("credentials.guest_session_policy: must have at most {MAX_POLICY} characters"));
        }
        if endpoint.is_empty() {
            problems.push(
                "credentials.guest_session_policy: is for an STS to hold sessions to; name one in credentials.sts_endpoint"
                    .into(),
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};

    fn problems(settings: &str) -> Vec<String> {
        let profile = format!("[credentials]\n{settings}\n");
        let config = Config::read(&Sources { profile: &profile, ..Sources::default() }).unwrap();
        super::check(&config.credentials)
    }

    #[test]
    fn an_sts_is_https_or_on_this_machine() {
        for good in [
            "",
            r#"sts_endpoint = "https://sts.amazonaws.com""#,
            r#"sts_endpoint = "https://minio.example.com:9000""#,
            r#"sts_endpoint = "http://127.0.0.1:8000""#,
            r#"sts_endpoint = "http://localhost:8000/""#,
            "builtin = true\nlifetime = 900\ntimeout = 1",
            "sts_endpoint = \"https://sts.example.com\"\nguest_session_policy = '{\"Statement\": []}'",
        ] {
            assert_eq!(problems(good), Vec::<String>::new(), "{good}");
        }
        for (bad, why) in [
            (r#"sts_endpoint = "sts.amazonaws.com""#, "not a URL"),
            (r#"sts_endpoint = "ftp://sts.amazonaws.com""#, "must begin with https:// or http://"),
            (r#"sts_endpoint = "https://user@sts.example.com""#, "user information"),
            (r#"sts_endpoint = "https://sts.example.com?x=y""#, "query"),
            (r#"sts_endpoint = "http://sts.example.com""#, "plain http"),
            ("lifetime = 899", "from 900 seconds"),
            ("lifetime = 43201", "from 900 seconds"),
            ("timeout = 0", "at least 1 second"),
            (r#"guest_session_policy = "{}""#, "name one in credentials.sts_endpoint"),
            ("sts_endpoint = \"https://sts.example.com\"\nguest_session_policy = '[]'", "not a policy document"),
        ] {
            let problems = problems(bad);
            assert!(problems.len() == 1 && problems[0].contains(why), "{bad}: {problems:?}");
        }
        let secret = problems(r#"sts_endpoint = "https://user:hunter2@sts.example.com""#).remove(0);
        assert!(secret.contains("https://***@sts.example.com") && !secret.contains("hunter2"), "{secret}");
    }
}
