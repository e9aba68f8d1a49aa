//! The JWTs of a NATS server in operator mode: what operator, account and user claims say, signed and verified.
//!
//! Version 2 of NATS' claims, algorithm `ed25519-nkey`. Only the fields that Watchkeeper uses exist here; the server
//! reads a missing number as 0, a missing list as empty, and -1 ([`UNLIMITED`]) as no limit.

mod body;

pub use body::*;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512_256};

/// The only form of NATS claims written and read here.
const VERSION: u8 = 2;
const HEADER: Header<'static> = Header { typ: "JWT", alg: "ed25519-nkey" };

/// One signed statement about `subject`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims<T> {
    /// The public nkey the statement is about.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// The public nkey that signed; set by [`Claims::sign`].
    pub issuer: String,
    /// Seconds since 1970; set by [`Claims::sign`].
    pub issued_at: u64,
    /// Seconds since 1970 after which the server refuses; `None`: never.
    pub expires: Option<u64>,
    /// What is stated.
    pub body: T,
}

/// What kind of statement a body makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// [`Operator`]
    Operator,
    /// [`Account`]
    Account,
    /// [`User`]
    User,
    /// Whatever else is signed.
    Generic,
}

/// A body of claims and its kind.
pub trait Body: Serialize + DeserializeOwned {
    /// Written into the claims and demanded when they are read.
    const KIND: Kind;
}

/// Why text is not a JWT of the kind wanted, or could not be made one.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// It has not the form of one.
    #[error("it is not a NATS JWT: {0}")]
    Form(&'static str),
    /// The claims are not the JSON they should be.
    #[error("its claims do not read as those of this kind")]
    Json(#[from] serde_json::Error),
    /// A key does not read, or the signature is not that of the issuer.
    #[error("a key or the signature in it is not right")]
    Key(#[from] nkeys::error::Error),
}

impl<T: Body> Claims<T> {
    /// A statement that is not signed yet and never expires.
    #[must_use]
    pub fn new(subject: String, name: String, body: T) -> Self {
        Self { subject, name, issuer: String::new(), issued_at: 0, expires: None, body }
    }

    /// The JWT of these claims, issued by `signer` at `issued_at` (seconds since 1970).
    ///
    /// # Errors
    /// When `signer` holds no private key.
    pub fn sign(&self, signer: &KeyPair, issued_at: u64) -> Result<String, ClaimsError> {
        let mut wire = Wire {
            jti: String::new(),
            iat: issued_at,
            iss: signer.public_key(),
            name: self.name.clone(),
            sub: self.subject.clone(),
            exp: self.expires,
            nats: Typed { kind: T::KIND, version: VERSION, body: &self.body },
        };
        wire.jti = BASE32_NOPAD.encode(&Sha512_256::digest(serde_json::to_vec(&wire)?));
        let mut token = BASE64URL_NOPAD.encode(&serde_json::to_vec(&HEADER)?);
        token.push('.');
        BASE64URL_NOPAD.encode_append(&serde_json::to_vec(&wire)?, &mut token);
        let signature = signer.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }

    /// Whether `other` signed by `signer` would state the same.
    #[must_use]
    pub fn states_the_same(&self, other: &Self, signer: &KeyPair) -> bool
    where
        T: PartialEq,
    {
        self.issuer == signer.public_key()
            && (&self.subject, &self.name, self.expires) == (&other.subject, &other.name, other.expires)
            && self.body == other.body
    }

    /// Reads a JWT and verifies that its issuer signed it. Whether that issuer is to be trusted and whether the
    /// claims have expired is the caller's question.
    ///
    /// # Errors
    /// When it is not a JWT of this kind or was changed after signing.
    pub fn verify(token: &str) -> Result<Self, ClaimsError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(ClaimsError::Form("no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or(ClaimsError::Form("no claims"))?;
        let (header, claims, signature) = (base64(header)?, base64(claims)?, base64(signature)?);
        if serde_json::from_slice::<Header<'_>>(&header)? != HEADER {
            return Err(ClaimsError::Form("another algorithm"));
        }
        let wire: Wire<T> = serde_json::from_slice(&claims)?;
        KeyPair::from_public_key(&wire.iss)?.verify(signed.as_bytes(), &signature)?;
        if wire.nats.kind != T::KIND || wire.nats.version != VERSION {
            return Err(ClaimsError::Form("another kind or version of claims"));
        }
        Ok(Self {
            subject: wire.sub,
            name: wire.name,
            issuer: wire.iss,
            issued_at: wire.iat,
            expires: wire.exp,
            body: wire.nats.body,
        })
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    jti: String,
    iat: u64,
    iss: String,
    #[serde(default)]
    name: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    nats: Typed<T>,
}

#[derive(Serialize, Deserialize)]
struct Typed<T> {
    #[serde(rename = "type")]
    kind: Kind,
    version: u8,
    #[serde(flatten)]
    body: T,
}

fn base64(text: &str) -> Result<Vec<u8>, ClaimsError> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ClaimsError::Form("not base64url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Claims<User> {
        let body = User { tags: vec!["team:default".into()], ..User::default() };
        Claims::new(KeyPair::new_user().public_key(), "agent.default.web-1".into(), body)
    }

    #[test]
    fn what_was_signed_reads_back() {
        let account = KeyPair::new_account();
        let token = user().sign(&account, 1_700_000_000).unwrap();
        let read = Claims::<User>::verify(&token).unwrap();
        assert_eq!(read.issuer, account.public_key());
        assert_eq!(read.issued_at, 1_700_000_000);
        assert_eq!(read.body.tags, ["team:default"]);
    }

    #[test]
    fn the_same_claims_at_the_same_time_are_the_same_bytes() {
        let (account, user) = (KeyPair::new_account(), user());
        assert_eq!(user.sign(&account, 7).unwrap(), user.sign(&account, 7).unwrap());
    }

    #[test]
    fn one_changed_character_is_refused() {
        let token = user().sign(&KeyPair::new_account(), 7).unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(Claims::<User>::verify(std::str::from_utf8(&changed).unwrap()).is_err(), "at {at}");
        }
    }

    #[test]
    fn claims_of_another_kind_are_refused() {
        let token = user().sign(&KeyPair::new_account(), 7).unwrap();
        assert!(Claims::<Account>::verify(&token).is_err());
        assert!(Claims::<Operator>::verify(&token).is_err());
        assert!(Claims::<User>::verify("").is_err());
    }

    #[test]
    fn a_public_key_signs_nothing() {
        let public = KeyPair::from_public_key(&KeyPair::new_account().public_key()).unwrap();
        assert!(matches!(user().sign(&public, 7), Err(ClaimsError::Key(_))));
    }

    #[test]
    fn a_revocation_covers_what_was_issued_until_then() {
        let account = Account { revocations: [("U1".to_owned(), 100)].into(), ..Account::default() };
        assert!(account.revokes("U1", 100));
        assert!(!account.revokes("U1", 101));
        assert!(!account.revokes("U2", 1));
    }
}
