//! What the release binary is made of: where its crates come from, under which licences, and that its bill of materials
//! names each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::figures::{Figures, is_whole};

/// A crate's name and version.
type Name = (String, String);

/// What the command printed, which must succeed.
#[track_caller]
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {stdout}{stderr}");
    stdout
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
