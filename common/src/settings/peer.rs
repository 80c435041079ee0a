//! Where other services answer.

use std::net::{Ipv4Addr, SocketAddr};

use http::Uri;
use serde::{Deserialize, Serialize, Serializer};

/// Another service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peer {
    /// Where its replicas answer gRPC: `http://host:port`, several separated by commas.
    pub endpoints: Endpoints,
}

impl Peer {
    /// One replica on a port of this machine, where services run unless told otherwise.
    pub fn on_loopback(port: u16) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// One replica, reached without encryption.
    pub fn at(address: SocketAddr) -> Self {
        let uri = format!("http://{address}").parse().expect("a socket address is part of an address");
        Self { endpoints: Endpoints(vec![uri]) }
    }
}

/// At least one address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoints(Vec<Uri>);

impl Endpoints {
    /// The addresses, in the order they were given.
    pub fn all(&self) -> &[Uri] {
        &self.0
    }

    /// The first of them.
    pub fn first(&self) -> String {
        shown(&self.0[0])
    }
}

fn shown(uri: &Uri) -> String {
    uri.to_string().trim_end_matches('/').to_owned()
}

/// A list that holds something else than addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// What it is.
    #[error("{0:?} is not an address such as http://host:50051; several are separated by commas")]
    Malformed(String),
    /// It asks for what services do not speak.
    #[error(
        "{0:?} asks for TLS, which services do not speak among themselves: let the network encrypt, and say http://"
    )]
    Encrypted(String),
}

impl TryFrom<String> for Endpoints {
    type Error = NotAnEndpoint;

    fn try_from(list: String) -> Result<Self, NotAnEndpoint> {
        list.split(',').map(|text| endpoint(text.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn endpoint(text: &str) -> Result<Uri, NotAnEndpoint> {
    let wrong = || NotAnEndpoint::Malformed(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, port) = (uri.scheme_str(), uri.port_u16());
    let bare = uri.path() == "/" && uri.query().is_none() && !text.contains('@');
    if scheme == Some("https") {
        return Err(NotAnEndpoint::Encrypted(text.to_owned()));
    }
    if scheme == Some("http") && port.is_some() && bare { Ok(uri) } else { Err(wrong()) }
}

impl Serialize for Endpoints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<String> = self.0.iter().map(shown).collect();
        serializer.serialize_str(&list.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_endpoints_is_read_and_shown_alike() {
        let endpoints = Endpoints::try_from("http://a:1, http://b.example:2".to_owned()).unwrap();

        assert_eq!(endpoints.all().len(), 2);
        assert_eq!(serde_json::to_value(&endpoints).unwrap(), "http://a:1,http://b.example:2");
    }

    #[test]
    fn what_is_no_endpoint_is_named() {
        for bad in ["", "a:1", "http://a", "ftp://a:1", "http://a:1/path", "http://u:p@a:1", "http://a:1,,http://b:2"] {
            assert!(Endpoints::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        let refusal = Endpoints::try_from("http://a:1,nowhere at all".to_owned()).unwrap_err().to_string();
        assert!(refusal.starts_with("\"nowhere at all\" is not an address"), "{refusal}");
        let refusal = Endpoints::try_from("https://a:1".to_owned()).unwrap_err().to_string();
        assert!(refusal.starts_with("\"https://a:1\" asks for TLS"), "{refusal}");
    }
}
