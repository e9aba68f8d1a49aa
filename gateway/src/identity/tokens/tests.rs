//! Everything that a forger may try with an access token.

use super::*;
use crate::identity::families::Seen;
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

struct Forge {
    folder: tempfile::TempDir,
    tokens: AccessTokens,
    kid: String,
    pair: Ed25519KeyPair,
}

impl Forge {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = AccessTokens::open(folder.path()).unwrap();
        let text = std::fs::read_to_string(keys::path(folder.path())).unwrap();
        let filed: Value = serde_json::from_str(&text).unwrap();
        let document = data_encoding::BASE64.decode(filed[0]["key"].as_str().unwrap().as_bytes()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(&document).unwrap();
        Self { kid: filed[0]["kid"].as_str().unwrap().to_owned(), folder, tokens, pair }
    }

    fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": "EdDSA", "kid": self.kid})
    }

    /// Signs whatever it is told with the real key.
    fn signed(&self, header: &Value, claims: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let message = format!("{}.{}", part(&header.to_string()), part(claims));
        let signature = BASE64URL_NOPAD.encode(self.pair.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    fn is_good(&self, token: &str) -> bool {
        self.tokens.verify(token, now()).is_ok()
    }
}

fn now() -> UnixMs {
    crate::fleet::watch::now()
}

fn claims() -> Value {
    let iat = now().0 / 1000;
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "olga", "sid": "s1", "iat": iat, "exp": iat + LIFE_S})
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn without(mut object: Value, key: &str) -> Value {
    object.as_object_mut().unwrap().remove(key);
    object
}

#[test]
fn a_token_is_good_for_ten_minutes() {
    let forge = Forge::new();
    let seen = Seen { address: "", agent: "", now: now() };
    let family = Family::begin("olga".parse().unwrap(), "hash".into(), seen);
    let (token, expires) = forge.tokens.sign(&family, "s1", now()).unwrap();
    let bearer = forge.tokens.verify(&token, now()).unwrap();
    assert_eq!((bearer.user.as_str(), bearer.sid.as_str()), ("olga", "s1"));
    assert!(expires.0.abs_diff(now().0 + LIFE_S * 1000) < 2000);
    assert!(forge.tokens.verify(&token, UnixMs(expires.0 + LEEWAY_S * 1000)).is_ok());
    assert_eq!(
        forge.tokens.verify(&token, UnixMs(expires.0 + 1000 + LEEWAY_S * 1000)),
        Err(NotGood),
        "though it is known"
    );
}

#[test]
fn the_forge_signs_as_we_do() {
    let forge = Forge::new();
    assert!(forge.is_good(&forge.signed(&forge.header(), &claims().to_string())));
}

#[test]
fn another_algorithm_is_refused() {
    let forge = Forge::new();
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    for algorithm in ["none", "None", "NONE", "HS256", "RS256", "ES256", "PS512", ""] {
        let header = with(forge.header(), "alg", json!(algorithm));
        let message = format!("{}.{}", part(&header), part(&claims()));
        assert!(!forge.is_good(&format!("{message}.")), "{algorithm} without a signature");
        // The public key as the secret of HMAC.
        let key = hmac::Key::new(hmac::HMAC_SHA256, forge.pair.public_key().as_ref());
        let signature = BASE64URL_NOPAD.encode(hmac::sign(&key, message.as_bytes()).as_ref());
        assert!(!forge.is_good(&format!("{message}.{signature}")), "{algorithm} with the public key");
        assert!(!forge.is_good(&forge.signed(&header, &claims().to_string())), "{algorithm}, well signed");
    }
}

#[test]
fn an_empty_or_changed_signature_is_refused() {
    let forge = Forge::new();
    let good = forge.signed(&forge.header(), &claims().to_string());
    let (message, signature) = good.rsplit_once('.').unwrap();
    for bad in ["", "AAAA", &signature[1..], &format!("{signature}AA"), &"A".repeat(signature.len())] {
        assert!(!forge.is_good(&format!("{message}.{bad}")), "{bad}");
    }
    for other in [message, "", ".", "..", "...", &format!("{good}.{signature}"), &format!("{good}=")] {
        assert!(!forge.is_good(other), "{other}");
    }
    let elsewhere = forge.signed(&forge.header(), &with(claims(), "sub", json!("ivan")).to_string());
    let swapped = format!("{}.{signature}", elsewhere.rsplit_once('.').unwrap().0);
    assert!(!forge.is_good(&swapped), "another's claims under a good signature");
}

