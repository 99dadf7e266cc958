"""Writes the good SAML responses beside it, each in the manner of an identity provider, signed by signxml or xmlsec:
signers that have nothing in common with the verifier. Their keys are made anew, and forgotten.

    python3 -m venv /tmp/signers && /tmp/signers/bin/pip install signxml==5.2.0 xmlsec==1.3.17
    PYTHONHASHSEED=0 /tmp/signers/bin/python make.py
"""

import base64
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
import xmlsec
from lxml import etree
from signxml import XMLSigner, methods

HERE = pathlib.Path(__file__).parent
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
RECIPIENT = "https://signin.aws.amazon.com/saml"

# The time that the clock of tests/upstream stands at.
NOW = datetime.datetime.fromtimestamp(1_795_435_200, datetime.timezone.utc)


def at(minutes, form="%Y-%m-%dT%H:%M:%S.%f"):
    time = (NOW + datetime.timedelta(minutes=minutes)).strftime(form)
    return (time[:-3] if form.endswith("%f") else time) + "Z"


def whole(minutes):
    return at(minutes, "%Y-%m-%dT%H:%M:%S")


class Provider:
    """An identity provider: its key, its certificate, and its metadata in a file."""

    def __init__(self, name, entity, key, metadata):
        self.name, self.entity, self.key = name, entity, key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} signing")])
        # Long expired, as self-signed certificates of identity providers are: only the key counts.
        certificate = x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
        certificate = certificate.serial_number(x509.random_serial_number())
        certificate = certificate.not_valid_before(datetime.datetime(2015, 1, 1))
        certificate = certificate.not_valid_after(datetime.datetime(2025, 1, 1))
        self.certificate = certificate.sign(key, None if name == "ed25519" else hashes.SHA256())
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.base64 = base64.b64encode(der).decode()
        if metadata is None:
            (HERE / f"{name}.der").write_bytes(der)
            return
        (HERE / f"{name}.metadata.xml").write_text(metadata.format(entity=entity, certificate=self.base64))

    def sign(self, element, digest="sha256", namespaces=None, certificate=True):
        """Signs an element in place, right behind its Issuer."""
        kind = "ecdsa" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "rsa"
        signer = XMLSigner(
            method=methods.enveloped,
            signature_algorithm=f"{kind}-{digest}",
            digest_algorithm=digest,
            c14n_algorithm=EXCLUSIVE,
        )
        signer.namespaces = namespaces or {"ds": DS}
        placeholder = etree.Element(f"{{{DS}}}Signature", nsmap=signer.namespaces, attrib={"Id": "placeholder"})
        element.insert(1, placeholder)
        return signer.sign(
            element,
            key=self.key,
            cert=[self.certificate] if certificate else None,
            reference_uri="#" + element.get("ID"),
            id_attribute="ID",
        )

    def sign_with_prefixes(self, element, prefixes):
        """The same by xmlsec, with a list of prefixes that are canonicalized inclusively."""
        of = xmlsec.constants.TransformEcdsaSha256
        if isinstance(self.key, rsa.RSAPrivateKey):
            of = xmlsec.constants.TransformRsaSha256
        signature = xmlsec.template.create(element, xmlsec.constants.TransformExclC14N, of, ns="ds")
        element.insert(1, signature)
        uri = "#" + element.get("ID")
        reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri=uri)
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        exclusive = xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
        xmlsec.template.transform_add_c14n_inclusive_namespaces(exclusive, prefixes)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
        xmlsec.tree.add_ids(element, ["ID"])
        context = xmlsec.SignatureContext()
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
        certificate = self.certificate.public_bytes(serialization.Encoding.PEM)
        context.key.load_cert_from_memory(certificate, xmlsec.constants.KeyDataFormatPem)
        context.sign(signature)
        return element


METADATA = """<?xml version="1.0" encoding="utf-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{entity}">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/logout"/>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/sso"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
"""
# AD FS writes a byte order mark, and roles of WS-Federation before its own.
ADFS = "\ufeff" + METADATA.replace(
    "  <md:IDPSSODescriptor",
    """  <md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://adfs.example.com/adfs/ls/" index="0"/>
  </md:SPSSODescriptor>
  <md:IDPSSODescriptor""",
)


