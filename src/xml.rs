//! Reading XML, more strictly than XML asks.
//!
//! What SAML needs is elements, attributes and text. The rest of XML (document types, entities, processing instructions)
//! is what attacks on readers of XML are made of, and is refused before anything is parsed.

use std::fmt;

use uppsala::{Document, NodeId, NodeKind, Parser};

/// The deepest nesting of elements that is read; the outermost counts as one.
const MAX_DEPTH: u32 = 48;

/// The most attributes of an element, declarations of namespaces included. The parser compares each with each, so that
/// without a bound a short text would keep it busy for long.
const MAX_ATTRIBUTES: usize = 300;

/// Why a text is not read as XML. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A document type, or another declaration.
    Declaration,
    /// A processing instruction.
    Instruction,
    /// An element with more attributes than anyone needs.
    Attributes,
    /// Not well-formed, or nested too deeply.
    IllFormed,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declaration => f.write_str("it holds a document type or another markup declaration"),
            Self::Instruction => f.write_str("it holds a processing instruction"),
            Self::Attributes => write!(f, "an element has more than {MAX_ATTRIBUTES} attributes"),
            Self::IllFormed => {
                write!(f, "it is not well-formed XML with namespaces, or nests deeper than {MAX_DEPTH} elements")
            }
        }
    }
}

/// The document in `text`. A byte order mark before it is passed over.
///
/// # Errors
/// [`Malformed`]. Also what looks like a declaration, an instruction or many attributes inside a comment or text is
/// refused: no reader has to tell the two apart.
pub fn read(text: &str) -> Result<Document<'_>, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.match_indices("<!").any(|(at, _)| !is_harmless(&text[at + 2..])) {
        return Err(Malformed::Declaration);
    }
    let body = text.strip_prefix("<?xml").filter(|rest| rest.starts_with([' ', '\t', '\r', '\n'])).unwrap_or(text);
    if body.contains("<?") {
        return Err(Malformed::Instruction);
    }
    // Every attribute has its sign, and no value of one has a `<` in it.
    if text.split('<').any(|piece| piece.bytes().filter(|byte| *byte == b'=').count() > MAX_ATTRIBUTES) {
        return Err(Malformed::Attributes);
    }
    let parser = Parser::new().with_max_depth(MAX_DEPTH).with_forbid_dtd(true).with_forbid_entities(true);
    parser.parse(text).map_err(|_| Malformed::IllFormed)
}

/// What may follow `<!`: a comment, or a section of text.
fn is_harmless(rest: &str) -> bool {
    rest.starts_with("--") || rest.starts_with("[CDATA[")
}

/// An element of a document that was read.
#[derive(Clone, Copy, Debug)]
pub struct Element<'d, 't> {
    document: &'d Document<'t>,
    id: NodeId,
}

impl<'d, 't> Element<'d, 't> {
    /// The outermost element.
    #[must_use]
    pub fn root(document: &'d Document<'t>) -> Option<Self> {
        document.document_element().map(|id| Self { document, id })
    }

    /// The document that it is of.
    #[must_use]
    pub fn document(self) -> &'d Document<'t> {
        self.document
    }

