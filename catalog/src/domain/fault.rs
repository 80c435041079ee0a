//! A field that cannot be accepted, and the checks of plain texts.

/// Longest message, bytes: it travels three times in one gRPC trailer, whose peers accept 16 KiB.
const MESSAGE_BYTES_MAX: usize = 1_200;
/// Longest piece of a caller's own text shown in a message, characters.
const QUOTED_MAX: usize = 80;

/// A field of a request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Its path in proto spelling, for instance `prices.2.amount_minor`.
    pub field: String,
    /// What is wrong with it; at most 1,200 bytes.
    pub message: String,
}

impl Fault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - '…'.len_utf8()));
            message.push('…');
        }
        Self { field: field.into(), message }
    }

    /// The same fault, of a field inside `outer`.
    #[must_use]
    pub fn inside(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), message: self.message }
    }
}

/// A caller's text as messages show it: in quotes, escaped, cut when long.
pub fn quote(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

/// Checks a text of one line, without the spaces around it.
pub fn line(field: &str, text: &str, min: usize, max: usize) -> Result<String, Fault> {
    let text = text.trim();
    let length = text.chars().count();
    if length < min || length > max {
        return Err(Fault::new(field, format!("must be {min} to {max} characters long, not {length}")));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new(field, "must not contain control characters"));
    }
    Ok(text.to_owned())
}

/// Checks a text of any number of lines.
pub fn prose(field: &str, text: String, max: usize) -> Result<String, Fault> {
    let length = text.chars().count();
    if length > max {
        return Err(Fault::new(field, format!("must be at most {max} characters long, not {length}")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Fault::new(field, "must not contain control characters other than line breaks and tabs"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        let fault = Fault::new("name", "ї".repeat(5_000));

        assert!(fault.message.len() <= MESSAGE_BYTES_MAX);
        assert!(fault.message.ends_with('…'));
    }

    #[test]
    fn lines_are_trimmed_and_measured_in_characters() {
        assert_eq!(line("title", "  Їжак ", 1, 4), Ok("Їжак".to_owned()));
        assert_eq!(line("title", " ", 1, 4).unwrap_err().message, "must be 1 to 4 characters long, not 0");
        assert!(line("title", "a\nb", 1, 4).is_err());
    }
}
