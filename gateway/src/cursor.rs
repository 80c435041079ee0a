//! Signed cursors: a service's page token, bound to one list, so that clients can neither make nor bend one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// Signs where no key is configured: public, so it guards against mistakes, not against malice.
const PUBLIC_KEY: &str = "eventix development cursors";
/// Bytes of an HMAC-SHA256 tag.
const TAG_BYTES: usize = 32;

/// Makes and reads cursors.
pub struct Cursors {
    key: hmac::Key,
}

impl Cursors {
    /// Signs with `key`, or with the public one when it is empty.
    pub fn new(key: &str) -> Self {
        let key = if key.is_empty() { PUBLIC_KEY } else { key };
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()) }
    }

    /// The cursor of a row of `list` whose service named it `token`.
    pub fn seal(&self, list: &str, token: &str) -> String {
        let tag = hmac::sign(&self.key, &signed(list, token.as_bytes()));
        URL_SAFE_NO_PAD.encode([tag.as_ref(), token.as_bytes()].concat())
    }

    /// The service's token inside a cursor of `list`; `None` when it is not one of ours.
    pub fn open(&self, list: &str, cursor: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, token) = bytes.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.key, &signed(list, token), tag).ok()?;
        String::from_utf8(token.to_vec()).ok()
    }
}

/// The name ends at the zero byte, so that no two pairs look alike.
fn signed(list: &str, token: &[u8]) -> Vec<u8> {
    [list.as_bytes(), &[0], token].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_for_its_own_list_and_key() {
        let cursors = Cursors::new("secret");
        let cursor = cursors.seal("events", "token-7");

        assert_eq!(cursors.open("events", &cursor).as_deref(), Some("token-7"));
        assert_eq!(cursors.open("bookings", &cursor), None);
        assert_eq!(Cursors::new("other").open("events", &cursor), None);
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let cursors = Cursors::new("");
        let cursor = cursors.seal("events", "token-7");

        for at in 0..cursor.len() {
            let mut bent = cursor.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(cursors.open("events", &bent).is_none(), "character {at}");
        }
        assert_eq!(cursors.open("events", ""), None);
        assert_eq!(cursors.open("events", "no base64!"), None);
    }
}
