//! Counts the lexical tokens and open brackets of a document without building anything: the parser recurses per bracket,
//! so nesting must be bounded before it runs.

use super::{Exceeded, within};
use crate::config::Limits;

/// Checks token count and bracket nesting. What is not GraphQL at all is left to the parser.
///
/// # Errors
/// The first limit that is broken.
pub fn check(document: &str, limits: &Limits) -> Result<(), Exceeded> {
    let mut rest = document.as_bytes();
    let (mut tokens, mut open) = (0_u64, 0_u64);
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0xEF | 0xBB | 0xBF => after,
            b'#' => skip_while(after, |byte| byte != b'\n' && byte != b'\r'),
            first => {
                tokens += 1;
                within("tokens", tokens, limits.tokens as u64)?;
                match first {
                    b'{' | b'[' | b'(' => open += 1,
                    b'}' | b']' | b')' => open = open.saturating_sub(1),
                    _ => {}
                }
                within("brackets open at once", open, limits.nesting as u64)?;
                after_token(rest)
            }
        };
    }
    Ok(())
}

/// What follows the token at the start of `rest`.
fn after_token(rest: &[u8]) -> &[u8] {
    if let Some(inner) = rest.strip_prefix(b"\"\"\"") {
        return after_block_string(inner);
    }
    match rest[0] {
        b'"' => after_string(&rest[1..]),
        b'.' => skip_while(rest, |byte| byte == b'.'),
        b'_' | b'a'..=b'z' | b'A'..=b'Z' => skip_while(rest, |byte| byte == b'_' || byte.is_ascii_alphanumeric()),
        b'-' | b'0'..=b'9' => {
            skip_while(&rest[1..], |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
        }
        _ => &rest[1..],
    }
}

fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => return after,
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    rest
}

fn after_block_string(mut rest: &[u8]) -> &[u8] {
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b"\\\"\"\"") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"\"\"\"") {
            return after;
        } else {
            rest = &rest[1..];
        }
    }
    rest
}

fn skip_while(rest: &[u8], wanted: impl Fn(u8) -> bool) -> &[u8] {
    let end = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
    &rest[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tokens(tokens: usize) -> Limits {
        Limits { tokens, ..Limits::default() }
    }

    #[test]
    fn tokens_are_counted_as_the_grammar_does() {
        for (document, tokens) in [
            ("{ a }", 3),
            ("query Q($n: Int! = -1.5e+3) { a(n: $n) ...F @skip(if: true) }", 29),
            ("# { { { comment\n{ a }", 3),
            (r#"{ a(s: "} \" {") }"#, 8),
            ("{ a(s: \"\"\"block \\\"\"\" { \"\"\") }", 8),
            ("{ a(s: \"never ends { { {", 6),
            ("", 0),
        ] {
            assert!(check(document, &with_tokens(tokens)).is_ok(), "{document}: more than {tokens}");
            if tokens > 0 {
                assert!(check(document, &with_tokens(tokens - 1)).is_err(), "{document}: fewer than {tokens}");
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_the_parser_recurses() {
        let limits = Limits { tokens: 1_000_000, ..Limits::default() };
        for bracket in ["{", "[", "("] {
            let refusal = check(&bracket.repeat(100_000), &limits).unwrap_err();

            assert_eq!(refusal, Exceeded::Over { what: "brackets open at once", value: 61, limit: 60 });
        }
    }
}
