//! The signature of a callback: `Eventix-Signature: t=<seconds since 1970>,v1=<hex>[,v1=<hex>…]`, where each `v1` is the
//! HMAC-SHA256 of `<t>.<body>` under one of the provider's secrets. Several secrets on either side allow rotation.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ring::hmac;
use ring::rand::SystemRandom;

/// The header.
pub const HEADER: &str = "eventix-signature";
/// How far the time signed may be from ours, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// Signatures of one header that are looked at.
const SIGNATURES_MAX: usize = 8;

/// Secrets that sign or verify; any of them counts.
#[derive(Clone)]
pub struct Secrets(Vec<hmac::Key>);

/// Why a callback is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is no header of this form.
    #[error("the signature is missing or malformed")]
    Malformed,
    /// Signed too long ago, or in the future.
    #[error("the signature is too old, or from the future")]
    Expired,
    /// Signed with another secret, or over another body.
    #[error("the signature is wrong")]
    Wrong,
}

impl Secrets {
    /// Keys of these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect())
    }

    /// A secret that nobody else can know, for callbacks that do not leave the process.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn of_this_process() -> anyhow::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self(vec![key.map_err(|_| anyhow::anyhow!("no randomness for a secret"))?]))
    }

    /// The header for a body, with one signature per secret.
    pub fn sign(&self, body: &[u8], now: DateTime<Utc>) -> String {
        let time = now.timestamp();
        let mut header = format!("t={time}");
        for key in &self.0 {
            header.push_str(",v1=");
            for byte in tag(key, time, body).as_ref() {
                let _ = write!(header, "{byte:02x}");
            }
        }
        header
    }

    /// Checks a header against a body: one of the signatures must be of one of the secrets. Compares in constant time.
    ///
    /// # Errors
    /// It does not hold.
    pub fn verify(&self, header: &str, body: &[u8], now: DateTime<Utc>) -> Result<(), Forged> {
        let (time, signatures) = parse(header).ok_or(Forged::Malformed)?;
        if now.timestamp().abs_diff(time) > TOLERANCE.as_secs() {
            return Err(Forged::Expired);
        }
        let message = message(time, body);
        let known = |signature: &Vec<u8>| self.0.iter().any(|key| hmac::verify(key, &message, signature).is_ok());
        if signatures.iter().any(known) { Ok(()) } else { Err(Forged::Wrong) }
    }
}

fn tag(key: &hmac::Key, time: i64, body: &[u8]) -> hmac::Tag {
    hmac::sign(key, &message(time, body))
}

fn message(time: i64, body: &[u8]) -> Vec<u8> {
    [time.to_string().as_bytes(), b".", body].concat()
}

fn parse(header: &str) -> Option<(i64, Vec<Vec<u8>>)> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',').map(str::trim) {
        match part.split_once('=')? {
            ("t", text) if time.is_none() => time = Some(text.parse().ok()?),
            ("t", _) => return None,
            ("v1", hex) if signatures.len() < SIGNATURES_MAX => signatures.push(unhex(hex)?),
            // Schemes to come.
            _ => {}
        }
    }
    Some((time?, signatures)).filter(|(_, signatures)| !signatures.is_empty())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| {
        let text = str::from_utf8(pair).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(text, 16).ok()
    };
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(texts.iter().copied())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// Computed with `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac secret`.
    const KNOWN: &str = "t=1700000000,v1=af784f27423c462e20039559cd4264140f7b7ed4c9090e26fd663faa5eeb8dda";

    #[test]
    fn a_signature_is_what_openssl_makes() {
        assert_eq!(secrets(&["secret"]).sign(BODY, at(1_700_000_000)), KNOWN);
        assert_eq!(secrets(&["secret"]).verify(KNOWN, BODY, at(1_700_000_000)), Ok(()));
    }

    #[test]
    fn times_count_within_five_minutes_either_way() {
        let secrets = secrets(&["secret"]);
        for (now, verdict) in [
            (1_700_000_300, Ok(())),
            (1_699_999_700, Ok(())),
            (1_700_000_301, Err(Forged::Expired)),
            (1_699_999_699, Err(Forged::Expired)),
        ] {
            assert_eq!(secrets.verify(KNOWN, BODY, at(now)), verdict, "{now}");
        }
        assert_eq!(secrets.verify(&format!("t={}", i64::MIN), BODY, at(0)), Err(Forged::Malformed));
        assert_eq!(secrets.verify(&format!("t={},v1=00", i64::MIN), BODY, at(0)), Err(Forged::Expired));
    }

    #[test]
    fn another_body_time_or_secret_is_refused() {
        let now = at(1_700_000_000);
        let moved = KNOWN.replace("t=1700000000", "t=1700000001");

        assert_eq!(secrets(&["secret"]).verify(KNOWN, b"{}", now), Err(Forged::Wrong));
        assert_eq!(secrets(&["secret"]).verify(&moved, BODY, now), Err(Forged::Wrong));
        assert_eq!(secrets(&["other"]).verify(KNOWN, BODY, now), Err(Forged::Wrong));
        assert_eq!(secrets(&[]).verify(KNOWN, BODY, now), Err(Forged::Wrong));
    }

    #[test]
    fn secrets_rotate_on_either_side() {
        let now = at(1_700_000_000);
        let (old, new, both) = (secrets(&["old"]), secrets(&["new"]), secrets(&["old", "new"]));

        for (signer, verifier) in [(&old, &both), (&new, &both), (&both, &old), (&both, &new)] {
            assert_eq!(verifier.verify(&signer.sign(BODY, now), BODY, now), Ok(()));
        }
    }

    #[test]
    fn headers_of_another_form_are_malformed() {
        let now = at(1_700_000_000);
        for header in [
            "",
            "t=1700000000",
            "v1=00",
            "t=x,v1=00",
            "t=1700000000,v1=0",
            "t=1700000000,v1=zz",
            "t=1,t=2,v1=00",
            "hello",
        ] {
            assert_eq!(secrets(&["secret"]).verify(header, BODY, now), Err(Forged::Malformed), "{header:?}");
        }
    }
}
