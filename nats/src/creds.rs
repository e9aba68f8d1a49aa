//! NATS' own `.creds` format: a user's JWT and seed in one text file.

use crate::claims::{Claims, ClaimsError, User};
use nkeys::{KeyPair, KeyPairType};

/// What a creds file holds: a verified JWT and the key it speaks of.
pub struct Creds {
    /// The JWT as the server wants it.
    pub jwt: String,
    /// What the JWT says.
    pub claims: Claims<User>,
    /// The user's key.
    pub key: KeyPair,
}

/// The text of a creds file.
///
/// # Errors
/// When `key` holds no seed.
pub fn render(jwt: &str, key: &KeyPair) -> Result<String, ClaimsError> {
    let seed = key.seed()?;
    Ok(format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         The seed below is the secret half of this credential: whoever reads it can be this user.\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}

/// Reads a creds file.
///
/// # Errors
/// When a part is missing, does not verify, or the two parts belong to different users.
pub fn parse(text: &str) -> Result<Creds, ClaimsError> {
    let jwt = section(text, "NATS USER JWT").ok_or(ClaimsError::Form("no section NATS USER JWT"))?;
    let seed = section(text, "USER NKEY SEED").ok_or(ClaimsError::Form("no section USER NKEY SEED"))?;
    let (claims, key) = (Claims::<User>::verify(jwt)?, KeyPair::from_seed(seed)?);
    if !matches!(key.key_pair_type(), KeyPairType::User) || key.public_key() != claims.subject {
        return Err(ClaimsError::Form("the seed is not that of the user in the JWT"));
    }
    Ok(Creds { jwt: jwt.to_owned(), claims, key })
}

/// The line after `-----BEGIN <title>-----`.
fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        line.strip_prefix("-----BEGIN ").is_some_and(|rest| rest.trim_end_matches('-') == title)
    })?;
    lines.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt_of(key: &KeyPair) -> String {
        let claims = Claims::new(key.public_key(), "gateway".into(), User::default());
        claims.sign(&KeyPair::new_account(), 7).unwrap()
    }

    #[test]
    fn a_creds_file_reads_back() {
        let key = KeyPair::new_user();
        let read = parse(&render(&jwt_of(&key), &key).unwrap()).unwrap();
        assert_eq!(read.claims.name, "gateway");
        assert_eq!(read.key.seed().unwrap(), key.seed().unwrap());
    }

    #[test]
    fn half_a_file_or_anothers_seed_is_refused() {
        let key = KeyPair::new_user();
        let text = render(&jwt_of(&key), &key).unwrap();
        let seed_at = text.find("-----BEGIN USER").unwrap();
        assert!(parse(&text[..seed_at]).is_err());
        assert!(parse(&text[seed_at..]).is_err());
        assert!(parse(&render(&jwt_of(&key), &KeyPair::new_user()).unwrap()).is_err());
        assert!(parse("").is_err());
    }
}
