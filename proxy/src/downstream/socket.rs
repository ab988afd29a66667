//! The socket below a caller's byte stream.

use std::os::fd::{AsRawFd, BorrowedFd};

use pingora::protocols::{Stream, l4};

/// The socket of `stream`. `None`: it has no descriptor.
pub(super) fn of(stream: &Stream) -> Option<BorrowedFd<'_>> {
    let tcp = (**stream).as_any().downcast_ref::<l4::stream::Stream>()?;
    let descriptor = Some(tcp.as_raw_fd()).filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the descriptor is open for as long as `stream` is, which outlives this borrow.
    Some(unsafe { BorrowedFd::borrow_raw(descriptor) })
}
