//! Values inside of what is to be pasted: whatever they hold, they stay values.

/// A word of a POSIX shell.
pub(super) fn shell(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_%+=:,./@-".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// A string of Snowflake's SQL, where a backslash escapes, too
/// (<https://docs.snowflake.com/en/sql-reference/data-types-text>).
pub(super) fn sql(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', "''"))
}

/// A name of Snowflake's SQL as it would be without its quotes: those fold it to upper case.
pub(super) fn sql_name(value: &str) -> String {
    format!("\"{}\"", value.to_ascii_uppercase().replace('"', "\"\""))
}

/// A string of JSON, which is a double-quoted scalar of YAML, too.
pub(super) fn json(value: &str) -> String {
    serde_json::Value::from(value).to_string().replace('\u{7f}', r"\u007f")
}

/// A value within a comment: it must not end the line.
pub(super) fn comment(value: &str) -> String {
    value.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What could break out of somewhere.
    const ODD: [&str; 12] = [
        "plain",
        "",
        "a b",
        "it's",
        "$(id)",
        "`id`",
        "a\"b\\c",
        "a\nb",
        "; rm -rf x #",
        "--option",
        "*",
        "' OR 1=1; --",
    ];

    #[test]
    fn a_shell_reads_back_each_value() {
        for value in ODD {
            let script = format!("printf %s {}", shell(value));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success(), "{value:?}: {output:?}");
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
        assert_eq!(shell("us-east-1:6d03"), "us-east-1:6d03");
    }

    #[test]
    fn json_and_yaml_read_back_each_value() {
        for value in ODD.into_iter().chain(["é\u{7f}", ": #", "- x", "&a *a", "yes", "\u{2028}"]) {
            assert_eq!(serde_json::from_str::<String>(&json(value)).unwrap(), value);
            assert_eq!(serde_saphyr::from_str::<String>(&json(value)).unwrap(), value);
        }
    }

    #[test]
    fn sql_keeps_quotes_and_backslashes_within_the_string() {
        assert_eq!(sql("it's"), "'it''s'");
        assert_eq!(sql(r"\' OR 1=1"), r"'\\'' OR 1=1'");
        assert_eq!(sql_name("a\"b"), "\"A\"\"B\"");
        for value in ODD {
            // Reading as Snowflake does: doubled quotes and escaped characters are one character of the string.
            let quoted = sql(value);
            let mut inner = quoted[1..quoted.len() - 1].chars();
            let mut read = String::new();
            while let Some(c) = inner.next() {
                match c {
                    '\\' => read.extend(inner.next()),
                    '\'' => {
                        assert_eq!(inner.next(), Some('\''), "{quoted} ends early");
                        read.push('\'');
                    }
                    c => read.push(c),
                }
            }
            assert_eq!(read, value);
        }
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        assert_eq!(comment("a\nb\rc\u{85}d\u{2028}e"), "a?b?c?d?e");
    }
}
