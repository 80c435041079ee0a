//! Ports for processes that are started again on the same one: below those the kernel gives out by itself, so that nobody
//! takes one while its process is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
/// The kernel gives out ports from 32768 on.
const COUNT: u16 = 12_000;

/// A loopback address that nobody else has, for as long as the test runs.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run at once begin at different places.
    let offset = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let nth = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_add(offset) % u32::from(COUNT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + u16::try_from(nth).unwrap_or(0)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free from {FIRST} on");
}
