//! What each operation of IAM takes that is served here: names and limits of the service's published model (API version
//! 2010-05-08), in the vocabulary of [`model`](crate::cognito::model).

use crate::cognito::model::{Bounds, Member, Pattern, Shape};
use crate::iam::saml_provider;

macro_rules! operations {
    ($($operation:literal => $input:ident,)*) => {
        /// The name and the input of `operation`, or nothing if it is not served.
        #[must_use]
        pub fn operation(name: &str) -> Option<(&'static str, &'static Shape)> {
            match name {
                $($operation => Some(($operation, &$input)),)*
                _ => None,
            }
        }
    };
}

operations! {
    "AddClientIDToOpenIDConnectProvider" => CLIENT_OF_PROVIDER,
    "CreateOpenIDConnectProvider" => CREATE,
    "CreateSAMLProvider" => CREATE_SAML,
    "DeleteOpenIDConnectProvider" => PROVIDER,
    "DeleteSAMLProvider" => SAML_PROVIDER,
    "GetOpenIDConnectProvider" => PROVIDER,
    "GetSAMLProvider" => SAML_PROVIDER,
    "ListOpenIDConnectProviderTags" => LIST_TAGS,
    "ListOpenIDConnectProviders" => NOTHING,
    "ListSAMLProviderTags" => LIST_SAML_TAGS,
    "ListSAMLProviders" => NOTHING,
    "RemoveClientIDFromOpenIDConnectProvider" => CLIENT_OF_PROVIDER,
    "TagOpenIDConnectProvider" => TAG,
    "TagSAMLProvider" => TAG_SAML,
    "UntagOpenIDConnectProvider" => UNTAG,
    "UntagSAMLProvider" => UNTAG_SAML,
    "UpdateOpenIDConnectProviderThumbprint" => UPDATE_THUMBPRINT,
    "UpdateSAMLProvider" => UPDATE_SAML,
}

static CREATE: Shape = Shape::structure(
    "CreateOpenIDConnectProviderRequest",
    &[
        Member::required("Url", &URL),
        Member::optional("ClientIDList", &CLIENT_ID_LIST),
        Member::optional("ThumbprintList", &THUMBPRINT_LIST),
        Member::optional("Tags", &TAG_LIST),
    ],
);

static PROVIDER: Shape =
    Shape::structure("OpenIDConnectProviderRequest", &[Member::required("OpenIDConnectProviderArn", &ARN)]);

static NOTHING: Shape = Shape::structure("ListOpenIDConnectProvidersRequest", &[]);

static CLIENT_OF_PROVIDER: Shape = Shape::structure(
    "ClientIDOfOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("ClientID", &CLIENT_ID)],
);

static UPDATE_THUMBPRINT: Shape = Shape::structure(
    "UpdateOpenIDConnectProviderThumbprintRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("ThumbprintList", &THUMBPRINT_LIST)],
);

static TAG: Shape = Shape::structure(
    "TagOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("Tags", &TAG_LIST)],
);

static UNTAG: Shape = Shape::structure(
    "UntagOpenIDConnectProviderRequest",
    &[Member::required("OpenIDConnectProviderArn", &ARN), Member::required("TagKeys", &TAG_KEY_LIST)],
);

static LIST_TAGS: Shape = Shape::structure(
    "ListOpenIDConnectProviderTagsRequest",
    &[
        Member::required("OpenIDConnectProviderArn", &ARN),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static CREATE_SAML: Shape = Shape::structure(
    "CreateSAMLProviderRequest",
    &[
        Member::required("SAMLMetadataDocument", &SAML_METADATA),
        Member::required("Name", &SAML_NAME),
        Member::optional("Tags", &TAG_LIST),
        Member::optional("AssertionEncryptionMode", &SAML_ENCRYPTION),
        Member::optional("AddPrivateKey", &SAML_PRIVATE_KEY),
    ],
);

static UPDATE_SAML: Shape = Shape::structure(
    "UpdateSAMLProviderRequest",
    &[
        Member::optional("SAMLMetadataDocument", &SAML_METADATA),
        Member::required("SAMLProviderArn", &ARN),
        Member::optional("AssertionEncryptionMode", &SAML_ENCRYPTION),
        Member::optional("AddPrivateKey", &SAML_PRIVATE_KEY),
        Member::optional("RemovePrivateKey", &SAML_PRIVATE_KEY_ID),
    ],
);

static SAML_PROVIDER: Shape = Shape::structure("SAMLProviderRequest", &[Member::required("SAMLProviderArn", &ARN)]);

static TAG_SAML: Shape = Shape::structure(
    "TagSAMLProviderRequest",
    &[Member::required("SAMLProviderArn", &ARN), Member::required("Tags", &TAG_LIST)],
);

static UNTAG_SAML: Shape = Shape::structure(
    "UntagSAMLProviderRequest",
    &[Member::required("SAMLProviderArn", &ARN), Member::required("TagKeys", &TAG_KEY_LIST)],
);

static LIST_SAML_TAGS: Shape = Shape::structure(
    "ListSAMLProviderTagsRequest",
    &[
        Member::required("SAMLProviderArn", &ARN),
        Member::optional("Marker", &MARKER),
        Member::optional("MaxItems", &MAX_ITEMS),
    ],
);

static SAML_METADATA: Shape = Shape::text("SAMLMetadataDocumentType", 1000, 10_000_000);
static SAML_NAME: Shape = Shape::patterned("SAMLProviderNameType", 1, 128, &SAML_NAME_PATTERN);
static SAML_NAME_PATTERN: Pattern = Pattern { text: "[\\w._-]+", matches: saml_provider::is_name };
static SAML_ENCRYPTION: Shape = Shape::one_of("assertionEncryptionModeType", &["Required", "Allowed"]);
static SAML_PRIVATE_KEY: Shape = Shape::secret("privateKeyType", 1, 16384);
static SAML_PRIVATE_KEY_ID: Shape = Shape::text("privateKeyIdType", 22, 64);
static URL: Shape = Shape::text("OpenIDConnectProviderUrlType", 1, 255);
static ARN: Shape = Shape::text("arnType", 20, 2048);
static CLIENT_ID: Shape = Shape::text("clientIDType", 1, 255);
static CLIENT_ID_LIST: Shape = Shape::list("clientIDListType", &CLIENT_ID, Bounds::NONE);
static THUMBPRINT: Shape = Shape::text("thumbprintType", 40, 40);
static THUMBPRINT_LIST: Shape = Shape::list("thumbprintListType", &THUMBPRINT, Bounds::NONE);
static MARKER: Shape = Shape::text("markerType", 1, 320);
static MAX_ITEMS: Shape = Shape::integer("maxItemsType", 1, 1000);
static TAG_LIST: Shape = Shape::list("tagListType", &A_TAG, Bounds::up_to(50));
static TAG_KEY_LIST: Shape = Shape::list("tagKeyListType", &TAG_KEY, Bounds::up_to(50));
static A_TAG: Shape =
    Shape::structure("Tag", &[Member::required("Key", &TAG_KEY), Member::required("Value", &TAG_VALUE)]);
// Their characters are checked by `crate::tags`.
static TAG_KEY: Shape = Shape::text("tagKeyType", 1, 128);
static TAG_VALUE: Shape = Shape::text("tagValueType", 0, 256);
