//! Addresses for pods that are processes of this machine.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, TcpListener},
};

/// As many as a scenario may need: pods that come while others go, and two
/// proxies.
const NEEDED: usize = 8;

/// In a network of the loopback interface that no other test has: the double
/// takes them.
pub fn loopback() -> Vec<IpAddr> {
    let (a, b) = (fastrand::u8(16..=254), fastrand::u8(..));
    (1..=250)
        .map(|host| Ipv4Addr::new(127, a, b, host).into())
        .collect()
}

/// Addresses that a real API server takes, which are those outside of
/// 127.0.0.0/8: of `TAILBACK_TEST_POD_CIDR`, else any others that the interface
/// `lo` has.
///
/// # Errors
/// Why there are none, and what helps.
pub fn routable() -> Result<Vec<IpAddr>, String> {
    let help = "Set TAILBACK_TEST_POD_CIDR to a network that is this machine's own: \
                `ip route add local 198.18.77.0/24 dev lo` makes 198.18.77.0/24 so";
    let candidates = match env::var("TAILBACK_TEST_POD_CIDR") {
        Ok(cidr) => hosts(&cidr)?,
        Err(_) => of_loopback_interface(),
    };
    let usable: Vec<IpAddr> = candidates
        .into_iter()
        .filter(|address| TcpListener::bind((*address, 0)).is_ok())
        .take(250)
        .collect();
    if usable.len() < NEEDED {
        return Err(format!(
            "{} of the {NEEDED} needed can be listened on. {help}",
            usable.len()
        ));
    }
    Ok(usable)
}

fn hosts(cidr: &str) -> Result<Vec<IpAddr>, String> {
    let wrong = || format!("TAILBACK_TEST_POD_CIDR is {cidr:?}; expected such as 198.18.77.0/24");
    let (network, length) = cidr.split_once('/').ok_or_else(wrong)?;
    let network: Ipv4Addr = network.parse().map_err(|_| wrong())?;
    let length: u32 = length.parse().map_err(|_| wrong())?;
    let size = 1_u32.checked_shl(32 - length.min(32)).unwrap_or(u32::MAX);
    let first = network.to_bits();
    Ok((1..size.min(256).saturating_sub(1))
        .map(|host| Ipv4Addr::from_bits(first + host).into())
        .collect())
}

fn of_loopback_interface() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter(|interface| interface.interface_name == "lo")
        .filter_map(|interface| interface.address?.as_sockaddr_in().map(|a| a.ip()))
        .filter(|address| !address.is_loopback())
        .map(Into::into)
        .collect()
}
