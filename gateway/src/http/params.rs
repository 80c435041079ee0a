//! The parameters of a GraphQL request, from a JSON body or a query string.

use async_graphql::Variables;
use axum::extract::Query;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reply::Rejection;

/// What to execute.
#[derive(Debug)]
pub struct Params {
    /// The document.
    pub query: String,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Values of its variables.
    pub variables: Variables,
}

/// The object in a body. Unknown members are ignored, as the specification asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    query: Option<String>,
    operation_name: Option<String>,
    #[serde(default)]
    variables: Variables,
    /// Reserved: an object or null.
    #[serde(default, rename = "extensions")]
    _extensions: Option<std::collections::HashMap<String, IgnoredAny>>,
}

/// The parameters in a query string; `variables` and `extensions` are JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

impl Params {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// 400: not UTF-8, not JSON, a batch, a member of the wrong type, or no query.
    pub fn from_body(body: &[u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
        if text.trim_start().starts_with('[') {
            return Err(bad("batches are not supported: send one request at a time"));
        }
        let body: Body = serde_json::from_str(text).map_err(|error| bad(format!("the body is not good: {error}")))?;
        Self::new(body.query, body.operation_name, body.variables)
    }

    /// Reads a query string.
    ///
    /// # Errors
    /// 400: a repeated or malformed parameter, or no query.
    pub fn from_uri(uri: &Uri) -> Result<Self, Rejection> {
        let Query(search) = Query::<Search>::try_from_uri(uri).map_err(|error| bad(error.body_text()))?;
        let variables = object("variables", search.variables.as_deref())?;
        object::<Option<serde_json::Map<String, serde_json::Value>>>("extensions", search.extensions.as_deref())?;
        Self::new(search.query, search.operation_name, variables)
    }

    fn new(query: Option<String>, operation_name: Option<String>, variables: Variables) -> Result<Self, Rejection> {
        let query = query.filter(|query| !query.is_empty()).ok_or_else(|| bad("parameter query is missing"))?;
        Ok(Self { query, operation_name, variables })
    }
}

fn object<T: Default + for<'a> Deserialize<'a>>(name: &str, text: Option<&str>) -> Result<T, Rejection> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|error| bad(format!("parameter {name} is not a JSON object: {error}")))
}

fn bad(message: impl Into<String>) -> Rejection {
    Rejection::http(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_or_refused() {
        for (body, good) in [
            (r#"{"query": "{ a }"}"#, true),
            (r#"{"query": "{ a }", "variables": null, "operationName": null, "extensions": null}"#, true),
            (r#"{"query": "{ a }", "variables": {"a": [1]}, "extensions": {"x": 1}, "more": 1}"#, true),
            (r#"{"query": "{ a }", "variables": []}"#, false),
            (r#"{"query": "{ a }", "variables": "{}"}"#, false),
            (r#"{"query": "{ a }", "extensions": 5}"#, false),
            (r#"{"query": {}}"#, false),
            (r#"{"query": ""}"#, false),
            ("{}", false),
            (r#" [{"query": "{ a }"}]"#, false),
            ("", false),
            ("\"{ a }\"", false),
        ] {
            assert_eq!(Params::from_body(body.as_bytes()).is_ok(), good, "{body}");
        }
        assert!(Params::from_body(b"{\"query\": \"\xff\"}").is_err());
    }

    #[test]
    fn query_strings_are_read_or_refused() {
        for (uri, good) in [
            ("/graphql?query=%7Ba%7D", true),
            ("/graphql?query=%7Ba%7D&variables=%7B%22n%22:1%7D&operationName=Q&extensions=%7B%7D", true),
            ("/graphql?query=%7Ba%7D&variables=5", false),
            ("/graphql?query=a&query=b", false),
            ("/graphql", false),
        ] {
            assert_eq!(Params::from_uri(&uri.parse().unwrap()).is_ok(), good, "{uri}");
        }
    }
}
