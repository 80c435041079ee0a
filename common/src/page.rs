//! Keyset pages: how many, after what, and whether more follow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most rows of one page.
pub const PAGE_SIZE_MAX: u32 = 100;

/// Checks a page size: 1 to 100.
pub fn page_size(wanted: u32) -> Option<u32> {
    (1..=PAGE_SIZE_MAX).contains(&wanted).then_some(wanted)
}

/// Writes a key as an opaque page token.
pub fn token<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).expect("keys are plain tuples of strings and numbers"))
}

/// Reads a page token back; `None` when it is not one of ours.
pub fn key<K: DeserializeOwned>(token: &str) -> Option<K> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// Cuts a list read with one row more than asked for; true when more follow.
pub fn cut<T>(rows: &mut Vec<T>, page_size: u32) -> bool {
    let more = rows.len() > page_size as usize;
    rows.truncate(page_size as usize);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_garbage_is_refused() {
        let key_in = (17_i64, "id".to_owned());

        assert_eq!(key::<(i64, String)>(&token(&key_in)), Some(key_in));
        assert_eq!(key::<(i64, String)>("garbage"), None);
    }

    #[test]
    fn a_page_is_cut_to_size() {
        let mut rows = vec![1, 2, 3];

        assert!(cut(&mut rows, 2));
        assert_eq!(rows, [1, 2]);
    }
}
