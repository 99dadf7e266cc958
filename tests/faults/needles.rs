//! Secrets to be searched for, each in every form in which it could have been written down by mistake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

/// Shorter ones would be found by chance.
const SHORTEST: usize = 12;

/// The secrets, by what they are.
#[derive(Default)]
pub struct Needles {
    secrets: BTreeMap<&'static str, Vec<Vec<u8>>>,
}

/// The forms of one secret.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes()];
    // Base64 of something that has the secret in it: at each of the three places in a group, without the groups at the ends
    // that hold neighbours, too.
    for skip in 0..3 {
        let inner = secret.get(skip..).unwrap_or_default();
        let inner = &inner[..inner.len() / 3 * 3];
        for encoded in [STANDARD.encode(inner), URL_SAFE.encode(inner)] {
            forms.push(encoded.into_bytes());
        }
    }
    // What PEM, JSON and forms make of a text.
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.push(text.replace('/', "\\/").into_bytes());
        forms.push(form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes());
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

impl Needles {
    pub fn add(&mut self, what: &'static str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref().to_vec();
        assert!(secret.len() >= SHORTEST, "{what} is too short to be searched for");
        let known = self.secrets.entry(what).or_default();
        if !known.contains(&secret) {
            known.push(secret);
        }
    }

    /// A signed token: as it is, and its signature alone, as text and as bytes.
    pub fn add_token(&mut self, what: &'static str, token: &str) {
        let (_, signature) = token.rsplit_once('.').unwrap();
        self.add(what, token);
        self.add(what, signature);
        self.add(what, URL_SAFE_NO_PAD.decode(signature).unwrap());
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.secrets.iter().map(|(what, secrets)| (*what, secrets.len()))
    }

    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.secrets.iter().flat_map(|(what, secrets)| secrets.iter().map(|secret| (*what, secret.as_slice())))
    }

    /// What finds any of them.
    pub fn search(&self) -> Search {
        let mut starts = vec![false; 1 << 24];
        let mut by_head: HashMap<Vec<u8>, Vec<Form>> = HashMap::new();
        for (secret, (what, bytes)) in self.secrets().enumerate() {
            for form in forms(bytes) {
                starts[number(&form)] = true;
                by_head.entry(form[..SHORTEST].to_vec()).or_default().push(Form { secret, what, bytes: form });
            }
        }
        Search { starts, by_head }
    }
}

/// The first three bytes as a number.
fn number(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

struct Form {
    /// The place of its secret among all.
    secret: usize,
    what: &'static str,
    bytes: Vec<u8>,
}

static EMPTY: [u8; 4096] = [0; 4096];

/// A search for thousands of texts at once: where three bytes could begin one, it is compared.
pub struct Search {
    starts: Vec<bool>,
    by_head: HashMap<Vec<u8>, Vec<Form>>,
}

impl Search {
    fn each<'a>(&'a self, bytes: &[u8], mut found: impl FnMut(usize, &'a Form)) {
        // Of megabytes, in an unoptimised build: no index is computed but where something could begin, and what is empty,
        // as most of the WAL, is passed over.
        let mut last_three = 0;
        let mut look = |range: Range<usize>| {
            for (end, byte) in range.clone().zip(&bytes[range]) {
                last_three = (last_three << 8 | usize::from(*byte)) & 0xff_ffff;
                if self.starts[last_three] && end >= 2 {
                    let rest = &bytes[end - 2..];
                    let forms = rest.get(..SHORTEST).and_then(|head| self.by_head.get(head));
                    for form in forms.into_iter().flatten().filter(|form| rest.starts_with(&form.bytes)) {
                        found(end - 2, form);
                    }
                }
            }
        };
        for start in (0..bytes.len()).step_by(EMPTY.len()) {
            let end = (start + EMPTY.len()).min(bytes.len());
            let empty = bytes[start..end] == EMPTY[..end - start] && !self.starts[0];
            // Something may begin before it, and go on in it.
            look(start..if empty { end.min(start + 2) } else { end });
        }
    }

    /// What is found in these bytes, with what stands around it.
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        self.each(bytes, |at, form| {
            let around = &bytes[at.saturating_sub(60)..(at + form.bytes.len() + 20).min(bytes.len())];
            all.push(format!("{}: {}", form.what, String::from_utf8_lossy(around)));
        });
        all
    }

    /// Which of the secrets are found, each as its number.
    pub fn hits(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let mut secrets = BTreeSet::new();
        self.each(bytes, |_, form| {
            secrets.insert(form.secret);
        });
        secrets
    }
}

/// Every file below a folder, with its bytes.
pub fn files(folder: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, each);
        } else if path.is_file() {
            each(&path, &std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_secret_is_found_in_each_of_its_forms_and_nothing_else_is() {
    let mut needles = Needles::default();
    let secret = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    needles.add("a secret", secret);
    needles.add("raw bytes", [200_u8, 1, 255, 0, 13, 7, 99, 128, 45, 46, 47, 48, 251, 252, 253, 254]);
    let search = needles.search();
    for before in ["", "x", "xy", "xyz"] {
        let around = [before.as_bytes(), secret, b"tail"].concat();
        for text in [
            around.clone(),
            hex::encode(&around).into_bytes(),
            hex::encode_upper(&around).into_bytes(),
            STANDARD.encode(&around).into_bytes(),
            URL_SAFE.encode(&around).into_bytes(),
            form_urlencoded::byte_serialize(&around).collect::<String>().into_bytes(),
            String::from_utf8(around).unwrap().replace('/', "\\/").into_bytes(),
        ] {
            assert!(!search.find(&text).is_empty(), "{}", String::from_utf8_lossy(&text));
        }
    }
    // In emptiness, at its edges and across them.
    for length in (0..12).chain(4_070..4_120).chain(8_180..8_200) {
        let empty = vec![0; length];
        assert_eq!(search.find(&[&empty[..], secret, &[0; 9_000]].concat()).len(), 1, "after {length} zeros");
    }
    let mut zeros = Needles::default();
    zeros.add("with zeros", [7_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    zeros.add("after zeros", [0_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
    for (_, bytes) in zeros.secrets() {
        for length in [0, 1, 4_094, 4_095, 4_096, 9_000] {
            assert!(!zeros.search().find(&[&vec![0; length][..], bytes, &[0; 9_000]].concat()).is_empty());
        }
    }
    assert!(search.find(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEX").is_empty());
    assert!(search.find(&[200, 1, 255, 0, 13, 7, 99, 128, 45, 46, 47, 48, 251, 252, 253, 253]).is_empty());
}
