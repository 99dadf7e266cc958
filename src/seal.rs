//! Sealing of secrets at rest: AES-256-GCM under a ring of master keys, each blob bound to its place in the database.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ids;

const VERSION: u8 = 1;
const DOMAIN: &str = "symbolon.seal.1";
const KEY_LEN: usize = 32;
const ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// The place a secret lives at. A blob moved to another table, column, row or tenant does not open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The primary key of the row, as text.
    pub row: &'a str,
    /// The tenant, or the issuer, that the row belongs to.
    pub tenant: &'a str,
}

/// The ring of master keys: the first seals, any opens, each found by the id in front of the blob.
pub struct Seal {
    keys: Vec<MasterKey>,
}

struct MasterKey {
    id: [u8; ID_LEN],
    aead: LessSafeKey,
    derivation: aws_lc_rs::hkdf::Prk,
}

/// Why a list of master keys was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMasterKey {
    /// The list is empty.
    #[error("no master key is given; make one with `symbolon master-key generate`")]
    None,
    /// An entry is not 32 bytes of base64.
    #[error("master key number {0} is not 32 bytes in base64; make one with `symbolon master-key generate`")]
    Malformed(usize),
    /// An entry stands twice.
    #[error("master key number {0} is given twice")]
    Repeated(usize),
}

impl Seal {
    /// A ring from text: one base64 key per line or comma, the first one primary.
    ///
    /// # Errors
    /// If an entry is not a key, or none is there.
    pub fn from_text(text: &str) -> Result<Self, BadMasterKey> {
        let mut keys: Vec<MasterKey> = Vec::new();
        let entries =
            text.split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
        for (number, entry) in entries.enumerate() {
            let number = number + 1;
            let bytes = Zeroizing::new(STANDARD.decode(entry).map_err(|_| BadMasterKey::Malformed(number))?);
            let key = MasterKey::new(&bytes).ok_or(BadMasterKey::Malformed(number))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(BadMasterKey::Repeated(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(BadMasterKey::None) } else { Ok(Self { keys }) }
    }

    /// A fresh master key in base64, for `symbolon master-key generate`.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn generate() -> Result<Zeroizing<String>> {
        let bytes = Zeroizing::new(ids::random::<KEY_LEN>()?);
        Ok(Zeroizing::new(STANDARD.encode(bytes.as_ref())))
    }

    /// The ids of all keys, the primary one first: the first 8 hex digits of each key's SHA-256.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| hex::encode(key.id)).collect()
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn primary_id(&self) -> String {
        self.keys.first().map(|key| hex::encode(key.id)).unwrap_or_default()
    }

    /// The id of the key that a blob was sealed with.
    #[must_use]
    pub fn key_id_of(blob: &[u8]) -> Option<String> {
        (blob.first() == Some(&VERSION)).then(|| blob.get(1..=ID_LEN).map(hex::encode)).flatten()
    }

    /// Seals `plaintext` for `place` under the primary key.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        let key = self.keys.first().ok_or_else(|| Error::internal("the ring of master keys is empty"))?;
        key.seal(&place.bytes(), plaintext)
    }

    /// Seals under the key named `key_id`: how a canary is made for each key of the ring.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the ring has no such key.
    pub fn seal_under(&self, key_id: &str, place: Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.key(key_id)?.seal(&place.bytes(), plaintext)
    }

    /// Opens a blob that was sealed for `place`.
    ///
    /// # Errors
    /// [`Error::Sealed`] if its key is not in the ring; [`Error::Internal`] if it does not belong to this place.
    pub fn open(&self, place: Place<'_>, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let id = Self::key_id_of(blob).ok_or_else(|| Error::internal("a sealed value has an unknown format"))?;
        self.key(&id)?.open(&place.bytes(), blob).ok_or_else(|| {
            Error::internal(format!("a sealed value of {}.{} does not open in its place", place.table, place.column))
        })
    }

