//! What a test of faults measured: printed, and in the whole form kept for `docs/reliability.md`.

use std::fmt::{Display, Write as _};
use std::path::PathBuf;

/// Where the whole form keeps its figures; without it tests are in their short form.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the product")]
fn folder() -> Option<PathBuf> {
    // Tests run in the folder of the crate.
    std::env::var_os("SYMBOLON_FAULTS").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether the tests are in their whole form.
pub fn is_whole() -> bool {
    folder().is_some()
}

/// A number that is smaller in the short form.
pub fn size<T>(short: T, whole: T) -> T {
    if is_whole() { whole } else { short }
}

/// The figures of one table.
pub struct Figures {
    /// What orders the tables in the document: a number, and a word.
    name: &'static str,
    title: &'static str,
    rows: String,
}

impl Figures {
    /// An empty table. Its name, such as `2-crash-brokers`, is unique and puts it in order.
    pub fn of(name: &'static str, title: &'static str) -> Self {
        Self { name, title, rows: String::new() }
    }

    /// One line: what was measured, what is promised, and what it came to. That the promise is kept the test asserts itself.
    pub fn row(&mut self, measure: &str, promise: &str, measured: impl Display) {
        writeln!(self.rows, "| {measure} | {promise} | {measured} |").unwrap();
    }

    /// Prints the table, and keeps it in the whole form. Call it when every assertion has held.
    pub fn publish(self) {
        println!("\n{}", self.table());
        self.keep();
    }

    fn table(&self) -> String {
        format!("### {}\n\n| Measure | Promise | Measured |\n|---|---|---|\n{}", self.title, self.rows)
    }

    /// Keeps the table in the whole form, in place of an earlier one: for figures that grow with every test.
    pub fn keep(self) {
        if let Some(folder) = folder() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(self.name).with_extension("md"), self.table()).unwrap();
        }
    }
}
