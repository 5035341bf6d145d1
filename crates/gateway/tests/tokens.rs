//! Which tokens open the door, and which do not.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use gateway::config::{Auth, TokenAlgorithm, TokenKey};
use gateway::token::{Bearer, TokenError, TokenKeys, issue};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_800_000_000;

fn hs256(secret: &str) -> TokenKey {
    TokenKey {
        alg: TokenAlgorithm::Hs256,
        kid: None,
        secret: Some(secret.into()),
        secret_file: None,
        public_key_file: None,
        issuer: None,
        audience: None,
    }
}

fn keys(keys: Vec<TokenKey>) -> TokenKeys {
    TokenKeys::new(&Auth { token_keys: keys }).unwrap()
}

fn signed(claims: &Value) -> String {
    sign(&Header::new(Algorithm::HS256), claims, SECRET.as_bytes())
}

fn sign(header: &Header, claims: &Value, secret: &[u8]) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(
                ALPHABET[(word >> (18 - 6 * index)) as usize & 63],
            ));
        }
    }
    text
}

#[test]
fn a_token_made_here_names_its_dn() {
    let key = hs256(SECRET);
    let token = issue(&key, &SECRET.into(), "1002", 60, NOW_S).unwrap();
    assert_eq!(keys(vec![key]).verify(&token, NOW_S), Ok("1002".to_owned()));
}

#[test]
fn the_matrix_of_claims() {
    let later = NOW_S + 600;
    let cases = [
        (json!({"sub": "1002", "exp": later}), Ok("1002".to_owned())),
        (
            json!({"sub": "1002", "exp": 1_800_000_600.5}),
            Ok("1002".to_owned()),
        ),
        (
            json!({"sub": "1002", "exp": NOW_S - 29}),
            Ok("1002".to_owned()),
        ),
        (
            json!({"sub": "1002", "exp": NOW_S - 30}),
            Err(TokenError::Expired),
        ),
        (json!({"sub": "1002", "exp": 0}), Err(TokenError::Expired)),
        (
            json!({"sub": "1002", "exp": later, "nbf": NOW_S + 31}),
            Err(TokenError::NotYet),
        ),
        (
            json!({"sub": "1002", "exp": later, "nbf": NOW_S + 29}),
            Ok("1002".to_owned()),
        ),
        (json!({"sub": "1002"}), Err(TokenError::MissingClaim)),
        (json!({"exp": later}), Err(TokenError::MissingClaim)),
        (
            json!({"sub": "", "exp": later}),
            Err(TokenError::MissingClaim),
        ),
        (
            json!({"sub": 1002, "exp": later}),
            Err(TokenError::MissingClaim),
        ),
        (
            json!({"sub": "1002", "exp": "later"}),
            Err(TokenError::MissingClaim),
        ),
        (
            json!({"sub": "1002", "exp": -1}),
            Err(TokenError::MissingClaim),
        ),
    ];
    let keys = keys(vec![hs256(SECRET)]);
    for (claims, verdict) in cases {
        assert_eq!(keys.verify(&signed(&claims), NOW_S), verdict, "{claims}");
    }
}

/// What is looked away from is the token's end, and nothing else: `resume` opens no door to a token that is not ours, not yet good, or nobody's.
#[test]
fn a_token_may_be_over_and_nothing_else() {
    let over = NOW_S - 3_600;
    let keys = keys(vec![hs256(SECRET)]);
    let verify = |claims: &Value| keys.verify_but_for_its_end(&signed(claims), NOW_S);
    let bearer = |has_expired| {
        let dn = "1002".to_owned();
        Ok(Bearer { dn, has_expired })
    };
    assert_eq!(verify(&json!({"sub": "1002", "exp": over})), bearer(true));
    let good = json!({"sub": "1002", "exp": NOW_S + 600});
    assert_eq!(verify(&good), bearer(false));
    let early = json!({"sub": "1002", "exp": over, "nbf": NOW_S + 31});
    assert_eq!(verify(&early), Err(TokenError::NotYet));
    let nobodys = json!({"sub": "", "exp": over});
    assert_eq!(verify(&nobodys), Err(TokenError::MissingClaim));
    let endless = json!({"sub": "1002"});
    assert_eq!(verify(&endless), Err(TokenError::MissingClaim));
    let foreign = sign(
        &Header::new(Algorithm::HS256),
        &json!({"sub": "1002", "exp": over}),
        b"another secret, as long as ours..",
    );
    let verdict = keys.verify_but_for_its_end(&foreign, NOW_S);
    assert_eq!(verdict, Err(TokenError::Signature));
}

