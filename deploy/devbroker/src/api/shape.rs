//! Guards the decoder: kafka-protocol reserves memory for as many list entries as a request *claims*, so a forged count
//! would abort the process. Lists are therefore counted against the bytes present before anything is decoded.

use thiserror::Error;

/// Entries of all lists of one request together; a fetch of a thousand partitions is far below.
const ENTRIES_MAX: usize = 10_000;

/// One part of a request in the classic encoding.
pub enum Part {
    /// So many bytes of numbers.
    Fixed(usize),
    /// A string with a two-byte length, −1 for null.
    Text,
    /// A blob with a four-byte length, −1 for null.
    Blob,
    /// A list with a four-byte count, −1 for null.
    List(&'static [Part]),
}

use Part::{Blob, Fixed, List, Text};

// What follows the last list of a request is left out: the decoder reads it safely.
pub const METADATA: &[Part] = &[List(&[Text])];
pub const CREATE_TOPICS: &[Part] =
    &[List(&[Text, Fixed(4 + 2), List(&[Fixed(4), List(&[Fixed(4)])]), List(&[Text, Text])])];
pub const PRODUCE: &[Part] = &[Text, Fixed(2 + 4), List(&[Text, List(&[Fixed(4), Blob])])];
pub const FETCH: &[Part] = &[Fixed(4 + 4 + 4 + 4 + 1), List(&[Text, List(&[Fixed(4 + 8 + 4)])])];
pub const LIST_OFFSETS: &[Part] = &[Fixed(4 + 1), List(&[Text, List(&[Fixed(4 + 8)])])];

/// Why a body is not decoded.
#[derive(Debug, Error)]
pub enum ShapeError {
    #[error("it ends too early")]
    Short,
    #[error("it has more than {ENTRIES_MAX} list entries")]
    Entries,
}

/// Walks `body` along `parts`.
pub fn check(parts: &[Part], mut body: &[u8]) -> Result<(), ShapeError> {
    let mut entries = ENTRIES_MAX;
    walk(parts, &mut body, &mut entries)
}

fn walk(parts: &[Part], body: &mut &[u8], entries: &mut usize) -> Result<(), ShapeError> {
    for part in parts {
        match part {
            Fixed(len) => skip(body, *len)?,
            Text => {
                let len = i16::from_be_bytes(take(body)?);
                skip(body, usize::try_from(len).unwrap_or(0))?;
            }
            Blob => {
                let len = i32::from_be_bytes(take(body)?);
                skip(body, usize::try_from(len).unwrap_or(0))?;
            }
            List(entry) => {
                let count = usize::try_from(i32::from_be_bytes(take(body)?)).unwrap_or(0);
                *entries = entries.checked_sub(count).ok_or(ShapeError::Entries)?;
                for _ in 0..count {
                    walk(entry, body, entries)?;
                }
            }
        }
    }
    Ok(())
}

fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], ShapeError> {
    let (taken, rest) = body.split_first_chunk::<N>().ok_or(ShapeError::Short)?;
    *body = rest;
    Ok(*taken)
}

fn skip(body: &mut &[u8], len: usize) -> Result<(), ShapeError> {
    *body = body.get(len..).ok_or(ShapeError::Short)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_count_is_refused_before_memory_is_reserved() {
        let forged = i32::MAX.to_be_bytes();

        assert!(matches!(check(METADATA, &forged), Err(ShapeError::Entries)));
    }

    #[test]
    fn a_count_beyond_the_bytes_present_is_refused() {
        let forged = 3_i32.to_be_bytes();

        assert!(matches!(check(METADATA, &forged), Err(ShapeError::Short)));
    }

    #[test]
    fn null_lists_and_what_follows_the_lists_pass() {
        assert!(check(METADATA, &[0xff, 0xff, 0xff, 0xff, 1]).is_ok());
    }
}
