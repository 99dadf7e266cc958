//! What machine the figures are of, and what was running on it.

use std::fs;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::population::Population;
use crate::process;
use crate::server::SETTINGS;

/// As lines of Markdown. To be asked before the load begins.
pub async fn description(main: &Population) -> Vec<String> {
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown").to_owned();
    // aws-lc's RSA is more than twice as fast where there are these instructions, and nothing else here is.
    let ifma = if cpu.contains("avx512ifma") { "with" } else { "without" };
    let cores = std::thread::available_parallelism().unwrap();
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kilobytes = kilobytes.trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default();
    let load = read("/proc/loadavg");
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let postgres = main.setting("server_version").await;
    let rustc = process::version("rustc").unwrap_or("unknown rustc".to_owned());
    #[expect(clippy::disallowed_methods, reason = "the date of the machine is what is to be told")]
    let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]")).unwrap();
    vec![
        format!(
            "- {date}, {model} {ifma} AVX-512 IFMA, {cores} cores, {} GB, Linux {}",
            kilobytes.div_ceil(1 << 20),
            kernel.trim()
        ),
        format!("- PostgreSQL {postgres}, {rustc}, Symbolon {}", env!("CARGO_PKG_VERSION")),
        format!(
            "- Postgres settings, beside its defaults: `{}`, `shared_buffers={}`; asked, it said `fsync` {}, \
             `synchronous_commit` {}",
            SETTINGS.join("`, `"),
            main.shared_buffers,
            main.setting("fsync").await,
            main.setting("synchronous_commit").await
        ),
        format!("- load average before the run (other work on the machine makes figures worse): {load}"),
    ]
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