def rsa_key(bits=2048):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def write(name, response):
    (HERE / f"{name}.xml").write_bytes(etree.tostring(response))


def first(root, name):
    return next(root.iter(f"{{{SAML}}}{name}"))


def microsoft(entity, name_id, attributes, audience):
    """AD FS and Entra ID: an assertion with its own default namespace."""
    values = "".join(
        f'<Attribute Name="{name}">' + "".join(f"<AttributeValue>{v}</AttributeValue>" for v in value) + "</Attribute>"
        for name, value in attributes
    )
    return etree.fromstring(
        f'<samlp:Response ID="_r{abs(hash(name_id)) % 10**9}" Version="2.0" IssueInstant="{at(0)}" Destination="{RECIPIENT}" '
        f'Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" xmlns:samlp="{SAMLP}">'
        f'<Issuer xmlns="{SAML}">{entity}</Issuer>'
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success" /></samlp:Status>'
        f'<Assertion ID="_c2f26f82-5a8f-4a2e-9a3d-{abs(hash(entity)) % 10**12:012}" IssueInstant="{at(0)}" Version="2.0" xmlns="{SAML}">'
        f"<Issuer>{entity}</Issuer>"
        f'<Subject>{name_id}<SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<SubjectConfirmationData NotOnOrAfter="{at(5)}" Recipient="{RECIPIENT}" /></SubjectConfirmation></Subject>'
        f'<Conditions NotBefore="{at(-5)}" NotOnOrAfter="{at(60)}"><AudienceRestriction><Audience>{audience}</Audience>'
        "</AudienceRestriction></Conditions>"
        f"<AttributeStatement>{values}</AttributeStatement>"
        f'<AuthnStatement AuthnInstant="{at(-1)}" SessionIndex="_c2f26f82"><AuthnContext><AuthnContextClassRef>'
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</AuthnContextClassRef></AuthnContext>"
        "</AuthnStatement></Assertion></samlp:Response>"
    )


def adfs():
    entity = "http://adfs.example.com/adfs/services/trust"
    provider = Provider("adfs", entity, rsa_key(), ADFS)
    email = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
    groups = [
        ("http://schemas.xmlsoap.org/claims/Group", ["Domain Users", "Development"]),
        (CLAIMS + "name", ["ann@example.com"]),
    ]
    response = microsoft(entity, f'<NameID Format="{email}">ann@example.com</NameID>', groups, "urn:amazon:webservices")
    response = swap(response, provider.sign(detached(response)))
    write("adfs", response)
    # SamlResponseSignature MessageAndAssertion.
    response = microsoft(entity, "<NameID>EXAMPLE\\ann</NameID>", groups, RECIPIENT)
    response = swap(response, provider.sign(detached(response)))
    write("adfs_both", provider.sign(response))


def detached(response):
    """The assertion of a response on its own, with the namespaces that its text declares and no others."""
    return etree.fromstring(etree.tostring(first(response, "Assertion")))


def swap(response, assertion):
    """Puts the signed assertion in the place of the unsigned one."""
    response.replace(first(response, "Assertion"), assertion)
    return etree.fromstring(etree.tostring(response))


def entra():
    entity = "https://sts.windows.net/6babcaad-604b-40ac-a9d7-9fd97c0b779f/"
    provider = Provider("entra", entity, rsa_key(), METADATA)
    persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    attributes = [
        ("http://schemas.microsoft.com/identity/claims/tenantid", ["6babcaad-604b-40ac-a9d7-9fd97c0b779f"]),
        ("http://schemas.microsoft.com/identity/claims/displayname", ["Ann &amp; Söhne"]),
        (CLAIMS + "name", ["ann@example.onmicrosoft.com"]),
    ]
    name = f'<NameID Format="{persistent}">lOTTsEdPQ8SmmZ+Xy1NUgQ==</NameID>'
    response = microsoft(entity, name, attributes, "https://signin.aws.amazon.com/saml")
    response = swap(response, provider.sign(detached(response), namespaces={None: DS}))
    write("entra", response)
    # "Sign SAML response".
    response = microsoft(entity, name, attributes, "https://signin.aws.amazon.com/saml")
    write("entra_response", provider.sign(response, namespaces={None: DS}))


