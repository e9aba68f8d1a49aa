//! Credentials that no file keeps: JWTs signed for keys that others made, and read back when they want a new one.

use crate::claims::{Claims, ClaimsError, User};
use crate::creds;
use crate::files::SetupError;
use crate::holder::Holder;
use crate::issue::user_claims;
use crate::keys::Signer;
use crate::layout::Layout;
use crate::setup::now;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use watchkeeper_schemas::ids::{HostId, PublicKey, ReaderName, TeamId};

/// Bytes of a user JWT of ours; an agent's has some 700.
const JWT_BYTES_MAX: usize = 4096;
/// Bytes of a signature in base64.
const SIGNATURE_BYTES_MAX: usize = 128;

/// The public nkey of a user, known to be one.
pub struct UserKey {
    id: PublicKey,
    key: KeyPair,
}

impl UserKey {
    /// The key that this text writes; `None` when its checksum or kind is another.
    #[must_use]
    pub fn read(id: &PublicKey) -> Option<Self> {
        let key = KeyPair::from_public_key(id.as_str()).ok()?;
        matches!(key.key_pair_type(), KeyPairType::User).then(|| Self { id: id.clone(), key })
    }

    /// The key as text.
    #[must_use]
    pub fn id(&self) -> &PublicKey {
        &self.id
    }

    /// Whether the holder of this key signed `message`; the signature is base64url without padding.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &str) -> bool {
        signature.len() <= SIGNATURE_BYTES_MAX
            && BASE64URL_NOPAD
                .decode(signature.as_bytes())
                .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

/// A third-party tool's new credential.
pub struct ReaderCreds {
    /// Its public key.
    pub key: PublicKey,
    /// The text of its `.creds` file, with the secret half: shown once, kept nowhere.
    pub creds: String,
}

/// What an agent's JWT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCredential {
    /// The host's team.
    pub team: TeamId,
    /// The host.
    pub host: HostId,
    /// The agent's public key.
    pub key: PublicKey,
    /// Seconds since 1970 after which the server refuses it; `None`: never.
    pub expires: Option<u64>,
}

/// The JWT with which the agent of a host may connect, for a key that it made itself. `expires`: seconds since 1970.
///
/// # Errors
/// When the team is not set up, or a file cannot be read.
pub fn sign_agent(
    layout: &Layout,
    team: &TeamId,
    host: &HostId,
    key: &UserKey,
    expires: u64,
) -> Result<String, SetupError> {
    let holder = Holder::Agent { team: team.clone(), host: host.clone() };
    let signer = Signer::read(layout, &holder)?;
    let claims = user_claims(&signer, &holder, key.id.to_string(), Some(expires));
    claims.sign(&signer.key, now()).map_err(|source| unsigned(layout, &holder, source))
}

/// A new key and credential for a program that hears the public feed of one team. It does not expire: a revocation
/// ends it.
///
/// # Errors
/// When the readers' account is not set up, or a file cannot be read.
pub fn make_reader(layout: &Layout, team: &TeamId, name: &ReaderName) -> Result<ReaderCreds, SetupError> {
    let holder = Holder::Reader { team: team.clone(), name: name.clone() };
    let signer = Signer::read(layout, &holder)?;
    let make = || {
        let fresh = KeyPair::new_user();
        let claims = user_claims(&signer, &holder, fresh.public_key(), None);
        let creds = creds::render(&claims.sign(&signer.key, now())?, &fresh)?;
        let key = fresh.public_key().parse().map_err(|_| ClaimsError::Form("a key that does not read"))?;
        Ok(ReaderCreds { key, creds })
    };
    make().map_err(|source| unsigned(layout, &holder, source))
}

/// Whose agent a JWT is: signed by that team's own key for agents and saying nothing that we would not have signed.
/// Whether it has expired, and whether the host still names this key, is the caller's question.
/// `None` for every other text.
///
/// # Errors
/// When a key file of the team cannot be read.
pub fn read_agent(layout: &Layout, jwt: &str) -> Result<Option<AgentCredential>, SetupError> {
    if jwt.len() > JWT_BYTES_MAX {
        return Ok(None);
    }
    let Ok(claims) = Claims::<User>::verify(jwt) else { return Ok(None) };
    let Ok(holder @ Holder::Agent { .. }) = claims.name.parse::<Holder>() else { return Ok(None) };
    let signer = match Signer::read(layout, &holder) {
        Ok(signer) => signer,
        Err(SetupError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let wanted = user_claims(&signer, &holder, claims.subject.clone(), claims.expires);
    let is_ours = claims.states_the_same(&wanted, &signer.key);
    let Holder::Agent { team, host } = holder else { return Ok(None) };
    let credential =
        claims.subject.parse().ok().map(|key| AgentCredential { team, host, key, expires: claims.expires });
    Ok(credential.filter(|_| is_ours))
}

fn unsigned(layout: &Layout, holder: &Holder, source: ClaimsError) -> SetupError {
    let path = layout.role_key(&holder.account(), holder.role());
    SetupError::Corrupt { path, remedy: "Put the file back from a backup", source }
}
