//! Patterns with `*` (any characters, also none) and `?` (one character), and those over the six parts of an ARN.

/// A pattern, ready to be held against texts.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    /// Whether the case of ASCII letters does not matter; the pieces are then in small letters.
    any_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    AnyMany,
}

impl Pattern {
    /// A pattern for which the case of letters matters.
    pub(super) fn new(text: &str) -> Self {
        let mut pieces: Vec<Piece> = text
            .chars()
            .map(|c| match c {
                '*' => Piece::AnyMany,
                '?' => Piece::AnyOne,
                c => Piece::One(c),
            })
            .collect();
        pieces.dedup_by(|a, b| *a == Piece::AnyMany && *b == Piece::AnyMany);
        Self { pieces, any_case: false }
    }

    /// A pattern for which the case of ASCII letters does not matter.
    pub(super) fn in_any_case(text: &str) -> Self {
        Self { any_case: true, ..Self::new(&text.to_ascii_lowercase()) }
    }

    /// Whether it has no wildcard, so that exactly one text fits.
    pub(super) fn is_literal(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::One(_)))
    }

    /// Whether the whole of a text fits. In the worst case as many steps as both lengths multiplied: after a mismatch
    /// only the last `*` takes one more character, since what an earlier one might take instead changes nothing.
    pub(super) fn fits(&self, text: &str) -> bool {
        let mut at = 0;
        let mut rest = text.chars();
        // Behind the last `*`: the piece there, and the text from where it was tried last.
        let mut star = None;
        loop {
            let before = rest.clone();
            match (self.pieces.get(at), rest.next()) {
                (None, None) => return true,
                (Some(Piece::AnyMany), _) => {
                    at += 1;
                    if at == self.pieces.len() {
                        return true;
                    }
                    star = Some((at, before.clone()));
                    rest = before;
                }
                (Some(_), None) => return false,
                (Some(Piece::AnyOne), Some(_)) => at += 1,
                (Some(Piece::One(wanted)), Some(c)) if *wanted == self.cased(c) => at += 1,
                (Some(Piece::One(_)) | None, Some(_)) => {
                    let Some((behind, from)) = &mut star else { return false };
                    from.next();
                    (at, rest) = (*behind, from.clone());
                }
            }
        }
    }

    fn cased(&self, c: char) -> char {
        if self.any_case { c.to_ascii_lowercase() } else { c }
    }
}

/// A pattern of an ARN: each of its six parts by itself, so that no wildcard reaches over a colon
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN>).
#[derive(Clone, Debug)]
pub(super) struct ArnPattern([Pattern; 6]);

impl ArnPattern {
    /// The pattern; nothing if the text is not `arn:` and five more parts. The last part may hold colons.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<Pattern> = arn_parts(text)?.map(Pattern::new).collect();
        parts.try_into().ok().map(Self)
    }

    /// Whether an ARN fits.
    pub(super) fn fits(&self, arn: &str) -> bool {
        let Some(parts) = arn_parts(arn) else { return false };
        let parts: Vec<&str> = parts.collect();
        parts.len() == self.0.len() && self.0.iter().zip(parts).all(|(pattern, part)| pattern.fits(part))
    }
}

fn arn_parts(text: &str) -> Option<impl Iterator<Item = &str>> {
    text.starts_with("arn:").then(|| text.splitn(6, ':'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, without a thought for speed.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| by_definition(rest, &text[taken..])),
            Some((one, rest)) => {
                text.split_first().is_some_and(|(c, behind)| (*one == '?' || one == c) && by_definition(rest, behind))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_pattern_fits_what_its_definition_says(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).fits(&text), by_definition(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn the_whole_text_must_fit() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*c*d", "acbcxd", true),
            ("*:Get*", "s:GetId", true),
            ("*aab", "aaaab", true),
            ("A", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
        assert!(Pattern::in_any_case("s:GET*").fits("S:getId"));
        assert!(!Pattern::in_any_case("k").fits("\u{212a}"), "only ASCII letters have a case here");
    }

    #[test]
    fn a_hostile_pattern_is_held_against_a_long_text_in_little_time() {
        let pattern = Pattern::new(&format!("{}b", "*a".repeat(200)));
        assert!(!pattern.fits(&"a".repeat(10_000)));
        assert!(pattern.fits(&format!("{}b", "a".repeat(10_000))));
    }

    #[test]
    fn no_wildcard_reaches_over_a_colon_of_an_arn() {
        let fits = |pattern: &str, arn: &str| ArnPattern::parse(pattern).unwrap().fits(arn);
        assert!(fits("arn:aws:iam::*:role/*", "arn:aws:iam::111122223333:role/a:b"));
        assert!(fits("arn:*:iam::111122223333:role/?", "arn:aws:iam::111122223333:role/a"));
        assert!(!fits("arn:aws:*:role/a:*:*", "arn:aws:iam::111122223333:role/a"));
        assert!(!fits("arn:aws:iam::*:role/*", "arn:aws:iam::111122223333"));
        assert!(!fits("arn:aws:iam::*:role/*", "no:aws:iam::111122223333:role/a"));
        for text in ["*", "arn:aws:iam::1", "arn", "", "urn:a:b:c:d:e"] {
            assert!(ArnPattern::parse(text).is_none(), "{text}");
        }
    }
}
