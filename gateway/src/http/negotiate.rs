//! Media types of GraphQL over HTTP: which one the client can read, and which one it sent.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// How an answer is labelled; the label also decides the status of a request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: a refused document is a 4xx.
    GraphqlResponse,
    /// `application/json`, for clients older than the specification: a refused document is a 200.
    Json,
}

impl Media {
    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// Chooses what the client likes best; `None` when it can read neither. Without `Accept`, or when it reads anything alike, it is
/// plain JSON, as the audit suite of the specification asks.
pub fn accepted(headers: &HeaderMap) -> Option<Media> {
    if !headers.contains_key(ACCEPT) {
        return Some(Media::Json);
    }
    let ranges: Vec<Range> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    let (modern, named) = quality(&ranges, "application/graphql-response+json");
    let (legacy, _) = quality(&ranges, "application/json");
    match (modern, legacy) {
        (0, 0) => None,
        (modern, legacy) if modern > legacy || (modern == legacy && named) => Some(Media::GraphqlResponse),
        _ => Some(Media::Json),
    }
}

/// Whether a body is JSON in UTF-8 by its label.
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.filter(|part| !part.is_empty()).all(is_utf8)
}

fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
}

/// One media range of an `Accept` header.
struct Range {
    essence: String,
    /// Thousandths, 0 to 1000.
    quality: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next()?.to_ascii_lowercase();
        let mut quality = 1000;
        for part in parts {
            let (name, value) = part.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("q") {
                let number: f32 = value.trim().parse().ok()?;
                quality = thousandths(number)?;
            } else if !is_utf8(part) {
                return None;
            }
        }
        Some(Self { essence, quality })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
fn thousandths(number: f32) -> Option<u32> {
    (0.0..=1.0).contains(&number).then_some((number * 1000.0) as u32)
}

/// How much a media type is liked, and whether it was named itself: the most specific range decides.
fn quality(ranges: &[Range], media: &str) -> (u32, bool) {
    for (pattern, named) in [(media, true), ("application/*", false), ("*/*", false)] {
        if let Some(range) = ranges.iter().find(|range| range.essence == pattern) {
            return (range.quality, named);
        }
    }
    (0, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_best_liked_media_type_is_chosen() {
        use Media::{GraphqlResponse, Json};
        for (accept, expected) in [
            ("application/graphql-response+json", Some(GraphqlResponse)),
            ("application/graphql-response+json; charset=utf-8, application/json;q=0.9", Some(GraphqlResponse)),
            ("application/json, application/graphql-response+json", Some(GraphqlResponse)),
            ("application/json", Some(Json)),
            ("application/json, */*", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*;q=0.5", Some(Json)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("application/json; charset=latin-1", None),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(accepted(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(accepted(&HeaderMap::new()), Some(Json));
    }

    #[test]
    fn only_json_in_utf8_is_a_good_body() {
        for (label, good) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/graphql", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            assert_eq!(is_json(&headers(CONTENT_TYPE, label)), good, "{label}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
