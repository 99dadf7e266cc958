//! What the release binary is made of: where its crates come from, under which licences, and that its bill of materials
//! names each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::figures::{Figures, is_whole};

/// An advisory of a test's own.
const ADVISORY: &str = "RUSTSEC-2020-9999";

/// A crate's name and version.
type Name = (String, String);

/// Whether the command succeeds, what it printed, and what it complained of.
fn ran(program: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// What the command printed, which must succeed.
#[track_caller]
fn printed(program: &str, arguments: &[&str]) -> String {
    let (succeeds, stdout, stderr) = ran(program, arguments);
    assert!(succeeds, "{program} {arguments:?}: {stdout}{stderr}");
    stdout
}

/// Whether the dependencies pass with a database of one advisory, of a crate that is built in, and what is said of it. The
/// versions that have it no more are as given.
fn passes_with_advisory(package: &str, patched: &str) -> (bool, String) {
    let database = tempfile::tempdir().unwrap();
    let (folder, crates) = (database.path().to_str().unwrap(), database.path().join("crates").join(package));
    std::fs::create_dir_all(&crates).unwrap();
    let advisory = format!(
        "```toml\n[advisory]\nid = \"{ADVISORY}\"\npackage = \"{package}\"\ndate = \"2020-01-01\"\n\n\
         [versions]\npatched = [{patched}]\n```\n\n# It is broken\n\nFor a test.\n"
    );
    std::fs::write(crates.join(format!("{ADVISORY}.md")), advisory).unwrap();
    let git = |arguments: &[&str]| {
        printed(
            "git",
            &[&["-C", folder, "-c", "user.name=test", "-c", "user.email=test@example.com"], arguments].concat(),
        );
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "One advisory"]);
    std::fs::write(database.path().join(".git/FETCH_HEAD"), "").unwrap();
    let (passes, stdout, stderr) = ran(".ci/check-dependencies", &[folder]);
    (passes, stdout + &stderr)
}

/// The licence of each crate that is built into the binary, or runs when it is built, but for ours.
fn built() -> BTreeMap<Name, String> {
    let version = printed("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let arguments = ["tree", "--locked", "--offline", "--edges", "normal,build", "--target", host];
    let format = ["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"];
    let tree = printed(env!("CARGO"), &[&arguments[..], &format[..]].concat());
    let mut crates: BTreeMap<Name, String> = tree
        .lines()
        .map(|line| {
            let (package, licence) = line.split_once('|').unwrap();
            let (name, rest) = package.split_once(" v").unwrap();
            ((name.to_owned(), rest.split(' ').next().unwrap().to_owned()), licence.to_owned())
        })
        .collect();
    let own = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    assert!(crates.remove(&own).is_some(), "{crates:?}");
    crates
}

/// Of each crate in the lock file, where it comes from and its checksum, if it has any.
fn locked() -> BTreeMap<Name, [Option<String>; 2]> {
    let lock: toml::Table = std::fs::read_to_string("Cargo.lock").unwrap().parse().unwrap();
    let entries = lock["package"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let text = |key: &str| Some(entry.get(key)?.as_str()?.to_owned());
            ((text("name").unwrap(), text("version").unwrap()), [text("source"), text("checksum")])
        })
        .collect()
}

#[test]
fn every_crate_has_a_known_source_a_licence_and_a_checksum_and_the_bill_of_materials_names_it() {
    let (crates, locked) = (built(), locked());
    let sources: BTreeSet<Option<&str>> = crates.keys().map(|name| locked[name][0].as_deref()).collect();
    assert!(sources.iter().all(|source| source.is_some_and(|source| source.starts_with("registry+"))), "{sources:?}");
    let unlicensed: Vec<&Name> =
        crates.iter().filter(|(_, licence)| licence.is_empty()).map(|(name, _)| name).collect();
    let has_checksum = |name: &Name| locked[name][1].as_deref().is_some_and(|checksum| checksum.len() == 64);
    let unchecked: Vec<&Name> = crates.keys().filter(|name| !has_checksum(name)).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(unlicensed.is_empty() && unchecked.is_empty(), "no licence: {unlicensed:?}; no checksum: {unchecked:?}");

    let mut figures = Figures::of("11-supply-chain", "What the release binary is made of");
    figures.row("crates built into it, or run when it is built", "", crates.len());
    figures.row("registries that they come from", "1", sources.len());
    figures.row("without a licence", "0", unlicensed.len());
    figures.row("without a checksum in `Cargo.lock`", "0", unchecked.len());
    if is_whole() {
        let said = printed(".ci/check-dependencies", &[]);
        let verdict = said.lines().find(|line| line.starts_with("bans")).unwrap_or_else(|| panic!("{said}"));
        assert_eq!(verdict, "bans ok, licenses ok, sources ok");
        figures.row("`cargo deny` with `deny.toml`", "bans ok, licenses ok, sources ok", verdict);
        let (passes, said) = passes_with_advisory("uuid", "");
        assert!(!passes && said.contains(ADVISORY), "{said}");
        let (passes, said) = passes_with_advisory("uuid", "\">= 0.1\"");
        assert!(passes && said.contains("advisories ok"), "{said}");
        figures.row(
            "with a database that knows a vulnerability of one of them, and of another version",
            "refused, passes",
            "refused, passes",
        );
        printed(".ci/make-sbom", &[]);
        let bill: Value = serde_json::from_slice(&std::fs::read("target/sbom/symbolon.cdx.json").unwrap()).unwrap();
        let text = |part: &Value, key: &str| part[key].as_str().unwrap().to_owned();
        let components = bill["components"].as_array().unwrap();
        let listed: BTreeSet<Name> =
            components.iter().map(|part| (text(part, "name"), text(part, "version"))).collect();
        assert_eq!(listed, crates.keys().cloned().collect());
        figures.row("of the crates in the bill of materials, with version, licence and checksum", "all", listed.len());
    }
    figures.publish();
}
