//! Those who call IAM and STS, and what they read in the answers.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::client::{Answer, Developer, Visitor, send};

pub const IAM: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
pub const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// Before it is known which service was meant.
const AT_THE_DOOR: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

pub fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

pub fn request(body: &str) -> Request<Body> {
    let request = Request::post("/").header("host", "broker.example.com");
    let request = request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    request.body(Body::from(body.to_owned())).unwrap()
}

/// The body of a call of IAM's.
pub fn of_iam(action: &str, parameters: &[(&str, &str)]) -> String {
    form(&[&[("Action", action), ("Version", "2010-05-08")], parameters].concat())
}

/// The body of a call of STS's.
pub fn of_sts(action: &str, parameters: &[(&str, &str)]) -> String {
    form(&[&[("Action", action), ("Version", "2011-06-15")], parameters].concat())
}

/// A trust policy as AWS's documents have it: users of this pool may take the role on
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/iam-roles.html>).
pub fn trust(pool: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": "cognito-identity.amazonaws.com" },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } },
        }],
    })
}

/// The same for those alone whose `amr` has this: `authenticated`, or `unauthenticated`.
pub fn trust_of(pool: &str, kind: &str) -> Value {
    let mut document = trust(pool);
    document["Statement"][0]["Condition"]["ForAnyValue:StringLike"] =
        json!({ "cognito-identity.amazonaws.com:amr": kind });
    document
}

/// The same with session tags.
pub fn trust_with_tags(pool: &str) -> Value {
    let mut document = trust(pool);
    document["Statement"][0]["Action"] = json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]);
    document
}

impl Developer {
    /// Sends a form that is signed for IAM.
    pub async fn form(&self, body: &str) -> Answer {
        self.send(self.sign_for("iam", request(body), body)).await
    }

    pub async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        self.form(&of_iam(action, parameters)).await
    }

    pub async fn sts(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let body = of_sts(action, parameters);
        self.send(self.sign_for("sts", request(&body), &body)).await
    }

    /// Who this is, by its own signature: the ARN.
    pub async fn arn(&self) -> String {
        self.sts("GetCallerIdentity", &[]).await.ok().element("Arn").to_owned()
    }

    /// A role that this document trusts.
    pub async fn role(&self, name: &str, trust: &Value) -> Answer {
        let document = trust.to_string();
        self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", document.as_str())]).await
    }

    /// Another trust policy for a role.
    pub async fn retrust(&self, name: &str, trust: &Value) {
        let document = trust.to_string();
        let parameters = [("RoleName", name), ("PolicyDocument", document.as_str())];
        self.iam("UpdateAssumeRolePolicy", &parameters).await.ok();
    }

    /// Whoever has the credentials that `AssumeRoleWithWebIdentity` answered.
    pub fn assumed(&self, answer: &Answer) -> Self {
        let of = |name: &str| answer.element(name).to_owned();
        self.with_session(&of("AccessKeyId"), &of("SecretAccessKey"), &of("SessionToken"))
    }

    /// Whoever has the credentials that `GetCredentialsForIdentity` answered.
    pub fn given(&self, answer: &Answer) -> Self {
        let of = |name: &str| answer.json["Credentials"][name].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        self.with_session(of("AccessKeyId"), of("SecretKey"), of("SessionToken"))
    }
}

impl Visitor {
    /// Asks STS without a signature.
    pub async fn sts(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        send(&self.public, request(&of_sts(action, parameters))).await
    }
}

impl Answer {
    /// The text of the first element of this name.
    #[track_caller]
    pub fn element(&self, name: &str) -> &str {
        let (_, rest) = self.text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    /// The texts of all elements of this name.
    pub fn elements(&self, name: &str) -> Vec<&str> {
        let end = format!("</{name}>");
        self.text.split(&format!("<{name}>")).skip(1).map(|rest| rest.split_once(&end).unwrap().0).collect()
    }

    /// The members of the first list of this name.
    #[track_caller]
    pub fn members(&self, name: &str) -> Vec<String> {
        let list = self.element(name);
        list.split("<member>").skip(1).map(|member| member.strip_suffix("</member>").unwrap().to_owned()).collect()
    }

    /// The status and the code of a refusal.
    #[track_caller]
    pub fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.element("Code"))
    }

    /// Asserts a refusal of IAM's whole, but for its request id.
    #[track_caller]
    pub fn denied(&self, status: u16, code: &str, message: &str) {
        self.denied_by(IAM, status, code, message);
    }

    /// The same of STS's.
    #[track_caller]
    pub fn denied_by_sts(&self, status: u16, code: &str, message: &str) {
        self.denied_by(STS, status, code, message);
    }

    /// The same before it is known which service was meant.
    #[track_caller]
    pub fn denied_at_the_door(&self, status: u16, code: &str, message: &str) {
        self.denied_by(AT_THE_DOOR, status, code, message);
    }

    #[track_caller]
    fn denied_by(&self, namespace: &str, status: u16, code: &str, message: &str) {
        let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;").replace('"', "&quot;");
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ErrorResponse xmlns=\"{namespace}\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{escaped}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
            self.header("x-amzn-requestid")
        );
        assert_eq!(self.text, expected);
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "text/xml");
    }
}
