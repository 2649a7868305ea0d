//! Free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that the system gives to nobody by itself, so that nobody takes one between being found and being used.
const FIRST: u32 = 10_000;
const COUNT: u32 = 10_000;

/// An address that nobody listens at, and that no other test of this process is given.
///
/// # Panics
/// All are taken.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two runs at the same time begin at different places.
    let own = std::process::id().wrapping_mul(37);
    for _ in 0..COUNT {
        let port = FIRST + own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}
