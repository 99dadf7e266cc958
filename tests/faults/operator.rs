//! The operator of an installation: commands of `symbolon` on its database, with a master key of their own.

use std::io::Write as _;

use serde_json::Value;

use crate::broker::{Ended, ISSUER, Launch};

/// Where the commands work, and with which master keys.
#[derive(Clone)]
pub struct Operator {
    url: String,
    master_keys: String,
}

impl Operator {
    pub fn of(database_url: &str, master_keys: &str) -> Self {
        Self { url: database_url.to_owned(), master_keys: master_keys.to_owned() }
    }

    pub fn command(&self, args: &[&str]) -> Launch {
        Launch::command(args)
            .env("DATABASE_URL", &*self.url)
            .env("SYMBOLON_MASTER_KEY", &*self.master_keys)
            .env("SYMBOLON__ISSUER__URL", ISSUER)
            .env("SYMBOLON__ISSUER__ALGORITHM", "ES256")
    }

    pub async fn run(&self, args: &[&str]) -> Ended {
        self.command(args).run().await
    }

    /// What a command prints that must succeed.
    pub async fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout
    }

    /// The same as JSON.
    pub async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
        serde_json::from_str(&self.ok(&args).await).unwrap()
    }

    /// The signing keys in this state.
    pub async fn keys(&self, state: &str) -> Vec<String> {
        let listed = self.json(&["key", "list"]).await;
        let keys = listed["Keys"].as_array().unwrap().iter().filter(|key| key["State"] == state);
        keys.map(|key| key["KeyId"].as_str().unwrap().to_owned()).collect()
    }

    /// A fresh access key of this tenant: its id and its secret.
    pub async fn access_key(&self, account: &str) -> (String, String) {
        let made = self.json(&["access-key", "create", "--account", account]).await;
        let of = |name: &str| made[name].as_str().unwrap().to_owned();
        (of("AccessKeyId"), of("SecretAccessKey"))
    }

    /// Gives an access key of this tenant another secret, or makes it if there is none of this id, by a seed.
    pub async fn seed_another_secret(&self, account: &str, id: &str) {
        let tenants = self.json(&["tenant", "list"]).await;
        let tenant =
            tenants["Tenants"].as_array().unwrap().iter().find(|tenant| tenant["AccountId"] == account).unwrap();
        let mut seed = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        let tenant = format!("[[tenant]]\naccount_id = '{account}'\nname = {}\n", tenant["Name"]);
        write!(seed, "{tenant}[[tenant.access_key]]\nid = '{id}'\nsecret_env = 'ANOTHER_SECRET'\n").unwrap();
        let command = self.command(&["apply", seed.path().to_str().unwrap()]).env("ANOTHER_SECRET", "another-secret");
        let ended = command.run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