    /// Its place in the document.
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Its name without the prefix.
    #[must_use]
    pub fn local_name(self) -> &'d str {
        self.document.element(self.id).map_or("", |element| &*element.name.local_name)
    }

    /// Its namespace; nothing for a name that is in none.
    #[must_use]
    pub fn namespace(self) -> Option<&'d str> {
        self.document.element(self.id)?.name.namespace_uri.as_deref()
    }

    /// Whether it is called so.
    #[must_use]
    pub fn is(self, namespace: &str, local_name: &str) -> bool {
        self.local_name() == local_name && self.namespace() == Some(namespace)
    }

    /// An attribute that is in no namespace.
    #[must_use]
    pub fn attribute(self, name: &str) -> Option<&'d str> {
        self.attributes().find(|(namespace, local, _)| namespace.is_none() && *local == name).map(|(_, _, value)| value)
    }

    /// An attribute of a namespace.
    #[must_use]
    pub fn attribute_of(self, namespace: &str, name: &str) -> Option<&'d str> {
        self.attributes().find(|(of, local, _)| *of == Some(namespace) && *local == name).map(|(_, _, value)| value)
    }

    /// All attributes: namespace, name without prefix, value. Declarations of namespaces are none.
    pub fn attributes(self) -> impl Iterator<Item = (Option<&'d str>, &'d str, &'d str)> {
        let attributes =
            self.document.element(self.id).map(|element| element.attributes.as_slice()).unwrap_or_default();
        attributes
            .iter()
            .map(|attribute| (attribute.name.namespace_uri.as_deref(), &*attribute.name.local_name, &*attribute.value))
    }

    /// The elements right below it.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let document = self.document;
        let nodes = document.children(self.id).into_iter();
        nodes.filter(|id| document.element(*id).is_some()).map(move |id| Self { document, id })
    }

    /// The elements right below it that are called so.
    pub fn children_named(self, namespace: &str, local_name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.is(namespace, local_name))
    }

    /// The one element right below it that is called so; nothing if there is none, or more than one.
    #[must_use]
    pub fn only_child(self, namespace: &str, local_name: &str) -> Option<Self> {
        let mut found = self.children_named(namespace, local_name);
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }

    /// The element that holds it; nothing for the outermost.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let id = self.document.parent(self.id)?;
        self.document.element(id).map(|_| Self { document: self.document, id })
    }

    /// All elements below it, at any depth.
    pub fn descendants(self) -> impl Iterator<Item = Self> {
        let document = self.document;
        let nodes = document.descendants(self.id).into_iter();
        nodes.filter(move |id| *id != self.id && document.element(*id).is_some()).map(move |id| Self { document, id })
    }

    /// Its text, whole, whatever comments cut it into pieces; nothing if there are elements in it.
    #[must_use]
    pub fn text(self) -> Option<String> {
        let mut text = String::new();
        for id in self.document.children(self.id) {
            match self.document.node_kind(id)? {
                NodeKind::Text(piece) | NodeKind::CData(piece) => text.push_str(piece),
                NodeKind::Comment(_) => {}
                _ => return None,
            }
        }
        Some(text)
    }

    /// Whether nothing but one piece of text is in it.
    #[must_use]
    pub fn is_plain_text(self) -> bool {
        let nodes = self.document.children(self.id);
        matches!(nodes.as_slice(), [one] if matches!(self.document.node_kind(*one), Some(NodeKind::Text(_))))
    }

    /// Whether nothing but elements, and blanks between them, is in it.
    #[must_use]
    pub fn is_plain_structure(self) -> bool {
        self.document.children(self.id).into_iter().all(|id| match self.document.node_kind(id) {
            Some(NodeKind::Element(_)) => true,
            Some(NodeKind::Text(text)) => text.bytes().all(|byte| byte.is_ascii_whitespace()),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read() {
        let text = "\u{feff}<?xml version=\"1.0\"?><a:r xmlns:a=\"urn:a\" x=\"1\" a:x=\"2\"><a:c>al<!-- - -->i&#x63;<![CDATA[e]]></a:c>\
                    <c/><a:c><b/></a:c></a:r>";
        let document = read(text).unwrap();
        let root = Element::root(&document).unwrap();
        assert!(root.is("urn:a", "r") && root.parent().is_none());
        assert_eq!((root.attribute("x"), root.attribute_of("urn:a", "x")), (Some("1"), Some("2")));
        assert_eq!(root.children().count(), 3);
        assert_eq!(root.descendants().count(), 4);
        let first = root.children_named("urn:a", "c").next().unwrap();
        assert_eq!(first.text().as_deref(), Some("alice"));
        assert!(!first.is_plain_text());
        assert!(root.only_child("urn:a", "c").is_none());
        let last = root.children_named("urn:a", "c").last().unwrap();
        assert_eq!(last.text(), None);
        assert_eq!(last.parent().unwrap().id(), root.id());
        assert!(root.is_plain_structure() && last.is_plain_structure() && !first.is_plain_structure());
    }

    #[test]
    fn what_attacks_on_readers_are_made_of_is_refused() {
        for (text, why) in [
            ("<!DOCTYPE r><r/>", Malformed::Declaration),
            ("<!doctype r><r/>", Malformed::Declaration),
            ("<!DOCTYPE r [<!ENTITY e \"x\">]><r>&e;</r>", Malformed::Declaration),
            ("<r><!ENTITY e \"x\"></r>", Malformed::Declaration),
            ("<r><!-- <!DOCTYPE r> --></r>", Malformed::Declaration),
            ("<?xml version=\"1.0\"?><?xml-stylesheet href=\"x\"?><r/>", Malformed::Instruction),
            ("<r><?php ?></r>", Malformed::Instruction),
            ("<?xmlx ?><r/>", Malformed::Instruction),
            ("<r>&e;</r>", Malformed::IllFormed),
            ("<r>&#0;</r>", Malformed::IllFormed),
            ("<r/><r/>", Malformed::IllFormed),
            ("<r a=\"1\" a=\"2\"/>", Malformed::IllFormed),
            ("<r xmlns:a=\"u\" xmlns:b=\"u\" a:x=\"1\" b:x=\"2\"/>", Malformed::IllFormed),
            ("<p:r/>", Malformed::IllFormed),
            ("<r>", Malformed::IllFormed),
            ("<r/>x", Malformed::IllFormed),
            ("", Malformed::IllFormed),
        ] {
            assert_eq!(read(text).map(drop).unwrap_err(), why, "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(&nested(48)).is_ok());
        assert_eq!(read(&nested(49)).map(drop).unwrap_err(), Malformed::IllFormed);
        let wide = |count: usize| format!("<a{}/>", (0..count).map(|n| format!(" a{n}=''")).collect::<String>());
        assert!(read(&wide(300)).is_ok());
        for many in [301, 70_000] {
            assert_eq!(read(&wide(many)).map(drop).unwrap_err(), Malformed::Attributes);
        }
    }
}
