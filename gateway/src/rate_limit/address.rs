//! Whose address a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bits of an IPv6 address that name a customer's network; the rest a client can choose at will.
const IPV6_NETWORK: u128 = !0 << 64;

/// The client's address behind `trusted` proxies. Each proxy appends the address it was called from, so that the entry
/// written by the outermost trusted one is the client; what stands before it was the client's own to write.
pub fn of_client(peer: IpAddr, headers: &HeaderMap, trusted: usize) -> IpAddr {
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let believed = &entries[entries.len() - trusted.min(entries.len())..];
    believed.first().and_then(|entry| parse(entry)).unwrap_or(peer).to_canonical()
}

/// What a limit is about: an IPv4 address, or the /64 network of an IPv6 one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & IPV6_NETWORK).into(),
    }
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = || entry.trim_start_matches('[').trim_end_matches(']').parse().ok();
    entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip())).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let peer = "10.0.0.1";
        for (forwarded, trusted, expected) in [
            (&["6.6.6.6"][..], 0, peer),
            (&["6.6.6.6, 203.0.113.9"], 1, "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9, 10.0.0.2"], 2, "203.0.113.9"),
            (&["6.6.6.6", "203.0.113.9,10.0.0.2"], 2, "203.0.113.9"),
            (&["203.0.113.9"], 3, "203.0.113.9"),
            (&[], 1, peer),
            (&["unknown"], 1, peer),
            (&["203.0.113.9:4711"], 1, "203.0.113.9"),
            (&["[2001:db8::7]:4711"], 1, "2001:db8::7"),
            (&["[2001:db8::7]"], 1, "2001:db8::7"),
            (&["::ffff:203.0.113.9"], 1, "203.0.113.9"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            assert_eq!(of_client(ip(peer), &headers, trusted), ip(expected), "{forwarded:?} with {trusted}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(network(ip("203.0.113.9")), ip("203.0.113.9"));
        assert_eq!(network(ip("::ffff:203.0.113.9")), ip("203.0.113.9"));
    }
}
