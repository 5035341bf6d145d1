//! Agents' tokens: JWTs whose `sub` is the DN.
//!
//! Each key is good for one algorithm. The algorithm in a token's header only selects among the keys and is never obeyed: a
//! token of `alg: none`, or an HMAC made with the text of a public key, finds no key.

use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::config::{Auth, TokenAlgorithm, TokenKey};
use crate::limits::{TOKEN_CLOCK_LEEWAY_S, TOKEN_OCTETS_MAX};

/// Why a token opens no door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with JSON inside, or too long.
    #[error("the token is not a JWT")]
    Malformed,
    /// No configured key is good for the token's algorithm and key id.
    #[error("no configured key is good for the token's algorithm and key id")]
    NoKey,
    /// The signature is not ours.
    #[error("the token's signature is wrong")]
    Signature,
    /// `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYet,
    /// `sub` or `exp` is missing.
    #[error("the token lacks `sub` or `exp`")]
    MissingClaim,
    /// `iss` or `aud` is not what the key asks for.
    #[error("the token is from or for somebody else")]
    Foreign,
}

/// Whom a token of ours names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The DN, its `sub`.
    pub dn: String,
    /// Its `exp` is over; everything else of it holds.
    pub has_expired: bool,
}

/// Of a token that is good.
impl From<String> for Bearer {
    fn from(dn: String) -> Self {
        let has_expired = false;
        Self { dn, has_expired }
    }
}

/// The keys of the configuration, ready to verify.
#[derive(Default)]
pub struct TokenKeys {
    keys: Vec<Key>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeys")
            .field("keys", &self.keys.len())
            .finish()
    }
}

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

/// What is read of a token. `iss` and `aud` are checked by the library.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch; a fraction is legal (RFC 7519 section 2, `NumericDate`).
    exp: f64,
    nbf: Option<f64>,
}

/// What is written into a token.
#[derive(Serialize)]
struct IssuedClaims<'a> {
    sub: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl TokenKeys {
    /// Builds the keys of a checked configuration.
    ///
    /// # Errors
    ///
    /// A sentence when a key file has changed since it was checked.
    pub fn new(auth: &Auth) -> Result<Self, String> {
        let keys = auth
            .token_keys
            .iter()
            .map(Key::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Verifies `token` at `now_s` (seconds since the epoch) and returns the DN that it names.
    ///
    /// # Errors
    ///
    /// Why it is not good. The caller tells the page no more than that.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<String, TokenError> {
        let bearer = self.verify_but_for_its_end(token, now_s)?;
        if bearer.has_expired {
            return Err(TokenError::Expired);
        }
        Ok(bearer.dn)
    }

    /// The same for whoever may be good for longer than her token.
    ///
    /// # Errors
    ///
    /// Why it is not good; [`TokenError::Expired`] is none of the reasons.
    pub fn verify_but_for_its_end(&self, token: &str, now_s: u64) -> Result<Bearer, TokenError> {
        if token.len() > TOKEN_OCTETS_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let mut verdict = TokenError::NoKey;
        for key in self.keys.iter().filter(|key| key.is_for(&header)) {
            match jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation) {
                Ok(token) => return check_times(token.claims, now_s),
                Err(error) => verdict = cause(error.kind()),
            }
        }
        Err(verdict)
    }
}

impl Key {
    fn new(key: &TokenKey) -> Result<Self, String> {
        let algorithm = algorithm(key.alg);
        let decoding = match (&key.secret, &key.public_key_file) {
            (Some(secret), None) => DecodingKey::from_secret(secret.expose_secret().as_bytes()),
            (None, Some(file)) => read_public_key(key.alg, file)?,
            _ => return Err("expected a secret for HS256, a public key otherwise".to_owned()),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "sub"]);
        // Times are checked here, against the time we are told.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        if let Some(issuer) = &key.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        match &key.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        Ok(Self {
            kid: key.kid.clone(),
            algorithm,
            decoding,
            validation,
        })
    }

    fn is_for(&self, header: &Header) -> bool {
        let same_id = header.kid.is_none() || header.kid == self.kid;
        same_id && header.alg == self.algorithm
    }
}

/// Reads the public key of an RS256 or ES256 token key.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn read_public_key(alg: TokenAlgorithm, file: &Path) -> Result<DecodingKey, String> {
    let expected = |what: &str, why: &dyn std::fmt::Display| {
        format!("expected {what} in PEM: {}: {why}", file.display())
    };
    let pem = std::fs::read(file).map_err(|error| expected("a public key", &error))?;
    match alg {
        TokenAlgorithm::Rs256 => {
            DecodingKey::from_rsa_pem(&pem).map_err(|error| expected("an RSA public key", &error))
        }
        TokenAlgorithm::Es256 => {
            DecodingKey::from_ec_pem(&pem).map_err(|error| expected("a P-256 public key", &error))
        }
        TokenAlgorithm::Hs256 => Err("expected `secret` for HS256".to_owned()),
    }
}

/// Makes a token for `dn` that is good for `ttl_s` seconds from `now_s`.
///
/// # Errors
///
/// Never for a secret of a checked configuration.
pub fn issue(
    key: &TokenKey,
    secret: &SecretString,
    dn: &str,
    ttl_s: u64,
    now_s: u64,
) -> Result<String, TokenError> {
    let header = Header {
        kid: key.kid.clone(),
        ..Header::new(Algorithm::HS256)
    };
    let claims = IssuedClaims {
        sub: dn,
        exp: now_s.saturating_add(ttl_s),
        iss: key.issuer.as_deref(),
        aud: key.audience.as_deref(),
    };
    let encoding = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&header, &claims, &encoding).map_err(|_| TokenError::NoKey)
}

fn check_times(claims: Claims, now_s: u64) -> Result<Bearer, TokenError> {
    // Exact up to the year 285 million.
    #[allow(clippy::cast_precision_loss)]
    let (now_s, leeway_s) = (now_s as f64, TOKEN_CLOCK_LEEWAY_S as f64);
    if claims.nbf.is_some_and(|nbf| nbf > now_s + leeway_s) {
        return Err(TokenError::NotYet);
    }
    if claims.sub.is_empty() {
        return Err(TokenError::MissingClaim);
    }
    Ok(Bearer {
        dn: claims.sub,
        has_expired: claims.exp + leeway_s <= now_s,
    })
}

fn algorithm(alg: TokenAlgorithm) -> Algorithm {
    match alg {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
    }
}

fn cause(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenError::Foreign,
        // A claim that is there in another type is as good as missing.
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::Json(_)
        | ErrorKind::InvalidClaimFormat(_) => TokenError::MissingClaim,
        ErrorKind::InvalidAlgorithm => TokenError::NoKey,
        _ => TokenError::Malformed,
    }
}