#[test]
fn a_token_without_signature_is_no_token() {
    let keys = keys(vec![hs256(SECRET)]);
    let claims = base64url(
        json!({"sub": "1002", "exp": NOW_S + 600})
            .to_string()
            .as_bytes(),
    );
    for alg in ["none", "None", "NONE", ""] {
        let header = base64url(json!({"typ": "JWT", "alg": alg}).to_string().as_bytes());
        for token in [format!("{header}.{claims}."), format!("{header}.{claims}")] {
            assert_eq!(
                keys.verify(&token, NOW_S),
                Err(TokenError::Malformed),
                "{alg}"
            );
        }
    }
}

#[test]
fn somebody_elses_signature_is_refused() {
    let keys = keys(vec![hs256(SECRET)]);
    let claims = json!({"sub": "1002", "exp": NOW_S + 600});
    let foreign = sign(
        &Header::new(Algorithm::HS256),
        &claims,
        b"another secret, as long as ours.",
    );
    assert_eq!(keys.verify(&foreign, NOW_S), Err(TokenError::Signature));
    // The right secret with an algorithm that the key is not for.
    let stronger = sign(&Header::new(Algorithm::HS512), &claims, SECRET.as_bytes());
    assert_eq!(keys.verify(&stronger, NOW_S), Err(TokenError::NoKey));
    // The DN changed after signing.
    let token = signed(&claims);
    let mut parts = token.split('.');
    let (header, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    let other = base64url(
        json!({"sub": "1003", "exp": NOW_S + 600})
            .to_string()
            .as_bytes(),
    );
    let forged = format!("{header}.{other}.{signature}");
    assert_eq!(keys.verify(&forged, NOW_S), Err(TokenError::Signature));
}

#[test]
fn nonsense_is_refused() {
    let keys = keys(vec![hs256(SECRET)]);
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        "....",
        "ä.ö.ü",
        &"x".repeat(100_000),
    ] {
        assert_eq!(keys.verify(token, NOW_S), Err(TokenError::Malformed));
    }
}

#[test]
fn a_public_key_verifies_and_is_never_taken_for_a_shared_secret() {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let public = dir.path().join("public.pem");
    std::fs::write(&public, pair.public_key_pem()).unwrap();
    let keys = keys(vec![es256(&public)]);
    let claims = json!({"sub": "1002", "exp": NOW_S + 600});
    let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::ES256), &claims, &private).unwrap();
    assert_eq!(keys.verify(&token, NOW_S), Ok("1002".to_owned()));
    // The classic: an HMAC whose secret is the text of the public key, which everybody may know.
    let confused = sign(
        &Header::new(Algorithm::HS256),
        &claims,
        pair.public_key_pem().as_bytes(),
    );
    assert_eq!(keys.verify(&confused, NOW_S), Err(TokenError::NoKey));
}

fn es256(public: &Path) -> TokenKey {
    TokenKey {
        alg: TokenAlgorithm::Es256,
        secret: None,
        public_key_file: Some(public.to_owned()),
        ..hs256(SECRET)
    }
}

#[test]
fn a_key_id_selects_its_key_only() {
    let named = TokenKey {
        kid: Some("2026".to_owned()),
        ..hs256(SECRET)
    };
    let keys = keys(vec![named, hs256("another secret, as long as ours.")]);
    let claims = json!({"sub": "1002", "exp": NOW_S + 600});
    let with_id = |kid: &str| Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    assert!(
        keys.verify(&sign(&with_id("2026"), &claims, SECRET.as_bytes()), NOW_S)
            .is_ok()
    );
    let unknown = sign(&with_id("2025"), &claims, SECRET.as_bytes());
    assert_eq!(keys.verify(&unknown, NOW_S), Err(TokenError::NoKey));
    assert!(keys.verify(&signed(&claims), NOW_S).is_ok());
}

#[test]
fn issuer_and_audience_are_checked_where_they_are_configured() {
    let key = TokenKey {
        issuer: Some("login.example.com".to_owned()),
        audience: Some("talkbridge".to_owned()),
        ..hs256(SECRET)
    };
    let keys = keys(vec![key]);
    let exp = NOW_S + 600;
    let cases = [
        (
            json!({"sub": "1", "exp": exp, "iss": "login.example.com", "aud": "talkbridge"}),
            Ok("1".to_owned()),
        ),
        (
            json!({"sub": "1", "exp": exp, "iss": "evil", "aud": "talkbridge"}),
            Err(TokenError::Foreign),
        ),
        (
            json!({"sub": "1", "exp": exp, "iss": "login.example.com", "aud": "mail"}),
            Err(TokenError::Foreign),
        ),
        (
            json!({"sub": "1", "exp": exp, "iss": "login.example.com"}),
            Err(TokenError::MissingClaim),
        ),
        (
            json!({"sub": "1", "exp": exp}),
            Err(TokenError::MissingClaim),
        ),
    ];
    for (claims, verdict) in cases {
        assert_eq!(keys.verify(&signed(&claims), NOW_S), verdict, "{claims}");
    }
}
