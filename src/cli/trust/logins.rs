//! Consumers where a token is a login: Vault, Nomad, Kubernetes.

use serde_json::json;

use super::REVIEWED;
use super::facts::Facts;
use super::guide::{Guide, Language, Status, TOKEN_FILE};
use super::quote::{json as quoted, shell};

pub(super) fn vault(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Vault (or OpenBao)",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://developer.hashicorp.com/vault/docs/auth/jwt",
            "https://developer.hashicorp.com/vault/api-docs/auth/jwt",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_of_loopback(&mut guide, "Vault");
    let path = format!("auth/{}", facts.name);
    guide.command("An auth method of its own.", format!("vault auth enable -path={} jwt", shell(&facts.name)));
    guide.json_file(
        "vault-config.json",
        "where the keys are, and whose tokens they sign",
        &json!({
            "jwks_url": facts.jwks_url(),
            "bound_issuer": facts.issuer,
            "jwt_supported_algs": facts.algorithms(),
        }),
    );
    guide.command("Configure it.", format!("vault write {}/config @vault-config.json", shell(&path)));
    let mut role = json!({
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [facts.audience()],
        // Guests' tokens say `unauthenticated`.
        "bound_claims": { "amr": "authenticated" },
        "token_policies": ["REPLACE_VAULT_POLICY"],
        "token_ttl": "15m",
    });
    if let Some(identity) = &facts.identity {
        role["bound_subject"] = json!(identity);
    }
    guide.json_file(
        "vault-role.json",
        "who may log in, and with which policy: the pool's users, not its guests",
        &role,
    );
    guide.command(
        "Make the role.",
        format!("vault write {}/role/{} @vault-role.json", shell(&path), shell(&facts.name)),
    );
    guide.command(
        "Try it with a user's token in token.jwt.",
        format!("vault write {}/login role={} jwt=\"$(cat {TOKEN_FILE})\"", shell(&path), shell(&facts.name)),
    );
    guide
}

pub(super) fn nomad(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Nomad",
        Status::Reviewed(REVIEWED),
        Language::Shell,
        &[
            "https://developer.hashicorp.com/nomad/api-docs/acl/auth-methods",
            "https://developer.hashicorp.com/nomad/commands/acl/auth-method/create",
            "https://developer.hashicorp.com/nomad/commands/acl/binding-rule/create",
        ],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_of_loopback(&mut guide, "Nomad");
    guide.json_file(
        "nomad-auth-method.json",
        "where the keys are, whose tokens they sign, and what rules may look at",
        &json!({
            "JWKSURL": facts.jwks_url(),
            "BoundIssuer": [facts.issuer],
            "BoundAudiences": [facts.audience()],
            "SigningAlgs": facts.algorithms(),
            "ClaimMappings": { "sub": "identity" },
            "ListClaimMappings": { "amr": "methods" },
        }),
    );
    let name = shell(&facts.name);
    guide.command(
        "Make the auth method.",
        format!(
            "nomad acl auth-method create -name {name} -type JWT -max-token-ttl 15m -token-locality local \\\n  \
             -config @nomad-auth-method.json"
        ),
    );
    // Guests' tokens say `unauthenticated`.
    let mut selector = r#""authenticated" in list.methods"#.to_owned();
    if let Some(identity) = &facts.identity {
        selector = format!("{selector} and value.identity == {}", quoted(identity));
    }
    guide.command(
        "Give its users a policy: the pool's users, not its guests.",
        format!(
            "nomad acl binding-rule create -auth-method {name} -bind-type policy -bind-name REPLACE_NOMAD_POLICY \\\n  \
             -selector {}",
            shell(&selector)
        ),
    );
    guide
}

pub(super) fn kubernetes(facts: &Facts) -> Guide {
    let mut guide = Guide::new(
        "Kubernetes",
        Status::Reviewed(REVIEWED),
        Language::Yaml,
        &["https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration"],
    );
    facts.warn_of_installation(&mut guide);
    facts.warn_unless_https(&mut guide, "the API server");
    facts.warn_of_loopback(&mut guide, "the API server");
    let mut rules = vec![
        "  # Guests' tokens say `unauthenticated`.".to_owned(),
        "  - expression: '\"authenticated\" in claims.amr'".to_owned(),
        "    message: guests are not let in".to_owned(),
    ];
    if let Some(identity) = &facts.identity {
        rules.push("  - claim: sub".to_owned());
        rules.push(format!("    requiredValue: {}", quoted(identity)));
    }
    let content = format!(
        "apiVersion: apiserver.config.k8s.io/v1\n\
         kind: AuthenticationConfiguration\n\
         jwt:\n\
         - issuer:\n    url: {issuer}\n    audiences:\n    - {audience}\n    audienceMatchPolicy: MatchAny\n  \
         claimValidationRules:\n{rules}\n  \
         claimMappings:\n    username:\n      claim: sub\n      prefix: {prefix}\n",
        issuer = quoted(&facts.issuer),
        audience = quoted(&facts.audience()),
        rules = rules.join("\n"),
        prefix = quoted(&format!("{}:", facts.name)),
    );
    guide.file(
        "authentication.yaml",
        "the API server's authentication configuration. Before Kubernetes 1.34 its apiVersion is \
         apiserver.config.k8s.io/v1beta1. If the server has one already, add the entry of `jwt` to it",
        content,
    );
    guide.command(
        "Start the API server with it (it reads the file again when that changes; no --oidc-* option may stand beside it):",
        "kube-apiserver --authentication-config=/etc/kubernetes/authentication.yaml",
    );
    guide.command(
        "A user may do nothing until a role is bound to its name:",
        format!(
            "kubectl create clusterrolebinding {name} --clusterrole=REPLACE_CLUSTER_ROLE --user={user}",
            name = shell(&facts.name),
            user = shell(&format!("{}:{}", facts.name, facts.subject()))
        ),
    );
    guide
}