    /// Seals a short-lived token under a key derived for `purpose`; `context` must be the same when it is opened.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn seal_token(&self, purpose: &str, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let key = self.keys.first().ok_or_else(|| Error::internal("the ring of master keys is empty"))?;
        key.derive(purpose)?.seal(context, plaintext)
    }

    /// Opens a token made by [`Seal::seal_token`], also after its key has ceased to be the primary one.
    #[must_use]
    pub fn open_token(&self, purpose: &str, context: &[u8], blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let id = Self::key_id_of(blob)?;
        self.key(&id).ok()?.derive(purpose).ok()?.open(context, blob)
    }

    /// A secret that belongs to a token made by [`Seal::seal_token`]: whoever can open tokens can find it again from the
    /// token alone, and nobody else can.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the token's key is not in the ring.
    pub fn secret_of_token(&self, purpose: &str, blob: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>> {
        let id = Self::key_id_of(blob).ok_or_else(|| Error::internal("a sealed token has an unknown format"))?;
        self.key(&id)?.expand(&[purpose.as_bytes(), digest(&SHA256, blob).as_ref()])
    }

    fn key(&self, id: &str) -> Result<&MasterKey> {
        self.keys.iter().find(|key| hex::encode(key.id) == id).ok_or_else(|| Error::Sealed(id.to_owned()))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("key_ids", &self.key_ids()).finish()
    }
}

impl MasterKey {
    fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != KEY_LEN {
            return None;
        }
        let mut id = [0; ID_LEN];
        id.copy_from_slice(digest(&SHA256, bytes).as_ref().get(..ID_LEN)?);
        Self::with_id(id, bytes)
    }

    fn with_id(id: [u8; ID_LEN], bytes: &[u8]) -> Option<Self> {
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        Some(Self { id, aead, derivation: Salt::new(HKDF_SHA256, DOMAIN.as_bytes()).extract(bytes) })
    }

    /// The key for one purpose. It keeps its master key's id, so that a token finds its key again.
    fn derive(&self, purpose: &str) -> Result<Self> {
        let bytes = self.expand(&[purpose.as_bytes()])?;
        Self::with_id(self.id, bytes.as_ref()).ok_or_else(|| Error::internal("key derivation failed"))
    }

    /// HKDF-Expand (RFC 5869 section 2.3).
    fn expand(&self, info: &[&[u8]]) -> Result<Zeroizing<[u8; KEY_LEN]>> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        self.derivation
            .expand(info, DerivedLen)
            .and_then(|okm| okm.fill(bytes.as_mut()))
            .map_err(|_| Error::internal("key derivation failed"))?;
        Ok(bytes)
    }

    fn seal(&self, place: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = ids::random()?;
        let mut blob = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
        blob.push(VERSION);
        blob.extend_from_slice(&self.id);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plaintext);
        let tag = self
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data(place)),
                blob.get_mut(HEADER_LEN..).unwrap_or_default(),
            )
            .map_err(|_| Error::internal("sealing failed"))?;
        blob.extend_from_slice(tag.as_ref());
        Ok(blob)
    }

    fn open(&self, place: &[u8], blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let nonce: [u8; NONCE_LEN] = blob.get(1 + ID_LEN..HEADER_LEN)?.try_into().ok()?;
        let mut sealed = Zeroizing::new(blob.get(HEADER_LEN..)?.to_vec());
        let length = self
            .aead
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data(place)),
                sealed.as_mut_slice(),
            )
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn associated_data(&self, place: &[u8]) -> Vec<u8> {
        let mut data = Vec::with_capacity(place.len() + 40);
        push(&mut data, DOMAIN.as_bytes());
        push(&mut data, place);
        push(&mut data, &self.id);
        data
    }
}

struct DerivedLen;

impl KeyType for DerivedLen {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(128);
        for part in [self.table, self.column, self.row, self.tenant] {
            push(&mut data, part.as_bytes());
        }
        data
    }
}