def okta():
    entity = "http://www.okta.com/exk1fcia6d6EMsf331d8"
    provider = Provider("okta", entity, rsa_key(3072), METADATA)
    other = Provider("okta_ec", entity + "ec", ec.generate_private_key(ec.SECP256R1()), METADATA + "<!-- " + "-" .join("EC" * 100) + " -->\n")
    for name, signer in [("okta", provider), ("okta_ec", other)]:
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><saml2p:Response xmlns:saml2p="{SAMLP}" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
            f'Destination="{RECIPIENT}" ID="id1170411594526153" IssueInstant="{at(0)}" Version="2.0">'
            f'<saml2:Issuer xmlns:saml2="{SAML}" Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">{signer.entity}</saml2:Issuer>'
            f'<saml2p:Status xmlns:saml2p="{SAMLP}"><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>'
            f'<saml2:Assertion xmlns:saml2="{SAML}" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="id1170411594596172" IssueInstant="{at(0)}" Version="2.0">'
            f'<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">{signer.entity}</saml2:Issuer>'
            '<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">ann@example.com</saml2:NameID>'
            '<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<saml2:SubjectConfirmationData NotOnOrAfter="{at(5)}" Recipient="{RECIPIENT}"/></saml2:SubjectConfirmation></saml2:Subject>'
            f'<saml2:Conditions NotBefore="{at(-5)}" NotOnOrAfter="{at(5)}"><saml2:AudienceRestriction><saml2:Audience>urn:amazon:webservices</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>'
            f'<saml2:AuthnStatement AuthnInstant="{at(-1)}" SessionIndex="id17"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>'
            '<saml2:AttributeStatement><saml2:Attribute Name="department" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">'
            '<saml2:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">blue</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement>'
            "</saml2:Assertion></saml2p:Response>"
        )
        response = etree.fromstring(text.encode())
        response = swap(response, signer.sign_with_prefixes(detached(response), ["xs"]))
        write(name, signer.sign_with_prefixes(response, ["xs"]))


def keycloak():
    entity = "https://keycloak.example.com/realms/acme"
    metadata = METADATA.replace("<md:EntityDescriptor", '<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" Name="urn:keycloak"><md:EntityDescriptor', 1)
    metadata = metadata.replace("</md:EntityDescriptor>", "</md:EntityDescriptor></md:EntitiesDescriptor>")
    provider = Provider("keycloak", entity, rsa_key(), metadata)
    xs = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    text = (
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" Destination="{RECIPIENT}" ID="ID_7f0d9c0e-6a53-4b8c-9b71-1d3a0c5b1f0a" IssueInstant="{at(0)}" Version="2.0">'
        f"<saml:Issuer>{entity}</saml:Issuer>"
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        f'<saml:Assertion xmlns="{SAML}" ID="ID_1c7d3c19-0b39-4f0f-8d0c-5a6b8e3a6a51" IssueInstant="{at(0)}" Version="2.0"><saml:Issuer>{entity}</saml:Issuer>'
        '<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">G-5c9b9d1e-8b1f-4c4a-8a57-9d2f0a1b2c3d</saml:NameID>'
        f'<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{at(1)}" Recipient="{RECIPIENT}"/></saml:SubjectConfirmation></saml:Subject>'
        f'<saml:Conditions NotBefore="{at(0)}" NotOnOrAfter="{at(1)}"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions>'
        f'<saml:AuthnStatement AuthnInstant="{at(0)}" SessionIndex="8a7d::4f2b" SessionNotOnOrAfter="{at(600)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>'
        f'<saml:AttributeStatement><saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue {xs} xsi:type="xs:string">offline_access</saml:AttributeValue></saml:Attribute>'
        f'<saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue {xs} xsi:type="xs:string">admin</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>'
        "</saml:Assertion></samlp:Response>"
    )
    write("keycloak", provider.sign(etree.fromstring(text), digest="sha512", namespaces={"dsig": DS}))
    # "Sign assertions", without "Sign documents".
    response = etree.fromstring(text)
    response = swap(response, provider.sign(detached(response), namespaces={"dsig": DS}, certificate=False))
    write("keycloak_assertion", response)


