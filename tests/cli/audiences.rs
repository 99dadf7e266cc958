//! `symbolon audience`, and `audiences` of a seed.

use serde_json::json;

use crate::seeds::{POOL, counts, stage};
use crate::stage::Stage;

pub const OTHER: &str = "us-east-1:11111111-918a-4d03-84bd-192d2cb331b8";
const NAME: &str = "snowflakecomputing.com";

/// A seed of two pools, the first with these lines more.
pub fn seed(more: &str) -> String {
    format!(
        "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n\
         [[tenant.identity_pool]]\nidentity_pool_id = '{POOL}'\nidentity_pool_name = 'web'\n{more}\n\
         [[tenant.identity_pool]]\nidentity_pool_id = '{OTHER}'\nidentity_pool_name = 'plain'\n"
    )
}

fn with_pools() -> Stage {
    let stage = stage();
    stage.apply(&seed(""));
    stage
}

#[test]
fn audiences_are_added_listed_and_removed() {
    let stage = with_pools();
    let before = stage.epoch();
    let text = stage.ok(&["audience", "add", NAME, "--pool", POOL]);
    assert_eq!(
        text,
        format!(
            "{NAME} is now an audience of pool {POOL}\n\
             takes effect within 60 seconds on every replica (keys.sign_fence)\n"
        )
    );
    let added = stage.json(&["audience", "add", "api://AzureADTokenExchange", "--pool", POOL]);
    let both = json!({ "IdentityPoolId": POOL, "Audiences": [NAME, "api://AzureADTokenExchange"] });
    assert_eq!(added, both);
    assert_eq!(stage.epoch(), before + 2);
    assert!(stage.ok(&["audience", "add", NAME, "--pool", POOL]).contains("was an audience already"));
    assert_eq!(stage.epoch(), before + 2, "nothing changed");

    assert_eq!(stage.json(&["audience", "list", "--pool", POOL]), both);
    let text = stage.ok(&["audience", "list", "--pool", POOL]);
    let expected = [
        "AUDIENCE                                        IN THE TOKENS OF",
        "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8  everyone, guests too",
        "snowflakecomputing.com                          users",
        "api://AzureADTokenExchange                      users",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);

    // Another pool with it is worth a word, since consumers could take one's users for the other's.
    let done = stage.run(&["audience", "add", NAME, "--pool", OTHER, "--output", "json"]);
    assert!(
        done.code == 0 && done.stderr.contains("other pools have it, too") && done.stderr.contains(POOL),
        "{done:?}"
    );

    let removed = stage.json(&["audience", "remove", NAME, "--pool", POOL]);
    assert_eq!(removed["Audiences"], json!(["api://AzureADTokenExchange"]));
    assert!(stage.fails(1, &["audience", "remove", NAME, "--pool", POOL]).contains("is no audience of pool"));
    assert!(stage.fails(1, &["audience", "remove", POOL, "--pool", POOL]).contains("always an audience"));
}

#[test]
fn what_no_token_may_carry_is_refused_and_pools_that_are_not_there_are_told() {
    let stage = with_pools();
    let before = stage.dump();
    let add = |audience: &str| stage.fails(1, &["audience", "add", audience, "--pool", POOL]);
    assert!(add(OTHER).contains("has the form of a pool id"));
    assert!(add("two words").contains("visible ASCII") && add("").contains("visible ASCII"));
    let nowhere = POOL.replace("6d03", "0000");
    for action in [&["add", "x"][..], &["remove", "x"], &["list"]] {
        let args: Vec<&str> = ["audience"].iter().chain(action).copied().chain(["--pool", &nowhere]).collect();
        assert!(stage.fails(1, &args).contains(&format!("there is no identity pool {nowhere}")));
    }
    let abroad = POOL.replace("us-east-1", "eu-west-1");
    assert!(stage.fails(1, &["audience", "list", "--pool", &abroad]).contains(&format!("did you mean {POOL}?")));
    assert!(stage.fails(2, &["audience", "list", "--pool", "web"]).contains("REGION:UUID"));
    assert_eq!(stage.dump(), before);
    stage.sql("update identity_pools set deleted_at = now() where name = 'web'");
    assert!(stage.fails(1, &["audience", "list", "--pool", POOL]).contains("was deleted"));
}

#[test]
fn a_seed_brings_the_audiences_that_it_names_and_leaves_them_where_it_does_not() {
    let stage = stage();
    let named = seed("audiences = ['a', 'b']");
    let item = json!([format!("audiences of identity-pool {POOL}")]);
    let applied = stage.apply(&named);
    assert_eq!(counts(&applied), [4, 0, 0], "{applied}");
    assert_eq!(applied["Made"][2], item[0]);
    let dump = stage.dump();
    assert_eq!(counts(&stage.apply(&named)), [0, 0, 4]);
    assert_eq!(stage.dump(), dump, "not even the epoch changes");

    let audiences = || stage.texts("select audiences::text from identity_pools where name = 'web'");
    assert_eq!(counts(&stage.apply(&seed(""))), [0, 0, 3]);
    assert_eq!(audiences(), [r#"["a", "b"]"#], "left out, they stay");
    let applied = stage.apply(&seed("audiences = ['b', 'c']"));
    assert_eq!((&applied["Changed"], audiences()), (&item, vec![r#"["b", "c"]"#.to_owned()]));
    let applied = stage.apply(&seed("audiences = []"));
    assert_eq!((&applied["Changed"], audiences()), (&item, vec!["[]".to_owned()]));

    for (bad, problem) in [
        ("audiences = 'a'", "line 7: tenant.identity_pool.audiences: must be a list of texts in quotes"),
        ("audiences = ['a', 'a']", "line 7: tenant.identity_pool.audiences: The audience 'a' stands twice."),
        ("audiences = ['a b']", "line 7: tenant.identity_pool.audiences: An audience has 1 to 255 visible ASCII"),
    ] {
        let told = stage.refuses(3, &seed(bad));
        assert!(told.contains(problem), "{problem}\nis not in\n{told}");
    }
}
