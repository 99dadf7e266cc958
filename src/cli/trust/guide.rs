//! A consumer's configuration as data, and how it is printed: a script to paste, or JSON.

use serde::Serialize;

use super::quote;

/// Whether anybody has seen it work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// This project's tests ran it against this release of the consumer.
    Executed(&'static str),
    /// It was held against the consumer's documentation on this day, and not run.
    Reviewed(&'static str),
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Executed(_) => "executed",
            Self::Reviewed(_) => "reviewed",
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::Executed(release) => format!("executed: this project's tests run it against {release}"),
            Self::Reviewed(day) => {
                format!("reviewed: held against the consumer's documentation on {day}; not run by this project's tests")
            }
        }
    }
}

/// What the text output is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// A shell script, which writes the files.
    Shell,
    /// Statements of SQL.
    Sql,
    /// One file of YAML, the commands in its comments.
    Yaml,
}

impl Language {
    fn comment(self) -> &'static str {
        match self {
            Self::Shell | Self::Yaml => "#",
            Self::Sql => "--",
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug)]
enum Step {
    File(File),
    Command(Command),
}

/// A file that the consumer or a command reads.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    name: &'static str,
    about: String,
    content: String,
}

/// A command, or a statement, to run as it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Command {
    about: String,
    command: String,
}

/// Where this installation and the consumer do not fit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Warning {
    message: String,
    /// What mends it, where a command does.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// What only the user knows, and where it stands.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Placeholder {
    name: &'static str,
    meaning: &'static str,
}

/// Every placeholder that a guide may hold: what it is to be replaced with.
const PLACEHOLDERS: [Placeholder; 16] = [
    Placeholder { name: "REPLACE_AWS_ACCOUNT_ID", meaning: "the 12 digits of your AWS account" },
    Placeholder { name: "REPLACE_BUCKET", meaning: "the bucket that users may use" },
    Placeholder { name: "REPLACE_CLUSTER_ROLE", meaning: "the ClusterRole that users get, such as view" },
    Placeholder { name: "REPLACE_ENTRA_APP_ID", meaning: "the application (client) id of the Entra app registration" },
    Placeholder { name: "REPLACE_ENTRA_TENANT_ID", meaning: "the id of the Entra tenant" },
    Placeholder { name: "REPLACE_GCP_PROJECT_ID", meaning: "the id of the Google Cloud project" },
    Placeholder { name: "REPLACE_GCP_PROJECT_NUMBER", meaning: "the number of the Google Cloud project" },
    Placeholder {
        name: "REPLACE_GCP_ROLE",
        meaning: "the IAM role that users get, such as roles/storage.objectViewer",
    },
    Placeholder { name: "REPLACE_HOST", meaning: "a host name that the internet knows" },
    Placeholder {
        name: "REPLACE_IDENTITY_ID",
        meaning: "the identity id (`sub`) of the one user that is let in; --identity fills it in",
    },
    Placeholder { name: "REPLACE_MINIO_ENDPOINT", meaning: "the URL of MinIO" },
    Placeholder { name: "REPLACE_MINIO_POLICY", meaning: "the MinIO policy that users get, such as readonly" },
    Placeholder { name: "REPLACE_MINIO_ROLE_ARN", meaning: "the RoleARN that MinIO prints when it starts" },
    Placeholder { name: "REPLACE_NOMAD_POLICY", meaning: "the Nomad ACL policy that users get" },
    Placeholder { name: "REPLACE_RGW_ENDPOINT", meaning: "the URL of the RADOS gateway" },
    Placeholder { name: "REPLACE_VAULT_POLICY", meaning: "the Vault policy that users get" },
];

/// A file of the user's that holds a token.
pub(super) const TOKEN_FILE: &str = "token.jwt";

/// A consumer's configuration.
#[derive(Clone, Debug)]
pub(super) struct Guide {
    title: &'static str,
    status: Status,
    language: Language,
    documentation: &'static [&'static str],
    steps: Vec<Step>,
    warnings: Vec<Warning>,
}

/// The same as JSON shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    consumer: &'a str,
    status: &'a str,
    status_text: String,
    documentation: &'a [&'a str],
    identity_pool_id: &'a str,
    issuer: &'a str,
    files: Vec<&'a File>,
    commands: Vec<&'a Command>,
    warnings: &'a [Warning],
    placeholders: Vec<Placeholder>,
}