def shibboleth():
    entity = "https://idp.example.edu/idp/shibboleth"
    # A roll-over: the key that signs is the second one.
    provider = Provider("shibboleth", entity, ec.generate_private_key(ec.SECP384R1()), METADATA)
    old = Provider("shibboleth", entity, rsa_key(), METADATA)
    key = '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>'
    lines = "\n".join(provider.base64[i : i + 76] for i in range(0, len(provider.base64), 76))
    file = HERE / "shibboleth.metadata.xml"
    old_key = key.format(old.base64)
    file.write_text(file.read_text().replace(old_key, old_key + "\n    " + key.format("\n" + lines + "\n")))
    for name, digest in [("shibboleth", "sha256"), ("shibboleth_sha384", "sha384")]:
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<saml2p:Response xmlns:saml2p="{SAMLP}" Destination="{RECIPIENT}" ID="_5d3e1f6f2c" InResponseTo="_a1b2" IssueInstant="{at(0)}" Version="2.0">\n'
            f'  <saml2:Issuer xmlns:saml2="{SAML}">{entity}</saml2:Issuer>\n'
            '  <saml2p:Status><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>\n'
            f'  <saml2:Assertion xmlns:saml2="{SAML}" ID="_0d1c" IssueInstant="{at(0)}" Version="2.0">\n    <saml2:Issuer>{entity}</saml2:Issuer>\n'
            f'    <saml2:Subject>\n      <saml2:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="{entity}" SPNameQualifier="urn:amazon:webservices">NV6C3Q<!-- cut -->WT5YJQ=</saml2:NameID>\n'
            f'      <saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\n        <saml2:SubjectConfirmationData Address="192.0.2.7" InResponseTo="_a1b2" NotOnOrAfter="{whole(5)}" Recipient="{RECIPIENT}"/>\n      </saml2:SubjectConfirmation>\n    </saml2:Subject>\n'
            f'    <saml2:Conditions NotBefore="{whole(0)}" NotOnOrAfter="{whole(5)}">\n      <saml2:AudienceRestriction>\n        <saml2:Audience>https://other.example.com/sp</saml2:Audience>\n        <saml2:Audience>urn:amazon:webservices</saml2:Audience>\n      </saml2:AudienceRestriction>\n    </saml2:Conditions>\n'
            f'    <saml2:AuthnStatement AuthnInstant="{whole(-1)}" SessionIndex="_9f"><saml2:SubjectLocality Address="192.0.2.7"/><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>\n'
            '    <saml2:AttributeStatement>\n      <saml2:Attribute FriendlyName="eduPersonAffiliation" Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.1" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri">\n        <saml2:AttributeValue>member</saml2:AttributeValue>\n        <saml2:AttributeValue>staff</saml2:AttributeValue>\n      </saml2:Attribute>\n'
            f'      <saml2:Attribute Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri">\n        <saml2:AttributeValue><saml2:NameID NameQualifier="{entity}">NV6C3Q</saml2:NameID></saml2:AttributeValue>\n      </saml2:Attribute>\n    </saml2:AttributeStatement>\n'
            "  </saml2:Assertion>\n</saml2p:Response>"
        )
        write(name, provider.sign(etree.fromstring(text.encode()), digest=digest, certificate=name == "shibboleth"))


# Certificates that no metadata may have.
Provider("rsa_1024", "", rsa_key(1024), None)
Provider("ed25519", "", ed25519.Ed25519PrivateKey.generate(), None)
adfs()
entra()
okta()
keycloak()
shibboleth()
