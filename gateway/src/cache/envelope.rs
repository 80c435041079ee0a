//! How a value lies in Redis: sealed together with its key, its generation and the instant it was read. Whatever does not
//! open is a miss: foreign, truncated or garbage bytes, another key's value, another generation's, or an old one.

use bytes::Bytes;
use prost::Message;
use ring::{digest, hmac};

/// First bytes of every value.
const MAGIC: &[u8] = b"EVX1";
/// Bytes of an HMAC-SHA256 tag.
const TAG_BYTES: usize = 32;

/// A value and what is to be known about it.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    /// The generation its reader found before it read.
    #[prost(string, tag = "1")]
    pub generation: String,
    /// When reading it began, microseconds since 1970: it is at least this fresh.
    #[prost(int64, tag = "2")]
    pub read_at: i64,
    /// The encoded value; absent when there is no such thing.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub payload: Option<Bytes>,
}

/// Seals and opens envelopes, with a key that all replicas share.
pub struct Seal {
    key: hmac::Key,
}

impl Seal {
    /// A seal made of the secret that also signs cursors.
    pub fn new(secret: &str) -> Self {
        let of_its_own = digest::digest(&digest::SHA256, format!("eventix cache\0{secret}").as_bytes());
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, of_its_own.as_ref()) }
    }

    /// The bytes to store under `key`.
    pub fn close(&self, key: &str, envelope: &Envelope) -> Bytes {
        let body = envelope.encode_to_vec();
        [MAGIC, self.tag(key, &body).as_ref(), &body].concat().into()
    }

    /// What was stored under `key`, if it was stored by us, there, and is whole.
    pub fn open(&self, key: &str, bytes: &Bytes) -> Option<Envelope> {
        let start = MAGIC.len() + TAG_BYTES;
        if !bytes.starts_with(MAGIC) || bytes.len() < start {
            return None;
        }
        let body = bytes.slice(start..);
        hmac::verify(&self.key, &signed(key, &body), &bytes[MAGIC.len()..start]).ok()?;
        Envelope::decode(body).ok()
    }

    fn tag(&self, key: &str, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &signed(key, body))
    }
}

/// The key ends at the zero byte, so that no two pairs look alike.
fn signed(key: &str, body: &[u8]) -> Vec<u8> {
    [key.as_bytes(), &[0], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope { generation: "g".into(), read_at: 7, payload: Some(Bytes::from_static(b"value")) }
    }

    #[test]
    fn a_value_opens_under_its_own_key_and_seal_only() {
        let seal = Seal::new("secret");
        let bytes = seal.close("event/1", &envelope());

        assert_eq!(seal.open("event/1", &bytes), Some(envelope()));
        assert_eq!(seal.open("event/2", &bytes), None);
        assert_eq!(Seal::new("other").open("event/1", &bytes), None);
    }

    #[test]
    fn every_changed_missing_or_further_byte_is_noticed() {
        let seal = Seal::new("secret");
        let bytes = seal.close("event/1", &envelope());

        for at in 0..bytes.len() {
            let mut bent = bytes.to_vec();
            bent[at] ^= 1;
            assert_eq!(seal.open("event/1", &bent.into()), None, "byte {at}");
            assert_eq!(seal.open("event/1", &bytes.slice(..at)), None, "cut at {at}");
        }
        assert_eq!(seal.open("event/1", &[&bytes[..], b"x"].concat().into()), None);
        assert_eq!(
            seal.open("event/1", &Bytes::from_static(b"anything at all, long enough for a tag or two of them")),
            None
        );
    }
}
