//! Consumers that exchange a token for one of their own: Google Cloud, Snowflake, Microsoft Entra.

use serde_json::json;

use super::REVIEWED;
use super::facts::{Facts, period};
use super::guide::{Guide, Language, Status, TOKEN_FILE};
use super::quote::{shell, sql, sql_name};

const SNOWFLAKE: &str = "snowflakecomputing.com";
const ENTRA: &str = "api://AzureADTokenExchange";

pub(super) fn gcp(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Google Cloud",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://cloud.google.com/iam/docs/workload-identity-federation-with-other-providers",
            "https://cloud.google.com/sdk/gcloud/reference/iam/workload-identity-pools/providers/create-oidc",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_unless_https(&mut guide, "Google Cloud");
    facts.warn_of_algorithms(&mut guide, &["RS256", "ES256"], "Google Cloud is known to take RS256 and ES256");
    facts.warn_of_list(&mut guide, "Google Cloud");
    let name = shell(&facts.name);
    guide.command(
        "A workload identity pool of its own.",
        format!("gcloud iam workload-identity-pools create {name} --location=global"),
    );
    let upload = !facts.is_public();
    if upload {
        guide.warn(format!(
            "Google Cloud cannot fetch the keys of {}, so they are uploaded: those of now, and the next one. Each time a \
             key begins to sign, a new one is published, and begins to sign no sooner than {} later (usually after {}): within that time, run this command again and upload its jwks.json with `gcloud iam \
             workload-identity-pools providers update-oidc … --jwk-json-path=jwks.json`.",
            facts.issuer,
            period(facts.publish_lead),
            period(facts.rotation_period)
        ));
        guide.file("jwks.json", "the public keys, as of now", format!("{}\n", facts.jwks));
    }
    guide.command(
        "Trust the issuer: the pool's users, not its guests. Tokens may live a day there, as here at most.",
        format!(
            "gcloud iam workload-identity-pools providers create-oidc {name} --location=global \\\n  \
             --workload-identity-pool={name} --issuer-uri={} \\\n  --allowed-audiences={} \\\n  \
             --attribute-mapping=google.subject=assertion.sub \\\n  \
             --attribute-condition={}{}",
            shell(&facts.issuer),
            shell(&facts.audience()),
            shell(r#""authenticated" in assertion.amr"#),
            if upload { " \\\n  --jwk-json-path=jwks.json" } else { "" }
        ),
    );
    let pool = format!("projects/REPLACE_GCP_PROJECT_NUMBER/locations/global/workloadIdentityPools/{}", facts.name);
    let member = match &facts.identity {
        Some(identity) => format!("principal://iam.googleapis.com/{pool}/subject/{identity}"),
        None => format!("principalSet://iam.googleapis.com/{pool}/*"),
    };
    guide.command(
        "What they may do.",
        format!(
            "gcloud projects add-iam-policy-binding REPLACE_GCP_PROJECT_ID --role=REPLACE_GCP_ROLE \\\n  --member={}",
            shell(&member)
        ),
    );
    guide.command(
        "The configuration for Google's client libraries, which read a user's token from token.jwt.",
        format!(
            "gcloud iam workload-identity-pools create-cred-config {} \\\n  --credential-source-file={TOKEN_FILE} \
             --output-file=gcp-credentials.json",
            shell(&format!("{pool}/providers/{}", facts.name))
        ),
    );
    guide
}

pub(super) fn snowflake(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Snowflake",
        Status::Reviewed(REVIEWED),
        Language::Sql,
        &[
            "https://docs.snowflake.com/en/user-guide/workload-identity-federation",
            "https://docs.snowflake.com/en/sql-reference/sql/alter-user-add-workload-identity",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_unless_public_https(&mut guide, "Snowflake");
    facts.warn_unless_audience(
        &mut guide,
        SNOWFLAKE,
        "Snowflake expects it unless OIDC_AUDIENCE_LIST names others. The statement below names the pool's id, which is \
         enough for its user; for users whose list you cannot set, add it:",
    );
    facts.warn_of_list(&mut guide, "Snowflake");
    let user = sql_name(&facts.name);
    guide.command(
        "A user for one identity. It may do nothing until a role is granted to it.",
        format!("CREATE USER IF NOT EXISTS {user} TYPE = SERVICE;"),
    );
    guide.command(
        "Let that identity, and no other, log in as it.",
        format!(
            "ALTER USER {user} ADD WORKLOAD IDENTITY {user}\n  TYPE = OIDC\n  ISSUER = {}\n  SUBJECT = {}\n  \
             OIDC_AUDIENCE_LIST = ({});",
            sql(&facts.issuer),
            sql(&facts.subject()),
            sql(&facts.audience())
        ),
    );
    guide
}

pub(super) fn entra(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Microsoft Entra",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-create-trust",
            "https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-considerations",
            "https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredential",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_unless_public_https(&mut guide, "Entra");
    facts.warn_of_algorithms(
        &mut guide,
        &["RS256"],
        "Entra supports tokens signed with RS256; with others it may work, but Microsoft has not tested it",
    );
    facts.warn_unless_audience(
        &mut guide,
        ENTRA,
        "Entra accepts this one alone (in national clouds another), and refuses these tokens until they do. `aud` is a list \
         then, and its documentation does not say whether one is taken: try it before you rely on it.",
    );
    if !facts.pool.audiences.as_slice().is_empty() {
        guide.warn(
            "this pool has extra audiences, so `aud` of its users' tokens is a list, the pool's id first. Entra's \
             documentation speaks of one value, and does not say whether a list is taken: try it before you rely on it.",
        );
    }
    guide.json_file(
        "credential.json",
        "one identity that may act as the application; an application can have 20 such credentials",
        &json!({
            "name": facts.name,
            "issuer": facts.issuer,
            "subject": facts.subject(),
            "audiences": [ENTRA],
        }),
    );
    guide.command(
        "Add it to the application. It takes some minutes until Entra knows it everywhere.",
        "az ad app federated-credential create --id REPLACE_ENTRA_APP_ID --parameters credential.json",
    );
    guide.command(
        "Try it with the user's token in token.jwt.",
        format!(
            "az login --service-principal --username REPLACE_ENTRA_APP_ID --tenant REPLACE_ENTRA_TENANT_ID \\\n  \
             --federated-token \"$(cat {TOKEN_FILE})\""
        ),
    );
    guide
}
