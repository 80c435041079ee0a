//! The Ed25519 keys of tickets, kept in booking's database: the newest one signs, all of them verify.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::db::Db;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sea_orm::DbErr;

use crate::domain::ticket::TicketClaims;

/// Begins every token.
const PREFIX: &str = "evt1.";

/// Signs tickets.
pub struct TicketKey {
    key_id: u32,
    pair: Ed25519KeyPair,
}

impl TicketKey {
    /// Reads the newest key, making the first one.
    ///
    /// # Errors
    /// The database, or a seed that is no seed.
    pub async fn load(db: &Db) -> anyhow::Result<Self> {
        let mut seed = vec![0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| anyhow::anyhow!("no randomness for a ticket key"))?;
        let first = format!(
            "INSERT INTO ticket_keys (key_id, seed, created_at) VALUES (1, $1, {}) ON CONFLICT DO NOTHING",
            db.now_sql()
        );
        db.execute(db.writer(), first, [seed.into()]).await?;

        let newest = "SELECT key_id, seed FROM ticket_keys ORDER BY key_id DESC LIMIT 1";
        let rows = db.query(db.writer(), newest, []).await?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("no ticket key"))?;
        let (key_id, seed): (i32, Vec<u8>) = (row.try_get("", "key_id")?, row.try_get("", "seed")?);
        Ok(Self { key_id: key_id.cast_unsigned(), pair: pair(key_id, &seed)? })
    }

    /// Which key this is.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// `evt1.<claims>.<signature>`, both parts base64url without padding.
    pub fn sign(&self, claims: &TicketClaims) -> String {
        let bytes = claims.encode();
        let signature = self.pair.sign(&bytes);
        format!("{PREFIX}{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn pair(key_id: i32, seed: &[u8]) -> Result<Ed25519KeyPair, DbErr> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|e| DbErr::Custom(format!("broken row: ticket_keys.seed: key {key_id}: {e}")))
}

/// What verifies the tickets that one key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPublicKey {
    /// Which key.
    pub key_id: u32,
    /// Ed25519, 32 bytes.
    pub bytes: Vec<u8>,
}

/// All keys, oldest first; read anew, because another process may have made one.
pub async fn public_keys(db: &Db) -> Result<Vec<TicketPublicKey>, DbErr> {
    let rows = db.query(db.reader(), "SELECT key_id, seed FROM ticket_keys ORDER BY key_id", []).await?;
    let key = |row: &sea_orm::QueryResult| {
        let (key_id, seed): (i32, Vec<u8>) = (row.try_get("", "key_id")?, row.try_get("", "seed")?);
        let bytes = pair(key_id, &seed)?.public_key().as_ref().to_vec();
        Ok(TicketPublicKey { key_id: key_id.cast_unsigned(), bytes })
    };
    rows.iter().map(key).collect()
}

/// What a token says, if the key it names has signed it.
pub fn verified(token: &str, keys: &[TicketPublicKey]) -> Option<TicketClaims> {
    let (claims, signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
    let (claims, signature) = (URL_SAFE_NO_PAD.decode(claims).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
    let said = TicketClaims::decode(&claims)?;
    let key = keys.iter().find(|key| key.key_id == said.key_id)?;
    UnparsedPublicKey::new(&ED25519, &key.bytes).verify(&claims, &signature).ok()?;
    Some(said)
}

#[cfg(test)]
mod tests {
    use common::ids::{EventId, TicketId};
    use uuid::Uuid;

    use super::*;

    fn key(key_id: u32, seed: u8) -> (TicketKey, TicketPublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let bytes = pair.public_key().as_ref().to_vec();
        (TicketKey { key_id, pair }, TicketPublicKey { key_id, bytes })
    }

    #[test]
    fn only_the_key_a_token_names_verifies_it() {
        let ((old, old_public), (new, new_public)) = (key(1, 1), key(2, 2));
        let (_, other) = key(1, 3);
        let keys = [old_public, new_public];
        let (ticket_id, event_id) = (TicketId::new(), EventId::new());
        let claims = |key_id| TicketClaims { ticket_id, event_id, place: Uuid::nil(), version: 1, key_id };

        assert_eq!(verified(&old.sign(&claims(1)), &keys), Some(claims(1)));
        assert_eq!(verified(&new.sign(&claims(2)), &keys), Some(claims(2)));
        assert_eq!(verified(&old.sign(&claims(2)), &keys), None);
        assert_eq!(verified(&old.sign(&claims(3)), &keys), None);
        assert_eq!(verified(&old.sign(&claims(1)), &[other]), None);
    }

    #[test]
    fn what_is_bent_is_not_verified() {
        let (signer, public) = key(1, 1);
        let (ticket_id, event_id) = (TicketId::new(), EventId::new());
        let token = signer.sign(&TicketClaims { ticket_id, event_id, place: Uuid::nil(), version: 1, key_id: 1 });
        let flipped = if token.ends_with("AA") { "BB" } else { "AA" };

        for bent in [
            "",
            "evt1.",
            "evt1.a.b",
            &token[5..],
            &token[..token.len() - 1],
            &format!("{token}A"),
            &format!("{}{flipped}", &token[..token.len() - 2]),
            &token.replacen("evt1", "evt2", 1),
        ] {
            assert_eq!(verified(bent, std::slice::from_ref(&public)), None, "{bent}");
        }
    }
}