#[test]
fn the_key_is_ours_whatever_the_header_offers() {
    let (forge, other) = (Forge::new(), Forge::new());
    let x = BASE64URL_NOPAD.encode(other.pair.public_key().as_ref());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": x});
    for header in [
        forge.header(),
        other.header(),
        without(forge.header(), "kid"),
        with(forge.header(), "kid", json!("")),
        with(forge.header(), "kid", json!("../../../dev/null")),
        with(forge.header(), "jwk", jwk.clone()),
        with(without(other.header(), "kid"), "jwk", jwk.clone()),
        with(forge.header(), "jku", json!("https://evil.example/keys")),
        with(forge.header(), "x5u", json!("https://evil.example/cert")),
    ] {
        assert!(!forge.is_good(&other.signed(&header, &claims().to_string())), "{header}");
    }
    let decorated = with(with(forge.header(), "jwk", jwk), "jku", json!("https://evil.example/keys"));
    assert!(
        forge.is_good(&forge.signed(&decorated, &claims().to_string())),
        "ours is ours: the rest is not looked at"
    );
}

#[test]
fn the_kind_of_token_is_part_of_it() {
    let forge = Forge::new();
    for header in [
        without(forge.header(), "typ"),
        with(forge.header(), "typ", json!("JWT")),
        with(forge.header(), "typ", json!("rt+jwt")),
        with(forge.header(), "crit", json!(["exp"])),
    ] {
        assert!(!forge.is_good(&forge.signed(&header, &claims().to_string())), "{header}");
    }
}

#[test]
fn every_claim_is_required_and_of_its_type() {
    let forge = Forge::new();
    let iat = now().0 / 1000;
    for name in ["iss", "aud", "sub", "sid", "exp", "iat"] {
        assert!(
            !forge.is_good(&forge.signed(&forge.header(), &without(claims(), name).to_string())),
            "without {name}"
        );
        for bad in [json!(null), json!([]), json!({}), json!(true), json!("")] {
            if (name, &bad) == ("sid", &json!("")) {
                continue;
            }
            let claims = with(claims(), name, bad.clone()).to_string();
            assert!(!forge.is_good(&forge.signed(&forge.header(), &claims)), "{name} {bad}");
        }
    }
    for (name, bad) in [
        ("exp", json!((iat + 60).to_string())),
        ("exp", json!(iat as f64 + 60.5)),
        ("exp", json!(-1)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!(iat - LEEWAY_S - 2)),
        ("exp", json!(iat + LIFE_S + 1)),
        ("exp", json!(0)),
        ("iat", json!(iat.to_string())),
        ("iat", json!(iat + LEEWAY_S + 60)),
        ("iat", json!(0)),
        ("nbf", json!((iat + 3600).to_string())),
        ("nbf", json!(iat + 3600)),
        ("nbf", json!(-1)),
        ("nbf", json!(1e300)),
        ("aud", json!("another")),
        ("aud", json!(["another"])),
        ("iss", json!("another")),
        ("sub", json!("OLGA")),
        ("sub", json!("olga.*")),
        ("sid", json!("x".repeat(65))),
    ] {
        // Of the same moment as the bad value: a second may pass meanwhile.
        let claims = with(with(claims(), "iat", json!(iat)), "exp", json!(iat + LIFE_S));
        let claims = with(claims, name, bad.clone()).to_string();
        assert!(!forge.is_good(&forge.signed(&forge.header(), &claims)), "{name} {bad}");
    }
    let twice = claims().to_string().replacen('{', &format!("{{\"exp\":{},", u64::MAX), 1);
    assert!(!forge.is_good(&forge.signed(&forge.header(), &twice)), "a claim that is there twice");
    for text in ["", "{}", "[]", "null", "{\"exp\":1e400}", "{"] {
        assert!(!forge.is_good(&forge.signed(&forge.header(), text)), "{text}");
    }
}

#[test]
fn a_long_token_costs_nothing() {
    let forge = Forge::new();
    let long = with(claims(), "pad", json!("x".repeat(100_000))).to_string();
    assert!(!forge.is_good(&forge.signed(&forge.header(), &long)));
    assert!(!forge.is_good(&"A.".repeat(50_000)));
    assert!(!forge.is_good(&".".repeat(1000)));
    assert!(!forge.is_good("wkr_olga.s1.secret"), "a refresh token");
    assert!(!forge.is_good("wkt_id_secret"), "a personal token");
}

#[test]
fn a_key_that_was_rotated_out_verifies_nothing_within_a_second() {
    let forge = Forge::new();
    let token = forge.signed(&forge.header(), &claims().to_string());
    let at = |ms: u64| UnixMs(now().0 + ms);
    assert!(forge.tokens.verify(&token, at(0)).is_ok());
    keys::rotate(forge.folder.path()).unwrap();
    assert!(forge.tokens.verify(&token, at(2000)).is_ok(), "the key before stays good");
    keys::rotate(forge.folder.path()).unwrap();
    assert_eq!(forge.tokens.verify(&token, at(4000)), Err(NotGood), "though it was known");
}

#[test]
fn what_is_known_is_bounded() {
    let forge = Forge::new();
    let ring = forge.tokens.ring(now());
    for number in 0..(KNOWN_MAX + 10) as u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let bearer = Bearer { user: "olga".parse().unwrap(), sid: "s".into(), expires_s: NOW };
        remember(&ring, hash, bearer, UnixMs(0));
    }
    assert!(ring.known.read().unwrap().len() <= KNOWN_MAX);
}