/// Appends `part` with its length in front, so that no two lists of parts give the same bytes.
fn push(data: &mut Vec<u8>, part: &[u8]) {
    data.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    data.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>() -> Place<'a> {
        Place { table: "access_keys", column: "secret_sealed", row: "AKIA1", tenant: "000000000000" }
    }

    fn ring(seeds: &[u8]) -> Seal {
        let text: Vec<String> = seeds.iter().map(|seed| STANDARD.encode([*seed; KEY_LEN])).collect();
        Seal::from_text(&text.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let seal = ring(&[1]);
        let blob = seal.seal(place(), b"secret").unwrap();
        assert_eq!(seal.open(place(), &blob).unwrap().as_slice(), b"secret");
        for other in [
            Place { table: "signing_keys", ..place() },
            Place { column: "x", ..place() },
            Place { row: "AKIA2", ..place() },
            Place { tenant: "000000000001", ..place() },
            Place { row: "AKIA10", tenant: "00000000000", ..place() },
        ] {
            assert!(seal.open(other, &blob).is_err(), "{other:?}");
        }
    }

    #[test]
    fn every_byte_of_a_blob_counts() {
        let seal = ring(&[1]);
        let blob = seal.seal(place(), b"secret").unwrap();
        for index in 0..blob.len() {
            let mut changed = blob.clone();
            changed[index] ^= 1;
            assert!(seal.open(place(), &changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn the_first_key_seals_and_any_opens() {
        let blob = ring(&[1]).seal(place(), b"secret").unwrap();
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.open(place(), &blob).unwrap().as_slice(), b"secret");
        let fresh = rotated.seal(place(), b"secret").unwrap();
        assert_eq!(Seal::key_id_of(&fresh), Some(rotated.primary_id()));
        assert!(matches!(ring(&[1]).open(place(), &fresh), Err(Error::Sealed(id)) if id == rotated.primary_id()));
    }

    #[test]
    fn tokens_are_bound_to_purpose_and_context_and_survive_a_rotation() {
        let token = ring(&[1]).seal_token("page", b"context", b"position").unwrap();
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.open_token("page", b"context", &token).unwrap().as_slice(), b"position");
        assert!(rotated.open_token("session", b"context", &token).is_none());
        assert!(rotated.open_token("page", b"other", &token).is_none());
        assert!(ring(&[2]).open_token("page", b"context", &token).is_none());
    }

    #[test]
    fn the_secret_of_a_token_is_found_again_from_the_token_alone() {
        let token = ring(&[1]).seal_token("session", b"id", b"x").unwrap();
        let secret = ring(&[1]).secret_of_token("session secret", &token).unwrap();
        assert_eq!(ring(&[2, 1]).secret_of_token("session secret", &token).unwrap(), secret);
        assert_ne!(ring(&[1]).secret_of_token("session", &token).unwrap(), secret);
        let other = ring(&[1]).seal_token("session", b"id", b"x").unwrap();
        assert_ne!(ring(&[1]).secret_of_token("session secret", &other).unwrap(), secret);
        assert!(matches!(ring(&[2]).secret_of_token("session secret", &token), Err(Error::Sealed(_))));
    }

    #[test]
    fn bad_lists_of_keys_are_named() {
        let key = STANDARD.encode([7; KEY_LEN]);
        assert_eq!(Seal::from_text(" \n").unwrap_err(), BadMasterKey::None);
        assert_eq!(Seal::from_text("c2hvcnQ=").unwrap_err(), BadMasterKey::Malformed(1));
        assert_eq!(Seal::from_text(&format!("{key},not base64")).unwrap_err(), BadMasterKey::Malformed(2));
        assert_eq!(Seal::from_text(&format!("{key}\n{key}")).unwrap_err(), BadMasterKey::Repeated(2));
        assert!(!format!("{:?}", Seal::from_text(&key).unwrap()).contains(&key));
    }
}