impl Guide {
    pub(super) fn new(
        title: &'static str,
        status: Status,
        language: Language,
        documentation: &'static [&'static str],
    ) -> Self {
        Self { title, status, language, documentation, steps: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a file. Its content ends in a line end, and no line of it is the mark of [`HERE`].
    pub(super) fn file(&mut self, name: &'static str, about: impl Into<String>, content: String) {
        self.steps.push(Step::File(File { name, about: about.into(), content }));
    }

    /// The same, of JSON.
    pub(super) fn json_file(&mut self, name: &'static str, about: impl Into<String>, content: &impl Serialize) {
        // Only text and lists of text go in: it cannot fail.
        self.file(name, about, serde_json::to_string_pretty(content).unwrap_or_default() + "\n");
    }

    /// Adds a command.
    pub(super) fn command(&mut self, about: impl Into<String>, command: impl Into<String>) {
        self.steps.push(Step::Command(Command { about: about.into(), command: command.into() }));
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(Warning { message: message.into(), command: None });
    }

    /// Adds a warning, with the command that mends what it is about.
    pub(super) fn warn_with(&mut self, message: impl Into<String>, command: impl Into<String>) {
        self.warnings.push(Warning { message: message.into(), command: Some(command.into()) });
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        self.steps.iter().filter_map(|step| match step {
            Step::File(file) => Some(file),
            Step::Command(_) => None,
        })
    }

    fn commands(&self) -> impl Iterator<Item = &Command> {
        self.steps.iter().filter_map(|step| match step {
            Step::Command(command) => Some(command),
            Step::File(_) => None,
        })
    }

    fn placeholders(&self) -> Vec<Placeholder> {
        let texts: Vec<&str> = self
            .files()
            .map(|file| file.content.as_str())
            .chain(self.commands().map(|command| command.command.as_str()))
            .chain(self.warnings.iter().filter_map(|warning| warning.command.as_deref()))
            .collect();
        let is_there = |placeholder: &Placeholder| texts.iter().any(|text| holds(text, placeholder.name));
        PLACEHOLDERS.into_iter().filter(is_there).collect()
    }

    pub(super) fn shown<'a>(&'a self, consumer: &'a str, pool: &'a str, issuer: &'a str) -> Shown<'a> {
        Shown {
            consumer,
            status: self.status.word(),
            status_text: self.status.sentence(),
            documentation: self.documentation,
            identity_pool_id: pool,
            issuer,
            files: self.files().collect(),
            commands: self.commands().collect(),
            warnings: &self.warnings,
            placeholders: self.placeholders(),
        }
    }

    /// The text to paste: comments tell what it is, what does not fit, and what to replace.
    pub(super) fn text(&self, pool: &str, issuer: &str) -> String {
        let mut text = Text { comment: self.language.comment(), text: String::new() };
        text.say(&self.status.sentence());
        text.say(&format!("{}, to trust the identity pool {pool} of {issuer}.", self.title));
        for page in self.documentation {
            text.say(&format!("Documentation: {page}"));
        }
        for warning in &self.warnings {
            text.gap();
            text.say(&format!("WARNING: {}", warning.message));
            if let Some(command) = &warning.command {
                text.line(&format!("{}     {}", text.comment, quote::comment(command)));
            }
        }
        for step in &self.steps {
            text.line("");
            match (step, self.language) {
                (Step::File(file), Language::Shell) => {
                    text.say(&format!("{}: {}", file.name, file.about));
                    text.line(&format!("cat > {} <<'{HERE}'\n{}{HERE}", quote::shell(file.name), file.content));
                }
                (Step::File(file), _) => {
                    text.say(&format!("{}: {}", file.name, file.about));
                    text.text.push_str(&file.content);
                }
                (Step::Command(command), Language::Yaml) => {
                    text.say(&command.about);
                    for line in command.command.lines() {
                        text.line(&format!("{}     {}", text.comment, quote::comment(line)));
                    }
                }
                (Step::Command(command), _) => {
                    text.say(&command.about);
                    text.line(&command.command);
                }
            }
        }
        let placeholders = self.placeholders();
        if !placeholders.is_empty() {
            text.line("");
            text.say("Replace before use:");
            for placeholder in placeholders {
                text.say(&format!("  {}: {}", placeholder.name, placeholder.meaning));
            }
        }
        text.text
    }
}

/// The mark that ends a file in a script. It is quoted where the file begins, so that nothing in the file is expanded.
const HERE: &str = "SYMBOLON_END";

/// Whether a text holds a placeholder, and not only a longer one that begins so.
fn holds(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let rest = text.get(at + name.len()..).unwrap_or_default();
        !rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
    })
}

/// A text in the making.
struct Text {
    comment: &'static str,
    text: String,
}

impl Text {
    const WIDTH: usize = 116;

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn gap(&mut self) {
        self.line(self.comment);
    }

    /// A sentence in comments, as many lines as it takes.
    fn say(&mut self, sentence: &str) {
        let sentence = quote::comment(sentence);
        let indent = if sentence.starts_with(' ') { "   " } else { " " };
        let mut line = format!("{}{indent}", self.comment).trim_end().to_owned();
        let empty = line.len();
        for word in sentence.split(' ').filter(|word| !word.is_empty()) {
            if line.len() > empty && line.len() + 1 + word.len() > Self::WIDTH {
                self.line(&line);
                line = self.comment.to_owned();
            }
            line.push_str(if line == self.comment { indent } else { " " });
            line.push_str(word);
        }
        self.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_broken_between_words_and_stays_in_comments() {
        let mut text = Text { comment: "--", text: String::new() };
        text.say(&format!("{} a\nb {}", "word ".repeat(40), "x".repeat(200)));
        text.say("  NAME: meaning");
        assert!(
            text.text.lines().count() == 4 && text.text.lines().all(|line| line.starts_with("-- ")),
            "{}",
            text.text
        );
        assert!(text.text.contains(" a?b"), "{}", text.text);
        assert!(text.text.ends_with("\n--   NAME: meaning\n"));
    }

    #[test]
    fn a_placeholder_is_found_as_a_whole_word() {
        assert!(holds("a:REPLACE_GCP_PROJECT_ID/b", "REPLACE_GCP_PROJECT_ID"));
        assert!(!holds("REPLACE_GCP_ROLE_X", "REPLACE_GCP_ROLE") && !holds("REPLACE_GCP_ROLES", "REPLACE_GCP_ROLE"));
    }
}
