//! The Ed25519 key that signs tickets, kept in booking's database; the newest one signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::db::Db;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;

use crate::domain::ticket::TicketClaims;

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
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|e| anyhow::anyhow!("ticket key {key_id}: {e}"))?;
        Ok(Self { key_id: key_id.cast_unsigned(), pair })
    }

    /// Which key this is.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// `evt1.<claims>.<signature>`, both parts base64url without padding.
    pub fn sign(&self, claims: &TicketClaims) -> String {
        let bytes = claims.encode();
        let signature = self.pair.sign(&bytes);
        format!("evt1.{}.{}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
