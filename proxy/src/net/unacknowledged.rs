//! From the kernel's `TCP_INFO`: how many sent bytes the peer's host has acknowledged, and how
//! many it has not.

use std::os::fd::{AsFd, AsRawFd};

#[cfg(target_os = "linux")]
use nix::libc;

/// Size of Linux's `struct tcp_info` (`include/uapi/linux/tcp.h`) up to and including
/// `tcpi_bytes_retrans`. Newer kernels only append fields.
#[cfg(target_os = "linux")]
const INFO: usize = 216;
#[cfg(target_os = "linux")]
const BYTES_ACKED: usize = 120;
#[cfg(target_os = "linux")]
const NOTSENT_BYTES: usize = 144;
#[cfg(target_os = "linux")]
const BYTES_SENT: usize = 200;
#[cfg(target_os = "linux")]
const BYTES_RETRANS: usize = 208;

/// The bytes written to `tcp` that the peer's host has not acknowledged. This also works after the
/// connection has ended; a reset acknowledges nothing. `None` if the kernel does not report it:
/// Linux before 4.19, and other systems.
#[cfg(target_os = "linux")]
pub(crate) fn unacknowledged(tcp: impl AsFd) -> Option<u64> {
    let info = Info::read(tcp)?;
    let notsent = info.0.get(NOTSENT_BYTES..NOTSENT_BYTES + 4)?;
    let notsent = u32::from_ne_bytes(notsent.try_into().ok()?);
    let sent = info.number(BYTES_SENT)?;
    let written = sent.checked_sub(info.number(BYTES_RETRANS)?)? + u64::from(notsent);
    written.checked_sub(info.acknowledged()?)
}

/// The bytes that the peer's host has acknowledged. `None` as for [`unacknowledged`].
#[cfg(target_os = "linux")]
pub(crate) fn acknowledged(tcp: impl AsFd) -> Option<u64> {
    Info::read(tcp)?.acknowledged()
}

/// Linux's `struct tcp_info`.
#[cfg(target_os = "linux")]
struct Info([u8; INFO]);

#[cfg(target_os = "linux")]
impl Info {
    fn read(tcp: impl AsFd) -> Option<Self> {
        let mut info = [0u8; INFO];
        let mut length = INFO as libc::socklen_t;
        // SAFETY: the descriptor is open because it is borrowed; `info` has room for `length` bytes,
        // and the kernel writes at most that many.
        let result = unsafe {
            libc::getsockopt(
                tcp.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut length,
            )
        };
        (result == 0 && (length as usize) >= INFO).then_some(Self(info))
    }

    fn number(&self, at: usize) -> Option<u64> {
        let bytes = self.0.get(at..at + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn acknowledged(&self) -> Option<u64> {
        // The SYN is counted as an acknowledged byte.
        Some(self.number(BYTES_ACKED)?.saturating_sub(1))
    }
}

/// Not available on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn acknowledged(_: impl AsFd) -> Option<u64> {
    None
}

/// Not available on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unacknowledged(_: impl AsFd) -> Option<u64> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        for _ in 0..30 {
            near.write_all(&[1; 300]).unwrap();
            far.read_exact(&mut [0; 300]).unwrap();
            far.write_all(&[2; 300]).unwrap();
            near.read_exact(&mut [0; 300]).unwrap();
        }
        (near, far)
    }

    /// Reads until the connection has ended, after which the figures no longer change.
    fn end(mut near: &TcpStream) {
        let _ = near.read_to_end(&mut Vec::new());
    }

    #[test]
    fn bytes_sent_after_the_peer_has_closed_are_not_acknowledged() {
        let (mut near, far) = pair();
        drop(far);
        near.write_all(&[3; 1000]).unwrap();
        end(&near);
        assert_eq!(unacknowledged(&near), Some(1000));
    }

    #[test]
    fn bytes_read_before_the_close_are_acknowledged() {
        let (mut near, mut far) = pair();
        near.write_all(&[3; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        drop(far);
        end(&near);
        assert_eq!(unacknowledged(&near), Some(0));
    }

    #[test]
    fn what_a_peer_reads_shows_in_what_its_host_has_acknowledged() {
        let (near, mut far) = pair();
        near.set_nonblocking(true).unwrap();
        while (&near).write(&[3; 65536]).is_ok() {}
        let before = acknowledged(&near).unwrap();
        far.set_nonblocking(true).unwrap();
        while acknowledged(&near).unwrap() == before {
            let _ = far.read(&mut [0; 65536]);
        }
    }

    #[test]
    fn bytes_written_and_never_sent_count_as_unacknowledged() {
        let (mut near, far) = pair();
        drop(far);
        near.set_nonblocking(true).unwrap();
        let written = near.write(&vec![3; 3_000_000]).unwrap();
        near.set_nonblocking(false).unwrap();
        end(&near);
        assert_eq!(unacknowledged(&near), Some(written as u64));
    }
}
