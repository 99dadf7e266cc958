//! A TOML document read field by field: each has a line, and what is wrong is collected rather than the end of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config;

/// The document's text, and what was found wrong in it.
#[derive(Debug)]
pub(super) struct Document<'a> {
    source: &'a str,
    problems: RefCell<Vec<(usize, String)>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, problems: RefCell::default() }
    }

    /// The whole document; nothing if it is no TOML, which is then a problem.
    pub(super) fn parse(&self) -> Option<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.source);
        for error in &errors {
            self.problem(error.span().map_or(0, |span| span.start), error.message());
        }
        errors.is_empty().then(|| table.into_inner())
    }

    /// The document as a section without a name.
    pub(super) fn root<'d>(&'d self, table: &'d DeTable<'a>) -> Section<'d, 'a> {
        Section { document: self, name: String::new(), at: 0, table, known: RefCell::default() }
    }

    /// Every problem, by line.
    pub(super) fn into_problems(self) -> Vec<String> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(line, _)| *line);
        problems.into_iter().map(|(line, problem)| format!("line {line}: {problem}")).collect()
    }

    fn line(&self, at: usize) -> usize {
        1 + self.source.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn problem(&self, at: usize, problem: &str) {
        self.problems.borrow_mut().push((self.line(at), problem.to_owned()));
    }
}

/// A table of the document. It remembers which fields were asked for: all others are unknown.
#[derive(Debug)]
pub(super) struct Section<'d, 'a> {
    document: &'d Document<'a>,
    name: String,
    at: usize,
    table: &'d DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
}

impl<'d, 'a> Section<'d, 'a> {
    /// The line on which it begins.
    pub(super) fn line(&self) -> usize {
        self.document.line(self.at)
    }

    /// Notes what is wrong with it, or with one of its fields.
    pub(super) fn problem(&self, field: &str, problem: &str) {
        let key = self.table.keys().find(|key| key.get_ref() == field);
        let at = key.map_or(self.at, |key| key.span().start);
        self.document.problem(at, &format!("{}: {problem}", self.path(field)));
    }

    fn path(&self, field: &str) -> String {
        match (self.name.as_str(), field) {
            ("", field) => field.to_owned(),
            (name, "") => name.to_owned(),
            (name, field) => format!("{name}.{field}"),
        }
    }

    fn get(&self, field: &'static str) -> Option<&'d Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(field);
        self.table.get(field)
    }

    fn expect<T>(&self, field: &'static str, what: &str, read: impl Fn(&'d DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.get(field)?;
        let read = read(value.get_ref());
        if read.is_none() {
            self.problem(field, &format!("must be {what}"));
        }
        read
    }

    /// A field that is text.
    pub(super) fn text(&self, field: &'static str) -> Option<String> {
        self.expect(field, "text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// A field that is text and must be there.
    pub(super) fn needed_text(&self, field: &'static str) -> Option<String> {
        self.needed(field).then(|| self.text(field)).flatten()
    }

    /// Whether a field is there that must be.
    pub(super) fn needed(&self, field: &'static str) -> bool {
        let there = self.has(field);
        if !there {
            self.problem(field, "is needed");
        }
        there
    }

    /// A field whose text is one of few, which `what` tells.
    pub(super) fn choice<T: DeserializeOwned>(&self, field: &'static str, what: &str) -> Option<T> {
        self.expect(field, what, |value| {
            let text: StrDeserializer<'_, serde::de::value::Error> = value.as_str()?.into_deserializer();
            T::deserialize(text).ok()
        })
    }

    /// The same, and it must be there.
    pub(super) fn needed_choice<T: DeserializeOwned>(&self, field: &'static str, what: &str) -> Option<T> {
        self.needed(field).then(|| self.choice(field, what)).flatten()
    }

    /// A field that is true or false.
    pub(super) fn flag(&self, field: &'static str) -> Option<bool> {
        self.expect(field, "true or false", DeValue::as_bool)
    }

    /// A field that is a whole number.
    pub(super) fn number(&self, field: &'static str) -> Option<i32> {
        self.expect(field, "a whole number", |value| {
            value.as_integer().and_then(|number| i32::from_str_radix(number.as_str(), number.radix()).ok())
        })
    }

    /// A field that is a list of texts.
    pub(super) fn texts(&self, field: &'static str) -> Option<Vec<String>> {
        self.expect(field, "a list of texts in quotes", |value| {
            value.as_array()?.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    /// The same, and it must be there.
    pub(super) fn needed_texts(&self, field: &'static str) -> Option<Vec<String>> {
        self.needed(field).then(|| self.texts(field)).flatten()
    }

    /// A field that is a table of texts.
    pub(super) fn text_map(&self, field: &'static str) -> Option<BTreeMap<String, String>> {
        self.expect(field, "a table of texts in quotes", |value| {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'a>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                Some((key.to_string(), value.get_ref().as_str()?.to_owned()))
            };
            value.as_table()?.iter().map(entry).collect()
        })
    }

    /// The sections of a field that is a list of tables.
    pub(super) fn sections(&self, field: &'static str) -> Vec<Section<'d, 'a>> {
        let what = format!("a list of tables: [[{}]]", self.path(field));
        let section = |value: &'d Spanned<_>| self.inner(field, value.span().start, value.get_ref());
        let sections = self.expect(field, &what, |value| value.as_array()?.iter().map(section).collect());
        sections.unwrap_or_default()
    }

    /// The section of a field that is a table.
    pub(super) fn section(&self, field: &'static str) -> Option<Section<'d, 'a>> {
        let at = self.get(field)?.span().start;
        self.expect(field, &format!("a table: [{}]", self.path(field)), |value| self.inner(field, at, value))
    }

    fn inner(&self, field: &str, at: usize, value: &'d DeValue<'a>) -> Option<Section<'d, 'a>> {
        let (document, name) = (self.document, self.path(field));
        Some(Section { document, name, at, table: value.as_table()?, known: RefCell::default() })
    }

    /// Whether a field is there, be it right or wrong.
    pub(super) fn has(&self, field: &'static str) -> bool {
        self.get(field).is_some()
    }

    /// Refuses every field that was not asked for.
    pub(super) fn end(&self) {
        let known = self.known.borrow();
        let prefix = self.path("");
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}.") };
        for key in self.table.keys().filter(|key| !known.iter().any(|known| *known == key.get_ref().as_ref())) {
            let problem = config::unknown(key.get_ref(), &prefix, known.iter().copied());
            self.document.problem(key.span().start, &problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str, read: impl Fn(&Section<'_, '_>)) -> Vec<String> {
        let document = Document::new(source);
        if let Some(table) = document.parse() {
            read(&document.root(&table));
        }
        document.into_problems()
    }

    #[test]
    fn every_problem_has_its_line() {
        let source = "a = 1\n\n[[b]]\nc = 'x'\nd = 'x'\n[[b]]\nname = ['x', 2]\n";
        let found = problems(source, |root| {
            root.text("a");
            for section in root.sections("b") {
                section.needed_text("c");
                section.texts("name");
                section.end();
            }
            root.end();
        });
        assert_eq!(
            found,
            [
                "line 1: a: must be text in quotes",
                "line 5: b.d: no such field; did you mean b.c?",
                "line 6: b.c: is needed",
                "line 7: b.name: must be a list of texts in quotes",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let found = problems("a = 1\nb = \nc = 'x", |_| {});
        assert!(found.len() == 2 && found[0].starts_with("line 2: ") && found[1].starts_with("line 3: "), "{found:?}");
    }
}
