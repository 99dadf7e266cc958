"""SAML providers and logins by boto3, in the order in which Terraform calls, and by the commands of the guide, against an
identity provider that signs with signxml."""

import base64
import datetime
import os
import re
import subprocess
import tempfile
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import XMLSigner, methods

from developer_flow import TAGS, Verifier
from openid_connect_providers import iam
from support import Case, client

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "000000000000"
ENTITY = "https://idp.example.com/saml"
RECIPIENT = "https://signin.aws.amazon.com/saml"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
REPLAYED = (
    "Invalid login token. This SAML assertion was taken by the operation before; sign in at the provider again."
)


class IdentityProvider:
    def __init__(self, entity=ENTITY):
        self.entity = entity
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signing")])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )

    def metadata(self):
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        certificate = "\n".join(re.findall(".{1,64}", base64.b64encode(der).decode()))
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity}">\n'
            f'  <md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">\n'
            f'    <md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>\n'
            f"{certificate}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\n"
            '    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" '
            'Location="https://idp.example.com/sso"/>\n'
            "  </md:IDPSSODescriptor>\n</md:EntityDescriptor>\n"
        )

    def response(self, user, **attributes):
        """What a browser posts as `SAMLResponse`."""
        now = datetime.datetime.now(datetime.timezone.utc)
        issued = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        end = (now + datetime.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = "".join(
            f'<Attribute Name="{name}">' + "".join(f"<AttributeValue>{v}</AttributeValue>" for v in value) + "</Attribute>"
            for name, value in attributes.items()
        )
        assertion = etree.fromstring(
            f'<Assertion xmlns="{SAML}" ID="_{uuid.uuid4().hex}" IssueInstant="{issued}" Version="2.0">'
            f"<Issuer>{self.entity}</Issuer><ds:Signature xmlns:ds=\"{DS}\" Id=\"placeholder\"/>"
            f'<Subject><NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{user}</NameID>'
            '<SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<SubjectConfirmationData NotOnOrAfter="{end}" Recipient="{RECIPIENT}"/></SubjectConfirmation></Subject>'
            f'<Conditions NotBefore="{issued}" NotOnOrAfter="{end}"><AudienceRestriction>'
            "<Audience>urn:amazon:webservices</Audience></AudienceRestriction></Conditions>"
            f'<AuthnStatement AuthnInstant="{issued}"><AuthnContext><AuthnContextClassRef>'
            "urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement>"
            f"<AttributeStatement>{values}</AttributeStatement></Assertion>"
        )
        signer = XMLSigner(method=methods.enveloped, c14n_algorithm=EXCLUSIVE)
        signed = signer.sign(assertion, key=self.key, cert=[self.certificate], reference_uri="#" + assertion.get("ID"), id_attribute="ID")
        response = (
            f'<samlp:Response xmlns:samlp="{SAMLP}" ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{issued}" '
            f'Destination="{RECIPIENT}"><Issuer xmlns="{SAML}">{self.entity}</Issuer><samlp:Status>'
            '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
            f"{etree.tostring(signed).decode()}</samlp:Response>"
        )
        return base64.b64encode(response.encode()).decode()


class Terraform:
    """The calls of `aws_iam_saml_provider` (hashicorp/aws 5 and 6), replayed: the plugin itself is not run."""

    def __init__(self, of, name, document, tags):
        self.of, self.name, self.document, self.tags, self.arn = of, name, document, tags, None

    def create(self):
        request = {"Name": self.name, "SAMLMetadataDocument": self.document}
        if self.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        self.arn = self.of.create_saml_provider(**request)["SAMLProviderArn"]

    def plan(self):
        """What the plugin would change: nothing, if what it reads is what is configured."""
        answer = self.of.get_saml_provider(SAMLProviderArn=self.arn)
        tags = {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
        read = {"name": self.arn.split("/")[1], "document": answer["SAMLMetadataDocument"], "tags": tags}
        assert answer["ValidUntil"] > answer["CreateDate"], answer
        wanted = {"name": self.name, "document": self.document, "tags": self.tags}
        return {name: value for name, value in wanted.items() if read[name] != value}

    def update(self, document=None, tags=None):
        if document is not None:
            self.document = document
            self.of.update_saml_provider(SAMLProviderArn=self.arn, SAMLMetadataDocument=document)
        if tags is not None:
            gone = [key for key in self.tags if key not in tags]
            if gone:
                self.of.untag_saml_provider(SAMLProviderArn=self.arn, TagKeys=gone)
            new = [{"Key": key, "Value": value} for key, value in tags.items() if self.tags.get(key) != value]
            if new:
                self.of.tag_saml_provider(SAMLProviderArn=self.arn, Tags=new)
            self.tags = tags

    def destroy(self):
        try:
            self.of.delete_saml_provider(SAMLProviderArn=self.arn)
        except self.of.exceptions.NoSuchEntityException:
            pass


class SamlLogins(Case):
    @classmethod
    def setUpClass(cls):
        cls.idp = IdentityProvider()
        cls.verifier = Verifier(os.environ["AWS_ENDPOINT_URL_COGNITO_IDENTITY"])

    def provider(self):
        name = self._testMethodName
        return iam().create_saml_provider(Name=name, SAMLMetadataDocument=self.idp.metadata())["SAMLProviderArn"]

    def test_a_response_signs_its_user_in_and_each_operation_takes_it_once(self):
        arn = self.provider()
        pool = self.pool(SamlProviderARNs=[arn])
        logins = {arn: self.idp.response("ann")}
        identity = client().get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"]
        answer = client().get_open_id_token(IdentityId=identity, Logins=logins)
        claims = self.verifier.verify(answer["Token"], pool)
        self.assertEqual((claims["sub"], claims["amr"]), (identity, ["authenticated", arn, f"{arn}:SAML:ann"]))
        self.refused("NotAuthorizedException", REPLAYED, client().get_id, IdentityPoolId=pool, Logins=logins)
        self.refused("NotAuthorizedException", REPLAYED, client().get_open_id_token, IdentityId=identity, Logins=logins)
        again = {arn: self.idp.response("ann")}
        self.assertEqual(client().get_id(IdentityPoolId=pool, Logins=again)["IdentityId"], identity)

    def test_a_response_of_another_key_or_changed_on_its_way_is_refused(self):
        arn = self.provider()
        pool = self.pool(SamlProviderARNs=[arn])
        forged = IdentityProvider().response("ann")
        changed = base64.b64encode(base64.b64decode(self.idp.response("ann")).replace(b">ann<", b">bob<")).decode()
        text = "Invalid login token. Couldn't verify signed token."
        for response in (forged, changed):
            self.refused("NotAuthorizedException", text, client().get_id, IdentityPoolId=pool, Logins={arn: response})

    def test_attributes_choose_principal_tags(self):
        arn = self.provider()
        pool = self.pool(SamlProviderARNs=[arn])
        client().set_principal_tag_attribute_map(
            IdentityPoolId=pool, IdentityProviderName=arn, UseDefaults=False, PrincipalTags={"team": "team", "all": "groups"}
        )
        response = lambda: {arn: self.idp.response("ann", team=["blau"], groups=["a", "b"])}
        identity = client().get_id(IdentityPoolId=pool, Logins=response())["IdentityId"]
        token = client().get_open_id_token(IdentityId=identity, Logins=response())["Token"]
        self.assertEqual(self.verifier.verify(token, pool)[TAGS], {"principal_tags": {"team": ["blau"]}})

    def test_refusals_are_the_modelled_exceptions(self):
        of, metadata = iam(), self.idp.metadata()
        arn = self.provider()
        with self.assertRaises(of.exceptions.EntityAlreadyExistsException):
            of.create_saml_provider(Name=self._testMethodName, SAMLMetadataDocument=metadata)
        with self.assertRaisesRegex(of.exceptions.InvalidInputException, "Could not parse metadata: "):
            of.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument="x" * 1000)
        of.delete_saml_provider(SAMLProviderArn=arn)
        for function in (of.get_saml_provider, of.delete_saml_provider, of.list_saml_provider_tags):
            with self.assertRaises(of.exceptions.NoSuchEntityException):
                function(SAMLProviderArn=arn)


class SamlResource(Case):
    def test_the_plan_is_empty_after_each_apply(self):
        idp = IdentityProvider()
        resource = Terraform(iam("100000000020"), "Corp", idp.metadata(), {"Name": "x", "key2": ""})
        resource.create()
        self.assertEqual(resource.arn, "arn:aws:iam::100000000020:saml-provider/Corp")
        self.assertEqual(resource.plan(), {})
        resource.update(document=IdentityProvider("https://other.example.com").metadata())
        self.assertEqual(resource.plan(), {})
        resource.update(tags={"key2": "changed", "key3": "new"})
        self.assertEqual(resource.plan(), {})
        listed = resource.of.list_saml_providers()["SAMLProviderList"]
        self.assertEqual([provider["Arn"] for provider in listed], [resource.arn])
        resource.destroy()
        # Destroyed behind its back, it is destroyed again without an error.
        resource.destroy()
        self.assertEqual(resource.of.list_saml_providers()["SAMLProviderList"], [])


class GuidedCommands(Case):
    def test_the_commands_of_the_guide_work_when_pasted(self):
        guide = (ROOT / "docs/how-to/federation.md").read_text()
        section = guide.split("\n## A SAML identity provider\n")[1].split("\n## ")[0]
        blocks = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
        self.assertGreaterEqual(len(blocks), 4)
        idp = IdentityProvider()
        script = "set -euo pipefail\n" + "".join(blocks)
        script, replaced = re.subn("SAML_RESPONSE=.*", f"SAML_RESPONSE={idp.response('ann', team=['blue'])}", script)
        self.assertEqual(replaced, 1)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "metadata.xml").write_text(idp.metadata())
            done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=600)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn('"Token": ', done.stdout)
